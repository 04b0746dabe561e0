"""What happens beside the steps of training, and what of it goes on."""

import json
import typing

import pytest

from experiments.recipes import fitting
from experiments.recipes.fitting import AVERAGED, KERAS_NAMES, MONITORS, Constant, Plateau, Stop
from experiments.training import callbacks, schedules
from experiments.training.checkpoint import Checkpoint


@pytest.fixture
def clock() -> callbacks.Clock:
    return callbacks.Clock(images=100)


class _Model:
    """What callbacks ask a model for; a rate can be read and assigned."""

    def __init__(self, rate: float):
        self.optimizer, self.learning_rate, self.stop_training = self, self, False
        self.rate, self.variables = rate, []

    def assign(self, rate: float) -> None:
        self.rate = rate


def _exhausted(spec: Stop, clock: callbacks.Clock, values: list[float]) -> list[int]:
    waiting, found = callbacks.Waiting(spec, clock), []
    for value in values:
        clock.history.append({spec.monitor: value})
        found.append(int(waiting.exhausted()))
    return found


@pytest.mark.parametrize(
    ("spec", "values", "exhausted"),
    [
        ({}, [1, 2, 2, 2, 3, 3, 3], [0, 0, 0, 1, 0, 0, 1]),
        ({"monitor": "val_loss"}, [3, 2, 2, 2, 1, 1, 1], [0, 0, 0, 1, 0, 0, 1]),
        ({"monitor": "val_loss_ema"}, [3, 2, 2, 2, 1, 1, 1], [0, 0, 0, 1, 0, 0, 1]),
        ({"monitor": "val_top1_ema"}, [1, 2, 2, 2, 3, 3, 3], [0, 0, 0, 1, 0, 0, 1]),
        # A gain of min_delta is none: what counts is the best value that was left behind by more.
        ({"min_delta": 0.5}, [10.0, 10.5, 10.6, 10.7, 11.2], [0, 0, 0, 0, 0]),
        ({"min_delta": 0.5}, [10.0, 10.25, 10.5, 10.5], [0, 0, 1, 1]),
        ({"monitor": "val_loss", "min_delta": 0.5}, [2.0, 1.75, 1.5, 1.25], [0, 0, 1, 0]),
        # A tenth of the best so far.
        ({"min_delta": 0.1, "relative": True}, [10.0, 10.9, 11.0, 11.5], [0, 0, 1, 0]),
        (
            {"monitor": "val_loss", "min_delta": 0.1, "relative": True},
            [1.0, 0.95, 0.91, 0.89, 0.81, 0.8],
            [0, 0, 1, 0, 0, 0],
        ),
    ],
)
def test_patience_counts_epochs_without_a_better_value(spec, values, exhausted, clock):
    assert _exhausted(Stop(patience=2, **spec), clock, values) == exhausted


@pytest.mark.parametrize("name", [*MONITORS, *KERAS_NAMES, "val_accuracy", "val_acc"])
def test_monitors_are_called_as_keras_calls_them(name, finished):
    spec = Stop(patience=1, monitor=name)
    plateau = Plateau(name="plateau", patience=1, factor=0.5, monitor=name)
    assert spec.monitor == plateau.monitor
    assert spec.monitor in {*finished.history, *AVERAGED}  # no averages in this run


def test_a_plateau_s_least_gain_is_that_of_its_monitor():
    of = {name: Plateau(name="plateau", patience=1, factor=0.5, monitor=name) for name in MONITORS}
    assert (of["val_top1"].min_delta, of["val_loss"].min_delta) == (0.01, 1e-4)
    assert of["loss"].min_delta == of["val_loss_ema"].min_delta == 1e-4
    assert of["val_top5"].min_delta == 0.01


def test_a_plateau_lowers_the_rate_as_far_as_it_may(clock):
    spec = Plateau(name="plateau", patience=1, factor=0.1, min_lr=0.005, monitor="loss")
    (plateau,) = schedules.callbacks(spec, clock)
    model = _Model(0.1)
    plateau.set_model(model)
    rates = []
    for loss in (2.0, 2.0, 1.0, 1.0, 1.0):
        clock.history.append({"loss": loss, "lr": model.rate})
        plateau.on_epoch_end(0)
        rates.append(model.rate)
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.005, 0.005])
    assert schedules.callbacks(Constant(), clock) == []


def test_the_best_epoch_is_the_first_of_equals(clock):
    best, seen = callbacks.Best(clock), []
    for value in (1, 3, 3, 2, 4):
        clock.history.append({"val_top1": value})
        best.on_epoch_end(0)
        seen.append(best.epoch)
    assert seen == [1, 2, 2, 2, 5]


def test_states_go_on_by_name_whatever_their_order(clock, tmp_path):
    def made(clock) -> dict[str, callbacks.Saved]:
        found = [
            clock,
            callbacks.Best(clock),
            schedules.Plateau(Plateau(name="plateau", patience=9, factor=0.5), clock),
            callbacks.Stopping(Stop(patience=2), clock),
            callbacks.TorchSeed(1, clock),
        ]
        return {one.name: one for one in found}

    before, model = made(clock), _Model(0.1)
    for value in (5.0, 4.0, 3.0):
        clock.history.append({"val_top1": value, "lr": 0.1})
        for callback in before.values():
            callback.set_model(model)
            if callback is not clock:
                callback.on_epoch_end(0)
    assert before["stop"].stopped and model.stop_training
    Checkpoint(tmp_path).save(model, list(before.values()), epoch=3, best=1)
    after = made(callbacks.Clock(images=100))
    Checkpoint(tmp_path).restore(model, list(reversed(after.values())))
    for name, callback in before.items():
        assert json.loads(json.dumps(callback.state())) == after[name].state(), name
    assert after["plateau"].state() == {"best": 5.0, "wait": 2}
    assert after["stop"].state() == {"best": 5.0, "wait": 2, "stopped": True}
    assert after["clock"].epoch == 3 and after["best"].epoch == 1


def test_a_listener_hears_every_step_once_and_the_end_with_the_line(clock):
    class Listening(callbacks.Listener):
        heard: list = []

        def progress(self, what, done, total):
            self.heard.append((what, done, total))

        def say(self, text):
            self.heard.append(text)

    tell = callbacks.Tell(Listening(), clock, epochs=7, steps=3)
    for batch in range(3):
        tell.on_train_batch_end(batch)
    line = dict.fromkeys(("loss", "top1", "val_loss", "val_top1", "seconds"), 1.5)
    clock.history.append(line)
    tell.on_epoch_end(0)
    *steps, said = Listening.heard
    assert steps == [("epoch 1 of 7", done, 3) for done in (1, 2, 2, 3)]
    assert said.startswith("epoch 1 of 7: loss 1.5, top-1 1.50 %; validation loss 1.5")


def test_every_schedule_that_a_row_may_name_is_carried_out():
    union = typing.get_args(typing.get_args(fitting.Schedule)[0])
    assert set(union) == set(schedules.SCHEDULES)
    names = [make.name for make in schedules.SCHEDULES.values() if make]
    assert len(set(names)) == len(names)  # states are saved by name
