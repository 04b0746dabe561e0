"""A network's convolutions and dense layers, and which of them stand for all."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras

# Follow a convolution in its piece.
_AFTER = ("BatchNormalization", "Activation", "ReLU", "LeakyReLU", "ELU", "MaxPooling2D")
_MOST, _COVERED, _NEGLIGIBLE = 7, 0.9, 0.01
# A piece's work, as floating-point operations, and its largest map, as elements.
_FLOP, _ELEMENTS = 6e9, 8e6
# Passes over a map cost as much per element as so many multiply-adds.
_MACS_OF_AN_ELEMENT = 300


class Piece(NamedTuple):
    """A layer with what follows it; `macs` and `cost` of one image, forward."""

    layers: tuple[Any, ...]
    form: str
    bucket: tuple
    macs: int
    cost: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image's maps that it takes."""
        return tuple(self.layers[0].input.shape[1:])

    @property
    def batch(self) -> int:
        """Return images that are few enough to be quick, and as many as keep all cores busy."""
        largest = max(math.prod(self.shape), math.prod(self.layers[0].output.shape[1:]))
        fit = min(_FLOP / (6 * max(self.macs, 1)), _ELEMENTS / largest)
        return int(min(128, max(4, fit)))


def digest(found: Sequence[Piece]) -> str:
    """Return a digest of all that the times of a network's pieces depend on but the machine."""
    said = [
        [piece.shape, [[type(x).__name__, _settings(x.get_config())] for x in piece.layers]]
        for piece in found
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def pieces(model: keras.Model) -> list[Piece]:
    """Return a network's convolutions and dense layers, each with what follows it."""
    found = []
    for layer in _leaves(model):
        kernels = [w for w in layer.weights if "kernel" in w.name]
        if not kernels or len(layer.input.shape) not in (2, 4):
            continue
        followers, last = [], layer
        while len(last._outbound_nodes) == 1:
            last = last._outbound_nodes[0].operation
            if type(last).__name__ not in _AFTER:
                break
            followers.append(last)
        positions = math.prod(layer.output.shape[1:-1])
        macs = positions * sum(math.prod(kernel.shape) for kernel in kernels)
        elements = math.prod(layer.output.shape[1:]) + math.prod(layer.input.shape[1:])
        form, sizes = _form(layer), (*layer.input.shape[1:], *layer.output.shape[1:])
        cost = macs + _MACS_OF_AN_ELEMENT * elements
        found.append(Piece((layer, *followers), form, (form, *map(_class, sizes)), macs, cost))
    return found


def _leaves(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _form(layer: keras.Layer) -> str:
    """Name a kind of layer: `Conv2D 3x3`, `grouped Conv2D 3x3/2`, `Dense`."""
    size = getattr(layer, "kernel_size", None)
    if size is None:
        return type(layer).__name__
    grouped = "grouped " if getattr(layer, "groups", 1) > 1 else ""
    stride = f"/{layer.strides[0]}" if max(layer.strides) > 1 else ""
    return f"{grouped}{type(layer).__name__} {size[0]}x{size[1]}{stride}"


def _class(size: int) -> int:
    return round(math.log2(size))


def representatives(found: Sequence[Piece]) -> list[Piece]:
    """Return the costliest layer of each important bucket, of each form at least one."""
    costs, largest = {}, {}
    for piece in found:
        costs[piece.bucket] = costs.get(piece.bucket, 0) + piece.cost
        if piece.bucket not in largest or piece.cost > largest[piece.bucket].cost:
            largest[piece.bucket] = piece
    total, order = sum(costs.values()), sorted(costs, key=costs.get, reverse=True)
    order = [bucket for bucket in order if costs[bucket] > _NEGLIGIBLE * total]
    forms = {bucket[0]: bucket for bucket in reversed(order)}
    first = sorted(forms.values(), key=costs.get, reverse=True)
    chosen, covered = first[:_MOST], sum(costs[b] for b in first[:_MOST])
    for bucket in order:
        if len(chosen) < _MOST and covered < _COVERED * total and bucket not in chosen:
            chosen.append(bucket)
            covered += costs[bucket]
    return [largest[bucket] for bucket in chosen]


def probe() -> Piece:
    """Return a convolution so small that even the slowest kernel is done in a moment."""
    image = keras.Input((16, 16, 16))
    layer = keras.layers.Conv2D(16, 3, padding="same", name="probe")
    layer(image)
    macs = 16**4 * 9
    return Piece((layer,), "probe", (), macs, macs)


def _settings(config: dict) -> dict:
    """Return a layer's settings that its time can depend on."""
    return {
        key: value
        for key, value in config.items()
        if not key.endswith(("name", "initializer", "regularizer", "constraint", "trainable"))
    }
