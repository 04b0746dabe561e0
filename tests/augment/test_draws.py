"""Contracts of the draws: uniform, independent, the same for ever."""

import itertools
import math

import numpy as np
import pytest

import augment
from augment import _draw, _uniforms

N = 20_000
# Deviation of a mean that chance exceeds in one of a million tests; seeds are fixed besides.
SIGMAS = 5


def drawn_values(policy, **options) -> dict:
    options = {"seed": 11, "epoch": 0, "shape": (50, 100, 3), **options}
    return augment.draw(policy, indices=range(N), **options)


RANGES = {
    "theta": (augment.Policy(rotation=30), -30, 30),
    "shear": (augment.Policy(shear=20), -20, 20),
    "tx": (augment.Policy(width_shift=0.2), -20, 20),
    "ty": (augment.Policy(height_shift=0.2), -10, 10),
    "zx": (augment.Policy(zoom=(0.6, 1.4)), 0.6, 1.4),
    "zy": (augment.Policy(zoom=(0.6, 1.4)), 0.6, 1.4),
    "channel_shift_intensity": (augment.Policy(channel_shift=90), -90, 90),
    "brightness": (augment.Policy(brightness=(0.3, 0.7)), 0.3, 0.7),
    "scale": (augment.Policy(scale=(0.9, 1.3)), 0.9, 1.3),
    "shear_x": (augment.Policy(shear_x=8), -8, 8),
    "extra_rotation": (augment.Policy(extra_rotation=15), -15, 15),
    "jitter_brightness": (augment.Policy(jitter_brightness=0.2), 0.8, 1.2),
    "jitter_contrast": (augment.Policy(jitter_contrast=0.4), 0.6, 1.4),
    "jitter_saturation": (augment.Policy(jitter_saturation=1.5), 0, 2.5),
    "jitter_hue": (augment.Policy(jitter_hue=0.1), -0.1, 0.1),
}


@pytest.mark.parametrize("name", RANGES)
def test_draws_are_uniform_over_their_range(name):
    policy, low, high = RANGES[name]
    values = (drawn_values(policy)[name] - low) / (high - low)
    assert 0 <= values.min() < 0.001 and 0.999 < values.max() < 1
    assert abs(values.mean() - 0.5) < SIGMAS / math.sqrt(12 * N)
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert np.abs(counts - N / 20).max() < SIGMAS * math.sqrt(N / 20)


def test_draws_of_different_parameters_are_independent():
    drawn = drawn_values(augment.B)
    series = [drawn[k] for k in ("theta", "tx", "ty", "shear", "zx", "zy")]
    series += [drawn["channel_shift_intensity"], drawn["brightness"], drawn["flip_horizontal"]]
    correlations = np.corrcoef(series) - np.eye(len(series))
    assert np.abs(correlations).max() < SIGMAS / math.sqrt(N)
    for other in (drawn_values(augment.B, epoch=1), drawn_values(augment.B, seed=12)):
        between = np.corrcoef(drawn["theta"], other["theta"])[0, 1]
        assert abs(between) < SIGMAS / math.sqrt(N)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_shares_of_flips_and_shuffles(share):
    policy = augment.Policy(horizontal_flip=share, vertical_flip=share, channel_shuffle=share)
    drawn = drawn_values(policy)
    bound = SIGMAS * math.sqrt(share * (1 - share) / N)
    for name in ("flip_horizontal", "flip_vertical"):
        assert abs(drawn[name].mean() - share) <= bound
    # A shuffled image gets each of the six orders equally often, the identity among them.
    orders, counts = np.unique(drawn["channel_order"], axis=0, return_counts=True)
    assert len(orders) == 6
    expected = np.full(6, share / 6) + (orders == [0, 1, 2]).all(axis=1) * (1 - share)
    assert (np.abs(counts / N - expected) <= SIGMAS * np.sqrt(expected / N)).all()


def test_three_forms_of_shifts():
    whole = drawn_values(augment.Policy(width_shift=4))["tx"]
    assert set(np.unique(whole)) == {-3, -2, -1, 0, 1, 2, 3}
    chosen = drawn_values(augment.Policy(width_shift=(2, 7)))["tx"]
    values, counts = np.unique(chosen, return_counts=True)
    assert values.tolist() == [-7, -2, 2, 7]
    assert np.abs(counts - N / 4).max() < SIGMAS * math.sqrt(N / 4)
    fractions = drawn_values(augment.Policy(height_shift=(0.1, 0.5)))["ty"]
    assert np.unique(fractions).tolist() == [-25, -5, 5, 25]  # of 50 rows
    values, counts = np.unique(
        drawn_values(augment.Policy(height_shift=(-2, -1, 0, 1, 2)))["ty"], return_counts=True
    )
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert np.abs(counts - N / 5).max() < SIGMAS * math.sqrt(N / 5)
    pixels = drawn_values(augment.Policy(height_shift=3.5))["ty"]
    assert 3.49 < pixels.max() < 3.5


def test_an_alternating_flip_shows_the_other_side_in_the_next_epoch():
    policy = augment.Policy(alternating_flip=True)
    epochs = [drawn_values(policy, epoch=epoch)["flip_horizontal"] for epoch in range(4)]
    for this, following in itertools.pairwise(epochs):
        np.testing.assert_array_equal(this, ~following)
    for other in (epochs[0], drawn_values(policy, seed=12)["flip_horizontal"]):
        assert abs(other.mean() - 0.5) < SIGMAS * math.sqrt(0.25 / N)
    assert 0.4 < (other == epochs[0]).mean() < 0.6
    part = augment.draw(policy, seed=11, epoch=1, indices=[7, 3, 12345], shape=(1, 1, 1))
    np.testing.assert_array_equal(part["flip_horizontal"], epochs[1][[7, 3, 12345]])


def test_the_middle_of_a_cutout_is_any_pixel():
    drawn = drawn_values(augment.Policy(cutout=3))
    for name, side in (("cutout_row", 50), ("cutout_column", 100)):
        values, counts = np.unique(drawn[name], return_counts=True)
        assert values.tolist() == list(range(side))
        assert np.abs(counts - N / side).max() < SIGMAS * math.sqrt(N / side)
    correlation = np.corrcoef(drawn["cutout_row"], drawn["cutout_column"])[0, 1]
    assert abs(correlation) < SIGMAS / math.sqrt(N)


def test_switching_an_operation_leaves_the_other_draws():
    both, one = augment.Policy(rotation=30, shear=20), augment.Policy(shear=20)
    np.testing.assert_array_equal(drawn_values(both)["shear"], drawn_values(one)["shear"])


def test_known_answers_of_the_generator():
    # SplitMix64 with seed 1234567: the sequence that its published test gives.
    state = np.full(3, 1234567, np.uint64) + _uniforms._GAMMA * np.arange(1, 4, dtype=np.uint64)
    assert _uniforms._mix(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    # Our own stream: a changed number would silently change what a recorded run is replayed with.
    drawn = augment.draw(augment.A, seed=7, epoch=3, indices=[0, 12345], shape=(64, 64, 3))
    np.testing.assert_allclose(drawn["tx"], [-9.576340353146149, -9.659570792137707], rtol=1e-12)
    assert drawn["channel_order"].tolist() == [[0, 1, 2], [1, 2, 0]]


EVERYTHING = augment.Policy(
    rotation=30,
    width_shift=0.2,
    height_shift=3,
    shear=20,
    zoom=(0.6, 1.4),
    channel_shift=90,
    horizontal_flip=0.5,
    vertical_flip=0.5,
    brightness=(0.3, 0.7),
    channel_shuffle=0.7,
    cutout=5,
    scale=(0.9, 1.1),
    shear_x=8,
    extra_rotation=15,
    perspective=0.3,
    crop_area=(0.3, 1),
    crop_ratio=(1.2, 2.5),
    jitter_brightness=0.2,
    jitter_contrast=0.3,
    jitter_saturation=0.4,
    jitter_hue=0.1,
    grayscale=0.3,
    erasing=0.5,
)
# Of images 0, 7 and 54321, before the columns had names: a recorded run is replayed with these.
RECORDED = {
    "theta": [7.804718158442341, 18.342188491710772, 12.211290045959451],
    "tx": [-19.245971532877846, -10.324005054958988, 5.21859195782632],
    "ty": [1.0, 0.0, 2.0],
    "shear": [14.763144985609003, 13.013015097251937, 6.032079685119015],
    "zx": [0.9720488223829888, 0.6895385186207525, 1.2904011817984213],
    "zy": [0.9982607746980801, 1.2386958554134324, 0.9515182836351093],
    "channel_shift_intensity": [62.84695584288875, 39.99318500735555, -34.772231569639025],
    "brightness": [0.43917582307416014, 0.5652992763024471, 0.34551648805255847],
    "flip_horizontal": [True, True, False],
    "flip_vertical": [True, False, False],
    "channel_order": [[1, 2, 0], [2, 0, 1], [0, 1, 2]],
}
# Likewise, of the transforms that came later.
RECORDED_LATER = {
    "scale": [1.0770666364262265, 0.9536354432333933, 1.0633792349922477],
    "shear_x": [-7.979856737215906, 6.64248873646784, -0.7487235115415043],
    "extra_rotation": [-4.170818302198535, -5.110393919832481, 7.546699541204898],
    "jitter_hue": [-0.023171615520492364, -0.07360936522698072, -0.0971304311220072],
    "jitter_brightness": [1.06282661589688, 0.9715996122909324, 0.9517737520819716],
    "jitter_contrast": [0.9660464866648406, 0.7607159927926845, 0.7424982897616668],
    "jitter_saturation": [0.6351038153090448, 1.0909058930792854, 1.1655423733566226],
    "cutout_row": [14.0, 26.0, 28.0],
    "cutout_column": [84.0, 43.0, 82.0],
    "grayscale": [False, False, False],
    "crop_top": [9.0, 6.0, 4.0],
    "crop_height": [37.0, 33.0, 45.0],
    "crop_left": [6.0, 10.0, 0.0],
    "crop_width": [64.0, 56.0, 81.0],
    "erase_top": [5.0, 34.0, 3.0],
    "erase_height": [0.0, 10.0, 14.0],
    "erase_left": [0.0, 52.0, 3.0],
    "erase_width": [28.0, 31.0, 15.0],
    "corners": [
        [0.0, 0.0, 99.0, 0.0, 99.0, 49.0, 0.0, 49.0],
        [1.0, 5.0, 96.0, 0.0, 88.0, 47.0, 11.0, 45.0],
        [10.0, 2.0, 92.0, 6.0, 94.0, 42.0, 10.0, 42.0],
    ],
    "jitter_order": [[2, 0, 1, 3], [2, 1, 0, 3], [3, 2, 0, 1]],
}


def test_draws_are_those_of_recorded_runs():
    drawn = augment.draw(EVERYTHING, seed=5, epoch=2, indices=[0, 7, 54321], shape=(50, 100, 3))
    assert drawn.keys() == RECORDED.keys() | RECORDED_LATER.keys()
    for name, values in RECORDED.items():
        np.testing.assert_array_equal(drawn[name], values)
    for name, values in RECORDED_LATER.items():
        # Sides of boxes come by logarithms, whose last digit the machine decides.
        np.testing.assert_allclose(drawn[name], values, rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 3, 40])
def test_a_policy_reads_the_columns_of_its_operations_alone(channels):
    fields, nothing = EVERYTHING.to_dict(), augment.Policy().to_dict()
    if channels == 40:
        fields |= dict.fromkeys(("jitter_contrast", "jitter_saturation", "jitter_hue"), 0.0)
        fields["grayscale"] = 0.0
    whole = augment.draw(fields, seed=5, epoch=2, indices=range(50), shape=(50, 100, channels))
    numbers = {"zoom": 2, "height_shift": 2, "channel_shuffle": 1 + channels, "cutout": 2}
    numbers |= {"perspective": 9, "crop_area": 4, "erasing": 5}
    alone = [name for name in fields if fields[name] != nothing[name] and name != "crop_ratio"]
    for field in alone:
        # Boxes of another ratio are other boxes of the same numbers.
        both = {field, "crop_ratio"} if field == "crop_area" else {field}
        one = augment.Policy.from_dict({**nothing, **{name: fields[name] for name in both}})
        drawn = augment.draw(one, seed=5, epoch=2, indices=range(50), shape=(50, 100, channels))
        assert drawn
        for name, values in drawn.items():
            np.testing.assert_array_equal(values, whole[name])
        read = _draw.plan(one, (50, 100, channels)).columns
        assert len(read) == numbers.get(field, 1)
        assert _draw.reads_later(one) == (read >= _draw.LATER).any()


def test_columns_of_different_names_never_overlap():
    taken = [first + place for first, count in _draw.COLUMNS.values() for place in range(count)]
    assert len(taken) == len(set(taken)) and max(taken) < _draw.END
    # The layer draws all of the later columns at once: were they more, its images would change.
    assert (_draw.LATER, _draw.END) == (1024, 1112)


def test_equal_policies_of_whole_and_of_broken_pixels_are_told_apart():
    whole, broken = augment.Policy(width_shift=3), augment.Policy(width_shift=3.0)
    assert whole == broken  # as 3 == 3.0
    drawn = [drawn_values(policy)["tx"] for policy in (whole, broken, whole)]
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert set(np.unique(drawn[0])) == {-2, -1, 0, 1, 2} and len(np.unique(drawn[1])) > N / 2


def test_more_channels_than_columns_are_refused():
    with pytest.raises(ValueError, match="1012 channels: channel_shuffle takes up to 1011"):
        augment.draw("A", seed=0, epoch=0, indices=[0], shape=(2, 2, 1012))
    augment.draw(augment.Policy(rotation=3), seed=0, epoch=0, indices=[0], shape=(2, 2, 1012))
