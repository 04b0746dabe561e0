"""What networks take from the images that they are to learn, before they learn them."""

SEEN = 5000  # images whose patches are looked at, spread evenly over all
PORTION = 500  # of them at once
EPSILON = 5e-4  # added to variances of normalized pixels before dividing by their root


def adapt(model, images):
    """Compute from training images what a network takes from them; return the model.

    That is the layer `whiten` of the sprint networks, whose frozen filters turn patches of images
    (n, h, w, c), raw pixels 0..255, into uncorrelated values of variance 1: the eigenvectors of the
    patches' second moments over the roots of the eigenvalues, with both signs (Keller Jordan, arXiv
    2404.00498, section 3.2). They are weights like any others afterwards. Networks without such a
    layer stay as they are.
    """
    import numpy as np

    found = [layer for layer in model.layers if layer.name == "whiten"]
    for layer in found:
        kernel = layer.kernel
        height, width, channels, _ = kernel.shape
        values, vectors = np.linalg.eigh(_moments(model, images, (height, width)))
        filters = vectors / np.sqrt(values + EPSILON)
        both = np.concatenate([filters, -filters], axis=1)
        kernel.assign(both.reshape(height, width, channels, -1).astype("float32"))
    return model


def _moments(model, images, size: tuple[int, int]):
    """Return the second moments (h * w * c, h * w * c) of patches as the network sees them."""
    import numpy as np
    from keras import ops

    picked = np.linspace(0, len(images) - 1, min(SEEN, len(images))).astype(int)
    total, count = 0.0, 0
    for portion in np.array_split(picked, -(-len(picked) // PORTION)):
        pixels = ops.convert_to_numpy(model.get_layer("normalize")(np.asarray(images[portion])))
        patches = np.lib.stride_tricks.sliding_window_view(pixels, size, axis=(1, 2))
        rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, np.prod(size) * pixels.shape[-1])
        total, count = total + rows.T.astype("float64") @ rows, count + len(rows)
    return total / count
