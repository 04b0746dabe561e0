"""Commands on generators."""

import io

import numpy as np
import pytest
from rich.console import Console

from experiments.cli import _generated
from experiments.generate import measure as study
from experiments.generate.export import to_array

ROWS = [
    study._row("KID, subsets of [9]", "generated", 0.01234, spread=0.002, by="net:layer", n=1234),
    study._row("classifier", "generated", 97.531, unit="%", by="net", n=10_000),
    study._row("KID, subsets of [9]", "real: training", -0.00001, spread=0.1, by="net:layer", n=9),
]


def test_a_generator_writes_files(maker, run, tmp_path):
    made = maker()
    arguments = ("generate", made.path, "--per-class", 2, "--seed", 5, "--out", tmp_path / "out")
    code, out, _ = run(*arguments)
    assert code == 0 and "8 images, in 4 folders of classes" in " ".join(out.split())
    assert maker.calls == [(str(made), 8, 5)]
    images = to_array(tmp_path / "out")
    assert (images[:, 9, 9, 0] == 60 * np.array([0, 1, 2, 3, 0, 1, 2, 3])).all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("generate", "{run}", "--out", "{new}"), "give one of them"),
        (("generate", "{run}", "--images", 3, "--class", "e", "--out", "{new}"), "from 0 to 3"),
        (("generate", "{new}", "--images", 3, "--out", "{new}"), "is no finished run"),
        (("measure", "{run}"), "(--subset) 1000, and 24 images"),
        (("measure", "{run}", "--features", "x"), "features (--features) 'x': give a"),
    ],
)
def test_what_cannot_be_made_or_measured_is_told(arguments, told, maker, fails, tmp_path):
    places = {"run": maker().path, "new": tmp_path / "new"}
    found = fails(*(str(argument).format(**places) for argument in arguments))
    assert told in found
    assert not (tmp_path / "new").exists()


def test_measures_stand_by_measure():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(_generated.table(ROWS))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    first = lines.index("KID, subsets of [9], by net:layer")
    assert lines[first + 1 : first + 3] == [
        "generated 0.0123 ± 0.0020 1,234",
        "real: training -0.0000 ± 0.1000 9",
    ]
    assert "generated 97.5 % 10,000" in lines
