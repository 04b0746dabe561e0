"""Which images runs get wrong, in what order, and how many label issues that suggests."""

import numpy as np
import pytest
from PIL import Image

from experiments.datasets import Dataset, Split
from experiments.embeddings import mistakes
from experiments.embeddings.asked import Asked, Work
from experiments.runs import Run


def test_mistakes_are_ranked_by_runs_then_by_the_given_class():
    labels = np.array([0, 0, 1, 2])
    one = np.array([[0.1, 0.9, 0], [0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.2, 0.5, 0.3]])
    two = np.array([[0.1, 0.9, 0], [0.4, 0.6, 0], [0.1, 0.3, 0.6], [0.3, 0.6, 0.1]])
    found = mistakes.often([one, two], labels)
    assert found.images.tolist() == [0, 3, 2, 1]
    assert found.wrong.tolist() == [2, 2, 2, 1]
    # Of image 2 the runs say 0 and 2, of which 0 has the higher mean.
    assert found.said.tolist() == [1, 1, 0, 1] and found.votes.tolist() == [2, 2, 1, 1]
    assert found.given == pytest.approx([0.1, 0.2, 0.25, 0.65])
    assert found.other == pytest.approx([0.9, 0.55, 0.4, 0.35])
    assert found.suspected.tolist() == [True, False, False, False]


def test_label_issues_by_hand():
    """Each class is calibrated to its count: a quarter of four, and half of two, off diagonal."""
    first = np.array([0.9, 0.7, 0.2, 0.6, 0.3, 0.62])
    labels = np.array([0, 0, 0, 0, 1, 1])
    probs = np.stack([first, 1 - first], axis=1)
    limits = [first[:4].mean(), (1 - first[4:]).mean()]  # 0.6, 0.54
    joint = np.zeros((2, 2))
    for given, row in zip(labels, probs, strict=True):
        reached = [j for j in (0, 1) if row[j] >= limits[j]]
        if reached:
            joint[given, max(reached, key=lambda j: row[j])] += 1
    assert joint.tolist() == [[3, 1], [1, 1]]
    assert mistakes.issues(probs, labels) == pytest.approx(4 * 1 / 4 + 2 * 1 / 2)


def test_sure_and_right_networks_give_no_issues_and_empty_classes_do_no_harm():
    assert mistakes.issues(np.eye(4)[[0, 1, 1, 2]], np.array([0, 1, 1, 2])) == 0


@pytest.fixture(scope="module")
def work(make_run, tmp_path_factory, photos) -> Work:
    folder = tmp_path_factory.mktemp("runs")
    made = [make_run(folder / str(n), images=40, seed=n, shown=photos[:20]) for n in (0, 1)]
    runs = [Run(path) for path in made]
    held = Split(photos[np.arange(40) % 20], np.arange(40) % 10)
    described = runs[0].dataset
    names, ids = (tuple(described[key]) for key in ("class_names", "class_ids"))
    train = Split(np.zeros((400, *photos.shape[1:]), np.uint8), np.arange(400) % 10)
    digest = {"train": "0" * 8, "validation": f"{40:08}"}
    data = Dataset(described["name"], train, held, names, ids, digest=digest)
    return Work(data, {}, Asked(shown=5), runs)


def test_a_table_and_a_sheet_of_all_runs(work, tmp_path):
    part = mistakes.make(work, tmp_path)
    (table,) = part.tables
    wrong = np.stack([run.probs.argmax(axis=1) != run.labels for run in work.runs]).sum(axis=0)
    assert [row["wrong"] for row in table.rows] == sorted(wrong[wrong > 0], reverse=True)
    assert {row["image"] for row in table.rows} == set(np.flatnonzero(wrong))
    assert all(set(row) == {one.key for one in table.columns} for row in table.rows)
    assert part.notes[0].startswith(f"{(wrong == 2).sum()} of 40 validation images")
    assert "n = 40" in part.notes[2]
    assert [sheet.file for sheet in part.sheets] == ["mistakes.png"]
    with Image.open(tmp_path / "mistakes.png") as sheet:
        assert sheet.width > 5 * 100


def test_without_runs_there_is_nothing_to_say(work, tmp_path):
    assert mistakes.make(Work(work.data, {}, work.asked), tmp_path) is None


def test_runs_of_other_data_are_refused(work, make_run, tmp_path):
    other = Run(make_run(tmp_path / "other", images=60))
    with pytest.raises(ValueError, match="other images or classes"):
        mistakes.make(Work(work.data, {}, work.asked, [*work.runs, other]), tmp_path)
    assert not list(tmp_path.glob("*.png"))
