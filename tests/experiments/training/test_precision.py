"""Which precision a run trains in: chosen once, kept, and switched off where it does not pay."""

import contextlib
import json
import random
import shutil
import threading

import keras
import numpy as np
import pytest

import zoo
from experiments import backend
from experiments.listener import SILENT
from experiments.place import Place
from experiments.runs import Run, names, scores
from experiments.training import _selftest, precision
from experiments.training._pieces import pieces, representatives
from experiments.training._selftest import Measured
from experiments.training.predict import predict_probs
from experiments.training.train import run as run_row

FASTER, SLOWER, WRONG = (Measured(1e-3, *rest) for rest in ((5e-4, 0.01), (2e-3, 0.01), (5e-4, 1)))
TENSORFLOW = keras.backend.backend() == "tensorflow"

only_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="the rewriting is TensorFlow's")
needs_bfloat16 = pytest.mark.skipif(
    not (TENSORFLOW and _selftest.has_instructions()),
    reason="without the instructions, bfloat16 is up to 500 times slower",
)


@pytest.fixture
def told(monkeypatch):
    """Let every piece measure what is told; return the list of the pieces that were measured."""

    def tell(times: Measured) -> list:
        seen = []

        def measured(piece, rewriting) -> Measured:
            seen.append(piece)
            return times

        monkeypatch.setattr(_selftest, "measured", measured)
        monkeypatch.setattr(_selftest, "has_instructions", lambda: True)
        return seen

    return tell


@pytest.fixture
def steps(monkeypatch) -> list:
    """Train in float32 also where the graph would be rewritten; return a list of such steps."""
    seen = []

    @contextlib.contextmanager
    def rewriting():
        seen.append(1)
        yield

    monkeypatch.setattr(precision, "rewriting", rewriting)
    return seen


@pytest.fixture(scope="module")
def network(parse, stripes) -> keras.Model:
    from experiments.training.train import build

    return build(parse(), stripes)


# A run ----------------------------------------------------------------------------------------


@only_tensorflow
@pytest.mark.parametrize(
    ("times", "chosen", "reason"),
    [
        (FASTER, "bfloat16", "bfloat16 is faster"),
        (SLOWER, "float32", "bfloat16 is not faster"),
        (WRONG, "float32", "bfloat16 has wrong values"),
        (Measured(1e-3, 5e-4, float("inf")), "float32", "bfloat16 has wrong values"),
    ],
)
def test_a_run_says_what_was_chosen_and_why(
    times, chosen, reason, told, steps, parse, stripes, finished, assert_same, listening, tmp_path
):
    from experiments.training.train import train

    told(times)
    row, options = parse(precision="auto"), {"cache_dir": tmp_path, "listener": listening}
    train(row, tmp_path / "run", stripes, **options)
    run = Run(tmp_path / "run")
    found = run.environment["precision"]
    assert (found["asked"], found["chosen"], found["reason"]) == ("auto", chosen, reason)
    assert found["float32"] / found["bfloat16"] == pytest.approx(times[1] / times[0], rel=0.02)
    assert found["unit"] == "GFLOP/s of the self-test"
    assert listening.said[0].startswith(f"precision {chosen}: {reason} (float32 ")
    # 3 epochs of 4 steps, and a batch of validation after each.
    assert len(steps) == (15 if chosen == "bfloat16" else 0)
    assert_same(run, finished)
    assert run.check().environment == json.loads((run.path / names.ENVIRONMENT).read_text())


@pytest.mark.backend
def test_a_row_that_names_its_precision_measures_nothing(finished):
    assert finished.environment["precision"] == {"asked": "float32", "chosen": "float32"}


@only_tensorflow
def test_a_run_goes_on_as_it_began(told, steps, parse, train, stripes, tmp_path):
    row = parse(precision="auto")
    told(FASTER)
    train(row, tmp_path / "run", stripes, cut=2, cache_dir=tmp_path / "one")
    began = Run(tmp_path / "run").environment["precision"]
    seen, before = told(SLOWER), len(steps)
    run = train(row, tmp_path / "run", stripes, cache_dir=tmp_path / "other")
    assert not seen and len(steps) == before + 2 * (4 + 1)
    assert run.environment["precision"] == began and began["chosen"] == "bfloat16"


@only_tensorflow
def test_a_run_from_before_goes_on_in_float32(
    told, steps, parse, train, begun, stripes, finished, assert_same
):
    """It noted no precision, and its recipe says the default of then."""
    file = begun.path / names.ENVIRONMENT
    old = {key: value for key, value in begun.environment.items() if key != "precision"}
    file.write_text(json.dumps(old))
    seen = told(FASTER)
    run = train(parse(precision="auto"), begun.path, stripes)
    assert not seen and not steps
    assert run.environment["precision"] == {"asked": "auto", "chosen": "float32"}
    assert_same(run, finished)
    with pytest.raises(ValueError, match="precision: float32 -> mixed_bfloat16"):
        train(parse(precision="mixed_bfloat16"), begun.path, stripes)


@needs_bfloat16
def test_rewritten_training_is_resumed_bit_equal_and_scored_in_float32(
    parse, train, assert_same, stripes, finished, tmp_path
):
    row = parse(precision="bfloat16")
    unbroken = train(row, tmp_path / "unbroken", stripes)
    train(row, tmp_path / "broken", stripes, cut=3)
    assert_same(train(row, tmp_path / "broken", stripes), unbroken)
    history, best = unbroken.history, unbroken.metrics["best_epoch"] - 1
    assert all(np.isfinite(values).all() for values in history.values())
    assert history["loss"][0] == pytest.approx(finished.history["loss"][0], rel=0.02)
    assert history["loss"][0] != finished.history["loss"][0]
    # Validation within training is rewritten as well: three digits. The end is scored in float32.
    assert unbroken.metrics["loss"] == pytest.approx(history["val_loss"][best], rel=0.01)
    probs = predict_probs(zoo.load(unbroken.model_file), stripes.validation.images)
    again = scores.accuracy(probs, stripes.validation.labels)["loss"]
    assert unbroken.metrics["loss"] == pytest.approx(again, rel=1e-6)


@pytest.mark.backend
def test_the_rewriting_is_refused_where_there_is_none(parse, tmp_path, monkeypatch):
    monkeypatch.setattr(Place, "dataset", None)  # it is told before data is read
    if TENSORFLOW:
        monkeypatch.setattr(backend, "device", lambda: "NVIDIA H200")
    with pytest.raises(ValueError, match=r"test/tiny: precision=bfloat16 is TensorFlow's rewri"):
        run_row(parse(precision="bfloat16"), tmp_path / "run", Place())
    with pytest.raises(ValueError, match="leave one of them out"):
        parse(precision="bfloat16", jit=True)


# What needs no self-test ----------------------------------------------------------------------


@pytest.mark.backend
def test_accelerators_that_are_fast_at_it_take_keras_own_policy(parse, monkeypatch):
    row = parse(precision="auto")
    monkeypatch.setattr(backend, "device", lambda: "NVIDIA H200")
    for fast, chosen in ((True, "mixed_bfloat16"), (False, "float32")):
        monkeypatch.setattr(backend, "multiplies_bfloat16", lambda fast=fast: fast)
        assert precision._without_test(row)["chosen"] == chosen


@pytest.mark.backend
def test_a_cpu_without_the_rewriting_takes_float32(parse):
    assert not backend.multiplies_bfloat16()
    found = precision._without_test(parse(precision="auto"))
    assert found is None if TENSORFLOW else found["chosen"] == "float32"
    assert precision._without_test(parse(precision="auto", jit=True))["chosen"] == "float32"


@only_tensorflow
@pytest.mark.parametrize(
    ("capability", "fast"), [((9, 0), True), ((8, 0), True), ((7, 5), False), (None, False)]
)
def test_an_accelerator_s_speed_is_known_by_its_generation(capability, fast, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    details = {"compute_capability": capability} if capability else {}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert backend.multiplies_bfloat16() == fast


# The self-test --------------------------------------------------------------------------------


def compare(network, folder) -> dict:
    return _selftest.compare(network, contextlib.nullcontext, folder, SILENT)


def test_an_answer_is_kept_for_machine_versions_and_network(told, network, tmp_path, monkeypatch):
    seen = told(FASTER)
    first, count = compare(network, tmp_path), len(seen)
    assert compare(network, tmp_path) == first and len(seen) == count > 1
    machine = _selftest.machine()
    others = [machine | {"cpu": "other"}, machine | {"cores": 99}, machine | {"flags": "none"}]
    others += [machine | {"versions": {"tensorflow": "9", "keras": "9"}}]
    for number, other in enumerate(others, start=2):
        monkeypatch.setattr(_selftest, "machine", lambda other=other: other)
        compare(network, tmp_path)
        assert len(seen) == number * count
        assert len(list(tmp_path.glob("*.json"))) == number
    larger = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 3)])
    compare(larger, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == len(others) + 2


def test_a_damaged_answer_is_made_anew_and_none_is_needed(told, network, tmp_path, listening):
    seen = told(FASTER)
    first = compare(network, tmp_path)
    (file,) = tmp_path.glob("*.json")
    for text in ("{", "[]", "{}"):
        file.write_text(text)
        seen.clear()
        assert compare(network, tmp_path) == first and seen
    shutil.rmtree(tmp_path)
    tmp_path.write_text("a file where the folder would be")
    answer = _selftest.compare(network, contextlib.nullcontext, tmp_path, listening)
    assert answer == first and "is not kept: cannot write" in listening.said[0]


def test_where_bfloat16_is_hopeless_nothing_but_the_probe_is_measured(told, network, tmp_path):
    seen = told(Measured(1e-3, 0.5, 0.001))
    assert compare(network, tmp_path)["chosen"] == "float32" and len(seen) == 1
    assert seen[0].form == "probe"


def test_a_processor_without_the_instructions_is_not_tried(told, network, tmp_path, monkeypatch):
    seen = told(FASTER)
    monkeypatch.setattr(_selftest, "has_instructions", lambda: False)
    answer = compare(network, tmp_path)
    assert answer == {"chosen": "float32", "reason": "this processor multiplies no bfloat16"}
    assert not seen and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "has"),
    [("fpu avx512_bf16", True), ("amx_bf16", True), ("fpu avx512f", False), ("", True)],
)
def test_instructions_are_read_where_the_system_tells_them(flags, has, monkeypatch):
    monkeypatch.setattr(_selftest, "_cpu", lambda: {"flags": flags})
    assert _selftest.has_instructions() == has


@only_tensorflow
def test_what_is_measured_leaves_no_trace_in_random_numbers(network, tmp_path, monkeypatch):
    """In float32 twice, so it is quick on every processor, and the values are equal."""
    monkeypatch.setattr(_selftest, "has_instructions", lambda: True)
    keras.utils.set_random_seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist()
    weights = network.get_weights()
    answer = compare(network, tmp_path)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), weights, strict=True))
    assert answer["error"] == 0 and answer["float32"] > 0


@needs_bfloat16
def test_a_convolution_is_right_in_bfloat16_and_not_float32():
    image = keras.Input((16, 16, 32))
    maps = keras.layers.Conv2D(32, 3, padding="same", use_bias=False)(image)
    maps = keras.layers.ReLU()(keras.layers.BatchNormalization()(maps))
    (piece,) = pieces(keras.Model(image, maps))
    assert [type(layer).__name__ for layer in piece.layers] == [
        "Conv2D",
        "BatchNormalization",
        "ReLU",
    ]
    assert 1e-4 < _selftest.measured(piece, precision.rewriting).error < _selftest.TOLERANCE


@only_tensorflow
def test_the_rewriting_reaches_no_other_thread():
    from tensorflow.python.eager import context as eager

    def rewrites(found: list) -> None:
        config = eager.context().function_call_options.config_proto_serialized
        found.append(b"" if config is None else config)

    here, there = [], []
    rewrites(here)
    with precision.rewriting():
        rewrites(here)
        thread = threading.Thread(target=rewrites, args=(there,))
        thread.start()
        thread.join()
    rewrites(here)
    assert here[0] == here[2] == there[0] != here[1]


def test_every_form_of_layer_is_measured_that_counts():
    import zoo

    model = zoo.build("ghostnet_100", input_shape=(64, 64, 3), classes=200)
    found = pieces(model)
    _, macs = zoo.profile(model)
    assert sum(piece.macs for piece in found) == macs
    forms = {piece.form for piece in representatives(found)}
    assert forms >= {"Conv2D 1x1", "DepthwiseConv2D 3x3"} and len(forms) <= 7
