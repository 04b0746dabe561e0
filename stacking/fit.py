"""Training of a stack's head on outputs of its members that are computed once.

The members are frozen, so their outputs for view v of image i never change: they run once per
view, and the head, a small dense network, trains on what they said. Epoch e reads view e % views,
in an order that is a function of (seed, epoch). With `views="fresh"` there are as many views as
epochs, as the AlphaStack's authors drew them: the members then run once for every epoch.
"""

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from stacking._checks import check_data, check_finite, check_frozen, checked_labels, read_options
from stacking._epochs import TOP, Feed, NotFinite, Record
from stacking._progress import Progress, listener
from stacking.cache import Pass, augmented, content_keys, run_members
from stacking.stack import head_of, members_of

FRESH = "fresh"  # as many views as epochs
DIVERGED = "a member that says so diverged in its training; leave it out or train it anew"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How `fit_head` trains; its docstring says what each field means."""

    augment: Callable[[np.ndarray, np.ndarray, int], Any] | None = None
    augment_key: str | None = None
    views: int | str = 1
    epochs: int = 32  # as the AlphaStack's in the paper
    batch_size: int = 256  # the paper is silent
    member_batch_size: int = 256
    optimizer: str | keras.optimizers.Optimizer = "adam"
    learning_rate: float = 0.001
    keep: str = "best"
    seed: int = 0
    cached: bool = True
    cache_dir: str | os.PathLike | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    progress: Progress | bool | None = None

    def __post_init__(self):
        if isinstance(self.views, str) and self.views != FRESH:
            raise ValueError(
                f"views={self.views!r}: give a whole number of 1 or more, or {FRESH!r}"
            )
        numbers = ("epochs", "batch_size", "member_batch_size")
        for name in numbers if self.views == FRESH else ("views", *numbers):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name}={value!r}: give a whole number of 1 or more")
        if self.keep not in ("best", "last"):
            raise ValueError(f"keep={self.keep!r}: choose 'best' or 'last'")
        self.members_pass(0)  # raises for what does not fit together

    @property
    def seen_views(self) -> int:
        """How many views the epochs read: one where nothing is augmented."""
        if self.augment is None:
            return 1
        return self.epochs if self.views == FRESH else min(self.views, self.epochs)

    def members_pass(self, view: int | None) -> Pass:
        """Return the members' pass over a view of the images, or over them as they are (None)."""
        run = Pass(self.member_batch_size, self.cache_dir, progress=self.progress)
        if view is None:
            return run
        return dataclasses.replace(
            run, augment=self.augment, augment_key=self.augment_key, view=view
        )


def fit_head(
    stack: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    fit_on: str = "held_out",
    **settings,
) -> list[dict[str, float]]:
    """Train the head of `stack` in place; members, their BN statistics included, do not change.

    `images` (n, h, w, c) and `labels` (n,), whole numbers below the number of classes, should be
    ones that no member has seen (held out, or out of fold). `fit_on="train"` says that they are
    the members' own training images, which is what the paper did, and warns: on those the members
    look surer and more right than they are. `validation` is never augmented.

    Settings, the fields of `stacking.fit.Settings`:
    - `augment(batch, indices, view)`, `augment_key`, `cache_dir`: see `member_outputs`; without
      `cache_dir` the outputs of all views stay in memory (n x views x features x 4 bytes).
    - `views`: augmented views of each image. They are taken in turn, one per epoch; "fresh" draws
      a new one for every epoch. All are computed before the first epoch, and those that lie in
      `cache_dir` already are not computed again.
    - `epochs`, `batch_size`, `optimizer` (a name, or an optimizer, of which a copy is used),
      `learning_rate` (for an optimizer by name).
    - `member_batch_size`: images per call of the members.
    - `keep`: the head of the "best" epoch by top-1 on `validation` (the first of equals; without
      `validation` the last), or of the "last" epoch. The best of N epochs is chosen by the images
      that score it, so it flatters: the history has every epoch's `val_top1`, the last one's too.
    - `seed`: of the order of images.
    - `cached`: False runs the members again in every step, to the same result within rounding.
    - `callbacks`: Keras callbacks; their model is features -> logits (images -> logits where not
      cached) and their logs hold fractions: loss, top1, top3, top5, and val_ of each.
    - `progress(what, done, total)`: hears of the members' passes as in `member_outputs`, and after
      each epoch its line, the epoch and their number. True shows bars and prints the lines.

    Returns one dict per epoch: `epoch` from 1, `loss`, `top1`, `top3`, `top5` in percent (k is at
    most the number of classes), `val_` of each, `lr`, `seconds` (validation included),
    `images_per_second`, and `members_seconds`, the time of the members' passes that this epoch is
    the first to use. Raises ValueError, before anything runs, for what does not fit or is not
    finite, and in the step in which the loss is not, with the head as it was before.
    """
    settings = read_options(Settings, settings)
    check_frozen(stack)
    check_data(stack, images, labels, "images")
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise ValueError(f"validation={type(validation).__name__}: give (images, labels)")
        check_data(stack, *validation, "validation images")
    if fit_on not in ("held_out", "train"):
        raise ValueError(f"fit_on={fit_on!r}: choose 'held_out' or 'train'")
    if fit_on == "train":
        warnings.warn(
            "fit_on='train': the members were trained on these images, so here they are surer and"
            " more often right than on new ones, and the head learns to trust them too much;"
            " hold images out for an honest head",
            UserWarning,
            stacklevel=2,
        )
    if not settings.cached:
        return _fit_fresh(stack, images, labels, validation, settings)
    views, passes = [], []
    for outputs, seconds in _member_views(members_of(stack), images, settings):
        views.append(outputs)
        passes.append(seconds)
    return _fit_cached(stack, views, passes, labels, validation, settings)


def fit_head_on(
    stack: keras.Model,
    views: Sequence[Sequence[np.ndarray]],
    labels: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    **settings,
) -> list[dict[str, float]]:
    """Train the head of `stack` in place on outputs that are there already, view by view.

    `views[v]` holds each member's output (n, width) for view v of the images whose `labels` (n,)
    are given, as `out_of_fold` returns them. Everything else is as in `fit_head`; of its settings
    those that run members (`augment`, `views`, `cached`) mean nothing here.
    """
    settings = read_options(Settings, settings)
    check_frozen(stack)
    width = head_of(stack).input_shape[-1]
    checked_labels(labels, len(views[0][0]), stack.output_shape[-1], "the stack", "outputs")
    for view, outputs in enumerate(views):
        shape = (len(outputs[0]), sum(output.shape[1] for output in outputs))
        if shape != (len(labels), width):
            raise ValueError(
                f"outputs of view {view} are {shape}: the head reads ({len(labels)}, {width})"
            )
    if validation is not None:
        check_data(stack, *validation, "validation images")
    return _fit_cached(stack, views, [0.0] * len(views), labels, validation, settings)


def _fit_cached(stack, views, passes, labels, validation, settings: Settings) -> list[dict]:
    """Train the head alone, on outputs of the members from memory or disk."""
    for view, outputs in enumerate(views):
        for member, output in enumerate(outputs):
            check_finite(output, f"views[{view}][{member}]", DIVERGED)
    if validation is not None:
        began = time.perf_counter()
        outputs = run_members(members_of(stack), validation[0], settings.members_pass(None))
        validation = np.concatenate(outputs, axis=1), validation[1]
        check_finite(validation[0], "outputs for validation images", DIVERGED)
        passes[0] += time.perf_counter() - began

    def read(rows: np.ndarray, epoch: int) -> np.ndarray:
        return np.concatenate([output[rows] for output in views[epoch % len(views)]], axis=1)

    trainer = _logits(head_of(stack))
    feed = Feed(read, np.asarray(labels), settings.batch_size, settings.seed)
    return _run(stack, trainer, feed, validation, passes, settings)


def _fit_fresh(stack, images, labels, validation, settings: Settings) -> list[dict]:
    """Train the head inside the whole stack: every step runs the members."""

    def read(rows: np.ndarray, epoch: int) -> Any:
        return augmented(images, rows, epoch % settings.seen_views, settings.augment)

    features = stack.get_layer("features").output
    trainer = keras.Model(stack.inputs[0], _logits(head_of(stack))(features))
    feed = Feed(read, np.asarray(labels), settings.batch_size, settings.seed)
    return _run(stack, trainer, feed, validation, [], settings)


def _member_views(
    members: dict[str, keras.Model], images: np.ndarray, settings: Settings
) -> Iterator[tuple[list[np.ndarray], float]]:
    """Yield the members' outputs for each view that an epoch reads, and the seconds they took."""
    began = time.perf_counter()
    keys = content_keys(members, images) if settings.cache_dir is not None else None
    for view in range(settings.seen_views):
        yield (
            run_members(members, images, settings.members_pass(view), keys),
            time.perf_counter() - began,
        )
        began = time.perf_counter()


def _logits(head: keras.Model) -> keras.Model:
    """Return the head up to its logits, where the loss is exact; on probs it is rounded."""
    return keras.Model(head.inputs[0], head.get_layer("logits").output, name="logits_of_head")


def _run(stack, trainer, feed, validation, passes, settings: Settings) -> list[dict]:
    trainer.compile(
        _optimizer(settings),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseTopKCategoricalAccuracy(min(k, stack.output_shape[-1]), f"top{k}")
            for k in TOP
        ],
    )
    head = head_of(stack)
    before = head.get_weights()
    record = Record(head, len(feed.labels), passes, listener(settings.progress))
    try:
        trainer.fit(
            feed,
            steps_per_epoch=feed.steps,
            epochs=settings.epochs,
            validation_data=validation and (validation[0], np.asarray(validation[1])),
            validation_batch_size=settings.batch_size,
            callbacks=[record, *settings.callbacks],
            shuffle=False,
            verbose=0,
        )
    except NotFinite:
        head.set_weights(before)
        raise
    if settings.keep == "best" and record.best is not None:
        head.set_weights(record.best)
    return record.history


def _optimizer(settings: Settings) -> keras.optimizers.Optimizer:
    if isinstance(settings.optimizer, str):
        config = {"learning_rate": settings.learning_rate}
        return keras.optimizers.get({"class_name": settings.optimizer, "config": config})
    # a copy: an optimizer keeps the state of the variables that it has trained
    return type(settings.optimizer).from_config(settings.optimizer.get_config())
