"""The report's section on explained images."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.reports.sections import saliency
from experiments.runs import tables

PLACE = {"device": "2 CPU cores", "date": "2026-11-21T10:00:00", "commit": "0123456789ab"}
PLACE |= {"command": "python -m experiments explain runs/a"}
METHODS = {"gradcam": "Grad-CAM", "gradient": "Gradient"}


def row(model, method, sanity=(), **more):
    """Return a row as `experiments.studies.saliency` makes it."""
    numbers = {"mass": 46.12, "pointing": 62.5, "box_area": 40.25, "deletion": 9.0}
    numbers |= {"insertion": 81.0, "n": 16, "correct": 75.0, "incomplete": "", "steps": 10}
    levels = dict.fromkeys(("sanity_top", "sanity_half", "sanity_all"), "")
    levels |= dict(zip(levels, sanity, strict=False)) | {"sanity_n": 8 if sanity else ""}
    return {"model": model, "method": method, "fill": "mean", "seed": 0} | numbers | levels | more


def explained(folder, *rows, **changes):
    """Write a folder of explained images."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets = []
    for key, title in METHODS.items():
        file = tables.sheet(key)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / file)
        sheets.append({"method": key, "title": title, "about": f"how {key} <works>", "file": file})
    if rows:
        tables.write(list(rows), folder / tables.SALIENCY)
    content = PLACE | {"models": ["a", "a/b"], "class": "predicted", "images": 16, "data": "digits"}
    content |= {"sheets": sheets, "table": tables.SALIENCY if rows else None, "labeled": bool(rows)}
    content |= {"boxes": bool(rows), "settings": {"seed": 0}} | changes
    (folder / tables.EXPLAINED).write_text(json.dumps(content))
    return folder


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "runs" / "a", classes=10, images=50, epochs=2)


def test_sheets_and_numbers_are_shown(run, page_of):
    rows = [
        row("a", "gradcam", (0.5, 0.25, 0.0625)),
        row("a", "center", mass=20.0),
        row("a/b", "gradcam", (0.5, 0.25, -0.5), correct=50.0, incomplete=1.25),
    ]
    explained(run / "explain", *rows)
    page = page_of(run.parent)
    assert "#saliency" in page.references
    sheets = [uri for uri in page.images if "image/png" in uri]
    assert len(sheets) >= 2 and "how gradcam <works>" in "".join(page.text)
    found = next(
        t for t in page.tables if [" ".join(c.split()) for c in t[0]][:2] == ["Model", "Map"]
    )
    cells = [[" ".join(cell.split()) for cell in line] for line in found]
    assert cells[0][2:4] == ["In the box %", "Pointing %"] and cells[0][-1] == "Random all"
    assert cells[1] == ["a 75.0 % right", "Grad-CAM", "46.1", "62.5", "9.0", "81.0"] + [
        "0.50",
        "0.25",
        "0.06",
    ]
    assert cells[2] == ["center", "20.0", "62.5", "9.0", "81.0", "–", "–", "–"]
    assert cells[3][0] == "a/b 50.0 % right" and cells[3][-1] == "-0.50"
    text = " ".join("".join(page.text).split())
    assert "n = 16 images." in text and "40.2 %" in text and "(8 images)" in text
    assert "by a median of 1.2 % (a/b)." in text and PLACE["command"] in text


def test_what_was_not_measured_is_left_out(run, page_of, tmp_path):
    unboxed = dict.fromkeys(("mass", "pointing", "box_area"), "")
    explained(run / "explain", row("a", "gradcam", **unboxed), boxes=False)
    explained(run / "explain_files", **{"class": "king penguin"})
    page = page_of(run)
    found = next(t for t in page.tables if t[0][0] == "Model")
    heads = [" ".join(cell.split()) for cell in found[0]]
    assert heads == ["Model", "Map", "Deletion %, low is good", "Insertion %, high is good"]
    text = " ".join("".join(page.text).split())
    assert "16 image files, the logit of king penguin" in text
    assert "bounding box" not in text and "rank correlation" not in text


def test_runs_that_were_not_explained_have_no_section(run, page_of):
    assert "#saliency" not in page_of(run).references


def test_damaged_folders_are_named(tmp_path):
    folder = explained(tmp_path / "a", row("a", "gradcam"))
    (folder / tables.SALIENCY).write_text("model,method\na,b\n")
    with pytest.raises(ValueError, match=r"saliency.csv cannot be used \(no box_area, .*again"):
        saliency.read(folder / tables.EXPLAINED)
    (folder / tables.EXPLAINED).write_text('{"models": []}')
    with pytest.raises(ValueError, match=r"saliency.json cannot be used \(no class, images"):
        saliency.read(folder / tables.EXPLAINED)


def test_a_sheet_that_is_missing_is_named(run, page_of):
    folder = explained(run / "explain", row("a", "gradcam"))
    (folder / tables.sheet("gradient")).unlink()
    with pytest.raises(ValueError, match="saliency_gradient.png"):
        page_of(run)
