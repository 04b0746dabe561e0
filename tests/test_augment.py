"""Contracts of the augmentation package; Keras' deprecated generator is the oracle."""

import itertools
import math

import numpy as np
import pytest

import augment
from augment import _draw

# Keras' deprecated generator calls a SciPy namespace that SciPy 2 removes; it is an oracle here,
# never a dependency.
oracle = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
# Float32 coordinates against SciPy's float64: an error of 1e-5 pixels on steps of up to 255.
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def images(request) -> np.ndarray:
    """12 images 64x64x3 uint8: real ones, or smooth noise where they are absent."""
    try:
        folder = request.getfixturevalue("tiny_imagenet_10")
    except pytest.skip.Exception:
        coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
        return coarse.repeat(4, axis=1).repeat(4, axis=2)
    from PIL import Image

    files = sorted(folder.glob("train/*/images/*.JPEG"))[::416][:12]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in files])


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


# ---------------------------------------------------------------- parity


@pytest.mark.backend
@oracle
@pytest.mark.parametrize("name", augment.POLICIES)
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


# ---------------------------------------------------------------- draws

N = 20_000
# Deviation of a mean that chance exceeds in one of a million tests; seeds are fixed besides.
SIGMAS = 5


def drawn_values(policy, **options) -> dict:
    options = {"seed": 11, "epoch": 0, "shape": (50, 100, 3), **options}
    return augment.draw(policy, indices=range(N), **options)


RANGES = {
    "theta": (augment.Policy(rotation=30), -30, 30),
    "shear": (augment.Policy(shear=20), -20, 20),
    "tx": (augment.Policy(width_shift=0.2), -20, 20),
    "ty": (augment.Policy(height_shift=0.2), -10, 10),
    "zx": (augment.Policy(zoom=(0.6, 1.4)), 0.6, 1.4),
    "zy": (augment.Policy(zoom=(0.6, 1.4)), 0.6, 1.4),
    "channel_shift_intensity": (augment.Policy(channel_shift=90), -90, 90),
    "brightness": (augment.Policy(brightness=(0.3, 0.7)), 0.3, 0.7),
}


@pytest.mark.parametrize("name", RANGES)
def test_draws_are_uniform_over_their_range(name):
    policy, low, high = RANGES[name]
    values = (drawn_values(policy)[name] - low) / (high - low)
    assert 0 <= values.min() < 0.001 and 0.999 < values.max() < 1
    assert abs(values.mean() - 0.5) < SIGMAS / math.sqrt(12 * N)
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert np.abs(counts - N / 20).max() < SIGMAS * math.sqrt(N / 20)


def test_draws_of_different_parameters_are_independent():
    drawn = drawn_values(augment.B)
    series = [drawn[k] for k in ("theta", "tx", "ty", "shear", "zx", "zy")]
    series += [drawn["channel_shift_intensity"], drawn["brightness"], drawn["flip_horizontal"]]
    correlations = np.corrcoef(series) - np.eye(len(series))
    assert np.abs(correlations).max() < SIGMAS / math.sqrt(N)
    for other in (drawn_values(augment.B, epoch=1), drawn_values(augment.B, seed=12)):
        between = np.corrcoef(drawn["theta"], other["theta"])[0, 1]
        assert abs(between) < SIGMAS / math.sqrt(N)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_shares_of_flips_and_shuffles(share):
    policy = augment.Policy(horizontal_flip=share, vertical_flip=share, channel_shuffle=share)
    drawn = drawn_values(policy)
    bound = SIGMAS * math.sqrt(share * (1 - share) / N)
    for name in ("flip_horizontal", "flip_vertical"):
        assert abs(drawn[name].mean() - share) <= bound
    # A shuffled image gets each of the six orders equally often, the identity among them.
    orders, counts = np.unique(drawn["channel_order"], axis=0, return_counts=True)
    assert len(orders) == 6
    expected = np.full(6, share / 6) + (orders == [0, 1, 2]).all(axis=1) * (1 - share)
    assert (np.abs(counts / N - expected) <= SIGMAS * np.sqrt(expected / N)).all()


def test_three_forms_of_shifts():
    whole = drawn_values(augment.Policy(width_shift=4))["tx"]
    assert set(np.unique(whole)) == {-3, -2, -1, 0, 1, 2, 3}
    chosen = drawn_values(augment.Policy(width_shift=(2, 7)))["tx"]
    values, counts = np.unique(chosen, return_counts=True)
    assert values.tolist() == [-7, -2, 2, 7]
    assert np.abs(counts - N / 4).max() < SIGMAS * math.sqrt(N / 4)
    fractions = drawn_values(augment.Policy(height_shift=(0.1, 0.5)))["ty"]
    assert np.unique(fractions).tolist() == [-25, -5, 5, 25]  # of 50 rows
    pixels = drawn_values(augment.Policy(height_shift=3.5))["ty"]
    assert 3.49 < pixels.max() < 3.5


def test_switching_an_operation_leaves_the_other_draws():
    both, one = augment.Policy(rotation=30, shear=20), augment.Policy(shear=20)
    np.testing.assert_array_equal(drawn_values(both)["shear"], drawn_values(one)["shear"])


def test_known_answers_of_the_generator():
    # SplitMix64 with seed 1234567: the sequence that its published test gives.
    state = np.full(3, 1234567, np.uint64) + _draw._GAMMA * np.arange(1, 4, dtype=np.uint64)
    assert _draw._mix(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    # Our own stream: a changed number would silently change what a recorded run is replayed with.
    drawn = augment.draw(augment.A, seed=7, epoch=3, indices=[0, 12345], shape=(64, 64, 3))
    np.testing.assert_allclose(drawn["tx"], [-9.576340353146149, -9.659570792137707], rtol=1e-12)
    assert drawn["channel_order"].tolist() == [[0, 1, 2], [1, 2, 0]]


# ---------------------------------------------------------------- replay


@pytest.mark.backend
def test_an_image_is_the_same_in_any_batch(images):
    whole = host(augment.batch(images, "C", seed=3, epoch=1, indices=range(12)))
    order = np.random.default_rng(0).permutation(12)
    parts = {}
    for chosen in (order[:5], order[5:11], order[11:]):  # ragged: padded inside
        part = host(augment.batch(images[chosen], "C", seed=3, epoch=1, indices=chosen))
        assert part.shape == (len(chosen), 64, 64, 3)
        parts |= dict(zip(chosen.tolist(), part, strict=True))
    for i in range(12):
        np.testing.assert_array_equal(parts[i], whole[i])
    other = host(augment.batch(images, "C", seed=3, epoch=2, indices=range(12)))
    assert all(np.abs(other[i] - whole[i]).max() > 1 for i in range(12))


@pytest.mark.backend
def test_ragged_batches_compile_nothing(images, monkeypatch):
    import keras

    from augment import _warp

    sizes, run = [], _warp.run
    monkeypatch.setattr(
        _warp, "run", lambda images, *rest: sizes.append(len(images)) or run(images, *rest)
    )
    policy = augment.Policy(zoom=(0.5, 1.0), fill_mode="wrap")  # not used elsewhere
    tensor = keras.ops.convert_to_tensor(images)
    for n, source in ((12, images), (5, images), (5, tensor), (1, images)):
        result = augment.batch(source[:n], policy, seed=0, epoch=0, indices=range(n))
        assert len(result) == n
    assert sizes == ([12, 12, 12, 12] if _warp.is_compiled() else [12, 5, 5, 1])


def epoch_of(iterator) -> dict:
    """One epoch of an iterator whose labels number the images."""
    found = {}
    for b in range(len(iterator)):
        batch, labels = iterator[b]
        found |= dict(zip(labels.tolist(), batch, strict=True))
    return found


def test_the_generator_replays_for_any_batch_size_and_after_a_restart(images):
    generator = augment.ImageDataGenerator(rotation_range=30, channel_shift_range=50, seed=9)
    numbers = np.arange(12)
    first = generator.flow(images, numbers, batch_size=5)
    epochs = [epoch_of(first), first.on_epoch_end() or epoch_of(first)]
    restarted = generator.flow(images, numbers, batch_size=4, shuffle=False, epoch=1)
    again = epoch_of(restarted)
    for i in range(12):
        np.testing.assert_array_equal(again[i], epochs[1][i])
        assert np.abs(epochs[0][i] - epochs[1][i]).max() > 1
    assert list(epochs[0]) != list(epochs[1])  # a new order each epoch
    assert list(again) == list(range(12))
    # `next` walks on over the epochs, as Keras' iterators do.
    walked = [next(restarted)[1][0] for _ in range(4)]
    assert walked == [0, 4, 8, 0] and restarted.epoch == 2


# ---------------------------------------------------------------- policy


ODD = augment.Policy(
    width_shift=(1, -2.5), height_shift=3, brightness=(0.5, 2), cval=3, interpolation_order=0
)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
@pytest.mark.parametrize("policy", [augment.A, augment.B, augment.C, augment.Policy(), ODD])
def test_a_policy_survives_a_file(tmp_path, policy, suffix):
    path = tmp_path / f"policy{suffix}"
    policy.save(path)
    assert augment.Policy.load(path) == policy == augment.get(str(path))
    assert augment.get(policy.to_dict()) == policy == augment.get(policy)
    assert type(augment.Policy.load(path).height_shift) is type(policy.height_shift)


def test_classes_have_the_numbers_of_the_paper():
    assert augment.A == augment.Policy(
        width_shift=0.2, height_shift=0.2, channel_shift=60, channel_shuffle=1, fill_mode="reflect"
    )
    assert (augment.B.rotation, augment.B.shear, augment.B.brightness) == (30, 0.2, (0.3, 0.7))
    assert (augment.C.rotation, augment.C.shear, augment.C.zoom) == (0, 20, (0.6, 1.4))
    assert (augment.C.channel_shift, augment.C.channel_shuffle) == (90, 0.2)
    assert augment.get("C") is augment.C


WRONG_FIELDS = {
    "rotation": -1,
    "shear": math.nan,
    "zoom": (1.4, 0.6),
    "brightness": 0.5,
    "width_shift": "far",
    "height_shift": -0.1,
    "channel_shift": math.inf,
    "horizontal_flip": True,
    "vertical_flip": 1.5,
    "channel_shuffle": -0.1,
    "fill_mode": "mirror",
    "interpolation_order": 3,
}


@pytest.mark.parametrize("field", WRONG_FIELDS)
def test_a_wrong_value_names_its_field(field):
    with pytest.raises(ValueError, match=rf"{field} must be .*, got "):
        augment.Policy(**{field: WRONG_FIELDS[field]})


def test_a_wrong_policy_names_what_is_known(tmp_path):
    with pytest.raises(ValueError, match="unknown policy 'D': one of A, B, C"):
        augment.get("D")
    path = tmp_path / "policy.yaml"
    path.write_text("rotation: 30\nrotatoin: 20\n")
    with pytest.raises(ValueError, match=r"policy\.yaml: unknown policy field rotatoin; .* shear"):
        augment.get(path)
    for text in ("- 1\n", "a: [", "rotation: -3\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"policy\.yaml"):
            augment.get(path)
    with pytest.raises(ValueError, match="ends in .json"):
        augment.A.save(tmp_path / "policy.txt")


# ---------------------------------------------------------------- bad input


def test_bad_batches_are_refused(images):
    options = {"seed": 0, "epoch": 0, "indices": range(12)}
    for bad in (images[0], images[:0], images[..., 0]):
        with pytest.raises(ValueError, match=r"\(n, height, width, channels\)"):
            augment.batch(bad, "A", **options)
    with pytest.raises(ValueError, match="3 images but 12 indices"):
        augment.batch(images[:3], "A", **options)
    with pytest.raises(ValueError, match="whole numbers"):
        augment.batch(images, "A", **{**options, "indices": np.zeros(12)})
    with pytest.raises(ValueError, match=r"\(height, width, channels\)"):
        augment.draw("A", shape=(64, 64), **options)


def test_images_in_0_to_1_are_warned_of(images):
    scaled = images.astype("float32") / 255
    with pytest.warns(UserWarning, match=r"lie in \[0.*, 1\], but channel shift"):
        augment.batch(scaled, "C", seed=0, epoch=0, indices=range(12))
    with pytest.warns(UserWarning, match="multiply the images by 255"):
        augment.ImageDataGenerator(channel_shift_range=60).flow(scaled)
    # Geometry alone has no grey levels to go wrong.
    augment.batch(scaled, augment.Policy(rotation=9), seed=0, epoch=0, indices=range(12))
    augment.ImageDataGenerator(rotation_range=9).flow(scaled)


BAD_GENERATORS = {
    "fill_mode": {"fill_mode": "mirror"},
    "channels_last": {"data_format": "channels_first"},
    "validation_split": {"validation_split": 1.5},
    "interpolation_order": {"interpolation_order": 3},
    "zoom": {"zoom_range": (1.5, 0.5)},
}


@pytest.mark.parametrize("match", BAD_GENERATORS)
def test_a_bad_generator_is_refused(match):
    with pytest.raises(ValueError, match=match):
        augment.ImageDataGenerator(**BAD_GENERATORS[match])


def test_bad_flows_are_refused(images):
    generator = augment.ImageDataGenerator(validation_split=0.25)
    sorted_labels = np.repeat([0, 1], 6)
    with pytest.raises(ValueError, match="12 images in x, but 5 in y"):
        generator.flow(images, np.zeros(5))
    with pytest.raises(ValueError, match="but 3 in sample_weight"):
        generator.flow(images, np.zeros(12), sample_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"\(n, height, width, channels\)"):
        generator.flow(images[0])
    with pytest.raises(ValueError, match="subset must be"):
        generator.flow(images, subset="test")
    with pytest.raises(ValueError, match="different classes"):
        generator.flow(images, sorted_labels, subset="training")
    with pytest.raises(ValueError, match="batch_size"):
        generator.flow(images, batch_size=0)
    with pytest.raises(ValueError, match="unknown transform parameter.*angle.*theta"):
        generator.apply_transform(images[0], {"angle": 3})
    with pytest.raises(IndexError, match="batch 3 of 1"):
        generator.flow(images)[3]
    kept = generator.flow(images, sorted_labels, subset="training", ignore_class_split=True)
    assert len(kept.x) == 9


# ---------------------------------------------------------------- generator


STANDARDIZED = {
    "rescale": {"rescale": 1 / 255},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
    "ZCA": {"featurewise_center": True, "zca_whitening": True, "rescale": 1 / 255},
    "function": {"preprocessing_function": lambda image: image[::-1] + 1, "rescale": 0.5},
}


@pytest.mark.parametrize("arguments", STANDARDIZED.values(), ids=STANDARDIZED)
def test_standardization_equals_the_deprecated_generator(images, arguments):
    small = images[:, ::8, ::8]  # ZCA on 8 x 8
    ours, theirs = augment.ImageDataGenerator(**arguments), keras_generator(**arguments)
    ours.fit(small)
    theirs.fit(small)
    batch = next(ours.flow(small, batch_size=12, shuffle=False))
    expected = next(theirs.flow(small, batch_size=12, shuffle=False))
    # float32 sums in another order; the twelve directions of ZCA amplify by up to 1e3.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(batch, expected, atol=scale * 1e-3)
    assert batch.dtype == np.float32 and small.dtype == np.uint8


def test_statistics_of_augmented_images(images):
    generator = augment.ImageDataGenerator(
        featurewise_center=True, rotation_range=45, rescale=1 / 255, seed=0
    )
    generator.fit(images, augment=True, rounds=2)
    turned = [
        host(augment.batch(images, augment.Policy(rotation=45), seed=0, epoch=e, indices=range(12)))
        for e in range(2)
    ]
    np.testing.assert_allclose(
        generator.mean[0, 0], np.mean(turned, axis=(0, 1, 2, 3)) / 255, rtol=1e-4
    )


def test_a_generator_says_what_it_changes_and_what_it_lacks(images):
    with pytest.warns(UserWarning, match="zca_whitening sets featurewise_center to True"):
        generator = augment.ImageDataGenerator(zca_whitening=True)
    assert generator.featurewise_center
    centered = augment.ImageDataGenerator(featurewise_center=True)
    with pytest.warns(UserWarning, match=r"mean is not known: call fit\(images\) first"):
        centered.standardize(images[0])


def test_random_transforms_follow_the_seed(images):
    arguments = {"rotation_range": 30, "channel_shuffle": 1.0, "width_shift_range": 0.1}
    generator = augment.ImageDataGenerator(**arguments, seed=4)
    first, second = (generator.get_random_transform((64, 64, 3)) for _ in range(2))
    assert first != second
    assert (
        augment.ImageDataGenerator(**arguments, seed=4).get_random_transform((64, 64, 3)) == first
    )
    again = [generator.random_transform(images[0], seed=8) for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert first["shear"] == 0 and first["zx"] == 1 and first["brightness"] is None
    assert sorted(first["channel_order"]) == [0, 1, 2]


def test_flows_split_weigh_and_save(images, tmp_path):
    generator = augment.ImageDataGenerator(horizontal_flip=True, validation_split=0.25, seed=0)
    labels, weights = np.arange(12) % 3, np.linspace(0, 1, 12)
    parts = {
        subset: generator.flow(images, labels, 4, sample_weight=weights, subset=subset)
        for subset in ("training", "validation")
    }
    assert parts["validation"].n == 3 and parts["training"].n == 9
    np.testing.assert_array_equal(parts["validation"].x, images[:3])
    batch, y, weight = parts["training"][0]
    assert batch.shape == (4, 64, 64, 3) and len(y) == len(weight) == 4
    flow = generator.flow(images, batch_size=6, save_to_dir=tmp_path, save_prefix="a")
    assert isinstance(flow[0], np.ndarray)  # no labels: images alone
    assert len(list(tmp_path.glob("a_*_0.png"))) == 6


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


# ---------------------------------------------------------------- inside Keras


def small_model(*first):
    import keras

    layers = [keras.layers.Input((16, 16, 3)), *first, keras.layers.Rescaling(1 / 255)]
    layers += [keras.layers.Conv2D(4, 3, strides=2), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    # torch: True would be torch.compile, which needs a C++ compiler and minutes.
    jit = keras.backend.backend() != "torch"
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit)
    return model


@pytest.mark.backend
def test_the_generator_feeds_fit_and_resumes(images, monkeypatch):
    generator = augment.ImageDataGenerator(
        rotation_range=20, horizontal_flip=True, channel_shuffle=0.5, seed=1
    )
    epochs, apply = [], generator.augment
    monkeypatch.setattr(generator, "augment", lambda *a: epochs.append(a[2]) or apply(*a))

    def fit(start: int, end: int) -> list[int]:
        flow = generator.flow(images[:, ::4, ::4], np.arange(12) % 3, batch_size=5, epoch=start)
        epochs.clear()
        options = {"initial_epoch": start, "epochs": end, "shuffle": False, "verbose": 0}
        history = small_model().fit(flow, **options)
        assert np.isfinite(history.history["loss"]).all()
        assert flow.epoch == end + 1
        return epochs[-3 * (end - start) :]  # Keras looks at some batches beforehand

    assert fit(0, 3) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert fit(2, 3) == [3, 3, 3]  # what the last epoch would have been


@pytest.mark.backend
@pytest.mark.parametrize("policy", augment.POLICIES.values(), ids=augment.POLICIES)
def test_the_layer_is_random_in_training_only(images, policy):
    import keras

    layer = policy.layer(seed=3)
    assert layer.supports_jit and layer.compute_dtype == "float32"
    np.testing.assert_array_equal(host(layer(images, training=False)), images)
    same = np.repeat(images[:1], 8, axis=0)
    first, second = (host(layer(same, training=True)) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == same.shape
    # All images, and calls, differ: each has parameters of its own.
    both = np.concatenate([first, second])
    assert all(np.abs(a - b).max() > 1 for a, b in itertools.combinations(both, 2))
    # No pixel leaves the range of its image, save by the factor of brightness.
    low = policy.brightness[0] if policy.brightness else 1
    assert both.max() <= same.max() + TOLERANCE and both.min() >= same.min() * low - TOLERANCE
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.policy == policy
    np.testing.assert_array_equal(host(copy(same, training=True)), first)


@pytest.mark.backend
def test_the_layer_trains_jitted_and_saves(images, tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    model = small_model(augment.C.layer(seed=1))
    x = images[:, ::4, ::4].astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=5, epochs=1, verbose=0)  # ragged last batch
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.layers[0].policy == augment.C
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_mixed_precision_keeps_the_layer_in_float32():
    import keras

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert augment.C.layer().compute_dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")
