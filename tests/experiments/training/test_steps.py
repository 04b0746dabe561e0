"""What is called in every step, and how soon a loss that is no number ends a run."""

import numpy as np
import pytest

from experiments.training import steps
from experiments.training.steps import LOOK, Finite, Steps


class Loss:
    """A number that says how often it was read."""

    read = 0

    def __init__(self, value: float):
        self.value = value

    def __float__(self) -> float:
        Loss.read += 1
        return self.value


@pytest.mark.parametrize("first", [1, 2, LOOK, LOOK + 1, 2 * LOOK - 1, 3 * LOOK])
def test_a_lost_loss_is_told_with_its_step_at_the_next_look(first):
    finite, batch = Finite(), 0
    with pytest.raises(ValueError, match=f"the loss is nan in step {first}: "):
        for batch in range(3 * LOOK):
            finite.on_train_batch_end(batch, {"loss": 1.0 if batch + 1 < first else np.nan})
    assert batch + 1 == -(-first // LOOK) * LOOK


def test_a_loss_is_read_once_in_many_steps_and_at_the_end_of_an_epoch():
    finite, Loss.read = Finite(), 0
    for epoch in range(1, 4):
        for batch in range(2 * LOOK + 3):
            finite.on_train_batch_end(batch, {"loss": Loss(1.0)})
        finite.on_test_begin()
        assert Loss.read == 3 * epoch
    finite.on_train_batch_end(0, {"loss": Loss(1.0)})
    finite.on_train_batch_end(1, {"loss": Loss(np.inf)})
    with pytest.raises(ValueError, match="the loss is inf in step 2: "):
        finite.on_test_begin()


@pytest.mark.backend
def test_a_step_s_logs_are_what_the_backend_returned_an_epoch_s_are_numbers():
    import keras

    class Hearing(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.heard = []

        def on_train_batch_end(self, batch, logs=None):
            self.heard.append((batch, type(logs["loss"]) is float, float(logs["loss"])))

        def on_epoch_end(self, epoch, logs=None):
            self.heard.append((epoch, type(logs["loss"]) is float, logs["val_loss"] > 0))

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((6, 2), np.float32), np.full((6, 1), 9, np.float32)
    hearing, silent = Hearing(), keras.callbacks.Callback()
    called = Steps([silent, hearing], model)
    data = {"validation_data": (x, y), "callbacks": called, "verbose": 0}
    history = model.fit(x, y, batch_size=2, epochs=1, **data).history
    assert [(step, number) for step, number, _ in hearing.heard] == [
        (0, False),
        (1, False),
        (2, False),
        (0, True),
    ]
    # The mean of the epoch so far: the last step's is the epoch's.
    assert hearing.heard[2][2] == pytest.approx(history["loss"][0], rel=1e-6)
    assert len(called._end) == 1


def test_the_steps_of_a_run_are_called_so(parse, train, stripes, tmp_path, monkeypatch):
    made = []

    class Noted(Steps):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(steps, "Steps", Noted)
    train(parse(epochs=1), tmp_path, stripes)
    assert len(made) == 1
