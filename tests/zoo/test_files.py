"""Files of models and weights that are not there, or not what they should be."""

import os
import sys
import types

import pytest

import zoo

KINDS = ("w.keras", "w.weights.h5", "w.safetensors")


def refused(path, message):
    """Both ways to read a file refuse it, before Keras builds anything."""
    with pytest.raises(ValueError, match=message) as error:
        zoo.build("resnet18", weights=path)
    assert "w." in str(error.value)
    if path.suffix == ".keras":
        with pytest.raises(ValueError, match=message):
            zoo.load(path)


@pytest.mark.parametrize("name", KINDS)
def test_files_of_another_kind(name, tmp_path):
    (tmp_path / name).write_bytes(b"not what it says")
    refused(tmp_path / name, "damaged|not a safetensors file")


@pytest.mark.parametrize("name", KINDS)
def test_files_that_are_cut_off(name, tmp_path, small, write):
    path = write(small("simplenet"), tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "cut off")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("make", "message"),
    {
        "empty": (lambda path: path.touch(), "is empty"),
        "folder": (lambda path: path.mkdir(), "is a folder"),
        "pipe": (os.mkfifo, "is a pipe"),
        "loop": (lambda path: path.symlink_to(path), "cannot be opened"),
        "nothing": (lambda path: None, "there is no file"),
    }.values(),
    ids=["empty", "folder", "pipe", "loop", "nothing"],
)
def test_what_is_not_a_file_is_said(name, make, message, tmp_path):
    make(tmp_path / name)
    refused(tmp_path / name, message)
    with pytest.raises(ValueError, match=message):
        zoo.check("resnet18", weights=tmp_path / name)


@pytest.mark.parametrize(
    ("weights", "message"),
    [(3, "3 is not the path"), ("a\0.keras", "null"), ("~nobody0/w.keras", "is not the path")],
)
def test_what_is_no_path_is_said(weights, message):
    with pytest.raises(ValueError, match=message):
        zoo.check("resnet18", weights=weights)


def test_home_is_found(tmp_path, monkeypatch, small, write, same_weights):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(small("simplenet"), tmp_path / "w.keras")
    model = small("simplenet")
    same_weights(zoo.load("~/w.keras"), model)
    options = {"input_shape": (32, 32, 3), "classes": 10}
    same_weights(zoo.build(model.name, weights="~/w.keras", **options), model)


def test_keras_weights_without_a_network(monkeypatch, undrawn):
    def get_file(*args, **options):
        raise Exception("URL fetch failure on https://storage/vgg16.h5: None")  # as Keras does

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(ValueError, match="'imagenet'.*vgg16.*https://storage.*give the path"):
        zoo.build("vgg16", weights="imagenet")


def test_a_download_that_fails_is_told_with_what_to_do(monkeypatch):
    def hf_hub_download(*args):
        raise FileNotFoundError("no connection")

    hub = types.SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(ValueError, match="timm:resnet18.*no connection.*give the path"):
        zoo.build("resnet18", weights="timm")


@pytest.mark.parametrize("package", ["huggingface_hub", "safetensors"])
@pytest.mark.parametrize("kind", [ImportError, ValueError])  # the command line tells the second
def test_missing_packages_are_named(package, kind, tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(b"not read")
    monkeypatch.setitem(sys.modules, package, None)
    weights = "timm" if package == "huggingface_hub" else tmp_path / "w.safetensors"
    for function in (zoo.check, zoo.build):
        with pytest.raises(kind, match=rf"{package}: pip install 'smallzoo\[weights\]'"):
            function("resnet18", weights=weights)
