"""Every row of every paper can be run, or says what it lacks: its parts are made here."""

import importlib
import json
import re

import numpy as np
import pytest

import augment
import zoo
from experiments import cost, datasets, recipes
from experiments.recipes import Train
from stacking.vote import RULES

ROWS = {row.recipe: row for paper in recipes.papers() for row in recipes.rows(paper).values()}
# Papers' tables: how many rows there are at least, and of them with a published top-1 of any kind;
# other kinds of rows may join them.
TABLES = {
    "alphanet": (19, 13),
    "cars": (56, 54),
    "deeper": (18, 9),
    "ghost_ensembles": (25, 16),
    "simplenet": (13, 12),
}
# Sections of the reference's facts; P3's runs are held in test_cars.py.
SECTIONS = {"ghost_ensembles": "P1", "alphanet": "P2", "deeper": "P4", "simplenet": "P5"}
# Fields under which a network has the same layers and shapes.
SAME_LAYERS = {"weights", "dropout", "mean", "std"}


def _networks(row):
    """Return what is built of a row, by name: one network, or those that are trained together."""
    if isinstance(row, Train):
        return {row.name: row}
    return getattr(row, "alone", {})


NETWORKS = {
    f"{recipe}:{name}": one for recipe, row in ROWS.items() for name, one in _networks(row).items()
}


def _key(row):
    """What rows have in common whose networks have the same layers."""
    fields = {key: value for key, value in row.model.items() if key not in SAME_LAYERS}
    size = cost.known_size(row, None)
    return json.dumps(fields, sort_keys=True), size.shape if size else (64, 64, 3)


DIFFERENT = {_key(row): row for row in reversed(NETWORKS.values())}


@pytest.fixture
def undrawn(monkeypatch):
    """Initial weights of zero: draws take longer than all else."""
    import keras

    draws, zeros = zoo._blocks.host_objects()["VarianceScaling"], keras.ops.zeros
    monkeypatch.setattr(draws, "__call__", lambda self, shape, dtype=None: zeros(shape, dtype))


@pytest.mark.parametrize("paper", TABLES)
def test_a_paper_has_its_table(paper):
    rows = recipes.rows(paper).values()
    told = [row for row in rows if row.expect and (row.expect.top1 or row.expect.train_top1)]
    least, published = TABLES[paper]
    assert len(rows) >= least
    assert len(told) >= published


@pytest.mark.parametrize("key", DIFFERENT, ids=[row.recipe for row in DIFFERENT.values()])
def test_networks_are_built(key, undrawn):
    """In the cheap form of their architecture, but for what the row says of them."""
    model, shape = json.loads(key[0]), key[1]
    cheap = dict(importlib.import_module(f"zoo.{zoo.info(model['name']).family}").TINY)
    built = zoo.build(**{**cheap, **model}, input_shape=shape, classes=10)
    assert built.input_shape == (None, *shape)
    assert built.output_shape == (None, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_known_by_name_or_fresh(name):
    row = NETWORKS[name]
    known = zoo.info(row.model["name"]).weights
    weights = row.model.get("weights")
    assert weights is None or weights in known or weights.startswith("timm:")


@pytest.mark.parametrize("name", [x for x, row in ROWS.items() if getattr(row, "augment", None)])
def test_policies_draw_for_the_row_s_images(name):
    row = ROWS[name]
    shape = cost.known_size(row, None).shape
    drawn = augment.draw(augment.get(row.augment), seed=1, epoch=0, indices=range(3), shape=shape)
    assert drawn and all(np.isfinite(value).all() for value in drawn.values())


@pytest.mark.parametrize("name", [x for x, row in ROWS.items() if hasattr(row, "optimizer")])
def test_optimizer_and_schedule_are_made(name):
    from experiments.training import optimizers, schedules

    row = ROWS[name]
    if row.optimizer is None:  # experts that train as the run that they come from
        return
    span = schedules.Span(steps_per_epoch=10, epochs=row.epochs)
    schedule = getattr(row, "schedule", None)
    per_step = schedule and schedules.per_step(schedule, row.optimizer.learning_rate, span)
    made = optimizers.make(row.optimizer, per_step or None, getattr(row, "average", None), 10)
    assert float(made.learning_rate) >= 0
    if schedule:
        rates = [
            schedules.rate(schedule, row.optimizer.learning_rate, step, 10, row.epochs)
            for step in (0, span.total // 2, span.total)
            if schedule.name != "plateau"
        ]
        assert all(0 <= rate <= row.optimizer.learning_rate * 1.0001 for rate in rates)


LOSSES = {row.loss.model_dump_json(): row.loss for row in ROWS.values() if hasattr(row, "mix")}


@pytest.mark.parametrize("told", LOSSES)
def test_losses_are_finite(told):
    from experiments.training.targets import Labels

    targets = Labels(LOSSES[told])
    labels = targets.of(None, np.array([0, 2]))
    loss = targets.loss()(labels, np.array([[1.0, 0, 0], [0, 0, 1]], "float32"))
    assert np.isfinite(np.asarray(loss)).all()


@pytest.mark.parametrize("name", ROWS)
def test_data_and_cost_are_known_before_anything_runs(name):
    row = ROWS[name]
    assert datasets.facts(row.data.name) is not None
    assert cost.known_size(row, None) is not None


@pytest.mark.parametrize("name", [x for x, row in ROWS.items() if hasattr(row, "rule")])
def test_votes_have_rules_that_there_are(name):
    assert ROWS[name].rule in RULES


@pytest.mark.parametrize("name", ROWS)
def test_accuracies_that_are_published_are_percents_of_the_row_s_data(name):
    told = ROWS[name].expect
    if told is None:
        return
    percents = (told.top1, told.top3, told.top5, told.train_top1, told.adversarial)
    assert all(x is None or 1 < x <= 100 for x in percents)
    assert told.dataset in (None, ROWS[name].data.name)
    if told.top1 and told.top5:
        assert told.top1 <= told.top5
    limit = getattr(ROWS[name], "epochs", None)
    assert told.epochs is None or limit is None or told.epochs <= limit


@pytest.mark.parametrize("paper", SECTIONS)
def test_goals_are_numbers_of_the_paper(paper, shared):
    """Accuracies stand in the section of their paper, in percent or, of P4, as shares."""
    text = (shared / "papers.md").read_text(encoding="utf-8")
    section = text.split(f"## {SECTIONS[paper]} `{paper}`")[1].split("\n## ")[0]
    numbers = {float(number) for number in re.findall(r"\d+\.?\d*", section)}
    for name, row in recipes.rows(paper).items():
        told = row.expect
        for goal in filter(None, told and (told.top1, told.top5, told.train_top1) or ()):
            assert {goal, round(goal / 100, 4)} & numbers, name
    if paper == "deeper":
        for row in recipes.rows(paper).values():
            pair = row.expect and f"{row.expect.top1 / 100:.4f} / {row.expect.top5 / 100:.4f}"
            assert pair is None or pair in section
