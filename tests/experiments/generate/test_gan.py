"""A generator that is trained: networks, losses, views, steps, and runs that are cut off."""

import keras
import numpy as np
import pytest
from keras import ops

from experiments import plan, recipes
from experiments.datasets import Dataset, Split
from experiments.ensembles import members
from experiments.generate import gan, networks
from experiments.generate.training import LOSSES, Pair, epoch, steps
from experiments.listener import Listener
from experiments.place import Place
from experiments.recipes.gan import Discriminator, Generator
from experiments.runs import Run, outputs
from experiments.training import generated

pytestmark = pytest.mark.backend

SMALL = {"width": 2, "optimizer": {"name": "adam", "learning_rate": 0.005, "beta_1": 0.5}}
FIELDS = {
    "kind": "gan",
    "data": {"name": "shades"},
    "generator": {**SMALL, "latent": 4, "ema": 0.5},
    "discriminator": SMALL,
    "batch_size": 8,
    "epochs": 3,
    "sheet_every": 2,
}


def a_row(name: str = "gan", **fields):
    return recipes.parse({"recipe": f"test/{name}"} | FIELDS | fields, "test")


@pytest.fixture(scope="module")
def shades() -> Dataset:
    """20 dark and 20 bright images of 8 pixels, and some for validation."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        labels = np.arange(n) % 2
        images = rng.integers(0, 40, (n, 8, 8, 1)) + 200 * labels[:, None, None, None]
        return Split(images.astype(np.uint8), labels)

    return Dataset("shades", split(40), split(8), ("dark", "bright"), ("dark", "bright"))


@pytest.fixture(scope="module")
def made(shades, tmp_path_factory) -> Run:
    """A finished run, not cut."""
    folder = tmp_path_factory.mktemp("gan") / "run"
    row = a_row(diff_augment={"width_shift": 0.125, "fill_mode": "constant"})
    gan.train(row, folder, shades)
    return Run(folder)


# Networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (4, 4, 1)])
@pytest.mark.parametrize("condition", [None, "projection", "image"])
def test_images_of_all_sizes_are_made_and_judged(shape, condition):
    classes = None if condition is None else 3
    maker = networks.generator(Generator(width=2, latent=5), shape, classes)
    judge = networks.discriminator(
        Discriminator(width=2, condition=condition or "image"), shape, classes
    )
    latent, labels = ops.zeros((2, 5)), ops.convert_to_tensor(np.array([0, 2], np.int32))
    images = maker([latent, labels] if classes else latent)
    assert tuple(images.shape) == (2, *shape)
    values = ops.convert_to_numpy(images)
    assert values.min() >= 0 and values.max() <= 255
    assert tuple(judge([images, labels] if classes else images).shape) == (2, 1)
    kinds = [type(layer).__name__ for layer in maker.layers]
    # Paper P2: dense, four transposed convolutions, a regular one; four convolutions, two dense.
    assert [kinds.count(kind) for kind in ("Dense", "Conv2DTranspose", "Conv2D")] == [1, 4, 1]
    kinds = [type(layer).__name__ for layer in judge.layers]
    assert [kinds.count(kind) for kind in ("Dense", "Conv2D")] == [2, 4]


@pytest.mark.parametrize("shape", [(27, 27, 1), (32, 16, 3), (2, 2, 1)])
def test_images_of_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match=f"{shape[0]}x{shape[1]} pixels: .*data.size"):
        networks.generator(Generator(), shape, None)


@pytest.mark.parametrize("shape", [(4, 4, 8, 16), (30, 12)])
def test_no_singular_value_stays_above_1(shape):
    kernel = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = ops.convert_to_numpy(networks.SpectralNorm()(ops.convert_to_tensor(kernel)))
    largest = np.linalg.norm(found.reshape(-1, shape[-1]), 2)
    # Twelve steps of the power iteration see the largest value of noise to some percent.
    assert 1 <= largest < 1.1
    small = kernel / 1000
    kept = ops.convert_to_numpy(networks.SpectralNorm()(ops.convert_to_tensor(small)))
    np.testing.assert_array_equal(kept, small)


def test_losses_by_hand():
    real, made = (np.array(x, np.float32) for x in ([2.0, 0.5], [-3.0, 1.0]))

    def soft(x):
        return np.log1p(np.exp(x))

    expected = {
        "hinge": (0.25 + 1.0, 1.0),
        "logistic": (soft(-real).mean() + soft(made).mean(), soft(-made).mean()),
    }
    for name, (of_discriminator, of_generator) in expected.items():
        loss = LOSSES[name]
        given = ops.convert_to_tensor(real), ops.convert_to_tensor(made)
        assert float(loss.of_discriminator(*given)) == pytest.approx(of_discriminator, rel=1e-6)
        assert float(loss.of_generator(given[1])) == pytest.approx(of_generator, rel=1e-6)


# Steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"diff_augment": {"width_shift": 0.25, "jitter_brightness": 0.3, "fill_mode": "constant"}},
        {"conditional": False, "loss": "hinge"},
        {"discriminator": {**SMALL, "spectral_norm": True, "condition": "image"}},
    ],
    ids=["views", "unconditional", "spectral norm"],
)
def test_a_step_changes_both_networks_and_is_a_function_of_its_number(fields, shades):
    """What the generator learns comes through the views, and through the discriminator."""
    row, found = a_row(**fields), []
    images, labels = next(epoch(row, shades, 0))
    for _ in range(2):
        pair = Pair(row, shades)
        before = [pair.generator.get_weights(), pair.discriminator.get_weights()]
        losses = [float(one) for one in pair.step(5, images, labels)]
        after = [pair.generator.get_weights(), pair.discriminator.get_weights()]
        for network, old, new in zip(
            (pair.generator, pair.discriminator), before, after, strict=True
        ):
            names = [variable.path for variable in network.variables]
            same = [n for n, a, b in zip(names, old, new, strict=True) if np.array_equal(a, b)]
            # Hinge losses that are not yet bent push it up by one image as far as down by another.
            assert set(same) <= {"real/bias"}
        found.append([losses, after])
    assert found[0][0] == found[1][0] and np.isfinite(found[0][0]).all()
    for one, other in zip(*(sum(weights, []) for _, weights in found), strict=True):
        np.testing.assert_array_equal(one, other)
    if fields.get("discriminator", {}).get("spectral_norm"):
        kernels = [v for v in pair.discriminator.trainable_variables if v.name == "kernel"]
        for kernel in (k.numpy() for k in kernels):
            assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) < 1.1


def test_an_epoch_has_whole_batches_of_all_images(shades):
    row = a_row(batch_size=16)
    batches = list(epoch(row, shades, 0))
    assert len(batches) == steps(row, shades) == 2
    assert all(len(images) == len(labels) == 16 for images, labels in batches)
    for images, labels in batches:
        assert ((images.mean(axis=(1, 2, 3)) > 128) == labels).all()
    others = np.concatenate([labels for _, labels in epoch(row, shades, 1)])
    assert not np.array_equal(np.concatenate([labels for _, labels in batches]), others)
    with pytest.raises(ValueError, match="batch_size: 41, and there are 40 training images"):
        steps(a_row(batch_size=41), shades)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_averaged_weights_leave_the_first_ones_soon(decay, shades):
    """By hand: decay in step k is at most k / (9 + k); without decay they are the last ones."""
    pair = Pair(a_row(generator={**SMALL, "latent": 4, "ema": decay}), shades)
    means = [v.numpy() for v in pair.generator.trainable_variables]
    for number, (images, labels) in enumerate(epoch(pair.row, shades, 0)):
        pair.step(number, images, labels)
        kept = min(decay, (number + 1) / (number + 10))
        now = [v.numpy() for v in pair.generator.trainable_variables]
        means = [kept * a + (1 - kept) * b for a, b in zip(means, now, strict=True)]
    for mean, variable in zip(means, pair.averaged().trainable_variables, strict=True):
        # Float32 sums in another order.
        np.testing.assert_allclose(mean, variable.numpy(), rtol=1e-4, atol=1e-5)


# Runs --------------------------------------------------------------------------------------------


class Cut(Listener):
    """Cuts what it listens to after an epoch."""

    def __init__(self, after: int):
        self.after = after

    def say(self, text: str) -> None:
        if text.startswith(f"epoch {self.after} of"):
            raise RuntimeError("cut")


def test_a_run_that_was_cut_off_ends_like_an_unbroken_one(made, shades, tmp_path):
    row = made.row
    for after in (1, 2):
        with pytest.raises(RuntimeError, match="cut"):
            gan.train(row, tmp_path / "run", shades, listener=Cut(after))
    gan.train(row, tmp_path / "run", shades)
    run = Run(tmp_path / "run")
    for key in ("discriminator_loss", "generator_loss", "images"):
        np.testing.assert_array_equal(run.history[key], made.history[key])
    ours, theirs = outputs.sheets(run.path), outputs.sheets(made.path)
    assert ours.keys() == theirs.keys() == {"2", "3", "strip"}
    for key, images in theirs.items():
        np.testing.assert_array_equal(ours[key], images)
    labels = np.array([0, 1, 1])
    np.testing.assert_array_equal(gan.images(run, labels), gan.images(made, labels))
    assert not run.state.exists()


def test_images_depend_on_seed_number_and_class_alone(made):
    labels = np.tile([0, 1], 140)
    found = gan.images(made, labels, seed=3)
    assert found.shape == (280, 8, 8, 1) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[:5], gan.images(made, labels[:5], seed=3))
    assert not np.array_equal(found[:5], gan.images(made, labels[:5], seed=4))
    assert len(np.unique(found[::2], axis=0)) > 1
    other = gan.images(made, np.r_[labels[:4], 1 - labels[4]], seed=3)
    np.testing.assert_array_equal(found[:4], other[:4])
    assert not np.array_equal(found[4], other[4])


@pytest.mark.parametrize(
    ("labels", "told"),
    [([0, 2], "classes 0 to 1"), ([-1], "classes 0 to 1"), ([], "n > 0"), ([0.5], "whole numbers")],
)
def test_labels_are_classes(labels, told, made):
    with pytest.raises(ValueError, match=told):
        gan.images(made, np.array(labels))


def test_it_is_a_run_with_losses_and_no_accuracy(made, shades):
    metrics = made.check().metrics
    assert metrics["kind"] == "gan" and "top1" not in metrics and metrics["epochs"] == 3
    assert metrics["losses"]["generator_loss"] == pytest.approx(
        made.history["generator_loss"][-1], rel=1e-5
    )
    assert metrics["images"] == 3 * 40 and metrics["n"] == 8
    assert metrics["discriminator"]["parameters"] > 0 < metrics["parameters"]
    sheets = outputs.sheets(made.path)
    assert sheets["3"].shape == (16, 8, 8, 1) and sheets["strip"].shape == (20, 8, 8, 1)
    generated.check_makes_images(made.row, "it")
    with pytest.raises(ValueError, match="is a generator of images, not a classifier"):
        _ = made.model_file


@pytest.mark.skipif(
    keras.config.backend() == "torch",
    reason="eager torch takes minutes for what its steps, tested above, add up to",
)
def test_a_class_decides_how_bright_an_image_is(shades, tmp_path):
    """Without batch normalization, which takes out of a batch how bright its images are."""
    fast = {"width": 4, "optimizer": {"name": "adam", "learning_rate": 0.01, "beta_1": 0.5}}
    networks = {
        "generator": {**fast, "latent": 4, "ema": 0.5},
        "discriminator": {**fast, "spectral_norm": True},
    }
    row = a_row("learned", epochs=20, loss="hinge", **networks)
    gan.train(row, tmp_path / "run", shades)
    images = gan.images(Run(tmp_path / "run"), np.tile([0, 1], 16)).mean(axis=(1, 2, 3))
    assert images[1::2].mean() > images[::2].mean() + 60


def test_losses_that_are_no_numbers_end_it(shades, tmp_path, monkeypatch):
    monkeypatch.setattr(Pair, "step", lambda *_: (1.0, float("nan")))
    with pytest.raises(ValueError, match=r"step 1 of epoch 1: training has diverged"):
        gan.train(a_row(), tmp_path / "run", shades)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"loss": "wasserstein"}, "loss"),
        ({"batch_size": 1}, "batch_size"),
        ({"diff_augment": "Z"}, "diff_augment"),
        ({"generator": {"widht": 3}}, "generator.widht"),
        ({"discriminator": {"optimizer": {"name": "muon"}}}, "discriminator.optimizer: .*muon"),
    ],
)
def test_rows_that_cannot_be_trained_are_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        a_row(**fields)


def test_other_commands_refuse_a_generator(made, tmp_path):
    from experiments.ensembles.compare import compare
    from experiments.studies import evaluate

    place = Place(runs=tmp_path)
    with pytest.raises(ValueError, match="not a classifier"):
        evaluate.of_run(made, place)
    with pytest.raises(ValueError, match="an ensemble has two members"):
        compare([made], place, tmp_path)
    vote = recipes.parse(
        {"recipe": "test/vote", "kind": "vote", "data": {"name": "shades"}, "members": ["a", "b"]}
        | {"rule": "mode"},
        "test",
    )
    with pytest.raises(ValueError, match="a: .*of kind gan, which makes images"):
        members.check(vote, {"a": made.row, "b": made.row}, place)


def test_images_that_cannot_be_made_are_refused_before_anything_runs(tmp_path):
    row = recipes.load("generators/mnist_small", {"data.size": 27})
    with pytest.raises(ValueError, match="27x27 pixels"):
        plan.one(row, tmp_path / "run", Place(runs=tmp_path))
