"""What may happen to an image: ranges with units, as data.

`A`, `B` and `C` are the augmentation classes of the AlphaNet paper (P2, table of classes).
"""

import dataclasses
import json
import math
import numbers
import os
import pathlib
import typing

FILL_MODES = ("nearest", "reflect", "wrap", "constant")
_SUFFIXES = (".json", ".yaml", ".yml")


@dataclasses.dataclass(frozen=True)
class Policy:
    """Ranges of random transformations of images with raw pixels, 0..255.

    Geometric operations form one affine map, sampled once; color follows in the order of Keras'
    ImageDataGenerator: affine, channel shift, flips, brightness, channel shuffle. Cutout is last.

    Attributes:
        rotation: degrees; an angle is drawn from [-rotation, rotation].
        width_shift: along the columns. A float below 1: fraction of the width, from both signs;
            a float from 1 up: pixels; an int n: a whole number of pixels below n, either sign;
            a tuple: one of its values, either sign (fractions where all are below 1), so that
            (-2, -1, 0, 1, 2) draws each of the five equally often, where 3 draws 0 twice as often
            as any other.
        height_shift: along the rows, as `width_shift`.
        shear: degrees, from [-shear, shear].
        zoom: (low, high) of a factor drawn for each axis apart; above 1 shows more of the scene.
        channel_shift: 0..255; one value from [-channel_shift, channel_shift] is added to all
            channels and the sum clipped to the darkest and brightest value of that image.
        horizontal_flip: probability of a left-right flip.
        alternating_flip: mirror each image in every other epoch; a draw of its own says whether in
            the even or in the odd ones, so that two epochs show both sides (Jordan, "94% on
            CIFAR-10 in 3.29 seconds on a single A100", arXiv 2404.00498).
        vertical_flip: probability of an upside-down flip.
        brightness: (low, high) of a factor, result clipped to 0..255; None for none.
        channel_shuffle: share of the images whose channels are put in random order.
        cutout: side in pixels of a square in each image that is set to `cutout_value`; its middle
            is drawn from all pixels, so that it may reach over the border (DeVries and Taylor,
            arXiv 1708.04552).
        cutout_value: by default the middle of 0..255, about what normalization makes 0.
        fill_mode: what lies outside of the image, as in SciPy's `ndimage`: "nearest"
            (a a a | a b c d | d d d), "reflect" (c b a | a b c d | d c b), "wrap" (period one
            pixel short, as SciPy's "wrap" has it), "constant" (`cval`).
        cval: pixel value outside of the image for "constant".
        interpolation_order: 0 for the nearest pixel, 1 for bilinear.

    Raises:
        ValueError: a value is out of its range; the message names field, value and range.

    """

    rotation: float = 0.0
    width_shift: float | int | tuple[float, ...] = 0.0
    height_shift: float | int | tuple[float, ...] = 0.0
    shear: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    channel_shift: float = 0.0
    horizontal_flip: float = 0.0
    alternating_flip: bool = False
    vertical_flip: float = 0.0
    brightness: tuple[float, float] | None = None
    channel_shuffle: float = 0.0
    cutout: int = 0
    cutout_value: float = 127.5
    fill_mode: typing.Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    cval: float = 0.0
    interpolation_order: typing.Literal[0, 1] = 1

    def __post_init__(self):
        for name in ("rotation", "shear", "channel_shift"):
            self._number(name, 0, math.inf, "0 or more")
        for name in ("horizontal_flip", "vertical_flip", "channel_shuffle"):
            self._number(name, 0, 1, "a probability from 0 to 1")
        for name in ("cval", "cutout_value"):
            self._number(name, -math.inf, math.inf, "a number")
        whole = isinstance(self.cutout, numbers.Integral) and not isinstance(self.cutout, bool)
        if not whole or self.cutout < 0:
            self._reject("cutout", "a whole number of pixels, 0 or more")
        self._set("cutout", int(self.cutout))
        for name in ("width_shift", "height_shift"):
            self._shift(name)
        if not isinstance(self.alternating_flip, bool):
            self._reject("alternating_flip", "true or false")
        if self.alternating_flip and self.horizontal_flip:
            raise ValueError(
                f"policy fields alternating_flip and horizontal_flip={self.horizontal_flip} both "
                "mirror images, and would undo each other: leave one of them out"
            )
        self._pair("zoom", 1e-3)
        if self.brightness is not None:
            self._pair("brightness", 0)
        if self.fill_mode not in FILL_MODES:
            self._reject("fill_mode", f"one of {', '.join(FILL_MODES)}")
        if isinstance(self.interpolation_order, bool) or self.interpolation_order not in (0, 1):
            self._reject("interpolation_order", "0 (nearest pixel) or 1 (bilinear)")
        self._set("interpolation_order", int(self.interpolation_order))

    def to_dict(self) -> dict:
        """Return all fields, ready for JSON and YAML: tuples become lists."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, fields: dict) -> "Policy":
        """Build a policy from some of its fields; an unknown one raises a ValueError."""
        if not isinstance(fields, dict):
            raise ValueError(f"a policy is a mapping of fields, got {fields!r}")
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(str(name) for name in fields if name not in known)
        if unknown:
            raise ValueError(
                f"unknown policy field {', '.join(unknown)}; the fields are {', '.join(known)}"
            )
        return cls(**fields)

    def save(self, path: str | os.PathLike) -> None:
        """Write the policy as JSON or YAML, by the suffix of `path`."""
        path = _policy_path(path)
        if path.suffix == ".json":
            text = json.dumps(self.to_dict(), indent=2) + "\n"
        else:
            from augment import _yaml

            text = _yaml.write(self.to_dict())
        path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Policy":
        """Read a policy from JSON or YAML 1.2; a wrong file raises a ValueError that names it."""
        path = _policy_path(path)
        if not path.is_file():  # nor a pipe, which would be waited for
            raise ValueError(f"policy file {path} does not exist, or is no file")
        from augment import _yaml

        read = json.loads if path.suffix == ".json" else _yaml.read
        try:
            return cls.from_dict(read(path.read_text(encoding="utf-8-sig")))
        # UnicodeDecodeError is a ValueError.
        except (ValueError, OSError, RecursionError) as error:
            raise ValueError(f"policy file {path}: {error}") from error

    def _reject(self, name: str, expected: str):
        raise ValueError(f"policy field {name} must be {expected}, got {getattr(self, name)!r}")

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def _number(self, name: str, low: float, high: float, expected: str) -> None:
        value = getattr(self, name)
        # True would read as probability 1, where ImageDataGenerator's True means one half.
        if not _is_number(value) or not low <= value <= high or math.isinf(value):
            self._reject(name, expected)
        self._set(name, float(value))

    def _pair(self, name: str, least: float) -> None:
        expected = f"a pair (low, high) with {least:g} <= low <= high"
        value = getattr(self, name)
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            self._reject(name, expected)
        if not all(_is_number(v) for v in value) or not least <= value[0] <= value[1] < math.inf:
            self._reject(name, expected)
        self._set(name, (float(value[0]), float(value[1])))

    def _shift(self, name: str) -> None:
        value = getattr(self, name)
        if isinstance(value, (tuple, list)) and value and all(_is_number(v) for v in value):
            self._set(name, tuple(float(v) for v in value))
        elif _is_number(value) and 0 <= value < math.inf:
            whole = isinstance(value, numbers.Integral)
            self._set(name, int(value) if whole else float(value))
        else:
            self._reject(name, "a float or an int of 0 or more, or a list of numbers")


def _is_number(value) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and not math.isnan(value)


def _policy_path(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"a policy file ends in {', '.join(_SUFFIXES)}, got {path}")
    return path


A = Policy(
    width_shift=0.2,
    height_shift=0.2,
    channel_shift=60,
    channel_shuffle=1.0,
    fill_mode="reflect",
)
B = Policy(
    rotation=30,
    brightness=(0.3, 0.7),
    shear=0.2,
    zoom=(0.8, 1.2),
    horizontal_flip=0.5,
    width_shift=0.2,
    height_shift=0.2,
    channel_shift=90,
    channel_shuffle=1.0,
    fill_mode="reflect",
)
C = Policy(
    shear=20,
    zoom=(0.6, 1.4),
    horizontal_flip=0.5,
    width_shift=0.2,
    height_shift=0.2,
    channel_shift=90,
    channel_shuffle=0.2,
    fill_mode="reflect",
)
POLICIES = {"A": A, "B": B, "C": C}


def get(policy: "Policy | str | os.PathLike | dict") -> Policy:
    """Get a policy by name ("A", "B", "C"), from a file (.json, .yaml), from a dict, or as it is.

    Raises:
        ValueError: no such policy, with a list of the names, or no such or a wrong file.

    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, dict):
        return Policy.from_dict(policy)
    if isinstance(policy, str) and policy in POLICIES:
        return POLICIES[policy]
    if isinstance(policy, (str, os.PathLike)) and str(policy).endswith(_SUFFIXES):
        return Policy.load(policy)
    raise ValueError(
        f"unknown policy {policy!r}: one of {', '.join(POLICIES)}, "
        f"a file ({', '.join(_SUFFIXES)}), a dict of fields or a Policy"
    )
