"""Where the pixels of an augmented image come from: affine maps, a crop, what lies outside.

All maps lead from output to input.
"""

import math

import numpy as np
from keras import ops

from augment import _perspective


def places(drawn: dict, n, shape, center=None):
    """Return the rows and columns (n, height, width) that drawn parameters take pixels from."""
    height, width = shape[:2]
    y = ops.arange(height, dtype="float32")[None, :, None]
    x = ops.arange(width, dtype="float32")[None, None, :]
    if "crop_top" in drawn:
        y = _cropped(y, drawn["crop_top"], drawn["crop_height"], height)
        x = _cropped(x, drawn["crop_left"], drawn["crop_width"], width)
    if "corners" in drawn:
        y, x = _perspective.project(y, x, drawn["corners"], shape)
    matrix = matrices(drawn, n, shape, center)
    middle = (height - 1) / 2, (width - 1) / 2
    if {"scale", "shear_x"} & drawn.keys():
        matrix = _sheared(matrix, drawn, middle)
    if "extra_rotation" in drawn:
        matrix = _turned(matrix, drawn["extra_rotation"] * (math.pi / 180), middle)
    m = [matrix[:, k, None, None] for k in range(6)]
    return m[0] * y + m[1] * x + m[2], m[3] * y + m[4] * x + m[5]


def _cropped(coordinate, start, length, size: int):
    """Enlarge a part of an axis to all of it; what it ends with goes on to the border."""
    start, length = start[:, None, None], length[:, None, None]
    inner = start + (coordinate + 0.5) * (length / size) - 0.5
    return ops.minimum(ops.maximum(inner, start), start + length - 1.0)


def matrices(drawn: dict, n, shape, center=None):
    """Compose maps (n, 6) from output to input: row = (a, b, c), column = (d, e, f) of (y, x, 1).

    Rotation, shift, shear and zoom compose as in Keras, R(theta) @ Shift @ Shear @ Zoom about
    `center` (row, column), by default the middle. Keras' shear matrix, [[1, -sin], [0, cos]], is
    a second rotation of the row axis, so its product with R has the angle theta + shear. Flips
    come last, which is an exact change of the output coordinate.
    """
    height, width = shape[:2]
    center_y, center_x = center or ((height - 1) / 2, (width - 1) / 2)

    def radians(name: str):
        return drawn[name] * (math.pi / 180) if name in drawn else 0.0

    def mirror(name: str, side: int, middle: float):
        """Sign and start of an output coordinate: x - middle, or (side - 1 - x) - middle."""
        if name not in drawn:
            return 1.0, -middle
        flipped = ops.cast(drawn[name], "float32")
        return 1.0 - 2.0 * flipped, (side - 1.0) * flipped - middle

    theta, shear = radians("theta"), radians("shear")
    tx, ty = drawn.get("tx", 0.0), drawn.get("ty", 0.0)
    zx, zy = drawn.get("zx", 1.0), drawn.get("zy", 1.0)
    cos, sin = ops.cos(theta), ops.sin(theta)
    x_x, x_y = cos * zx, -ops.sin(theta + shear) * zy
    y_x, y_y = sin * zx, ops.cos(theta + shear) * zy
    sign_x, from_x = mirror("flip_horizontal", width, center_x)
    sign_y, from_y = mirror("flip_vertical", height, center_y)
    constant_x = x_x * from_x + x_y * from_y + cos * tx - sin * ty + center_x
    constant_y = y_x * from_x + y_y * from_y + sin * tx + cos * ty + center_y
    terms = (y_y * sign_y, y_x * sign_x, constant_y, x_y * sign_y, x_x * sign_x, constant_x)
    zero = ops.zeros((n,))  # what is not drawn has stayed a plain number up to here
    return ops.stack([zero + term for term in terms], axis=1)


def _sheared(matrix, drawn: dict, middle: tuple[float, float]):
    """Scale and shear the input of maps (n, 6) about its middle (row, column).

    Behind a rotation and a shift, it is torchvision's RandomAffine with the angle and shift -theta,
    -tx, -ty.
    """
    smaller = 1.0 / drawn["scale"][:, None] if "scale" in drawn else 1.0
    offset = ops.convert_to_tensor(np.array([0, 0, 1], "float32"))
    row = (matrix[:, :3] - offset * middle[0]) * smaller
    column = (matrix[:, 3:] - offset * middle[1]) * smaller
    if "shear_x" in drawn:
        column = column + row * ops.tan(drawn["shear_x"] * (math.pi / 180))[:, None]
    return ops.concatenate([row + offset * middle[0], column + offset * middle[1]], axis=1)


def _turned(matrix, angle, middle: tuple[float, float]):
    """Turn the output of maps (n, 6) about its middle (row, column) by `angle` (n,), as theta."""
    cos, sin = ops.cos(angle), ops.sin(angle)
    middle_y, middle_x = middle
    # y' = cos y + sin x + start_y, x' = -sin y + cos x + start_x
    start_y = middle_y - cos * middle_y - sin * middle_x
    start_x = middle_x + sin * middle_y - cos * middle_x
    terms = []
    for part in (matrix[:, :3], matrix[:, 3:]):
        of_y, of_x, constant = part[:, 0], part[:, 1], part[:, 2]
        terms += [of_y * cos - of_x * sin, of_y * sin + of_x * cos]
        terms += [of_y * start_y + of_x * start_x + constant]
    return ops.stack(terms, axis=1)


def boxes(top, left, bottom, right, shape):
    """Tell which pixels (n, height, width, 1) lie in a box (n,) of each image, ends left out."""
    y, x = (ops.arange(side, dtype="float32") for side in shape)
    top, left, bottom, right = (edge[:, None, None, None] for edge in (top, left, bottom, right))
    y, x = y[None, :, None, None], x[None, None, :, None]
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def cut_out(images, drawn: dict, cutout: tuple[int, float]):
    """Set a square about a drawn pixel of each image to a value; `cutout` is its side and that."""
    if "cutout_row" not in drawn:
        return images
    side, value = cutout
    top, left = (drawn[name] - side // 2 for name in ("cutout_row", "cutout_column"))
    return ops.where(boxes(top, left, top + side, left + side, images.shape[1:3]), value, images)


def erase(images, drawn: dict, value: float):
    """Set the drawn box of each image to a value."""
    if "erase_top" not in drawn:
        return images
    top, left = drawn["erase_top"], drawn["erase_left"]
    bottom, right = top + drawn["erase_height"], left + drawn["erase_width"]
    return ops.where(boxes(top, left, bottom, right, images.shape[1:3]), value, images)


def inside(coordinate, size: int, fill_mode: str):
    """Bring source coordinates into [0, size - 1] by the rules of `scipy.ndimage`."""
    last = size - 1
    if fill_mode == "reflect":  # half-sample symmetric: a triangular wave of period 2 size
        phase = (coordinate + 0.5) * (0.5 / size)
        coordinate = ops.abs(phase - ops.round(phase)) * (2.0 * size) - 0.5
    elif fill_mode == "wrap" and last:  # SciPy's "wrap" has period size - 1
        periods = ops.floor(ops.abs(coordinate) / last)
        coordinate = ops.where(
            coordinate < 0,
            coordinate + last * (periods + 1),
            ops.where(coordinate > last, coordinate - last * periods, coordinate),
        )
    return ops.clip(coordinate, 0.0, float(last))
