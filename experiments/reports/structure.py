"""What a built network is made of, in as few rows as say it: for diagrams of any functional model.

A network is cut where a single tensor leads on: between two cuts lies one operation, or a block of
branches that come together again. Operations are joined to units, such as a convolution with its
normalization and activation, by what they are and by the paths that their names are; units that do
the same at the same size, side by side, are one row.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MOST = 34  # rows, which fit a page
LONG = 80  # operations of one block, from which it is divided by the size of its maps
NAMED = 3  # kinds of convolutions that a row names
_MOVING = {"moving_mean", "moving_variance"}
# Operations of one input that stand for themselves, and what they are called.
ALONE = {
    "Rescaling": "rescale",
    "Resizing": "enlarge",
    "Flatten": "flatten",
    "MaxPooling2D": "max pool",
    "AveragePooling2D": "mean pool",
    "GlobalAveragePooling2D": "mean of all positions",
    "GlobalMaxPooling2D": "maximum of all positions",
}
CLASSIFIERS = ("logits", "logits_map")
JOINS = {"Add": "residual", "Concatenate": "concatenated", "Multiply": "gated"}


class Row(NamedTuple):
    """One or several units of a network that do the same."""

    text: str
    """What a unit does."""
    times: int
    """How many units, one behind the other."""
    shape: tuple[int, ...]
    """Of the last one's output, without the batch."""
    parameters: int
    """Of all of them, as `zoo.profile` counts."""
    joins: str = ""
    """How branches come together: a key of JOINS; empty where there are none."""

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of the maps; none behind the last map."""
        return self.shape[:-1]


def rows(model: Any) -> list[Row]:
    """Return the rows of a functional model, from its image to its output.

    More than MOST of them are joined, size by size.
    """
    found: list[Row] = []
    for unit in _units(_segments(model)):
        row = Row(_text(unit), 1, _shape(unit[-1]), _parameters(unit), _joins(unit))
        _add(found, row, same=(row.text, row.size, row.joins))
    for key in (lambda row: (row.size, row.joins), lambda row: row.size):
        if len(found) > MOST:
            found = _joined(found, key)
    return found


def _add(found: list[Row], row: Row, same: tuple) -> None:
    """Append a row, or count it with the last one where that does the same."""
    if found and (found[-1].text, found[-1].size, found[-1].joins) == same:
        last = found.pop()
        times, parameters = last.times + row.times, last.parameters + row.parameters
        row = row._replace(times=times, parameters=parameters)
    found.append(row)


def _joined(found: Sequence[Row], key) -> list[Row]:
    """Join neighbors of the same key; the first two names are told, how many there are more."""
    groups: list[list[Row]] = []
    for row in found:
        if groups and key(groups[-1][-1]) == key(row):
            groups[-1].append(row)
        else:
            groups.append([row])
    joined = []
    for group in groups:
        texts = list(dict.fromkeys(row.text for row in group))
        more = f" and {len(texts) - 1} other kinds" if len(texts) > 2 else ""
        text = " or ".join(texts) if len(texts) <= 2 else texts[0] + more
        times, parameters = (sum(getattr(row, k) for row in group) for k in ("times", "parameters"))
        joined.append(group[-1]._replace(text=text, times=times, parameters=parameters))
    return joined


# Cutting -----------------------------------------------------------------------------------------


def _segments(model: Any) -> list[list]:
    """Divide the operations where the output of one is all that later ones see."""
    operations = [one for one in model.operations if type(one).__name__ != "InputLayer"]
    last_use = {}
    for place, one in enumerate(operations):
        last_use |= dict.fromkeys(map(id, _tensors(one.input)), place)
    segments, current, before = [], [], -1
    for place, one in enumerate(operations):
        current.append(one)
        if before <= place:  # all that was made before this operation is used by now
            segments += _by_size(current) if len(current) > LONG else [current]
            current = []
        uses = (last_use.get(id(tensor), place) for tensor in _tensors(one.output))
        before = max(before, *uses)
    return segments + ([current] if current else [])


def _by_size(operations: Sequence) -> list[list]:
    """Divide a block that is too long for one by the size of its maps."""
    parts: list[list] = []
    for one in operations:
        if parts and _shape(parts[-1][-1])[:-1] == _shape(one)[:-1]:
            parts[-1].append(one)
        else:
            parts.append([one])
    return parts


def _units(segments: Sequence[list]) -> list[list]:
    """Join segments to what is seen as one: a convolution and what follows it, or one path."""
    units: list[list] = []
    path, padding = "", []  # of the last unit, where it is a block with a number; of the next one
    for segment in segments:
        first, single = segment[0], len(segment) == 1
        if single and type(first).__name__ == "ZeroPadding2D":
            padding += segment
            continue
        alone, inner = single and type(first).__name__ in ALONE, _path(segment)
        inside = bool(path) and not alone and f"{inner}-".startswith(f"{path}-")
        follows = single and not alone and not _kernel(first)
        if units and (inside or follows):
            units[-1] += padding + segment
        else:
            units.append(padding + segment)
            path = inner if inner[-1:].isdigit() and not alone else ""
        padding = []
    return units


def _path(operations: Iterable) -> str:
    """Return what the paths of the layers with weights have in common, without their own names."""
    paths = [one.name.split("-")[:-1] for one in operations if getattr(one, "weights", ())]
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "-".join(common)


# Telling -----------------------------------------------------------------------------------------


def _text(unit: Sequence) -> str:
    """Say what a unit does: its kernels by kind, or what stands for itself."""
    kinds = Counter(filter(None, map(_kernel, unit)))
    words = [kind if times == 1 else f"{times} of {kind}" for kind, times in kinds.items()]
    if len(words) > NAMED:
        words = [*words[:NAMED], "…"]
    if not words:
        words = [ALONE[name] for one in unit if (name := type(one).__name__) in ALONE]
    if _is_gated(unit):
        words.append("squeeze-excite")
    return ", ".join(words) or "other operations"


def _kernel(one: Any) -> str:
    """Say what an operation with a kernel does; nothing of any other."""
    layer = type(one).__name__
    if layer == "Dense":
        return "classifier" if one.name in CLASSIFIERS else "dense"
    if not hasattr(one, "kernel_size") or not getattr(one, "weights", ()):
        return ""
    height, width = one.kernel_size
    side = f"{height}×{width}"
    words = [side, *(word for word in ("depthwise", "separable") if word in layer.lower())]
    if getattr(one, "groups", 1) > 1:
        words.append("grouped")
    stride = max(one.strides)
    return " ".join(words) + (f" /{stride}" if stride > 1 else "")


def _is_gated(unit: Sequence) -> bool:
    names = [type(one).__name__ for one in unit]
    return "Multiply" in names and "GlobalAveragePooling2D" in names


def _joins(unit: Sequence) -> str:
    """Say how the branches of a unit come together in the end."""
    names = [type(one).__name__ for one in unit if type(one).__name__ in JOINS]
    adds = [name for name in names if name != "Multiply"]
    return (adds or [""])[-1]


def _parameters(unit: Iterable) -> int:
    return sum(
        math.prod(weight.shape)
        for one in unit
        for weight in getattr(one, "weights", ())
        if weight.name not in _MOVING
    )


def _shape(one: Any) -> tuple[int, ...]:
    return tuple(_tensors(one.output)[0].shape[1:])


def _tensors(given: Any) -> list:
    return list(given) if isinstance(given, list | tuple) else [given]
