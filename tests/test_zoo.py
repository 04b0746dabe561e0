"""The zoo: counts, numbers of the references, and contracts that hold for every network."""

import functools
import itertools
import json
import pathlib
import subprocess
import sys
import types
import zlib

import numpy as np
import pytest

import zoo
from zoo import _families, _weights

NAMES = zoo.list_models()


def smallest(names):
    """Map architecture -> the one of its networks with the fewest parameters."""
    by_size = sorted(names, key=lambda name: zoo.info(name).parameters)
    return {zoo.info(name).family: name for name in reversed(by_size)}


SMALLEST = smallest(NAMES)
SMALLEST["applications"] = "vgg16_bn"  # NASNet-Mobile is smaller, of 770 layers, and not on torch
STEMMED = smallest(name for name in NAMES if _families.find(name)[1].stem is not None)
# What makes the smallest networks smaller still.
SMALLER = {
    "alphanet": {"filters": (8, 16, 16, 32, 32), "dense": 64, "dense_dropout": 0.0},
    "applications": {"hidden": ()},
    "densenet": {"blocks": (2, 2, 2, 2)},
    "dpn": {"blocks": (1, 2, 1, 1)},
    "efficientnet": {"blocks": (1,) * 7},
    "ghost_resnet": {"blocks": (2, 1, 1, 1)},
    "hardnet": {"stages": (((4, 8, 32),), ((1, 8, 32),), ((1, 8, 32),), ((1, 8, 32),))},
    "ghostnetv2": {
        "stages": tuple(
            (row,)
            for row in (
                (3, 16, 16, False, 1),
                (3, 48, 24, False, 2),
                (5, 72, 40, True, 2),
                (3, 240, 80, False, 2),
                (5, 672, 160, True, 2),
            )
        )
    },
    "mobilenetv2": {"blocks": (1,) * 7},
    "res2net": {"blocks": (2, 1, 1, 1), "part_width": 8, "parts": 3, "groups": 1},
    "resnext": {"blocks": (1, 1, 1, 1), "groups": 4},
    "resnext_narrow": {"blocks": 1},
    "shufflenet_v1": {"groups": 3, "width": 48, "units": (2, 1, 1)},
    "shufflenet_v2": {"units": (2, 1, 1)},
    "squeezenext": {"blocks": (2, 1, 1, 1)},
}
# Heights of the last map of 64 pixels by stem, where it is not 2, 4 and 8.
LAST_MAPS = {"squeezenet": (3, 7, 15)}  # four downsamplings, from a stem without padding
# Rows of the papers' tables that share a network of the reference.
ALIASES = {
    "alphanet_v4b": "alphanet_v4",
    "alphanet_v4c": "alphanet_v4",
    "bravonet_v2": "bravonet",
    "bravonet_v3": "bravonet",
}
# Rows of a SqueezeNext whose stem is not padded and ends in a 2x2 pool.
OTHER_NETWORKS = {"cars/sqnxt_1@227/196", "cars/sqnxt_1@64/200"}
# Networks of no reference: "init 32: 32,16: 16,8" and so on, as their paper writes them.
NARROW = {
    "resnext_narrow1": (32, 16, 8),
    "resnext_narrow2": (64, 32, 16, 8),
    "resnext_narrow3": (16, 8, 4, 4),
}
GOLDEN = pathlib.Path(__file__).parents[2] / "shared" / "reference" / "golden"


@pytest.fixture(scope="module")
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
    narrow = {name: narrow_counts(widths) for name, widths in NARROW.items()}
    table |= {**narrow, "bravonet_v1": {**table["bravonet"], **bravonet}}
    return {**table, **keras_counts(reference)}


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


def narrow_counts(
    widths, blocks=3, groups=2, bottleneck=2, transition_kernel=3, transition_stride=2, flatten=True
):
    """Count a narrow ResNeXt of the docstring's definition at 32 pixels and 100 classes."""
    side, convs = 32, [(3 * 9, widths[0], 32)]  # weights of a filter, filters, side of the maps
    for width, narrower in itertools.pairwise(widths):
        inner = width // bottleneck
        block = [(width, inner, side), (9 * inner // groups, inner, side), (inner, width, side)]
        side //= transition_stride
        convs += [*blocks * block, (transition_kernel**2 * width, narrower, side)]
    dense = widths[-1] * (side**2 if flatten else 1) * 100
    norms = sum(filters for _, filters, _ in convs)
    learned = sum(size * filters for size, filters, _ in convs) + 2 * norms + dense + 100
    return {
        "input": [32, 32, 3],
        "classes": 100,
        "params": {"trainable": learned, "total": learned + 2 * norms},
        "macs": sum(size * filters * side**2 for size, filters, side in convs) + dense,
    }


@pytest.fixture
def undrawn(monkeypatch):
    """Initial weights of zero: to count needs no draws, which take longer than all else."""
    import keras

    draws = zoo._blocks.host_objects()["VarianceScaling"]
    zeros = keras.ops.zeros
    monkeypatch.setattr(draws, "__call__", lambda self, shape, dtype=None: zeros(shape, dtype))


@functools.cache
def small(family):
    """Smallest network of a family for ten classes of 32x32 images, untrained, dropout off."""
    import keras

    keras.utils.set_random_seed(7)
    options = {"dropout": 0.0, "classes": 10, "input_shape": (32, 32, 3)}
    return zoo.build(SMALLEST[family], **options, **SMALLER.get(family, {}))


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def classifier_of(model):
    return model.get_layer(zoo._blocks.classifier([layer.name for layer in model.layers]))


def state_of(model, head):
    """Read the tensors of a model under its reference's names, in PyTorch's layouts."""
    import keras

    state = {}
    for name, slot in _weights._slots(model, head).items():
        value = keras.ops.convert_to_numpy(slot.variable.value)
        state[name] = value.transpose(np.argsort(slot.axes)) if slot.axes else value
    return state


def rule(name, shape):
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


# The catalog


def test_catalog_needs_no_keras():
    code = (
        "import sys, zoo; zoo.info(zoo.list_models()[0]); "
        "assert not {'keras', 'tensorflow', 'jax', 'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_architecture_file_has_its_line():
    files = {p.stem for p in pathlib.Path(zoo.__file__).parent.glob("[!_]*.py")}
    assert files == set(_families.FAMILIES)


def test_list_models_takes_patterns():
    assert zoo.list_models("ghostnet_1*") == ["ghostnet_100", "ghostnet_130"]
    assert zoo.list_models("*") == sorted(NAMES)
    assert zoo.list_models("nothing") == []


@pytest.mark.parametrize("name", NAMES)
def test_info_equals_the_reference(name, facts):
    info = zoo.info(name)
    assert info.name == name and info.paper and info.source
    assert info.parameters == facts[name]["params"]["trainable"]
    assert info.macs == facts[name]["macs"]
    assert info.input_shape == tuple(facts[name]["input"])
    assert info.classes == facts[name]["classes"]


def test_rows_that_differ_by_seed_say_so():
    assert "seed" in zoo.info("alphanet_v4b").notes
    assert "seed" in zoo.info("alphanet_v4c").notes


# Counts


@pytest.mark.parametrize("name", NAMES)
def test_reference_network(name, facts, undrawn):
    """Counts at the reference shape, and the taps."""
    model, info = zoo.build(name), zoo.info(name)
    assert zoo.profile(model) == (info.parameters, info.macs)
    assert model.count_params() == facts[name]["params"]["total"]
    assert model.name == name
    assert model.input_shape == (None, *info.input_shape)
    assert model.output_shape == (None, info.classes)
    assert model.output is model.get_layer("probs").output
    assert len(model.get_layer("pooled").output.shape) == 2
    assert model.get_layer("logits").output.shape == model.output_shape


@pytest.mark.parametrize("name", NAMES)
def test_counts_at_other_shapes(name, facts, undrawn):
    """The reference's counts for other sizes and classes, under the paper's stem."""
    options = {} if _families.find(name)[1].stem is None else {"stem": "imagenet"}
    models = {}  # one for each shape: rows for other classes differ by the classifier alone
    for row in facts[name].get("at", []):
        if row["source"] in OTHER_NETWORKS:
            continue
        key = tuple(row["input"]), row.get("out_channels")
        if key not in models:
            width = {"head_width": key[1]} if key[1] else {}
            models[key] = zoo.build(
                name, input_shape=key[0], classes=row["classes"], **options, **width
            )
        model = models[key]
        features, classes = classifier_of(model).kernel.shape
        parameters, macs = zoo.profile(model)
        more = row["classes"] - classes
        counts = (parameters + more * (features + 1), macs + more * features)
        assert counts == (row["trainable"], row["macs"]), row["source"]
        assert model.count_params() + more * (features + 1) == row["total"], row["source"]


# Overrides that yield the other readings of a definition, by their names in the reference.
READINGS = {
    "ghost_1_resnet50": {
        "9 modules, plain projection": {"shortcuts": False},
        "10 modules, s = 4": {"ratio": 4},
    },
    "ghost_all_resnet50": {
        "48 modules, plain projections": {"shortcuts": False},
        "52 modules, s = 4": {"ratio": 4},
    },
    "ghost_1_dpn68": {
        "same 4, no BN inside": {"ghost_norm": False},
        "conv2_1 w, a, b (grouped), c: the 4 convolutions of that block, all stride 1": {
            "rule": "stride 1"
        },
        "conv2_1 w, a, c (3)": {"rule": "stride 1, ungrouped"},
        "stage 2, ungrouped (7)": {"ghosted": ("conv2",)},
        "stage 2, all (10)": {"ghosted": ("conv2",), "rule": "any"},
    },
    "ghost_all_dpn68": {
        "same 49, no BN inside": {"ghost_norm": False},
        "stride 1 and ungrouped (45)": {"rule": "stride 1, ungrouped"},
        "stride 1, grouped included (64)": {"rule": "stride 1"},
        "all 1x1 (48; 49 with the classifier)": {"rule": "1x1"},
        "everything but stem and classifier (70)": {
            "ghosted": ("conv2", "conv3", "conv4", "conv5"),
            "rule": "any",
        },
    },
}


@pytest.mark.parametrize(
    ("name", "reading", "overrides"),
    [(name, *row) for name, rows in READINGS.items() for row in rows.items()],
)
def test_other_readings_of_ghost_definitions(name, reading, overrides, reference, undrawn):
    rows = {row["name"]: row for row in reference[name]["alternatives"]}
    model = zoo.build(name, **overrides)
    assert zoo.profile(model) == (rows[reading]["trainable"], rows[reading]["macs"])
    assert model.count_params() == rows[reading]["total"]


# A count is a quadratic polynomial of the width: three widths for each depth stand for all.
@pytest.mark.parametrize("width", [2, 5, 16])
@pytest.mark.parametrize("blocks", [2, 4])
def test_wide_resnets_of_the_table(blocks, width, reference, undrawn):
    rows = {(row["N"], row["k"]): row for row in reference["wrn_table"]["variants"]}
    row = rows[blocks, width]
    model = zoo.build("wrn_16_8", classes=100, blocks=blocks, widen=width)
    assert zoo.profile(model) == (row["trainable_100"], row["macs_32_100"])
    assert model.count_params() == row["trainable_100"] + row["non_trainable"]


@pytest.mark.parametrize(
    "choice",
    [
        {"blocks": 1, "groups": 4, "bottleneck": 1},
        {"transition_kernel": 1, "transition_stride": 1},
        {"flatten": False},
    ],
    ids=str,
)
def test_open_choices_of_the_narrow_resnext(choice, undrawn):
    counts = narrow_counts(NARROW["resnext_narrow3"], **choice)
    model = zoo.build("resnext_narrow3", **choice)
    assert zoo.profile(model) == (counts["params"]["trainable"], counts["macs"])


@pytest.mark.parametrize("name", NAMES)
def test_smallest_and_largest_images(name, undrawn):
    """Those that `test_reference_network` has not built already."""
    smaller = SMALLER.get(zoo.info(name).family, {})  # AlphaNet flattens: 0.8 GB at 224 pixels
    shapes = [(28, 28, 1), (224, 224, 3)][: 1 if zoo.info(name).input_shape[0] >= 224 else 2]
    for shape in shapes:
        model = zoo.build(name, input_shape=shape, classes=7, **smaller)
        assert model.output_shape == (None, 7)
        assert 0 not in model.get_layer("pooled").input.shape


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_at_64_pixels(name, undrawn):
    model = zoo.build(name, input_shape=(64, 64, 3))
    assert zoo.profile(model)[1] == zoo.info(name).macs_64


def test_profile_counts_members_of_a_stack(reference):
    import keras

    image = keras.Input((64, 64, 3))
    members = [zoo.build("alphanet_v4", model_name=f"m{i}") for i in range(3)]
    x = keras.layers.Concatenate()([member(image) for member in members])
    for _ in range(3):
        x = keras.layers.LeakyReLU(0.1)(keras.layers.Dense(512)(x))
    stack = keras.Model(image, keras.layers.Dense(200, "softmax")(x))
    facts = reference["alphastack"]
    learned = 3 * zoo.info("alphanet_v4").parameters + facts["params"]["trainable"]
    assert zoo.profile(stack) == (learned, facts["macs"])


def test_profile_needs_fixed_sizes():
    import keras

    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    with pytest.raises(ValueError, match="input_shape"):
        zoo.profile(model)


def test_vgg_that_averages_its_last_map(reference, undrawn):
    rows = {row["source"]: row for row in reference["vgg16"]["keras_reference"]}
    row = rows["keras/VGG16-notop-gap@64/200"]
    model = zoo.build("vgg16", input_shape=(64, 64, 3), classes=200, hidden=())
    assert zoo.profile(model) == (row["trainable"], row["macs"])


# Numbers of the references


# JAX and torch see the smaller networks, which XLA compiles in 2 to 10 s on two cores; the others,
# of 17 to 89 million weights, take longer and have no other layers but DenseNet's average pooling.
GOLDEN_ON_BACKENDS = {
    "dpn68",
    "efficientnet_b0",
    "ghostnet_100",
    "mobilenetv2_100",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v1_g3",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "squeezenext_1_0_23",
    "wrn_16_10",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.backend] * (name in GOLDEN_ON_BACKENDS))
        for name in sorted({p.stem for p in GOLDEN.glob("*.json")} & set(NAMES))
    ],
)
def test_golden_logits(name, shared):
    golden = json.loads((shared / "reference" / "golden" / f"{name}.json").read_text())
    options = {} if _families.find(name)[1].stem is None else {"stem": "imagenet"}
    model = zoo.build(
        name,
        input_shape=(*golden["image"], 3),
        classes=golden["classes"],
        classifier_activation=None,
        mean=golden["mean"],
        std=golden["std"],
        **options,
    )
    zoo.load_state_dict(model, {tensor: rule(tensor, shape) for tensor, shape in golden["tensors"]})
    image = np.random.RandomState(182).randint(0, 256, (1, *golden["image"], 3)).astype("uint8")
    ours, theirs = model.predict(image, verbose=0)[0], np.ravel(golden["logits"])
    # The bound that the golden files set; float32 itself gives 1e-6.
    assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["ghostnet_050", "ghostnet_130", "ghostnetv2_100", "resnet34"])
def test_equals_timm(name):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm", exc_type=ImportError)
    theirs = timm.create_model(name).eval()
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items() if v.ndim}
    state = {k: rule(k, shape) for k, shape in shapes.items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    model = zoo.build(name, input_shape=(96, 64, 3), stem="imagenet", classifier_activation=None)
    zoo.load_state_dict(model, state)
    image = images(1, 96, 64, 3)
    spec = _families.find(name)[1]
    pixels = ((image / 255 - spec.mean) / spec.std).astype("float32").transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = theirs(torch.tensor(pixels)).numpy()
    ours = model.predict(image, verbose=0)
    assert np.linalg.norm(ours - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("name", "tensors"),
    {
        "ghostnet_cars": {
            "features.0.0.weight": (16, 3, 3, 3),
            "features.4.conv.1.0.weight": (72, 1, 5, 5),
            "features.4.conv.2.fc.0.weight": (18, 72, 1, 1),
            "features.16.conv.3.cheap_operation.0.weight": (80, 1, 3, 3),
            "features.2.shortcut.1.weight": (24, 16, 1, 1),
            "squeeze.0.weight": (960, 160, 1, 1),
            "classifier.0.weight": (320, 960),
            "classifier.1.running_mean": (320,),
            "classifier.4.bias": (10,),
        },
        "ghostnetv2_160": {
            "blocks.2.0.ghost1.short_conv.0.weight": (116, 40, 1, 1),
            "blocks.2.0.ghost1.short_conv.2.weight": (116, 1, 1, 5),
            "blocks.2.0.ghost1.short_conv.4.weight": (116, 1, 5, 1),
            "blocks.2.0.ghost1.short_conv.5.running_var": (116,),
            "blocks.3.0.se.conv_reduce.bias": (28,),
            "blocks.9.0.conv.weight": (1536, 256, 1, 1),
            "conv_head.weight": (1280, 1536),
            "classifier.weight": (10, 1280),
        },
        "hardnet39ds": {
            "features.init_block.conv2.conv.weight": (48, 24, 1, 1),
            "features.init_block.downsample.conv.weight": (48, 1, 3, 3),
            "features.stage1.unit1.blocks.block2.pw_conv.conv.weight": (26, 64, 1, 1),
            "features.stage1.unit1.blocks.block2.dw_conv.bn.weight": (26,),
            "features.stage3.unit1.downsample.bn.running_mean": (640,),
            "features.stage4.unit1.conv.conv.weight": (1024, 730, 1, 1),
            "output.fc.weight": (10, 1024),
        },
        "simplenet_cifar_310k": {
            "features.0.weight": (64, 3, 3, 3),
            "features.12.weight": (32, 32, 3, 3),
            "features.17.weight": (32, 32, 3, 3),
            "features.52.weight": (64, 64, 3, 3),
            "features.53.running_var": (64,),
            "classifier.weight": (10, 64),
        },
        "simplenetv1_small_m1_05": {
            "features.4.weight": (64, 32, 3, 3),
            "features.26.weight": (128, 64, 3, 3),
            "features.52.weight": (128, 128, 3, 3),
            "classifier.bias": (10,),
        },
    }.items(),
)
def test_names_of_the_reference(name, tensors):
    """Names and shapes as the reference's files have them, at ten classes."""
    model = zoo.build(name, input_shape=(32, 32, 3), classes=10)
    state = state_of(model, _families.find(name)[1].head)
    assert {key: state[key].shape for key in tensors} == tensors


# Weights


def test_load_state_dict_lists_every_problem():
    model = zoo.build("simplenet_cifar_310k")
    state = {k: rule(k, v.shape) for k, v in state_of(model, "classifier").items()}
    before = model.get_weights()
    del state["features.0.weight"], state["classifier.bias"]
    state |= {"extra.weight": np.zeros(3), "features.4.weight": np.zeros((32, 64, 5, 5))}
    with pytest.raises(ValueError) as error:
        zoo.load_state_dict(model, state)
    for part in (
        "missing: classifier.bias, features.0.weight",
        "surplus: extra.weight",
        "misshapen: features.4.weight (32, 64, 5, 5) instead of (32, 64, 3, 3)",
    ):
        assert part in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_load_state_dict_ignores_counts_and_takes_1x1_for_dense():
    model = zoo.build("simplenet_cifar_310k", model_name="renamed")
    state = {k: rule(k, v.shape) for k, v in state_of(model, "classifier").items()}
    state["features.1.num_batches_tracked"] = np.array(5)
    expected = state["classifier.weight"]
    state["classifier.weight"] = expected[:, :, None, None]
    assert zoo.load_state_dict(model, state) is model
    np.testing.assert_array_equal(model.get_layer("logits").get_weights()[0], expected.T)


def test_depthwise_filters_of_one_channel_are_in_a_row():
    options = {"input_shape": (32, 32, 3), "blocks": (1, 1, 1, 1), "ratio": 4}
    model = zoo.build("ghost_1_resnet50", **options)
    state = {name: rule(name, slot.shape) for name, slot in _weights._slots(model, "fc").items()}
    name = "layer1.0.conv1.cheap_operation.0"
    filters = state[f"{name}.weight"]
    assert filters.shape == (48, 1, 3, 3)  # three for each of 16 channels
    zoo.load_state_dict(model, state)
    kernel = model.get_layer(name.replace(".", "-")).get_weights()[0]
    np.testing.assert_array_equal(kernel[:, :, 5, 1], filters[5 * 3 + 1, 0])


def test_one_channel_sums_the_first_kernel():
    rgb = zoo.build("simplenet_cifar_310k", input_shape=(28, 28, 3))
    gray = zoo.build("simplenet_cifar_310k", input_shape=(28, 28, 1))
    zoo.load_state_dict(gray, state_of(rgb, "classifier"))
    kernel = rgb.get_layer("features-0").get_weights()[0]
    ours = gray.get_layer("features-0").get_weights()[0]
    np.testing.assert_array_equal(ours, kernel.sum(axis=2, keepdims=True))


def write(model, path):
    if path.suffix == ".safetensors":
        save_file = pytest.importorskip("safetensors.numpy").save_file
        state = state_of(model, _families.find(model.name)[1].head)
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, path)
    elif path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


@pytest.fixture(scope="module", params=["w.keras", "w.weights.h5", "w.safetensors"])
def resnet18_file(request, tmp_path_factory):
    """Weights of `small("resnet")` in each kind of file."""
    return write(small("resnet"), tmp_path_factory.mktemp("weights") / request.param)


@pytest.fixture(scope="module")
def resnet18():
    return functools.partial(zoo.build, "resnet18", input_shape=(32, 32, 3))


def same_weights(ours, theirs, but=()):
    for layer in ours.layers:
        if layer.weights and layer.name not in but:
            other = theirs.get_layer(layer.name).get_weights()
            for a, b in zip(layer.get_weights(), other, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=layer.name)


def test_weights_from_files(resnet18, resnet18_file):
    # Neither dropout nor another stem changes what a file has to hold.
    model = resnet18(classes=10, weights=resnet18_file, dropout=0.5, stem="tiny")
    same_weights(model, small("resnet"))
    features = resnet18(weights=resnet18_file, include_top=False)
    assert features.output_shape == (None, 512)
    same_weights(features, small("resnet"))


def test_weights_for_other_classes_leave_the_head_fresh(resnet18, resnet18_file):
    with pytest.warns(UserWarning, match="10 classes.*left fresh"):
        model = resnet18(classes=5, weights=resnet18_file)
    assert model.output_shape == (None, 5)
    assert model.get_layer("logits").get_weights()[0].any()
    same_weights(model, small("resnet"), but=["logits"])


@pytest.mark.parametrize("file", ["w.weights.h5", "w.safetensors"])
def test_weights_around_a_classifier_of_maps(file, tmp_path):
    """The layer `logits_map`, in front of the pooling, is left out or fresh as `logits` is."""
    model = small("squeezenet")
    build = functools.partial(zoo.build, model.name, input_shape=(32, 32, 3))
    path = write(model, tmp_path / file)
    features = build(weights=path, include_top=False)
    assert features.output_shape == (None, 512)
    same_weights(features, model)
    bare = write(features, tmp_path / f"bare_{file}")
    for source, classes, said in ((path, 5, "for 10 classes"), (bare, 10, "for no classes")):
        with pytest.warns(UserWarning, match=f"{said}.*left fresh"):
            other = build(classes=classes, weights=source)
        same_weights(other, model, but=["logits_map"])


def test_weights_of_another_architecture(resnet18_file):
    with pytest.raises(ValueError, match="missing: .*surplus: .*bn1"):
        zoo.build("simplenet_cifar_310k", weights=resnet18_file)


def test_broken_files(tmp_path):
    for name in ("w.keras", "w.weights.h5", "w.safetensors"):
        (tmp_path / name).write_bytes(b"not what it says")
        with pytest.raises(ValueError, match=name):
            zoo.build("resnet18", weights=tmp_path / name)
    with pytest.raises(ValueError, match=r"w\.keras"):
        zoo.load(tmp_path / "w.keras")


def test_timm_weights(resnet18, tmp_path, monkeypatch):
    path = write(small("resnet"), tmp_path / "model.safetensors")
    asked = []

    def hf_hub_download(*args):
        asked.append(args)
        return str(path)

    hub = types.SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    same_weights(resnet18(classes=10, weights="timm"), small("resnet"))
    resnet18(classes=10, weights="timm:resnet18.other")
    default = zoo.info("resnet18").weights[0].removeprefix("timm:")
    files = [(f"timm/{name}", "model.safetensors") for name in (default, "resnet18.other")]
    assert asked == files
    for name in ("ghostnet_050", "xception"):
        with pytest.raises(ValueError, match=f"timm has none for {name}"):
            zoo.build(name, weights="timm")


# One of each normalization and numbering; the others, of 770 layers and more, take a minute each.
@pytest.mark.parametrize("name", ["vgg16", "inception_v3", "xception"])
def test_imagenet_weights_give_what_keras_gives(name, tmp_path, monkeypatch):
    import keras

    draw = np.random.default_rng(0)
    application = getattr(keras.applications, _families.find(name)[1].network)
    theirs = application(weights=None, classifier_activation=None)
    for weight in theirs.weights:  # else every normalization would be the same
        if len(weight.shape) == 1:
            weight.assign(weight.value + abs(draw.normal(0, 0.1, weight.shape)))
    path = tmp_path / "theirs.weights.h5"
    theirs.save_weights(path)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **options: str(path))
    ours = zoo.build(name, weights="imagenet", classifier_activation=None)
    image = images(1, *zoo.info(name).input_shape)
    prepare = sys.modules[application.__module__].preprocess_input
    expected = keras.ops.convert_to_numpy(theirs(prepare(image.astype("float32"))))
    # float32, which normalizes in another order.
    assert np.linalg.norm(ours(image) - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.fixture
def vgg_download(monkeypatch):
    """A small VGG-16 for ten classes of 32x32 images, whose weights are what Keras downloads."""
    model = zoo.build("vgg16", input_shape=(32, 32, 3), classes=10, hidden=(16, 8))
    tensors = {name: slot.variable.numpy() for name, slot in _weights._saved_slots(model).items()}
    monkeypatch.setattr("zoo.applications.pretrained", lambda spec: tensors)
    return model


def test_imagenet_weights_for_other_images_and_classes(vgg_download):
    build = functools.partial(zoo.build, "vgg16", weights="imagenet", hidden=(16, 8))
    with pytest.warns(UserWarning, match="10 classes and vgg16 for 5: .* left fresh are logits;"):
        gray = build(input_shape=(28, 28, 1), classes=5)  # enlarged to 32x32
    same_weights(gray, vgg_download, but=["block1_conv1", "logits"])
    kernels = [m.get_layer("block1_conv1").get_weights()[0] for m in (gray, vgg_download)]
    np.testing.assert_array_equal(kernels[0], kernels[1].sum(axis=2, keepdims=True))
    with pytest.warns(UserWarning, match="does not fit vgg16 .* left fresh are fc1;"):
        larger = build(input_shape=(64, 64, 3), classes=10)
    same_weights(larger, vgg_download, but=["fc1"])
    same_weights(build(input_shape=(32, 32, 3), include_top=False), vgg_download)
    same_weights(build(input_shape=(64, 64, 3), include_top=False, hidden=()), vgg_download)


def test_weights_by_name_do_not_depend_on_networks_built_before(tmp_path):
    """Keras numbers the layers that have no name of their own through all networks."""
    options = {"input_shape": (71, 71, 3), "classes": 10}
    first = zoo.build("xception", **options)
    path = write(first, tmp_path / "w.weights.h5")
    second = zoo.build("xception", weights=path, **options)
    assert {"conv2d", "conv2d_3", "batch_normalization_3"} < {x.name for x in second.layers}
    same_weights(second, first)


def test_a_download_that_fails_is_told_with_what_to_do(monkeypatch):
    def hf_hub_download(*args):
        raise FileNotFoundError("no connection")

    hub = types.SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(ValueError, match="timm:resnet18.*no connection.*give the path"):
        zoo.build("resnet18", weights="timm")


@pytest.mark.parametrize("package", ["huggingface_hub", "safetensors"])
def test_missing_packages_are_named(package, tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").touch()
    monkeypatch.setitem(sys.modules, package, None)
    weights = "timm" if package == "huggingface_hub" else tmp_path / "w.safetensors"
    with pytest.raises(ImportError, match=f"pip install {package}"):
        zoo.build("resnet18", weights=weights)


# Options


def last_map(model):
    """Height of the last feature map; those of squeeze-excite are a single pixel."""
    shapes = [layer.output.shape for layer in model.layers]
    return [shape[1] for shape in shapes if len(shape) == 4 and shape[1] > 1][-1]


@pytest.mark.parametrize("family", STEMMED)
def test_stems_change_sizes_and_no_weight(family):
    """Five downsamplings leave 2x2 of 64 pixels; the stems leave out one and two of them."""
    options = {"input_shape": (64, 64, 3), "classes": 10, **SMALLER.get(family, {})}
    build = functools.partial(zoo.build, STEMMED[family], **options)
    models = {stem: build(stem=stem) for stem in ("imagenet", "tiny", "cifar")}
    heights = tuple(last_map(model) for model in models.values())
    assert heights == LAST_MAPS.get(family, (2, 4, 8))
    shapes = [[w.shape for w in model.weights] for model in models.values()]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("stem", zoo._blocks.STEMS)
@pytest.mark.parametrize("family", STEMMED)
def test_every_size_under_every_stem(family, stem, undrawn):
    """Other tests build 32 pixels under the stem that they get there, and 64 under all."""
    for shape in ((28, 28, 1), (96, 96, 3), (224, 224, 3)):
        options = {"input_shape": shape, "classes": 7, **SMALLER.get(family, {})}
        model = zoo.build(STEMMED[family], stem=stem, **options)
        assert 0 not in model.get_layer("pooled").input.shape


@pytest.mark.parametrize(
    ("name", "sizes"),
    {
        "resnet18": {40: 5, 41: 3, 64: 4, 96: 6, 97: 4},
        "bravonet": {64: 2, 97: 4},  # its library's stem at every size
    }.items(),
)
def test_auto_stem_goes_by_the_smaller_side(name, sizes):
    models = {s: zoo.build(name, input_shape=(s, s + 32, 3), classes=10) for s in sizes}
    assert {size: last_map(model) for size, model in models.items()} == sizes


def test_small_images_are_enlarged(undrawn):
    assert zoo.info("xception").enlarges_to == 71
    for shape, enlarged in {(28, 96, 1): (71, 96, 1), (71, 71, 3): None}.items():
        model = zoo.build("xception", input_shape=shape)
        found = [x.output for x in model.layers if x.name == "enlarge"]
        assert [(x.shape[1:], x.dtype) for x in found] == [(enlarged, "float32")] * bool(enlarged)


def test_a_layer_that_only_keras_applications_has_loads():
    import keras

    scaled = sys.modules[keras.applications.InceptionResNetV2.__module__].CustomScaleLayer(0.17)
    saved = keras.saving.serialize_keras_object(scaled)
    assert keras.saving.deserialize_keras_object(saved).get_config() == scaled.get_config()


def test_options_of_build(resnet18):
    features = resnet18(include_top=False)
    assert features.output is features.get_layer("pooled").output
    logits = resnet18(classifier_activation=None, model_name="mine")
    assert logits.name == "mine"
    image = images(2, 32, 32, 3)
    rows = logits.predict(image, verbose=0)
    assert abs(rows.sum(axis=1) - 1).min() > 1e-3  # would be 1 after a softmax
    sigmoid = resnet18(classes=1, classifier_activation="sigmoid")
    assert sigmoid.output_shape == (None, 1)


@pytest.mark.parametrize("family", SMALLEST)
def test_dropout_is_that_of_the_head(family):
    options = {"input_shape": (32, 32, 3), "classes": 10, **SMALLER.get(family, {})}
    for rate in (0.0, 0.35):
        model = zoo.build(SMALLEST[family], dropout=rate, **options)
        before = model.layers[model.layers.index(classifier_of(model)) - 1]
        assert getattr(before, "rate", 0.0) == rate


def test_overrides_are_fields_of_the_spec():
    model = zoo.build(
        "alphanet_v4", input_shape=[32, 32, 3], classes=10, filters=[16, 32, 64, 64, 128], dense=128
    )
    assert [model.get_layer(f"conv{i}").filters for i in range(1, 6)] == [16, 32, 64, 64, 128]
    assert model.get_layer("pooled").output.shape == (None, 128)
    # The network that is usual on CIFAR: 11,173,962 parameters with its 3x3 stem.
    cifar = zoo.build("resnet18", input_shape=(32, 32, 3), classes=10, stem_kernel=3)
    assert zoo.profile(cifar)[0] == 11_173_962


ERRORS = {
    "close names": ("resnet19", {}, "resnet18"),
    "no close name": ("?", {}, "list_models"),
    "override": ("resnet18", {"depth": 3}, "no field depth.*stem_kernel"),
    "fact": ("resnet18", {"parameters": 3}, "no field parameters"),
    "shape": ("resnet18", {"input_shape": (32, 32)}, "height, width, channels"),
    "open shape": ("resnet18", {"input_shape": (None, None, 3)}, "height, width, channels"),
    "channels": ("resnet18", {"input_shape": (32, 32, 4)}, "1 .gray. or 3"),
    "size": ("alphanet_v4", {"input_shape": (27, 32, 3)}, "28x28"),
    "classes": ("resnet18", {"classes": 0}, "classes=0"),
    "share of classes": ("resnet18", {"classes": 2.5}, "classes=2.5"),
    "stem": ("resnet18", {"stem": "small"}, "auto, imagenet, tiny, cifar"),
    "no stem": ("alphanet_v4", {"stem": "imagenet"}, "no choice of stem"),
    "no stem either": ("simplenet_cifar_5m", {"stem": "cifar"}, "no choice of stem"),
    "lengths": ("alphanet_v4", {"filters": (16, 32)}, "kernels"),
    "lengths too": ("simplenet_cifar_5m", {"filters": (16, 32)}, "kernels"),
    "rule": ("ghost_1_dpn68", {"rule": "strided"}, "'strided'.*'ungrouped', 'stride 1'"),
    "ghosted": ("dpn68", {"ghosted": "conv2"}, r"\['conv2'\]"),
    "pools": ("squeezenet1_1", {"pools": (1, 5)}, "pools=.1, 5. must be .* 2 to 9"),
    "stages": ("ghost_1_resnet50", {"stages": (0, 1)}, "1 to 4"),
    "ratio": ("ghost_1_resnet50", {"ratio": 0}, "at least 1"),
    "widths": ("resnext_narrow3", {"groups": 4}, r"width 4 of .*groups = 8"),
    "parts": ("res2net50_26w_4s", {"parts": 1}, "parts=1 must be at least 2"),
    "groups": ("shufflenet_v1_g3", {"groups": 5}, "groups=5 must divide stem_width=24"),
    "halves": ("shufflenet_v2_x0_5", {"width": 25}, "width=25 must be even"),
    "weights": ("resnet18", {"weights": "imagenet"}, "must end in .keras.*give 'timm:resnet18.tv"),
    "no file": ("resnet18", {"weights": "missing.keras"}, "no file missing.keras"),
    "dropout": ("resnet18", {"dropout": 1.5}, "1.5"),
}


@pytest.mark.parametrize(("name", "options", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_value_and_fix(name, options, message):
    with pytest.raises(ValueError, match=message):
        zoo.build(name, **options)


# Contracts of every architecture, on its smallest network


# XLA takes 5 to 25 s to compile a training step, so JAX and torch see two networks, which between
# them have every kind of layer but depthwise convolution.
ON_BACKENDS = {"alphanet", "resnet"}


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=[pytest.mark.backend] * (f in ON_BACKENDS)) for f in SMALLEST]
)
def test_one_step_moves_every_weight(family):
    import keras

    options = {"input_shape": (32, 32, 3), "classes": 10, **SMALLER.get(family, {})}
    model = zoo.build(SMALLEST[family], **options)
    # A large rate: the gradients of biases in front of a normalization are but rounding errors,
    # those of a scale with nothing but filters of its channel in between not much more.
    model.compile(
        keras.optimizers.SGD(1e3),
        "sparse_categorical_crossentropy",
        run_eagerly=keras.config.backend() == "tensorflow",  # one step is not worth a graph
    )
    before = [keras.ops.convert_to_numpy(w.value) for w in model.trainable_weights]
    model.train_on_batch(images(8, 32, 32, 3).astype("float32"), np.arange(8))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        new = keras.ops.convert_to_numpy(weight.value)
        assert np.isfinite(new).all(), weight.path
        assert (new != old).any(), weight.path


@pytest.mark.parametrize("family", SMALLEST)
def test_saved_model_needs_no_custom_objects(family, tmp_path):
    import keras

    model, image = small(family), images(2, 32, 32, 3)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    # Same graph and weights; but Keras' own grouped convolutions add in another order.
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("family", SMALLEST)
def test_loaded_model_predicts_the_same(family, tmp_path):
    model, image = small(family), images(2, 32, 32, 3)
    model.save(tmp_path / "m.keras")
    expected = model.predict(image, verbose=0)
    assert np.allclose(expected.sum(axis=1), 1, atol=1e-5)  # float32
    loaded = zoo.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(image, verbose=0), expected)


@pytest.mark.backend
def test_pixels_may_be_bytes_or_floats():
    model, image = small("resnet"), images(2, 32, 32, 3)
    as_bytes = model.predict(image, verbose=0)
    as_floats = model.predict(image.astype("float32"), verbose=0)
    np.testing.assert_array_equal(as_bytes, as_floats)


@pytest.mark.backend
@pytest.mark.parametrize("channels", [1, 3])
def test_first_layer_normalizes(channels):
    import keras

    mean, std = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)
    model = zoo.build("resnet18", input_shape=(28, 28, channels), mean=mean, std=std)
    first = keras.Model(model.input, model.get_layer("normalize").output)
    image = images(1, 28, 28, channels)
    if channels == 1:
        mean, std = (0.4,), (0.2,)
    # float32, with values up to 8
    np.testing.assert_allclose(first(image), (image / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize("family", SMALLEST)
def test_ends_stay_float32_in_mixed_precision(family):
    import keras

    options = {"input_shape": (32, 32, 3), "classes": 10, **SMALLER.get(family, {})}
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = zoo.build(SMALLEST[family], **options)
    finally:
        keras.config.set_dtype_policy("float32")
    dtypes = {layer.name: layer.output.dtype for layer in model.layers}
    for name in ("normalize", "logits", "probs"):
        assert dtypes[name] == "float32", name
    assert classifier_of(model).input.dtype == "bfloat16"
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert np.isfinite(model(images(2, 32, 32, 3))).all()


@pytest.mark.backend
def test_seed_gives_the_same_weights_on_every_backend():
    import keras

    keras.utils.set_random_seed(3)
    model = zoo.build("alphanet_v4", input_shape=(28, 28, 1), filters=(2,) * 5, dense=2)
    layers = [model.get_layer(name) for name in ("conv1", "dense1", "logits")]
    ours = [layer.get_weights()[0].ravel()[0] for layer in layers]
    np.testing.assert_allclose(ours, [0.051491, 0.31418, -0.011564], atol=1e-6)


# Changing models


@pytest.mark.parametrize("family", ["resnet", "squeezenet"])
def test_reset_classifier_keeps_the_rest(family):
    model = small(family)
    zoo.freeze(model)
    copy = zoo.reset_classifier(model, 3)
    model.trainable = True
    assert copy.output_shape == (None, 3)
    assert copy.trainable_weights == classifier_of(copy).weights
    assert classifier_of(copy).get_weights()[0].any()
    same_weights(copy, model, but=[classifier_of(copy).name])
    with pytest.raises(ValueError, match="classes=0"):
        zoo.reset_classifier(model, 0)
    with pytest.raises(ValueError, match="no layer 'logits'"):
        zoo.reset_classifier(zoo.build("alphanet_v4", include_top=False), 3)


@pytest.mark.backend
def test_frozen_layers_stay_as_they_are():
    import keras

    model = zoo.build("simplenet_cifar_310k")
    assert zoo.freeze(model) is model
    model.compile(keras.optimizers.SGD(), "sparse_categorical_crossentropy")
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.train_on_batch(images(4, 32, 32, 3), np.arange(4))
    for layer in model.layers:
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True):
            assert np.array_equal(old, new) == (layer.name != "logits"), layer.name


def test_freeze_until_a_layer():
    model = zoo.build("resnet18", input_shape=(32, 32, 3))
    zoo.freeze(model, until="layer2.0.bn1")  # as the reference writes it
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    assert frozen[0] == "conv1" and frozen[-1] == "layer2-0-bn1"
    assert model.get_layer("layer3-0-conv1").trainable
    with pytest.raises(ValueError, match="no layer 'layer2-0-bm1'. Closest: layer2-0-bn1"):
        zoo.freeze(model, until="layer2.0.bm1")
