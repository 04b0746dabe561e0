"""Maps of a network, outputs with height and width: found by shape or name, in nested models too.

What a nested model holds is named by a path: `ghostnet/re_lu_40` in a stack of a `ghostnet`.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import keras

# Positions in height and in width that the last maps should have: fewer point nowhere.
LEAST = 4
SHOWN = 6  # names in an error


def maps_of(model: keras.Model, layer: str | None = None) -> dict[str, keras.Operation]:
    """Return the operations whose maps (n, h, w, c) explain a model, by path.

    With `layer`, a path or a name alone, those called so: one, or one of each nested model that has
    it. Without, the last maps on every way back from the output to the image: one layer of a
    network, one for each member of a stack. The last ones with 4 positions or more in height and
    width are taken, smaller ones where a model has no others.

    Raises ValueError for a layer that does not exist or has no maps, and for a model without maps.
    """
    known = dict(_all_maps(model))
    if layer is not None:
        return _called(model, layer, known)
    for least in (LEAST, 2):
        found: dict[str, keras.Operation] = {}
        _walk_back(model.outputs[0], [_Frame(model, "", [])], least, found)
        if found:
            return found
    raise ValueError(
        f"{model.name} has no maps: no layer gives (n, height, width, channels) with sides of 2 or "
        "more; Grad-CAM needs a convolutional network with a fixed image size"
    )


class _Frame(NamedTuple):
    """A model that is looked into, its path with a slash, and what it is called on."""

    model: keras.Model
    path: str
    given: Sequence


def _walk_back(tensor, frames: list[_Frame], least: int, found: dict) -> None:
    """Note the first maps on each way from a symbolic tensor back to the image."""
    model, path, given = frames[-1]
    if any(tensor is one for one in model.inputs):
        for outside in given:
            _walk_back(outside, frames[:-1], least, found)
        return
    operation, call, output = tensor._keras_history
    inputs = operation._inbound_nodes[call].input_tensors
    if _is_nested(operation):
        inside = _Frame(operation, f"{path}{operation.name}/", inputs)
        _walk_back(operation.outputs[output], [*frames, inside], least, found)
    elif _has_sides(tensor.shape, least):
        found[path + operation.name] = operation
    else:
        for before in inputs:
            _walk_back(before, frames, least, found)


def _all_maps(model: keras.Model, path: str = "") -> Iterator[tuple[str, keras.Operation]]:
    """Yield every operation that gives maps, in the order of the graph."""
    for operation in _operations(model):
        if _is_nested(operation):
            yield from _all_maps(operation, f"{path}{operation.name}/")
        elif operation._inbound_nodes and operation._inbound_nodes[0].input_tensors:  # no input
            outputs = [t for node in operation._inbound_nodes for t in node.output_tensors]
            if all(_has_sides(tensor.shape, 2) for tensor in outputs):
                yield path + operation.name, operation


def _called(model: keras.Model, layer: str, known: dict) -> dict[str, keras.Operation]:
    found = {
        path: one for path, one in known.items() if path == layer or path.endswith(f"/{layer}")
    }
    if found:
        return found
    others = [path.rpartition("/")[2] for path in _paths(model)]
    there = layer in others or layer in _paths(model)
    what = "has no maps (n, height, width, channels)" if there else "does not exist"
    close = difflib.get_close_matches(layer, known, n=SHOWN, cutoff=0.5)
    shown = close or list(known)[-SHOWN:]
    which = "close to it" if close else "the last of them"
    told = f"{len(known)} layers have some, {which}: {', '.join(shown)}" if known else "none has"
    raise ValueError(f"layer {layer!r} of {model.name} {what}: {told}")


def _paths(model: keras.Model, path: str = "") -> list[str]:
    found = []
    for operation in _operations(model):
        found.append(path + operation.name)
        if _is_nested(operation):
            found += _paths(operation, f"{path}{operation.name}/")
    return found


def _operations(model: keras.Model) -> list[keras.Operation]:
    """Return what a model is made of; of a Sequential its layers."""
    return getattr(model, "operations", None) or model.layers


def _is_nested(operation: keras.Operation) -> bool:
    import keras

    return isinstance(operation, keras.Model) and bool(getattr(operation, "outputs", None))


def _has_sides(shape: tuple, least: int) -> bool:
    return len(shape) == 4 and all(side is not None and side >= least for side in shape[1:3])


def shapes_of(operations: Sequence[keras.Operation]) -> list[tuple[int, int, int]]:
    """Return (height, width, channels) of each operation's maps."""
    return [tuple(one._inbound_nodes[0].output_tensors[0].shape[1:]) for one in operations]


@contextlib.contextmanager
def shifted(operations: Sequence[keras.Operation], by: Sequence) -> Iterator[list]:
    """While it lasts, maps are kept as they are, and go on shifted `by` a tensor (n, h, w, c) each.

    Yields the list that they come to, in the order of `operations`, when the model has been called:
    the gradient by a shift of 0 is that by the maps. It works wherever a layer stands, in nested
    models and beside skip connections, and is gone afterwards.
    """
    from keras import ops

    kept: list = []
    calls: dict[int, list] = {}

    def replaced(number: int, operation):
        call = operation.call

        def shifting(*given, **options):
            maps = call(*given, **options)
            calls.setdefault(number, []).append(maps)
            return maps + ops.cast(by[number], maps.dtype)

        return shifting

    for number, operation in enumerate(operations):
        operation.call = replaced(number, operation)
    try:
        yield kept
    finally:
        for operation in operations:
            del operation.call  # what hid the method of the class
    for number, operation in enumerate(operations):
        if len(calls.get(number, ())) != 1:
            raise ValueError(
                f"layer {operation.name!r} runs {len(calls.get(number, ()))} times before the "
                "logits, not once: name another layer"
            )
        kept += calls[number]
