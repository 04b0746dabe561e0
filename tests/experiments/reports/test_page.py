"""The page as a whole: what it is made from, where it is written, what it refuses."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import recipes
from experiments.reports import figures, page, report, sections
from experiments.runs import Run, short_names

ROOT = pathlib.Path(__file__).resolve().parents[3]
# The first row of each kind.
ROWS = {
    row.kind: row.recipe
    for paper in reversed(recipes.papers())
    for row in reversed(recipes.rows(paper).values())
}
ADVERSARIAL = {"adversarial": 25.0, "adversarial_validation": 26.0}


def test_a_page_is_self_contained(stacked):
    assert all(uri.startswith("data:image/png;base64,") for uri in stacked.images)
    assert all(reference.startswith(("data:", "#")) for reference in stacked.references)
    assert {r[1:] for r in stacked.references if r.startswith("#")} <= set(stacked.ids)
    assert not re.search(r"https?://|url\((?!#)|@import|<script|<link", stacked.source)


@pytest.mark.parametrize("kind", recipes.KINDS)
def test_the_page_of_every_kind_of_run(make_run, page_of, tmp_path, kind):
    folder = tmp_path / "run"
    member = {"name": "one", "run": "elsewhere/one", "top1": 40.0, "parameters": 10}
    made = {"members": [member | ADVERSARIAL], "clean": member | ADVERSARIAL, **ADVERSARIAL}
    make_run(folder, ROWS[kind], epochs=2, **({} if kind == "train" else made))
    found = page_of(folder)
    if recipes.KINDS[kind].images:
        assert found.source.count("<figcaption>Epoch ") == 2 and "% top-1" not in found.source
        assert "losses of" in found.source and "from one latent point to another" in found.source
        (folder / "sheets.npz").unlink()  # a copy that keeps the result alone
        assert "<figcaption>Epoch " not in page_of(folder).source
        return
    assert f'<h2 id="run0">{ROWS[kind].partition("/")[2]} <small>47.7 % top-1' in found.source
    assert ("curve_top1 of" in found.source) == recipes.KINDS[kind].has_history


def test_accuracy_within_the_epochs_is_drawn_by_images_and_the_published_one_told(
    make_run, page_of, tmp_path
):
    run = Run(make_run(tmp_path / "run", epochs=2))
    assert "curve_images of" not in page_of(run.path).source
    steps = enumerate((20.0, run.expect["top1"] - 1, run.expect["top1"] + 1), start=1)
    line = {"epoch": 1, "seconds": 9.0, "val_loss": 1.0}
    run.write_progress(
        [line | {"step": step, "images": 64_000 * step, "val_top1": top1} for step, top1 in steps]
    )
    found = page_of(run.path).source
    assert "curve_images of" in found and "training images seen" in found
    assert f"{run.expect['top1']:g} %, reached after 192,000 images" in found


def test_a_section_is_a_module_a_template_and_a_line(make_run, page_of, tmp_path, monkeypatch):
    (tmp_path / "weather.py").write_text(
        "from experiments.reports.context import Shown\n"
        "def show(context):\n"
        "    if len(context.runs) > 1: return None\n"
        "    return Shown({'sky': '<blue>'}, links=[('weather', 'Weather')])\n"
    )
    (tmp_path / "weather.html").write_text('<h2 id="weather">{{ section.sky }}</h2>\n')
    spec = importlib.util.spec_from_file_location("weather", tmp_path / "weather.py")
    weather = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weather)
    monkeypatch.setattr(sections, "SECTIONS", (weather, *sections.SECTIONS))
    runs = [make_run(tmp_path / name, epochs=2) for name in ("one", "two")]
    found = page_of(runs[0])
    assert '<h2 id="weather">&lt;blue&gt;</h2>' in found.source
    assert found.references[0] == "#weather"
    assert "weather" not in page_of(*runs).source


def test_runs_and_tables_are_found_in_folders(make_run, tmp_path, page_of):
    for name in ("one", "two"):
        make_run(tmp_path / "runs" / name, epochs=1)
    make_run(tmp_path / "runs" / "two" / "folds" / "0", epochs=1)  # a part of another run
    (tmp_path / "runs" / "robustness.csv").write_text(
        "model,measure,strength,n,seed,top1\none,clean,0,5,0,50\none,fgsm,1,5,0,40\n"
        "one,pgd,1,5,0,30\none,jpeg,1,5,0,45\n"
    )
    found = page_of(tmp_path / "runs", tmp_path / "runs" / "one")
    assert re.findall(r'<a href="#(.*?)">', found.source) == [
        *("paper", "results", "across", "robustness", "run0", "run1")
    ]


def test_pngs_lie_in_the_runs_and_beside_the_page(make_run, tmp_path):
    runs = [make_run(tmp_path / name, epochs=2) for name in ("a", "b")]
    written = report(runs, tmp_path, plots=True)
    assert written.page == tmp_path / "report.html" and written.page.exists()
    assert set(written.plots) == {folder / "plots" for folder in (tmp_path, *runs)}
    names = {path.name for path in (tmp_path / "a" / "plots").iterdir()}
    assert names == {
        f"{name}.png"
        for name in ("augmented", "classes", "confusion", "curve_loss", "curve_top1")
        + ("misclassified",)
    }
    drawn = list(tmp_path.rglob("*.png"))
    across = {path.name for path in (tmp_path / "plots").iterdir()}
    assert across == {
        f"across0_{name}.png"
        for name in ("top1", "loss", "val_top1", "val_loss", "seconds", "accuracy")
    }
    assert len(drawn) == 2 * len(names) + len(across)
    for path in drawn:
        with Image.open(path) as image:
            assert min(image.size) > 150  # two bars are flat
    assert report(runs, tmp_path).plots == []


def test_a_page_may_be_written_again_and_nothing_else(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=1)
    page_file = tmp_path / "page.htm"
    for title in ("first", "second"):
        assert report([run], page_file, title=title).page == page_file
    assert "<title>second</title>" in page_file.read_text()
    thesis = tmp_path / "thesis.html"
    for path, text in ((thesis, "<html>"), (tmp_path / "model.keras", "weights")):
        path.write_text(text)
        with pytest.raises(ValueError, match=re.escape(f"{path}")):
            report([run], path)
        assert path.read_text() == text
    assert page.GENERATOR in (pathlib.Path(page.__file__).parent / "base.html").read_text()


def test_a_place_that_takes_no_files_is_named(make_run, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", epochs=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write to .*file/page.html"):
        report([run], tmp_path / "file" / "page.html")
    with pytest.raises(ValueError, match="out .*report.*: give a file that ends in .html"):
        report([run], tmp_path / "report")

    def full(path, text, encoding):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    with pytest.raises(ValueError, match="disk of .*page.html is full .*No space left"):
        report([run], tmp_path / "page.html")


def test_runs_are_named_by_row_folder_or_path(make_run, tmp_path):
    places = ("a/alphanet_v4", "b/alphanet_v4", "a/alphanet_v4_seed_1")
    runs = [make_run(tmp_path / p, classes=2, images=20, epochs=1) for p in places]

    def names(chosen):
        written = report(chosen, tmp_path / "page.html").page
        return re.findall(r'<a href="#run\d+">(.*?)</a>', written.read_text())

    assert names([runs[0], runs[0]]) == ["alphanet_v4"]  # one folder given twice is one run
    assert names(runs[::2]) == ["alphanet_v4", "alphanet_v4_seed_1"]
    assert names(runs[:2]) == [str(run) for run in runs[:2]]


DAMAGE = {
    "recipe.yaml": "recipe: [",
    "environment.json": "[1, 2]",
    "dataset.json": '{"name": "digits"}',
    "metrics.json": '{"recipe": "a/b"',
    "history.csv": "epoch,loss,top1,val_loss,val_top1\n1,2,3\n",
    "predictions.npz": "no archive",
    "samples.npz": "",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_refused_by_the_files_name(make_run, tmp_path, name):
    run = make_run(tmp_path / "run", epochs=2)
    (run / name).write_text(DAMAGE[name])
    # A recipe says itself what does not fit; every other file is one of a run.
    told = "cannot be read" if name == "recipe.yaml" else "cannot be used"
    with pytest.raises(ValueError, match=f"{re.escape(str(run / name))} {told}"):
        report([run], tmp_path / "page.html")
    (run / name).unlink()
    with pytest.raises(ValueError, match=f"{re.escape(str(run / name))} is missing"):
        report([run], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_copy_that_keeps_the_result_alone_is_shown_without_single_images(
    make_run, page_of, tmp_path
):
    whole, copy = (make_run(tmp_path / name, top1=top1) for name, top1 in (("a", 40), ("b", 60)))
    for name in ("predictions.npz", "samples.npz"):
        (copy / name).unlink()
    found = page_of(whole, copy).source
    of_whole, of_copy = found[found.index('<h2 id="run0">') :].split('<h2 id="run1">')
    for told in ("Misclassified images", "Classes most often confused", "Augmented images"):
        assert told in of_whole and told not in of_copy
    assert "60.0 % top-1" in of_copy and "keeps its result alone" in of_copy
    assert "curve_top1 of" in of_copy and "keeps its result alone" not in of_whole


def test_the_results_that_the_project_publishes_can_be_reported(page_of):
    found = page_of(ROOT / "experiments" / "results" / "records_cpu").source
    assert "records/tiny_cpu_1h" in found and "keeps its result alone" in found


def test_files_of_two_runs_are_refused(make_run, tmp_path):
    one, other = (make_run(tmp_path / str(v), top1=v, epochs=2) for v in (40, 60))
    (one / "predictions.npz").write_bytes((other / "predictions.npz").read_bytes())
    with pytest.raises(ValueError, match="top1 is 40.0, predictions.npz gives 60.00"):
        report([one], tmp_path / "page.html")
    np.savez(one / "predictions.npz", probs=np.ones((4, 3)) / 3, labels=np.arange(4) % 3)
    with pytest.raises(ValueError, match="3 classes, dataset.json has 10"):
        report([one], tmp_path / "page.html")


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no run folders"):
        report([], tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        report([tmp_path / "absent"], tmp_path)
    with pytest.raises(ValueError, match="holds no finished run"):
        report([tmp_path], tmp_path)


def test_pickled_arrays_are_never_loaded(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=2)
    np.savez(run / "samples.npz", wrong_images=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="samples.npz cannot be used .*allow_pickle"):
        report([run], tmp_path / "page.html")


def test_short_names_stay_distinct():
    names = ["goldfish, Carassius auratus", "crane", "crane, lifting device", "a" * 30]
    assert short_names(names, ["n1", "n2", "n3", "n4"]) == [
        "goldfish",
        "crane (n2)",
        "crane (n3)",
        "a" * 21 + "…",
    ]


def test_two_classes_without_mistakes_or_published_values(make_run, page_of, photos, tmp_path):
    row = {"recipe": "mine", "data": {"name": "folder"}, "epochs": 1}
    row = recipes.parse(row | {"model": {"name": "alphanet_v4"}}, "test")
    names = ["<script>", "$5 & more, or less"]
    options = {"classes": names, "images": 100, "top1": 100, "epochs": 1}
    found = page_of(make_run(tmp_path / "run", row, shown=photos[..., :1], **options))
    assert "every validation image was recognized" in found.source
    assert "Misclassified" not in found.source and "Paper and ours" not in found.source
    # Top-3 of two classes says nothing; names from data are text, never markup.
    assert found.row(0, "Run")[1:3] == ["Top-1 %", "Training top-1, %"]
    assert "&lt;script&gt;" in found.source and "$5 &amp; more" in found.source


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_reporting_loads_no_framework(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=2)
    code = (
        "import sys; from experiments.reports import report; report(sys.argv[1:2], sys.argv[2]);"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    assert run_python(code, str(run), str(tmp_path / "page.html")) == "set()"
    # The console's tables come from the sections; they draw nothing.
    code = (
        "import sys, experiments.reports.sections.ensembles;"
        "print({'keras', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    assert run_python(code) == "set()"


def test_weights_of_members_that_were_trained_together_are_drawn(make_run, tmp_path):
    run = Run(make_run(tmp_path / "run", ROWS["joint"], epochs=2, members=[]))
    assert "curve_weights" not in figures.of_run(run)
    columns = run.history | {"weight_a": np.array([0.5, 0.9]), "weight_b": np.array([0.5, 0.1])}
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    run.write_history(lines)
    axes = figures.of_run(Run(run.path))["curve_weights"].axes[0]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn == {"a": [0.5, 0.9], "b": [0.5, 0.1]}
