"""Iterators of ImageDataGenerator: `keras.utils.PyDataset`s, here over arrays."""

import dataclasses
import os
import threading
import typing

import keras
import numpy as np

from augment import _apply, _pixels, _uniforms


@dataclasses.dataclass(kw_only=True)
class Options:
    """What all iterators take; see ImageDataGenerator.flow."""

    batch_size: int = 32
    shuffle: bool = True
    seed: int | None = None
    epoch: int = 0
    subset: typing.Literal["training", "validation"] | None = None
    save_to_dir: str | os.PathLike | None = None
    save_prefix: str = ""
    save_format: str = "png"

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        if self.subset not in (None, "training", "validation"):
            raise ValueError(f"subset must be 'training' or 'validation', got {self.subset!r}")

    def split(self, n: int, share: float) -> slice:
        """Select the part of n items that `subset` names; validation comes first, as in Keras."""
        border = int(n * share)
        if self.subset is None:
            return slice(0, n)
        if self.subset == "validation" and not share:
            raise ValueError(
                "subset='validation' of a generator without validation_split: give "
                "ImageDataGenerator(validation_split=0.2), or another share"
            )
        return slice(0, border) if self.subset == "validation" else slice(border, n)


class Iterator(keras.utils.PyDataset):
    """Batches of one epoch by index, and of all epochs by `next`.

    Image i of epoch e is the same for any batch size, order of the batches and number of workers,
    and in a new process. `fit` calls `on_epoch_end` once before its first epoch and after each, so
    that of a fresh iterator its epochs are 1, 2, ...; a run resumed with `fit(initial_epoch=k)`
    on `flow(..., epoch=k)` repeats them. Leave out `steps_per_epoch`; `fit(shuffle=True)`
    reorders whole batches by Python's global generator.

    Attributes:
        n: number of images.
        epoch: epoch that the next batch is of, from 0; moves on at the end of each.
        seed: of order and augmentation.

    """

    def __init__(self, generator, n: int, options: Options):
        super().__init__()
        if not n:
            raise ValueError(f"there are no images in subset {options.subset!r}")
        self.image_data_generator = generator
        self.n = n
        self.options = options
        self.batch_size = options.batch_size
        self.shuffle = options.shuffle
        self.seed = generator.seed if options.seed is None else options.seed
        self.epoch = options.epoch
        self._order = (None, None)
        self._lock = threading.Lock()
        self.reset()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int):
        return self._batch(self.epoch, index)

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            epoch, index = self.epoch, self._next
            self._next += 1
            if self._next == len(self):
                self.on_epoch_end()
        return self._batch(epoch, index)

    def on_epoch_end(self) -> None:
        """Move on to the next epoch; `fit` calls it."""
        self.epoch += 1
        self.reset()

    def reset(self) -> None:
        """Put `next` back to the first batch of the epoch."""
        self._next = 0

    def _batch(self, epoch: int, index: int):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        chosen = self._ordered(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        generator = self.image_data_generator
        images = generator.augment(self._images(chosen), chosen, epoch, self.seed, True)
        if self.options.save_to_dir:
            self._save(images, chosen, epoch)
        return self._with_labels(images, chosen)

    def _ordered(self, epoch: int) -> np.ndarray:
        known, order = self._order
        if known != epoch:
            if self.shuffle:
                order = _uniforms.permutation(self.seed, epoch, self.n)
            else:
                order = np.arange(self.n)
            self._order = (epoch, order)
        return order

    def _save(self, images, chosen, epoch: int) -> None:
        options = self.options
        for image, i in zip(images, chosen, strict=True):
            name = f"{options.save_prefix}_{i}_{epoch}.{options.save_format}"
            keras.utils.array_to_img(image, scale=True).save(
                os.path.join(options.save_to_dir, name)
            )


class ArrayIterator(Iterator):
    """Over images and labels in memory; see ImageDataGenerator.flow."""

    def __init__(self, generator, x, y, sample_weight, ignore_class_split=False, **options):
        options = Options(**options)
        x = _apply.as_images(np.asarray(x))
        _pixels.extent(x, _apply.in_grey(generator.policy()))
        arrays = {"y": y, "sample_weight": sample_weight}
        arrays = {k: None if v is None else np.asarray(v) for k, v in arrays.items()}
        for name, array in arrays.items():
            if array is not None and len(array) != len(x):
                raise ValueError(f"{len(x)} images in x, but {len(array)} in {name}: one each")
        share = generator.validation_split
        part = options.split(len(x), share)
        if options.subset and share and arrays["y"] is not None and not ignore_class_split:
            _check_classes(arrays["y"], int(len(x) * share))
        self.x = x[part]
        self.y, self.sample_weight = (None if a is None else a[part] for a in arrays.values())
        super().__init__(generator, len(self.x), options)

    def _images(self, chosen) -> np.ndarray:
        return self.x[chosen]

    def _with_labels(self, images, chosen):
        if self.y is None:
            return images
        if self.sample_weight is None:
            return images, self.y[chosen]
        return images, self.y[chosen], self.sample_weight[chosen]


def _check_classes(y, border: int) -> None:
    if not np.array_equal(np.unique(y[:border]), np.unique(y[border:])):
        raise ValueError(
            f"the first {border} labels, for validation, and the other {len(y) - border} have "
            "different classes: shuffle the data, or set ignore_class_split=True"
        )
