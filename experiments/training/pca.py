"""Images as their first principal components tell them: frozen layers in front of a network.

Each image, raw pixels 0..255, is projected onto the components and rebuilt, inside the model:
whatever asks it asks alike. What is rebuilt is not clipped to 0..255, so that the map stays linear;
it leaves that range by little. P2 names this as future work.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from experiments import spectrum
from experiments.recipes.pca import Pca


class Components(NamedTuple):
    """The first k principal components of images of d values; shares are those that they hold.

    `mean` is (d,), `vectors` are (k, d) and orthonormal, both float32.
    """

    mean: np.ndarray
    vectors: np.ndarray
    of_values: float
    of_variance: float
    images: int

    @property
    def told(self) -> str:
        """What is kept, in a line."""
        count, size = self.vectors.shape
        return (
            f"pca: {count} components of {size:,} values keep {self.of_values:.1%} of the sum of "
            f"singular values, {self.of_variance:.1%} of the variance of {self.images:,} images"
        )


def principal(images: Sequence, spec: Pca, seed: int) -> Components:
    """Return the components of images (n, h, w, c) that a row asks for, computed in float64.

    The spectrum is the whole one of `spec.images` of them: a share of singular values needs all of
    these, also the small ones. Time goes by the cube of their number.
    Raises ValueError for more components than these images have.
    """
    count = min(spec.images, len(images))
    chosen = np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False))
    pixels = np.asarray(images[chosen]).reshape(count, -1)
    found = spectrum.of(pixels, spec.components or count)
    rank = len(found.singular)
    if (spec.components or 1) > rank:
        raise ValueError(
            f"pca.components: {spec.components or 1}, and {count} training images of "
            f"{pixels.shape[1]} values have {rank}: ask for no more, or give a share"
        )
    kept = spec.components or found.needed(spec.share, spec.of)
    shares = (float(found.shares(of)[kept - 1]) for of in ("values", "variance"))
    return Components(found.mean, found.vectors[:kept], *shares, count)


def layers(kept: Components, shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
    """Return frozen float32 layers (h, w, c) -> (k) -> (h, w, c)."""
    count, size = kept.vectors.shape
    reshape = functools.partial(keras.layers.Reshape, dtype="float32")
    dense = functools.partial(keras.layers.Dense, trainable=False, dtype="float32")
    project, rebuild = dense(count, name="pca_project"), dense(size, name="pca_rebuild")
    project.build((None, size))
    project.set_weights([kept.vectors.T, -kept.vectors @ kept.mean])
    rebuild.build((None, count))
    rebuild.set_weights([kept.vectors, kept.mean])
    return [
        reshape((size,), name="pca_pixels"),
        project,
        rebuild,
        reshape(shape, name="pca_image"),
    ]


def told(model: keras.Model) -> dict:
    """Return what metrics say of a model's components; nothing of one that sees whole images."""
    found = [layer.units for layer in model.layers if layer.name == "pca_project"]
    return {"pca_components": found[0]} if found else {}
