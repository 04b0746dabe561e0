"""The classes of single image files."""

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments import recipes
from experiments.datasets import load
from experiments.runs import Run, names
from experiments.studies.predict import predict
from experiments.training.predict import predict_probs


@pytest.fixture
def pictures(tmp_path, noise):
    """The same picture as it is, enlarged, transparent, in gray and from a palette."""
    original = Image.fromarray(noise.validation.images[0])
    made = {
        "plain [1].png": original,
        "large.png": original.resize((40, 30)),
        "transparent.png": original.convert("RGBA"),
        "gray.jpg": original.convert("L"),
        "palette.gif": original.convert("P"),
    }
    made["transparent.png"].putalpha(128)
    for name, image in made.items():
        image.save(tmp_path / name)
    return {name: tmp_path / name for name in made}


@pytest.mark.backend
def test_predict_ranks_named_classes(run, network, noise, pictures):
    paths = list(pictures.values())
    found = predict(run.path, [*paths, paths[0]], top=3)
    assert [prediction.path for prediction in found] == [*paths, paths[0]]
    expected = predict_probs(network(), noise.validation.images[:1])[0]
    order = np.argsort(-expected)[:3]
    assert found[0].classes == tuple(noise.class_names[label] for label in order)
    assert found[0].probs == pytest.approx(expected[order], rel=1e-4)
    assert found[0] == found[-1] and found[0].resized_from is None
    assert [p.resized_from for p in found[1:5]] == [(40, 30), None, None, None]
    assert {(p.size, p.resample, p.assumed) for p in found} == {((16, 16), "nearest", False)}


def test_predict_knows_no_more_than_the_model(network, pictures, tmp_path):
    lone = tmp_path / "lone.keras"
    network().save(lone)
    (found,) = predict(lone, [pictures["gray.jpg"]], top=10)
    assert sorted(found.classes) == [f"class {label}" for label in range(4)]
    assert sum(found.probs) == pytest.approx(1, abs=1e-5)
    assert (found.resample, found.assumed) == ("lanczos", True)


def test_a_gray_model_takes_color_files(network, pictures, tmp_path):
    network(2, (16, 16, 1)).save(tmp_path / "gray.keras")
    found = predict(tmp_path / "gray.keras", [pictures["large.png"]])
    assert len(found[0].classes) == 2


@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_a_file_has_the_pixels_that_decoding_its_data_set_made(resample, network, finish, tmp_path):
    """Whatever kind of image it is: transparent, from a palette, turned by its camera."""
    rng = np.random.default_rng(1)
    for split in ("train", "val"):
        for name in ("one", "two"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number, mode in enumerate(("RGBA", "L", "P", "LA", "RGB")):
                made = Image.fromarray(rng.integers(0, 256, (30, 20, 4), np.uint8), "RGBA")
                exif = made.getexif()
                exif[0x0112] = 6  # turned by 90 degrees
                exif = {"exif": exif} if mode == "RGB" else {}
                made.convert(mode).save(tmp_path / "set" / split / name / f"{number}.png", **exif)
    options = {"size": 16, "resample": resample}
    data = load("folder", data_dir=tmp_path / "set", cache_dir=tmp_path / "cache", **options)
    images = {"name": "folder"} | options
    run = finish(tmp_path / "run", network(2), data, data=images, share={})
    files = sorted((tmp_path / "set" / "val" / "one").iterdir())
    expected = predict_probs(network(2), data.validation.images[:5])
    for prediction, row in zip(predict(run.path, files), expected, strict=True):
        found = dict(zip(prediction.classes, prediction.probs, strict=True))
        assert found == pytest.approx({"one": row[0], "two": row[1]}, rel=1e-4)
        assert prediction.resample == resample


@pytest.mark.parametrize("crop", [None, "boxes", "train_boxes"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_gray_and_padded_as_its_data_set_was(channels, crop, network, finish, tmp_path):
    """Of boxes a file has none: told where the run was validated on what they hold, too."""
    rng = np.random.default_rng(2)
    lines = ["path,label,split,x1,y1,x2,y2"]
    for number in range(4):
        pixels = rng.integers(0, 256, (30, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        # The whole image: what was decoded is what can be predicted, cropped or not.
        lines.append(f"{number}.png,{number % 2},{'train' if number < 2 else 'val'},0,0,19,29")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    options = {"size": 16, "channels": channels, "background": "white", "crop": crop}
    folders = {"data_dir": tmp_path / "labels.csv", "cache_dir": tmp_path / "cache"}
    data = load("csv", **folders, **options)
    model = network(2, (16, 16, channels))
    row = {"name": "csv"} | {name: value for name, value in options.items() if value}
    run = finish(tmp_path / "run", model, data, data=row, share={})
    found = predict(run.path, [tmp_path / "2.png", tmp_path / "3.png"])
    expected = predict_probs(model, data.validation.images)
    for prediction, probs in zip(found, expected, strict=True):
        ranked = dict(zip(prediction.classes, prediction.probs, strict=True))
        assert ranked == pytest.approx({"0": probs[0], "1": probs[1]}, rel=1e-4)
        assert (prediction.padded_with, prediction.resized_from) == ("white", (20, 30))
        assert prediction.uncropped == (crop == "boxes")


def test_all_unreadable_files_are_named_before_the_model_loads(tmp_path, pictures):
    (tmp_path / names.MODEL).write_text("never read")
    (tmp_path / "notes.txt").write_text("no image")
    whole = pictures["plain [1].png"].read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    told = {
        "absent.png": "no such file",
        "notes.txt": "not an image",
        "cut.png": "",
        "deep.png": "mode I;16: save it with 8 bits",
        "empty.png": "the file is empty",
        "pipe.png": "not an image file, but a folder, a pipe or a device",
        "folder.png": "not an image file, but a folder, a pipe or a device",
    }
    with pytest.raises(ValueError, match="cannot read") as caught:
        predict(tmp_path, [pictures["large.png"], *(tmp_path / name for name in told)])
    for name, reason in told.items():
        assert re.search(rf"{re.escape(name)}: .*{re.escape(reason)}", str(caught.value))
    assert "large.png" not in str(caught.value)


def test_predict_refuses_empty_requests_and_runs(tmp_path, pictures):
    with pytest.raises(ValueError, match="no images given"):
        predict(tmp_path, [])
    with pytest.raises(ValueError, match="top=0"):
        predict(tmp_path, [pictures["large.png"]], top=0)
    with pytest.raises(ValueError, match=r"model\.keras does not exist"):
        predict(tmp_path, [pictures["large.png"]])
    with pytest.raises(ValueError, match="does not exist"):
        predict(tmp_path / "absent.keras", [pictures["large.png"]])


def test_a_run_that_contradicts_itself_or_has_no_model_is_refused(run, network, pictures, tmp_path):
    other = Run(shutil.copytree(run.path, tmp_path / "run"))
    other.write_model(network(3))
    with pytest.raises(ValueError, match=r"dataset\.json names 4 classes, model\.keras has 3"):
        predict(other.path, [pictures["large.png"]])
    row = {"recipe": "test/vote", "kind": "vote", "data": {"name": "noise"}, "members": ["a", "b"]}
    other.model_file.unlink()
    (other.path / names.RECIPE).write_text(recipes.dump(recipes.parse(row, "test")))
    with pytest.raises(ValueError, match="has no model of its own"):
        predict(other.path, [pictures["large.png"]])


@pytest.mark.backend
def test_probabilities_with_views_say_so(run, network, noise, pictures):
    path, image = pictures["plain [1].png"], noise.validation.images[:1]
    both = [predict_probs(network(), np.ascontiguousarray(x)) for x in (image, image[:, :, ::-1])]
    expected = np.sort((both[0] + both[1])[0] / 2)[::-1]
    (found,), (plain,) = predict(run.path, [path], views="mirror"), predict(run.path, [path])
    assert (found.views, plain.views) == ("mirror", "none")
    assert found.probs == pytest.approx(expected, rel=1e-4)
    assert found.probs != pytest.approx(plain.probs, rel=1e-3)
    with pytest.raises(ValueError, match="no views 'flip'; there are none, mirror, shifts"):
        predict(path.parent / "no model is needed", [path], views="flip")
