"""Class C on batches of 128 images 64x64x3: ours beside what else Keras users have.

Every case starts from what it would be given in training and ends with a float32 batch; all that
is needed per batch is timed, drawing included. The images are smooth noise: the cost does not
depend on content.
"""

import itertools
import os
import warnings

import keras
import numpy as np

import augment
from experiments.bench import check
from experiments.timing import side_by_side

SIDE, BATCH = 64, 128
DEPRECATED = "Keras' deprecated ImageDataGenerator"


def run(*, repeats: int = 30) -> list[dict]:
    """Time all cases; one row each with images per second and the ratios to two of them."""
    check(repeats=repeats)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 16, 16, 3), np.uint8)
    pixels = pixels.repeat(SIDE // 16, axis=1).repeat(SIDE // 16, axis=2)
    cases = {
        "augment.batch, uint8": _ours(pixels),
        "augment.batch, float32": _ours(pixels.astype("float32")),
        "ours, ImageDataGenerator.flow with rescale": _flow(pixels),
        DEPRECATED: _deprecated(pixels.astype("float32")),
        "Keras layers": _layers(pixels.astype("float32")),
    }
    cases |= _albumentations(pixels)
    with warnings.catch_warnings():
        # The deprecated generator warns of a SciPy namespace once per channel of each image.
        warnings.simplefilter("ignore", DeprecationWarning)
        seconds = side_by_side(cases, repeats=repeats)
    ours = seconds["augment.batch, uint8"]
    return [
        {
            "case": name,
            "backend": keras.backend.backend(),
            "batch": BATCH,
            "repeats": repeats,
            "ms_per_batch": 1e3 * median,
            "images_per_second": BATCH / median,
            "ours_times_faster": median / ours,
            "times_the_deprecated": seconds[DEPRECATED] / median,
            "load": os.getloadavg()[0],
        }
        for name, median in seconds.items()
    ]


def _ours(images):
    indices = np.arange(BATCH)
    epochs = iter(range(1_000_000_000))

    def case():
        return _wait(augment.batch(images, augment.C, seed=0, epoch=next(epochs), indices=indices))

    return case


def _wait(tensor):
    """Wait for an asynchronous device; TensorFlow and torch on a CPU are not."""
    if hasattr(tensor, "block_until_ready"):
        return tensor.block_until_ready()
    if "cpu" not in str(tensor.device).lower():
        keras.ops.convert_to_numpy(tensor[0, 0, 0])
    return tensor


def _flow(images):
    """Take what `fit` gets of the drop-in generator, float32 arrays, of a set of eight batches."""
    images = np.concatenate([images] * 8)
    generator = augment.ImageDataGenerator(
        **_arguments(), channel_shuffle=augment.C.channel_shuffle, rescale=1 / 255, seed=0
    )
    flow = generator.flow(images, np.arange(len(images)), BATCH)
    numbers = itertools.cycle(range(len(flow)))
    return lambda: np.asarray(flow[next(numbers)][0])


def _arguments() -> dict:
    """Spell class C as both generators take it."""
    c = augment.C
    return {
        "shear_range": c.shear,
        "zoom_range": c.zoom,
        "horizontal_flip": True,
        "width_shift_range": c.width_shift,
        "height_shift_range": c.height_shift,
        "channel_shift_range": c.channel_shift,
        "fill_mode": c.fill_mode,
    }


def _deprecated(images):
    """One image after the other, with the paper's channel shuffle by hand."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    share, rng = augment.C.channel_shuffle, np.random.default_rng(0)
    generator = ImageDataGenerator(**_arguments())

    def case():
        out = np.empty_like(images)
        for i, image in enumerate(images):
            image = generator.random_transform(image)
            shuffled = rng.random() < share
            out[i] = image[..., rng.permutation(3)] if shuffled else image
        return out

    return case


def _layers(images):
    """Chain the nearest layers, as fast as they get; there is none to shuffle channels.

    That is compiled into a graph on TensorFlow, and eager elsewhere.
    """
    layers, c = keras.layers, augment.C
    zoom = (c.zoom[0] - 1, c.zoom[1] - 1)
    shear = float(np.tan(np.deg2rad(c.shear)))
    pipeline = [
        layers.RandomTranslation(c.height_shift, c.width_shift, fill_mode=c.fill_mode),
        layers.RandomShear(shear, 0.0, fill_mode=c.fill_mode),
        layers.RandomZoom(zoom, zoom, fill_mode=c.fill_mode),
        layers.RandomBrightness(c.channel_shift / 255, value_range=(0, 255)),
        layers.RandomFlip("horizontal"),
    ]

    class Augmenter(keras.Model):
        def call(self, x):
            for layer in pipeline:
                x = layer(x, training=True)  # `predict` would switch them off
            return x

    model = Augmenter()
    if keras.backend.backend() == "tensorflow":
        return lambda: model.predict_on_batch(images)
    return lambda: keras.ops.convert_to_numpy(model(images))


def _albumentations(images):
    """Compose the same operations, image by image; no case where it is not installed."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks a server for its version
    try:
        import albumentations as A  # noqa: N812, its documented name
        import cv2
    except ImportError:
        return {}
    c = augment.C
    transform = A.Compose(
        [
            A.Affine(
                scale={"x": c.zoom, "y": c.zoom},
                translate_percent={
                    "x": (-c.width_shift, c.width_shift),
                    "y": (-c.height_shift, c.height_shift),
                },
                shear={"x": (-c.shear, c.shear), "y": (0, 0)},
                border_mode=cv2.BORDER_REFLECT,
                p=1,
            ),
            A.RandomBrightnessContrast(c.channel_shift / 255, 0, p=1),
            A.HorizontalFlip(p=c.horizontal_flip),
            A.ChannelShuffle(p=c.channel_shuffle),
        ]
    )

    def case():
        return np.stack([transform(image=image)["image"] for image in images]).astype("float32")

    return {f"Albumentations {A.__version__}": case}
