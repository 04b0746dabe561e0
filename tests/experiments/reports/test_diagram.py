"""Diagrams: every layer of every kind of network is in one row, and rows say what there is."""

import importlib

import pytest

import zoo
from experiments.reports import diagram, structure, svg
from zoo import _families

FAMILIES = list(_families.FAMILIES)


@pytest.fixture
def model(request, monkeypatch):
    """Build the cheap form of an architecture, or a network by its name; weights are zeros."""
    import keras

    draws = zoo._blocks.host_objects()["VarianceScaling"]
    zeros = keras.ops.zeros
    monkeypatch.setattr(draws, "__call__", lambda self, shape, dtype=None: zeros(shape, dtype))
    if request.param in FAMILIES:
        options = dict(importlib.import_module(f"zoo.{request.param}").TINY)
        return zoo.build(**options, input_shape=(64, 64, 3), classes=7)
    return zoo.build(request.param)


@pytest.mark.parametrize("model", [*FAMILIES, "nasnet_mobile"], indirect=True)
def test_rows_hold_every_layer_once(model):
    rows = structure.rows(model)
    assert sum(row.parameters for row in rows) == zoo.profile(model)[0]
    assert rows[-1].shape == model.output_shape[1:]
    assert 3 < len(rows) <= structure.MOST
    units = structure._units(structure._segments(model))
    names = [one.name for unit in units for one in unit]
    inputs = [model.layers[0].name]
    assert sorted(inputs + names) == sorted(one.name for one in model.operations)


# (times, what, size of the maps, channels) of some rows.
KNOWN = {
    "resnet18": [
        (1, "7×7 convolution /2", (112, 112), 64),
        (2, "residual: 2 of 3×3", (56, 56), 64),
        (1, "residual: 3×3 /2, 3×3, 1×1 /2", (28, 28), 128),
        (1, "classifier", (), 1000),
    ],
    "alphanet_v4": [
        (1, "7×7 convolution", (64, 64), 32),
        (2, "2 × 3×3 convolution", (8, 8), 512),
        (2, "2 × dense", (), 1024),
    ],
    "densenet121": [(24, "24 × concatenated: 1×1, 3×3", (14, 14), 1024)],
    "mobilenetv2_100": [(1, "2 of 1×1, 3×3 depthwise /2", (56, 56), 24)],
    "efficientnet_b0": [(3, "3 × residual: 4 of 1×1, 5×5 depthwise, squeeze-excite", (7, 7), 192)],
}


@pytest.mark.parametrize(("model", "known"), KNOWN.items(), ids=KNOWN, indirect=["model"])
def test_rows_of_known_networks(model, known):
    found = {
        (row.times, diagram.words(row), row.size, row.shape[-1]) for row in structure.rows(model)
    }
    for times, text, size, channels in known:
        told = text if times == 1 or text.startswith(f"{times} × ") else f"{times} × {text}"
        assert (times, told, size, channels) in found


@pytest.mark.parametrize("model", ["ghostnet"], indirect=True)
@pytest.mark.parametrize("suffix", svg.FILES)
def test_a_diagram_is_written_as_its_file_says(model, suffix, tmp_path):
    path = tmp_path / "new" / f"drawn{suffix}"
    svg.write(diagram.draw(model), path)
    first = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}
    assert path.read_bytes().startswith(first[suffix])
    if suffix == ".svg":
        text = path.read_text(encoding="utf-8")
        assert f"{zoo.profile(model)[0]:,} parameters" in text
        assert "squeeze-excite" in text


def test_no_other_file_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, got .*drawn\.txt"):
        svg.check(tmp_path / "drawn.txt")
