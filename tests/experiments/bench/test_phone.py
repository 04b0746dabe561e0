"""Models timed as a phone runs them; nothing here asserts on time."""

import pytest

import zoo
from experiments.bench import phone
from experiments.runs import Run, names

NAME = "simplenet_cifar_310k"


@pytest.fixture
def each_once(monkeypatch):
    """Call each case once, and say that it took two milliseconds."""
    found = {}

    def side_by_side(steps, repeats):
        found.update({name: step() for name, step in steps.items()})
        return dict.fromkeys(steps, 0.002)

    monkeypatch.setattr(phone, "side_by_side", side_by_side)
    return found


def linear(pixels: int, classes: int):
    """The smallest network of gray images."""
    import keras

    image = keras.Input((28, 28, 1))
    scaled = keras.layers.Rescaling(1 / 255)(keras.layers.Reshape((pixels,))(image))
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax")(scaled))


def needs_litert():
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("LiteRT is written by TensorFlow alone")
    pytest.importorskip("ai_edge_litert")


def test_a_network_and_a_run_are_exported_and_timed(make_run, tmp_path, each_once):
    needs_litert()
    run = make_run(tmp_path / "runs" / "mine", "quickstart/member_a", epochs=1, images=50)
    linear(28 * 28, 10).save(run / names.MODEL)
    make_run(tmp_path / "runs" / "vote", "laptop/mode", members=[], images=50)  # has no model
    network, trained = phone.run([NAME, str(tmp_path / "runs")], repeats=1)
    info = zoo.info(NAME)
    assert (network["case"], network["weights"], network["run"]) == (NAME, "random", "")
    assert (network["parameters"], network["macs"]) == (info.parameters, info.macs)
    assert network["input"] == "x".join(map(str, info.input_shape))
    # Four bytes for each weight, less those of normalization, which join the convolutions'.
    assert network["file_mb"] * 1e6 == pytest.approx(4 * info.parameters, rel=0.05)
    assert (network["ms_per_image"], network["threads"], network["batch"]) == (2.0, 1, 1)
    assert network["top1"] == ""
    assert (trained["input"], trained["classes"], trained["weights"]) == ("28x28x1", 10, "trained")
    assert trained["run"] == trained["case"] == str(run)
    assert trained["top1"] == Run(run).metrics["top1"]
    probs = each_once[str(run)]
    assert probs.shape == (1, 10) and probs.sum() == pytest.approx(1, abs=1e-5)
    # An export that is timed stays out of the run's folder.
    assert not list(run.glob("*.tflite"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["no_such_network"], "'no_such_network' is neither a finished run"),
        ([], "nothing to time"),
    ],
)
def test_what_is_no_model_is_refused_before_anything_is_built(given, told, monkeypatch):
    monkeypatch.setattr(zoo, "build", None)
    with pytest.raises(ValueError, match=told):
        phone.run(given)


def test_a_backend_that_writes_no_litert_is_refused_before_anything_is_built(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(zoo, "build", None)
    with pytest.raises(ValueError, match="litert is not written by jax: give --backend tensorflow"):
        phone.run([NAME])


def test_networks_for_phones_are_there():
    assert set(phone.NETWORKS) <= set(zoo.list_models())
