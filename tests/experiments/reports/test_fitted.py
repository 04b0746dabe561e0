"""The first page about somebody's own pictures: how good, where it fails, what to do next."""

import json
import re

import pytest

from experiments.reports.sections import fitted
from experiments.reports.sections.fitted import Facts, advice
from experiments.runs import scores, tables

ROW = "few_images/tuned"
NAMES = ["cat", "dog", "owl"]
MADE = {
    "asked": {"minutes": 20, "aim": "balanced"},
    "look": {"train": [100, 90, 80], "class_names": NAMES, "side": 64},
    "told": ["270 pictures to learn from", "64x64 pixels <in color>"],
    "rows": ["tuned"],
    "why": {"tuned": ["few pictures"]},
    "short": [],
    "commands": {"tuned": "python -m experiments run tuned.yaml"},
}


@pytest.fixture
def fit(make_run, tmp_path):
    """Return a function that leaves a finished run with what `fit` left beside it."""

    def make(top1=80, **changes):
        make_run(tmp_path / "fit" / "tuned", ROW, classes=NAMES, images=90, top1=top1, epochs=5)
        (tmp_path / "fit" / tables.FIT).write_text(json.dumps(MADE | changes))
        return tmp_path / "fit"

    return make


def test_the_page_begins_with_what_people_ask(fit, page_of):
    folder = fit()
    page = page_of(folder)
    assert "#fitted" in page.references
    source = " ".join(page.source.split())
    low, high = scores.interval(80, 90)
    assert "<dd>80.0 %</dd><dd>of 90 pictures" in source
    assert f"<dd>{low:.1f} to {high:.1f} %</dd>" in source
    assert "64x64 pixels &lt;in color&gt;" in source and MADE["commands"]["tuned"] in source
    assert page.source.index("In short") < page.source.index('id="results"')
    table = next(one for one in page.tables if one[0][0].startswith("Class"))
    assert {row[0] for row in table[1:]} == set(NAMES)
    right = [float(row[1]) for row in table[1:]]
    assert right == sorted(right), "the worst class comes first"
    assert sum(image.startswith("data:image") for image in page.images) >= fitted.MISTAKES


def test_a_page_without_fit_has_no_such_section(make_run, page_of, tmp_path):
    page = page_of(make_run(tmp_path / "run", ROW, classes=NAMES, images=90, epochs=5))
    assert "#fitted" not in page.references


def test_a_damaged_file_is_named(fit, page_of):
    folder = fit()
    (folder / tables.FIT).write_text("{}")
    with pytest.raises(ValueError, match=r"fit.json cannot be used \(no asked, look.*fit again"):
        page_of(folder)


def facts(made=(), n=10_000, top1=90.0, gap=2.0, size=64):
    between, worst = scores.interval(top1, n), ("dog", 50.0, 90)
    return Facts(MADE | dict(made), top1, between, n, top1 + gap, gap, worst, size)


LOOK = MADE["look"]


@pytest.mark.parametrize(
    "found, told",
    [
        (facts(n=40), "More pictures to validate on: 40 leave open whether 77 or 96 %"),
        (facts(gap=9.0), "99 % of those that it learned, 90 % of new ones. Begin with dog, of "),
        (facts({"look": LOOK | {"train": [500, 90, 80]}}), "More pictures of owl: it has 80, the"),
        (facts({"short": ["tuned"]}), "Longer training.*--minutes 60"),
        (
            facts({"look": LOOK | {"side": 480}}),
            "yours have 480 pixels.*data.size=96: .* 2.2 times",
        ),
        (facts(), "Several networks"),
        (facts(top1=99.0, gap=0.5), "Try it on pictures that it has never seen"),
    ],
)
def test_advice_follows_from_what_was_seen(found, told):
    assert re.search(told, advice(found)[0])
    assert 1 <= len(advice(found)) <= fitted.NEXT


def test_training_longer_is_no_advice_to_what_is_known_by_heart():
    lines = advice(facts({"short": ["tuned"]}, gap=20.0))
    assert not any("Longer" in line for line in lines)


def test_a_perfect_run_fails_nowhere(fit, page_of):
    assert "Nowhere: every picture" in page_of(fit(top1=100)).source


def test_a_copy_of_its_result_alone_is_a_run_like_others(fit, page_of):
    folder = fit()
    for file in ("predictions.npz", "samples.npz"):
        (folder / "tuned" / file).unlink()
    page = page_of(folder)
    assert "#fitted" not in page.references and "results" in page.ids
