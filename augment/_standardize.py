"""The part of ImageDataGenerator that is not random: scale, center, deviation, whitening."""

import warnings

import numpy as np


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


def standardize(generator, batch: np.ndarray) -> np.ndarray:
    """Return a batch (n, h, w, c) of type `generator.dtype`, which is overwritten, standardized."""
    if generator.preprocessing_function:
        batch = np.stack([generator.preprocessing_function(image) for image in batch])
        batch = batch.astype(generator.dtype, copy=False)
    if generator.rescale:
        batch *= generator.rescale
    if generator.samplewise_center:
        batch -= batch.mean(axis=(1, 2, 3), keepdims=True)
    if generator.samplewise_std_normalization:
        batch /= batch.std(axis=(1, 2, 3), keepdims=True) + 1e-6
    if generator.featurewise_center and _fitted(generator, "mean"):
        batch -= generator.mean
    if generator.featurewise_std_normalization and _fitted(generator, "std"):
        batch /= generator.std + 1e-6
    if generator.zca_whitening and _fitted(generator, "zca_whitening_matrix"):
        flat = batch.reshape(len(batch), -1) @ generator.zca_whitening_matrix
        batch = flat.reshape(batch.shape).astype(generator.dtype, copy=False)
    return batch


def _fitted(generator, name: str) -> bool:
    if getattr(generator, name) is None:
        warnings.warn(f"{name} is not known: call fit(images) first", stacklevel=4)
    return getattr(generator, name) is not None
