"""ImageDataGenerator: Keras' deprecated interface on the compiled batch transformation."""

import dataclasses
import itertools
import os
import secrets
import typing
import warnings

import keras
import numpy as np

from augment import _apply, _draw, _standardize
from augment._files import Reader
from augment._from_files import DataFrameIterator, DirectoryIterator
from augment._iterators import ArrayIterator
from augment.policy import Policy

# Fields of a policy by what arguments are called: as they are, or with "_range".
_FLIPS = ("horizontal_flip", "vertical_flip")
_SAME = ("channel_shuffle", "fill_mode", "cval", "interpolation_order")
_RANGES = ("rotation", "shear", "channel_shift", "brightness")


@dataclasses.dataclass(eq=False)
class ImageDataGenerator:
    """Batches of augmented images with the arguments, order and semantics of Keras' own.

    Order: affine (rotation, shift, shear, zoom), channel shift, flips, brightness, channel
    shuffle, `preprocessing_function`, `rescale`, samplewise, featurewise, ZCA. Ranges are in raw
    pixel values, so images come in 0..255 and `rescale` follows. Equal to Keras' generator for
    equal parameters, except that brightness does not round to whole grey levels and clips to
    0..255. As there, `height_shift_range` moves along the columns, `width_shift_range` along the
    rows, and images that are not square turn about (width / 2, height / 2) (Keras issue 17398);
    `augment.Policy` has both the right way round.

    Random numbers are a function of (seed, epoch, index of the image), not of NumPy's global state.

    Args:
        featurewise_center: subtract the mean of each channel over the data given to `fit`.
        samplewise_center: subtract each image's mean.
        featurewise_std_normalization: divide by the standard deviation of each channel.
        samplewise_std_normalization: divide by each image's standard deviation.
        zca_whitening: whiten with the matrix that `fit` computes.
        zca_epsilon: added to the singular values.
        rotation_range: degrees.
        width_shift_range: float below 1: fraction; float: pixels; int n: whole pixels below n;
            list: its values; all with either sign.
        height_shift_range: as `width_shift_range`.
        brightness_range: (low, high) of a factor.
        shear_range: degrees.
        zoom_range: (low, high), or z for (1 - z, 1 + z).
        channel_shift_range: 0..255.
        fill_mode: "nearest", "reflect", "wrap" or "constant".
        cval: pixel value outside of the image for "constant".
        horizontal_flip: flip half of the images left-right.
        vertical_flip: flip half of the images upside down.
        rescale: factor, after all augmentation.
        preprocessing_function: takes and returns one image (h, w, c), after augmentation.
        data_format: "channels_last" only.
        validation_split: share of the images that `subset="validation"` selects.
        interpolation_order: 0 or 1.
        dtype: of the batches.
        channel_shuffle: share of the images whose channels are put in random order; not in Keras.
        more: fields of `augment.Policy` that no argument stands for, such as {"jitter_hue": 0.1,
            "erasing": 0.5}; they come where that class says, the right way round; not in Keras.
        seed: for iterators and transforms that are given none; by default a random one.

    Raises:
        ValueError: a range is wrong, `more` has a field that an argument stands for, or
            `data_format` is "channels_first".

    """

    featurewise_center: bool = False
    samplewise_center: bool = False
    featurewise_std_normalization: bool = False
    samplewise_std_normalization: bool = False
    zca_whitening: bool = False
    zca_epsilon: float = 1e-6
    rotation_range: float = 0
    width_shift_range: float | int | typing.Sequence[float] = 0.0
    height_shift_range: float | int | typing.Sequence[float] = 0.0
    brightness_range: tuple[float, float] | None = None
    shear_range: float = 0.0
    zoom_range: float | tuple[float, float] = 0.0
    channel_shift_range: float = 0.0
    fill_mode: str = "nearest"
    cval: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    rescale: float | None = None
    preprocessing_function: typing.Callable[[np.ndarray], np.ndarray] | None = None
    data_format: str | None = None
    validation_split: float = 0.0
    interpolation_order: int = 1
    dtype: str | None = None
    channel_shuffle: float = 0.0
    more: dict | None = None
    seed: int | None = None

    def __post_init__(self):
        self.data_format = self.data_format or keras.config.image_data_format()
        if self.data_format != "channels_last":
            raise ValueError(
                f"data_format {self.data_format!r}: only 'channels_last', (n, h, w, c), is "
                "supported; transpose the images"
            )
        if self.validation_split and not 0 < self.validation_split < 1:
            raise ValueError(f"validation_split must lie in (0, 1), got {self.validation_split}")
        self.dtype = self.dtype or keras.config.floatx()
        if self.seed is None:
            self.seed = secrets.randbits(63)
        for name in ("mean", "std", "zca_whitening_matrix"):
            setattr(self, name, None)  # computed by fit, under Keras' names
        self._imply("zca_whitening", "featurewise_center", True)
        self._imply("zca_whitening", "featurewise_std_normalization", False)
        self._imply("featurewise_std_normalization", "featurewise_center", True)
        self._imply("samplewise_std_normalization", "samplewise_center", True)
        self._calls = itertools.count()
        self.policy()  # rejects wrong ranges now, not in the first batch

    def _imply(self, name: str, other: str, value: bool) -> None:
        if getattr(self, name) and getattr(self, other) is not value:
            setattr(self, other, value)
            warnings.warn(f"{name} sets {other} to {value}", stacklevel=4)

    def policy(self) -> Policy:
        """Return the random part as a Policy, width and height exchanged (see the class)."""
        if taken := sorted(self._fields().keys() & (self.more or {}).keys()):
            raise ValueError(
                f"more has {', '.join(taken)}, for which ImageDataGenerator has arguments of its "
                "own: give those"
            )
        return Policy.from_dict(self._fields() | (self.more or {}))

    def _fields(self) -> dict:
        """Return the fields of a policy that arguments stand for."""
        zoom = self.zoom_range
        if not isinstance(zoom, (tuple, list)):
            zoom = (1 - zoom, 1 + zoom)
        shifts = (self.height_shift_range, self.width_shift_range)
        width_shift, height_shift = (
            shift.tolist() if isinstance(shift, np.ndarray) else shift for shift in shifts
        )
        fields = {"width_shift": width_shift, "height_shift": height_shift, "zoom": zoom}
        fields |= {name: 0.5 if getattr(self, name) else 0.0 for name in _FLIPS}
        fields |= {name: getattr(self, name) for name in _SAME}
        return fields | {name: getattr(self, f"{name}_range") for name in _RANGES}

    def flow(
        self, x, y=None, batch_size=32, shuffle=True, sample_weight=None, seed=None, **options
    ) -> ArrayIterator:
        """Iterate over arrays, as `model.fit` takes it on every backend.

        Args:
            x: images (n, h, w, c), raw pixels 0..255; uint8 takes a quarter of the memory.
            y: labels (n, ...), or None.
            batch_size: the last batch of an epoch may be smaller.
            shuffle: new order each epoch.
            sample_weight: (n,), or None.
            seed: of order and augmentation; by default the generator's.
            **options: `subset` ("training" or "validation") and `ignore_class_split`; `epoch`,
                the epoch to start from when training is resumed; `save_to_dir`, `save_prefix`,
                `save_format` write the augmented images.

        Raises:
            ValueError: `x` is not (n, h, w, c) or not finite, lengths differ, or "validation" is
                asked for without `validation_split`.

        """
        options = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed, **options}
        return ArrayIterator(self, x, y, sample_weight, **options)

    def flow_from_directory(
        self,
        directory: str | os.PathLike,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: typing.Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        **options,
    ) -> DirectoryIterator:
        """Iterate over a folder with one folder of images per class.

        Unlike in Keras, which drops the alpha channel, what is transparent becomes white (save in
        "rgba"), and images of 16 or 32 bits per channel, whose range it cuts off, are refused.

        Args:
            directory: that folder.
            target_size: (height, width) to which images are resized.
            color_mode: "rgb", "rgba" or "grayscale".
            classes: names of the class folders; by default all, sorted.
            class_mode: labels as "categorical" (one-hot), "sparse", "binary", "input" (the batch
                itself) or None.
            batch_size: the last batch of an epoch may be smaller.
            **options: `shuffle`, `seed`, `epoch`, `subset`, `save_to_dir`, `save_prefix`,
                `save_format` as in `flow`; `interpolation`, `keep_aspect_ratio` and
                `follow_links` as in Keras.

        Raises:
            ValueError: no images, an unknown mode, or, named, what is no regular file (now)
                or no image of 8 bits per channel (when it is read).

        """
        options |= {"target_size": target_size, "color_mode": color_mode, "batch_size": batch_size}
        read = Reader.taken_from(options)
        return DirectoryIterator(self, directory, read, classes, class_mode, **options)

    def flow_from_dataframe(
        self,
        dataframe,
        directory: str | os.PathLike | None = None,
        x_col: str = "filename",
        y_col: str | typing.Sequence[str] = "class",
        weight_col: str | None = None,
        **options,
    ) -> DataFrameIterator:
        """Iterate over image files that a table names.

        Args:
            dataframe: a pandas DataFrame, or any mapping of columns.
            directory: folder of the file names in the column `x_col`.
            x_col: column of file names.
            y_col: column of classes or lists of them; of anything for "raw" and "multi_output".
            weight_col: column of sample weights.
            **options: those of `flow_from_directory`, with two modes more; `validate_filenames`
                (True) leaves out, with a warning, rows without an image file.

        Raises:
            ValueError: no such column or class, no text where one is due, no images.

        """
        read = Reader.taken_from(options)
        columns = (x_col, y_col, weight_col)
        return DataFrameIterator(self, dataframe, read, columns, directory=directory, **options)

    def fit(self, x, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Compute `mean`, `std` and `zca_whitening_matrix` from sample images.

        Args:
            x: (n, h, w, c), raw pixels 0..255; `rescale` is applied to them.
            augment: on augmented images; unlike in Keras, augmentation comes before `rescale`,
                as in the batches.
            rounds: passes of augmentation over `x`.
            seed: of the augmentation; by default the generator's.

        """
        x = _apply.as_images(np.asarray(x))
        if augment:
            seed = self.seed if seed is None else seed
            parts = np.array_split(np.arange(len(x)), -(-len(x) // 256))  # a bound on memory
            x = np.concatenate(
                [self.augment(x[i], i, epoch, seed) for epoch in range(rounds) for i in parts]
            )
        x = np.array(x, self.dtype)
        if self.rescale:
            x *= self.rescale
        _standardize.statistics(self, x)

    def augment(self, images, indices, epoch: int, seed: int, finish: bool = False) -> np.ndarray:
        """Augment images (n, h, w, c), `indices` of their data set; `finish`: and standardize."""
        steps = _standardize.on_device(self, len(images), images.shape[3]) if finish else {}
        batch = self._apply(images, self._draw(seed, epoch, indices, images.shape[1:]), steps)
        return _standardize.standardize(self, batch, done=steps) if finish else batch

    def _draw(self, seed: int, epoch: int, indices, shape) -> dict:
        turned = (shape[1], shape[0], shape[2])  # see the class
        of_image = {"seed": seed, "epoch": epoch, "indices": indices}
        drawn = _draw.draw(self._fields(), shape=turned, **of_image)
        return drawn | _draw.draw(self.more or {}, shape=shape, **of_image)

    def _apply(self, images, drawn: dict, steps=()) -> np.ndarray:
        center = ((images.shape[2] - 1) / 2, (images.shape[1] - 1) / 2)
        return _apply.to_host(images, drawn, self.policy(), center, steps)

    def standardize(self, x) -> np.ndarray:
        """Apply the part that is not random to an image (h, w, c) or a batch; `x` is kept."""
        x = np.array(x, self.dtype)
        batch = _standardize.standardize(self, x[None] if x.ndim == 3 else x)
        return batch[0] if x.ndim == 3 else batch

    def get_random_transform(self, img_shape, seed: int | None = None) -> dict:
        """Draw parameters of an image (h, w, c), by Keras' names; without a seed, the next ones."""
        index = next(self._calls) if seed is None else 0
        drawn = self._draw(self.seed if seed is None else seed, 0, [index], img_shape)
        missing = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}
        missing |= {"flip_horizontal": False, "flip_vertical": False}
        missing |= {"channel_shift_intensity": None, "brightness": None, "channel_order": None}
        return missing | {name: values[0].tolist() for name, values in drawn.items()}

    def apply_transform(self, x, transform_parameters: dict) -> np.ndarray:
        """Apply parameters, by Keras' names, to one image (h, w, c); unknown names raise."""
        drawn = {k: np.array([v]) for k, v in transform_parameters.items() if v is not None}
        return self._apply(np.asarray(x)[None], drawn)[0].astype(self.dtype, copy=False)

    def random_transform(self, x, seed: int | None = None) -> np.ndarray:
        """Transform one image (h, w, c) at random."""
        return self.apply_transform(x, self.get_random_transform(np.shape(x), seed))
