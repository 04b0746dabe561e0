"""Names, arguments and facts: what is wrong is said before anything is decoded."""

import os
import re
import sys

import pytest

from experiments import datasets

BUILT_IN = [name for name in datasets.names() if getattr(datasets.facts(name), "built_in", False)]


@pytest.fixture(params=["check", "load"])
def ask(request, monkeypatch, load):
    """Both say the same of wrong arguments, and neither has Keras then."""
    monkeypatch.setitem(sys.modules, "keras", None)
    if request.param == "load":
        return load
    return lambda name, data_dir=None, **options: datasets.check(name, data_dir=data_dir, **options)


def test_unknown_name_gets_close_matches(ask):
    with pytest.raises(ValueError, match="no data set 'tinyimagenet'; did you mean tiny_imagenet"):
        ask("tinyimagenet")


@pytest.mark.parametrize("size", [0, -3, 32.0, True, "64", 1025, 100_000])
def test_wrong_size(size, ask):
    with pytest.raises(ValueError, match=rf"size \(--size\) {size!r}: .* from 1 to 1024"):
        ask("digits", size=size)


@pytest.mark.parametrize("resample", ["cubic", None, []])
def test_wrong_filter(resample, ask):
    with pytest.raises(ValueError, match="resample .*: choose of nearest, box, bilinear"):
        ask("digits", resample=resample)


CHOICES = {
    "channels": ([0, 2, 4, True, "3"], "choose of 1, 3"),
    "crop": (["box", True, []], "choose of boxes, train_boxes"),
    "background": (["black", 255], "choose of white"),
    "validation_share": ([0, 1, 1.0, -0.5, "0.2"], "between 0 and 1"),
    "validation_seed": ([-1, 0.5, True, 2**32], "a whole number from 0"),
}


@pytest.mark.parametrize("option", CHOICES)
def test_wrong_options(option, ask):
    values, message = CHOICES[option]
    for value in values:
        place = rf"{option} \(--{option.replace('_', '-')}\) {re.escape(repr(value))}: .*{message}"
        with pytest.raises(ValueError, match=place):
            ask("digits", **{option: value})


def test_unknown_option(ask):
    with pytest.raises(TypeError, match="colour: no option of a data set; there are crop, chan"):
        ask("digits", colour=3)


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10"])
@pytest.mark.parametrize("crop", ["boxes", "train_boxes"])
def test_a_data_set_without_boxes_is_not_cropped(name, crop, ask):
    with pytest.raises(ValueError, match=rf"crop \(--crop\) '{crop}': {name} has no boxes"):
        ask(name, crop=crop)


@pytest.mark.parametrize("option", [{"validation_share": 0.5}, {"validation_seed": 1}])
def test_a_split_of_its_own_is_not_chosen(option, ask):
    with pytest.raises(ValueError, match="digits says itself which images .* leave out valid"):
        ask("digits", **option)


@pytest.mark.parametrize("name", ["tiny_imagenet", "folder", "csv", "stanford_cars"])
def test_data_dir_is_asked_for(name, ask):
    with pytest.raises(ValueError, match=rf"{name} needs data_dir \(--data-dir\)"):
        ask(name)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("tiny_imagenet", "wnids.txt.*CS231n's tiny-imagenet-200.zip"),
        ("cifar10", "cifar-10-binary.tar.gz.*pickles"),
        ("cifar100", "cifar-100-binary.tar.gz.*pickles"),
        ("mnist", "mnist.npz.*keras.datasets"),
        ("folder", "one folder of images per class"),
        ("csv", "columns path and label"),
        ("stanford_cars", "car_ims/ with cars_annos.mat, or cars_train/"),
    ],
)
def test_nothing_there_says_what_was_wanted(name, hint, tmp_path, ask, write):
    given = r"data_dir \(--data-dir\) .*"
    with pytest.raises(ValueError, match=rf"{given}none does not exist\. {name} is .*{hint}"):
        ask(name, tmp_path / "none")
    with pytest.raises(ValueError, match=rf"{given}holds no {name}\. .*{hint}"):
        ask(name, tmp_path)
    write(tmp_path / "notes.doc", "")
    os.mkfifo(tmp_path / "pipe.zip")
    for file in ("notes.doc", "pipe.zip"):
        with pytest.raises(
            ValueError, match=rf"{file} is neither a folder nor an archive\. .*{hint}"
        ):
            ask(name, tmp_path / file)


@pytest.mark.parametrize("name", ["tiny_imagenet", "folder"])
def test_folders_and_pipes_are_not_taken_for_archives(name, tmp_path, ask):
    os.mkfifo(tmp_path / "tiny-imagenet-10.zip")
    (tmp_path / "tiny-imagenet-20.zip").mkdir()
    with pytest.raises(ValueError, match=f"holds no {name}"):
        ask(name, tmp_path)


def test_links_without_end(tmp_path, ask):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match="data_dir .*loop does not exist"):
        ask("folder", tmp_path / "loop")


def test_data_dir_that_cannot_be_listed(tmp_path, ask, monkeypatch):
    """Rights do not bind root: the system's refusal is played."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(ValueError, match=rf"data_dir .* cannot be read .*denied: {tmp_path}"):
        ask("folder", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "digits"])
def test_check_asks_no_network(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    datasets.check(name, size=32)


def test_facts():
    assert datasets.facts("tiny_imagenet") == (200, 100_000, 10_000, (64, 64, 3), False)
    assert datasets.facts("stanford_cars") == (196, 8_144, 8_041, None, False)
    for name in ("folder", "csv", "my own"):
        assert datasets.facts(name) is None


@pytest.mark.parametrize("name", BUILT_IN)
def test_facts_of_what_is_built_in_are_those_of_load(load, name):
    dataset, known = load(name), datasets.facts(name)
    found = len(dataset.class_names), len(dataset.train), len(dataset.validation)
    assert known == (*found, dataset.image_shape, True)


def test_every_name_has_a_loader_that_answers(tmp_path):
    for name in datasets.names():
        with pytest.raises(ValueError, match="data_dir"):
            datasets.check(name, data_dir=tmp_path)


def test_progress_is_told(tiny, pack, load):
    """Each step ends with as many done as there are; the cache has nothing to tell."""
    told = []
    place = pack(tiny, "zip")
    load("tiny_imagenet", place, progress=lambda *step: told.append(step))
    last = {what: (done, total) for what, done, total in told}
    size = (place / "tiny-imagenet-200.zip").stat().st_size
    assert last == {
        "tiny_imagenet: reading": (size, size),
        "tiny_imagenet: decoding train": (12, 12),
        "tiny_imagenet: decoding validation": (6, 6),
    }
    for what in last:
        done = [step[1] for step in told if step[0] == what]
        assert done == sorted(done)
    told.clear()
    load("tiny_imagenet", place, progress=lambda *step: told.append(step))
    assert told == []


def test_import_is_light(run, tree, tmp_path):
    """Backends, scikit-learn and matplotlib take seconds to import: only where they are used."""
    code = (
        "import sys, experiments.datasets as d; d.names();"
        "d.check('folder', data_dir=sys.argv[1]); d.check('cifar10'); d.facts('mnist');"
        "heavy = 'keras', 'tensorflow', 'scipy', 'sklearn', 'matplotlib', 'joblib', 'rich';"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert run(code, str(tree(tmp_path / "pets"))).stdout.strip() == "[]"
