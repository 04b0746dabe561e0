"""The section on what was measured of generators."""

import numpy as np
import pytest
from PIL import Image

from experiments.generate import measure
from experiments.reports.sections import generated
from experiments.runs import tables

ROWS = [
    measure._row("KID, subsets of 100", "generated", 0.0123, spread=0.002, by="net:pooled", n=1234),
    measure._row("Frechet distance", "generated", 12.345, by="net:pooled", n=1234),
    measure._row("KID, subsets of 100", "real: training", 0.0004, spread=0.1, by="net:pooled", n=9),
    measure._row("nearer to training", "generated", 51.28, unit="%", by="pixels", n=9),
]


def write(folder, rows=ROWS):
    rows = [row | {"seed": 3, "run": "generators/[small]"} for row in rows]
    tables.write(rows, folder / tables.GENERATED)


def test_a_page_shows_every_measure_and_the_sheet(make_run, page_of, tmp_path):
    run = make_run(tmp_path / "run", "quickstart/member_a", epochs=2)
    write(run)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(run / tables.NEAREST)
    page = page_of(run)
    table = next(one for one in page.tables if one[0][0] == "Measure")
    cells = [[" ".join(cell.split()) for cell in row] for row in table[1:]]
    assert cells == [
        ["KID, subsets of 100 net:pooled", "generated", "0.0123 ± 0.0020", "1,234"],
        ["", "real: training", "0.0004 ± 0.1000", "9"],
        ["Frechet distance net:pooled", "generated", "12.3", "1,234"],
        ["nearer to training pixels", "generated", "51.3 %", "9"],
    ]
    assert "<h3>generators/[small]</h3>" in page.source and "seed 3" in page.source
    assert any(image.startswith("data:image/png") for image in page.images)
    assert "#generated" in page.references


def test_a_damaged_sheet_and_table_are_named(make_run, page_of, tmp_path):
    run = make_run(tmp_path / "run", "quickstart/member_a", epochs=2)
    write(run)
    (run / tables.NEAREST).write_bytes(b"no picture")
    with pytest.raises(ValueError, match="nearest.png cannot be read .*measure again"):
        page_of(run)
    (run / tables.GENERATED).write_text("measure,value\nKID,1\n")
    with pytest.raises(ValueError, match="generated.csv cannot be used .*measure again"):
        generated.read(run / tables.GENERATED)
