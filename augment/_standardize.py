"""The part of ImageDataGenerator that is not random: scale, center, deviation, whitening."""

import warnings

import keras
import numpy as np

from augment import _finish


def statistics(generator, x: np.ndarray) -> None:
    """Compute the `mean`, `std` and `zca_whitening_matrix` of a generator from images `x`.

    They are of type `generator.dtype`, already rescaled, and are overwritten.
    """
    if generator.featurewise_center:
        generator.mean = x.mean(axis=(0, 1, 2), keepdims=True)[0]
        x -= generator.mean
    if generator.featurewise_std_normalization:
        generator.std = x.std(axis=(0, 1, 2), keepdims=True)[0]
        x /= generator.std + 1e-6
    if generator.zca_whitening:
        u, s, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
        scales = np.sqrt(len(x)) / (s + generator.zca_epsilon)
        generator.zca_whitening_matrix = (u * scales) @ u.T


def on_device(generator, n: int, channels: int) -> dict[str, np.ndarray]:
    """Return the first steps on n images as numbers (n,) or (n, channels) for `_finish.finish`.

    Those up to the first that needs the host: a function, whitening, another type than float32,
    statistics that are not known or not by channel.
    """
    steps = {}
    dtype = keras.backend.standardize_dtype(generator.dtype)
    if generator.preprocessing_function or dtype != "float32":
        return steps
    for name in (name for name in _finish.STEPS if getattr(generator, name)):
        if name in _finish.BY_CHANNEL:
            numbers = _by_channel(generator, name, channels)
            if numbers is None:
                break
            steps[name] = np.broadcast_to(numbers, (n, channels))
        else:
            steps[name] = np.full(n, getattr(generator, name), "float32")
    return steps


def _by_channel(generator, name: str, channels: int) -> np.ndarray | None:
    """Return the mean or the divisor, (1,) or (channels,); None if it is neither, or not known."""
    is_mean = name == "featurewise_center"
    known = generator.mean if is_mean else generator.std
    one_each = np.shape(known)[-1:] == (channels,) and np.size(known) == channels
    if known is None or not (one_each or np.size(known) == 1):
        return None
    return np.ravel(known if is_mean else known + 1e-6).astype("float32")


def standardize(generator, batch: np.ndarray, done=()) -> np.ndarray:
    """Return a float batch (n, h, w, c) standardized, of type `generator.dtype`.

    It may be overwritten; steps that are `done` already are left out.
    """
    if generator.preprocessing_function:
        batch = batch.astype(generator.dtype, copy=False)
        batch = np.stack([generator.preprocessing_function(image) for image in batch])
    batch = batch.astype(generator.dtype, copy=False)
    todo = {name for name in _finish.STEPS if getattr(generator, name) and name not in done}
    if "rescale" in todo:
        batch *= generator.rescale
    if "samplewise_center" in todo:
        batch -= batch.mean(axis=(1, 2, 3), keepdims=True)
    if "samplewise_std_normalization" in todo:
        batch /= batch.std(axis=(1, 2, 3), keepdims=True) + 1e-6
    if "featurewise_center" in todo and _fitted(generator, "mean"):
        batch -= generator.mean
    if "featurewise_std_normalization" in todo and _fitted(generator, "std"):
        batch /= generator.std + 1e-6
    if generator.zca_whitening and _fitted(generator, "zca_whitening_matrix"):
        flat = batch.reshape(len(batch), -1) @ generator.zca_whitening_matrix
        batch = flat.reshape(batch.shape).astype(generator.dtype, copy=False)
    return batch


def _fitted(generator, name: str) -> bool:
    if getattr(generator, name) is None:
        warnings.warn(f"{name} is not known: call fit(images) first", stacklevel=4)
    return getattr(generator, name) is not None
