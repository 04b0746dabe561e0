"""Commands on finished runs: what they find, refuse and write."""

import io

import pytest
from rich.console import Console

from experiments.cli import _runs
from experiments.reports.sections import ensembles
from experiments.runs import Run, tables


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("evaluate",), "holds no finished run (a folder with metrics.json)"),
        (("compare",), "holds no finished run"),
        (("report",), "is not a folder: give the folder of a finished run"),
        (("attack",), "does not exist: give a finished run's folder"),
        (("export", "--format", "onnx"), "does not exist: give a finished run's folder"),
    ],
)
def test_a_run_that_is_not_there_is_told(arguments, told, fails, tmp_path):
    command, *options = arguments
    said = fails(command, tmp_path / "nowhere", *options)
    assert "nowhere" in said and told in said


def test_a_run_to_predict_with_and_its_images_must_be_there(fails, make_run, tmp_path):
    assert "nowhere does not exist: give a finished run" in fails(
        "predict", tmp_path / "nowhere", tmp_path / "x.png"
    )
    vote = make_run(tmp_path / "mode", "laptop/mode", images=20, members=[])
    assert "has no model of its own" in fails("predict", vote, "x.png")


def test_a_report_is_written_about_the_runs_of_a_folder(run, make_run, tmp_path):
    make_run(tmp_path / "runs" / "alphanet_v4", images=40, epochs=3)
    page = tmp_path / "page.html"
    code, out, _ = run("report", tmp_path / "runs", "--out", page)
    assert code == 0 and f"wrote {page}" in out
    assert "alphanet_v4" in page.read_text(encoding="utf-8")


def test_mistakes_are_told_before_the_work(fails, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.place.Place.load_backend", None)
    runs = [make_run(tmp_path / name, images=20, epochs=2) for name in "ab"]
    assert "give its folder with --out" in fails("evaluate", *runs, "--robust")
    told = fails("evaluate", runs[0], "--robust", "--epsilons", "1,two")
    assert "--epsilons '1,two': give numbers, as 1,2,4,8" in told
    for command in (("evaluate",), ("compare",), ("predict", tmp_path / "x.png")):
        told = fails(command[0], runs[0], *command[1:], "--views", "flip")
        assert "no views 'flip'; there are none, mirror, shifts" in told
    told = fails("evaluate", runs[0], "--robust", "--views", "mirror")
    assert "--views mirror: --robust is about plain images" in told
    (tmp_path / "file").write_text("")
    told = fails("compare", *runs, "--out", tmp_path / "file")
    assert "a file stands where a folder is needed" in told
    told = fails("attack", runs[0], "--method", "fgsm", "--steps", 3)
    assert "fgsm is one step of epsilon, it takes no steps" in told
    told = fails("report", runs[0], "--out", tmp_path / "file" / "page.html")
    assert "page.html" in told and "a file stands where a folder is needed" in told


def test_what_cannot_be_explained_is_told_before_the_work(fails, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.place.Place.load_backend", None)
    runs = [make_run(tmp_path / name, images=20, epochs=2) for name in "ab"]
    for run in runs:
        (run / "model.keras").touch()
    vote = make_run(tmp_path / "mode", "laptop/mode", images=20, members=[])
    for arguments, told in (
        ((tmp_path / "nowhere",), "nowhere: give a run's folder first"),
        (runs, "several runs make one sheet: give its folder with --out"),
        ((vote,), "kind vote, which has no model of its own: name one of the runs"),
        ((runs[0], "--method", "lime"), "method 'lime': give some of gradient, smoothgrad"),
        ((runs[0], "--class", "animl 3"), "has no such class, close are animal 3"),
        ((runs[0], "--class", "10"), "class 10: "),
        ((runs[0], tmp_path / "x.png"), "x.png"),
        ((runs[0], tmp_path / "x.png", "--class", "true"), "nothing says what image files show"),
        ((runs[0], tmp_path / "x.png", "--boxes"), "which image files do not have"),
        ((runs[0], "--fill", "gray"), "fill='gray': give one of black, white, mean"),
        ((runs[0], "--limit", 0), "limit=0: give a whole number of 1 or more"),
        ((runs[0], "--data-dir", tmp_path), "tiny"),
    ):
        assert told in fails("explain", *arguments), arguments


def test_a_comparison_is_printed_and_written(run, make_run, tmp_path, monkeypatch):
    runs = [make_run(tmp_path / name, images=20, epochs=2) for name in "ab"]
    row = {"ensemble": "mean", "kind": "vote", "rule": "mean", "weighted_by": "", "weights": ""}
    row |= dict.fromkeys(("top1", "top3", "top5", "loss", "calibration_error"), 50.0)
    row |= {"disagreement": 3.0, "parameters": 7, "macs": 8, "latency_ms": "", "n": 20}
    row |= {"images_per_second": "", "fitted_on": 0, "repeats": 0, "load": 0.5}
    monkeypatch.setattr("experiments.ensembles.compare.compare", lambda *_, **__: [row])
    code, out, _ = run("compare", *runs, "--out", tmp_path / "out", "--repeats", 0)
    assert code == 0 and "n = 20 validation images" in out and "mean" in out
    assert (tmp_path / "out" / tables.COMPARISON).read_text().startswith("ensemble,kind,rule")


def test_results_with_views_stand_below_the_plain_ones(make_run, tmp_path):
    several = {"views": "mirror", "top1": 48.5, "top3": 70.2, "top5": 80.3, "loss": 1.0}
    folder = make_run(tmp_path / "a", images=20, epochs=2, top1=45.0, with_views=several)
    screen = Console(width=80, record=True, file=io.StringIO())
    screen.print(_runs.results([Run(folder).metrics]))
    lines = [line.replace("│", " ").split() for line in screen.export_text().splitlines()]
    plain = next(number for number, line in enumerate(lines) if line[:1] == ["alphanet_v4"])
    assert lines[plain][2:4] == ["45.00", "25.8–65.8"]
    assert lines[plain + 1] == ["with", "mirror", "48.50", "28.7–68.8", "70.20", "80.30"]


def test_a_comparison_with_views_fits_a_narrow_console():
    numbers = dict.fromkeys((column.key for column in ensembles.COLUMNS), 50.0)
    numbers |= {"parameters": 229_066, "macs": 26_200_000, "latency_ms": 11.7}
    row = {"ensemble": "weighted mode (accuracy)", "kind": "vote", "n": 20, "fitted_on": 7}
    row = row | numbers | {"weights": "", "top1": 48.25, "top1_mirror": 49.75}
    del row["top1_shifts"]
    for width, wide in ((80, False), (130, True)):
        screen = Console(width=width, record=True, file=io.StringIO())
        screen.print(_runs.comparison([row], width))
        text = screen.export_text()
        assert "…" not in text and "48.25" in text and "49.75" in text
        assert ("top-5" in text) == ("top-3" in text) == wide
        assert "with mirror, the mean over 2 views of an image" in " ".join(text.split())


def test_results_mark_what_was_chosen_by_these_images(make_run, tmp_path):
    best = Run(make_run(tmp_path / "a", "alphanet/alphanet_v1", images=20, epochs=2)).metrics
    last = best | {"keep": "last", "recipe": "test/last"}
    vote = {key: last[key] for key in ("recipe", "top1", "top3", "top5", "parameters", "n")}
    screen = Console(width=120, record=True, file=io.StringIO())
    screen.print(_runs.results([best, last, vote | {"recipe": "test/mode"}]))
    text = screen.export_text()
    assert "alphanet_v1 *" in text and "last *" not in text and "–" in text
    assert "*: of the best epoch on these images" in text


def test_what_cannot_be_embedded_is_told_before_the_work(fails, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.place.Place.load_backend", None)
    runs = [make_run(tmp_path / name, images=20, epochs=2) for name in "ab"]
    for run in runs:
        (run / "model.keras").touch()
    for arguments, told in (
        (("nowhere",), "nowhere"),
        (("digits", "mnist"), "digits, mnist: give one data set, or folders of runs"),
        (runs, "several runs make one page: give its folder with --out"),
        ((runs[0], "--size", 8), "--size and --channels are those of the runs"),
        (("digits", "--part", "umap"), "part (--part) 'umap': there are components, tsne"),
        (("digits", "--perplexity", "5,x"), "--perplexity '5,x': give numbers"),
        (("digits", "--keep", 2), "keep=2.0: give a share"),
        (("tiny_imagenet", "--data-dir", tmp_path / "no"), "no"),
        ((runs[0], "--data-dir", tmp_path), "tiny"),
    ):
        assert told in fails("embed", *arguments), arguments


def test_what_was_embedded_is_printed(run, tmp_path):
    options = ("--part", "components", "--classes", 2, "--size", 16, "--out", tmp_path / "out")
    code, told, _ = run("embed", "digits", *options)
    assert code == 0 and "Principal components" in told and "components.png" in told
    assert (tmp_path / "out" / "embeddings.json").is_file()
