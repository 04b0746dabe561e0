"""Contracts of `flow_from_directory`; Keras' deprecated generator is the oracle."""

import io
import os

import numpy as np
import pytest
from PIL import Image

import augment


def keras_generator(**arguments):
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**arguments)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Two classes of five and seven PNG files; one is gray, one lies deeper."""
    from PIL import Image

    root = tmp_path_factory.mktemp("classes")
    for i, image in enumerate(images):
        path = root / ("cat" if i < 5 else "dog") / ("deeper" if i == 7 else "")
        path.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image)
        (picture.convert("L") if i == 2 else picture).save(path / f"{i:02}.png")
    (root / "cat" / "notes.txt").write_text("not an image")
    return root


@pytest.mark.parametrize("class_mode", ["categorical", "sparse", "binary", "input", None])
@pytest.mark.parametrize("subset", [None, "training", "validation"])
def test_flow_from_directory_equals_the_deprecated_generator(folder, class_mode, subset, capsys):
    options = {"target_size": (40, 48), "class_mode": class_mode, "batch_size": 5}
    options |= {"shuffle": False, "interpolation": "bilinear", "subset": subset}
    options["color_mode"] = "grayscale" if class_mode is None else "rgb"
    iterators = [
        make(rescale=1 / 255, validation_split=0.4).flow_from_directory(folder, **options)
        for make in (augment.ImageDataGenerator, keras_generator)
    ]
    ours, theirs = iterators
    assert ours.filenames == theirs.filenames and ours.class_indices == theirs.class_indices
    assert ours.classes.tolist() == theirs.classes.tolist() and ours.samples == theirs.samples
    for b in range(len(theirs)):
        for mine, other in zip(*(i[b] if class_mode else (i[b],) for i in iterators), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-6)
            assert mine.dtype == other.dtype
    assert "belonging to 2 classes" in capsys.readouterr().out


def test_bad_folders_are_refused(folder, tmp_path):
    flow = augment.ImageDataGenerator().flow_from_directory
    with pytest.raises(ValueError, match="is not a folder"):
        flow(tmp_path / "absent")
    with pytest.raises(ValueError, match="no images"):
        flow(tmp_path)
    with pytest.raises(ValueError, match="class folder .*bird"):
        flow(folder, classes=["cat", "bird"])
    with pytest.raises(ValueError, match="class_mode must be"):
        flow(folder, class_mode="multi")
    with pytest.raises(ValueError, match="'binary' needs two classes"):
        flow(folder, classes=["cat"], class_mode="binary")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="cannot read image .*broken.png"):
        flow(tmp_path)[0]


def one_class(root, name, image=None, content=None):
    path = root / "cat" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if image is not None:
        image.save(path)
    elif content is not None:
        path.write_bytes(content)
    return path


def flow(root, **options):
    options = {"target_size": (8, 8), "class_mode": None, "shuffle": False, **options}
    return augment.ImageDataGenerator().flow_from_directory(root, **options)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_images_of_more_than_8_bits_are_refused(tmp_path, mode):
    pixels = np.full((8, 8), 40_000, {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
    one_class(tmp_path, "deep.tif", Image.fromarray(pixels))
    for color_mode in ("grayscale", "rgb", "rgba"):
        with pytest.raises(ValueError, match=r"deep\.tif: mode .*save it with 8 bits per channel"):
            flow(tmp_path, color_mode=color_mode)[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    """Half of the picture is opaque gray 100, half transparent black."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (100, 100, 100, 255)
    options = {}
    if mode in ("RGBA", "LA"):
        picture = Image.fromarray(pixels).convert(mode)
    else:
        picture, options = Image.fromarray(pixels[..., :3]), {"transparency": (0, 0, 0)}
        if mode == "P":
            picture, options = picture.quantize(2), {}
            options["transparency"] = picture.getpixel((0, 7))
    picture.save((one_class(tmp_path, "half.png")), **options)
    for color_mode in ("rgb", "grayscale"):
        batch = flow(tmp_path, color_mode=color_mode)[0][0]
        np.testing.assert_array_equal(batch[:4], 100)
        np.testing.assert_array_equal(batch[4:], 255)
    kept = flow(tmp_path, color_mode="rgba")[0][0]
    assert (kept[:4, :, 3] == 255).all() and (kept[4:, :, 3] == 0).all()


def png(image) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def test_files_without_an_image_are_named(tmp_path, images):
    broken = {"text": b"not a picture", "empty": b"", "cut": png(images[0])[:900], "flipped": None}
    broken["flipped"] = png(images[0])[:100] + bytes(200) + png(images[0])[300:]
    for name, content in broken.items():
        one_class(tmp_path / name, f"{name}.png", content=content)
        with pytest.raises(ValueError, match=rf"cannot read image .*{name}\.png"):
            flow(tmp_path / name)[0]


SPECIAL = {
    "pipe": (os.mkfifo, "no regular file"),
    "loop": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "dangling": (lambda path: path.symlink_to("absent"), "No such file"),
}


@pytest.mark.parametrize("make, told", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_regular_file_is_named_at_once(tmp_path, make, told):
    make(one_class(tmp_path, "special.jpg"))
    with pytest.raises(ValueError, match=rf"special\.jpg: {told}"):
        flow(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path, images):
    one_class(tmp_path / "classes", "0.png", Image.fromarray(images[0]))
    one_class(tmp_path / "more", "1.png", Image.fromarray(images[1]))
    classes = tmp_path / "classes"
    (classes / "cat" / "linked").symlink_to(tmp_path / "more" / "cat")
    assert flow(classes).filenames == [os.path.join("cat", "0.png")]
    followed = [os.path.join("cat", "0.png"), os.path.join("cat", "linked", "1.png")]
    assert flow(classes, follow_links=True).filenames == followed
    (tmp_path / "more" / "cat" / "back").symlink_to(classes / "cat")
    assert len(flow(classes).filenames) == 1
    with pytest.raises(ValueError, match="linked.back: a loop of links"):
        flow(classes, follow_links=True)
    (classes / "dog").symlink_to(classes / "dog")
    with pytest.raises(ValueError, match="dog: Too many levels of symbolic links"):
        flow(classes)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "hamming", "lanczos"])
@pytest.mark.parametrize("size", [(9, 30), (30, 9), (64, 64)])
def test_images_are_fitted_as_keras_fits_them(folder, size, interpolation, keep):
    import keras

    options = {"target_size": size, "interpolation": interpolation, "keep_aspect_ratio": keep}
    ours = flow(folder, batch_size=12, **options)
    expected = [keras.utils.load_img(path, **options) for path in ours.filepaths]
    np.testing.assert_array_equal(ours[0], np.stack([np.asarray(image) for image in expected]))


def test_unknown_ways_to_read_are_named_at_once(folder):
    with pytest.raises(ValueError, match="color_mode must be one of grayscale, rgb, rgba, got 'L'"):
        flow(folder, color_mode="L")
    with pytest.raises(ValueError, match="interpolation must be one of nearest, .*, got 'cubic'"):
        flow(folder, interpolation="cubic")
