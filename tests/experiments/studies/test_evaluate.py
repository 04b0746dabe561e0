"""A finished run, evaluated again."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from experiments.datasets import Split
from experiments.place import Place
from experiments.runs import Run, names
from experiments.runs.scores import accuracy
from experiments.studies.evaluate import evaluate, of_run
from experiments.training.predict import predict_probs


@pytest.mark.backend
def test_a_run_evaluates_again_to_the_same_scores(run, network, noise):
    found = evaluate(run, noise, batch_size=16)
    images, labels = noise.validation.images, noise.validation.labels
    probs = predict_probs(network(), images)
    assert found.scores == pytest.approx(accuracy(probs, labels), rel=1e-4)
    right = probs.argmax(axis=1) == labels
    for label, name in enumerate(noise.class_names):
        assert found.by_class[name] == pytest.approx(100 * right[labels == label].mean())
    assert (found.run, found.data, found.n) == (str(run), "noise", 37)
    assert not found.other_images


def test_the_run_s_own_data_is_loaded_where_the_place_has_it(clean):
    found = of_run(clean, Place())
    assert found.scores["top1"] == pytest.approx(clean.metrics["top1"], abs=0.5)
    assert not found.other_images


def test_a_class_without_images_has_no_accuracy(run, noise):
    some = noise.validation.take(np.flatnonzero(noise.validation.labels != 1))
    found = evaluate(run, dataclasses.replace(noise, validation=some, digest=None))
    assert found.by_class.keys() == {name for name in noise.class_names if name != "monarch"}


def old(run: Run, folder) -> Run:
    """Copy a run as an earlier version left it: without the digest of its data."""
    shutil.copytree(run.path, folder)
    path = folder / names.DATASET
    path.write_text(json.dumps({k: v for k, v in run.dataset.items() if k != "digest"}))
    return Run(folder)


def test_other_images_of_the_same_classes_are_evaluated_and_told(run, noise, tmp_path):
    darker = Split(noise.validation.images // 2, noise.validation.labels)
    other = dataclasses.replace(noise, name="darker", validation=darker, digest=None)
    assert evaluate(run, other).other_images
    # The same images from elsewhere, or with other training images, are the same.
    again = dataclasses.replace(noise, name="copy", train=darker, digest=None)
    assert not evaluate(run, again).other_images
    before = old(run, tmp_path / "old")
    assert evaluate(before, other).other_images and not evaluate(before, noise).other_images


def test_other_classes_are_refused(run, noise):
    names_ = noise.class_names
    for changed, told in (
        (names_[:3], "4 and 3 of them"),
        ((*names_[:3], "lime"), "class 3 is 'lemon' and 'lime'"),
        ((*names_[1:], names_[0]), "class 0 is 'goldfish, Carassius auratus' and 'monarch'"),
    ):
        with pytest.raises(ValueError, match=told):
            evaluate(run, dataclasses.replace(noise, class_names=changed))


def test_what_is_no_finished_run_is_refused_by_name(run, noise, tmp_path):
    with pytest.raises(ValueError, match=r"dataset\.json is missing"):
        evaluate(Run(tmp_path), noise)
    with pytest.raises(ValueError, match=r"model\.keras does not exist"):
        of_run(Run(tmp_path), Place())
    cut = Run(shutil.copytree(run.path, tmp_path / "cut"))
    os.truncate(cut.model_file, cut.model_file.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"cut/model\.keras"):
        evaluate(cut, noise)
