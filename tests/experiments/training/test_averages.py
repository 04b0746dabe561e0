"""Averages of weights: a plain loop makes the same, and the better weights are kept."""

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from experiments.recipes.averages import Ema, Lookahead
from experiments.recipes.fitting import AVERAGED, Optimizer
from experiments.training import averages, callbacks, optimizers

RATE, STEPS = 0.1, 13


def _updated(average, groups=None) -> tuple[keras.Variable, keras.optimizers.Optimizer]:
    """Return a variable after thirteen steps of SGD, and its optimizer."""
    variable = keras.Variable(np.arange(4, dtype="float32"), name="kernel")
    spec = Optimizer(name="sgd", learning_rate=RATE, groups=groups)
    optimizer = optimizers.make(spec, average=average, steps=STEPS)
    optimizer.build([variable])
    for step in range(STEPS):
        optimizer.apply([ops.convert_to_tensor(_gradient(step))])
    return variable, optimizer


def _gradient(step: int) -> np.ndarray:
    return np.random.default_rng(step).normal(size=4).astype("float32")


def _value(variable) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable.value), np.float64)


@pytest.mark.backend
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("groups", [None, {"kernel": {"rate": 0.5}}])
def test_a_moving_average_is_that_of_a_plain_loop(every, groups):
    variable, optimizer = _updated(Ema(name="ema", decay=0.4, every=every), groups)
    weights = average = np.arange(4.0)
    for step in range(1, STEPS + 1):
        weights = weights - RATE * (0.5 if groups else 1) * _gradient(step - 1)
        if step % every == 0:
            # 1/10, 2/11, 3/12, 4/13, and 0.4 from the sixth on.
            decay = min(0.4, (step // every) / (9 + step // every))
            average = decay * average + (1 - decay) * weights
    ((of, found),) = optimizer.pairs()
    assert of is variable
    assert _value(variable) == pytest.approx(weights, abs=1e-5)
    assert _value(found) == pytest.approx(average, abs=1e-5)
    assert not np.allclose(average, weights, atol=1e-3)


@pytest.mark.backend
@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("rising", [False, True])
def test_lookahead_is_that_of_a_plain_loop(every, rising):
    average = Lookahead(name="lookahead", every=every, decay=0.9, rising=rising)
    variable, _ = _updated(average)
    slow = fast = np.arange(4.0)
    for step in range(1, STEPS + 1):
        fast = fast - RATE * _gradient(step - 1)
        if step % every == 0:
            decay = 0.9**every * (step / STEPS) ** 3 if rising else 0.9
            slow = fast = slow + (1 - decay) * (fast - slow)
        if step == STEPS:  # three steps after the last time
            fast = slow
    assert _value(variable) == pytest.approx(fast, abs=1e-5)


def _batch_normalized(average: Ema, total: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    optimizer = optimizers.make(Optimizer(name="sgd"), average=average, steps=total)
    # top1, as training calls it.
    model.compile(optimizer, "mse", metrics=[keras.metrics.MeanAbsoluteError(name="top1")])
    optimizers.build(optimizer, model)
    return model, optimizer


@pytest.mark.backend
def test_moving_statistics_are_averaged_by_the_decay_of_an_epoch_s_steps():
    """Three steps an epoch and an average every second step: one, then two, in an epoch."""
    average = Ema(name="ema", decay=0.15, every=2)
    model, optimizer = _batch_normalized(average, 6)
    norm = model.layers[1]
    rng = np.random.default_rng(0)
    x, y = rng.normal(2, 3, (12, 4)).astype("float32"), np.zeros((12, 2), "float32")
    seen = []

    class Seeing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((_value(norm.moving_mean), dict(logs)))

    scored = averages.Averages(lambda: model.evaluate(x, y, verbose=0, return_dict=True))
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False}
    model.fit(x, y, callbacks=[scored, Seeing()], **options)
    due = np.zeros(3)  # what moving means begin as
    for (now, _), decay in zip(seen, (1 / 10, 0.15 * 0.15), strict=True):
        due = decay * due + (1 - decay) * now
    pairs = {id(variable): value for variable, value in optimizer.pairs()}
    assert _value(pairs[id(norm.moving_mean)]) == pytest.approx(due, rel=1e-5)
    assert len(pairs) == len(model.weights) == 8
    # The optimizer's own: the number of steps, the rate, averages; none of the model's.
    assert len(optimizer.variables) == 2 + 8
    # The scores are those of the network with all averages, which training does not see.
    raw = [np.array(one) for one in model.get_weights()]
    assert seen[-1][0] == pytest.approx(raw[4], rel=1e-6)
    with averages.used(optimizer):
        assert _value(norm.moving_mean) == pytest.approx(due, rel=1e-5)
        found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(seen[-1][1]["val_loss_ema"], rel=1e-5)
    assert all(map(np.array_equal, raw, model.get_weights()))
    averages.use(optimizer)
    assert _value(norm.moving_mean) == pytest.approx(due, rel=1e-5)


def test_averages_can_be_waited_for(parse, train, stripes, tmp_path):
    stop = {"patience": 1, "monitor": "val_top1_ema", "min_delta": 100.0}  # no gain counts
    row = parse(average={"name": "ema", "decay": 0.5}, early_stop=stop)
    history = train(row, tmp_path / "run", stripes).history
    assert set(AVERAGED) < set(history) and len(history["epoch"]) == 2 < row.epochs


@pytest.mark.backend
def test_the_better_of_weights_and_average_is_kept(parse, train, stripes, tmp_path, monkeypatch):
    told, hear = [], callbacks.Clock.on_epoch_end

    def on_epoch_end(clock, epoch: int, logs: dict) -> None:
        hear(clock, epoch, logs)
        clock.line.update(zip(("val_top1", "val_top1_ema"), told[epoch], strict=True))

    monkeypatch.setattr(callbacks.Clock, "on_epoch_end", on_epoch_end)
    row = parse(average={"name": "ema", "decay": 0.5})
    cases = {
        "ema": ([(25.0, 50.0), (50.0, 75.0), (50.0, 50.0)], 2, "val_loss_ema"),
        # The first of equals, and the weights themselves.
        "raw": ([(25.0, 50.0), (75.0, 75.0), (75.0, 75.0)], 2, "val_loss"),
    }
    for weights, (told, best, loss) in cases.items():
        run = train(row, tmp_path / weights, stripes)
        metrics, line = run.metrics, {key: of[best - 1] for key, of in run.history.items()}
        assert (metrics["weights"], metrics["best_epoch"]) == (weights, best)
        assert (metrics["raw_top1"], metrics["ema_top1"]) == told[best - 1]
        assert metrics["last_top1"] == told[-1][1]
        # History has six digits.
        assert metrics["loss"] == pytest.approx(line[loss], rel=1e-4)
        assert line["val_loss"] != pytest.approx(line["val_loss_ema"], rel=1e-3)


@pytest.mark.backend
def test_the_average_is_kept_of_the_last_epoch(parse, train, stripes, tmp_path):
    run = train(parse(average={"name": "ema"}, keep="last"), tmp_path / "run", stripes)
    metrics, last = run.metrics, {key: of[-1] for key, of in run.history.items()}
    assert metrics["weights"] == "ema"
    assert metrics["loss"] == pytest.approx(last["val_loss_ema"], rel=1e-4)
    assert metrics["top1"] == pytest.approx(metrics["ema_top1"])
    assert metrics["raw_top1"] == pytest.approx(last["val_top1"], rel=1e-4)
    assert metrics["last_top1"] == metrics["ema_top1"]


def test_lookahead_has_one_set_of_weights(parse, train, stripes, finished, tmp_path):
    average = {"name": "lookahead", "every": 5, "rising": True}
    run = train(parse(average=average, keep="last"), tmp_path / "run", stripes)
    assert run.history.keys() == finished.history.keys()
    assert run.metrics.keys() == finished.metrics.keys()
    assert run.metrics["loss"] == pytest.approx(run.history["val_loss"][-1], rel=1e-4)
    ours, plain = (zoo.load(one.model_file).get_weights() for one in (run, finished))
    assert not np.array_equal(ours[0], plain[0])


@pytest.mark.parametrize(
    ("average", "told"),
    [
        ({"name": "emma"}, "average: .*'emma'.*'ema', 'lookahead'"),
        ({"name": "ema", "decay": 1.0}, "average.ema.decay: "),
        ({"name": "ema", "every": 0}, "average.ema.every: "),
        ({"name": "ema", "rising": True}, "average.ema.rising: Extra"),
        ({"name": "lookahead", "decay": -0.1}, "average.lookahead.decay: "),
    ],
)
def test_fields_that_do_not_fit_are_named(average, told, parse):
    with pytest.raises(ValueError, match=told):
        parse(average=average)
