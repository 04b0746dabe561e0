"""Augmentation inside Keras: what feeds `fit`, and the layer."""

import itertools

import numpy as np
import pytest

import augment
from augment import _draw

# Float32 coordinates: an error of 1e-5 pixels on steps of up to 255.
TOLERANCE = 0.02


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


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

    layer = augment.Augment(policy, seed=3)
    assert layer.supports_jit and layer.compute_dtype == "float32"
    np.testing.assert_array_equal(host(layer(images, training=False)), images)
    same = np.repeat(images[:1], 8, axis=0)
    first, second = (host(layer(same, training=True)) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == same.shape
    # All images, and calls, differ: each has parameters of its own.
    both = np.concatenate([first, second])
    assert all(np.abs(a - b).max() > 1 for a, b in itertools.combinations(both, 2))
    # No pixel leaves the range of its image, save by the factor of brightness; or, by jitter or
    # what fills it, that of pixels.
    low = policy.brightness[0] if policy.brightness else 1
    ends = (same.min() * low, same.max())
    ends = ends if policy != augment.CARS else (0, 255)
    assert both.max() <= ends[1] + TOLERANCE and both.min() >= ends[0] - TOLERANCE
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.policy == policy
    np.testing.assert_array_equal(host(copy(same, training=True)), first)


@pytest.mark.backend
def test_the_layer_reads_the_columns_of_transforms_to_come(images, monkeypatch):
    policy = augment.Policy(brightness=(0.3, 0.7), horizontal_flip=0.5)
    before = augment.Augment(augment.Policy(horizontal_flip=0.5), seed=3)
    same = np.repeat(images[:1, :8, :8], 32, axis=0)
    monkeypatch.setitem(_draw.COLUMNS, "brightness", _draw.Columns(_draw.END - 1))
    _draw._plan.cache_clear()
    try:
        layer = augment.Augment(policy, seed=3)
        calls = [host(layer(same, training=True)) for _ in range(2)]
    finally:
        _draw._plan.cache_clear()
    factors = np.array(calls).sum(axis=(2, 3, 4)) / same[0].sum()
    assert 0.3 <= factors.min() < 0.35 and 0.65 < factors.max() <= 0.7
    assert len(np.unique(factors.round(4))) > 60
    # What lies before them is drawn as without them.
    np.testing.assert_allclose(
        calls[0] / factors[0].reshape(-1, 1, 1, 1), before(same, training=True), rtol=1e-3
    )


@pytest.mark.backend
def test_the_layer_trains_jitted_and_saves(images, tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    model = small_model(augment.Augment("C", seed=1))
    x = images[:, ::4, ::4].astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=5, epochs=1, verbose=0)  # ragged last batch
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.layers[0].policy == augment.C
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.backend
def test_the_layer_cuts_out(images):
    cut = host(augment.Augment(augment.Policy(cutout=9), seed=0)(images, training=True))
    changed = (cut != images).any(axis=-1).sum(axis=(1, 2))
    assert (changed > 20).all() and (changed <= 81).all()
    assert set(np.unique(cut[cut != images])) == {127.5}


@pytest.mark.backend
@pytest.mark.parametrize("side", [28, 64])
def test_the_layer_has_all_transforms_and_trains_jitted(images, side):
    import keras

    policy = augment.Policy(
        scale=(0.8, 1.2), shear_x=8, extra_rotation=15, perspective=0.3, crop_area=(0.3, 1),
        jitter_brightness=0.2, jitter_contrast=0.2, jitter_saturation=0.2, jitter_hue=0.1,
        grayscale=0.3, erasing=1.0, erasing_value=200, fill_mode="reflect",
    )  # fmt: skip
    layer = augment.Augment(policy, seed=3)
    same = np.repeat(images[:1, :side, :side], 8, axis=0)
    found = host(layer(same, training=True))
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 255 + TOLERANCE
    assert all(np.abs(a - b).max() > 1 for a, b in itertools.combinations(found, 2))
    erased = (found == 200).all(axis=-1).mean(axis=(1, 2))
    assert (0.015 < erased).all() and (erased < 0.35).all()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.policy == policy
    np.testing.assert_array_equal(host(copy(same, training=True)), found)


def test_a_layer_that_knows_no_epoch_refuses_to_alternate():
    with pytest.raises(ValueError, match="alternating_flip: a layer knows neither epoch nor"):
        augment.Augment(augment.Policy(alternating_flip=True))


def test_mixed_precision_keeps_the_layer_in_float32():
    import keras

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert augment.Augment("C").compute_dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.backend
def test_a_layer_of_a_policy_without_operations_passes_images_through(images):
    layer = augment.Augment(augment.Policy(), seed=0)
    np.testing.assert_array_equal(host(layer(images, training=True)), images)
