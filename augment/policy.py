"""What may happen to an image: ranges with units, as data.

`A`, `B` and `C` are the augmentation classes of the AlphaNet paper (P2, table of classes), `CARS`
is that of GhostNet on Stanford Cars (P3).
"""

import dataclasses
import json
import os
import pathlib
import typing

from augment import _fields

_SUFFIXES = (".json", ".yaml", ".yml")


@dataclasses.dataclass(frozen=True)
class Policy:
    """Ranges of random transformations of images with raw pixels, 0..255.

    Geometric operations form one map, sampled once, in this order: `scale` and `shear_x` with
    rotation and shifts, which are torchvision's RandomAffine; Keras' shear and zoom; flips;
    `extra_rotation`; `perspective`; the resized crop. Color follows: first that of Keras'
    ImageDataGenerator, in its order (channel shift, brightness, channel shuffle), then the four
    jitters in random order, then `grayscale`. Erasing and cutout are last. Where torchvision is
    named, ranges and distributions are its own.

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
        scale: (low, high) of one factor for both axes; above 1 enlarges, as torchvision has it.
        shear_x: degrees below 90, from [-shear_x, shear_x]: rows slide along the columns, lengths
            along them stay (`shear` is Keras', which turns one axis).
        extra_rotation: degrees; a second rotation, about the middle of the moved image.
        perspective: distortion from 0 to 1; each corner moves inwards by whole pixels, up to this
            share of half a side (torchvision's RandomPerspective). Above 2/3 an image may fold.
        perspective_probability: share of the images that this happens to.
        crop_area: (low, high) of the share of an image's area that is cut out and enlarged to its
            size (torchvision's RandomResizedCrop); None for none.
        crop_ratio: (low, high) of the crop's width by its height, logarithmically uniform; None
            for (3/4, 4/3).
        channel_shift: 0..255; one value from [-channel_shift, channel_shift] is added to all
            channels and the sum clipped to the darkest and brightest value of that image.
        horizontal_flip: probability of a left-right flip.
        alternating_flip: mirror each image in every other epoch; a draw of its own says whether in
            the even or in the odd ones, so that two epochs show both sides (Jordan, "94% on
            CIFAR-10 in 3.29 seconds on a single A100", arXiv 2404.00498).
        vertical_flip: probability of an upside-down flip.
        brightness: (low, high) of a factor, result clipped to 0..255; None for none.
        channel_shuffle: share of the images whose channels are put in random order.
        jitter_brightness: v for a factor from [1 - v, 1 + v], not below 0, between black and the
            image. This and the next three are torchvision's ColorJitter; an image of one channel
            has no saturation and no hue, which leave it as it is.
        jitter_contrast: as before, between the mean gray of the image and the image.
        jitter_saturation: as before, between the gray image and the image.
        jitter_hue: share of the color circle, up to 0.5, from [-jitter_hue, jitter_hue].
        grayscale: share of the images that lose their color.
        erasing: share of the images in which a box is set to `erasing_value`, where torchvision's
            RandomErasing comes after normalization (Zhong et al., arXiv 1708.04896).
        erasing_area: (low, high) of the box's share of the area.
        erasing_ratio: (low, high) of the box's height by its width, logarithmically uniform.
        erasing_value: 0..255.
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
        ValueError: a value is out of its range, the message names field, value and range; or
            fields do not go together.

    """

    rotation: float = 0.0
    width_shift: float | int | tuple[float, ...] = 0.0
    height_shift: float | int | tuple[float, ...] = 0.0
    shear: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    scale: tuple[float, float] = (1.0, 1.0)
    shear_x: float = 0.0
    extra_rotation: float = 0.0
    perspective: float = 0.0
    perspective_probability: float = 0.5
    crop_area: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] | None = None
    channel_shift: float = 0.0
    horizontal_flip: float = 0.0
    alternating_flip: bool = False
    vertical_flip: float = 0.0
    brightness: tuple[float, float] | None = None
    channel_shuffle: float = 0.0
    jitter_brightness: float = 0.0
    jitter_contrast: float = 0.0
    jitter_saturation: float = 0.0
    jitter_hue: float = 0.0
    grayscale: float = 0.0
    erasing: float = 0.0
    erasing_area: tuple[float, float] = (0.02, 0.33)
    erasing_ratio: tuple[float, float] = (0.3, 3.3)
    erasing_value: float = 0.0
    cutout: int = 0
    cutout_value: float = 127.5
    fill_mode: typing.Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    cval: float = 0.0
    interpolation_order: typing.Literal[0, 1] = 1

    def __post_init__(self):
        for name, value in _fields.checked(self).items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

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
# torchvision's RandomHorizontalFlip, RandomAffine and ColorJitter, one behind the other. As its
# RandomAffine unless told otherwise: the nearest pixel, black outside. Other than there, shifts are
# no whole pixels, and the flip comes last, which no distribution here can tell from first.
CARS = Policy(
    horizontal_flip=0.5,
    rotation=25,
    width_shift=0.1,
    height_shift=0.1,
    scale=(0.9, 1.1),
    shear_x=8,
    jitter_brightness=0.2,
    jitter_contrast=0.2,
    jitter_saturation=0.2,
    jitter_hue=0.1,
    fill_mode="constant",
    interpolation_order=0,
)
POLICIES = {"A": A, "B": B, "C": C, "CARS": CARS}


def get(policy: "Policy | str | os.PathLike | dict") -> Policy:
    """Get a policy by its name in `POLICIES`, from a .json or .yaml file, from a dict, or itself.

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
