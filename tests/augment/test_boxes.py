"""Distributions of crops, erased boxes, corners and orders, against torchvision's ways to draw."""

import math

import numpy as np
import pytest

import augment
from augment import _boxes, _draw

N = 20_000
# Chance exceeds these in one of a million tests; seeds are fixed besides. Of two samples of N, the
# distance of their distributions, by Kolmogorov and Smirnov.
SIGMAS = 5
DISTANCE = 2.7 * math.sqrt(2 / N)


def drawn(policy, shape=(50, 100, 3)) -> dict:
    return augment.draw(policy, seed=3, epoch=0, indices=range(N), shape=shape)


def tries(rng, area, ratio, shape, of: str) -> list[tuple]:
    """(top, left, height, width) of N boxes as torchvision draws them; None after ten tries."""
    (rows, columns), found = shape, []
    for _ in range(N):
        box = None
        for _ in range(10):
            size = rows * columns * rng.uniform(*area)
            aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
            if of == "crop":
                width, height = (round(math.sqrt(v)) for v in (size * aspect, size / aspect))
                fits = 0 < width <= columns and 0 < height <= rows
            else:
                height, width = (round(math.sqrt(v)) for v in (size * aspect, size / aspect))
                fits = height < rows and width < columns
            if fits:
                top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
                box = (top, left, height, width)
                break
        found.append(box)
    return found


def distance(a, b) -> float:
    """Largest distance of two samples' distributions."""
    values = np.unique(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(s), values, side="right") / len(s) for s in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


BOXES = {
    "crop of the cars paper": ("crop", (0.6, 1.0), (0.8, 1.2), (64, 64)),
    "crop by default": ("crop", (0.08, 1.0), (3 / 4, 4 / 3), (50, 100)),
    "crop of small images": ("crop", (0.3, 1.0), (0.5, 2.0), (8, 8)),
    "erasing of the cars paper": ("erase", (0.02, 0.25), (0.3, 3.3), (64, 64)),
    "erasing by default": ("erase", (0.02, 0.33), (0.3, 3.3), (28, 40)),
    "erasing that seldom fits": ("erase", (0.3, 0.9), (0.3, 3.3), (32, 32)),
}


@pytest.mark.parametrize(("of", "area", "ratio", "shape"), BOXES.values(), ids=BOXES)
def test_boxes_are_distributed_as_by_torchvision(of, area, ratio, shape):
    if of == "crop":
        policy = augment.Policy(crop_area=area, crop_ratio=ratio)
    else:
        policy = augment.Policy(erasing=1.0, erasing_area=area, erasing_ratio=ratio)
    ours = drawn(policy, (*shape, 3))
    top, left, height, width = (ours[f"{of}_{k}"] for k in ("top", "left", "height", "width"))
    assert (top >= 0).all() and (left >= 0).all() and (height > 0).all() and (width > 0).all()
    assert (top + height <= shape[0]).all() and (left + width <= shape[1]).all()
    theirs = [box for box in tries(np.random.default_rng(0), area, ratio, shape, of) if box]
    their_top, their_left, their_height, their_width = np.array(theirs).T
    for mine, other in (
        (top, their_top),
        (left, their_left),
        (height, their_height),
        (width, their_width),
        (height * width, their_height * their_width),
        (np.log(width / height), np.log(their_width / their_height)),
    ):
        assert distance(mine, other) < DISTANCE * math.sqrt(N / len(theirs))


def test_ratios_are_logarithmically_uniform_where_all_fit():
    policy = augment.Policy(erasing=1.0, erasing_area=(0.04, 0.05), erasing_ratio=(0.25, 4))
    ours = drawn(policy, (1000, 1000, 1))
    share = (np.log(ours["erase_height"] / ours["erase_width"]) / math.log(4) + 1) / 2
    counts = np.histogram(share, bins=10, range=(0, 1))[0]
    assert np.abs(counts - N / 10).max() < SIGMAS * math.sqrt(N / 10)
    area = (ours["erase_height"] * ours["erase_width"] / 1e6 - 0.04) / 0.01
    assert abs(area.mean() - 0.5) < SIGMAS / math.sqrt(12 * N)


def test_single_areas_and_ratios():
    ours = drawn(augment.Policy(crop_area=(0.25, 0.25), crop_ratio=(1, 1)), (40, 40, 3))
    assert set(ours["crop_height"]) == set(ours["crop_width"]) == {20}
    assert set(ours["crop_top"]) == set(range(21))
    ours = drawn(augment.Policy(crop_area=(0.2, 0.9), crop_ratio=(1, 1)), (20, 40, 3))
    # At most half of the area fits, to one of 4,096 steps.
    apart = ours["crop_width"] - ours["crop_height"]
    assert set(apart) <= {0, 1} and apart.mean() < 1e-3 and ours["crop_height"].max() == 20


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_shares_of_gray_erased_and_tilted_images(share):
    policy = augment.Policy(
        grayscale=share, erasing=share, perspective=0.5, perspective_probability=share
    )
    ours = drawn(policy)
    rest = [0, 0, 99, 0, 99, 49, 0, 49]
    happened = [ours["grayscale"], ours["erase_height"] > 0]
    # Of (26 * 13) ** 4 places of all corners, one leaves them where they are.
    happened += [(ours["corners"] != rest).any(axis=1)]
    bound = SIGMAS * math.sqrt(share * (1 - share) / N)
    for chosen in happened:
        assert abs(chosen.mean() - share) <= bound
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = (happened[first] & happened[second]).mean()
        assert abs(both - share**2) <= SIGMAS * math.sqrt(share**2 * (1 - share**2) / N)


def test_corners_move_to_each_pixel_within_reach_equally_often():
    ours = drawn(augment.Policy(perspective=0.2, perspective_probability=1))["corners"]
    across, down = int(0.2 * 50), int(0.2 * 25)
    ends = [0, 0, 99, 0, 99, 49, 0, 49]
    for k, end in enumerate(ends):
        most = (across, down)[k % 2]
        expected = range(end - most, end + 1) if end else range(most + 1)
        values, counts = np.unique(ours[:, k], return_counts=True)
        assert values.tolist() == list(expected)
        assert np.abs(counts - N / len(values)).max() < SIGMAS * math.sqrt(N / len(values))
    correlations = np.corrcoef(ours.T) - np.eye(8)
    assert np.abs(correlations).max() < SIGMAS / math.sqrt(N)


def test_the_orders_of_the_jitters_are_equally_frequent():
    four = augment.Policy(
        jitter_brightness=0.2, jitter_contrast=0.2, jitter_saturation=0.2, jitter_hue=0.1
    )
    order = drawn(four)["jitter_order"]
    orders, counts = np.unique(order, axis=0, return_counts=True)
    assert len(orders) == 24
    assert np.abs(counts - N / 24).max() < SIGMAS * math.sqrt(N / 24)
    # Another jitter, switched on, leaves the order of the others.
    two = drawn(augment.Policy(jitter_contrast=0.2, jitter_hue=0.1))["jitter_order"]
    np.testing.assert_array_equal(two, order[(order == 1) | (order == 3)].reshape(N, 2))
    assert "jitter_order" not in drawn(augment.Policy(jitter_hue=0.1))


@pytest.mark.backend
def test_the_layer_draws_the_same_boxes_of_its_own_numbers():
    """In float32, which rounds one side in a thousand the other way, and a place with it."""
    import keras

    policy = augment.Policy(crop_area=(0.08, 1.0), erasing=0.5, perspective=0.3)
    plan = _draw.plan(policy, (50, 100, 3))
    u = np.random.default_rng(0).random((2000, len(plan.columns)), np.float32)
    theirs = _draw.parameters(plan, u.astype("float64"))
    ours = _draw.parameters(plan, keras.ops.convert_to_tensor(u), keras.ops)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        found = keras.ops.convert_to_numpy(ours[name])
        assert (found != values).mean() < 1e-3 and np.abs(found - values).max() <= 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"crop_area": (0.9, 1), "crop_ratio": (3, 4)}, "no crop of crop_area.* into .*32x32"),
        ({"erasing": 0.5, "erasing_area": (0.99, 1)}, "no box of erasing_area.* of 32x32"),
    ],
)
def test_boxes_that_never_fit_are_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        drawn(augment.Policy(**fields), (32, 32, 3))
    augment.Augment(augment.Policy(**fields))  # it knows no shape yet


def test_pieces_are_even():
    whole = _boxes.fitting((0.1, 0.2), (1, 1), (100, 100), 1, (100.5, 100.5))
    np.testing.assert_allclose(np.diff(whole.areas), 1000 / 64, rtol=1e-9)
