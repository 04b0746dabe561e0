"""The command `fit`: what it hands on, what it prints, what it refuses."""

import pytest

from experiments import auto
from experiments.runs import Run


@pytest.fixture
def asked(monkeypatch, make_run, tmp_path):
    """Put a finished run in the place of all work; return what it was asked for."""
    seen = {}

    def fit(pictures, **options):
        seen.update(options, pictures=str(pictures))
        run = Run(make_run(tmp_path / "fit" / "tuned", "few_images/tuned", epochs=2, images=20))
        files = [tmp_path / "fit" / "tuned.yaml"]
        return auto.Fitted(tmp_path / "fit", [run], files, tmp_path / "fit" / "report.html")

    monkeypatch.setattr(auto, "fit", fit)
    return seen


@pytest.mark.parametrize(
    "options, aim", [([], "balanced"), (["--best"], "best"), (["--small"], "small")]
)
def test_it_prints_the_result_and_what_to_do_with_it(run, asked, tmp_path, options, aim):
    code, out, _ = run("fit", "photos", "--minutes", 3, "--seed", 2, "--skip-unreadable", *options)
    assert code == 0
    assert (asked["pictures"], asked["minutes"], asked["aim"]) == ("photos", 3, aim)
    assert asked["skip_unreadable"] and asked["seed"] == 2
    folder = tmp_path / "fit"
    assert "tuned" in out and f"page: {folder / 'report.html'}" in out
    assert f"recipes: {folder / 'tuned.yaml'}" in out
    assert f"python -m experiments predict {folder / 'tuned'} PICTURE" in out


def test_what_cannot_be_is_refused(fails, tmp_path):
    assert "give one of them" in fails("fit", tmp_path, "--best", "--small")
    assert "does not exist" in fails("fit", tmp_path / "nowhere")
    assert "there are tensorflow, jax, torch" in fails("fit", tmp_path, "--backend", "caffe")
