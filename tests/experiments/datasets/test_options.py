"""Channels, padding and cropping of any data set: known answers, keys of the cache, predicting."""

import numpy as np
import pytest
from PIL import Image

from experiments import datasets
from experiments.datasets import _boxes, _pixels


def test_channels_of_files(tmp_path, load, picture, write, tree):
    """Gray by Pillow's luma, (299 R + 587 G + 114 B) / 1000, rounded."""
    root = tree(tmp_path / "pets")
    write(root / "train/a/gray.png", picture(7, mode="L"))
    color, gray, same = (load("folder", root, channels=n) for n in (None, 1, 3))
    assert (color.image_shape, gray.image_shape) == ((8, 8, 3), (8, 8, 1))
    assert np.array_equal(color.train.images, same.train.images)
    luma = np.asarray(color.train.images) @ np.array([0.299, 0.587, 0.114])
    # Pillow counts in 2^-16 parts.
    assert np.abs(luma - gray.train.images[..., 0]).max() <= 0.51
    assert gray.origin.converted == {"RGB": 8}
    assert color.origin.converted == {"grayscale": 1}
    facts = dict(datasets.summary(gray).facts)
    assert (facts["images"], facts["converted to grayscale"]) == (
        "8x8, grayscale, uint8",
        "8 RGB images",
    )


@pytest.mark.parametrize("size", [None, 16, 40])
def test_channels_of_arrays(size, load):
    plain, gray = load("digits", size=size), load("digits", size=size, channels=1)
    assert gray.image_shape == (*plain.image_shape[:2], 1)
    # All three channels of the digits are equal.
    assert np.array_equal(gray.train.images[:9], plain.train.images[:9][..., :1])


@pytest.mark.parametrize("width, height", [(5, 8), (8, 5), (7, 8), (8, 8), (1, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_background(width, height, channels, picture):
    """The image lies in the middle of white; of an odd rest, the larger part behind it."""
    image = picture(1, (width, height))
    plain = datasets.fit_picture(image, None, channels, "lanczos")
    padded = datasets.fit_picture(image, None, channels, "lanczos", "white")
    x, y = (8 - width) // 2, (8 - height) // 2
    assert padded.shape == (8, 8, channels)
    assert np.array_equal(padded[y : y + height, x : x + width], plain)
    rest = padded.copy()
    rest[y : y + height, x : x + width] = 255
    assert (rest == 255).all()


def test_padding_comes_before_resizing(picture):
    image = picture(2, (30, 18))
    square = Image.new("RGB", (30, 30), "white")
    square.paste(image, (0, 6))
    found = datasets.fit_picture(image, (12, 12), 3, "bicubic", "white")
    assert np.array_equal(found, np.asarray(square.resize((12, 12), Image.Resampling.BICUBIC)))


def test_crop_picture(picture):
    image = picture(3, (9, 7))
    for box in ([0, 0, 8, 6], [2, 1, 2, 1], [3, 2, 8, 5]):
        x1, y1, x2, y2 = box
        found = np.asarray(_pixels.crop_picture(image, np.array(box, np.float32)))
        assert np.array_equal(found, np.asarray(image)[y1 : y2 + 1, x1 : x2 + 1])


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("pad", [False, True])
def test_boxes_follow_the_pixels(crop, pad):
    """A white box on black, through the same steps, ends where the formula says."""
    size, box = (37, 22), np.array([5, 3, 20, 17], np.float32)
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    pixels[3:18, 5:21, 0] = 255
    image = Image.fromarray(pixels)
    image = _pixels.crop_picture(image, box) if crop else image
    # 20 x 20 pixels for each: edges fall on edges of pixels.
    edges = [20 * (max(image.size) if pad else side) for side in image.size]
    seen = datasets.fit_picture(image, edges, 3, "nearest", "white" if pad else None)
    red = (seen[..., 0] == 255) & (seen[..., 1] == 0)
    y, x = np.nonzero(red)
    found = _boxes.follow(box[None], np.array([size]), seen.shape, crop=crop, pad=pad)
    assert found[0] == pytest.approx([x.min(), y.min(), x.max(), y.max()], abs=1e-3)  # float32


def test_each_option_has_a_cache_of_its_own(tiny, cache, load):
    options = [
        {},
        {"channels": 1},
        {"crop": "boxes", "size": 8},
        {"crop": "train_boxes", "size": 8},
        {"background": "white"},
        {"background": "white", "channels": 1},
    ]
    places = [load("tiny_imagenet", tiny, **some).origin.cache for some in options]
    again = [load("tiny_imagenet", tiny, **some).origin.cache for some in options]
    assert places == again
    assert len(set(places)) == len(list(cache.iterdir())) == len(options)


def test_none_is_what_was_left_out(tiny, cache, load):
    names = ("channels", "crop", "background", "size", "validation_share", "validation_seed")
    load("tiny_imagenet", tiny, **dict.fromkeys(names))
    load("tiny_imagenet", tiny)
    assert len(list(cache.iterdir())) == 1


def test_boxes_that_a_copy_lacks(tiny, load):
    for path in tiny.glob("train/*/*_boxes.txt"):
        path.unlink()
    with pytest.raises(ValueError, match="'train_boxes': the train images of tiny_imagenet in .*"):
        load("tiny_imagenet", tiny, crop="train_boxes", size=8)


@pytest.mark.parametrize("options", [{"channels": 1}, {"background": "white"}, {}], ids=str)
def test_enlarged_when_read_is_enlarged_when_decoded(options, tmp_path, load, tree, files_of):
    """Images of one size are kept small: what is padded and gray is so before it is enlarged."""
    root = tree(tmp_path / "pets", size=(7, 4))
    dataset = load("folder", root, size=20, resample="bicubic", **options)
    assert isinstance(dataset.train.images, datasets.Enlarged)
    shape = (20, 20, options.get("channels", 3))
    background = options.get("background")
    for image, (pixels, _) in zip(
        dataset.train.images,
        datasets.read_pixels(files_of(root / "train"), shape, "bicubic", background),
        strict=True,
    ):
        assert np.array_equal(image, pixels)
