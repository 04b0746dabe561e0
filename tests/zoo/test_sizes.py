"""One network, weight for weight, at every size of image; those that have one size say so."""

import importlib

import pytest

import zoo
from zoo import _families

FAMILIES = list(_families.FAMILIES)


def _weights(name, side, **options):
    """Map path -> shape of weights; unnamed layers, which Keras numbers, have none here."""
    model = zoo.build(name, **options, input_shape=(side, side, 3), classes=3)
    return {
        f"{layer.name}/{weight.name}": tuple(weight.shape)
        for layer in model.layers
        for weight in layer.weights
    }


@pytest.mark.parametrize("family", [x for x in FAMILIES if x != "applications"])
def test_weights_fit_every_size_or_the_network_says_so(family, tiny, undrawn):
    options = {**tiny(family), "input_shape": (64, 64, 3)}
    name = options.pop("name")
    if not importlib.import_module(f"zoo.{family}").VARIANTS[name].any_size:
        with pytest.raises(ValueError, match=f"{name} flattens its last map"):
            zoo.resizable(name, **options)
        del options["input_shape"]
        assert _weights(name, 64, **options) != _weights(name, 32, **options)
        return
    fixed = zoo.resizable(name, **options)
    del fixed["input_shape"]
    at_last = _weights(**fixed, side=64)
    for side in (28, 48):
        assert _weights(**fixed, side=side) == at_last


@pytest.mark.parametrize(
    ("name", "options", "fits"),
    [
        ("vgg16", {}, False),
        ("vgg16", {"hidden": ()}, True),
        ("resnext_narrow1", {}, False),
        ("resnext_narrow1", {"flatten": False}, True),
        ("alphanet_v4", {"dense": 8}, False),
        ("wrn_16_2", {}, True),
    ],
)
def test_what_flattens_is_a_field_where_it_may_be_chosen(name, options, fits):
    if fits:
        assert zoo.resizable(name, **options) == {"name": name, **options}
        return
    with pytest.raises(ValueError, match="choose a network that averages it"):
        zoo.resizable(name, **options)


@pytest.mark.parametrize(
    ("name", "side", "given", "stem"),
    [
        ("resnet18", 32, "auto", "cifar"),
        ("resnet18", 64, "auto", "tiny"),
        ("resnet18", 64, "imagenet", "imagenet"),
        ("bravonet", 64, "auto", "imagenet"),
    ],
)
def test_the_stem_is_that_of_the_shape(name, side, given, stem):
    options = {"stem": given, "input_shape": (side, side, 3)}
    assert zoo.resizable(name, **options) == {"name": name, **options, "stem": stem}


def test_options_are_checked_as_by_build():
    with pytest.raises(ValueError, match="below 28x28 pixels"):
        zoo.resizable("resnet18", input_shape=(20, 20, 3))
    with pytest.raises(ValueError, match="unknown model"):
        zoo.resizable("resnet17")
