"""What studies found, as the command line shows it."""

import dataclasses
import io
import pathlib

import pytest
from rich.console import Console

from experiments.cli import _studies
from experiments.studies.attack import Attacked
from experiments.studies.evaluate import Evaluation
from experiments.studies.export import Exported
from experiments.studies.predict import Prediction
from experiments.studies.robust import Robustness
from experiments.studies.saliency import Saliency

PATH = pathlib.Path("out [1]")  # brackets are text, not markup


def told(show, found) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    show(console, found)
    return console.export_text()


@pytest.mark.parametrize("other", [False, True])
def test_an_evaluation_shows_scores_and_the_classes_at_both_ends(other):
    scores = {"top1": 61.234, "top3": 80.0, "top5": 90.0, "loss": 1.23456}
    by_class = {f"class [{i}]": 10.0 * i for i in range(11)}
    found = Evaluation("runs/[a]", "digits", 1234, other, scores, by_class)
    text = told(_studies.evaluation, found)
    assert "runs/[a] on digits, 1,234 validation images" in text
    assert ("other images than those that the run was validated on" in text) == other
    assert "61.23 %" in text and "1.2346" in text and "top-1" in text
    assert "best class: class [10]" in text and "100.00 %" in text
    assert "worst class: class [0]" in text and "class [5]" not in text


def test_an_evaluation_with_views_shows_both():
    plain = {"top1": 61.234, "loss": 1.23456}
    several = {"top1": 62.5, "loss": 1.1}
    found = Evaluation("runs/a", "digits", 9, False, plain, {"a": 80.0, "b": 20.0})
    with_views = {"with_views": several, "by_class_with_views": {"a": 70.0, "b": 55.0}}
    both = dataclasses.replace(found, views="shifts", **with_views)
    lines = [line.split() for line in told(_studies.evaluation, both).splitlines()]
    assert ["measure", "plain", "with", "shifts"] in lines
    assert ["top-1", "61.23", "%", "62.50", "%"] in lines and ["loss", "1.2346", "1.1000"] in lines
    assert ["best", "class:", "a", "80.00", "%", "70.00", "%"] in lines
    assert "with shifts, the mean over 6 views" in " ".join(sum(lines, []))


def test_predictions_tell_their_views():
    found = Prediction(PATH, ("a",), (0.75,), (16, 16), None, "nearest", False, "mirror")
    assert told(_studies.predictions, [found]).startswith(
        "out [1], with mirror, the mean over 2 views\n"
    )


def test_predictions_tell_how_an_image_was_resized():
    ranked = (("school bus [yellow]", "lemon"), (0.75, 0.25), (16, 16))
    fitting = Prediction(PATH, *ranked, None, "nearest", False)
    resized = Prediction(pathlib.Path("b.png"), *ranked, (40, 30), "nearest", False)
    assumed = Prediction(pathlib.Path("c.png"), *ranked, (40, 30), "lanczos", True)
    padded = dataclasses.replace(resized, path=pathlib.Path("d.png"), padded_with="white")
    whole = dataclasses.replace(fitting, path=pathlib.Path("e.png"), uncropped=True)
    lines = [
        line.rstrip()
        for line in told(
            _studies.predictions, [fitting, resized, assumed, padded, whole]
        ).splitlines()
    ]
    assert lines[0] == "out [1]"
    assert lines[1].split(maxsplit=2) == ["75.0", "%", "school bus [yellow]"]
    assert "b.png, resized from 40x30 to 16x16 (Nearest)" in lines
    assert "c.png, resized from 40x30 to 16x16 (Lanczos, for want of a recipe)" in lines
    square = "padded to a square with white"
    assert f"d.png, {square}, resized from 40x30 to 16x16 (Nearest)" in lines
    why = "as the images of its training were: a file has no box"
    assert f"e.png, not cropped, {why}" in lines


def test_an_attack_shows_what_it_did():
    content = {"images": 1000, "attack": {"split": "train"}, "reached_target": None}
    content |= {"accuracy_before": 92.0, "accuracy_after": 12.345}
    text = told(_studies.attacked, Attacked(PATH, content))
    assert "1,000 train images: accuracy 92.00 % before, 12.35 % after\n" in text
    assert "images and sheet.png: out [1]" in text
    content["reached_target"] = 4.0
    text = told(_studies.attacked, Attacked(PATH, content))
    assert "12.35 % after, 4.00 % reached their target" in text


def test_robustness_is_a_table_of_models_by_measure():
    values = [("clean", 0.0, 90), ("fgsm", 0.5, 80), ("pgd", 8.0, 10), ("fog", 1.0, 60)]
    values += [("fog", 2.0, 40)]
    rows = [
        {"model": model, "measure": what, "strength": strength, "n": 1234, "top1": top1 - less}
        for model, less in (("[one]", 0), ("vote: mean", 5))
        for what, strength, top1 in values
    ]
    lines = told(_studies.robustness, Robustness(rows, PATH)).splitlines()
    assert lines[0].strip() == "top-1 %, n = 1,234"
    shown = [line.split() for line in lines]
    assert ["measure", "[one]", "vote:", "mean"] in shown
    for row in (
        ["clean", "90.0", "85.0"],
        ["fgsm", "0.5", "80.0", "75.0"],
        ["pgd", "8", "10.0", "5.0"],
        ["fog", "50.0", "45.0"],
    ):
        assert row in shown
    assert "written to out [1]" in lines


def test_explained_images_are_a_table_of_maps_by_model():
    numbers = {"mass": 46.12, "pointing": 62.5, "box_area": 40.25, "deletion": 9.0}
    numbers |= {"insertion": 81.0, "n": 1234, "class": "predicted", "seed": 3}
    rows = [
        numbers | {"model": model, "method": method, "sanity_all": sanity}
        for model in ("stack", "stack/[a]")
        for method, sanity in (("gradcam", 0.125), ("random blobs", ""))
    ]
    found = Saliency(PATH, [PATH / "sheet.png"], rows)
    lines = told(_studies.explained, found).splitlines()
    assert lines[0].strip() == "maps of 1,234 images, %; predicted class, seed 3"
    shown = [line.split() for line in lines]
    assert ["stack/[a]"] in shown
    assert ["Grad-CAM", "46.1", "62.5", "40.2", "9.0", "81.0", "0.12"] in shown
    assert ["random", "blobs", "46.1", "62.5", "40.2", "9.0", "81.0"] in shown
    assert "sheet: out [1]/sheet.png" in lines and "numbers and sheets in out [1]" in lines
    unboxed = [row | dict.fromkeys(("mass", "pointing", "box_area"), "") for row in rows]
    text = told(_studies.explained, Saliency(PATH, [], unboxed))
    assert ["Grad-CAM", "9.0", "81.0", "0.12"] in [line.split() for line in text.splitlines()]
    assert told(_studies.explained, Saliency(PATH, [], [])) == "sheets in out [1]\n"


def test_an_export_shows_the_check_and_code_to_copy():
    usage = "import x\n\nmodel = x.load('[a]')"
    found = Exported(PATH, 2_345_678, {1: 1e-7, 7: 2e-7}, "9 images", (None, 32, 3), True, usage)
    lines = [line.rstrip() for line in told(_studies.exported, found).splitlines()]
    assert lines == [
        "trained in mixed precision: exported, and checked, in float32",
        "wrote out [1], 2.3 MB",
        "checked on 9 images",
        "probabilities are off by at most 1.0e-07 in batches of 1, 2.0e-07 in batches of 7 "
        "(0.0001 is allowed)",
        "images are float32 (n, any, 32, 3), raw pixels 0 to 255:",
        "    import x",
        "",
        "    model = x.load('[a]')",
    ]
