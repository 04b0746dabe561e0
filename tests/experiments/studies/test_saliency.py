"""Runs are explained: sheets, numbers, and what is refused."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import augment
from experiments.datasets import Dataset, Split
from experiments.listener import Listener
from experiments.place import Place
from experiments.runs import Run, tables
from experiments.studies import _measured, _subjects, _trust, saliency
from experiments.studies.saliency import Asked, Options

NAMES = ("goldfish, Carassius auratus", "monarch", "school bus [yellow]")
IDS = ("n01", "n02", "n03")
SIDE, N = 12, 9
# So small that all five methods take seconds.
OPTIONS = Options(samples=2, steps=2, patch=6, stride=6)
ASKED = Asked(limit=7, shown=4, steps=2, sanity=2, options=OPTIONS)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Images with a bright square, whose channel is the class, in its box."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    images = rng.integers(0, 60, (N, SIDE, SIDE, 3), np.uint8)
    corners = rng.integers(0, SIDE - 4, (N, 2))
    for image, label, (x, y) in zip(images, labels, corners, strict=True):
        image[y : y + 4, x : x + 4, label] = 220
    boxes = np.hstack([corners, corners + 3]).astype(np.float32)
    return Dataset("squares", Split(images, labels), Split(images, labels, boxes), NAMES, IDS)


def colors(name="colors", confused=False):
    """The class of the channel that is bright somewhere; one that mixes two of them up."""
    import keras

    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="maps")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(3, name="logits")(x)
    model = keras.Model(image, layers.Softmax(name="probs")(x), name=name)
    # The mean over a square, where it is brighter than the noise.
    kernel = np.broadcast_to(np.eye(3)[None, None] / 9, (3, 3, 3, 3))
    dense = 100 * np.eye(3)[[1, 0, 2] if confused else [0, 1, 2]]
    model.set_weights([kernel, np.full(3, -0.3), dense, np.zeros(3)])
    return model


@pytest.fixture(scope="module")
def runs(data, finish, tmp_path_factory) -> dict[str, Run]:
    import stacking

    root = tmp_path_factory.mktemp("explained")
    options = {"recipe": "test/colors", "share": {}}
    stacked = {"recipe": "test/both", "share": {}}
    members = {"good": colors(), "bad": colors(confused=True)}
    both = stacking.stack(members, on="logits", head=(), seed=0)
    return {
        "colors": finish(root / "colors", colors(), data, **options),
        "both": finish(root / "both", both, data, **stacked),
    }


@pytest.fixture(scope="module")
def place(data):
    """Where a data set is that `experiments.datasets` does not know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "check", lambda *_: None)
        patch.setattr(Place, "dataset", lambda *_: data)
        yield Place()


class Hearing(Listener):
    def __init__(self):
        self.said, self.steps = [], []

    def say(self, text):
        self.said.append(text)

    def progress(self, what, done, total):
        self.steps.append((done, total))


@pytest.fixture(scope="module")
def explained(runs, place, tmp_path_factory):
    heard = Hearing()
    out = tmp_path_factory.mktemp("out") / "new"
    return saliency.of_runs([runs["both"]], place, out, ASKED, listener=heard), heard


def test_every_model_and_map_has_its_numbers(explained):
    found, _ = explained
    models, maps = ("both", "both/good", "both/bad"), [*saliency.METHODS, *_trust.BASELINES]
    assert [(r["model"], r["method"]) for r in found.rows] == [(m, k) for m in models for k in maps]
    with (found.folder / tables.SALIENCY).open() as file:
        written = list(csv.DictReader(file))
    assert [row["deletion"] for row in written] == [str(row["deletion"]) for row in found.rows]
    assert {"device", "date", "command", "data"} <= written[0].keys()
    of = {(row["model"], row["method"]): row for row in found.rows}
    good = of["both/good", "gradcam"]
    assert (good["n"], good["correct"], good["sanity_n"]) == (7, 100, 2)
    assert of["both/bad", "gradcam"]["correct"] < 50
    # It looks at the square, the box, and nowhere else but for the filter's width.
    assert good["mass"] > 60 and good["pointing"] == 100 and good["box_area"] < 12
    random = of["both/good", "random pixels"]
    assert random["mass"] < 25 and random["sanity_all"] == ""
    assert good["deletion"] < random["deletion"] and good["insertion"] > random["insertion"]
    # Of logits that are linear above the filter's threshold, from black: nearly exact.
    assert 0 <= of["both/good", "integrated"]["incomplete"] < 60
    assert of["both/good", "gradcam"]["incomplete"] == ""


def test_what_was_made_is_said_in_a_file(explained):
    found, _ = explained
    told = json.loads((found.folder / tables.EXPLAINED).read_text())
    assert told["models"] == ["both", "both/good", "both/bad"]
    assert told["layers"]["both"] == ["good/maps", "bad/maps"]
    assert told["layers"]["both/bad"] == ["maps"] and told["table"] == tables.SALIENCY
    assert [s["method"] for s in told["sheets"]] == list(saliency.METHODS)
    assert told["settings"]["samples"] == 2 and "2 noisy images" in told["sheets"][1]["about"]
    for sheet, path in zip(told["sheets"], found.sheets, strict=True):
        assert path == found.folder / sheet["file"]
        # Four images, one a row: 7 cells of each, two pixels a unit.
        with Image.open(path) as image:
            assert image.size[0] == pytest.approx(2 * 7 * 110, abs=60)


def test_the_listener_hears_the_cost_before_and_all_of_the_work(explained):
    _, heard = explained
    (told,) = heard.said
    total = heard.steps[-1][1]
    assert told == f"explaining 7 images by 5 methods, 3 models: {total:,} images pass forward"
    assert heard.steps[-1] == (total, total)
    done = [step[0] for step in heard.steps]
    assert done == sorted(done) and done[-2] == total - 1  # what was told is what it took
    assert {step[1] for step in heard.steps} == {total}


def test_models_are_chosen_by_name(runs, place, tmp_path):
    asked = dataclasses.replace(ASKED, methods=("gradient",), only=("bad",), sanity=0)
    found = saliency.of_runs([runs["both"]], place, tmp_path, asked)
    assert {row["model"] for row in found.rows} == {"both/bad"}
    assert found.rows[0]["sanity_n"] == 0 and found.rows[0]["sanity_top"] == ""
    both = dataclasses.replace(asked, only=())
    found = saliency.of_runs(list(runs.values()), place, tmp_path, both)
    models = list(dict.fromkeys(row["model"] for row in found.rows))
    assert models == ["colors", "both", "both/good", "both/bad"]


def test_image_files_get_sheets_and_no_numbers(runs, data, place, monkeypatch, tmp_path):
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file, image in zip(files, data.validation.images, strict=False):
        Image.fromarray(image).resize((2 * SIDE, SIDE)).save(file)
    asked = dataclasses.replace(ASKED, methods=("gradcam",), of="monarch")
    found = saliency.of_runs([runs["colors"]], place, tmp_path / "out", asked, files=files)
    assert found.rows == [] and not (tmp_path / "out" / tables.SALIENCY).exists()
    told = json.loads((tmp_path / "out" / tables.EXPLAINED).read_text())
    assert told["table"] is None and not told["boxes"] and told["images"] == 2
    for change, message in (
        ({"of": "true"}, "nothing says what image files show"),
        ({"boxes": True}, "boxes are asked for, which image files do not have"),
    ):
        with pytest.raises(ValueError, match=message):
            saliency.of_runs(
                [runs["colors"]],
                place,
                tmp_path / "out",
                dataclasses.replace(asked, **change),
                files=files,
            )
    with pytest.raises(ValueError, match=r"c\.png"):
        saliency.of_runs(
            [runs["colors"]], place, tmp_path / "out", asked, files=[tmp_path / "c.png"]
        )


def test_members_that_end_in_features_are_left_out_and_told(data, finish, tmp_path):
    import stacking

    heard = Hearing()
    inner = stacking.stack({"a": colors(), "b": colors()}, on="probs", head=(), seed=0)
    for on, names in (("pooled", ["run"]), ("logits", ["run", "run/one", "run/whole"])):
        members = {"one": colors(), "whole": colors() if on == "pooled" else inner}
        stack = stacking.stack(members, on=on, head=(4,), seed=0)
        run = finish(tmp_path / on, stack, data, share={})
        assert list(_subjects.networks({"run": run}, listener=heard)) == names
    joint = stacking.joint({"a": colors("a"), "b": colors("b")})
    run = finish(tmp_path / "joint", joint, data, share={})
    assert list(_subjects.networks({"run": run}, listener=heard)) == ["run", "run/a", "run/b"]
    assert list(augment.maps_of(joint)) == ["a/maps", "b/maps"]
    # Features of as many numbers as there are classes are no classes.
    assert len(heard.said) == 2 and heard.said[0].startswith("one ends in features inside of run")


@pytest.mark.parametrize(
    ("of", "number"),
    [
        ("predicted", None),
        ("true", None),
        ("monarch", 1),
        ("goldfish", 0),
        ("goldfish, Carassius auratus", 0),
        ("n03", 2),
        ("2", 2),
    ],
)
def test_classes_are_named_in_several_ways(runs, of, number):
    assert _subjects.check_class(of, runs["colors"]) == number


def test_which_images_a_sheet_shows():
    labels = np.array([0, 1, 0, 1, 0, 1])
    said = np.array([1, 1, 0, 0, 0, 1])  # right, but for 0 and 3

    def shown(count, labels=labels):
        pictures = _subjects.Pictures(np.zeros((6, 2, 2, 1)), [""] * 6, labels)
        one = _measured.Explained("", np.eye(2)[said], said, (), {}, [])
        return _measured.shown(pictures, one, count).tolist()

    assert shown(4) == [1, 2, 0, 3]
    assert shown(6) == [1, 2, 4, 5, 0, 3]  # there are no more failures
    assert shown(2) == [1, 0] and shown(1) == [1]
    assert shown(4, None) == [0, 1, 2, 3]


def test_images_are_drawn_by_the_seed(data):
    some, more = (_subjects.of_data(data, limit, seed=3) for limit in (4, 7))
    np.testing.assert_array_equal(some.images, more.images[:4])
    assert list(some.names[:1]) == [NAMES[some.labels[0]].partition(",")[0]]
    assert _subjects.of_data(data, 100, seed=4).labels.tolist() != more.labels.tolist()


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"methods": ()}, "no methods: give some of gradient"),
        ({"methods": ("lime",)}, "method 'lime': give some of gradient"),
        ({"limit": 0}, "limit=0"),
        ({"sanity": -1}, "sanity=-1"),
    ],
)
def test_what_cannot_be_asked(fields, told):
    with pytest.raises(ValueError, match=told):
        Asked(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"of": "3"}, "class 3: .*colors has classes 0 to 2"),
        ({"of": "monach"}, "class 'monach': .* has no such class, close are monarch"),
    ],
)
def test_classes_that_there_are_not(runs, place, tmp_path, monkeypatch, fields, told):
    monkeypatch.setattr(Place, "dataset", lambda *_: pytest.fail("data was decoded"))
    with pytest.raises(ValueError, match=told):
        saliency.of_runs([runs["colors"]], place, tmp_path, Asked(**fields))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"options": Options(layer="map")}, "layer 'map' of .* does not exist: .* maps"),
        ({"options": Options(layer="pooled")}, "layer 'pooled' of .* has no maps"),
        ({"only": ("third",)}, "no model third: there are colors$"),
    ],
)
def test_layers_and_models_that_there_are_not(runs, place, tmp_path, fields, told):
    with pytest.raises(ValueError, match=told):
        saliency.of_runs([runs["colors"]], place, tmp_path / "out", Asked(**fields))
    assert not (tmp_path / "out").exists()


def test_a_vote_has_no_model_and_data_may_have_no_boxes(
    runs, data, make_run, place, monkeypatch, tmp_path
):
    vote = Run(make_run(tmp_path / "vote", "laptop/mode", images=20))
    with pytest.raises(ValueError, match="kind vote, which has no model of its own"):
        saliency.of_runs([vote], place, tmp_path / "out")
    bare = Split(data.validation.images, data.validation.labels)
    monkeypatch.setattr(Place, "dataset", lambda *_: dataclasses.replace(data, validation=bare))
    with pytest.raises(ValueError, match="boxes are asked for, squares has none"):
        saliency.of_runs([runs["colors"]], place, tmp_path / "out", Asked(boxes=True))
    asked = dataclasses.replace(ASKED, methods=("gradient",), sanity=0)
    found = saliency.of_runs([runs["colors"]], place, tmp_path / "out", asked)
    assert {row["mass"] for row in found.rows} == {""}
    with pytest.raises(ValueError, match="no runs given"):
        saliency.of_runs([], place, tmp_path / "out")
