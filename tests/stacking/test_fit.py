"""Contracts of the training of the head."""

import keras
import numpy as np
import pytest

import stacking
from stacking import _epochs

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


def shift(batch, indices, view):
    """Augment as a pure function of image and view."""
    return np.roll(batch, view, axis=1).astype("float32") + (indices % 5)[:, None, None, None]


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
    asked.clear()
    fit(small_stack(members), images, labels, augment=augment, views="fresh", epochs=4)
    assert sorted({view for view, _ in asked}) == [0, 1, 2, 3]
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


def test_epochs_and_passes_are_told(members, images, labels):
    heard = []
    settings = {"epochs": 2, "views": 1, "progress": lambda *call: heard.append(call)}
    history = fit(small_stack(members), images, labels, validation=(images, labels), **settings)
    passes, epochs = heard[:4], heard[4:]
    assert [call[0] for call in passes] == ["a, b, c, view 0"] * 2 + ["a, b, c"] * 2
    assert [call[1:] for call in passes] == [(0, 70), (70, 70)] * 2
    for line, (text, done, _) in zip(history, epochs, strict=True):
        assert text.startswith(f"epoch {done}: loss {line['loss']:.4g}, top1 ")
        assert f"val_top1 {line['val_top1']:.4g}, " in text and text.endswith(" s")
    assert [call[1:] for call in epochs] == [(1, 2), (2, 2)]


def test_the_history_tells_the_best_epoch_and_the_last(members, images, labels):
    """Both ways of keeping train the same; only which head stays differs."""
    told = [
        fit(small_stack(members), images, labels, validation=(images, labels), keep=keep)
        for keep in ("best", "last")
    ]
    scores = [[line["val_top1"] for line in history] for history in told]
    assert scores[0] == scores[1] and len(scores[0]) == 4


@pytest.mark.parametrize("where", ["images", "validation images"])
def test_a_fit_on_images_that_are_not_finite_is_refused(members, images, labels, where):
    broken = images.astype("float32")
    broken[3] = np.nan
    first, second = (broken, images) if where == "images" else (images, broken)
    made = small_stack(members)
    before = weights(made)
    with pytest.raises(ValueError, match=rf"^{where}\[3\] has NaN or infinite values"):
        fit(made, first, labels, validation=(second, labels))
    assert same(before, weights(made))


def test_outputs_that_are_not_finite_are_refused(members, labels):
    made = small_stack(members)
    views = [[np.full((70, CLASSES), 0.25, "float32") for _ in members] for _ in range(2)]
    views[1][2][50, 1] = np.inf
    with pytest.raises(ValueError, match=r"views\[1\]\[2\]\[50\] has NaN .*diverged"):
        stacking.fit_head_on(made, views, labels)


def test_a_member_that_diverged_is_named(build, members, images, labels):
    lost = build(seed=7)
    lost.get_layer("logits").set_weights(
        [w + np.nan for w in lost.get_layer("logits").get_weights()]
    )
    with pytest.raises(ValueError, match=r"views\[0\]\[1\]\[0\] has NaN .*diverged"):
        fit(small_stack({"a": members["a"], "lost": lost}), images, labels)


@pytest.mark.backend
@pytest.mark.parametrize("cached", [True, False])
def test_a_loss_that_is_lost_stops_the_fit_in_that_step(members, images, labels, cached):
    """Outputs as large as float32 allows, on which one step is enough to lose the weights."""
    made = small_stack(members)
    before, steps = weights(stacking.head_of(made)), []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda step, logs: steps.append(step)
    )
    settings = {"optimizer": "sgd", "learning_rate": 1e30, "callbacks": [count], "cached": cached}
    with pytest.raises(ValueError, match="loss is (nan|inf) in step . of epoch 1: lower the learn"):
        fit(made, images, labels, **settings)
    assert 0 < len(steps) <= 3  # of 3 steps in each of 4 epochs
    assert same(before, weights(stacking.head_of(made)))
    history = fit(made, images, labels, cached=cached)  # the stack can be fitted again
    assert np.isfinite([line["loss"] for line in history]).all()


def test_a_validation_loss_that_is_lost_stops_the_fit(members, images, labels):
    made = small_stack(members)
    head = stacking.head_of(made)

    def lose(epoch, logs):
        head.set_weights([w + np.nan for w in weights(head)])

    spoil = keras.callbacks.LambdaCallback(on_test_begin=lambda logs: lose(0, logs))
    with pytest.raises(ValueError, match="val_loss is nan in epoch 1"):
        fit(made, images, labels, validation=(images, labels), callbacks=[spoil])
