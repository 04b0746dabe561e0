"""Adversarial images of a run: which are chosen, how they are made, where they are kept."""

import dataclasses
import pathlib

import numpy as np
import pytest
import yaml

from experiments.place import Place
from experiments.recipes import Attack
from experiments.runs import Run
from experiments.training import adversarial, attack, part
from experiments.training.predict import predict_probs


@pytest.fixture(scope="module")
def attacked(clean, digits):
    """The folder of adversarial training images, and what is known of it."""
    folder = clean.path / "attack"
    return folder, attack.make(clean, folder, Attack(images=60, epsilon=24), digits)


# Choice of images --------------------------------------------------------------------------------


def _choose(labels, **options):
    return attack.choose(labels, Attack(**options), [str(x) for x in range(10)])


def test_images_are_balanced_and_aim_at_all_other_classes_alike():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 50))
    indices, targets = _choose(labels, images=270, seed=3)
    assert len(set(indices)) == 270
    assert np.array_equal(np.bincount(labels[indices]), np.full(10, 27))
    pairs = np.zeros((10, 10), int)
    np.add.at(pairs, (labels[indices], targets), 1)
    # 27 images of a class, 9 other classes: 3 each, and none its own.
    assert np.array_equal(pairs, 3 - 3 * np.eye(10))


def test_the_choice_is_seeded_and_a_smaller_one_lies_within_it():
    labels = np.repeat(np.arange(10), 50)
    indices, targets = _choose(labels, images=270, seed=3)
    again = _choose(labels, images=270, seed=3)
    assert np.array_equal(again, (indices, targets))
    assert not np.array_equal(_choose(labels, images=270, seed=4)[0], indices)
    aims = dict(zip(indices, targets, strict=True))
    fewer = dict(zip(*_choose(labels, images=43, seed=3), strict=True))
    assert len(fewer) == 43 and fewer.items() <= aims.items()


def test_more_images_than_a_class_has_are_refused():
    labels = np.repeat(np.arange(10), [50] * 9 + [8])
    with pytest.raises(ValueError, match="'9' has 8 train images; give images=80 or less"):
        _choose(labels, images=100)


# The folder --------------------------------------------------------------------------------------


def test_a_set_holds_what_it_says(attacked, clean, digits):
    import zoo

    folder, content = attacked
    seen = part.seen(digits, clean.row.share).train
    split = adversarial.read(folder, digits)
    rows = np.load(folder / adversarial.ROWS)
    assert np.array_equal(split.labels, rows["labels"])
    assert np.array_equal(split.labels, seen.labels[rows["indices"]])
    change = split.images.astype(int) - seen.batch(rows["indices"])
    assert np.abs(change).max() == 24
    assert split.images.dtype == np.uint8
    said = predict_probs(zoo.load(clean.model_file), split.images).argmax(axis=1)
    assert content["accuracy_after"] == 100 * np.mean(said == split.labels)
    assert content["reached_target"] == 100 * np.mean(said == rows["targets"])
    # 95 % and 33 % were seen; backends differ by an image or two of the 60.
    assert content["accuracy_after"] < content["accuracy_before"] - 10
    assert yaml.safe_load((folder / adversarial.SETTINGS).read_text()) == content
    assert (folder / adversarial.SHEET).stat().st_size > 10_000


def perturbed(model, data, rows, **options):
    """Attack validation images, each aimed at the class after its own."""
    rows, spec = np.asarray(rows), Attack(**options)
    images, labels = data.validation.batch(rows), data.validation.labels[rows]
    targets = (labels + 1) % len(data.class_names) if spec.targeted else None
    return attack.perturb(model, images, labels, spec, targets=targets, indices=rows)


@pytest.mark.parametrize(
    "options",
    [
        {"epsilon": 2.5},
        {"method": "pgd", "epsilon": 3.7, "steps": 2},
        {"method": "pgd", "epsilon": 6, "targeted": False},
    ],
)
def test_no_pixel_goes_further_than_epsilon(options, clean, digits):
    import zoo

    found = perturbed(zoo.load(clean.model_file), digits, range(8), **options)
    furthest = np.abs(found.astype(int) - digits.validation.batch(range(8))).max()
    assert furthest == int(options["epsilon"])


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_neither_chunks_nor_other_images_change_an_image(method, run, noise, monkeypatch):
    """Random starts included: they are drawn by the image's row."""
    import zoo

    model = zoo.load(run.model_file)
    whole = perturbed(model, noise, range(12), method=method)
    monkeypatch.setattr(attack, "CHUNK", 5)
    assert np.array_equal(perturbed(model, noise, range(12), method=method), whole)
    assert np.array_equal(perturbed(model, noise, range(4, 9), method=method), whole[4:9])


def test_a_set_is_made_once_and_no_other_takes_its_folder(attacked, clean, digits):
    folder, content = attacked
    before = (folder / adversarial.IMAGES).stat().st_mtime_ns
    spec = Attack(**content["attack"])
    assert attack.make(clean, folder, spec, digits) == content
    assert (folder / adversarial.IMAGES).stat().st_mtime_ns == before
    other = spec.model_copy(update={"seed": 1})
    with pytest.raises(ValueError, match=r"another attack or run \(in attack\)"):
        attack.make(clean, folder, other, digits)


def test_the_study_loads_the_run_s_data_and_tells_of_its_work(attacked, clean, tmp_path):
    from experiments.listener import Listener
    from experiments.studies.attack import attack as study

    class Heard(Listener):
        steps = []

        def progress(self, what, done, total):
            self.steps.append((what, done, total))

    found = study(clean, tmp_path / "set", Attack(images=60, epsilon=24), Place(), Heard())
    images = (np.load(x / adversarial.IMAGES) for x in (attacked[0], found.folder))
    assert np.array_equal(*images)
    assert found.content["accuracy_after"] == attacked[1]["accuracy_after"]
    assert ("perturbing", 60, 60) in Heard.steps


# Refusals ----------------------------------------------------------------------------------------


def test_classes_in_another_order_are_refused(clean, digits, tmp_path):
    turned = digits.class_names[5:] + digits.class_names[:5]
    other = dataclasses.replace(digits, class_names=turned, class_ids=turned)
    with pytest.raises(ValueError, match="class 0 is '0' and '5'.*--data-dir"):
        attack.make(clean, tmp_path / "set", Attack(images=20), other)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_is_not_finite_is_refused(value, network, noise, finish, tmp_path):
    model = network()
    model.layers[2].set_weights([np.full_like(w, value) for w in model.layers[2].get_weights()])
    good = finish(tmp_path / "run", network(), noise, share={})
    good.write_model(model)
    with pytest.raises(ValueError, match=r"model\.keras has weights that are not finite"):
        attack.make(good, tmp_path / "set", Attack(images=4), noise)
    assert not (tmp_path / "set").exists()


def test_images_that_are_not_finite_are_refused(run, noise):
    import zoo

    model, images = zoo.load(run.model_file), noise.validation.images[:2].astype("float32")
    images[1, 0, 0] = np.nan
    given = {"targets": None, "indices": np.arange(2)}
    with pytest.raises(ValueError, match="finite|NaN|nan"):
        attack.perturb(model, images, noise.validation.labels[:2], Attack(), **given)


def test_folders_that_cannot_hold_a_set_are_refused_before_any_work(run, tmp_path, monkeypatch):
    from experiments.studies.attack import attack as study

    monkeypatch.setattr(Place, "check", lambda *_: None)
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    for out, told in (
        ("file", "file is a file: a set of images is a folder"),
        ("file/set", r"cannot write to .*file/set .*a file stands where a folder is needed"),
        ("other", "other holds no adversarial images"),
    ):
        with pytest.raises(ValueError, match=told):
            study(run, tmp_path / out, Attack(), Place())
    with pytest.raises(ValueError, match=r"model\.keras does not exist"):
        study(Run(tmp_path / "other"), pathlib.Path(tmp_path / "set"), Attack(), Place())
