"""Images that are stored smaller than they are wanted: kept so, and enlarged when they are read."""

import os

import numpy as np
import pytest
from PIL import Image

from experiments import datasets
from experiments.datasets import _dataset, _decode
from experiments.datasets._dataset import Rows

FILTERS = ["lanczos", "bicubic", "bilinear", "box", "nearest"]


@pytest.fixture
def decoded_at_once(monkeypatch):
    """Keep nothing as it is stored, as if all images had another size."""

    def decode(load, *arguments, **options) -> datasets.Dataset:
        with monkeypatch.context() as patch:
            patch.setattr(_decode.Target, "stored", lambda self: None)
            return load(*arguments, **options)

    return decode


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("size", [9, 20])
def test_they_are_the_pixels_and_boxes_of_images_decoded_at_that_size(
    tiny, load, decoded_at_once, size, resample
):
    options = {"size": size, "resample": resample}
    whole = decoded_at_once(load, "tiny_imagenet", tiny, **options, cache_dir=tiny.parent / "whole")
    lazy = load("tiny_imagenet", tiny, **options)
    assert isinstance(whole.train.images, np.ndarray)
    for key in ("train", "validation"):
        ours, theirs = getattr(lazy, key), getattr(whole, key)
        assert isinstance(ours.images, datasets.Enlarged)
        assert ours.images.shape == theirs.images.shape and ours.images.dtype == np.uint8
        np.testing.assert_array_equal(np.asarray(ours.images), theirs.images)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    assert lazy.image_shape == whole.image_shape == (size, size, 3)
    assert lazy.origin.converted == whole.origin.converted


def test_gray_images_stay_gray(tmp_path, load, decoded_at_once):
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    labels = np.arange(30) % 10
    content = {"x_train": images, "y_train": labels, "x_test": images[:10], "y_test": labels[:10]}
    np.savez(tmp_path / "mnist.npz", **content)
    whole = decoded_at_once(load, "mnist", tmp_path, size=32, cache_dir=tmp_path / "whole")
    lazy = load("mnist", tmp_path, size=32)
    assert lazy.image_shape == (32, 32, 1)
    np.testing.assert_array_equal(lazy.train.batch(range(30)), whole.train.images)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 1},
        {"channels": 3},
        {"background": "white"},
        {"crop": "boxes"},
        {"crop": "train_boxes"},
        {"crop": "boxes", "channels": 1, "background": "white"},
    ],
    ids=str,
)
def test_with_all_else_that_images_can_become(tiny, load, decoded_at_once, changes):
    """Resizing comes last: what is before it is kept small where it has one size, else it is not.

    Boxes of the small set differ in size.
    """
    whole = decoded_at_once(load, "tiny_imagenet", tiny, size=20, **changes)
    lazy = load("tiny_imagenet", tiny, size=20, **changes, cache_dir=tiny.parent / "lazy")
    assert isinstance(lazy.train.images, datasets.Enlarged) == ("crop" not in changes)
    for key in ("train", "validation"):
        ours, theirs = getattr(lazy, key), getattr(whole, key)
        np.testing.assert_array_equal(np.asarray(ours.images), theirs.images)
        if ours.boxes is not None:
            np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def test_padded_and_stretched_images_have_caches_of_their_own(tree, tmp_path, load, cache):
    root = tree(tmp_path / "set", size=(7, 5))
    for background, shape in ((None, (5, 7, 3)), ("white", (7, 7, 3))):
        images = load("folder", root, size=12, background=background).train.images
        assert images.stored.shape[1:] == shape
    assert len(list(cache.iterdir())) == 2


def test_all_sizes_share_one_small_cache(tiny, load, cache):
    for options in ({"size": 40}, {}, {"size": 16}, {"size": 16, "resample": "box"}, {"size": 8}):
        dataset = load("tiny_imagenet", tiny, **options)
        assert dataset.train.images.dtype == np.uint8
    (place,) = cache.iterdir()
    stored = (place / "train_images.npy").stat().st_size
    assert stored < len(dataset.train) * 8 * 8 * 3 + 200  # a header
    # At the size that they have, they are what they are without one.
    assert isinstance(dataset.train.images.base, np.memmap)


@pytest.mark.parametrize("key", [3, -1, slice(1, 5), np.array([4, 0, 0]), np.array([], int)])
def test_it_is_indexed_like_an_array(tiny, load, key):
    images = load("tiny_imagenet", tiny, size=12).train.images
    whole = np.asarray(images)
    found = images[key]
    np.testing.assert_array_equal(found, whole[key])
    assert found.shape == whole[key].shape and len(images) == len(whole)
    assert images.ndim == whole.ndim


def test_threads_share_many_of_them(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), np.uint8)
    images = datasets.Enlarged(pixels, 12, "bicubic")
    monkeypatch.setattr(_dataset.os, "cpu_count", lambda: 3)
    np.testing.assert_array_equal(images[:], np.stack([images[row] for row in range(50)]))


def test_a_part_of_them_stays_small(tiny, load):
    dataset = load("tiny_imagenet", tiny, size=12)
    whole, rest = np.asarray(dataset.train.images), np.array([5, 1, 2, 9])
    part = dataset.train.take(rest).take([2, 0])
    assert isinstance(part.images, datasets.Enlarged) and isinstance(part.images.stored, Rows)
    assert isinstance(part.images.stored.base, np.ndarray)
    np.testing.assert_array_equal(np.asarray(part.images), whole[[2, 5]])
    np.testing.assert_array_equal(part.boxes, dataset.train.boxes[[2, 5]])
    members, held = dataset.holdout(0.25)
    assert isinstance(members.train.images, datasets.Enlarged)
    assert members.digest == dataset.digest
    both = held.join(part)
    expected = np.concatenate([np.asarray(held.images), np.asarray(part.images)])
    np.testing.assert_array_equal(both.batch(range(len(both))), expected)


def test_digest_says_what_is_stored_and_how_it_is_enlarged(tiny, load, decoded_at_once):
    stored = load("tiny_imagenet", tiny)
    one, other = (load("tiny_imagenet", tiny, size=12, resample=r) for r in ("box", "bicubic"))
    for key in ("train", "validation"):
        assert one.digest[key] == f"{stored.digest[key]} enlarged from 8x8 to 12x12 by box"
        assert one.digest[key] != other.digest[key]
        # Without a known one it is made of the images, of which none is enlarged.
        assert _dataset.digest(getattr(one, key)) == one.digest[key]


def test_images_that_shrink_are_decoded_small(tiny, load):
    dataset = load("tiny_imagenet", tiny, size=6)
    assert isinstance(dataset.train.images.base, np.memmap)
    assert dataset.image_shape == (6, 6, 3)


def test_images_that_shrink_do_not_come_from_larger_ones_in_the_cache(tiny, load, cache):
    load("tiny_imagenet", tiny)
    assert isinstance(load("tiny_imagenet", tiny, size=6).train.images.base, np.memmap)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("shape", [(8, 8), (16, 6), (6, 16)])
def test_only_images_that_fit_on_both_sides_are_kept(tree, tmp_path, load, shape):
    dataset = load("folder", tree(tmp_path / "set", size=shape), size=12)
    assert isinstance(dataset.train.images, datasets.Enlarged) == (shape == (8, 8))
    assert dataset.image_shape == (12, 12, 3)


def test_images_of_one_oblong_size_are_kept(tree, tmp_path, load, decoded):
    root = tree(tmp_path / "set", size=(7, 5))
    dataset = load("folder", root, size=12)
    assert dataset.train.images.stored.shape[1:] == (5, 7, 3)
    picture = Image.fromarray(decoded(root / "train/a/0.png"))
    expected = picture.resize((12, 12), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(dataset.train.images[0], np.asarray(expected))


@pytest.mark.parametrize("odd", ["train/b/1.png", "val/b/1.png"])
@pytest.mark.parametrize("parallel", [False, True])
def test_images_of_several_sizes_are_decoded_at_once(
    tree, tmp_path, load, write, picture, monkeypatch, cache, odd, parallel
):
    monkeypatch.setattr(_decode, "_TASK_IMAGES", 1)
    if parallel:
        monkeypatch.setattr(_decode, "_PARALLEL_BYTES", 0)
    root = tree(tmp_path / "set")
    write(root / odd, picture(5, (9, 7)))
    for _ in range(2):
        dataset = load("folder", root, size=12)
        assert isinstance(dataset.train.images.base, np.memmap)
    assert dataset.image_shape == dataset.validation.images.shape[1:] == (12, 12, 3)
    (place,) = cache.iterdir()
    assert sorted(os.listdir(place)) == [
        "dataset.json",
        *(
            f"{split}_{what}.npy"
            for split in ("train", "validation")
            for what in ("images", "labels")
        ),
    ]


def test_broken_images_are_named_as_ever(tiny, load, cache):
    (tiny / "val/images/val_3.JPEG").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 6 images cannot be used:\n.*val_3.JPEG: the file"):
        load("tiny_imagenet", tiny, size=12)
    assert not list(cache.iterdir())


def test_what_is_made_anew_each_time_is_enlarged_too(load, decoded_at_once):
    lazy = load("digits", size=40)
    assert isinstance(lazy.train.images, datasets.Enlarged)
    whole = decoded_at_once(load, "digits", size=40)
    np.testing.assert_array_equal(lazy.validation.images[:20], whole.validation.images[:20])


def test_the_summary_and_the_sheet_tell_and_show_them(tiny, load, tmp_path):
    dataset = load("tiny_imagenet", tiny, size=12, resample="bicubic")
    facts = dict(datasets.summary(dataset).facts)
    assert facts["images"] == "12x12, RGB, uint8, enlarged from 8x8 to 12x12 by bicubic when read"
    assert datasets.draw_sheet(dataset, tmp_path / "sheet.png").stat().st_size > 1000
