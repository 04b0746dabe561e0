"""Contracts of `stacking`, on members of a few hundred weights built here."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import stacking
from stacking import _epochs, cache
from stacking.stack import TAPS

CLASSES = 4
SIDE = 8


def build(width=5, *, classes=CLASSES, side=SIDE, name="net", seed=0, pooled=True):
    """Make a small network with BN statistics of its own, dropout and the three taps."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Conv2D(width, 3)(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Dropout(0.5)(layers.ReLU(name="relu")(x))
    x = layers.GlobalAveragePooling2D(name="pooled" if pooled else "features_of_net")(x)
    x = layers.Dense(classes, name="logits", kernel_initializer="he_normal")(x)
    model = keras.Model(images, layers.Activation("softmax", name="probs")(x), name=name)
    rng = np.random.default_rng(seed)
    bn = model.get_layer("bn")
    bn.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in bn.get_weights()])
    return model


def small_stack(members, **options):
    return stacking.stack(members, **{"head": (16, 8), "seed": 0} | options)


def call(model, images):
    """Run a model without compiling it, which costs more than it saves at this size."""
    return keras.ops.convert_to_numpy(model(np.asarray(images, "float32"), training=False))


def weights(model):
    return [w.copy() for w in model.get_weights()]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def shift(batch, indices, view):
    """Augment as a pure function of image and view."""
    return np.roll(batch, view, axis=1).astype("float32") + (indices % 5)[:, None, None, None]


@pytest.fixture(scope="module")
def members():
    return {key: build(4 + i, seed=i) for i, key in enumerate("abc")}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels(members, images):
    """Labels that the members' outputs say something about."""
    probs = sum(call(m, images) for m in members.values())
    return np.argmax(probs - probs.mean(0), axis=1)


# --- the graph ---------------------------------------------------------------------------------


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


def test_counts_are_those_of_the_alphastack(reference):
    alphastack = reference["alphastack"]
    made = stacking.stack({key: build(4, classes=200) for key in "abc"})
    trainable = sum(int(np.prod(v.shape)) for v in made.trainable_variables)
    assert trainable == alphastack["params"]["trainable"]
    assert stacking.head_of(made).count_params() == trainable
    frozen = alphastack["members"]["count"] * alphastack["members"]["total_each"]
    assert trainable + frozen == alphastack["params"]["total"]


def test_the_head_is_the_papers():
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


def test_members_are_copied_not_changed(images):
    model = build()
    before = weights(model)
    made = small_stack({"one": model, "two": model})
    assert model.name == "net" and model.trainable and model.get_layer("bn").trainable
    made.get_layer("one").set_weights([w + 1 for w in before])
    assert same(before, weights(model))
    assert same(before, weights(made.get_layer("two")))


def test_members_come_from_files_that_share_names(tmp_path, images):
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
    "no dict": (lambda m: dict(members=list(m.values())), "non-empty dict"),
    "none": (lambda m: dict(members={}), "non-empty dict"),
    "slash": (lambda m: dict(members={"a/b": m["a"]}), "'a/b'"),
    "reserved": (lambda m: dict(members={"head": m["a"]}), "'head'"),
    "number": (lambda m: dict(members={1: m["a"]}), "member name 1"),
    "no model": (lambda m: dict(members={"a": "net.keras"}), "member 'a'"),
    "classes": (lambda m: dict(members=m | {"d": build(classes=5)}), "d 5"),
    "given classes": (lambda m: dict(members=m, classes=7), "classes= 7"),
    "one class": (lambda m: dict(members=m, on="pooled", classes=1), "classes=1"),
    "shapes": (lambda m: dict(members=m | {"d": build(side=9)}), r"d \(9, 9, 3\)"),
    "tap": (lambda m: dict(members={"d": build(pooled=False)}, on="pooled"), "'pooled'"),
    "on": (lambda m: dict(members=m, on="softmax"), "on='softmax'"),
    "head": (lambda m: dict(members=m, head=(512, 0)), r"head=\(512, 0\)"),
    "no list": (lambda m: dict(members=m, head=512), "head=512"),
}


@pytest.mark.parametrize("make, message", BAD_STACKS.values(), ids=BAD_STACKS)
def test_what_cannot_be_stacked_is_refused_by_name(members, make, message):
    with pytest.raises(ValueError, match=message):
        stacking.stack(**make(members))


def test_features_alone_need_the_number_of_classes(images):
    model = build()
    bare = keras.Model(model.input, model.get_layer("pooled").output)
    with pytest.raises(ValueError, match="give classes="):
        stacking.stack({"a": bare}, on="pooled")
    assert stacking.stack({"a": bare}, on="pooled", classes=9).output_shape == (None, 9)


def test_only_a_stack_has_a_head(members):
    for ask in (stacking.head_of, stacking.members_of):
        with pytest.raises(ValueError, match="no stack"):
            ask(members["a"])


# --- outputs of members ------------------------------------------------------------------------


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
    monkeypatch.setattr(cache, "CHUNK", 1000)
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


# --- training of the head ----------------------------------------------------------------------


def fit(made, images, labels, **settings):
    """Fit with what the tests share; 70 images in batches of 32 leave a partial batch."""
    defaults = {"epochs": 4, "views": 3, "augment": shift, "batch_size": 32}
    return stacking.fit_head(made, images, labels, **defaults | settings)


@pytest.mark.backend
def test_training_changes_the_head_alone(members, images, labels):
    made = small_stack(members)
    frozen = [weights(m) for m in stacking.members_of(made).values()]
    head = weights(stacking.head_of(made))
    history = fit(made, images, labels, validation=(images, labels), epochs=30, keep="last")
    after = [weights(m) for m in stacking.members_of(made).values()]
    assert all(same(a, b) for a, b in zip(frozen, after, strict=True))
    assert all(same(weights(m), f) for m, f in zip(members.values(), frozen, strict=True))
    assert not same(head, weights(stacking.head_of(made)))
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["val_top1"] > 30


@pytest.mark.backend
def test_cached_training_equals_running_the_members_each_time(members, images, labels):
    results = []
    for cached in (True, False):
        made = small_stack(members)
        history = fit(made, images, labels, validation=(images, labels), cached=cached, keep="last")
        results.append((weights(stacking.head_of(made)), history))
    (first, told), (second, told_again) = results
    for a, b in zip(first, second, strict=True):
        # the members' outputs differ by rounding (1e-7); 12 steps of Adam at 0.001 multiply that
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(told, told_again, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)


def test_a_stack_that_keras_fits_keeps_its_members(members, images, labels):
    made = small_stack(members)
    before = [weights(m) for m in stacking.members_of(made).values()]
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(images, labels, epochs=1, batch_size=35, verbose=0)
    after = [weights(m) for m in stacking.members_of(made).values()]
    assert all(same(a, b) for a, b in zip(before, after, strict=True))


def test_the_history_is_complete_and_in_percent(members, images, labels):
    history = fit(small_stack(members), images, labels, validation=(images[:40], labels[:40]))
    scores = ["loss", "top1", "top3", "top5"]
    assert list(history[0]) == [
        "epoch",
        *scores,
        *(f"val_{s}" for s in scores),
        "lr",
        "seconds",
        "images_per_second",
        "members_seconds",
    ]
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    assert all(line["top5"] == line["val_top5"] == 100 for line in history)  # 4 classes: k is 4
    assert all(line["lr"] == pytest.approx(0.001) for line in history)
    counted = [line["val_top1"] * 40 / 100 for line in history]
    np.testing.assert_allclose(counted, np.round(counted), atol=1e-4)  # float32 shares
    # three views: the fourth epoch needs no pass of the members
    assert [line["members_seconds"] > 0 for line in history] == [True, True, True, False]


def test_each_epoch_has_its_own_order_and_holds_every_image_once():
    seen = []
    feed = _epochs.Feed(lambda rows, epoch: seen.append((epoch, rows)), np.arange(10), 4, seed=3)
    for index in range(2 * feed.steps):
        feed[index]
    epochs = [np.concatenate([rows for e, rows in seen if e == epoch]) for epoch in (0, 1)]
    assert all(sorted(rows) == list(range(10)) for rows in epochs)
    assert not np.array_equal(*epochs)
    assert np.array_equal(epochs[1], _epochs.order(10, 3, 1))
    assert not np.array_equal(epochs[1], _epochs.order(10, 4, 1))


def test_epochs_take_the_views_in_turn(members, images, labels):
    asked = []

    def augment(batch, indices, view):
        asked.append((view, len(indices)))
        return shift(batch, indices, view)

    fit(small_stack(members), images, labels, augment=augment, epochs=2, member_batch_size=70)
    assert asked == [(0, 70), (1, 70)]  # a third view no epoch would read
    made = [small_stack(members) for _ in range(2)]
    for model, views in zip(made, (1, 2), strict=True):
        fit(model, images, labels, views=views, epochs=2)
    assert not same(*(weights(stacking.head_of(m)) for m in made))


@pytest.mark.backend
def test_a_seed_fixes_the_training(members, images, labels, tmp_path):
    options = [{}, {"cache_dir": tmp_path, "augment_key": "shift"}, {"seed": 1}]
    made = [small_stack(members) for _ in options]
    for model, option in zip(made, options, strict=True):
        fit(model, images, labels, **option)
    first, again, other = (weights(stacking.head_of(m)) for m in made)
    assert same(first, again)
    assert not same(first, other)


def test_the_best_head_is_kept_or_the_last(members, images, labels):
    def train(keep):
        made = small_stack(members)
        head = stacking.head_of(made)

        def spoil(epoch, logs):
            """Let the last epoch begin with a head that always answers the rarest class."""
            if epoch == 4:
                bias = 100.0 * (np.arange(CLASSES) == np.bincount(labels).argmin())
                head.set_weights([0 * w for w in weights(head)[:-1]] + [bias])

        history = fit(
            made,
            images,
            labels,
            validation=(images, labels),
            epochs=5,
            keep=keep,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=spoil)],
        )
        share = np.mean(call(made, images).argmax(1) == labels)
        return [line["val_top1"] for line in history], 100 * share

    scores, reached = train("best")
    assert reached == pytest.approx(max(scores), abs=1e-3) and max(scores) > scores[-1]
    scores, reached = train("last")
    assert reached == pytest.approx(scores[-1], abs=1e-3)


def test_callbacks_and_the_callers_optimizer_are_taken(members, images, labels):
    optimizer = keras.optimizers.SGD(0.5)
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("val_top1", 0.1, patience=1, min_delta=200, mode="max"),
        keras.callbacks.EarlyStopping("val_top1", patience=2, min_delta=200, mode="max"),
    ]
    for _ in range(2):  # the optimizer is copied, so it can be given again
        history = fit(
            small_stack(members),
            images,
            labels,
            validation=(images, labels),
            epochs=9,
            optimizer=optimizer,
            callbacks=callbacks,
        )
    assert [line["lr"] for line in history] == pytest.approx([0.5, 0.5, 0.05])
    assert int(optimizer.iterations) == 0


def test_fitting_on_the_members_own_images_warns(members, images, labels):
    with pytest.warns(UserWarning, match="hold images out"):
        fit(small_stack(members), images, labels, fit_on="train", epochs=1)


def test_progress_is_shown_when_asked_for(members, images, labels, capsys):
    fit(small_stack(members), images, labels, epochs=1)
    assert capsys.readouterr().out == ""
    fit(small_stack(members), images, labels, epochs=1, progress=True)
    shown = capsys.readouterr().out
    assert "a, b, c, view 0" in shown and "epoch 1: loss" in shown


BAD_FITS = {
    "length": (lambda x, y: dict(labels=y[:-1]), "70 images"),
    "floats": (lambda x, y: dict(labels=y.astype(float)), "float64"),
    "range": (lambda x, y: dict(labels=y + 1), "0 to 3"),
    "images": (lambda x, y: dict(images=x[:, :4]), r"\(n, 8, 8, 3\)"),
    "validation": (lambda x, y: dict(validation=x), r"give \(images, labels\)"),
    "validation labels": (lambda x, y: dict(validation=(x, y - 1)), "validation images"),
    "fit_on": (lambda x, y: dict(fit_on="test"), "fit_on='test'"),
    "keep": (lambda x, y: dict(keep="first"), "keep='first'"),
    "epochs": (lambda x, y: dict(epochs=0), "epochs=0"),
    "setting": (lambda x, y: dict(learnin_rate=1), "did you mean 'learning_rate'"),
    "key": (lambda x, y: dict(augment=shift, cache_dir="never_made"), "augment_key="),
}


@pytest.mark.parametrize("change, message", BAD_FITS.values(), ids=BAD_FITS)
def test_a_fit_that_cannot_work_is_refused(members, images, labels, change, message):
    made = small_stack(members)
    with pytest.raises(ValueError, match=message):
        stacking.fit_head(made, **{"images": images, "labels": labels} | change(images, labels))


def test_what_is_frozen_or_not_is_checked(members, images, labels):
    made = small_stack(members)
    made.get_layer("b").trainable = True
    with pytest.raises(ValueError, match="member 'b'"):
        fit(made, images, labels)
    made.trainable = False
    with pytest.raises(ValueError, match="head is frozen"):
        fit(made, images, labels)


# --- the file ----------------------------------------------------------------------------------

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
