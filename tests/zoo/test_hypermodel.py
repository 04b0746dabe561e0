"""`zoo.hypermodel`: networks whose options a tuner of Keras Tuner's chooses."""

import numpy as np
import pytest

import zoo

SMALL = {"filters": (4, 4), "kernels": (3, 3), "pools": (True, True)}
SHAPE = {"input_shape": (28, 28, 1), "classes": 4}
SPACE = {
    "dense": [8, 16],
    "dropout": {"min": 0.0, "max": 0.5},
    "optimizer": ["adam", "sgd"],
    "learning_rate": {"min": 1e-3, "max": 1e-1, "sampling": "log"},
    "batch_size": [8, 16],
}


def test_a_tuner_searches_and_its_best_model_scores_what_it_said(tmp_path):
    import keras_tuner

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (32, 28, 28, 1), np.uint8), np.arange(32) % 4
    tuner = keras_tuner.RandomSearch(
        zoo.hypermodel("alphanet_v4", SPACE, **SMALL, **SHAPE),
        objective="val_accuracy",
        max_trials=2,
        seed=1,
        directory=tmp_path,
    )
    data = {"validation_data": (images, labels), "epochs": 1, "verbose": 0}
    tuner.search(images, labels, **data)
    values = tuner.get_best_hyperparameters(1)[0].values
    assert values.keys() == SPACE.keys()
    model = tuner.get_best_models(1)[0]
    assert model.get_layer("pooled").output.shape[-1] == values["dense"]
    assert model.optimizer.name == values["optimizer"]
    assert float(model.optimizer.learning_rate) == pytest.approx(values["learning_rate"])
    score = tuner.oracle.get_best_trials(1)[0].score
    assert model.evaluate(images, labels, verbose=0)[1] == pytest.approx(score)


@pytest.mark.parametrize(
    ("space", "options", "told"),
    [
        ({"dens": [1, 2]}, {}, "space.dens: "),
        ({"dropout": {"min": 0.0, "max": 1.5}}, {}, "space.dropout: .*1.5"),
        ({"dense": [8]}, {"dense": 16}, "dense: in the space and given besides"),
        ({}, {}, "name what varies"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_before_keras_tuner_is_asked(space, options, told):
    with pytest.raises(ValueError, match=told):
        zoo.hypermodel("alphanet_v4", space, **options)


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="alphanet_v9"):
        zoo.hypermodel("alphanet_v9", {"dropout": [0.1, 0.2]})
