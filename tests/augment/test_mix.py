"""Mixup and cutmix: the papers' formulas, drawn by (seed, epoch, image)."""

import math

import numpy as np
import pytest
import scipy.stats

import augment

N, SHAPE = 20_000, (20, 30, 3)
# Deviation of a mean that chance exceeds in one of a million tests; seeds are fixed besides.
SIGMAS = 5
WAYS = {
    "mixup": augment.Mix(mixup=0.4),
    "cutmix": augment.Mix(cutmix=1.0),
    "both": augment.Mix(mixup=0.4, cutmix=0.7, probability=0.8),
}


def host(tensor) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(tensor)


def drawn_of(spec, indices=range(N), **options) -> dict:
    options = {"seed": 3, "epoch": 1, "n": N, "shape": SHAPE, **options}
    return augment.draw_mix(spec, indices=indices, **options)


def naive(images, partners, drawn) -> np.ndarray:
    mixed = np.empty(images.shape, "float64")
    for i, (image, partner) in enumerate(zip(images, partners, strict=True)):
        share = float(drawn["blend"][i])
        mixed[i] = share * image + (1 - share) * partner
        top, left, bottom, right = (int(drawn[k][i]) for k in ("top", "left", "bottom", "right"))
        mixed[i, top:bottom, left:right] = partner[top:bottom, left:right]
    return mixed


@pytest.mark.backend
@pytest.mark.parametrize("spec", WAYS.values(), ids=WAYS)
def test_mixed_images_are_those_of_the_formulas(spec):
    images, partners = np.random.default_rng(0).integers(0, 256, (2, 40, *SHAPE), np.uint8)
    drawn = drawn_of(spec, indices=range(40))
    expected = naive(images, partners, drawn)
    for kind in ("uint8", "float32"):
        found = host(augment.apply_mix(images.astype(kind), partners.astype(kind), drawn))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)  # float32 of up to 255
        copied = drawn["blend"] == 1  # cut out, or not mixed
        np.testing.assert_array_equal(found[copied], expected[copied])


@pytest.mark.parametrize("epoch", [0, 1])
def test_each_image_is_another_one_s_partner_once_an_epoch(epoch):
    partner = drawn_of(WAYS["mixup"], epoch=epoch)["partner"]
    np.testing.assert_array_equal(np.sort(partner), np.arange(N))
    assert (partner == np.arange(N)).sum() < 10
    other = drawn_of(WAYS["mixup"], epoch=epoch + 1)["partner"]
    assert (partner == other).sum() < 10


def test_shares_of_mixup_are_drawn_from_the_beta_distribution():
    drawn = drawn_of(WAYS["mixup"])
    assert scipy.stats.kstest(drawn["weight"], scipy.stats.beta(0.4, 0.4).cdf).pvalue > 0.01
    np.testing.assert_array_equal(drawn["weight"], drawn["blend"])
    assert not drawn["bottom"].any() and not drawn["right"].any()


def test_the_box_of_cutmix_is_its_author_s():
    """The area of a box that nothing cuts off is the share 1 - l, rounded down to even sides."""
    drawn = drawn_of(WAYS["cutmix"])
    height, width = drawn["bottom"] - drawn["top"], drawn["right"] - drawn["left"]
    np.testing.assert_allclose(drawn["weight"], 1 - height * width / 600, rtol=1e-6)
    assert (drawn["blend"] == 1).all()
    assert drawn["bottom"].max() == 20 and drawn["right"].max() == 30
    whole = (drawn["top"] > 0) & (drawn["left"] > 0) & (drawn["bottom"] < 20)
    whole &= drawn["right"] < 30
    assert whole.sum() > 1000 and not (height[whole] % 2).any() and not (width[whole] % 2).any()
    # Of whole boxes both sides are one root of a share, times the image's.
    assert (np.abs(height[whole] / 20 - width[whole] / 30) < 2 / 20 + 2 / 30).all()
    # Their middles are drawn evenly.
    middle = (drawn["top"] + drawn["bottom"]) / 2
    assert abs(middle[whole].mean() - 10) < 0.2


def test_a_share_of_the_images_is_mixed_in_each_way():
    drawn = drawn_of(WAYS["both"])
    mixed = drawn["partner"] != np.arange(N)
    cut = (drawn["blend"] == 1) & mixed
    for found, share in ((mixed, 0.8), (cut, 0.4)):
        assert abs(found.mean() - share) < SIGMAS * math.sqrt(share * (1 - share) / N) + 1e-3
    assert (drawn["weight"][~mixed] == 1).all() and (drawn["blend"][~mixed] == 1).all()


def test_images_behind_the_first_n_are_left_as_they_are():
    drawn = drawn_of(WAYS["both"], indices=[5, 100, 3, 104], n=100)
    assert drawn["partner"][[1, 3]].tolist() == [100, 104]
    assert drawn["weight"][[1, 3]].tolist() == [1, 1]
    assert (drawn["partner"][[0, 2]] < 100).all()


@pytest.mark.backend
@pytest.mark.parametrize("spec", WAYS.values(), ids=WAYS)
def test_a_mixed_image_is_the_same_in_any_batch(spec):
    pool = np.random.default_rng(1).integers(0, 256, (24, *SHAPE), np.uint8)

    def mixed(indices) -> tuple[np.ndarray, dict]:
        drawn = drawn_of(spec, indices=indices, n=24)
        return host(augment.apply_mix(pool[indices], pool[drawn["partner"]], drawn)), drawn

    (whole, all_drawn), order = mixed(np.arange(24)), np.random.default_rng(0).permutation(24)
    for chosen in (order[:7], order[7:20], order[20:23], order[23:]):
        images, drawn = mixed(chosen)
        np.testing.assert_array_equal(images, whole[chosen])
        for name, values in drawn.items():
            np.testing.assert_array_equal(values, all_drawn[name][chosen])


# A recorded run is replayed with these.
RECORDED = {
    "partner": [62, 35, 72],
    "weight": [0.2916666567325592, 0.4000000059604645, 0.7799999713897705],
    "blend": [1.0, 1.0, 1.0],
    "top": [0, 0, 0],
    "left": [0, 6, 19],
    "bottom": [17, 15, 12],
    "right": [25, 30, 30],
}


def test_draws_are_those_of_recorded_runs():
    drawn = drawn_of(WAYS["both"], indices=[0, 7, 54], n=100)
    for name, values in RECORDED.items():
        np.testing.assert_allclose(drawn[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "needs mixup or cutmix"),
        ({"mixup": 0.0}, "mixup of a mix must be a number above 0, got 0.0"),
        ({"cutmix": math.inf}, "cutmix of a mix must be"),
        ({"mixup": True}, "mixup of a mix must be"),
        ({"mixup": 1.0, "probability": 1.5}, "probability of a mix .* up to 1, got 1.5"),
        ({"mixup": 1.0, "probability": None}, "probability of a mix .*, got None"),
    ],
)
def test_a_mix_that_does_not_fit_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        augment.Mix(**fields)


def test_as_many_partners_as_images_are_needed():
    images = np.zeros((3, *SHAPE), np.uint8)
    with pytest.raises(ValueError, match=r"images are \(3, 20, 30, 3\), their partners \(2, 20"):
        augment.apply_mix(images, images[:2], drawn_of(WAYS["both"], indices=range(3)))
