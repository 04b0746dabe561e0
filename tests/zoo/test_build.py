"""What `build` takes: stems, sizes, options and overrides, and what it refuses."""

import functools
import importlib
import json
import sys

import numpy as np
import pytest

import zoo
from zoo import _families

TINY = {family: importlib.import_module(f"zoo.{family}").TINY for family in _families.FAMILIES}
STEMMED = [k for k, tiny in TINY.items() if _families.find(tiny["name"])[1].stem is not None]
# Heights of the last map of 64 pixels by stem, where it is not 2, 4 and 8.
LAST_MAPS = {
    "squeezenet": (3, 7, 15),  # four downsamplings, from a stem without padding
    "sprint": (2, 4, 7),  # the first kernel, 2x2, is not padded
}


def last_map(model):
    """Height of the last feature map; those of squeeze-excite are a single pixel."""
    shapes = [layer.output.shape for layer in model.layers]
    return [shape[1] for shape in shapes if len(shape) == 4 and shape[1] > 1][-1]


@pytest.mark.parametrize("family", STEMMED)
def test_stems_change_sizes_and_no_weight(family, tiny):
    """Five downsamplings leave 2x2 of 64 pixels; the stems leave out one and two of them."""
    build = functools.partial(zoo.build, **tiny(family), input_shape=(64, 64, 3), classes=10)
    models = {stem: build(stem=stem) for stem in ("imagenet", "tiny", "cifar")}
    heights = tuple(last_map(model) for model in models.values())
    assert heights == LAST_MAPS.get(family, (2, 4, 8))
    shapes = [[w.shape for w in model.weights] for model in models.values()]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("stem", zoo._blocks.STEMS)
@pytest.mark.parametrize("family", STEMMED)
def test_every_size_under_every_stem(family, stem, undrawn, tiny):
    """Other tests build 32 pixels under the stem that they get there, and 64 under all."""
    for shape in ((28, 28, 1), (96, 96, 3), (224, 224, 3)):
        model = zoo.build(**tiny(family), input_shape=shape, classes=7, stem=stem)
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


def test_options_of_build(resnet18, images):
    features = resnet18(include_top=False)
    assert features.output is features.get_layer("pooled").output
    logits = resnet18(classifier_activation=None, model_name="mine")
    assert logits.name == "mine"
    image = images(2, 32, 32, 3)
    rows = logits.predict(image, verbose=0)
    assert abs(rows.sum(axis=1) - 1).min() > 1e-3  # would be 1 after a softmax
    sigmoid = resnet18(classes=1, classifier_activation="sigmoid")
    assert sigmoid.output_shape == (None, 1)


@pytest.mark.parametrize("family", _families.FAMILIES)
def test_dropout_is_that_of_the_head(family, tiny, classifier_of):
    for rate in (0.0, 0.35):
        model = zoo.build(**tiny(family), input_shape=(32, 32, 3), classes=10, dropout=rate)
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
    "stages": ("ghost_1_resnet50", {"stages": (1, 5)}, "1 to 4"),
    "stage": ("ghost_1_resnet50", {"stages": (0, 1)}, "0 must be an integer of at least 1"),
    "ratio": ("ghost_1_resnet50", {"ratio": 0}, "at least 1"),
    "widths": ("resnext_narrow3", {"groups": 4}, r"width 4 of .*groups = 8"),
    "parts": ("res2net50_26w_4s", {"parts": 1}, "parts=1 must be at least 2"),
    "groups": ("shufflenet_v1_g3", {"groups": 5}, "groups=5 must divide stem_width=24"),
    "groups of DPN": ("dpn68", {"groups": 7}, "groups=7 must divide inner=2 times"),
    "halves": ("shufflenet_v2_x0_5", {"width": 25}, "width=25 must be even"),
    "weights": ("resnet18", {"weights": "imagenet"}, "must end in .keras.*give 'timm:resnet18.tv"),
    "no file": ("resnet18", {"weights": "missing.keras"}, "no file missing.keras"),
    "dropout": ("resnet18", {"dropout": 1.5}, "dropout=1.5 must be a rate"),
    "name of another type": (["resnet18"], {}, "unknown model"),
    "channels of another type": ("resnet18", {"input_shape": (32, 32, 3.0)}, "height, width"),
    "include_top": ("resnet18", {"include_top": "no"}, "include_top='no' must be true or false"),
    "model_name": ("resnet18", {"model_name": "a/b"}, "'a/b' must be without slashes"),
    "activation": ("resnet18", {"classifier_activation": 3}, "classifier_activation=3"),
    "negative width": ("efficientnet_b0", {"width": -1}, "width=-1 must be .* above 0"),
    "no width": ("ghostnet_100", {"width": 0.0}, "width=0.0 must be .* above 0"),
    "not a number": ("ghostnet_100", {"width": float("nan")}, "width=nan must be a finite"),
    "huge": ("ghostnet_100", {"width": 10**400}, "must be a finite number"),
    "text": ("alphanet_v4", {"dense": "64"}, "dense='64' must be an integer of at least 1"),
    "truth": ("wrn_16_2", {"widen": True}, "widen=True must be an integer"),
    "share": ("wrn_16_2", {"widen": 2.5}, "widen=2.5 must be an integer"),
    "one of many": ("alphanet_v4", {"filters": [8, -3, 8, 8, 8]}, r"8\]: -3 must be an integer"),
    "row of a table": ("hardnet68", {"stages": [[[4, 8, 0]]]}, "0 must be an integer"),
    "not a list": ("simplenet_cifar_5m", {"filters": 64}, r"filters=64 must be a list.*\[64\]"),
    "length": ("resnet18", {"blocks": [2, 2]}, r"blocks=\[2, 2\] must be 4 values, not 2"),
    "empty": ("resnext29_32x4d", {"blocks": []}, r"blocks=\[\] must not be empty"),
    "yes": ("resnet18", {"bottleneck": "yes"}, "bottleneck='yes' must be true or false"),
    "string": ("ghostnet_100", {"gate": 1}, "gate=1 must be a string"),
    "network": ("vgg16", {"network": "VGG99"}, "'VGG99' must be one of .*'VGG16'"),
    "names": ("resnext29_32x4d", {"names": "timm"}, "names='timm' must be a Names"),
    "rate inside": ("wrn_16_2", {"conv_dropout": -0.1}, "conv_dropout=-0.1 must be a rate"),
    "own dropout": ("alphanet_v4", {"dense_dropout": 1}, "dense_dropout=1 must be a rate"),
    "no deviation": ("resnet18", {"std": (1, 1, 0)}, "0 must be a finite number above 0"),
    "means": ("resnet18", {"mean": (0.5, 0.5)}, "mean=.0.5, 0.5. and std=.* 3 channels"),
    "scale": ("simplenet_cifar_5m", {"scale": 0.001}, "scale=0.001 leaves no maps"),
    "narrow blocks": ("squeezenext_1_0_23", {"scale": 0.1}, "scale=0.1 leaves 3"),
}


@pytest.mark.parametrize(("name", "options", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_value_and_fix(name, options, message):
    with pytest.raises(ValueError, match=message) as built:
        zoo.build(name, **options)
    with pytest.raises(ValueError) as checked:
        zoo.check(name, **options)
    assert str(checked.value) == str(built.value)


def test_a_mistyped_activation_is_named():
    with pytest.raises(ValueError, match="sofmax"):
        zoo.build("resnet18", classifier_activation="sofmax")


def test_numbers_of_numpy_are_saved_as_numbers():
    """Overrides of each kind as NumPy gives them, for a model that tells them in JSON."""
    plain = {
        "input_shape": (32, 32, 3),
        "classes": 10,
        "filters": (8, 8, 8, 8, 8),
        "dense": 16,
        "pools": (True, True, True, False, True),
        "conv_dropout": 0.5,
        "dropout": 0.25,
        "mean": (0.5, 0.25, 0.0),
    }
    numpy = {key: np.array(value) for key, value in plain.items()} | {"classes": np.int64(10)}
    expected, ours = (
        zoo.build("alphanet_v4", **options, model_name="same") for options in (plain, numpy)
    )
    layers = zip(ours.layers, expected.layers, strict=True)
    for our, plainly in ((x.get_config(), y.get_config()) for x, y in layers if x.weights):
        assert json.dumps(our) == json.dumps(plainly)
    assert ours.output_shape == (None, 10)
    assert [type(size) for size in ours.input_shape[1:]] == [int] * 3
    rates = [layer.rate for layer in ours.layers if hasattr(layer, "rate")]
    assert {type(rate) for rate in rates} == {float} and set(rates) == {0.5, 0.25}
    assert json.loads(ours.to_json())["config"]["name"] == "same"
    assert zoo.reset_classifier(ours, np.int64(3)).output_shape == (None, 3)


def test_a_last_relu_stands_between_the_scores_and_the_probabilities(images):
    import keras

    model = zoo.build("resnext_narrow3", blocks=1, last_relu=True)
    layers = [model.get_layer(name).output for name in ("logits_map", "logits")]
    scores, logits = map(np.asarray, keras.Model(model.input, layers)(images(4, 32, 32, 3)))
    assert (scores < 0).any()
    np.testing.assert_array_equal(logits, np.maximum(scores, 0))
    smaller = zoo.freeze(zoo.reset_classifier(model, 5))
    assert smaller.output_shape == (None, 5)
    assert [x.name for x in smaller.layers if x.trainable and x.weights] == ["logits_map"]
