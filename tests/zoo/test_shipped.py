"""Weights that come with the package."""

import pathlib

import numpy as np
import pytest

import zoo
from zoo import _shipped

ALL = [(model, weights) for model, names in _shipped.names().items() for weights in names]
# Images that these weights never learned, as files in folders by class id, and the least share of
# them that is named rightly: a few points below the card's accuracy, 500 or 1,000 images being few.
SEEN = {
    "tiny_imagenet": ("tiny-imagenet-10.tar.xz", 0.45),
    "cifar10": ("cifar10-mini.tar.xz", 0.85),
}
FACTS = {
    "class_names": ["one", "two"],
    "class_ids": ["n1", "n2"],
    "input_shape": [32, 32, 3],
    "resample": "box",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_shipped, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.backend
def test_what_is_written_is_built(folder, images):
    model = zoo.build("sprint_s", classes=2)
    _shipped.write(_shipped.path("sprint_s", "cifar10"), zoo.state_dict(model), FACTS)
    found = zoo.shipped("sprint_s")
    assert found.class_names == ["one", "two"]
    assert found.input_shape == (32, 32, 3)
    assert (found.weights, found.resample) == ("cifar10", "box")
    again = zoo.build("sprint_s", classes=2, weights="cifar10")
    for new, old in zip(again.weights, model.weights, strict=True):
        rounded = old.numpy().astype("float16").astype("float32")
        np.testing.assert_array_equal(new.numpy(), rounded, new.path)


@pytest.mark.parametrize("name", ["sprint_s", "ghostnet_100", "vgg16"])
def test_state_dict_is_what_load_state_dict_takes(name):
    model = zoo.build(name, input_shape=(32, 32, 3), classes=3)
    other = zoo.build(name, input_shape=(32, 32, 3), classes=3)
    zoo.load_state_dict(other, zoo.state_dict(model))
    for new, old in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(new.numpy(), old.numpy(), new.path)


def test_weights_that_do_not_come_along_are_told(folder):
    tensors = zoo.state_dict(zoo.build("sprint_s"))
    _shipped.write(_shipped.path("sprint_s", "cifar10"), tensors, FACTS)
    with pytest.raises(ValueError, match=r"no weights of resnet18 .*: there are sprint_s \(cifar"):
        zoo.shipped("resnet18")
    with pytest.raises(ValueError, match="there is no file|must end in"):
        zoo.build("sprint_m", weights="cifar10")


@pytest.mark.parametrize(("model", "weights"), ALL)
def test_cards_and_catalog_know_them(model, weights):
    assert weights in zoo.info(model).weights
    card = _shipped.path(model, weights).with_suffix(".md").read_text()
    assert f"zoo.build('{model}', weights='{weights}')" in card
    found = zoo.shipped(model, weights)
    assert found.input_shape == zoo.info(model).input_shape
    assert len(found.class_names) == len(found.class_ids) == zoo.info(model).classes


def test_they_are_small():
    assert sum(_shipped.path(*one).stat().st_size for one in ALL) <= 15e6


@pytest.mark.parametrize(("model", "weights"), ALL)
def test_they_name_images_that_they_never_saw(model, weights, shared, tmp_path):
    from experiments import datasets

    file, least = SEEN[weights]
    kind = "tiny_imagenet" if weights == "tiny_imagenet" else "folder"
    data = datasets.load(kind, data_dir=shared / "data" / file, cache_dir=tmp_path)
    found = zoo.shipped(model, weights)
    network = zoo.build(model, weights=weights)
    labels = np.array([found.class_ids.index(one) for one in data.class_ids])
    probs = network.predict(data.validation.batch(range(len(data.validation))), verbose=0)
    right = probs.argmax(axis=1) == labels[data.validation.labels]
    assert right.mean() > least


def test_the_folder_is_part_of_the_package():
    root = pathlib.Path(zoo.__file__).parents[1]
    assert "weights/*.safetensors" in (root / "setup.cfg").read_text()
