"""What `build` is asked for, checked before Keras is imported and anything is read or built."""

import dataclasses
from typing import NamedTuple

from zoo import _blocks, _families, _files
from zoo._spec import Rate, Settings, fitted, overridden


class Plan(NamedTuple):
    """What `build` is to build."""

    architecture: object
    """Module of the network."""
    spec: Settings
    shape: tuple[int, int, int]
    classes: int | None
    """None: the network ends at its features."""
    weights: _files.Found | None


def plan(
    name: str,
    *,
    input_shape=None,
    classes: int | None = None,
    weights=None,
    include_top: bool = True,
    stem: str = "auto",
    dropout: float | None = None,
    classifier_activation: str | None = "softmax",
    model_name: str | None = None,
    **overrides,
) -> Plan:
    """Check the arguments of `build`; ValueError names what is unknown or does not fit."""
    architecture, spec = _families.find(name)
    shape = _checked_shape(spec.input_shape if input_shape is None else input_shape)
    classes = fitted("classes", spec.classes if classes is None else classes, int)
    include_top = fitted("include_top", include_top, bool)
    if not (classifier_activation is None or callable(classifier_activation)):
        fitted("classifier_activation", classifier_activation, str)
    if model_name is not None and "/" in fitted("model_name", model_name, str):
        raise ValueError(f"model_name={model_name!r} must be without slashes, as Keras wants it.")
    if dropout is not None:
        overrides[spec.head_dropout] = fitted("dropout", dropout, Rate)
    stem = _chosen_stem(name, spec, stem, shape)
    spec = dataclasses.replace(overridden(name, spec, overrides), stem=stem)
    found = None if weights is None else _files.find(weights, name)
    return Plan(architecture, spec, shape, classes if include_top else None, found)


def _checked_shape(shape) -> tuple[int, int, int]:
    try:
        height, width, channels = fitted("input_shape", shape, tuple[int, int, int])
    except ValueError:
        raise ValueError(
            f"input_shape={shape!r} must be (height, width, channels), in pixels."
        ) from None
    if channels not in (1, 3):
        raise ValueError(f"input_shape={shape!r} must end in 1 (gray) or 3 (RGB) channels.")
    least = _families.MIN_SIZE
    if min(height, width) < least:
        raise ValueError(
            f"input_shape={shape!r} is below {least}x{least} pixels: enlarge the images."
        )
    return height, width, channels


def _chosen_stem(name: str, spec, stem: str, shape) -> str | None:
    if stem not in ("auto", *_blocks.STEMS):
        raise ValueError(f"stem={stem!r} must be one of auto, {', '.join(_blocks.STEMS)}.")
    if spec.stem is None:
        if stem != "auto":
            raise ValueError(f"stem={stem!r}: {name} has no choice of stem, leave it 'auto'.")
        return None
    chosen = spec.stem if stem == "auto" else stem
    return _blocks.auto_stem(shape) if chosen == "auto" else chosen
