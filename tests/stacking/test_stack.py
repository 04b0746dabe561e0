"""Contracts of the stack as a graph and as a file."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import stacking
from stacking.stack import TAPS

CLASSES = 4


def small_stack(members, **options):
    return stacking.stack(members, **{"head": (16, 8), "seed": 0} | options)


def call(model, images):
    """Run a model without compiling it, which costs more than it saves at this size."""
    return keras.ops.convert_to_numpy(model(np.asarray(images, "float32"), training=False))


def weights(model):
    return [w.copy() for w in model.get_weights()]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.backend
@pytest.mark.parametrize("on", TAPS)
def test_a_stack_is_its_head_on_its_members_taps(members, images, on):
    made = small_stack(members, on=on)
    taps = [call(keras.Model(m.input, m.get_layer(on).output), images) for m in members.values()]
    expected = call(stacking.head_of(made), np.concatenate(taps, 1))
    # 1e-5: the same float32 operations, fused and batched otherwise
    np.testing.assert_allclose(call(made, images), expected, atol=1e-5)
    assert list(stacking.members_of(made)) == list(members)
    assert made.output_shape == (None, CLASSES)


def test_counts_are_those_of_the_alphastack(build, reference):
    alphastack = reference["alphastack"]
    made = stacking.stack({key: build(4, classes=200) for key in "abc"})
    trainable = sum(int(np.prod(v.shape)) for v in made.trainable_variables)
    assert trainable == alphastack["params"]["trainable"]
    assert stacking.head_of(made).count_params() == trainable
    frozen = alphastack["members"]["count"] * alphastack["members"]["total_each"]
    assert trainable + frozen == alphastack["params"]["total"]


def test_the_head_is_the_papers(build):
    head = stacking.head_of(stacking.stack({"a": build(4)}))
    hidden = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in hidden] == [512, 512, 512, CLASSES]
    assert all("GlorotNormal" in str(layer.kernel_initializer) for layer in hidden[:-1])
    slopes = [x.negative_slope for x in head.layers if isinstance(x, keras.layers.LeakyReLU)]
    assert slopes == pytest.approx([0.1] * 3)


def test_logits_and_probs_stay_float32_under_mixed_precision(members, images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        head = stacking.head_of(small_stack(members))
    finally:
        keras.config.set_dtype_policy("float32")
    assert head.get_layer("hidden_1").compute_dtype == "bfloat16"
    assert head.get_layer("logits").compute_dtype == head.get_layer("probs").dtype == "float32"


def test_a_seed_fixes_the_head(members):
    first, again, other = (stacking.head_of(small_stack(members, seed=s)) for s in (1, 1, 2))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_members_are_copied_not_changed(build, images):
    model = build()
    before = weights(model)
    made = small_stack({"one": model, "two": model})
    assert model.name == "net" and model.trainable and model.get_layer("bn").trainable
    made.get_layer("one").set_weights([w + 1 for w in before])
    assert same(before, weights(model))
    assert same(before, weights(made.get_layer("two")))


def test_members_come_from_files_that_share_names(build, tmp_path, images):
    paths = [tmp_path / f"{i}.keras" for i in range(2)]
    for i, path in enumerate(paths):
        build(4, seed=i).save(path)
    loaded = {f"net{i}": keras.models.load_model(path) for i, path in enumerate(paths)}
    made = small_stack(loaded)
    for key, model in loaded.items():
        np.testing.assert_array_equal(call(made.get_layer(key), images), call(model, images))


@pytest.mark.backend
@pytest.mark.parametrize("on", TAPS)
def test_a_stack_can_be_a_member(members, images, on):
    inner = small_stack(members)
    outer = small_stack({"inner": inner, "a": members["a"]}, on=on, head=())
    tap = call(stacking.members_of(outer)["inner"], images)
    if on == "probs":  # the same graph inside another; tolerance as above
        np.testing.assert_allclose(tap, call(inner, images), atol=1e-5)
    assert tap.shape[1] == (8 if on == "pooled" else CLASSES)
    assert call(outer, images).shape == (len(images), CLASSES)


@pytest.mark.backend
def test_a_frozen_member_is_one_function_in_every_mode(members, images):
    """Keras passes training=True down into frozen models; dropout there must not act on it."""
    made = small_stack(members)
    features = keras.Model(made.input, made.get_layer("features").output)
    outputs = [
        keras.ops.convert_to_numpy(features(images.astype("float32"), training=mode))
        for mode in (True, False)
    ]
    np.testing.assert_array_equal(*outputs)


def test_an_adapted_normalization_is_copied_whole(images):
    normalize = keras.layers.Normalization()
    normalize.adapt(images.astype("float32"))
    inputs = keras.Input(images.shape[1:])
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(normalize(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="probs")(x))
    copy = small_stack({"a": model}).get_layer("a")
    np.testing.assert_array_equal(call(copy, images), call(model, images))


BAD_STACKS = {
    "no dict": (lambda m, build: dict(members=list(m.values())), "non-empty dict"),
    "none": (lambda m, build: dict(members={}), "non-empty dict"),
    "slash": (lambda m, build: dict(members={"a/b": m["a"]}), "'a/b'"),
    "reserved": (lambda m, build: dict(members={"head": m["a"]}), "'head'"),
    "number": (lambda m, build: dict(members={1: m["a"]}), "member name 1"),
    "no model": (lambda m, build: dict(members={"a": "net.keras"}), "member 'a'"),
    "classes": (lambda m, build: dict(members=m | {"d": build(classes=5)}), "d 5"),
    "given classes": (lambda m, build: dict(members=m, classes=7), "classes= 7"),
    "one class": (lambda m, build: dict(members=m, on="pooled", classes=1), "classes=1"),
    "shapes": (lambda m, build: dict(members=m | {"d": build(side=9)}), r"d \(9, 9, 3\)"),
    "tap": (lambda m, build: dict(members={"d": build(pooled=False)}, on="pooled"), "'pooled'"),
    "on": (lambda m, build: dict(members=m, on="softmax"), "on='softmax'"),
    "head": (lambda m, build: dict(members=m, head=(512, 0)), r"head=\(512, 0\)"),
    "no list": (lambda m, build: dict(members=m, head=512), "head=512"),
}


@pytest.mark.parametrize("make, message", BAD_STACKS.values(), ids=BAD_STACKS)
def test_what_cannot_be_stacked_is_refused_by_name(members, build, make, message):
    with pytest.raises(ValueError, match=message):
        stacking.stack(**make(members, build))


def test_features_alone_need_the_number_of_classes(build, images):
    model = build()
    bare = keras.Model(model.input, model.get_layer("pooled").output)
    with pytest.raises(ValueError, match="give classes="):
        stacking.stack({"a": bare}, on="pooled")
    assert stacking.stack({"a": bare}, on="pooled", classes=9).output_shape == (None, 9)


def test_only_a_stack_has_a_head(members):
    for ask in (stacking.head_of, stacking.members_of):
        with pytest.raises(ValueError, match="no stack"):
            ask(members["a"])


LOAD = """
import sys, keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert [v.path for v in model.trainable_variables] and not any(
    member.trainable for member in model.layers if member.name in {"a", "b", "c"})
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""
BACKENDS = [b for b in ("tensorflow", "jax", "torch") if importlib.util.find_spec(b)]


@pytest.mark.backend
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fresh_process_loads_the_file_and_predicts_the_same(members, images, backend, tmp_path):
    """The file alone, without this package: no custom objects."""
    made = small_stack(members)
    model, inputs, outputs = (str(tmp_path / name) for name in ("s.keras", "x.npy", "y.npy"))
    made.save(model)
    np.save(inputs, images)
    subprocess.run(
        [sys.executable, "-c", LOAD, model, inputs, outputs],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    # 1e-5: float32 convolutions of another library
    np.testing.assert_allclose(np.load(outputs), call(made, images), atol=1e-5)
