"""Images stored small: training, validation and prediction see the pixels that Pillow makes."""

import typing

import numpy as np
import pytest
from keras import ops

import augment
from experiments import datasets, recipes
from experiments.datasets import Dataset, Enlarged, Split
from experiments.runs import Run
from experiments.training import enlarging, feed, phases, views
from experiments.training.predict import predict_probs
from experiments.training.targets import Labels

pytestmark = pytest.mark.backend

SIZE, FILTER = 28, "bicubic"
MIX = augment.Mix(mixup=0.4, cutmix=1.0, probability=0.8)


@pytest.fixture(scope="module")
def small(stripes) -> Dataset:
    """The stripes, of which every other pixel is stored."""

    def half(split: Split) -> Split:
        stored = np.ascontiguousarray(split.images[:, ::2, ::2])
        return Split(Enlarged(stored, SIZE, FILTER), split.labels)

    parts = half(stripes.train), half(stripes.validation)
    return Dataset("stripes", *parts, stripes.class_names, stripes.class_ids)


@pytest.fixture(scope="module")
def decoded(small) -> Dataset:
    """The same images, decoded at that size."""
    parts = [Split(np.asarray(s.images), s.labels) for s in (small.train, small.validation)]
    return Dataset(small.name, *parts, small.class_names, small.class_ids)


@pytest.fixture(params=["cpu", "accelerator"])
def device(request, monkeypatch) -> str:
    """Either enlarges: Pillow, or what an accelerator would run, here on the CPU."""
    if request.param == "accelerator":
        monkeypatch.setattr(enlarging, "on_accelerator", lambda: True)
        monkeypatch.setattr(feed, "room", lambda: 1e9)
    return request.param


def test_only_an_accelerator_is_given_small_images(small, device):
    images, enlarge = enlarging.apart(small.train.images)
    if device == "cpu":
        assert images is small.train.images
        assert enlarging.nbytes(small.train) == 64 * 28 * 28
    else:
        assert images is small.train.images.stored
        assert enlarging.nbytes(small.train) == 64 * 14 * 14
    found = ops.convert_to_numpy(enlarge(images[:5]))
    np.testing.assert_array_equal(found, small.train.images[:5])


def test_a_part_is_enlarged_there_too(small, device):
    part = small.holdout(0.25)[0].train
    images, enlarge = enlarging.apart(part.images)
    assert images.shape[1:] == ((28, 28, 1) if device == "cpu" else (14, 14, 1))
    found = ops.convert_to_numpy(enlarge(images[np.array([3, 1])]))
    np.testing.assert_array_equal(found, part.batch([3, 1]))


@pytest.mark.parametrize(("policy", "mix"), [(None, None), ("C", None), (None, MIX), ("C", MIX)])
def test_training_sees_the_same_batches(small, decoded, device, policy, mix):
    plan, policy = feed.Plan(60, 24, seed=3), policy and augment.get(policy)
    options = (plan, policy, Labels(mixed=bool(mix)))
    ours = feed.batches(small.train, *options, epoch=1, mix=mix)
    theirs = feed.batches(decoded.train, *options, epoch=1, mix=mix)
    for _ in range(4):
        (images, labels), (expected, numbers) = next(ours), next(theirs)
        np.testing.assert_array_equal(ops.convert_to_numpy(images), ops.convert_to_numpy(expected))
        np.testing.assert_array_equal(labels, numbers)


def test_extra_images_stand_behind_them(small, decoded, device):
    extra = Split(255 - decoded.train.images[:7], decoded.train.labels[:7])
    plan = feed.Plan(64, 16, seed=3, extra=7, per_batch=2)
    ours, theirs = (
        feed.batches(data.train.join(extra), plan, None, Labels(), epoch=0)
        for data in (small, decoded)
    )
    np.testing.assert_array_equal(next(ours)[0], next(theirs)[0])


def test_validation_sees_the_same_batches(small, decoded, device):
    ours, theirs = (feed.Validation(data.validation, 10) for data in (small, decoded))
    assert len(ours) == len(theirs) == 3
    for number in range(3):
        (images, labels), (expected, numbers) = ours[number], theirs[number]
        np.testing.assert_array_equal(ops.convert_to_numpy(images), expected)
        np.testing.assert_array_equal(labels, numbers)


def test_predictions_are_the_same(small, decoded, device, finished):
    import zoo

    model = zoo.load(finished.model_file)
    for batch_size in (7, 256):
        ours, theirs = (
            predict_probs(model, data.validation.images, batch_size) for data in (small, decoded)
        )
        assert np.array_equal(ours, theirs)
    ours, theirs = (
        views.predict_views(model, data.validation.images, "mirror") for data in (small, decoded)
    )
    assert np.array_equal(ours, theirs)


OPTIONS = {"augment": "C", "share": {"holdout": 0.25}, "test_views": "mirror"}


@pytest.fixture(scope="module")
def on_decoded(decoded, parse, train, tmp_path_factory) -> Run:
    """An unbroken run on the decoded images."""
    return train(parse(**OPTIONS), tmp_path_factory.mktemp("decoded") / "run", decoded)


def test_a_run_that_was_cut_off_ends_like_an_unbroken_one_on_decoded_images(
    small, device, on_decoded, parse, train, assert_same, tmp_path
):
    row = parse(**OPTIONS)
    train(row, tmp_path / "run", small, cut=2)
    run = train(row, tmp_path / "run", small)
    assert_same(run, on_decoded)
    for name in ("wrong_images", "original", "augmented"):
        np.testing.assert_array_equal(run.samples[name], on_decoded.samples[name])
    older = {key: value for key, value in on_decoded.dataset.items() if key != "digest_of"}
    run.check_same(older, "an older version's")


def test_sizes_of_images_end_at_enlarged_ones(small, decoded, parse):
    """Copies of smaller sizes are what they were; the last phase has the images of the data."""
    row = parse(sizes=[[1, 14], [2, 28]], epochs=3)
    stored = [Split(s.images.stored, s.labels) for s in (small.train, small.validation)]
    copy = Dataset("stripes", *stored, small.class_names, small.class_ids)
    found = phases.of(row, small, {14: copy})
    assert [phase.data.image_shape for phase in found] == [(14, 14, 1), (28, 28, 1)]
    assert isinstance(found[-1].data.train.images, Enlarged)


def test_filters_of_recipes_are_known_on_the_device():
    named = typing.get_args(recipes.images.Resample)
    assert set(named) <= set(augment.FILTERS) <= set(datasets.RESAMPLE)


def test_a_filter_that_the_device_has_not_is_left_to_pillow(small, device):
    images = Enlarged(small.train.images.stored, SIZE, "another")
    assert enlarging.apart(images)[0] is images


def test_the_device_is_asked_for(monkeypatch):
    monkeypatch.setattr(enlarging.backend, "device", lambda: "a fast one")
    assert enlarging.on_accelerator()
    monkeypatch.undo()
    assert enlarging.on_accelerator() == (enlarging.backend.device() != "cpu")
