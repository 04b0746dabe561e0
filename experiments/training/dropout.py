"""Dropout whose rate changes: set at the start of an epoch, in all layers, and compiled anew."""

from collections.abc import Iterator

import keras

from experiments.recipes.dropout import Dropout
from experiments.training.callbacks import Saved

LAYERS = (keras.layers.Dropout, keras.layers.AlphaDropout, keras.layers.GaussianDropout)


class DropoutRate(Saved):
    """Sets the rate of a network's dropout layers; it is a function of the epoch, and no state."""

    name = "dropout"

    def __init__(self, spec: Dropout, network: keras.Model):
        """Raise ValueError for a network without dropout layers."""
        super().__init__()
        self.spec, self.rate = spec, None
        self.layers = [layer for layer in _dropout(network) if layer.rate]
        if not self.layers:
            raise ValueError(
                f"dropout: {network.name} has no dropout layer with a rate above 0, which could "
                "be changed: give it one, for example model.dropout=0.1, or leave dropout out"
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the epoch's rate; compiled steps have the old one in them."""
        rate = self.spec.rate(epoch)
        if rate != self.rate:
            self.rate = rate
            for layer in self.layers:
                layer.rate = rate
            self.model.make_train_function(force=True)


def _dropout(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the dropout layers of a model and of all models within it."""
    for layer in model.layers:
        if isinstance(layer, LAYERS):
            yield layer
        yield from _dropout(layer) if hasattr(layer, "layers") else ()
