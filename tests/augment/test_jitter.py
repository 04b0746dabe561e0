"""Color and erasing as in torchvision, against its arithmetic restated in NumPy, and Pillow."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import augment
from augment import _warp

JITTERS = ("jitter_brightness", "jitter_contrast", "jitter_saturation", "jitter_hue")


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


def augmented(images, policy):
    """Ours, and what was drawn for it."""
    numbers = {"seed": 1, "epoch": 2, "indices": range(len(images))}
    drawn = augment.draw(policy, shape=images.shape[1:], **numbers)
    return host(augment.batch(images, policy, **numbers)), drawn


def gray(image) -> np.ndarray:
    if image.shape[-1] == 1:
        return image
    return (0.2989 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2])[..., None]


def turned(image, share) -> np.ndarray:
    """Through HSV, sector by sector, as torchvision's tables have it."""
    if image.shape[-1] == 1:
        return image
    r, g, b = np.moveaxis(image / 255, -1, 0)
    high, low = image.max(-1) / 255, image.min(-1) / 255
    span = np.where(high == low, 1, high - low)
    saturation = (high - low) / np.where(high == low, 1, high)
    rc, gc, bc = (high - r) / span, (high - g) / span, (high - b) / span
    hue = np.select([high == r, high == g], [bc - gc, 2 + rc - bc], 4 + gc - rc)
    hue = (hue / 6 + 1 + share) % 1
    sector = np.floor(hue * 6)
    rest = hue * 6 - sector
    p, q = high * (1 - saturation), high * (1 - saturation * rest)
    t = high * (1 - saturation * (1 - rest))
    v, which = high, [sector % 6 == k for k in range(6)]
    red, green, blue = [v, q, p, p, t, v], [t, v, v, q, p, p], [p, p, t, v, v, q]
    return 255 * np.stack([np.select(which, c) for c in (red, green, blue)], axis=-1)


def blend(image, other, factor) -> np.ndarray:
    return (factor * image + (1 - factor) * other).clip(0, 255)


OPERATIONS = {
    "jitter_brightness": lambda image, f: blend(image, 0, f),
    "jitter_contrast": lambda image, f: blend(image, gray(image).mean(), f),
    "jitter_saturation": lambda image, f: blend(image, gray(image), f),
    "jitter_hue": turned,
}
WIDEST = dict(zip(JITTERS, (0.6, 0.7, 0.9, 0.5), strict=True))


def jittered(images, drawn: dict) -> np.ndarray:
    out = images.astype("float64")
    for i in range(len(out)):
        names = [name for name in JITTERS if name in drawn]
        if "jitter_order" in drawn:
            assert sorted(JITTERS[k] for k in drawn["jitter_order"][i]) == sorted(names)
            names = [JITTERS[k] for k in drawn["jitter_order"][i]]
        for name in names:
            out[i] = OPERATIONS[name](out[i], drawn[name][i])
    return out


SETS = [names for size in (1, 2, 3, 4) for names in itertools.combinations(JITTERS, size)]


@pytest.mark.backend
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [*SETS[:4], *SETS[-6:]], ids=" ".join)
def test_jitter_equals_torchvision_in_the_drawn_order(images, names, channels):
    images = images[:, ::2, ::2, :channels]
    policy = augment.Policy(**{name: WIDEST[name] for name in names})
    ours, drawn = augmented(images, policy)
    # Sums of 255 in float32; a turn of the hue by a span of one level divides by it.
    np.testing.assert_allclose(ours, jittered(images, drawn), atol=0.01)


def test_jitter_of_one_channel_has_neither_saturation_nor_hue(images):
    policy = augment.Policy(jitter_saturation=0.9, jitter_hue=0.5, grayscale=1.0)
    ours, _ = augmented(images[..., :1], policy)
    np.testing.assert_array_equal(ours, images[..., :1])


@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("jitter_brightness", ImageEnhance.Brightness),
        ("jitter_contrast", ImageEnhance.Contrast),
        ("jitter_saturation", ImageEnhance.Color),
    ],
)
def test_jitter_equals_pillow(images, name, enhance):
    """Pillow rounds gray to a whole level, of which a share of 0.5 counts, and cuts off decimals:
    it may lie 1.3 levels below ours, and 0.3 above."""
    ours, drawn = augmented(images, augment.Policy(**{name: 0.5}))
    for i, image in enumerate(images):
        theirs = np.asarray(enhance(Image.fromarray(image)).enhance(drawn[name][i]), float)
        assert -0.3 <= (ours[i] - theirs).min() and (ours[i] - theirs).max() < 1.3


def test_hue_keeps_gray_and_a_full_turn_keeps_all(images):
    drawn = {"jitter_hue": np.full(12, 1.0)}
    whole = host(augment.apply(images, drawn, augment.Policy()))
    np.testing.assert_allclose(whole, images, atol=0.01)
    equal = np.repeat(images[..., :1], 3, axis=-1)
    ours, _ = augmented(equal, augment.Policy(jitter_hue=0.5))
    np.testing.assert_allclose(ours, equal, atol=1e-3)
    colors = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]]], np.uint8)
    third = host(augment.apply(colors, {"jitter_hue": np.array([1 / 3])}, augment.Policy()))
    expected = [[0, 255, 0], [0, 0, 255], [255, 0, 0], [0, 255, 255]]
    np.testing.assert_allclose(third[0, 0], expected, atol=0.01)


@pytest.mark.backend
def test_some_images_lose_their_color(images):
    ours, drawn = augmented(images, augment.Policy(grayscale=0.5))
    assert 2 < drawn["grayscale"].sum() < 10
    chosen = drawn["grayscale"][:, None, None, None]
    expected = np.where(chosen, gray(images.astype(float)), images)
    np.testing.assert_allclose(ours, expected, atol=1e-3)


# Erasing, and all of it --------------------------------------------------------------------------


def erased(images, drawn: dict, value: float) -> np.ndarray:
    out = images.copy()
    for i in range(len(out)):
        top, left, height, width = (
            int(drawn[f"erase_{side}"][i]) for side in ("top", "left", "height", "width")
        )
        out[i, top : top + height, left : left + width] = value
    return out


@pytest.mark.backend
def test_erasing_sets_a_box_to_a_value_and_nothing_else(images):
    images = images[:, :, :40]
    policy = augment.Policy(erasing=0.7, erasing_area=(0.02, 0.25), erasing_value=99.25)
    ours, drawn = augmented(images, policy)
    np.testing.assert_array_equal(ours, erased(images.astype("float32"), drawn, 99.25))
    changed = (ours != images).any(axis=(1, 2, 3))
    assert 5 <= changed.sum() <= 11


EVERYTHING = augment.Policy(
    rotation=25, width_shift=0.1, scale=(0.9, 1.1), shear_x=8, horizontal_flip=0.5,
    perspective=0.2, crop_area=(0.6, 1.0), channel_shift=40, brightness=(0.6, 1.3),
    channel_shuffle=0.7, **WIDEST, grayscale=0.3, erasing=0.6, erasing_value=7, cutout=9,
)  # fmt: skip


@pytest.mark.backend
@pytest.mark.parametrize("policy", [EVERYTHING, augment.CARS], ids=["everything", "CARS"])
@pytest.mark.parametrize("typed", ["uint8", "float32"])
def test_everything_follows_in_the_order_that_is_told(images, policy, typed):
    """Warp, shift of channels, flips, brightness, shuffle, jitters, gray, erasing, cutout."""
    ours, drawn = augmented(images.astype(typed), policy)
    moves = {name: drawn[name] for name in drawn if name in _warp.GEOMETRY}
    expected = host(augment.apply(images.astype(typed), moves, policy)).astype("float64")
    n = len(images)
    shift = drawn.get("channel_shift_intensity", np.zeros(n))[:, None, None, None]
    low, high = (f(expected, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    expected = (expected + shift).clip(low, high)
    factor = drawn.get("brightness", np.ones(n))[:, None, None, None]
    expected = (expected * factor).clip(0, 255)
    order = drawn.get("channel_order", np.tile([0, 1, 2], (n, 1)))
    expected = np.take_along_axis(expected, order[:, None, None, :], -1)
    expected = jittered(expected, drawn)
    if policy.grayscale:
        chosen = drawn["grayscale"][:, None, None, None]
        expected = np.where(chosen, gray(expected), expected)
    expected = erased(expected, drawn, 7) if policy.erasing else expected
    for i in range(n if policy.cutout else 0):
        top, left = (int(drawn[f"cutout_{axis}"][i]) - 4 for axis in ("row", "column"))
        expected[i, max(top, 0) : max(top + 9, 0), max(left, 0) : max(left + 9, 0)] = 127.5
    # As for the jitters alone; the warp of integers and that of a whole program differ by 1e-4.
    np.testing.assert_allclose(ours, expected, atol=0.01)
