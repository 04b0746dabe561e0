"""What networks take from the images that they are to learn."""

import keras
import numpy as np
import pytest

import zoo


@pytest.mark.backend
@pytest.mark.parametrize("channels", [1, 3])
def test_patches_come_out_of_the_first_layer_white(channels):
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 128, (40, 32, 32, 1))
    images = (gray + rng.integers(0, 128, (40, 32, 32, channels))).astype("uint8")
    model = zoo.build("sprint_s", input_shape=(32, 32, channels), classes=10, widths=[8, 8])
    assert zoo.adapt(model, images) is model
    first = keras.Model(model.input, model.get_layer("whiten").output)
    maps = first.predict(images, verbose=0).reshape(-1, 8 * channels)
    moments = maps.T @ maps / len(maps)
    half = 4 * channels
    # Variances lie above the 5e-4 that is added to them by 100 times and more.
    np.testing.assert_allclose(moments[:half, :half], np.eye(half), atol=0.02)
    np.testing.assert_allclose(maps[:, half:], -maps[:, :half], atol=1e-5)
    assert not model.get_layer("whiten").trainable_variables


def test_other_networks_stay_as_they_are():
    model = zoo.build("wrn_16_2")
    before = model.get_weights()
    zoo.adapt(model, np.zeros((2, 32, 32, 3), "uint8"))
    assert all((new == old).all() for new, old in zip(model.get_weights(), before, strict=True))


def test_groups_pass_their_maps_on_at_first():
    model = zoo.build("sprint_m", classes=10)
    kernel = model.get_layer("group2-conv2").kernel.numpy()
    expected = np.zeros_like(kernel)
    expected[1, 1] = np.eye(192)
    np.testing.assert_array_equal(kernel, expected)
    wider = model.get_layer("group2-conv1").kernel.numpy()
    assert (wider[1, 1, :, :64] == np.eye(64)).all()
    assert wider[..., 64:].std() > 0
