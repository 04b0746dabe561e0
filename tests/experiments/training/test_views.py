"""What a model says of an image seen in several ways, and what a run keeps of it."""

from typing import get_args

import numpy as np
import pytest

import zoo
from experiments.recipes._part import Several, Views
from experiments.runs.scores import accuracy
from experiments.training import views
from experiments.training.predict import predict_probs
from experiments.training.views import VIEWS, View, predict_views

IMAGES = np.random.default_rng(0).integers(2, 256, (7, 4, 5, 2), np.uint8)


class Pixels:
    """Stands for a model: its "probabilities" are the pixels, so that a mean of views shows."""

    name = "pixels"
    input_shape = (None, 4, 5, 2)

    def __init__(self):
        self.batches = []

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        assert isinstance(images, np.ndarray) and images.dtype == np.uint8
        self.batches.append(len(images))
        return images.reshape(len(images), -1).astype(np.float32)


def moved(image: np.ndarray, by: int) -> np.ndarray:
    """Return an image moved down and to the right, pixel by pixel; c b | a b c at its border."""

    def inside(place: int, size: int) -> int:
        return -place if place < 0 else 2 * (size - 1) - place if place >= size else place

    height, width = image.shape[:2]
    found = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            found[y, x] = image[inside(y - by, height), inside(x - by, width)]
    return found


def naive(image: np.ndarray, name: str) -> np.ndarray:
    """Return the mean of an image's views as the definition says."""

    def pair(one: np.ndarray) -> np.ndarray:
        return (one.astype(float) + one[:, ::-1]) / 2

    if name == "none":
        return image.astype(float)
    if name == "mirror":
        return pair(image)
    return pair(image) / 2 + (pair(moved(image, 1)) + pair(moved(image, -1))) / 4


def test_recipes_name_the_views_that_there_are():
    assert tuple(VIEWS) == get_args(Views) and tuple(VIEWS)[1:] == get_args(Several)
    assert {name: len(them) for name, them in VIEWS.items()} == {
        "none": 1,
        "mirror": 2,
        "shifts": 6,
    }
    for them in VIEWS.values():
        assert sum(view.weight for view in them) == 1
        # What is known of the image as it is can be taken once.
        assert sum(view.plain for view in them) == 1


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("batch_size", [3, 7, 100])
def test_known_answers(name, batch_size):
    found = predict_views(Pixels(), IMAGES, name, batch_size)
    assert found.dtype == np.float32
    expected = [naive(image, name).ravel() for image in IMAGES]
    # Pixels and weights, which are powers of two, add up without rounding.
    np.testing.assert_array_equal(found, np.array(expected))


def test_what_a_shift_uncovers_is_reflected_without_its_border():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    down, up = (View(1, shift=by).of(image)[0, ..., 0].tolist() for by in (1, -1))
    assert down == [[4, 3, 4], [1, 0, 1], [4, 3, 4]]
    assert up == [[4, 5, 4], [7, 8, 7], [4, 5, 4]]
    both = View(1, mirrored=True, shift=1).of(image)
    assert both[0, ..., 0].tolist() == [line[::-1] for line in down]
    assert both.flags.c_contiguous and both.dtype == np.uint8


def test_views_are_made_of_one_batch_at_a_time(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, IMAGES)
    asked = []

    class Mapped:
        shape = IMAGES.shape

        def __len__(self) -> int:
            return len(IMAGES)

        def __getitem__(self, part: slice) -> np.ndarray:
            asked.append(part.stop - part.start)
            return np.load(path, mmap_mode="r")[part]

    model = Pixels()
    found = predict_views(model, Mapped(), "shifts", 2)
    np.testing.assert_array_equal(found, predict_views(Pixels(), IMAGES, "shifts"))
    assert set(asked) == set(model.batches) == {2} and len(asked) == 6 * 4


def test_plain_probabilities_that_are_known_are_not_computed_again():
    model = Pixels()
    plain = predict_probs(model, IMAGES)
    found = predict_views(model, IMAGES, "mirror", plain=plain)
    assert len(model.batches) == 2
    np.testing.assert_array_equal(found, predict_views(Pixels(), IMAGES, "mirror"))
    assert predict_views(model, IMAGES, "none", plain=plain).tolist() == plain.tolist()
    assert len(model.batches) == 2


def test_views_that_there_are_not_are_refused_with_those_that_there_are():
    for refused in ("flip", "", None):
        with pytest.raises(ValueError, match=rf"no views {refused!r}; there are none, mirror, shi"):
            predict_views(Pixels(), IMAGES, refused)
    with pytest.raises(ValueError, match=r"images are \(5, 4, 2\), pixels takes \(4, 5, 2\)"):
        predict_views(Pixels(), IMAGES.swapaxes(1, 2), "mirror")
    assert views.told("none") == ""
    assert views.told("shifts") == "with shifts, the mean over 6 views"


@pytest.mark.backend
def test_a_model_that_is_blind_to_sides_says_the_same_of_the_mirror_image():
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 64, -2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4, "softmax")(x))
    rng = np.random.default_rng(1)
    images = rng.integers(0, rng.integers(50, 256, (11, 1, 1, 3)), (11, 16, 16, 3), np.uint8)
    plain = predict_probs(model, images)
    assert plain.std(axis=0).max() > 0.01  # it does tell images apart
    # A mean over pixels in another order: float32 rounding.
    found = predict_views(model, images, "mirror", 4)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6)
    assert np.abs(predict_views(model, images, "shifts", 4) - plain).max() > 1e-4


@pytest.mark.backend
def test_a_run_with_views_keeps_both_scores(parse, train, stripes, finished, tmp_path):
    run = train(parse(test_views="shifts"), tmp_path / "run", stripes)
    metrics = dict(run.metrics)
    told = metrics.pop("with_views")
    assert list(run.metrics).index("with_views") == list(run.metrics).index("loss") + 1
    # The plain scores and predictions are those of the run without views, bit by bit.
    same = ("top1", "top3", "top5", "loss", "last_top1", "train_top1")
    assert metrics.keys() == finished.metrics.keys()
    assert {key: metrics[key] for key in same} == {key: finished.metrics[key] for key in same}
    np.testing.assert_array_equal(run.probs, finished.probs)

    images, model = stripes.validation.images, zoo.load(run.model_file)
    several = np.zeros_like(run.probs)
    for weight, one in (
        (1 / 2, images),
        (1 / 4, np.stack([moved(image, 1) for image in images])),
        (1 / 4, np.stack([moved(image, -1) for image in images])),
    ):
        for view in (one, one[:, :, ::-1].copy()):
            several += weight / 2 * predict_probs(model, view)
    expected = accuracy(several, stripes.validation.labels)
    assert told.pop("views") == "shifts"
    assert told == pytest.approx(expected, rel=1e-5)
    assert told["loss"] != metrics["loss"]
