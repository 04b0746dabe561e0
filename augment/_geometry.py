"""Where the pixels of an augmented image come from: affine maps and what lies outside."""

import math

from keras import ops


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
