"""Members of one architecture: one after the other, as one graph, and with their weights batched.

Batching runs one graph over a stack of the members' weights (`keras.ops.vectorized_map`), so that
each convolution becomes one grouped convolution. A stack of members is one graph: this bench says
whether batching would be worth its code.
"""

import os
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

import stacking
import zoo
from experiments.bench import check
from experiments.listener import SILENT, Listener
from experiments.timing import side_by_side

NETWORKS = {"alphanet_v4": (64, 64, 3), "resnet18": (32, 32, 3), "ghostnet_100": (64, 64, 3)}


def run(
    *, repeats: int = 10, members: int = 3, batch: int = 32, listener: Listener = SILENT
) -> list[dict]:
    """Time `members` networks of each kind on a batch of noise; one row per case.

    `difference` is the largest one between a case's probabilities and those of the members alone.
    Raises `ValueError` for numbers out of range, and on torch, whose vmap maps no such network.
    """
    check(repeats=repeats, members=members, batch=batch)
    if keras.backend.backend() == "torch":
        raise ValueError("torch cannot batch weights of Keras' convolutions: give --backend jax")
    rows = []
    for done, (name, shape) in enumerate(NETWORKS.items()):
        listener.progress("networks", done, len(NETWORKS))
        images = np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)
        networks = [zoo.build(name, input_shape=shape, classes=200) for _ in range(members)]
        rows += _rows(name, networks, images.astype("float32"), repeats)
    listener.progress("networks", len(NETWORKS), len(NETWORKS))
    return rows


def _rows(name: str, networks: list, images: np.ndarray, repeats: int) -> list[dict]:
    together, batched = _together(networks), Batched(networks)
    cases = {
        "one after the other": lambda: np.stack([n.predict_on_batch(images) for n in networks]),
        "one graph": lambda: np.stack(together.predict_on_batch(images)),
        "weights batched": lambda: batched.predict_on_batch(images),
    }
    expected = cases["one after the other"]()
    differences = {case: float(abs(call() - expected).max()) for case, call in cases.items()}
    seconds = side_by_side(cases, repeats=repeats)
    return [
        {
            "case": f"{name}: {case}",
            "backend": keras.backend.backend(),
            "members": len(networks),
            "batch": len(images),
            "repeats": repeats,
            "ms_per_batch": 1e3 * median,
            "times_slower_than_one_graph": median / seconds["one graph"],
            "difference": differences[case],
            "load": os.getloadavg()[0],
        }
        for case, median in seconds.items()
    ]


def _together(networks: Sequence[keras.Model]) -> keras.Model:
    """Return one functional graph of frozen copies, as a stack holds them."""
    image = keras.Input(networks[0].input_shape[1:])
    copies = [stacking.frozen_member(n, "probs", f"m{i}") for i, n in enumerate(networks)]
    return keras.Model(image, [copy(image) for copy in copies])


class Batched(keras.Model):
    """(n, h, w, c) -> (members, n, classes): one network, mapped over the members' weights."""

    def __init__(self, networks: Sequence[keras.Model]):
        super().__init__()
        self.network = networks[0]
        members = zip(*(network.variables for network in networks), strict=True)
        self.stacked = [
            keras.Variable(np.stack([ops.convert_to_numpy(v) for v in same]), trainable=False)
            for same in members
        ]
        self.built = True

    def call(self, images):
        """Map the network over its weights."""
        kinds = [self.network.trainable_variables, self.network.non_trainable_variables]
        places = {id(v): i for i, v in enumerate(self.network.variables)}
        order = [[places[id(v)] for v in kind] for kind in kinds]

        def member(values):
            weights = [[values[i] for i in kind] for kind in order]
            return self.network.stateless_call(*weights, images, training=False)[0]

        return ops.vectorized_map(member, [variable.value for variable in self.stacked])
