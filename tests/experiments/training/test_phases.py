"""Images that change their size while a network is trained."""

import dataclasses

import numpy as np
import pytest

import zoo
from experiments import recipes
from experiments.datasets import Dataset, Split
from experiments.place import Place
from experiments.runs import Run
from experiments.training import callbacks, check, phases
from experiments.training.checkpoint import Checkpoint

# It averages its last map; with dropout, which has a state.
AVERAGING = {"name": "resnext_narrow3", "blocks": 1, "flatten": False, "dropout": 0.2}
SIZES = {"sizes": [[2, 32], [1, 40], [2, 28]], "epochs": None, "model": AVERAGING}
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}


@pytest.fixture(scope="session")
def copies(stripes) -> dict[int, Dataset]:
    """The stripes with a dark edge, so that they are larger."""

    def padded(split: Split, side: int) -> Split:
        edge = side - split.images.shape[1]
        images = np.pad(split.images, ((0, 0), (0, edge), (0, edge), (0, 0)))
        return Split(images, split.labels)

    def copy(side: int) -> Dataset:
        parts = {key: padded(getattr(stripes, key), side) for key in ("train", "validation")}
        return dataclasses.replace(stripes, **parts, digest=None)

    return {side: copy(side) for side in (32, 40)}


@pytest.fixture(scope="session")
def grown(parse, train, stripes, copies, tmp_path_factory) -> Run:
    """A finished run at three sizes, not cut."""
    row = parse(**SIZES, augment="C", refresh=3, optimizer=SGD)
    return train(row, tmp_path_factory.mktemp("grown") / "run", stripes, copies=copies)


@pytest.mark.backend
@pytest.mark.parametrize("cuts", [[1, 2], [3, 4], [5]])
def test_a_cut_in_any_phase_changes_nothing(
    cuts, train, assert_same, stripes, copies, grown, tmp_path
):
    """The third epoch is the second phase's first, the fourth the third's."""
    for cut in cuts:
        broken = train(grown.row, tmp_path / "run", stripes, cut=cut, copies=copies)
        assert broken.begun and not broken.finished
    assert_same(train(grown.row, tmp_path / "run", stripes, copies=copies), grown)


def test_the_history_tells_the_size_of_each_epoch(grown):
    assert list(grown.history["size"]) == [32, 32, 40, 28, 28]
    assert list(grown.history["epoch"]) == [1, 2, 3, 4, 5]


def test_the_model_is_the_ordinary_one_of_the_data(grown, stripes, parse):
    model = zoo.load(grown.model_file)
    plain = zoo.build(**AVERAGING, input_shape=stripes.image_shape, classes=4)
    assert model.input_shape == plain.input_shape == (None, 28, 28, 1)
    assert [w.shape for w in model.weights] == [w.shape for w in plain.weights]
    assert (grown.metrics["parameters"], grown.metrics["macs"]) == zoo.profile(plain)
    assert grown.metrics["n"] == 24 and grown.probs.shape == (24, 4)


@pytest.mark.parametrize("values", [[9, 8, 7, 1, 2], [9, 8, 7, 2, 2]])
def test_the_best_epoch_is_one_of_the_last_size(values):
    clock = callbacks.Clock(images=1)
    best = callbacks.Best(clock, 28)
    sizes, seen = [32, 32, 40, 28, 28], []
    for value, size in zip(values, sizes, strict=True):
        clock.history.append({"val_top1": value, "size": size})
        best.on_epoch_end(0)
        seen.append(best.epoch)
    assert seen == [0, 0, 0, 4, 4 + (values[4] > values[3])]


def test_the_best_epoch_of_a_run_is_the_one_that_its_metrics_name(
    parse, train, stripes, copies, tmp_path, monkeypatch
):
    # Accuracy is high as long as images are large.
    restored, end = [], callbacks.Clock.on_epoch_end
    restore = Checkpoint.restore_best

    def told(clock, epoch, logs=None):
        end(clock, epoch, logs)
        clock.line["val_top1"] = {32: 90.0, 40: 80.0, 28: 20.0 - epoch}[clock.line["size"]]

    def kept(checkpoint, model, epoch):
        restored.append(epoch)
        restore(checkpoint, model, epoch)

    monkeypatch.setattr(callbacks.Clock, "on_epoch_end", told)
    monkeypatch.setattr(Checkpoint, "restore_best", kept)
    run = train(parse(**SIZES), tmp_path / "run", stripes, copies=copies)
    assert restored == [4] and run.metrics["best_epoch"] == 4


@pytest.mark.parametrize(
    "name", ["resnet18", "wrn_16_2", "ghostnet_050", "ghostnetv2_100", "densenet121"]
)
def test_a_network_goes_on_at_another_size_with_all_that_it_has(name, tmp_path):
    """Variables have other places in some networks of other sizes; their paths do not change."""
    import keras

    def compiled(size: int) -> keras.Model:
        row = recipes.parse(
            {
                "recipe": "test/x",
                "data": {"name": "x"},
                "model": {"name": name},
                "sizes": [[1, 28], [1, 64]],
            },
            "test",
        )
        options = phases.network(row, (size, size, 3))
        model = zoo.build(**options, classes=3)
        model.compile(keras.optimizers.SGD(momentum=0.9))
        model.optimizer.build(model.trainable_variables)
        return model

    small = compiled(28)
    rng = np.random.default_rng(0)
    slots = small.optimizer.variables[2:]
    for variable in [*small.weights, *slots]:
        variable.assign(rng.random(variable.shape, np.float32))
    Checkpoint(tmp_path).save(small, [], epoch=1, best=0)
    whole = compiled(64)
    Checkpoint(tmp_path).restore(whole, [])
    by_path = {v.path: v.numpy() for v in small.weights}
    assert by_path.keys() == {v.path for v in whole.weights}
    for variable in whole.weights:
        assert np.array_equal(variable.numpy(), by_path[variable.path]), variable.path
    slot_of = {v.path: s for v, s in zip(small.trainable_variables, slots, strict=True)}
    for variable, slot in zip(
        whole.trainable_variables, whole.optimizer.variables[2:], strict=True
    ):
        assert np.array_equal(slot.numpy(), slot_of[variable.path].numpy()), variable.path


# What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": {"name": "alphanet_v4"}}, "alphanet_v4 flattens its last map"),
        ({"model": {"name": "vgg16"}}, "vgg16 flattens its last map"),
        ({"sizes": [[1, 16], [1, 64]]}, r"\(16, 16, 3\) is below 28x28 pixels"),
        (
            {"sizes": [[1, 32], [1, 48]]},
            "end at 48 pixels, but the images of tiny_imagenet have 64",
        ),
    ],
)
def test_a_row_that_cannot_be_trained_is_told_before_any_work(fields, told, tmp_path):
    content = {
        "recipe": "test/x",
        "data": {"name": "tiny_imagenet"},
        "model": {"name": "resnet18"},
        "sizes": [[1, 32], [1, 64]],
    }
    row = recipes.parse(content | fields, "test")
    with pytest.raises(ValueError, match=told):
        check.check(row, {}, Place(runs=tmp_path))


def test_sizes_that_end_elsewhere_are_told_before_copies_are_made(parse, stripes, monkeypatch):
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("a copy was made"))
    row = parse(**SIZES | {"sizes": [[1, 28], [1, 32]]})
    with pytest.raises(ValueError, match="test/tiny: sizes end at 32 pixels, but .* 28x28"):
        phases.load(row, stripes, Place(), None)
    assert phases.load(parse(), stripes, Place(), None) == {}


def test_copies_are_asked_for_once_each(parse, stripes, copies, monkeypatch):
    asked = []

    def dataset(self, images, listener):
        asked.append((images.size, images.resample))
        return copies[images.size]

    monkeypatch.setattr(Place, "dataset", dataset)
    row = parse(**SIZES | {"sizes": [[1, 40], [1, 32], [1, 28], [1, 40], [1, 28]]})
    assert phases.load(row, stripes, Place(), None) == copies
    assert asked == [(32, "lanczos"), (40, "lanczos")]
    found = phases.of(row, stripes, copies)
    assert [(one.size, one.end, one.last) for one in found] == [
        (40, 1, False),
        (32, 2, False),
        (28, 3, False),
        (40, 4, False),
        (28, 5, True),
    ]


def test_a_run_sees_its_share_of_every_copy(parse, stripes, copies):
    row = parse(**SIZES, share={"holdout": 0.25, "folds": 2, "fold": 1})
    parts = [phase.data.train for phase in phases.of(row, stripes, copies)]
    assert {len(part) for part in parts} == {24}
    for part in parts:
        assert np.array_equal(part.batch(range(24))[:, :28, :28], parts[-1].batch(range(24)))


def test_copies_that_are_none_are_refused(parse, stripes, copies):
    row = parse(**SIZES)
    with pytest.raises(ValueError, match="no copy of stripes at 40 pixels"):
        phases.of(row, stripes, {32: copies[32]})
    with pytest.raises(ValueError, match=r"at 40 pixels has images \(32, 32, 1\) and the same"):
        phases.of(row, stripes, {32: copies[32], 40: copies[32]})
    swapped = dataclasses.replace(copies[40], train=copies[40].train.take(slice(None, None, -1)))
    with pytest.raises(ValueError, match="other labels"):
        phases.of(row, stripes, {32: copies[32], 40: swapped})
