"""Geometry that torchvision names, against its arithmetic restated in NumPy, SciPy and Pillow."""

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

import augment

# Float32 coordinates against float64: an error of 2e-5 pixels at 64 pixels, of 1e-4 at 224, where
# neighbors are up to 255 apart.
TOLERANCE = 0.05


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


CARS_WARP = (
    "horizontal_flip", "rotation", "width_shift", "height_shift", "scale", "shear_x", "fill_mode",
    "interpolation_order",
)  # fmt: skip
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


@pytest.mark.backend
def test_the_cars_paper(images):
    assert augment.CARS == augment.Policy(
        horizontal_flip=0.5, rotation=25, width_shift=0.1, height_shift=0.1, scale=(0.9, 1.1),
        shear_x=8, jitter_brightness=0.2, jitter_contrast=0.2, jitter_saturation=0.2,
        jitter_hue=0.1, fill_mode="constant", cval=0, interpolation_order=0,
    )  # fmt: skip
    warp = {name: getattr(augment.CARS, name) for name in CARS_WARP}
    ours, drawn = augmented(images, augment.Policy(**warp))
    # Pixels on a tie of the nearest, or on the border of the image.
    apart = np.abs(ours - sampled(images, drawn, augment.CARS)).max(axis=-1) > 0
    assert apart.mean() < 1e-3
