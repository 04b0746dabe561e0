"""The projective map of an image whose corners have moved."""

from keras import ops

_LEAST = 1e-6  # stands for 0 where it would divide: corners on a line, pixels on the horizon


def project(y, x, corners, shape):
    """Map rows and columns of the output to those of the image before its corners moved.

    `corners` (n, 8) are x and y of each, clockwise from top left. As in torchvision, whose corners
    are points of a plane in which pixel k reaches from k to k + 1, and at rest lie at 0 and
    side - 1. Images whose corners did not move are mapped to themselves exactly.
    """
    right, bottom = max(shape[1] - 1.0, 1.0), max(shape[0] - 1.0, 1.0)
    of_x, of_y, of_w = _coefficients(corners, right, bottom)
    y, x = y + 0.5, x + 0.5

    def form(coefficients):
        by_x, by_y, constant = (c[:, None, None] for c in coefficients)
        return by_x * x + by_y * y + constant

    w = _not_zero(form(of_w))
    return form(of_y) / w - 0.5, form(of_x) / w - 0.5


def _coefficients(corners, right: float, bottom: float):
    """Return coefficients (n,) of x, y and 1 in the numerators of x and y, and in the denominator.

    The map of the unit square to four points (Heckbert, Fundamentals of Texture Mapping and Image
    Warping, 1989, section 2.2.3), inverted by its adjugate.
    """
    x0, y0, x1, y1, x2, y2, x3, y3 = (corners[:, k] for k in range(8))
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    determinant = _not_zero((x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2))
    g = (sum_x * (y3 - y2) - (x3 - x2) * sum_y) / determinant
    h = ((x1 - x2) * sum_y - sum_x * (y1 - y2)) / determinant
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    whole = _not_zero(a * e - b * d)
    of_x = [right * term / whole for term in (e - f * h, c * h - b, b * f - c * e)]
    of_y = [bottom * term / whole for term in (f * g - d, a - c * g, c * d - a * f)]
    one = whole / whole
    return of_x, of_y, [(d * h - e * g) / whole, (b * g - a * h) / whole, one]


def _not_zero(number):
    return ops.where(ops.abs(number) < _LEAST, _LEAST, number)
