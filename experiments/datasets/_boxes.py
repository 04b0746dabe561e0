"""Boxes in whole pixels, from 0, both corners inside: x and y of the first, then of the second."""

import numpy as np


def check_order(box: np.ndarray, place: str) -> None:
    """Raise `ValueError`, naming `place`, for a box that is empty or whose corners are swapped."""
    left, top, right, bottom = (int(number) for number in box)
    if right < left or bottom < top:
        raise ValueError(
            f"{place}: the box from ({left}, {top}) to ({right}, {bottom}) is empty, or its "
            f"corners are swapped: the second lies before the first"
        )


def check_inside(box: np.ndarray, size: tuple[int, int], place: str) -> None:
    """Raise `ValueError`, naming `place`, for a box that reaches outside of an image (w, h)."""
    left, top, right, bottom = (int(number) for number in box)
    check_order(box, place)
    if left < 0 or top < 0 or right >= size[0] or bottom >= size[1]:
        raise ValueError(
            f"{place}: the box from ({left}, {top}) to ({right}, {bottom}), counted from 0, "
            f"reaches outside of the image, which is {size[0]}x{size[1]} pixels"
        )


def margins(width: int, height: int) -> tuple[int, int]:
    """Return where the left and upper edge of an image lie in the middle of a square around it."""
    edge = max(width, height)
    return (edge - width) // 2, (edge - height) // 2


def follow(
    boxes: np.ndarray, sizes: np.ndarray, shape: tuple[int, ...], *, crop: bool, pad: bool
) -> np.ndarray:
    """Return (n, 4) float32 boxes of images that were cropped to them, padded and resized.

    `sizes` (n, 2) are the stored width and height, `shape` (h, w, c) is what all have become.
    """
    boxes, sizes = np.asarray(boxes, np.float64), np.asarray(sizes)
    if crop:
        sizes = boxes[:, 2:] - boxes[:, :2] + 1
        boxes = np.hstack([np.zeros_like(sizes), sizes - 1])
    if pad:
        edges = sizes.max(axis=1, keepdims=True)
        boxes = boxes + np.tile((edges - sizes) // 2, 2)
        sizes = np.hstack([edges, edges])
    return scaled(boxes, sizes, shape)


def scaled(boxes: np.ndarray, sizes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return boxes made for images of `sizes`, (w, h) or (n, 2), for such of `shape`, (h, w, c)."""
    # A box holds its last pixel, so it ends one further: scale that edge, then step back.
    scale = np.array([shape[1], shape[0]]) / sizes
    first, last = boxes[:, :2] * scale, (boxes[:, 2:] + 1) * scale - 1
    return np.hstack([first, last]).astype(np.float32)
