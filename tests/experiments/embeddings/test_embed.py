"""Embeddings of data sets and of runs: the folder, what it says, and what is refused."""

import csv
import json

import numpy as np
import pytest

from experiments import recipes, runs
from experiments.datasets import Dataset, Split
from experiments.embeddings import embed
from experiments.embeddings.asked import Asked
from experiments.place import Place
from experiments.recipes import Images
from experiments.runs import Run, metrics, tables

SIDE, NAMES = 16, tuple("abc")
ASKED = {"rebuilt": (1, 3), "perplexities": (2, 5), "per_class": 8, "shown": 4}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Images of noise, one of whose colors is bright: which is their class."""
    random = np.random.default_rng(0)

    def split(n):
        labels = np.arange(n) % 3
        images = random.integers(0, 120, (n, SIDE, SIDE, 3), np.uint8)
        images[np.arange(n), :, :, labels] += 100
        return Split(images, labels)

    return Dataset("colors", split(60), split(24), NAMES, NAMES)


@pytest.fixture(scope="module")
def place(data):
    """Where a data set is that `experiments.datasets` does not know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "check", lambda *_: None)
        patch.setattr(Place, "dataset", lambda *_: data)
        yield Place()


@pytest.fixture(scope="module")
def network(data, tmp_path_factory) -> Run:
    """A finished run of a network whose features are the means of the colors."""
    import keras

    from experiments.training.predict import predict_probs

    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(image)
    x = keras.layers.Dense(3, name="logits", kernel_initializer="identity")(x)
    model = keras.Model(image, keras.layers.Softmax(name="probs")(x))
    row = {"recipe": "test/network", "data": {"name": "colors"}, "model": {"name": "resnet18"}}
    row = recipes.parse(row | {"epochs": 1}, "test")
    folder = tmp_path_factory.mktemp("embedded") / "network"
    with runs.making(folder, row, data) as run:
        run.write_model(model)
        scores = run.write_outputs(data, predict_probs(model, data.validation.images))
        run.finish(metrics.build(row, run.dataset, scores, {"parameters": 12}))
    return run


def test_a_data_set_is_embedded_by_its_pixels(place, tmp_path):
    found = embed.of_data(Images(name="colors"), place, tmp_path / "out", Asked(**ASKED))
    content = json.loads((tmp_path / "out" / tables.EMBEDDINGS).read_text())
    assert content["data"] == "colors" and content["runs"] == []
    assert content["train"] == 60 and content["shape"] == [SIDE, SIDE, 3]
    assert (
        list(content["parts"]) == list(found.parts) == [p for p in embed.PARTS if p != "mistakes"]
    )
    _whole(found, content)


def test_a_run_is_embedded_by_its_features_as_well(place, network, tmp_path):
    found = embed.of_runs([network], place, tmp_path, Asked(**ASKED))
    content = json.loads((tmp_path / tables.EMBEDDINGS).read_text())
    assert content["runs"] == ["test/network"] and list(content["parts"]) == list(embed.PARTS)
    _whole(found, content)


@pytest.mark.backend
def test_features_are_those_of_the_network(place, network, tmp_path):
    parts = ("components", "separation")
    found = embed.of_runs([network], place, tmp_path, Asked(**ASKED | {"parts": parts}))
    (table,) = found.parts["components"].tables
    assert [row["values"] for row in table.rows if row["space"] == "network"] == [3, 3]
    (row,) = (row for row in found.parts["separation"].tables[0].rows if row["space"] == "network")
    assert row["neighbors_1"] == row["probe"] == row["own"] == 100


def _whole(found: embed.Embedded, content: dict):
    """All that is named is there, and no more: sheets, and tables of as many rows as are told."""
    files = {tables.EMBEDDINGS} | {sheet.name for sheet in found.sheets}
    for name, part in found.parts.items():
        for table, told in zip(part.tables, content["parts"][name]["tables"], strict=True):
            files.add(table.file)
            with (found.folder / table.file).open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert told["rows"] == len(table.rows) and len(rows) == max(1, told["rows"])
            assert {column["key"] for column in told["columns"]} <= rows[0].keys()
    assert {path.name for path in found.folder.iterdir()} == files


def test_only_parts_that_are_asked_for_are_made(place, tmp_path):
    asked = Asked(parts=("components",), **ASKED)
    assert list(embed.of_data(Images(name="colors"), place, tmp_path, asked).parts) == [
        "components"
    ]


def test_of_a_vote_the_answers_count_alone(place, network, data, hearing, tmp_path):
    row = {"kind": "vote", "recipe": "test/vote", "data": {"name": "colors"}}
    row = recipes.parse(row | {"members": ["network"]}, "test")
    with runs.making(tmp_path / "vote", row, data) as vote:
        scores = vote.write_outputs(data, network.probs.astype(float))
        vote.finish(metrics.build(row, vote.dataset, scores, {"parameters": 12}))
    asked = Asked(parts=("mistakes",), **ASKED)
    out = tmp_path / "out"
    embed.of_runs([network, vote], place, out, asked, listener=hearing)
    assert any("vote: no single network" in said for said in hearing.said)


def test_bad_input_is_refused_before_the_work(place, network, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "_made", lambda *_: pytest.fail("it was worked on"))
    images, asked = Images(name="colors"), Asked(**ASKED)
    with pytest.raises(ValueError, match="part .--part. 'umap': there are components"):
        embed.of_data(images, place, tmp_path, Asked(parts=("umap",)))
    with pytest.raises(ValueError, match="no runs given"):
        embed.of_runs([], place, tmp_path)
    with pytest.raises(ValueError, match="is no finished run"):
        embed.of_runs([Run(tmp_path / "nothing")], place, tmp_path, asked)
    other = Run(make_run(tmp_path / "other"))
    with pytest.raises(ValueError, match="needs the same images"):
        embed.of_runs([network, other], place, tmp_path, asked)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file"):
        embed.of_data(images, place, tmp_path / "file", asked)


@pytest.mark.parametrize("parts", [(), ("components", "tsne")])
def test_what_the_data_cannot_grant_is_refused_before_anything_is_computed(
    parts, place, tmp_path, monkeypatch
):
    refuse = embed.Maker(lambda *_: pytest.fail("it was worked on"))
    monkeypatch.setitem(embed.PARTS, "components", refuse)
    asked = Asked(**ASKED | {"perplexities": (500,), "parts": parts})
    with pytest.raises(ValueError, match="24 training images of 3 classes, and a perplexity"):
        embed.of_data(Images(name="colors"), place, tmp_path, asked)


@pytest.mark.parametrize(
    "field", [{"classes": 0}, {"keep": 0}, {"keep_of": "all"}, {"perplexities": ()}, {"seed": -1}]
)
def test_a_wish_that_makes_no_sense_is_refused(field):
    ((name, value),) = field.items()
    with pytest.raises(
        ValueError, match=f"{name}={value!r}".replace("(", r"\(").replace(")", r"\)")
    ):
        Asked(**field)
