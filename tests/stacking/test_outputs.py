"""Contracts of the members' outputs and of their cache."""

import os

import keras
import numpy as np
import pytest

import stacking
from stacking import _checks, cache


def small_stack(members, **options):
    return stacking.stack(members, **{"head": (16, 8), "seed": 0} | options)


def call(model, images):
    """Run a model without compiling it, which costs more than it saves at this size."""
    return keras.ops.convert_to_numpy(model(np.asarray(images, "float32"), training=False))


def shift(batch, indices, view):
    """Augment as a pure function of image and view."""
    return np.roll(batch, view, axis=1).astype("float32") + (indices % 5)[:, None, None, None]


@pytest.mark.backend
def test_member_outputs_are_what_members_predict(members, images):
    outputs = stacking.member_outputs(members, images, batch_size=32)
    expected = np.stack([call(m, images) for m in members.values()], 1)
    # 1e-6: the same operations in batches of another size
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert outputs.dtype == np.float32


def test_taps_of_several_widths_lie_side_by_side(members, images):
    wide = stacking.member_outputs(members, images, on="pooled")
    assert wide.shape == (len(images), 4 + 5 + 6)
    equal = stacking.member_outputs({"a": members["a"], "b": members["a"]}, images, on="pooled")
    assert equal.shape == (len(images), 2, 4)


class Count:
    """Augmentation that counts the batches it is asked for."""

    def __init__(self):
        self.calls = 0

    def __call__(self, batch, indices, view):
        self.calls += 1
        return shift(batch, indices, view)


def test_the_cache_computes_each_member_once(members, images, tmp_path):
    augment = Count()

    def outputs(chosen, **changes):
        options = {"augment": augment, "augment_key": "shift", "batch_size": 70, "view": 1}
        return stacking.member_outputs(chosen, images, cache_dir=tmp_path, **options | changes)

    two = {key: members[key] for key in "ab"}
    first = outputs(two)
    assert augment.calls == 1 and len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(first, outputs(two))
    assert augment.calls == 1
    three = outputs(members)  # a third member: only its outputs are missing
    assert augment.calls == 2 and len(list(tmp_path.iterdir())) == 3
    np.testing.assert_array_equal(three[:, :2], first)
    np.testing.assert_array_equal(outputs({"x": members["a"]})[:, 0], first[:, 0])
    assert augment.calls == 2  # a name is no content
    outputs(two, view=2)
    outputs(two, augment_key="another")
    assert augment.calls == 4


@pytest.mark.parametrize("change", ["weight", "image", "layer", "tap"])
def test_the_cache_tells_contents_apart(members, images, tmp_path, change):
    model, on = members["a"], "probs"
    before = stacking.member_outputs({"a": model}, images, cache_dir=tmp_path)
    if change == "weight":
        model = keras.models.clone_model(model)
        model.set_weights([w + 0.25 for w in members["a"].get_weights()])
    elif change == "image":
        images = images.copy()
        images[-1] = 255 - images[-1]
    elif change == "layer":
        model = keras.models.clone_model(model)
        model.set_weights(members["a"].get_weights())
        model.get_layer("relu").max_value = 0.01
    else:
        on = "logits"
    after = stacking.member_outputs({"a": model}, images, on=on, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert not np.array_equal(before, after)


def test_a_stack_its_file_and_its_members_share_the_cache(members, images, tmp_path):
    folder = tmp_path / "cache"
    stacking.member_outputs(members, images, cache_dir=folder)
    made = small_stack(members)
    made.save(tmp_path / "stack.keras")
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", images.dtype, images.shape)
    stored[:] = images
    for model in (made, keras.models.load_model(tmp_path / "stack.keras")):
        cache.run_members(stacking.members_of(model), stored, cache.Pass(cache_dir=folder))
    assert len(list(folder.iterdir())) == len(members)


def test_images_are_hashed_whole_in_pieces(members, images, monkeypatch):
    keys = cache.content_keys(members, images)
    monkeypatch.setattr(_checks, "CHUNK", 1000)
    assert cache.content_keys(members, images) == keys


def test_a_pass_that_fails_leaves_nothing(members, images, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "save", full)
    with pytest.raises(OSError, match="No space"):
        stacking.member_outputs(members, images, cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_cache_file_is_named(members, images, tmp_path):
    stacking.member_outputs(members, images, cache_dir=tmp_path)
    path = sorted(tmp_path.iterdir())[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=path.name):
        stacking.member_outputs(members, images, cache_dir=tmp_path)


BAD_PASSES = {
    "key": (dict(augment=shift, cache_dir="never_made"), "augment_key="),
    "option": (dict(bach_size=3), "did you mean 'batch_size'"),
    "size": (dict(batch_size=0), "batch_size=0"),
    "tap": (dict(on="top"), "on='top'"),
    "augment": (dict(augment=lambda b, i, v: b[:1]), "augment returned"),
}


@pytest.mark.parametrize("options, message", BAD_PASSES.values(), ids=BAD_PASSES)
def test_a_pass_that_cannot_work_is_refused(members, images, options, message):
    with pytest.raises(ValueError, match=message):
        stacking.member_outputs(members, images, **options)
    assert not os.path.exists("never_made")


@pytest.mark.parametrize("bad", [np.zeros((0, 8, 8, 3)), np.zeros((2, 9, 8, 3)), [1, 2], None])
def test_images_that_do_not_fit_are_refused(members, bad):
    with pytest.raises(ValueError, match=r"non-empty \(n, 8, 8, 3\)"):
        stacking.member_outputs(members, bad)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_images_that_are_not_finite_are_refused_by_number(members, images, monkeypatch, wrong):
    """A maximum, as in ReLU, makes a finite number of NaN on some backends."""
    monkeypatch.setattr(_checks, "CHUNK", 5000)  # several pieces
    broken = images.astype("float32")
    broken[[41, 60], 0, 0, 0] = wrong
    with pytest.raises(ValueError, match=r"images\[41\] has NaN or infinite values"):
        stacking.member_outputs(members, broken)
    folds = np.array_split(np.arange(70), 2)
    with pytest.raises(ValueError, match=r"images\[41\] has NaN"):
        stacking.out_of_fold([members, members], broken, folds)


def test_images_in_a_file_are_looked_at_too(members, images, tmp_path):
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, images.shape)
    stored[:] = images
    expected = stacking.member_outputs(members, images)
    np.testing.assert_array_equal(stacking.member_outputs(members, stored), expected)
    stored[69, 7, 7, 2] = np.nan
    with pytest.raises(ValueError, match=r"images\[69\]"):
        stacking.member_outputs(members, stored)


def test_progress_is_told_from_nothing_to_all(members, images, tmp_path):
    heard = []
    options = {"batch_size": 32, "cache_dir": tmp_path}
    stacking.member_outputs(members, images, progress=lambda *call: heard.append(call), **options)
    assert heard == [("a, b, c", done, 70) for done in (0, 32, 64, 70)]
    heard.clear()
    stacking.member_outputs(members, images, progress=lambda *call: heard.append(call), **options)
    assert not heard  # read from the cache
    one = [np.arange(40), np.arange(40, 70)]
    run = {"progress": lambda *call: heard.append(call), "augment": shift, "view": 2}
    stacking.out_of_fold([members, members], images, one, **run)
    text = "a, b, c, view 2"
    assert heard == [(text, 0, 40), (text, 40, 40), (text, 0, 30), (text, 30, 30)]


def test_a_plain_bar_is_shown_when_asked_for(members, images, capsys):
    for silent in (None, False):
        stacking.member_outputs(members, images, progress=silent)
        assert capsys.readouterr().out == ""
    stacking.member_outputs(members, images, progress=True)
    shown = capsys.readouterr().out
    assert shown.startswith("a, b, c\n") and "70/70" in shown


def test_what_cannot_be_told_is_refused(members, images):
    with pytest.raises(ValueError, match="progress='yes': give True or a callable"):
        stacking.member_outputs(members, images, progress="yes")
