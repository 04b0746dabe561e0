"""What is known of a network, what may be changed of it, and which values fit."""

import dataclasses
import operator
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple


class Kind(NamedTuple):
    """Single values that a field takes."""

    words: str
    fits: Callable[[object], bool]
    make: Callable


def _is_int(value) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _is_finite(value) -> bool:
    """Tell numbers from the rest; of NaN no comparison holds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


KINDS = {
    int: Kind("an integer of at least 1", lambda x: _is_int(x) and x >= 1, operator.index),
    float: Kind("a finite number", _is_finite, float),
    bool: Kind("true or false", lambda x: isinstance(x, int) and x in (0, 1), bool),
    str: Kind("a string", lambda x: isinstance(x, str), str),
}

Rate = Annotated[
    float, Kind("a rate of at least 0 and below 1", lambda x: _is_finite(x) and 0 <= x < 1, float)
]
"""A share that is dropped."""
Factor = Annotated[float, Kind("a finite number above 0", lambda x: _is_finite(x) and x > 0, float)]
"""What multiplies widths, or divides pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network; None: what its line in `_families.py` says."""

    head_dropout: ClassVar[str] = "dropout"
    """Field that holds the rate in front of the classifier."""

    parameters: int
    """Weights, biases, BN gamma and beta, at the reference shape and classes."""
    macs: int
    """Multiply-adds of convolutions and dense layers for one image, likewise."""
    macs_64: int | None = None
    """Of an image of 64x64 pixels, with the stem that `auto` gives it; None: that is `macs`."""
    input_shape: tuple[int, int, int] | None = None
    classes: int | None = None
    head: str | None = None
    """Name of the classifier in the reference implementation."""
    source: str | None = None
    paper: str | None = None
    stem: str | None = "auto"
    """The stem unless the caller chooses one; None: the network has no choice of stem."""
    enlarges_to: int | None = None
    """Height and width in pixels to which smaller images are enlarged, bilinearly."""
    weights: tuple[str, ...] = ()
    """What `build(weights=...)` can download, the default first."""
    notes: str = ""

    @property
    def any_size(self) -> bool:
        """Whether its weights fit images of every size: not where the last map is flattened."""
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Facts):
    """Base of every `Spec`: its fields, from here on, are what `build(**overrides)` changes.

    A field takes what its type says: integers are at least 1, and tuples that are not empty by
    default never are. What only holds of several fields together is said in `__post_init__`.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Of the pixels in 0..1 by channel, here ImageNet's; subtracted by the first layer."""
    std: tuple[Factor, ...] = (0.229, 0.224, 0.225)
    """Deviation, likewise; divides."""


def overridden(name: str, spec: Settings, overrides: dict) -> Settings:
    """Return a model's Spec with other values; ValueError names a field or value that is none."""
    facts = {field.name for field in dataclasses.fields(Facts)}
    fields = {x.name: x for x in dataclasses.fields(spec) if x.name not in facts}
    if unknown := sorted(overrides.keys() - fields.keys()):
        raise ValueError(
            f"{name} has no field {', '.join(unknown)}. Its fields: {', '.join(fields)}."
        )
    values = {key: fitted(key, value, fields[key].type) for key, value in overrides.items()}
    for key, value in values.items():
        if value == () != fields[key].default:
            raise ValueError(f"{key}={overrides[key]!r} must not be empty.")
    spec = dataclasses.replace(spec, **values)
    if not len(spec.mean) == len(spec.std) in (1, 3):
        raise ValueError(
            f"mean={spec.mean!r} and std={spec.std!r} must have a number for each of 3 channels, "
            "or one for all."
        )
    return spec


def fitted(field: str, value, kind):
    """Return a value as a field of that type keeps it; ValueError says which value fits.

    Lists become tuples, and NumPy's numbers Python's: a saved model tells its widths in JSON.
    """

    def cast(part, kind):
        part = part.tolist() if hasattr(part, "tolist") else part
        if typing.get_origin(kind) is tuple:
            return cast_each(part, typing.get_args(kind))
        known = _kind(kind)
        if not known.fits(part):
            raise ValueError(f"{said(part)} must be {known.words}.")
        return known.make(part)

    def cast_each(parts, kinds):
        if isinstance(parts, str | bytes | Mapping) or not isinstance(parts, Iterable):
            raise ValueError(f"{said(parts)} must be a list, such as [{parts!r}].")
        each = tuple(parts)
        if kinds[-1] is ...:
            kinds = kinds[:1] * len(each)
        if len(each) != len(kinds):
            raise ValueError(f"{said(parts)} must be {len(kinds)} values, not {len(each)}.")
        return tuple(map(cast, each, kinds))

    def said(part):
        return f"{field}={value!r}" if part is value else f"{field}={value!r}: {part!r}"

    return cast(value, kind)


def _kind(kind) -> Kind:
    if hasattr(kind, "__metadata__"):
        return kind.__metadata__[0]
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        return Kind(f"one of {', '.join(map(repr, choices))}", choices.__contains__, lambda x: x)
    if kind in KINDS:
        return KINDS[kind]
    return Kind(f"a {kind.__name__}", lambda x: isinstance(x, kind), lambda x: x)
