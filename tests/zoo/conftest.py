"""Fixtures of the tests of the zoo: the references' counts, cheap networks, tensors."""

import functools
import importlib
import itertools
import math
import zlib

import numpy as np
import pytest

import zoo
from zoo import _families, _weights

# Rows of the papers' tables that share a network of the reference.
ALIASES = {
    "alphanet_v4b": "alphanet_v4",
    "alphanet_v4c": "alphanet_v4",
    "bravonet_v2": "bravonet",
    "bravonet_v3": "bravonet",
}


# Networks of no reference: "init 32: 32,16: 16,8" and so on, as their paper writes them.
NARROW = {
    "resnext_narrow1": (32, 16, 8),
    "resnext_narrow2": (64, 32, 16, 8),
    "resnext_narrow3": (16, 8, 4, 4),
}
# What section 4 and the code of EfficientNet's authors say of B1 to B7: width, depth, side of the
# images; and the parameters that timm, torchvision and they print of them.
SCALED = {
    "efficientnet_b1": (1.0, 1.1, 240, 7_794_184),
    "efficientnet_b2": (1.1, 1.2, 260, 9_109_994),
    "efficientnet_b3": (1.2, 1.4, 300, 12_233_232),
    "efficientnet_b4": (1.4, 1.8, 380, 19_341_616),
    "efficientnet_b5": (1.6, 2.2, 456, 30_389_784),
    "efficientnet_b6": (1.8, 2.6, 528, 43_040_704),
    "efficientnet_b7": (2.0, 3.1, 600, 66_347_960),
}
# Table 1 of EfficientNet: kernel, expansion, width, stride, blocks.
TABLE_1 = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 2, 3),
    (5, 6, 112, 1, 3),
    (5, 6, 192, 2, 4),
    (3, 6, 320, 1, 1),
)
OPEN_CHOICES = {"blocks": 3, "groups": 2, "bottleneck": 2}


@pytest.fixture(scope="session")
def facts(reference):
    """Map model name -> counts of the reference, at its shape and (`at`) others."""
    table = {name: reference[ALIASES.get(name, name)] for name in {*reference, *ALIASES}}
    for row in reference["wrn_table"]["variants"]:
        k, name = row["k"], f"wrn_{row['depth']}_{row['k']}"
        counts = {"input": [32, 32, 3], "classes": 10, "source": "wrn_table"}
        counts["macs"] = row["macs_32_100"] - 90 * 64 * k  # 64 k features of 90 classes less
        learned = {classes: row[f"trainable_{classes}"] for classes in (10, 200)}
        totals = {classes: n + row["non_trainable"] for classes, n in learned.items()}
        counts["params"] = {"trainable": learned[10], "total": totals[10]}
        large = {"input": [64, 64, 3], "classes": 200, "macs": row["macs_64_200"]}
        large |= {"trainable": learned[200], "total": totals[200], "source": "wrn_table"}
        table.setdefault(name, {**counts, "at": [large]})
    # 72 pixels are in no reference file: the built model is the check.
    bravonet = {"input": [72, 72, 3], "macs": zoo.info("bravonet_v1").macs, "at": []}
    narrow = {name: _narrow_counts(widths) for name, widths in NARROW.items()}
    scaled = {name: _efficientnet_counts(*row[:3]) for name, row in SCALED.items()}
    table |= {**narrow, **scaled, "bravonet_v1": {**table["bravonet"], **bravonet}}
    return {**table, **keras_counts(reference)}


@pytest.fixture
def reference_counts(name, facts):
    """Counts of the reference of the network that is tested; one of our own has none."""
    if name not in facts and zoo.info(name).source == _families.DEFINED:
        pytest.skip(f"no reference has {name}, which its file defines")
    return facts[name]


@pytest.fixture(scope="session")
def totals(request):
    """Map model name -> all weights of the reference; empty where `../shared` is not there."""
    try:
        facts = request.getfixturevalue("facts")
    except pytest.skip.Exception:
        return {}
    return {name: counts["params"]["total"] for name, counts in facts.items() if "params" in counts}


def keras_counts(reference):
    """Counts of keras.applications: no BN gamma in the Inceptions, and a VGG that flattens any map.

    So the numbers of PyTorch's networks, which the reference file has too, do not hold here.
    """
    networks = ("vgg16", "inception_v3", "inception_resnet_v2", "xception", "nasnet_large")
    table = {}
    for name in networks:
        rows = [row for row in reference[name]["keras_reference"] if row.get("builds", True)]
        first, smaller = rows[:2]
        table[name] = {**first, "params": first, "at": [smaller]}
    mobile = [{"source": "nasnet_mobile", **row} for row in reference["nasnet_mobile"]["at"]]
    gammas = reference["vgg16_bn"]["params"]["non_trainable"]  # as many as moving statistics
    normalized = [
        {**row, "trainable": row["trainable"] + gammas, "total": row["total"] + 2 * gammas}
        for row in table["vgg16"]["at"]
    ]
    table["nasnet_mobile"] = {**reference["nasnet_mobile"], "at": mobile}
    table["vgg16_bn"] = {**reference["vgg16_bn"], "at": normalized}
    return table


def _narrow_counts(widths, **choices):
    """Count a narrow ResNeXt of the docstring's definition at 32 pixels and 100 classes."""
    blocks, groups, bottleneck = (choices.get(key, n) for key, n in OPEN_CHOICES.items())
    kernel, stride = choices.get("transition_kernel", 3), choices.get("transition_stride", 2)
    flatten, padded = choices.get("flatten", True), choices.get("padding", "same") == "same"
    side = 32 if padded else 30
    convs = [(3 * 9, widths[0], side)]  # weights of a filter, filters, side of the maps
    for width, narrower in itertools.pairwise(widths):
        inner = width // bottleneck
        block = [(width, inner, side), (9 * inner // groups, inner, side), (inner, width, side)]
        side = side // stride if padded else (side - kernel) // stride + 1
        convs += [*blocks * block, (kernel**2 * width, narrower, side)]
    dense = widths[-1] * (side**2 if flatten else 1) * 100
    norms = sum(filters for _, filters, _ in convs)
    learned = sum(size * filters for size, filters, _ in convs) + 2 * norms + dense + 100
    return {
        "input": [32, 32, 3],
        "classes": 100,
        "params": {"trainable": learned, "total": learned + 2 * norms},
        "macs": sum(size * filters * side**2 for size, filters, side in convs) + dense,
    }


def _efficientnet_counts(width, depth, side):
    """Count an EfficientNet of the paper's rule for 1000 classes."""

    def scaled(maps):  # to a multiple of 8 that is not more than a tenth below
        near = max(8, int(maps * width + 4) // 8 * 8)
        return near if near >= 0.9 * maps * width else near + 8

    shape = [side, side, 3]
    maps, head, side = scaled(32), scaled(1280), math.ceil(side / 2)
    convs, squeezes = [(3 * 9, maps, side)], []  # weights of a filter, filters, side of the maps
    for kernel, expansion, wider, stride, blocks in TABLE_1:
        for i in range(math.ceil(blocks * depth)):
            inner = expansion * maps
            convs += [(maps, inner, side)] if expansion > 1 else []
            side = math.ceil(side / stride) if i == 0 else side
            convs += [(kernel**2, inner, side), (inner, scaled(wider), side)]
            squeezes.append((inner, maps // 4))
            maps = scaled(wider)
    convs.append((maps, head, side))
    norms = sum(filters for _, filters, _ in convs)
    learned = sum(size * filters for size, filters, _ in convs) + 2 * norms + 1000 * (head + 1)
    learned += sum(2 * inner * squeezed + inner + squeezed for inner, squeezed in squeezes)
    macs = sum(size * filters * side**2 for size, filters, side in convs) + 1000 * head
    return {
        "input": shape,
        "classes": 1000,
        "params": {"trainable": learned, "total": learned + 2 * norms},
        "macs": macs + sum(2 * inner * squeezed for inner, squeezed in squeezes),
    }


@pytest.fixture
def undrawn(monkeypatch):
    """Initial weights of zero: to count needs no draws, which take longer than all else."""
    import keras

    draws = zoo._blocks.host_objects()["VarianceScaling"]
    zeros = keras.ops.zeros
    monkeypatch.setattr(draws, "__call__", lambda self, shape, dtype=None: zeros(shape, dtype))


def _tiny(family):
    """Arguments of `build` for the cheap form of an architecture."""
    return dict(importlib.import_module(f"zoo.{family}").TINY)


@functools.cache
def _small(family):
    """Cheap form of an architecture for ten classes of 32x32 images, untrained, dropout off."""
    import keras

    keras.utils.set_random_seed(7)
    options = {"dropout": 0.0, "classes": 10, "input_shape": (32, 32, 3)}
    return zoo.build(**_tiny(family), **options)


def _images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def _classifier_of(model):
    return model.get_layer(zoo._blocks.classifier([layer.name for layer in model.layers]))


def _state_of(model, head):
    """Read the tensors of a model under its reference's names, in PyTorch's layouts."""
    import keras

    state = {}
    for name, slot in _weights._slots(model, head).items():
        value = keras.ops.convert_to_numpy(slot.variable.value)
        state[name] = value.transpose(np.argsort(slot.axes)) if slot.axes else value
    return state


def _rule(name, shape):
    """Fill a tensor by the rule of the golden files."""
    draw = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        draw = 1 + 0.1 * abs(draw)
    elif name.endswith((".bias", "running_mean")):
        draw = 0.1 * draw
    elif len(shape) == 1:
        draw = 1 + 0.1 * draw
    else:
        draw = draw / np.sqrt(np.prod(shape[1:]))
    return draw.astype("float32")


def _write(model, path):
    if path.suffix == ".safetensors":
        save_file = pytest.importorskip("safetensors.numpy").save_file
        state = _state_of(model, _families.find(model.name)[1].head)
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, path)
    elif path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


@pytest.fixture(scope="module")
def resnet18():
    return functools.partial(zoo.build, "resnet18", input_shape=(32, 32, 3))


def _same_weights(ours, theirs, but=()):
    for layer in ours.layers:
        if layer.weights and layer.name not in but:
            other = theirs.get_layer(layer.name).get_weights()
            for a, b in zip(layer.get_weights(), other, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=layer.name)


@pytest.fixture(scope="session")
def narrow_counts():
    return _narrow_counts


@pytest.fixture(scope="session")
def scaled_parameters():
    return {name: row[3] for name, row in SCALED.items()}


@pytest.fixture(scope="session")
def tiny():
    return _tiny


@pytest.fixture(scope="session")
def small():
    return _small


@pytest.fixture(scope="session")
def images():
    return _images


@pytest.fixture(scope="session")
def classifier_of():
    return _classifier_of


@pytest.fixture(scope="session")
def state_of():
    return _state_of


@pytest.fixture(scope="session")
def rule():
    return _rule


@pytest.fixture(scope="session")
def write():
    return _write


@pytest.fixture(scope="session")
def same_weights():
    return _same_weights
