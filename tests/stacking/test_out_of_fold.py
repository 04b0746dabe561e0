"""Stacking without leaks: outputs of members on images that they never saw, and their head."""

import numpy as np
import pytest

import stacking

CLASSES = 4


def network(seed):
    """A dense network that learns any labels of a few images by heart."""
    import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 128, -1)(image))
    x = keras.layers.Dense(128, "relu", name="pooled")(x)
    logits = keras.layers.Dense(CLASSES, name="logits")(x)
    return keras.Model(image, keras.layers.Softmax(name="probs")(logits), name="network")


def noise(n, seed):
    """Images and labels that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 8, 8, 1), np.uint8), rng.integers(0, CLASSES, n)


def learned_by_heart(images, labels, seed=0):
    import keras

    model = network(seed)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    for _ in range(60):
        model.train_on_batch(images, labels)
    return model


@pytest.mark.backend
def test_random_labels_fool_a_head_on_training_images_and_no_other():
    images, labels = noise(240, seed=0)
    fresh, their_labels = noise(1000, seed=1)
    member = learned_by_heart(images, labels)
    folds = np.array_split(np.random.default_rng(2).permutation(len(images)), 3)
    without = [
        {"a": learned_by_heart(np.delete(images, part, axis=0), np.delete(labels, part), seed)}
        for seed, part in enumerate(folds)
    ]
    settings = {"epochs": 40, "learning_rate": 0.01, "batch_size": 60}

    leaking = stacking.stack({"a": member}, head=(), seed=0)
    with pytest.warns(UserWarning, match="fit_on='train'"):
        history = stacking.fit_head(leaking, images, labels, fit_on="train", **settings)
    assert history[-1]["top1"] > 90

    honest = stacking.stack({"a": member}, head=(), seed=0)
    outputs = stacking.out_of_fold(without, images, folds)
    validation = (fresh, their_labels)
    history = stacking.fit_head_on(
        honest, [outputs], labels, validation=validation, keep="last", **settings
    )
    # Chance is 25 %: 1.4 points of deviation among 1,000 images and 2.8 among 240; five of them.
    # On its own images a head of 20 weights gains a few points more by heart.
    assert abs(history[-1]["val_top1"] - 25) < 7
    assert history[-1]["top1"] < 25 + 14 + 5
    assert abs(100 * np.mean(outputs[0].argmax(axis=1) == labels) - 25) < 14


def test_each_image_goes_through_the_member_that_never_saw_it(tmp_path):
    images, _ = noise(10, seed=0)
    folds = [np.array([7, 1, 3]), np.array([0, 2, 9, 4]), np.array([5, 6, 8])]
    members = [{"a": network(seed), "b": network(10 + seed)} for seed in range(3)]
    seen = []

    def augment(batch, indices, view):
        seen.extend(indices)
        return batch + np.uint8(view)

    options = {"augment": augment, "augment_key": "plus", "view": 3, "cache_dir": tmp_path}
    outputs = stacking.out_of_fold(members, images, folds, **options)
    assert [output.shape for output in outputs] == [(10, CLASSES)] * 2
    assert sorted(set(seen)) == list(range(10))
    for part, models in zip(folds, members, strict=True):
        expected = stacking.member_outputs(models, images[part] + np.uint8(3))
        np.testing.assert_allclose(np.stack([o[part] for o in outputs], 1), expected, atol=1e-6)
    seen.clear()
    again = stacking.out_of_fold(members, images, folds, **options)
    assert not seen  # read from the cache
    np.testing.assert_array_equal(outputs, again)


@pytest.mark.parametrize(
    ("folds", "told"),
    [
        ([[0, 1], [2, 3]], "1 sets of members for 2 folds"),
        ([[0, 1, 2]], "each index of the 4 images once"),
        ([[0, 1, 2, 2]], "each index of the 4 images once"),
    ],
)
def test_folds_that_do_not_fit(folds, told):
    with pytest.raises(ValueError, match=told):
        stacking.out_of_fold(
            [{"a": network(0)}], noise(4, 0)[0], [np.array(part) for part in folds]
        )


def test_outputs_that_do_not_fit_the_head():
    stack = stacking.stack({"a": network(0)}, head=())
    with pytest.raises(ValueError, match=r"view 0 are \(5, 3\): the head reads \(5, 4\)"):
        stacking.fit_head_on(stack, [[np.zeros((5, 3))]], np.zeros(5, int))
    with pytest.raises(ValueError, match=r"shape \(4,\) and type int64 for 5 outputs"):
        stacking.fit_head_on(stack, [[np.zeros((5, 4))]], np.zeros(4, int))


@pytest.mark.parametrize("on", ["logits", "probs"])
def test_a_linear_head_begins_as_the_mean(on):
    members, (images, _) = {"a": network(0), "b": network(1), "c": network(2)}, noise(20, 0)
    stack = stacking.stack(members, on=on, head=())
    probs = stack.predict(images, verbose=0)
    mean = stacking.member_outputs(members, images, on=on).mean(axis=1)
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_a_linear_head_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 300)
    outputs = rng.normal(0, 1, (300, CLASSES)) + 0.8 * np.eye(CLASSES)[labels]
    stack = stacking.stack({"a": network(0)}, on="logits", head=(), seed=0)
    stacking.fit_head_on(
        stack,
        [[outputs.astype("float32")]],
        labels,
        epochs=400,
        batch_size=300,
        learning_rate=0.05,
        keep="last",
    )
    ours = stacking.head_of(stack).predict(outputs, verbose=0)
    theirs = LogisticRegression(C=np.inf, max_iter=1000).fit(outputs, labels)
    # Both are at the one optimum of a convex loss; Adam stops within a thousandth of it.
    np.testing.assert_allclose(ours, theirs.predict_proba(outputs), atol=2e-3)
