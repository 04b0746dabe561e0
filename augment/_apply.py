"""From images and a policy to an augmented batch: checks, draws, batch sizes, device."""

import threading

import keras
import numpy as np
from keras import ops

from augment import _draw, _finish, _pixels, _warp
from augment._compile import is_compiled
from augment._draw import JITTERS
from augment.policy import Policy, get

# What a policy has in grey levels, or clips to them.
GREY = "channel shift, brightness, jitter, erasing and cutout"
_GREY = ("channel_shift", "brightness", "erasing", "cutout", *JITTERS)


def batch(images, policy, *, seed: int, epoch: int, indices):
    """Augment a batch: draw on the host, apply on the device in one compiled call.

    Args:
        images: (n, height, width, channels), raw pixels 0..255, uint8 (fastest) or float.
        policy: a Policy or what `augment.get` takes.
        seed: whole number that selects the stream of random numbers.
        epoch: counts from 0.
        indices: numbers (n,) of these images in their data set.

    Returns:
        float32 tensor of the backend, shape as `images`. A batch smaller than one seen before is
        padded inside, so ragged last batches compile nothing.

    Raises:
        ValueError: `images` is not (n, h, w, c) or has, as a NumPy array, values that are not
            finite (a tensor is not looked at: that would wait for the device); `indices` has
            another length.

    """
    policy = get(policy)
    images = as_images(images)
    if len(indices) != len(images):
        raise ValueError(f"{len(images)} images but {len(indices)} indices: one each is needed")
    if isinstance(images, np.ndarray):
        _pixels.extent(images, in_grey(policy))
    drawn = _draw.draw(policy, seed=seed, epoch=epoch, indices=indices, shape=images.shape[1:])
    return _apply(images, drawn, policy)


def in_grey(policy: Policy) -> str:
    """Name what is given in grey levels, if the policy has any of it."""
    return GREY if any(getattr(policy, name) for name in _GREY) else ""


def apply(images, drawn: dict, policy: Policy | str | dict, center=None):
    """Apply the parameters that `augment.draw` returns, on the device.

    Args:
        images: (n, height, width, channels), raw pixels 0..255.
        drawn: arrays (n, ...) by name; an operation without an entry is left out.
        policy: gives fill mode, cval, interpolation order, the value of what is erased, and size
            and value of cutout.
        center: (row, column) about which the geometry turns; None for the middle.

    Returns:
        float32 tensor of the backend, shape as `images`.

    """
    _check_known(drawn)
    return _apply(as_images(images), drawn, get(policy), center)


def to_host(images, drawn: dict, policy: Policy, center=None, steps=()) -> np.ndarray:
    """Apply what `apply` does, and the `steps` of `_finish`; the array is the caller's own."""
    _check_known(drawn)
    images, drawn = as_images(images), {**drawn, **dict(steps)}
    if not drawn:  # a tensor may share the memory of `images`
        return ops.convert_to_numpy(images).astype("float32", copy=False)
    return _finish.owned(_apply(images, drawn, policy, center))


def _check_known(drawn: dict) -> None:
    unknown = drawn.keys() - _warp.KNOWN
    if unknown:
        known = ", ".join(sorted(_warp.KNOWN))
        raise ValueError(f"unknown transform parameter {sorted(unknown)}: known are {known}")


def pack(policy, *, seed: int, epoch: int, indices, shape) -> tuple[np.ndarray, tuple]:
    """Draw the parameters of images on the host, as one array that `apply_packed` takes.

    Arguments are those of `augment.draw`. Returns the array (n, columns) float32, and what selects
    the code that applies it: images of one policy and shape have the same, unless all of them move
    by whole pixels by chance.
    """
    policy = get(policy)
    drawn = _draw.draw(policy, seed=seed, epoch=epoch, indices=indices, shape=shape)
    return _packed(drawn, len(indices), policy)


def apply_packed(images, packed, code: tuple):
    """Apply what `pack` returns to images (n, h, w, c), uint8 or float32, as `batch` would.

    On JAX it may be a part of what the caller compiles.
    """
    return _warp.run(images, packed, *code)


def _packed(drawn: dict, n: int, policy: Policy, center=None) -> tuple[np.ndarray, tuple]:
    columns = [np.asarray(values, "float32").reshape(n, -1) for values in drawn.values()]
    packed = np.concatenate([np.empty((n, 0), "float32"), *columns], axis=1)
    layout = tuple((name, part.shape[1]) for name, part in zip(drawn, columns, strict=True))
    return packed, (layout, _warp.exact(drawn, _warp.sampling(policy, center)))


def _apply(images, drawn: dict, policy: Policy, center=None):
    if not drawn:
        return ops.cast(ops.convert_to_tensor(images), "float32")
    packed, code = _packed(drawn, len(images), policy, center)
    return sized(lambda *both: apply_packed(*both, code), [images, packed], code)


def sized(run, arrays: list, code=None):
    """Run on arrays (n, ...), padded to a batch size that was compiled before, else as they are.

    `code` is what selects the compiled code, beside the arrays' types and shapes.
    """
    n = size = len(arrays[0])
    if is_compiled():
        kinds = [(keras.backend.standardize_dtype(a.dtype), *a.shape[1:]) for a in arrays]
        size = _compiled_size((code, *kinds), n)
    if size > n:
        arrays = [_padded(array, size) for array in arrays]
    result = run(*arrays)
    return result if size == n else result[:n]


_sizes: dict[tuple, set[int]] = {}  # batch sizes compiled so far, by all else that selects code
_lock = threading.Lock()  # iterators may run several workers


def _compiled_size(key: tuple, n: int) -> int:
    """Choose the size to run n images with: the smallest compiled one that holds them, else n."""
    with _lock:
        sizes = _sizes.setdefault(key, set())
        size = min((known for known in sizes if known >= n), default=n)
        sizes.add(size)
    return size


def _padded(array, size: int):
    """Repeat the last row up to `size` rows."""
    missing = size - len(array)
    if isinstance(array, np.ndarray):
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    return ops.concatenate([array, ops.repeat(array[-1:], missing, axis=0)], axis=0)


def as_images(images):
    """Return images as uint8 or float32; raise a ValueError unless they are (n, h, w, c)."""
    if not hasattr(images, "shape") or not hasattr(images, "dtype"):
        images = np.asarray(images)
    shape = tuple(images.shape)
    if len(shape) != 4 or not all(shape):
        raise ValueError(f"images must be (n, height, width, channels), none 0, got shape {shape}")
    if keras.backend.standardize_dtype(images.dtype) in ("uint8", "float32"):
        return images
    return images.astype("float32") if hasattr(images, "astype") else ops.cast(images, "float32")
