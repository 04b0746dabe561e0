"""Transforms that torchvision names, against its arithmetic restated in NumPy, SciPy and Pillow."""

import itertools

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image, ImageEnhance

import augment

# Float32 coordinates against float64: an error of 2e-5 pixels at 64 pixels, of 1e-4 at 224, where
# neighbors are up to 255 apart.
TOLERANCE = 0.05
JITTERS = ("jitter_brightness", "jitter_contrast", "jitter_saturation", "jitter_hue")


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


def augmented(images, policy, **options):
    """Ours, and what was drawn for it."""
    numbers = {"seed": 1, "epoch": 2, "indices": range(len(images)), **options}
    drawn = augment.draw(policy, shape=images.shape[1:], **numbers)
    return host(augment.batch(images, policy, **numbers)), drawn


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


# Geometry ----------------------------------------------------------------------------------------


def inverse_affine(center, angle, translate, scale, shear_x) -> np.ndarray:
    """torchvision's matrix from output to input (x, y, 1), with no shear along y."""
    rot, sx = np.deg2rad([angle, shear_x])
    a, b = np.cos(rot), -np.cos(rot) * np.tan(sx) - np.sin(rot)
    c, d = np.sin(rot), -np.sin(rot) * np.tan(sx) + np.cos(rot)
    matrix = np.array([[d, -b, 0], [-c, a, 0], [0, 0, scale]]) / scale
    cx, cy = center
    matrix[:2, 2] = matrix[:2, :2] @ (-cx - translate[0], -cy - translate[1]) + (cx, cy)
    return matrix


def perspective_coefficients(start, end) -> np.ndarray:
    """torchvision's eight numbers, from the four corners as they were and as they are."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(wanted, float))


def one(drawn: dict, i: int, **defaults) -> dict:
    return defaults | {name: values[i] for name, values in drawn.items()}


def coordinates(drawn: dict, i: int, shape) -> np.ndarray:
    """Rows and columns (2, h, w) of the input by torchvision's transforms one after the other."""
    height, width = shape[:2]
    d = one(drawn, i, theta=0, tx=0, ty=0, scale=1, shear_x=0, extra_rotation=0)
    y, x = np.mgrid[:height, :width].astype(float)
    if "crop_top" in d:
        # Resized, a crop ends with its own pixels.
        y = d["crop_top"] + ((y + 0.5) * d["crop_height"] / height - 0.5).clip(
            0, d["crop_height"] - 1
        )
        x = d["crop_left"] + ((x + 0.5) * d["crop_width"] / width - 0.5).clip(
            0, d["crop_width"] - 1
        )
    if "corners" in d:
        right, bottom = width - 1, height - 1
        start = [(0, 0), (right, 0), (right, bottom), (0, bottom)]
        a, b, c, d_, e, f, g, h = perspective_coefficients(start, d["corners"].reshape(4, 2))
        x, y = x + 0.5, y + 0.5  # the middle of a pixel
        w = g * x + h * y + 1
        x, y = (a * x + b * y + c) / w - 0.5, (d_ * x + e * y + f) / w - 0.5
    center = ((width - 1) / 2, (height - 1) / 2)
    turn = inverse_affine(center, -d["extra_rotation"], (0, 0), 1, 0)
    x, y, _ = np.einsum("ij,jhw->ihw", turn, [x, y, np.ones_like(x)])
    x = width - 1 - x if d.get("flip_horizontal") else x
    matrix = inverse_affine(center, -d["theta"], (-d["tx"], -d["ty"]), d["scale"], d["shear_x"])
    x, y, _ = np.einsum("ij,jhw->ihw", matrix, [x, y, np.ones_like(x)])
    return np.stack([y, x])


def sampled(images, drawn: dict, policy) -> np.ndarray:
    out = np.empty(images.shape, "float64")
    how = {"order": policy.interpolation_order, "mode": policy.fill_mode, "cval": policy.cval}
    for i, image in enumerate(images.astype("float64")):
        places = coordinates(drawn, i, image.shape)
        for k in range(image.shape[-1]):
            out[i, ..., k] = scipy.ndimage.map_coordinates(image[..., k], places, **how)
    return out


GEOMETRY = {
    "scale": {"scale": (0.5, 1.5)},
    "shear along x": {"shear_x": 30},
    "RandomAffine": {
        "rotation": 25, "width_shift": 0.1, "height_shift": 0.1, "scale": (0.9, 1.1), "shear_x": 8,
    },
    "extra rotation": {"extra_rotation": 15},
    "perspective": {"perspective": 0.5, "perspective_probability": 1.0},
    "perspective of half of them": {"perspective": 0.2},
    "crop": {"crop_area": (0.08, 1.0)},
    "crop of a ratio": {"crop_area": (0.2, 0.5), "crop_ratio": (0.8, 1.2)},
    "all": {
        "rotation": 25, "width_shift": 0.1, "height_shift": 0.1, "scale": (0.9, 1.1), "shear_x": 8,
        "horizontal_flip": 0.5, "extra_rotation": 15, "perspective": 0.2,
        "crop_area": (0.6, 1.0), "crop_ratio": (0.8, 1.2),
    },
}  # fmt: skip


@pytest.mark.backend
@pytest.mark.parametrize("fields", GEOMETRY.values(), ids=GEOMETRY)
def test_the_warp_equals_torchvision_one_step_after_the_other(images, fields):
    for fill_mode, pixels in (("reflect", images), ("nearest", images[:, 10:58])):
        policy = augment.Policy(**fields, fill_mode=fill_mode)
        ours, drawn = augmented(pixels, policy)
        np.testing.assert_allclose(ours, sampled(pixels, drawn, policy), atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(28, 28, 1), (224, 224, 3), (33, 50, 3), (2, 3, 1)])
def test_the_warp_equals_torchvision_at_any_size(shape):
    images = noise(3, *shape)
    policy = augment.Policy(**{**GEOMETRY["all"], "crop_ratio": None}, fill_mode="nearest")
    ours, drawn = augmented(images, policy)
    np.testing.assert_allclose(ours, sampled(images, drawn, policy), atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(1, 6, 3), (7, 1, 1), (1, 1, 3)])
def test_images_of_one_line_have_a_perspective_too(shape):
    even = np.full((3, *shape), 99, np.uint8)
    policy = augment.Policy(perspective=1.0, perspective_probability=1.0, extra_rotation=90)
    ours, _ = augmented(even, policy)
    np.testing.assert_allclose(ours, even, atol=TOLERANCE)


@pytest.mark.backend
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", ["constant", "wrap", "reflect"])
def test_fill_modes_and_orders_hold_for_the_new_maps(images, fill_mode, order):
    how = {"fill_mode": fill_mode, "cval": 77.0, "interpolation_order": order}
    policy = augment.Policy(**GEOMETRY["all"], **how)
    ours, drawn = augmented(images, policy)
    # Where a coordinate lies on a tie (order 0) or on the last pixel (wrap, constant), rounding
    # of float32 decides: less than one pixel in a thousand.
    apart = np.abs(ours - sampled(images, drawn, policy)).max(axis=-1) > TOLERANCE
    assert apart.mean() < 1e-3


@pytest.mark.parametrize(
    "fields",
    [
        {"crop_area": (0.999, 1.0), "crop_ratio": (1, 1)},
        {"perspective": 0.004, "perspective_probability": 1.0},
        {"perspective": 0.5, "perspective_probability": 1e-9},
        {"scale": (1.0, 1.0 + 1e-12)},
    ],
)
@pytest.mark.parametrize("side", [28, 64, 224])
def test_what_stays_where_it_is_keeps_its_border(fields, side):
    """In exact arithmetic: otherwise "constant" would paint the border."""
    images = noise(3, side, side, 1)
    ours, _ = augmented(images, augment.Policy(**fields, fill_mode="constant", cval=300.0))
    np.testing.assert_array_equal(ours, images)


def test_affine_and_perspective_equal_pillow(images):
    """Inside, where Pillow has no border. It cuts off decimals, hence one level."""
    policy = augment.Policy(
        perspective=0.3, perspective_probability=1, fill_mode="constant", horizontal_flip=0.5
    )
    ours, drawn = augmented(images, policy)
    right = bottom = 63
    start = [(0, 0), (right, 0), (right, bottom), (0, bottom)]
    for i, image in enumerate(images):
        corners = perspective_coefficients(start, drawn["corners"][i].reshape(4, 2))
        image = image[:, ::-1] if drawn["flip_horizontal"][i] else image
        theirs = Image.fromarray(image).transform(
            (64, 64), Image.Transform.PERSPECTIVE, corners.tolist(), Image.Resampling.BILINEAR
        )
        places = coordinates({"corners": drawn["corners"]}, i, image.shape)
        inside = ((places >= 0) & (places <= 63)).all(axis=0)
        assert inside.mean() > 0.5
        assert np.abs(ours[i] - np.asarray(theirs))[inside].max() < 1 + TOLERANCE
    affine = augment.Policy(rotation=25, scale=(0.9, 1.1), shear_x=8, width_shift=0.1)
    ours, drawn = augmented(images, affine)
    for i, image in enumerate(images):
        d = one(drawn, i)
        # Pillow's plane has its origin at the corner of the first pixel, half a pixel before ours.
        matrix = inverse_affine((32, 32), -d["theta"], (-d["tx"], 0), d["scale"], d["shear_x"])
        theirs = Image.fromarray(image).transform(
            (64, 64), Image.Transform.AFFINE, matrix[:2].ravel().tolist(),
            Image.Resampling.BILINEAR,
        )  # fmt: skip
        places = coordinates(drawn, i, image.shape)
        inside = ((places >= 0) & (places <= 63)).all(axis=0)
        assert np.abs(ours[i] - np.asarray(theirs))[inside].max() < 1 + TOLERANCE


@pytest.mark.parametrize("shape", [(64, 64, 3), (48, 64, 3), (28, 28, 1)])
def test_a_resized_crop_equals_pillow_to_the_border(images, shape):
    """Pillow resizes one axis after the other, and rounds to whole levels after each."""
    images = images[:, : shape[0], : shape[1], : shape[2]]
    ours, drawn = augmented(images, augment.Policy(crop_area=(0.08, 1.0), fill_mode="constant"))
    for i, image in enumerate(images):
        top, left, height, width = (
            int(drawn[f"crop_{side}"][i]) for side in ("top", "left", "height", "width")
        )
        crop = Image.fromarray(image.squeeze()[top : top + height, left : left + width])
        theirs = np.asarray(crop.resize(shape[1::-1], Image.Resampling.BILINEAR))
        assert np.abs(ours[i] - theirs.reshape(shape)).max() < 1 + TOLERANCE


# Color -------------------------------------------------------------------------------------------


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


@pytest.mark.backend
@pytest.mark.parametrize("typed", ["uint8", "float32"])
def test_everything_follows_in_the_order_that_is_told(images, typed):
    """Warp, shift of channels, flips, brightness, shuffle, jitters, gray, erasing, cutout."""
    policy = augment.Policy(
        **GEOMETRY["all"], channel_shift=40, brightness=(0.6, 1.3), channel_shuffle=0.7,
        **WIDEST, grayscale=0.3, erasing=0.6, erasing_value=7, cutout=9, fill_mode="nearest",
    )  # fmt: skip
    ours, drawn = augmented(images.astype(typed), policy)
    expected = sampled(images, drawn, policy)
    shift = drawn["channel_shift_intensity"][:, None, None, None]
    low, high = (f(expected, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    expected = (expected + shift).clip(low, high)
    expected = (expected * drawn["brightness"][:, None, None, None]).clip(0, 255)
    expected = np.take_along_axis(expected, drawn["channel_order"][:, None, None, :], -1)
    expected = jittered(expected, drawn)
    chosen = drawn["grayscale"][:, None, None, None]
    expected = erased(np.where(chosen, gray(expected), expected), drawn, 7)
    for i in range(12):
        top, left = (int(drawn[f"cutout_{axis}"][i]) - 4 for axis in ("row", "column"))
        expected[i, max(top, 0) : max(top + 9, 0), max(left, 0) : max(left + 9, 0)] = 127.5
    # What the warp has, times a brightness of 1.3 and factors of up to 1.6, 1.7 and 1.9 behind it.
    np.testing.assert_allclose(ours, expected, atol=6.7 * TOLERANCE)


@pytest.mark.backend
def test_the_cars_paper(images):
    ours, drawn = augmented(images, "CARS")
    assert augment.CARS == augment.Policy(
        horizontal_flip=0.5, rotation=25, width_shift=0.1, height_shift=0.1, scale=(0.9, 1.1),
        shear_x=8, jitter_brightness=0.2, jitter_contrast=0.2, jitter_saturation=0.2,
        jitter_hue=0.1, fill_mode="constant", cval=0, interpolation_order=0,
    )  # fmt: skip
    expected = jittered(sampled(images, drawn, augment.CARS), drawn)
    # Pixels on a tie of the nearest, one in thousands, also change the mean gray of an image.
    apart = np.abs(ours - expected).max(axis=-1) > 0.5
    assert apart.mean() < 1e-3
