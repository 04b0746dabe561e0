"""What the fields of a policy may be: a rule for each, and which of them do not go together."""

import math
import numbers
from collections.abc import Callable
from typing import Any

FILL_MODES = ("nearest", "reflect", "wrap", "constant")

Rule = Callable[[Any], Any]
"""Returns a value as the policy keeps it; raises `_Wrong` with what was expected."""


class _Wrong(Exception):
    """Says what a field must be."""


def is_number(value) -> bool:
    """Tell whether a value is a real number; True and NaN are none."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and not math.isnan(value)


def number(low: float, high: float, expected: str) -> Rule:
    """Make the rule of a finite number from `low` to `high`."""

    def rule(value):
        # True would read as probability 1, where ImageDataGenerator's True means one half.
        if not is_number(value) or not low <= value <= high or math.isinf(value):
            raise _Wrong(expected)
        return float(value)

    return rule


def pair(least: float, most: float = math.inf) -> Rule:
    """Make the rule of a range (low, high) of finite numbers."""
    end = "" if math.isinf(most) else f" <= {most:g}"

    def rule(value):
        fits = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
        if not fits or not least <= value[0] <= value[1] <= most or math.isinf(value[1]):
            raise _Wrong(f"a pair (low, high) with {least:g} <= low <= high{end}")
        return float(value[0]), float(value[1])

    return rule


def _or_none(rule: Rule) -> Rule:
    return lambda value: None if value is None else rule(value)


def _shift(value):
    if isinstance(value, (tuple, list)) and value and all(map(is_number, value)):
        return tuple(float(v) for v in value)
    if not is_number(value) or not 0 <= value < math.inf:
        raise _Wrong("a float or an int of 0 or more, or a list of numbers")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _truth(value):
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _pixels(value):
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 0:
        raise _Wrong("a whole number of pixels, 0 or more")
    return int(value)


def _fill_mode(value):
    if value not in FILL_MODES:
        raise _Wrong(f"one of {', '.join(FILL_MODES)}")
    return value


def _order(value):
    if isinstance(value, bool) or value not in (0, 1):
        raise _Wrong("0 (nearest pixel) or 1 (bilinear)")
    return int(value)


_SIZE = number(0, math.inf, "0 or more")
_PROBABILITY = number(0, 1, "a probability from 0 to 1")
_ANY = number(-math.inf, math.inf, "a number")
# Beyond this the logarithms of areas and ratios, from which sides are drawn, say nothing.
_LEAST = 1e-3

RULES: dict[str, Rule] = {
    "rotation": _SIZE,
    "shear": _SIZE,
    "channel_shift": _SIZE,
    "horizontal_flip": _PROBABILITY,
    "vertical_flip": _PROBABILITY,
    "channel_shuffle": _PROBABILITY,
    "cval": _ANY,
    "cutout_value": _ANY,
    "cutout": _pixels,
    "width_shift": _shift,
    "height_shift": _shift,
    "alternating_flip": _truth,
    "zoom": pair(_LEAST),
    "brightness": _or_none(pair(0)),
    "fill_mode": _fill_mode,
    "interpolation_order": _order,
    "scale": pair(_LEAST),
    # At 90 degrees a true shear is endless.
    "shear_x": number(0, 89, "from 0 to 89 degrees"),
    "extra_rotation": _SIZE,
    "perspective": number(0, 1, "a distortion from 0 to 1"),
    "perspective_probability": _PROBABILITY,
    "crop_area": _or_none(pair(_LEAST, 1)),
    "crop_ratio": _or_none(pair(_LEAST)),
    "jitter_brightness": _SIZE,
    "jitter_contrast": _SIZE,
    "jitter_saturation": _SIZE,
    "jitter_hue": number(0, 0.5, "a share of the color circle from 0 to 0.5"),
    "grayscale": _PROBABILITY,
    "erasing": _PROBABILITY,
    "erasing_area": pair(_LEAST, 1),
    "erasing_ratio": pair(_LEAST),
    "erasing_value": number(0, 255, "a grey level from 0 to 255"),
}


def checked(policy) -> dict[str, Any]:
    """Return the fields of a policy as it keeps them.

    Raises:
        ValueError: a value is out of its range, or two fields do not go together.

    """
    values = {}
    for name, rule in RULES.items():
        value = getattr(policy, name)
        try:
            values[name] = rule(value)
        except _Wrong as wrong:
            raise ValueError(f"policy field {name} must be {wrong}, got {value!r}") from None
    if values["alternating_flip"] and values["horizontal_flip"]:
        raise ValueError(
            f"policy fields alternating_flip and horizontal_flip={values['horizontal_flip']} both "
            "mirror images, and would undo each other: leave one of them out"
        )
    if values["crop_ratio"] and not values["crop_area"]:
        raise ValueError(
            f"policy field crop_ratio={values['crop_ratio']} is that of a random resized crop: "
            "give its crop_area too, such as (0.6, 1.0), or leave both out"
        )
    if values["perspective"] and not values["perspective_probability"]:
        raise ValueError(
            f"policy field perspective={values['perspective']} with perspective_probability=0 "
            "does nothing: give a probability above 0, or leave perspective out"
        )
    return values
