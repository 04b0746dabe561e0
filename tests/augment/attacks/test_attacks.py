"""Contracts of the attacks that climb the input gradient."""

import keras
import numpy as np
import pytest

import augment

CLASSES = 4
SHAPE = (6, 6, 3)
# Gradients are float32 sums of some hundred terms, compared with float64 on each backend, by the
# largest entry. Half of 1e-4, so that any two backends agree to 1e-4.
TOLERANCE = 5e-5


@pytest.mark.backend
def test_fgsm_moves_every_pixel_by_epsilon_along_the_gradient(
    images, labels, targets, linear, linear_gradient
):
    model = linear()
    away = augment.fgsm(model, images, labels, epsilon=8)
    closer = augment.fgsm(model, images, labels, epsilon=8, targets=targets)
    assert away.dtype == closer.dtype == np.float32
    for moved, classes, direction in ((away, labels, 1), (closer, targets, -1)):
        exact = linear_gradient(model, images, classes)
        assert (np.abs(moved - images) == 8).all()
        clear = np.abs(exact) > TOLERANCE * np.abs(exact).max()
        np.testing.assert_array_equal(
            (moved - images)[clear], direction * 8 * np.sign(exact[clear])
        )


@pytest.mark.backend
def test_a_pixel_without_gradient_stays(images, labels, linear):
    model = linear()
    weights, bias = model.get_weights()
    weights = weights.reshape(*SHAPE, CLASSES)
    weights[0] = 0
    model.set_weights([weights.reshape(-1, CLASSES), bias])
    moved = augment.fgsm(model, images, labels, epsilon=8) - images
    assert (moved[:, 0] == 0).all() and (np.abs(moved[:, 1:]) == 8).all()


def test_pgd_steps_are_projected_to_the_ball(images, labels, linear):
    model = linear()
    change = [
        np.abs(augment.pgd(model, images, labels, epsilon=8, step=3, steps=k, seed=None) - images)
        for k in (1, 2, 3, 4)
    ]
    # The direction need not be the same in each step, so not all pixels reach the border.
    assert (change[0] == 3).all()
    assert [c.max() for c in change] == [3, 6, 8, 8]


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("targeted", [False, True])
def test_results_lie_within_the_ball_and_the_range(labels, targets, attack, targeted, linear):
    images = np.random.default_rng(3).choice([0, 1, 254, 255], (7, *SHAPE)).astype(np.uint8)
    more = {"step": 4, "steps": 3} if attack == "pgd" else {}
    more |= {"targets": targets} if targeted else {}
    attacked = getattr(augment, attack)(linear(), images, labels, epsilon=10, **more)
    assert attacked.min() == 0 and attacked.max() == 255
    # A random start is no whole number: one rounding of float32 at 255.
    assert np.abs(attacked - images).max() <= 10 + 255 * 2.0**-24


@pytest.mark.backend
def test_attacks_raise_the_loss_and_targeted_ones_lower_that_of_the_target(
    images, labels, targets, convolutional, losses
):
    model = convolutional()
    gradient = augment.Gradient(model)
    for attack, more in ((augment.fgsm, {}), (augment.pgd, {"step": 2, "steps": 5})):
        away = attack(gradient, images, labels, epsilon=8, **more)
        closer = attack(gradient, images, labels, epsilon=8, targets=targets, **more)
        assert (losses(model, away, labels) > losses(model, images, labels)).all()
        assert (losses(model, closer, targets) < losses(model, images, targets)).all()


def test_the_random_start_depends_on_seed_and_image_alone(images, labels, linear):
    model, ball = linear(), {"epsilon": 8, "step": 1e-6, "steps": 1}  # so that the start is seen
    whole = augment.pgd(model, images, labels, **ball)
    np.testing.assert_array_equal(whole, augment.pgd(model, images, labels, **ball))
    assert (whole != augment.pgd(model, images, labels, seed=1, **ball)).mean() > 0.99
    assert len(np.unique(whole[0] - images[0])) > 0.9 * images[0].size
    spread = (whole - images).ravel() / 8
    assert abs(spread.mean()) < 0.1 and abs(spread.std() - 3**-0.5) < 0.05  # uniform in -1..1


@pytest.mark.backend
def test_results_do_not_depend_on_the_batch_size(images, labels, linear):
    model = linear()
    ball = {"epsilon": 8, "step": 3, "steps": 3, "seed": 5}
    whole = augment.pgd(model, images, labels, **ball)
    parts = augment.pgd(augment.Gradient(model, batch_size=3), images, labels, **ball)
    np.testing.assert_array_equal(parts, whole)


WRONG = {
    "epsilon of 0": ({"epsilon": 0}, "epsilon=0"),
    "epsilon not finite": ({"epsilon": float("nan")}, "epsilon=nan"),
    "step": ({"step": -1}, "step=-1"),
    "steps": ({"steps": 0}, "steps=0"),
    "label": ({"labels": np.full(7, CLASSES)}, "labels from 4 to 4: .* classes 0 to 3"),
    "float labels": ({"labels": np.zeros(7)}, "labels of type float64"),
    "too few labels": ({"labels": np.zeros(6, int)}, r"shape \(6,\)"),
    "target": ({"targets": np.full(7, -1)}, "targets from -1"),
    "size": ({"images": np.zeros((7, 5, 6, 3))}, r"images are \(5, 6, 3\)"),
    "one image": ({"images": np.zeros(SHAPE)}, r"images of shape \(6, 6, 3\)"),
    "beyond 255": ({"images": np.full((7, *SHAPE), 256.0)}, "images from 256"),
    "not finite": ({"images": np.full((7, *SHAPE), np.nan)}, r"images\[0\] has NaN"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(images, labels, wrong, message, linear):
    good = {"images": images, "labels": labels, "epsilon": 8, "step": 2, "steps": 1}
    with pytest.raises(ValueError, match=message):
        augment.pgd(linear(), **{**good, **wrong})


def test_scaled_images_are_warned_of(images, labels, linear):
    with pytest.warns(UserWarning, match="multiply the images by 255"):
        augment.fgsm(linear(), images / 255, labels, epsilon=8)


def test_a_model_that_does_not_fit_is_named(linear):
    subclassed = type("Mine", (keras.Model,), {})(name="mine")
    image = keras.Input(SHAPE)
    whole = keras.Input(SHAPE, dtype="uint8")
    flat = keras.layers.Flatten()
    for model, message in (
        (subclassed, "Mine mine is no functional model"),
        (keras.Model(image, keras.layers.Conv2D(2, 1)(image)), "of 2 classes or more"),
        (keras.Model(image, keras.layers.Dense(1)(flat(image))), "of 2 classes or more"),
        (keras.Model(whole, keras.layers.Dense(2)(flat(whole))), "uint8 images"),
    ):
        with pytest.raises(ValueError, match=message):
            augment.Gradient(model)
    with pytest.raises(ValueError, match="batch_size=0"):
        augment.Gradient(linear(), batch_size=0)


@pytest.mark.backend
def test_a_random_start_follows_the_number_of_the_image(images, labels, linear):
    ball = {"epsilon": 8, "step": 3, "steps": 2, "seed": 5}
    gradient = augment.Gradient(linear(), batch_size=3)
    whole = augment.pgd(gradient, images, labels, **ball)
    again = augment.pgd(gradient, images, labels, indices=np.arange(7), **ball)
    np.testing.assert_array_equal(again, whole)
    order = np.array([6, 1, 4, 0, 3])
    part = augment.pgd(gradient, images[order], labels[order], indices=order, **ball)
    np.testing.assert_array_equal(part, whole[order])
    other = augment.pgd(gradient, images, labels, indices=np.arange(7) + 1, **ball)
    assert (other != whole).mean() > 0.5


@pytest.mark.parametrize("indices", [np.arange(6), np.zeros(7), np.zeros((7, 1), int)])
def test_numbers_of_images_that_do_not_fit_are_named(images, labels, linear, indices):
    told = f"7 images but indices .{indices.shape[0]},.*{indices.dtype}: one whole number each"
    with pytest.raises(ValueError, match=told):
        augment.pgd(linear(), images, labels, epsilon=8, step=2, steps=1, indices=indices)


def test_the_first_image_that_is_not_finite_is_named_before_anything_runs(images, labels, linear):
    gradient = augment.Gradient(linear(), batch_size=2)
    images = images.astype(np.float32)
    images[5:, 0, 0, 0] = np.nan, np.inf
    calls = []
    gradient._compiled = lambda *batch: calls.append(batch)
    for attack, more in ((augment.fgsm, {}), (augment.pgd, {"step": 2, "steps": 1})):
        with pytest.raises(ValueError, match=r"images\[5\] has NaN or infinite values"):
            attack(gradient, images, labels, epsilon=8, **more)
    assert not calls
