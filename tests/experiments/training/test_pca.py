"""Images rebuilt from principal components: the numbers, the layers, and runs of such rows."""

import keras
import numpy as np
import pytest

import zoo
from experiments.place import Place
from experiments.recipes.pca import Pca
from experiments.training import pca
from experiments.training.predict import predict_probs

# Of raw pixels: float32 rounds 255 by 1.5e-5, and sums of several hundred products are rebuilt.
ROUNDING = 0.02
SHAPE = (6, 5, 3)


@pytest.fixture
def noise() -> np.ndarray:
    """40 images of 90 values, whose spectrum falls."""
    rng = np.random.default_rng(0)
    waves = rng.standard_normal((40, 30)) * 2.0 ** -np.arange(30) @ rng.standard_normal((30, 90))
    images = 128 + 20 * waves + rng.normal(0, 3, waves.shape)
    return images.clip(0, 255).astype(np.uint8).reshape(-1, *SHAPE)


def _rebuilt(images: np.ndarray, spec: Pca, of: np.ndarray | None = None) -> np.ndarray:
    kept = pca.principal(images if of is None else of, spec, seed=0)
    shape = images.shape[1:]
    front = keras.Sequential([keras.Input(shape), *pca.layers(kept, shape)])
    return front.predict(images, verbose=0)


# The numbers -----------------------------------------------------------------------------------


@pytest.mark.backend
def test_images_of_low_rank_come_back_from_as_many_components():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (30, 3)) @ rng.integers(0, 3, (3, 90))
    images = images.astype(np.uint8).reshape(-1, *SHAPE)
    for spec in (Pca(components=3), Pca(share=1.0)):
        assert len(pca.principal(images, spec, seed=0).vectors) == 3
        assert np.allclose(_rebuilt(images, spec), images, atol=ROUNDING)
    assert not np.allclose(_rebuilt(images, Pca(components=2)), images, atol=1)
    with pytest.raises(ValueError, match="components: 4, and 30 training images .* have 3: ask"):
        pca.principal(images, Pca(components=4), seed=0)


@pytest.mark.backend
def test_all_components_rebuild_images_that_were_not_seen():
    images = np.random.default_rng(0).integers(0, 256, (140, *SHAPE), np.uint8)
    # 100 images span all 90 values.
    rebuilt = _rebuilt(images[100:], Pca(components=90), of=images[:100])
    assert np.allclose(rebuilt, images[100:], atol=ROUNDING)


@pytest.mark.parametrize("of", ["values", "variance"])
def test_components_and_shares_are_those_of_a_singular_value_decomposition(of, noise):
    kept = pca.principal(noise, Pca(share=0.8, of=of), seed=0)
    flat = noise.reshape(len(noise), -1).astype(float)
    mean = flat.mean(axis=0)
    _, singular, vectors = np.linalg.svd(flat - mean, full_matrices=False)
    shares = {"values": singular, "variance": singular**2}
    shares = {name: np.cumsum(terms) / terms.sum() for name, terms in shares.items()}
    count = int(np.argmax(shares[of] >= 0.8)) + 1
    assert kept.vectors.shape == (count, 90) and kept.images == 40
    # float64 but for the last step.
    assert kept.of_values == pytest.approx(shares["values"][count - 1], rel=1e-9)
    assert kept.of_variance == pytest.approx(shares["variance"][count - 1], rel=1e-9)
    assert np.allclose(kept.mean, mean, atol=1e-4)
    ours, theirs = (part.T @ part for part in (kept.vectors, vectors[:count]))
    assert np.allclose(ours, theirs, atol=1e-5)


def test_of_many_images_some_are_drawn_by_the_seed(noise):
    spec = Pca(share=0.8, images=20)
    one, same, other = (pca.principal(noise, spec, seed) for seed in (0, 0, 1))
    assert one.images == 20
    assert np.array_equal(one.mean, same.mean) and np.array_equal(one.vectors, same.vectors)
    assert not np.array_equal(one.mean, other.mean)


# Rows ------------------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_run_that_is_cut_ends_like_an_unbroken_one(
    precision, parse, train, assert_same, stripes, tmp_path, listening
):
    row = parse(pca=0.9, epochs=2, precision=precision)
    unbroken = train(row, tmp_path / "unbroken", stripes, listener=listening)
    count = unbroken.metrics["pca_components"]
    assert listening.said[0].startswith(f"pca: {count} components of 784 values keep 9")
    for epoch in (1, 2):
        train(row, tmp_path / "broken", stripes, cut=epoch)
    assert_same(train(row, tmp_path / "broken", stripes), unbroken)
    model = zoo.load(unbroken.model_file)
    # It is saved and trained on: what stands in front stays as it was computed.
    kept = pca.principal(stripes.train.images, row.pca, row.seed)
    assert np.array_equal(model.get_layer("pca_rebuild").kernel, kept.vectors)
    assert {model.get_layer(f"pca_{name}").compute_dtype for name in ("project", "rebuild")} == {
        "float32"
    }
    # A file's model is compiled anew: rounding.
    probs = predict_probs(model, stripes.validation.images)
    assert np.allclose(probs, unbroken.probs, atol=0.02 if "mixed" in precision else 1e-5)


@pytest.mark.backend
def test_what_a_row_costs_is_the_network_and_two_products(parse, stripes):
    from experiments.training.train import build

    plain = build(parse(), stripes)
    model = build(parse(pca={"components": 5}), stripes)
    assert zoo.profile(model)[1] == zoo.profile(plain)[1] + 2 * 5 * 784
    assert [type(layer) for layer in model.layers[5:]] == [type(x) for x in plain.layers[1:]]
    assert len(model.trainable_weights) == len(plain.trainable_weights)
    # It begins with the weights of the row without components, and sees what they rebuild.
    pixels = _rebuilt(stripes.validation.images, Pca(components=5), of=stripes.train.images)
    seen = predict_probs(plain, pixels)
    assert np.allclose(predict_probs(model, stripes.validation.images), seen, atol=1e-5)


def test_components_are_those_of_what_a_run_learns_from(parse, train, stripes, tmp_path):
    row = parse(pca={"components": 4}, epochs=1, share={"holdout": 0.5})
    run = train(row, tmp_path / "run", stripes)
    half = stripes.holdout(0.5)[0].train.images
    kept = pca.principal(half, row.pca, row.seed)
    assert np.array_equal(zoo.load(run.model_file).get_layer("pca_rebuild").bias, kept.mean)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pca": {}}, "give one of them"),
        ({"pca": {"share": 0.9, "components": 3}}, "give one of them"),
        ({"pca": {"share": 1.1}}, "less than or equal to 1"),
        ({"pca": 0.0}, "greater than 0"),
        ({"pca": {"share": 0.9, "of": "squares"}}, "'values' or 'variance'"),
        ({"pca": 0.9, "sizes": [[1, 14], [2, 28]]}, "pca and sizes do not go together"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message, parse):
    with pytest.raises(ValueError, match=message):
        parse(**changes)


def test_more_components_than_there_are_are_told(parse, train, stripes, tmp_path):
    with pytest.raises(ValueError, match="components: 64, and 64 training images of 784 .* 63"):
        train(parse(pca={"components": 64}), tmp_path / "run", stripes)


def test_weights_behind_components_are_not_shipped(parse, train, stripes, tmp_path, monkeypatch):
    from experiments.studies.ship import ship

    row = parse(pca={"components": 4}, epochs=1, model={"name": "alphanet_v4"})
    monkeypatch.setattr(Place, "dataset", lambda *_: stripes)
    run = train(row, tmp_path / "run", stripes)
    with pytest.raises(ValueError, match="principal components, .* train without pca"):
        ship(run, Place(runs=tmp_path), tmp_path)
