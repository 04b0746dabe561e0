"""Contracts of the corruptions, over the whole catalogue."""

import io

import numpy as np
import pytest

import augment
from augment.corruptions import STRENGTHS

SEVERITIES = range(1, 6)


def synthetic(seed: int):
    """Noise whose amplitude halves with each octave, roughly the spectrum of real images."""
    from PIL import Image

    rng, pixels = np.random.default_rng(seed), np.full((64, 64, 3), 128.0)
    for cells in (2, 4, 8, 16, 32, 64):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        octave = np.asarray(noise.resize((64, 64), Image.Resampling.BICUBIC), float) - 127.5
        pixels += octave * 2 / cells
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module", params=[32, 64])
def images(request) -> np.ndarray:
    """12 images uint8, 32 and 64 pixels wide: real ones, or synthetic where they are absent."""
    from PIL import Image

    try:
        folder = request.getfixturevalue("tiny_imagenet_10")
        files = sorted(folder.glob("train/*/images/*.JPEG"))[::416][:12]
        pictures = [Image.open(path).convert("RGB") for path in files]
    except pytest.skip.Exception:
        pictures = [synthetic(number) for number in range(12)]
    side = (request.param, request.param)
    return np.stack([np.asarray(picture.resize(side)) for picture in pictures])


def distance(images, others) -> float:
    return float(np.mean((images.astype(float) - others) ** 2) ** 0.5)


def test_both_tables_have_five_strengths_for_each_kind():
    for table in STRENGTHS.values():
        assert table.keys() == augment.CORRUPTIONS.keys()
        assert all(len(strengths) == 5 for strengths in table.values())


@pytest.mark.parametrize("kind", augment.CORRUPTIONS)
def test_severity_moves_images_further_away(images, kind):
    distances = [distance(images, augment.corrupt(images, kind, s)) for s in SEVERITIES]
    # The blurs of severities 3 and 4 of motion at 32 pixels are one; see STRENGTHS.
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1]


@pytest.mark.parametrize("kind", augment.CORRUPTIONS)
def test_results_are_a_function_of_seed_and_number(images, kind):
    before = images.copy()
    whole = augment.corrupt(images, kind, 3, seed=1)
    assert whole.dtype == np.uint8 and whole.shape == images.shape
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(augment.corrupt(images, kind, 3, seed=1), whole)
    parts = [
        augment.corrupt(images[rows], kind, 3, seed=1, indices=np.arange(12)[rows])
        for rows in (slice(0, 5), slice(5, 12))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "motion_blur")


@pytest.mark.parametrize("kind", augment.CORRUPTIONS)
def test_random_kinds_differ_by_seed_and_number_and_others_do_not(images, kind):
    first = augment.corrupt(images[:1], kind, 3, seed=0, indices=[0])
    for seed, index in ((1, 0), (0, 1), (-1, 0)):
        other = augment.corrupt(images[:1], kind, 3, seed=seed, indices=[index])
        assert np.array_equal(first, other) != (kind in RANDOM)


@pytest.mark.parametrize("kind", augment.CORRUPTIONS)
def test_one_channel_and_sides_that_differ_are_taken(images, kind):
    gray = images[:2, :, :24, :1]
    corrupted = augment.corrupt(gray, kind, 5)
    assert corrupted.shape == gray.shape
    assert distance(gray, corrupted) > 0


@pytest.mark.parametrize(("side", "made_for"), [(28, 32), (48, 32), (49, 64), (96, 64)])
def test_other_sizes_take_the_nearer_strengths(side, made_for):
    gray = np.full((1, side, side + 9, 3), 100, np.uint8)
    lift = STRENGTHS[made_for]["brightness"][2]
    assert (augment.corrupt(gray, "brightness", 3) == round(100 + 255 * lift)).all()


# ---------------------------------------------------------------- known answers


def half(low, high, side=32) -> np.ndarray:
    """An image whose left half is `low` and right half `high`, in all channels."""
    image = np.full((1, side, side, 3), low, np.uint8)
    image[:, :, side // 2 :] = high
    return image


def test_contrast_keeps_the_mean_and_a_part_of_the_distance():
    np.testing.assert_array_equal(augment.corrupt(half(60, 100), "contrast", 2), half(70, 90))


def test_brightness_keeps_hue_and_saturation():
    color = np.full((1, 64, 64, 3), (100, 50, 25), np.uint8)
    lifted = augment.corrupt(color, "brightness", 2)[0, 0, 0]  # 255 * 0.2 more: 151
    np.testing.assert_array_equal(lifted, np.rint(np.array([100, 50, 25]) * 1.51))
    assert (augment.corrupt(np.zeros_like(color), "brightness", 2) == 51).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillows_round_trip(images, severity):
    from PIL import Image

    quality = STRENGTHS[images.shape[1]]["jpeg"][severity - 1]
    for image, corrupted in zip(images, augment.corrupt(images, "jpeg", severity), strict=True):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        np.testing.assert_array_equal(corrupted, np.asarray(Image.open(stream)))


def test_pixelate_by_a_half_repeats_means_of_four_pixels():
    image = np.zeros((1, 64, 64, 1), np.uint8)
    image[:, ::2, ::2] = 200
    assert (augment.corrupt(image, "pixelate", 5) == 50).all()


@pytest.mark.parametrize("kind", ["gaussian_blur", "motion_blur"])
def test_blurs_leave_even_images_alone(kind):
    even = np.full((2, 64, 64, 3), 77, np.uint8)
    np.testing.assert_array_equal(augment.corrupt(even, kind, 5), even)


def test_motion_blur_goes_along_the_rows():
    """At most 45 degrees from them: steps across the columns blur most."""
    upright, lying = half(0, 200, 64), half(0, 200, 64).transpose(0, 2, 1, 3)
    many = range(40)
    across = distance(upright, augment.corrupt(upright.repeat(40, 0), "motion_blur", 5))
    along = distance(lying, augment.corrupt(lying.repeat(40, 0), "motion_blur", 5, indices=many))
    assert across > along > 0


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_strength_of_the_table(severity):
    """100 images of one gray: the estimates are good to about 0.1 percent of 1.2 million values."""
    gray = np.full((100, 64, 64, 3), 128, np.uint8)
    noisy = {kind: augment.corrupt(gray, kind, severity).astype(float) for kind in RANDOM[:3]}
    deviation, photons, share = (STRENGTHS[64][kind][severity - 1] for kind in noisy)
    # Rounding adds 1/12 to the variance; black and white, 2.8 deviations away, cut little off.
    expected = ((255 * deviation) ** 2 + 1 / 12) ** 0.5
    assert noisy["gaussian_noise"].std() == pytest.approx(expected, rel=0.01)
    assert noisy["shot_noise"].mean() == pytest.approx(128, rel=0.02)
    expected = 255 * (128 / 255 / photons) ** 0.5
    assert noisy["shot_noise"].std() == pytest.approx(expected, rel=0.05)
    impulses = noisy["impulse_noise"]
    assert (impulses != 128).mean() == pytest.approx(share, rel=0.03)
    assert (impulses == 255).sum() == pytest.approx((impulses == 0).sum(), rel=0.03)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "fog"}, "kind='fog' .* gaussian_noise"),
        ({"severity": 0}, "severity=0"),
        ({"severity": 6}, "severity=6"),
        ({"severity": 2.5}, "severity=2.5"),
        ({"images": np.zeros((1, 8, 8, 3))}, "float64"),
        ({"images": np.zeros((8, 8, 3), np.uint8)}, r"\(8, 8, 3\)"),
        ({"images": np.zeros((1, 8, 8, 4), np.uint8)}, r"\(1, 8, 8, 4\)"),
        ({"indices": [0, 1]}, "1 images but indices"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong, message):
    good = {"images": np.zeros((1, 8, 8, 3), np.uint8), "kind": "jpeg", "severity": 1}
    with pytest.raises(ValueError, match=message):
        augment.corrupt(**{**good, **wrong})
