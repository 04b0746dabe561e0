"""A sheet of augmented images: every transform of a policy alone, and their sum."""

import functools
import pathlib
import textwrap
from collections.abc import Callable

import numpy as np

import augment
from augment import Policy
from experiments import _files
from experiments.datasets import _sheet
from experiments.datasets._dataset import Dataset

_IMAGES, _DRAWS = 2, 5
_LETTERS, _SMALL_LETTER = 28, 7  # of a range: letters of a line, and pixels of one
_SEED = 0


def _around(unit: str, field: str) -> Callable[[Policy], str]:
    return lambda policy: f"up to {getattr(policy, field):g}{unit} either way"


def _between(what: str, field: str) -> Callable[[Policy], str]:
    def text(policy: Policy) -> str:
        low, high = getattr(policy, field)
        return f"{what} {low:g} to {high:g}"

    return text


def _share(field: str) -> Callable[[Policy], str]:
    return lambda policy: f"probability {getattr(policy, field):g}"


def _shift(side: str, field: str) -> Callable[[Policy], str]:
    def text(policy: Policy) -> str:
        value = getattr(policy, field)
        if isinstance(value, tuple):
            return f"one of {', '.join(f'{v:g}' for v in value)}, either way"
        if isinstance(value, int):
            return f"whole pixels below {value}, either way"
        most = f"{value:g} of the {side}" if value < 1 else f"{value:g} pixels"
        return f"up to {most} either way"

    return text


def _jitter(field: str) -> Callable[[Policy], str]:
    def text(policy: Policy) -> str:
        most = getattr(policy, field)
        return f"factor {max(0, 1 - most):g} to {1 + most:g}"

    return text


def _crop(policy: Policy) -> str:
    (low, high), (narrow, wide) = policy.crop_area, policy.crop_ratio or (3 / 4, 4 / 3)
    return f"area {low:g} to {high:g}, width by height {narrow:.3g} to {wide:.3g}"


def _erasing(policy: Policy) -> str:
    (low, high), (flat, tall) = policy.erasing_area, policy.erasing_ratio
    return (
        f"probability {policy.erasing:g}, area {low:g} to {high:g}, height by width {flat:g} to "
        f"{tall:g}, value {policy.erasing_value:g}"
    )


# Each transform by the field that switches it on: what is told of its range.
TRANSFORMS: dict[str, Callable[[Policy], str]] = {
    "rotation": _around("°", "rotation"),
    "width_shift": _shift("width", "width_shift"),
    "height_shift": _shift("height", "height_shift"),
    "shear": _around("°", "shear"),
    "zoom": _between("each axis, factor", "zoom"),
    "scale": _between("factor", "scale"),
    "shear_x": _around("°", "shear_x"),
    "horizontal_flip": _share("horizontal_flip"),
    "alternating_flip": lambda policy: "in every other epoch",
    "vertical_flip": _share("vertical_flip"),
    "extra_rotation": _around("°", "extra_rotation"),
    "perspective": lambda policy: (
        f"distortion {policy.perspective:g}, probability {policy.perspective_probability:g}"
    ),
    "crop_area": _crop,
    "channel_shift": _around(" levels", "channel_shift"),
    "brightness": _between("factor", "brightness"),
    "channel_shuffle": _share("channel_shuffle"),
    "jitter_brightness": _jitter("jitter_brightness"),
    "jitter_contrast": _jitter("jitter_contrast"),
    "jitter_saturation": _jitter("jitter_saturation"),
    "jitter_hue": lambda policy: f"up to {policy.jitter_hue:g} of the circle either way",
    "grayscale": _share("grayscale"),
    "erasing": _erasing,
    "cutout": lambda policy: f"{policy.cutout} pixels square, value {policy.cutout_value:g}",
}
# What says how a transform is done, and does nothing by itself.
HOW = (
    "fill_mode", "cval", "interpolation_order", "perspective_probability", "crop_ratio",
    "erasing_area", "erasing_ratio", "erasing_value", "cutout_value",
)  # fmt: skip


def parts(policy: Policy) -> dict[str, Policy]:
    """Return every transform of a policy alone, by the field that switches it on."""
    fields, nothing = policy.to_dict(), Policy().to_dict()
    how = {name: fields[name] for name in HOW}
    found = {}
    for name in TRANSFORMS:
        if fields[name] != nothing[name]:
            without = how if name == "crop_area" else how | {"crop_ratio": None}
            found[name] = Policy.from_dict(without | {name: fields[name]})
    return found


def policy_sheet_path(sheet: pathlib.Path, policy: str) -> pathlib.Path:
    """Return the PNG for a policy's name, file or row, beside the contact sheet of its data."""
    name = pathlib.Path(policy)
    label = name.stem if name.suffix else policy
    label = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in label)
    return _files.check_writable(sheet.with_name(f"{sheet.stem}-{label}.png"))


def draw_policy_sheet(
    dataset: Dataset, policy: Policy, path: pathlib.Path, name: str = ""
) -> pathlib.Path:
    """Write a PNG with two training images, every transform of a policy alone, and their sum.

    Each has five draws of either image. Returns the PNG; raises `ValueError` where the policy
    changes nothing, or does not take images of this shape.
    """
    single = parts(policy)
    if not single:
        raise ValueError(
            f"augment (--augment) {name}: the policy changes nothing, so there is "
            "nothing to draw: give one with transforms, such as C"
        )
    labels = [("original", "")]
    labels += [(field, TRANSFORMS[field](policy)) for field in single]
    labels.append(("all of them", f"outside: {_outside(policy)}"))
    chosen = np.linspace(0, len(dataset.train) - 1, _IMAGES + 2).astype(int)[1:-1]
    originals = dataset.train.batch(chosen)
    blank = [None] * (_DRAWS - 1)
    rows = [[cell for image in originals for cell in (image, *blank)]]
    for part in (*single.values(), policy):
        views = [_view(originals, part, chosen, draw) for draw in range(_DRAWS)]
        rows.append([view[image] for image in range(_IMAGES) for view in views])
    sheet = _sheet.grid(rows, _IMAGES * _DRAWS, dataset.image_shape)
    lines = [_lines(text) for _, text in labels]
    left = _sheet.GAP * 4 + max(
        *(_sheet.LETTER * len(field) for field, _ in labels),
        *(_SMALL_LETTER * len(line) for text in lines for line in text),
    )
    height, width, channels = dataset.image_shape
    title = f"{dataset.name}: policy {name}, {width}x{height}x{channels}, {_DRAWS} draws of each"
    page, axes = _sheet.open_page(sheet, left, title)
    cell, _ = _sheet.cell(dataset.image_shape)
    for number, ((field, _), text) in enumerate(zip(labels, lines, strict=True)):
        middle = number * (cell[0] + _sheet.GAP) + cell[0] / 2
        write = functools.partial(axes.text, -14, ha="right", parse_math=False)
        # The name and its lines, 15 and 12 pixels high, about the middle of the row.
        top = middle - (15 + 12 * len(text)) / 2
        write(top, field, va="top", fontsize=10)
        write(top + 18, "\n".join(text), va="top", fontsize=8, color="0.45")
    with _files.atomic(path) as part:
        page.savefig(part)
    return path


def _view(images: np.ndarray, policy: Policy, indices: np.ndarray, epoch: int) -> np.ndarray:
    view = augment.batch(images, policy, seed=_SEED, epoch=epoch, indices=indices)
    import keras

    return keras.ops.convert_to_numpy(view).round().clip(0, 255).astype(np.uint8)


def _outside(policy: Policy) -> str:
    constant = policy.fill_mode == "constant"
    return f"{policy.fill_mode} {policy.cval:g}" if constant else policy.fill_mode


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, _LETTERS, max_lines=4, placeholder=" ...")
