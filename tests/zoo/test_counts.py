"""Parameters and multiply-adds of every network, at its reference shape and others."""

import pytest

import zoo
from zoo import _families

NAMES = zoo.list_models()


# Rows of a SqueezeNext whose stem is not padded and ends in a 2x2 pool.
OTHER_NETWORKS = {"cars/sqnxt_1@227/196", "cars/sqnxt_1@64/200"}


@pytest.mark.parametrize("name", NAMES)
def test_reference_network(name, totals, undrawn):
    """Counts at the reference shape, and the taps; `info` alone is enough for the learned ones."""
    model, info = zoo.build(name), zoo.info(name)
    assert zoo.profile(model) == (info.parameters, info.macs)
    assert model.count_params() == totals.get(name, model.count_params())
    assert model.name == name
    assert model.input_shape == (None, *info.input_shape)
    assert model.output_shape == (None, info.classes)
    assert model.output is model.get_layer("probs").output
    assert len(model.get_layer("pooled").output.shape) == 2
    assert model.get_layer("logits").output.shape == model.output_shape


@pytest.mark.parametrize("name", NAMES)
def test_counts_at_other_shapes(name, reference_counts, undrawn, classifier_of):
    """The reference's counts for other sizes and classes, under the paper's stem."""
    options = {} if _families.find(name)[1].stem is None else {"stem": "imagenet"}
    models = {}  # one for each shape: rows for other classes differ by the classifier alone
    for row in reference_counts.get("at", []):
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
        {"padding": "none"},
        {"last_relu": True},
    ],
    ids=str,
)
def test_open_choices_of_the_narrow_resnext(choice, undrawn, narrow_counts):
    counts = narrow_counts((16, 8, 4, 4), **choice)
    model = zoo.build("resnext_narrow3", **choice)
    assert zoo.profile(model) == (counts["params"]["trainable"], counts["macs"])


@pytest.mark.parametrize("name", NAMES)
def test_smallest_and_largest_images(name, undrawn, tiny):
    """Those that `test_reference_network` has not built already."""
    # AlphaNet flattens: 0.8 GB at 224 pixels, were it not for the cheap form's widths.
    smaller = {**tiny(zoo.info(name).family), "name": name}
    shapes = [(28, 28, 1), (224, 224, 3)][: 1 if zoo.info(name).input_shape[0] >= 224 else 2]
    for shape in shapes:
        model = zoo.build(**smaller, input_shape=shape, classes=7)
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
