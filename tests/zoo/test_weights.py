"""Weights into models: tensors of a reference, files, downloads."""

import functools
import sys
import types

import numpy as np
import pytest

import zoo
from zoo import _families, _weights


def test_load_state_dict_lists_every_problem(state_of, rule):
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


@pytest.mark.parametrize("tensors", ["w.pth", ["w"], None, {0: np.zeros(3)}], ids=repr)
def test_load_state_dict_says_what_it_takes(tensors):
    with pytest.raises(
        ValueError, match=r"tensors=.* must map names to arrays.*\.pth.*safetensors"
    ):
        zoo.load_state_dict(zoo.build("simplenet_cifar_310k"), tensors)


def test_load_state_dict_refuses_what_is_not_finite(state_of, rule):
    model = zoo.build("simplenet_cifar_310k")
    state = {k: rule(k, v.shape) for k, v in state_of(model, "classifier").items()}
    before = model.get_weights()
    bad = {
        "features.0.weight": np.full((64, 3, 3, 3), 1e308),  # finite until it is a float32
        "features.0.bias": np.full(64, np.nan),
        "features.4.bias": -np.full(32, np.inf, "float16"),
        "features.8.bias": np.array(["1"] * 32),
        "classifier.bias": [[1], [1, 2]],
    }
    with pytest.raises(ValueError) as error:
        zoo.load_state_dict(model, state | bad)
    told = str(error.value)
    assert "features.0.weight (1e+308 in float32)" in told and "features.1" not in told
    assert all(f"{name} (" in told for name in bad)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_file_with_a_value_that_is_not_finite(tmp_path, small, write):
    model = zoo.reset_classifier(small("simplenet"), 10)
    layer = model.get_layer("features-0")
    layer.set_weights([layer.get_weights()[0], np.full(64, np.inf)])
    path = write(model, tmp_path / "w.keras")
    with pytest.raises(ValueError, match=r"w\.keras cannot be .*features-0.1 .inf in float32"):
        zoo.build(model.name, input_shape=(32, 32, 3), classes=10, weights=path)


def test_load_state_dict_ignores_counts_and_takes_1x1_for_dense(state_of, rule):
    model = zoo.build("simplenet_cifar_310k", model_name="renamed")
    state = {k: rule(k, v.shape) for k, v in state_of(model, "classifier").items()}
    state["features.1.num_batches_tracked"] = np.array(5)
    expected = state["classifier.weight"]
    state["classifier.weight"] = expected[:, :, None, None]
    assert zoo.load_state_dict(model, state) is model
    np.testing.assert_array_equal(model.get_layer("logits").get_weights()[0], expected.T)


def test_depthwise_filters_of_one_channel_are_in_a_row(rule):
    options = {"input_shape": (32, 32, 3), "blocks": (1, 1, 1, 1), "ratio": 4}
    model = zoo.build("ghost_1_resnet50", **options)
    state = {name: rule(name, slot.shape) for name, slot in _weights._slots(model, "fc").items()}
    name = "layer1.0.conv1.cheap_operation.0"
    filters = state[f"{name}.weight"]
    assert filters.shape == (48, 1, 3, 3)  # three for each of 16 channels
    zoo.load_state_dict(model, state)
    kernel = model.get_layer(name.replace(".", "-")).get_weights()[0]
    np.testing.assert_array_equal(kernel[:, :, 5, 1], filters[5 * 3 + 1, 0])


def test_one_channel_sums_the_first_kernel(state_of):
    rgb = zoo.build("simplenet_cifar_310k", input_shape=(28, 28, 3))
    gray = zoo.build("simplenet_cifar_310k", input_shape=(28, 28, 1))
    zoo.load_state_dict(gray, state_of(rgb, "classifier"))
    kernel = rgb.get_layer("features-0").get_weights()[0]
    ours = gray.get_layer("features-0").get_weights()[0]
    np.testing.assert_array_equal(ours, kernel.sum(axis=2, keepdims=True))


@pytest.fixture(scope="module", params=["w.keras", "w.weights.h5", "w.safetensors"])
def resnet18_file(request, tmp_path_factory, small, write):
    """Weights of `small("resnet")` in each kind of file."""
    return write(small("resnet"), tmp_path_factory.mktemp("weights") / request.param)


def test_weights_from_files(resnet18, resnet18_file, small, same_weights):
    # Neither dropout nor another stem changes what a file has to hold.
    model = resnet18(classes=10, weights=resnet18_file, dropout=0.5, stem="tiny")
    same_weights(model, small("resnet"))
    features = resnet18(weights=resnet18_file, include_top=False)
    assert features.output_shape == (None, 512)
    same_weights(features, small("resnet"))


def test_weights_for_other_classes_leave_the_head_fresh(
    resnet18, resnet18_file, small, same_weights
):
    with pytest.warns(UserWarning, match="10 classes.*left fresh"):
        model = resnet18(classes=5, weights=resnet18_file)
    assert model.output_shape == (None, 5)
    assert model.get_layer("logits").get_weights()[0].any()
    same_weights(model, small("resnet"), but=["logits"])


@pytest.mark.parametrize("file", ["w.weights.h5", "w.safetensors"])
def test_weights_around_a_classifier_of_maps(file, tmp_path, small, write, same_weights):
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


def test_timm_weights(resnet18, tmp_path, monkeypatch, small, write, same_weights):
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
def test_imagenet_weights_give_what_keras_gives(name, tmp_path, monkeypatch, images):
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


def test_imagenet_weights_for_other_images_and_classes(vgg_download, same_weights):
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


def test_weights_by_name_do_not_depend_on_networks_built_before(tmp_path, write, same_weights):
    """Keras numbers the layers that have no name of their own through all networks."""
    options = {"input_shape": (71, 71, 3), "classes": 10}
    first = zoo.build("xception", **options)
    path = write(first, tmp_path / "w.weights.h5")
    second = zoo.build("xception", weights=path, **options)
    assert {"conv2d", "conv2d_3", "batch_normalization_3"} < {x.name for x in second.layers}
    same_weights(second, first)
