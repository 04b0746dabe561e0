"""An image of an epoch is the same in any batch, order and process."""

import numpy as np
import pytest

import augment


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.backend
@pytest.mark.parametrize("policy", ["C", "CARS"])
def test_an_image_is_the_same_in_any_batch(images, policy):
    whole = host(augment.batch(images, policy, seed=3, epoch=1, indices=range(12)))
    order = np.random.default_rng(0).permutation(12)
    parts = {}
    for chosen in (order[:5], order[5:11], order[11:]):  # ragged: padded inside
        part = host(augment.batch(images[chosen], policy, seed=3, epoch=1, indices=chosen))
        assert part.shape == (len(chosen), 64, 64, 3)
        parts |= dict(zip(chosen.tolist(), part, strict=True))
    for i in range(12):
        np.testing.assert_array_equal(parts[i], whole[i])
    other = host(augment.batch(images, policy, seed=3, epoch=2, indices=range(12)))
    assert all(np.abs(other[i] - whole[i]).max() > 1 for i in range(12))


@pytest.mark.backend
def test_ragged_batches_compile_nothing(images, monkeypatch):
    import keras

    from augment import _compile, _warp

    sizes, run = [], _warp.run
    monkeypatch.setattr(
        _warp, "run", lambda images, *rest: sizes.append(len(images)) or run(images, *rest)
    )
    policy = augment.Policy(zoom=(0.5, 1.0), fill_mode="wrap")  # not used elsewhere
    tensor = keras.ops.convert_to_tensor(images)
    for n, source in ((12, images), (5, images), (5, tensor), (1, images)):
        result = augment.batch(source[:n], policy, seed=0, epoch=0, indices=range(n))
        assert len(result) == n
    assert sizes == ([12, 12, 12, 12] if _compile.is_compiled() else [12, 5, 5, 1])


def test_calls_of_a_program_are_not_errors_at_first(images, monkeypatch):
    """TensorFlow tries its flat signature, and would write out all tensors to say it does not fit.

    That takes longer than the warp.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's programs")
    tensor = type(keras.ops.convert_to_tensor(images))
    monkeypatch.setattr(tensor, "__repr__", lambda self: pytest.fail("a tensor was written out"))
    for policy in ("C", augment.Policy(rotation=20), augment.Policy(channel_shift=9.0)):
        augment.batch(images, policy, seed=0, epoch=0, indices=range(12))


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
