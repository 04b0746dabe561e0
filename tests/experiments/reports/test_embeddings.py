"""The report's section on embeddings."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.reports.sections import embeddings
from experiments.runs import tables

PLACE = {"device": "cpu", "date": "2026-12-01T10:00:00", "commit": "0123456789ab"}
PLACE |= {"command": "python -m experiments embed digits", "settings": {"seed": 3}}
COLUMNS = [
    {"key": "space", "title": "Of", "digits": None},
    {"key": "share", "title": "Share, %", "digits": 1},
]


def embedded(folder, rows=(("pixels", 1234.56), ("a <net>", "")), **changes):
    """Write a folder of embeddings: a part with a note, a sheet and a table."""
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "shares.png")
    lines = [dict(zip(("space", "share"), row, strict=True)) | {"more": 1} for row in rows]
    tables.write(lines, folder / "shares.csv")
    table = {"file": "shares.csv", "title": "Counts", "about": "How many", "rows": len(rows)}
    sheet = {"file": "shares.png", "title": "Shares", "about": "what is <held>"}
    part = {"title": "Components", "notes": ["of 7 of 9 images"], "sheets": [sheet]}
    part |= {"tables": [table | {"columns": COLUMNS}]}
    content = PLACE | {"data": "digits", "shape": [8, 8, 1], "train": 1438, "validation": 359}
    content |= {"runs": [], "parts": {"components": part}} | changes
    (folder / tables.EMBEDDINGS).write_text(json.dumps(content))
    return folder


def text_of(page) -> str:
    return " ".join("".join(page.text).split())


def test_a_page_of_embeddings_alone_has_sentences_tables_and_sheets(page_of, tmp_path):
    page = page_of(embedded(tmp_path / "embed"))
    assert "#embeddings" in page.references
    assert page.tables == [[["Of", "Share, %"], ["pixels", "1,234.6"], ["a <net>", ""]]]
    assert len(page.images) == 1 and page.images[0].startswith("data:image/png")
    text = text_of(page)
    assert "digits: 1,438 training and 359 validation images, 8×8×1" in text
    assert "of 7 of 9 images." in text and "Shares: what is <held>." in text
    assert "How many." in text and "rows; all of them" not in text
    assert "2026-12-01, seed 3" in text and PLACE["command"] in text


def test_beside_a_run_they_are_named_by_it(page_of, make_run, tmp_path):
    run = make_run(tmp_path / "runs" / "a", classes=10, images=50, epochs=2)
    embedded(run / "embed", runs=["laptop/a"])
    page = page_of(run)
    assert "#embeddings" in page.references and "laptop/a digits" in " ".join(
        "".join(page.text).split()
    )


def test_of_long_tables_the_first_lines_are_shown_and_sheets_may_be_gone(page_of, tmp_path):
    folder = embedded(tmp_path / "embed", [(str(n), n) for n in range(embeddings.LINES + 5)])
    (folder / "shares.png").unlink()
    page = page_of(folder)
    assert len(page.tables[0]) == 1 + embeddings.LINES and not page.images
    assert "The first 24 of 29 rows; all of them: shares.csv." in " ".join(
        "".join(page.text).split()
    )


def test_runs_that_were_not_embedded_have_no_section(page_of, make_run, tmp_path):
    run = make_run(tmp_path / "runs" / "a", classes=10, images=50, epochs=2)
    assert "#embeddings" not in page_of(run).references


def test_damaged_folders_are_named(page_of, tmp_path):
    folder = embedded(tmp_path / "a")
    (folder / "shares.png").write_text("no picture")
    with pytest.raises(ValueError, match="shares.png"):
        page_of(folder)
    (folder / "shares.csv").write_text("space\npixels\n")
    with pytest.raises(ValueError, match=r"shares.csv cannot be used .*'share'.*embed again"):
        embeddings.read(folder / tables.EMBEDDINGS)
    (folder / tables.EMBEDDINGS).write_text('{"data": ""}')
    with pytest.raises(ValueError, match=r"embeddings.json cannot be used \(no shape, train"):
        embeddings.read(folder / tables.EMBEDDINGS)
