"""Features by a named network: whose, of which layer, of images of any size and color."""

import numpy as np
import pytest

import zoo
from experiments import datasets, recipes, runs
from experiments.embeddings import features
from experiments.runs import Run


@pytest.fixture(scope="module")
def shipped():
    return features.find(None, (28, 28, 1))()


@pytest.fixture(scope="module")
def gray():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), np.uint8)


@pytest.mark.backend
def test_they_are_the_layer_s_of_the_images_as_the_network_takes_them(shipped, gray):
    assert shipped.name == "sprint_s:cifar10:pooled"
    found = shipped.of(gray)
    assert found.shape == (5, 256) and found.dtype == np.float32
    model = zoo.build("sprint_s", weights="cifar10", input_shape=(32, 32, 3), classes=10)
    resized = [datasets.fit_picture(_picture(one), (32, 32), 3, "lanczos") for one in gray]
    import keras

    whole = keras.Model(model.inputs[0], model.get_layer("pooled").output)
    expected = whole.predict_on_batch(np.stack(resized).astype("float32"))
    # Batches of another size may sum in another order.
    assert np.allclose(found, keras.ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-5)


def _picture(image):
    from PIL import Image

    return Image.fromarray(image[..., 0])


def test_gray_images_are_equal_channels_and_what_fits_stays(shipped, gray):
    colored = np.repeat(gray, 3, axis=-1)
    assert np.allclose(shipped.of(colored), shipped.of(gray), rtol=1e-5, atol=1e-6)
    fitted = features._Fitted(np.zeros((2, 32, 32, 3), np.uint8) + 7, (32, 32, 3), "lanczos")
    assert (fitted[0:2] == 7).all() and len(fitted) == 2


@pytest.mark.parametrize(
    ("shape", "name"),
    [((32, 32, 3), "sprint_s"), ((64, 64, 3), "sprint_m"), ((41, 8, 1), "sprint_m")],
)
def test_small_images_have_the_small_network_by_default(shape, name, monkeypatch):
    asked = []
    monkeypatch.setattr(features, "_shipped", asked.append)
    features.find(None, shape)()
    assert asked[0].model == name


def test_a_run_s_own_network_has_features_too(tmp_path, stripes, gray):
    fields = {"recipe": "test/net", "data": {"name": "stripes", "resample": "box"}, "epochs": 1}
    row = recipes.parse(fields | {"model": {"name": "sprint_s", "widths": [8, 8, 8]}}, "test")
    model = zoo.build(**row.model, input_shape=(28, 28, 1), classes=4)
    with runs.making(tmp_path / "net", row, stripes) as run:
        run.write_model(model)
    found = features.find(str(tmp_path / "net"), (64, 64, 3))()
    assert found.name == f"{tmp_path / 'net'}:pooled" and found.resample == "box"
    assert found.of(gray).shape == (5, 8)
    assert found.of(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 8)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("nowhere", "features .--features. 'nowhere': give a finished run's folder.*sprint_s"),
        ("resnet18", "no weights of resnet18 come with the package"),
    ],
)
def test_a_network_that_is_not_there_is_told(asked, told):
    with pytest.raises(ValueError, match=told):
        features.find(asked, (32, 32, 3))


def test_a_model_without_the_layer_is_told(tmp_path, make_run, maker):
    import keras

    run = Run(make_run(tmp_path / "run", epochs=1))

    image = keras.Input((28, 28, 1))
    model = keras.Model(image, keras.layers.Flatten(name="flat")(image))
    run.write_model(model)
    with pytest.raises(ValueError, match="has no layer pooled: give the run of one network"):
        features.find(str(run.path), (28, 28, 1))()
    with pytest.raises(ValueError, match="not a classifier"):
        features.find(str(maker().path), (28, 28, 1))
