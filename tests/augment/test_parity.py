"""Augmentation equals its oracles: Keras' deprecated generator, and SciPy."""

import itertools

import numpy as np
import pytest

import augment

# Keras' deprecated generator calls a SciPy namespace that SciPy 2 removes; it is an oracle here,
# never a dependency.
oracle = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
# Float32 coordinates against SciPy's float64: an error of 1e-5 pixels on steps of up to 255.
TOLERANCE = 0.02


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


def keras_generator(**arguments):
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**arguments)


def keras_batch(images, drawn: dict, **arguments) -> np.ndarray:
    """The deprecated generator on drawn parameters, with channel shuffle by hand."""
    generator, out = keras_generator(**arguments), []
    for i, image in enumerate(images):
        out.append(generator.apply_transform(image, {k: v[i] for k, v in drawn.items()}))
        if "channel_order" in drawn:
            out[-1] = out[-1][..., drawn["channel_order"][i]]
    return np.stack(out)


def assert_parity(ours, theirs, brightness=None):
    """At most TOLERANCE apart. Brightness there cuts off decimals before and after a factor f:
    its result lies less than 1 + f below ours."""
    if brightness is None:
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
        return
    below = ours - theirs
    assert below.min() > -TOLERANCE
    assert (below < 1 + np.reshape(brightness, (-1, 1, 1, 1)) + TOLERANCE).all()


@pytest.mark.backend
@oracle
@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_classes_equal_the_deprecated_generator(images, name):
    policy = augment.get(name)
    drawn = augment.draw(policy, seed=1, epoch=2, indices=range(12), shape=images.shape[1:])
    theirs = keras_batch(images.astype("float32"), drawn, fill_mode="reflect")
    ours = host(augment.batch(images, policy, seed=1, epoch=2, indices=range(12)))
    assert ours.dtype == np.float32
    assert_parity(ours, theirs, drawn.get("brightness"))
    as_float = augment.batch(images.astype("float32"), policy, seed=1, epoch=2, indices=range(12))
    np.testing.assert_allclose(host(as_float), ours, atol=1e-4)  # other order of summation


ALONE = {
    "rotation": {"rotation_range": 40},
    "width shift, fraction": {"width_shift_range": 0.3},
    "height shift, fraction": {"height_shift_range": 0.3},
    "width shift, pixels": {"width_shift_range": 5.5},
    "height shift, whole pixels": {"height_shift_range": 7},
    "width shift, choices": {"width_shift_range": [-3, 5, 8]},
    "height shift, chosen fractions": {"height_shift_range": [0.1, 0.25]},
    "shear": {"shear_range": 25},
    "zoom": {"zoom_range": 0.4},
    "zoom, pair": {"zoom_range": (0.5, 2.5)},
    "channel shift": {"channel_shift_range": 100},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "darker": {"brightness_range": (0.2, 0.9)},
    "brighter": {"brightness_range": (1.1, 2)},
    "all": {
        "rotation_range": 180,
        "width_shift_range": 0.3,
        "height_shift_range": 0.2,
        "shear_range": 25,
        "zoom_range": 0.5,
        "channel_shift_range": 60,
        "horizontal_flip": True,
        "vertical_flip": True,
    },
}


@oracle
@pytest.mark.parametrize("arguments", ALONE.values(), ids=ALONE)
def test_each_transform_equals_the_deprecated_generator(images, arguments):
    ours, theirs = augment.ImageDataGenerator(**arguments), keras_generator(**arguments)
    wide = images[:, 10:58, :, :]  # 48 x 64, since the generators exchange the axes
    for seed, image in enumerate([*images[:4], *wide[4:8]]):
        parameters = ours.get_random_transform(image.shape, seed=seed)
        expected = theirs.apply_transform(image.astype("float32"), parameters)
        result = ours.apply_transform(image, parameters)
        assert_parity(result[None], expected[None], parameters["brightness"])
        assert (
            parameters.keys() - {"channel_order"} == theirs.get_random_transform((4, 4, 3)).keys()
        )


@pytest.mark.backend
@oracle
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
def test_fill_modes_and_orders_equal_scipy(images, fill_mode, order):
    how = {"fill_mode": fill_mode, "cval": 77.0, "interpolation_order": order}
    # Far out of the image: several periods of reflect and wrap.
    policy = augment.Policy(
        rotation=90, width_shift=1.5, height_shift=100.0, shear=30, zoom=(0.5, 3.0), **how
    )
    drawn = augment.draw(policy, seed=5, epoch=0, indices=range(12), shape=images.shape[1:])
    theirs = keras_batch(images.astype("float32"), drawn, **how)
    ours = host(augment.batch(images, policy, seed=5, epoch=0, indices=range(12)))
    # Where a coordinate lies on a tie (order 0) or on the last pixel (wrap, constant), rounding
    # of float32 decides: less than one pixel in a thousand.
    apart = np.abs(ours - theirs).max(axis=-1) > (TOLERANCE if order else 0)
    assert apart.mean() < 1e-3
    if order == 1 and fill_mode in ("nearest", "reflect"):
        assert not apart.any()


@pytest.mark.backend
@pytest.mark.parametrize("shape", [(9, 5, 1), (5, 9, 2), (6, 6, 4), (7, 8, 5), (1, 6, 3)])
def test_any_shape_and_number_of_channels(shape):
    """Against SciPy on Keras' matrices, multiplied one by one, about the true center."""
    import scipy.ndimage

    images = np.random.default_rng(3).integers(0, 256, (3, *shape), np.uint8)
    policy = augment.Policy(rotation=50, shear=20, width_shift=0.4, channel_shuffle=1.0)
    drawn = augment.draw(policy, seed=0, epoch=0, indices=[4, 5, 6], shape=shape)
    middle = np.array([[1, 0, (shape[1] - 1) / 2], [0, 1, (shape[0] - 1) / 2], [0, 0, 1]])
    expected = np.empty(images.shape, "float32")
    for i, k in itertools.product(range(3), range(shape[-1])):
        a, s = np.deg2rad([drawn["theta"][i], drawn["shear"][i]])
        rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        shift = np.array([[1, 0, drawn["tx"][i]], [0, 1, 0], [0, 0, 1]])
        shear = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
        m = middle @ rotation @ shift @ shear @ np.linalg.inv(middle)  # of (x, y, 1)
        source = images[i, :, :, drawn["channel_order"][i, k]].astype("float32")
        expected[i, :, :, k] = scipy.ndimage.affine_transform(
            source, m[1::-1, 1::-1], m[1::-1, 2], order=1, mode="nearest"
        )
    for typed in (images, images.astype("float64"), images.astype("int32")):
        result = host(augment.batch(typed, policy, seed=0, epoch=0, indices=[4, 5, 6]))
        np.testing.assert_allclose(result, expected, atol=TOLERANCE)


FILLED = {"nearest": "edge", "reflect": "symmetric", "constant": "constant"}  # NumPy's names


@pytest.mark.backend
@pytest.mark.parametrize("side", [28, 32])
@pytest.mark.parametrize("fill_mode", FILLED)
def test_whole_pixels_are_moved_as_they_are(fill_mode, side):
    """Bit for bit, also where float32 has no exact coordinates (28)."""
    images = np.random.default_rng(0).integers(0, 256, (40, side, side, 3), np.uint8)
    shift = (-2, -1, 0, 1, 2)
    policy = augment.Policy(
        alternating_flip=True,
        vertical_flip=0.2,
        width_shift=shift,
        height_shift=shift,
        fill_mode=fill_mode,
    )
    drawn = augment.draw(policy, seed=3, epoch=2, indices=range(40), shape=images.shape[1:])
    expected = np.empty(images.shape, "float32")
    for i, image in enumerate(images):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), FILLED[fill_mode])
        top, left = 2 + int(drawn["ty"][i]), 2 + int(drawn["tx"][i])
        moved = padded[top : top + side, left : left + side]
        moved = moved[:, ::-1] if drawn["flip_horizontal"][i] else moved
        expected[i] = moved[::-1] if drawn["flip_vertical"][i] else moved
    for typed in (images, images.astype("float32")):
        found = host(augment.batch(typed, policy, seed=3, epoch=2, indices=range(40)))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.backend
@pytest.mark.parametrize("others", [{}, {"horizontal_flip": 0.5}, {"brightness": (0.3, 0.7)}])
@pytest.mark.parametrize("side", [4, 5, 200])
def test_cutout_sets_a_square_to_a_value_and_nothing_else(images, side, others):
    images = images[:, :, :40]  # not square
    policy = augment.Policy(cutout=side, cutout_value=99.25, **others)
    drawn = augment.draw(policy, seed=2, epoch=1, indices=range(12), shape=images.shape[1:])
    expected = host(
        augment.batch(images, augment.Policy(**others), seed=2, epoch=1, indices=range(12))
    ).copy()
    for i in range(12):
        top = int(drawn["cutout_row"][i]) - side // 2
        left = int(drawn["cutout_column"][i]) - side // 2
        for y in range(max(top, 0), min(top + side, 64)):
            for x in range(max(left, 0), min(left + side, 40)):
                expected[i, y, x] = 99.25
    found = host(augment.batch(images, policy, seed=2, epoch=1, indices=range(12)))
    np.testing.assert_array_equal(found, expected)


def test_a_policy_has_the_axes_the_right_way_round():
    image = np.zeros((1, 5, 9, 1), np.uint8)
    image[0, 2, 4] = 255  # the middle
    at = {"rotation": {"theta": [90.0]}, "tx": {"tx": [2.0]}, "ty": {"ty": [1.0]}}
    found = {}
    for name, drawn in at.items():
        drawn = {k: np.array(v) for k, v in drawn.items()}
        moved = host(augment.apply(image, drawn, augment.Policy()))[0, ..., 0]
        found[name] = tuple(int(v) for v in np.argwhere(moved > 200)[0])
    # Parameters map output to input, so content moves the other way.
    assert found == {"rotation": (2, 4), "tx": (2, 2), "ty": (1, 4)}
