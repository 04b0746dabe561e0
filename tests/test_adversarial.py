"""Contracts of the input gradient and of the attacks that climb it."""

import keras
import numpy as np
import pytest

import augment

CLASSES = 4
SHAPE = (6, 6, 3)
# Gradients are float32 sums of some hundred terms, compared with float64 on each backend, by the
# largest entry. Half of 1e-4, so that any two backends agree to 1e-4.
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Seven images away from black and white, where an attack would be clipped."""
    return np.random.default_rng(0).integers(60, 196, (7, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.arange(7) % CLASSES


@pytest.fixture(scope="module")
def targets(labels) -> np.ndarray:
    return (labels + 1) % CLASSES


def linear(scale=0.002):
    """Softmax of a linear map of the pixels, whose gradient is known exactly."""
    image = keras.Input(SHAPE)
    scores = keras.layers.Dense(CLASSES, name="logits")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Softmax(name="probs")(scores))
    rng = np.random.default_rng(1)
    model.set_weights([scale * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def linear_gradient(model, images, labels):
    """weights @ (probabilities - one hot), in float64, without the subtraction from 1."""
    weights, bias = (w.astype(np.float64) for w in model.get_weights())
    scores = images.reshape(len(images), -1) @ weights + bias
    probs = np.exp(scores - scores.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    own = np.eye(CLASSES)[labels].astype(bool)
    probs[own] = 0
    probs[own] = -probs.sum(axis=1)
    return (probs @ weights.T).reshape(images.shape)


def convolutional():
    """A network with a convolution, batch statistics of its own and dropout."""
    layers = keras.layers
    image = keras.Input(SHAPE)
    x = layers.Conv2D(5, 3, activation="tanh", name="conv")(layers.Rescaling(1 / 255)(image))
    x = layers.Dropout(0.5)(layers.BatchNormalization(name="bn")(x))
    x = layers.Dense(CLASSES, name="logits")(layers.GlobalAveragePooling2D(name="pooled")(x))
    model = keras.Model(image, layers.Softmax(name="probs")(x))
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.1, 0.9, w.shape) * _signs(rng, w) for w in weights_of(model)])
    return model


def _signs(rng, weights):
    """Signs for matrices alone: a variance has none."""
    return rng.choice([-1, 1], weights.shape) if weights.ndim > 1 else 1


def weights_of(model):
    return [np.array(w) for w in model.get_weights()]


def losses(model, images, labels):
    """Cross entropy (n,) in float64 of `convolutional`, computed by hand."""
    kernel, shift, gamma, beta, mean, variance, dense, bias = (
        w.astype(np.float64) for w in model.get_weights()
    )
    windows = np.lib.stride_tricks.sliding_window_view(images / 255, (3, 3), axis=(1, 2))
    x = np.tanh(np.einsum("nyxcij,ijco->nyxo", windows, kernel) + shift)
    x = gamma * (x - mean) / np.sqrt(variance + model.get_layer("bn").epsilon) + beta
    scores = x.mean(axis=(1, 2)) @ dense + bias
    return np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(labels)), labels]


def assert_close(gradient, exact):
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, exact, rtol=0, atol=TOLERANCE * np.abs(exact).max())


# ---------------------------------------------------------------- gradient


@pytest.mark.backend
def test_the_gradient_of_a_linear_model_is_the_closed_form(images, labels):
    model = linear()
    gradient = augment.input_gradient(model, images, labels)
    assert_close(gradient, linear_gradient(model, images, labels))


@pytest.mark.backend
def test_the_gradient_equals_central_differences(images, labels):
    model, images = convolutional(), images.astype(np.float64)
    exact, half = np.empty_like(images), 1e-2  # an error of half**2, the pixels' scale being 255
    for pixel in np.ndindex(SHAPE):
        at = np.zeros(SHAPE)
        at[pixel] = half
        rise = losses(model, images + at, labels) - losses(model, images - at, labels)
        exact[:, *pixel] = rise / (2 * half)
    assert_close(augment.input_gradient(model, images, labels), exact)


@pytest.mark.backend
def test_the_model_stays_as_it_is(images, labels):
    model = convolutional()
    before = weights_of(model)
    augment.pgd(model, images, labels, epsilon=8, step=2, steps=2)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.backend
def test_new_weights_are_seen_by_a_compiled_gradient(images, labels):
    model = linear()
    gradient = augment.Gradient(model)
    gradient(images, labels)
    model.set_weights([-0.5 * w for w in model.get_weights()])
    assert_close(gradient(images, labels), linear_gradient(model, images, labels))


def nested(model):
    """The model as features and a nested head, like a stack."""
    pooled = keras.Input((5,))
    head = keras.layers.Dense(CLASSES, name="logits")
    probs = keras.layers.Softmax(name="probs")(head(pooled))
    image = keras.Input(SHAPE)
    features = keras.Model(model.input, model.get_layer("pooled").output)(image)
    whole = keras.Model(image, keras.Model(pooled, probs, name="head")(features))
    head.set_weights(model.get_layer("logits").get_weights())
    return whole


def wrapped(model):
    image = keras.Input(SHAPE)
    return keras.Model(image, model(image))


def listed(model):
    """The model with lists of one input and one output."""
    image = keras.Input(SHAPE)
    return keras.Model([image], [model(image)])


def unnamed(model):
    """The model without a layer called `logits`: its probabilities are all there is."""
    image = keras.Input(SHAPE)
    probs = keras.layers.Activation("linear")(model(image))
    return keras.Model(image, probs)


@pytest.mark.backend
@pytest.mark.parametrize("build", [nested, wrapped, listed, unnamed])
def test_the_gradient_is_the_same_wherever_the_logits_are(images, labels, build):
    model = convolutional()
    expected = augment.input_gradient(model, images, labels)
    assert_close(augment.input_gradient(build(model), images, labels), expected)


@pytest.mark.backend
@pytest.mark.parametrize("build", [lambda model: model, wrapped])
def test_a_saturated_softmax_keeps_its_gradient(images, build):
    """Right and certain: the probability of the label is 1 in float32."""
    model = linear(scale=0.02)
    probs = model.predict_on_batch(images.astype("float32"))
    certain = probs.max(axis=1) == 1
    assert certain.any()
    images, labels = images[certain], probs.argmax(axis=1)[certain]
    gradient = augment.input_gradient(build(model), images, labels)
    exact = linear_gradient(model, images, labels)
    scale = np.abs(exact).max(axis=(1, 2, 3), keepdims=True)
    # Logits of up to 100 are off by 1e-5 in float32, and the gradient is their exponential.
    np.testing.assert_allclose(gradient / scale, exact / scale, rtol=0, atol=1e-4)


@pytest.mark.backend
def test_a_stack_is_differentiated_through_its_head(images, labels):
    import stacking

    stack = stacking.stack({"one": linear(), "two": linear()}, head=(8,), seed=0)
    through_probs = augment.input_gradient(unnamed(stack), images, labels)
    assert np.abs(through_probs).max() > 0
    assert_close(augment.input_gradient(stack, images, labels), through_probs)


@pytest.mark.backend
def test_ragged_batches_compile_nothing(images, labels):
    if keras.backend.backend() == "torch":
        pytest.skip("torch runs as it reads: nothing is compiled")
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            calls.append(x.shape)
            return x

    image = keras.Input(SHAPE)
    model = linear()
    gradient = augment.Gradient(keras.Model(image, model(Counted()(image))), batch_size=3)
    calls.clear()  # of building
    gradient(images, labels)  # 3 + 3 + 1 images
    gradient(images[:2], labels[:2])
    assert calls == [(3, *SHAPE)]


# ---------------------------------------------------------------- attacks


@pytest.mark.backend
def test_fgsm_moves_every_pixel_by_epsilon_along_the_gradient(images, labels, targets):
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
def test_a_pixel_without_gradient_stays(images, labels):
    model = linear()
    weights, bias = model.get_weights()
    weights = weights.reshape(*SHAPE, CLASSES)
    weights[0] = 0
    model.set_weights([weights.reshape(-1, CLASSES), bias])
    moved = augment.fgsm(model, images, labels, epsilon=8) - images
    assert (moved[:, 0] == 0).all() and (np.abs(moved[:, 1:]) == 8).all()


def test_pgd_steps_are_projected_to_the_ball(images, labels):
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
def test_results_lie_within_the_ball_and_the_range(labels, targets, attack, targeted):
    images = np.random.default_rng(3).choice([0, 1, 254, 255], (7, *SHAPE)).astype(np.uint8)
    more = {"step": 4, "steps": 3} if attack == "pgd" else {}
    more |= {"targets": targets} if targeted else {}
    attacked = getattr(augment, attack)(linear(), images, labels, epsilon=10, **more)
    assert attacked.min() == 0 and attacked.max() == 255
    # A random start is no whole number: one rounding of float32 at 255.
    assert np.abs(attacked - images).max() <= 10 + 255 * 2.0**-24


@pytest.mark.backend
def test_attacks_raise_the_loss_and_targeted_ones_lower_that_of_the_target(images, labels, targets):
    model = convolutional()
    gradient = augment.Gradient(model)
    for attack, more in ((augment.fgsm, {}), (augment.pgd, {"step": 2, "steps": 5})):
        away = attack(gradient, images, labels, epsilon=8, **more)
        closer = attack(gradient, images, labels, epsilon=8, targets=targets, **more)
        assert (losses(model, away, labels) > losses(model, images, labels)).all()
        assert (losses(model, closer, targets) < losses(model, images, targets)).all()


def test_the_random_start_depends_on_seed_and_image_alone(images, labels):
    model, ball = linear(), {"epsilon": 8, "step": 1e-6, "steps": 1}  # so that the start is seen
    whole = augment.pgd(model, images, labels, **ball)
    np.testing.assert_array_equal(whole, augment.pgd(model, images, labels, **ball))
    assert (whole != augment.pgd(model, images, labels, seed=1, **ball)).mean() > 0.99
    assert len(np.unique(whole[0] - images[0])) > 0.9 * images[0].size
    spread = (whole - images).ravel() / 8
    assert abs(spread.mean()) < 0.1 and abs(spread.std() - 3**-0.5) < 0.05  # uniform in -1..1


@pytest.mark.backend
def test_results_do_not_depend_on_the_batch_size(images, labels):
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
    "not finite": ({"images": np.full((7, *SHAPE), np.nan)}, "images from nan"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(images, labels, wrong, message):
    good = {"images": images, "labels": labels, "epsilon": 8, "step": 2, "steps": 1}
    with pytest.raises(ValueError, match=message):
        augment.pgd(linear(), **{**good, **wrong})


def test_scaled_images_are_warned_of(images, labels):
    with pytest.warns(UserWarning, match="multiply by 255"):
        augment.fgsm(linear(), images / 255, labels, epsilon=8)


def test_a_model_that_does_not_fit_is_named():
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


# ---------------------------------------------------------------- parity


def torch_twin(model):
    """The network `convolutional` in plain torch: NCHW, pixels 0..1, logits out."""
    import torch

    kernel, shift, gamma, beta, mean, variance, dense, bias = map(torch.tensor, weights_of(model))
    conv, norm = torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5, model.get_layer("bn").epsilon)
    last = torch.nn.Linear(5, CLASSES)
    conv.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": shift})
    statistics = {"running_mean": mean, "running_var": variance}
    norm.load_state_dict({"weight": gamma, "bias": beta, **statistics}, strict=False)
    last.load_state_dict({"weight": dense.T, "bias": bias})
    pool = torch.nn.AdaptiveAvgPool2d(1)
    twin = torch.nn.Sequential(conv, torch.nn.Tanh(), norm, pool, torch.nn.Flatten(), last)
    return twin.eval()


@pytest.mark.backend
@pytest.mark.parametrize("targeted", [False, True])
def test_attacks_equal_torchattacks_on_the_same_weights(images, labels, targets, targeted):
    torchattacks = pytest.importorskip("torchattacks")
    import torch

    model = convolutional()
    twin = torch_twin(model)
    pixels = torch.tensor(images / 255, dtype=torch.float32).permute(0, 3, 1, 2)
    ours = {"targets": targets} if targeted else {}
    pairs = (
        (
            torchattacks.FGSM(twin, eps=8 / 255),
            augment.fgsm(model, images, labels, epsilon=8, **ours),
        ),
        (
            torchattacks.PGD(twin, eps=8 / 255, alpha=3 / 255, steps=4, random_start=False),
            augment.pgd(model, images, labels, epsilon=8, step=3, steps=4, seed=None, **ours),
        ),
    )
    for theirs, ours in pairs:
        if targeted:
            theirs.set_mode_targeted_by_label(quiet=True)
        expected = theirs(pixels, torch.tensor(targets if targeted else labels))
        expected = 255 * expected.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3)  # they work in 0..1


@pytest.mark.backend
def test_fgsm_equals_the_adversarial_robustness_toolbox_on_the_same_weights(images, labels):
    evasion = pytest.importorskip("art.attacks.evasion")
    from art.estimators.classification import PyTorchClassifier
    from torch import nn

    model = convolutional()
    classifier = PyTorchClassifier(
        torch_twin(model),
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, *SHAPE[:2]),
        nb_classes=CLASSES,
        clip_values=(0, 255),
        preprocessing=(0, 255),
        device_type="cpu",
    )
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    expected = evasion.FastGradientMethod(classifier, eps=8).generate(pixels, np.array(labels))
    ours = augment.fgsm(model, images, labels, epsilon=8)
    np.testing.assert_array_equal(ours, expected.transpose(0, 2, 3, 1))
