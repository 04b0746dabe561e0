"""Members trained together, and weights that follow what they get right: a scheme that collapses.

Paper P1 let members be trained together and weighted their mean by weights that grew, as AdaBoost's
do, for members that were right on the *training* batches; they collapsed onto a few members. It
says neither how the weights grew nor what the loss was. Read here so that it explains the collapse:

- Loss: the cross entropy of the weighted mean of probabilities p, -log sum_m w_m p_m(true class).
  Its gradient for a member has the factor w_m p_m / sum_k w_k p_k: who has no weight learns
  nothing, and images that the others get right teach nobody else. A loss of each member's own,
  scaled by its weight, would not do: Adam divides the scale out again.
- Weights: multiplied, after each batch, by exp(growth * share of the batch that the member gets
  right), then made to sum to 1. That is Hedge, in whose paper AdaBoost is (Freund and Schapire,
  1997): the ratio of two weights grows exponentially as long as one member is right more often.

So a small lead gives weight, weight gives gradient, and gradient the lead. A sound ensemble trains
its members apart and fits weights on images that they held out: kinds `vote` and `stack`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

import stacking
from experiments.listener import Listener
from experiments.recipes.fitting import Loss
from experiments.training.callbacks import Clock, Saved
from experiments.training.targets import Labels, TopK
from stacking.joint import LEAST, WEIGHTS


class Together(Labels):
    """Targets of members of a joint model; answers are theirs behind that of all (1 + m, classes).

    With a `growth` of 0 the weights stay as they are.
    """

    def __init__(self, spec: Loss, names: Sequence[str], growth: float, *, mixed: bool = False):
        super().__init__(spec, mixed=mixed)
        self.names, self.growth = list(names), growth

    def trainer(self, model: keras.Model) -> keras.Model:
        """Return what is trained: log probabilities, exact where probabilities are rounded to 0."""
        logits = model.get_layer("of_each").output
        outputs = _All(model.get_layer(WEIGHTS), name="all", dtype="float32")(logits)
        return _Trainer(model.input, outputs, name="trainer", targets=self)

    def beside(self, model: keras.Model, clock: Clock, listener: Listener) -> list[Saved]:
        """Return what writes the weights down."""
        return [Weights(model, self.names, clock, listener)]

    def loss(self) -> Callable:
        """Return the loss of the weighted mean."""
        of_one = super().loss()
        return lambda targets, outputs: of_one(targets, outputs[:, 0])

    def metrics(self, classes: int) -> list[keras.metrics.Metric]:
        """Return accuracies of the weighted mean, and the first one of each member."""
        return [
            *(_OfOne(0, metric) for metric in super().metrics(classes)),
            *(
                _OfOne(place, TopK(self.label, k=1, name=f"top1_{name}"))
                for place, name in enumerate(self.names, start=1)
            ),
        ]

    def grown(self, weights: Any, targets: Any, outputs: Any) -> Any:
        """Return the weights (m,) after a batch, by what members got right of it."""
        label = ops.cast(ops.reshape(self.label(targets), (-1, 1)), "int32")
        decided = ops.cast(ops.argmax(outputs[:, 1:], axis=-1), "int32")
        right = ops.mean(ops.cast(ops.equal(decided, label), "float32"), axis=0)
        return ops.softmax(ops.log(ops.maximum(weights, LEAST)) + self.growth * right)


class _All(keras.layers.Layer):
    """Logits (m, classes) -> log probabilities (1 + m, classes): of the weighted mean, of each."""

    def __init__(self, weighing: keras.layers.Layer, **options):
        super().__init__(**options)
        self.weighing = weighing

    def call(self, logits):
        each = ops.log_softmax(logits, axis=-1)
        weights = ops.log(ops.maximum(ops.convert_to_tensor(self.weighing.kernel), LEAST))
        mean = ops.logsumexp(each + weights[:, None], axis=1, keepdims=True)
        return ops.concatenate([mean, each], axis=1)


class _Trainer(keras.Model):
    """A functional model that lets the weights grow in each step of training, on any backend."""

    def __init__(self, *args, targets: Together, **options):
        super().__init__(*args, **options)
        self.targets = targets

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss; Keras keeps, also on JAX, what is assigned to variables here."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training and self.targets.growth:
            kernel = self.get_layer("all").weighing.kernel
            kernel.assign(self.targets.grown(kernel.value, y, ops.stop_gradient(y_pred)))
        return loss


class _OfOne(keras.metrics.Metric):
    """A metric of one of several answers to an image."""

    def __init__(self, place: int, metric: keras.metrics.Metric):
        super().__init__(name=metric.name)
        self.place, self.metric = place, metric

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        self.metric.update_state(y_true, y_pred[:, self.place], sample_weight)

    def result(self):
        """Return the accuracy."""
        return self.metric.result()

    def reset_state(self) -> None:
        """Begin anew."""
        self.metric.reset_state()


class Weights(Saved):
    """Adds the weights at the end of each epoch to its line, and how many members they leave."""

    name = "members"

    def __init__(self, model: keras.Model, names: Sequence[str], clock: Clock, listener: Listener):
        super().__init__()
        self.joint, self.names, self.clock, self.listener = model, names, clock, listener

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add them, the clock having written its line."""
        _ = (
            self.model
        )  # asked for it, Keras on JAX gives variables the values that they have by now
        weights = stacking.weights_of(self.joint)
        by_name = dict(zip(self.names, weights.tolist(), strict=True))
        left = stacking.effective_members(weights)
        self.clock.line.update({f"weight_{name}": weight for name, weight in by_name.items()})
        self.clock.line["effective_members"] = left
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in by_name.items())
        self.listener.say(f"weights {shown}: {left:.2f} effective members")
