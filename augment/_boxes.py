"""Random boxes and corners as torchvision draws them, from a fixed number of uniform numbers.

torchvision draws an area and a ratio up to ten times, until a box of them fits into the image. What
it finds then is uniform over the pairs that fit; here it is drawn from these at once: the area by
the inverse of its distribution, the ratio between the bounds that this area leaves.
"""

import math
import typing

import numpy as np

# Pieces of the inverse distribution, which is linear in each; integration steps behind it.
_PIECES, _STEPS = 64, 4096


class Fitting(typing.NamedTuple):
    """Boxes of an area and a ratio that fit into images of one shape."""

    shape: tuple[int, int]  # (height, width)
    least: int  # pixels of a side
    areas: np.ndarray  # (_PIECES + 1,) in pixels, evenly likely between each two
    log_ratio: tuple[float, float]  # of width by height
    log_least: tuple[float, float]  # of (height, width)
    log_most: tuple[float, float]


def of_policy(policy, shape: tuple[int, int]) -> dict[str, Fitting]:
    """Find the boxes that a policy cuts out ("crop") and erases ("erase") in images of a shape.

    Raises:
        ValueError: none fits, where torchvision would cut out the middle, or erase nothing.

    """
    boxes = {}
    if policy.crop_area:
        ratio = policy.crop_ratio or (3 / 4, 4 / 3)
        most = tuple(side + 0.5 for side in shape)  # rounded, it is the side
        boxes["crop"] = fitting(policy.crop_area, ratio, shape, 1, most)
        if boxes["crop"] is None:
            raise ValueError(
                f"no crop of crop_area={policy.crop_area} and crop_ratio={ratio} fits into images "
                f"of {shape[0]}x{shape[1]} pixels: give smaller areas, or ratios nearer to "
                f"{shape[1] / shape[0]:.3g}"
            )
    if policy.erasing:
        low, high = policy.erasing_ratio  # height by width
        most = tuple(side - 0.5 for side in shape)  # torchvision erases no whole row or column
        box = fitting(policy.erasing_area, (1 / high, 1 / low), shape, 0, most)
        if box is None:
            raise ValueError(
                f"no box of erasing_area={policy.erasing_area} and erasing_ratio="
                f"{policy.erasing_ratio} lies inside images of {shape[0]}x{shape[1]} pixels: give "
                "smaller areas, or ratios nearer to that of the image"
            )
        boxes["erase"] = box
    return boxes


def fitting(area, ratio, shape, least: int, most: tuple[float, float]) -> Fitting | None:
    """Find the boxes that fit; None where none does.

    Args:
        area: (low, high) of the share of the image's area, uniform.
        ratio: (low, high) of the box's width by its height, logarithmically uniform.
        shape: (height, width) of the image.
        least: pixels that a side has, once it is rounded.
        most: (height, width) that it has before.

    """
    # A side of 0 pixels is rounded from any length below one half.
    smallest = math.log(least - 0.5) if least else -math.inf
    found = Fitting(
        shape=tuple(shape),
        least=least,
        areas=np.zeros(0),
        log_ratio=tuple(map(math.log, ratio)),
        log_least=(smallest, smallest),
        log_most=tuple(math.log(side) if side > 0 else -math.inf for side in most),
    )
    areas = np.linspace(*area, _STEPS + 1) * math.prod(shape)
    low, high = _bounds(found, np.log(areas), np)
    if found.log_ratio[0] == found.log_ratio[1]:
        density = (high >= low).astype(float)
    else:
        density = np.maximum(high - low, 0.0)
    shares = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    if not shares[-1]:
        return None
    first, last = np.searchsorted(shares, 0, "right") - 1, np.searchsorted(shares, shares[-1])
    areas, shares = areas[first : last + 1], shares[first : last + 1]  # those that fit
    even = np.linspace(0, 1, _PIECES + 1)
    return found._replace(areas=np.interp(even, shares / shares[-1], areas))


def _bounds(box: Fitting, log_area, ops):
    """Bounds of the logarithm of the ratio: log width is half the sum of log area and log ratio."""
    (least_h, least_w), (most_h, most_w) = box.log_least, box.log_most
    low, high = box.log_ratio
    low = ops.maximum(ops.maximum(log_area - 2 * most_h, 2 * least_w - log_area), low)
    high = ops.minimum(ops.minimum(2 * most_w - log_area, log_area - 2 * least_h), high)
    return low, high


def draw(box: Fitting, u, ops=np) -> dict:
    """Turn uniform numbers (n, 4) into top, left, height and width (n,), whole pixels."""
    dtype = "float64" if ops is np else "float32"
    first, steps = box.areas[0], np.diff(box.areas).astype(dtype)
    before = np.arange(_PIECES).astype(dtype)
    passed = ops.clip(ops.subtract(u[:, :1] * float(_PIECES), before), 0.0, 1.0)
    log_area = ops.log(ops.sum(ops.multiply(passed, steps), axis=1) + float(first))
    low, high = _bounds(box, log_area, ops)
    log_ratio = low + u[:, 1] * ops.maximum(high - low, 0.0)
    drawn = {}
    for name, place, sign, side, edge in (
        ("height", 2, -0.5, box.shape[0], "top"),
        ("width", 3, 0.5, box.shape[1], "left"),
    ):
        length = ops.floor(ops.exp(0.5 * log_area + sign * log_ratio) + 0.5)
        length = ops.clip(length, float(box.least), float(side))
        drawn[edge] = ops.floor(u[:, place] * (side - length + 1.0))
        drawn[name] = length
    return drawn


class Corners(typing.NamedTuple):
    """Where the corners (8,) of images of one shape may come to lie: x and y of each, clockwise."""

    rest: np.ndarray
    inwards: np.ndarray  # signs
    counts: np.ndarray  # of places on the way, the corner's own among them


def corners(distortion: float, shape: tuple[int, int]) -> Corners:
    """Find where a distortion lets the corners of images (height, width) move."""
    height, width = shape
    # float64: the rounding of the product decides, as it does in torchvision's Python.
    places = [int(distortion * (side // 2)) + 1 for side in (width, height)]
    right, bottom = width - 1, height - 1
    return Corners(
        rest=np.array([0, 0, right, 0, right, bottom, 0, bottom], "float32"),
        inwards=np.array([1, 1, -1, 1, -1, -1, 1, -1], "float32"),
        counts=np.array(places * 4, "float32"),
    )


def draw_corners(found: Corners, moved, u, ops=np):
    """Turn uniform numbers (n, 8) into corners (n, 8), of the images (n,) that are `moved`."""
    steps = ops.multiply(ops.floor(ops.multiply(u, found.counts)), found.inwards)
    return ops.add(ops.where(moved[:, None], steps, 0.0), found.rest)
