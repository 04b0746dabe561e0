"""Which images make up each batch, whatever epoch training goes on from."""

import numpy as np
import pytest

import augment
from experiments.training import feed
from experiments.training.targets import Labels


def test_each_epoch_sees_each_image_once_in_an_order_of_its_own():
    orders = [feed.order(seed, epoch, 100) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(100))
    assert len({tuple(order) for order in orders}) == 4
    assert np.array_equal(orders[3], feed.order(1, 1, 100))
    assert not np.array_equal(feed.order(0, 0, 100, 1), orders[0])


def test_every_batch_ends_in_extra_images_taken_in_turn():
    plan = feed.Plan(images=100, batch_size=32, seed=3, extra=7, per_batch=2)
    epochs = [list(plan.epoch(number)) for number in range(3)]
    assert [len(batch) for batch in epochs[0]] == [32, 32, 32, 12]
    assert plan.steps == 4 and plan.seen == 108
    for batches in epochs:
        assert sorted(np.concatenate([batch[:-2] for batch in batches])) == list(range(100))
    extra = np.concatenate([batch[-2:] for batches in epochs for batch in batches])
    rounds = [extra[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(part) for part in rounds] == [list(range(100, 107))] * 3
    assert len({tuple(part) for part in rounds}) == 3


@pytest.mark.parametrize("per_batch", [0, 32, 40])
def test_extra_images_leave_room_for_others(per_batch):
    with pytest.raises(ValueError, match=f"{per_batch} extra images in batches of 32"):
        feed.Plan(images=100, batch_size=32, seed=3, extra=7, per_batch=per_batch)


MIX = augment.Mix(mixup=0.4, cutmix=1.0, probability=0.8)


@pytest.mark.backend
@pytest.mark.parametrize(("policy", "mix"), [(None, None), ("C", None), (None, MIX), ("C", MIX)])
def test_the_feed_is_the_same_from_any_epoch_on(policy, mix, stripes):
    from keras import ops

    split = stripes.train
    plan, policy = feed.Plan(len(split), 24, seed=3), policy and augment.get(policy)
    whole = feed.batches(split, plan, policy, Labels(mixed=bool(mix)), epoch=0, mix=mix)
    batches = [next(whole) for _ in range(6)]
    later = feed.batches(split, plan, policy, Labels(mixed=bool(mix)), epoch=1, mix=mix)
    for images, labels in batches[3:]:
        expected, numbers = next(later)
        assert np.array_equal(labels, numbers)
        assert np.array_equal(ops.convert_to_numpy(images), ops.convert_to_numpy(expected))
    assert [len(labels) for _, labels in batches[:3]] == [24, 24, 16]
    kind = "uint8" if policy is mix is None else "float32"
    assert {str(ops.convert_to_numpy(images).dtype) for images, _ in batches} == {kind}


@pytest.mark.backend
def test_a_mixed_batch_is_made_of_what_its_images_and_their_partners_look_like(stripes):
    """In any batch size: each image and its targets, by its number."""
    from keras import ops

    split, policy = stripes.train, augment.Policy(alternating_flip=True, width_shift=3, cutout=5)
    numbers = np.arange(len(split))
    alone = augment.batch(split.images, policy, seed=3, epoch=1, indices=numbers)
    alone = ops.convert_to_numpy(alone)
    draws = {"seed": 3, "epoch": 1, "n": 60, "shape": split.images.shape[1:]}
    drawn = augment.draw_mix(MIX, indices=numbers, **draws)
    partner = drawn["partner"]
    assert (partner[60:] == numbers[60:]).all() and (partner[:60] != numbers[:60]).sum() > 40
    expected = ops.convert_to_numpy(augment.apply_mix(alone, alone[partner], drawn))
    labels = np.stack([split.labels, split.labels[partner], drawn["weight"]], axis=1)
    for size, extra in ((16, 0), (24, 4)):
        plan = feed.Plan(60, size, seed=3, extra=extra, per_batch=2 if extra else 0)
        batches = feed.batches(split, plan, policy, Labels(mixed=True), epoch=1, mix=MIX)
        for indices in plan.epoch(1):
            images, targets = next(batches)
            np.testing.assert_array_equal(ops.convert_to_numpy(images), expected[indices])
            np.testing.assert_array_equal(targets, labels[indices].astype("float32"))


def test_validation_images_come_in_their_own_order(stripes):
    split = stripes.validation
    batches = feed.Validation(split, 10)
    found = [batches[number] for number in range(len(batches))]
    assert [len(labels) for _, labels in found] == [10, 10, 4]
    assert np.array_equal(np.concatenate([images for images, _ in found]), split.images)
    assert np.array_equal(np.concatenate([labels for _, labels in found]), split.labels)
