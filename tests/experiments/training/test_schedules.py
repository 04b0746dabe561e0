"""The rate of each step: known answers, the same inside what is compiled, and what is refused."""

import re

import numpy as np
import pydantic
import pytest

from experiments.recipes import rates
from experiments.recipes.fitting import Plateau
from experiments.training import schedules

STEPS, EPOCHS, PEAK = 10, 6, 2.0
MILESTONES = {"epochs": [2, 4.5], "factor": 0.1}
# Step -> rate; sixty steps, ten an epoch.
KNOWN = [
    (rates.Constant(warmup=0.5), {0: 0.0, 1: 0.4, 4: 1.6, 5: 2.0, 59: 2.0}),
    (rates.Constant(warmup=1, warmup_start=0.5), {0: 1.0, 5: 1.5, 9: 1.9, 10: 2.0}),
    # Half a step: the first one is at its start, the second one past it.
    (rates.Constant(warmup=0.05), {0: 0.0, 1: 2.0}),
    (
        rates.Milestones(name="milestones", **MILESTONES),
        {0: 2.0, 19: 2.0, 20: 0.2, 44: 0.2, 45: 0.02, 59: 0.02},
    ),
    # The warm-up does not move them; it leads to where the schedule is at its end.
    (
        rates.Milestones(name="milestones", warmup=3, **MILESTONES),
        {0: 0.0, 15: 0.1, 30: 0.2, 44: 0.2, 45: 0.02},
    ),
    (
        rates.Exponential(name="exponential", factor=0.25),
        {0: 2.0, 5: 1.0, 10: 0.5, 20: 0.125},
    ),
    (
        rates.Exponential(name="exponential", factor=0.25, every=2, staircase=True, warmup=1),
        {0: 0.0, 5: 1.0, 10: 2.0, 29: 2.0, 30: 0.5, 49: 0.5, 50: 0.125},
    ),
    (
        rates.Exponential(name="exponential", factor=0.25, min_lr=0.4),
        {0: 2.0, 10: 0.5, 11: 2 * 0.25**1.1, 12: 0.4, 59: 0.4},
    ),
    (
        rates.Cosine(name="cosine"),
        {0: 2.0, 20: 1.5, 30: 1.0, 40: 0.5, 59: 1 + np.cos(np.pi * 59 / 60), 60: 0.0, 99: 0.0},
    ),
    (
        rates.Cosine(name="cosine", end=0.1, warmup=2),
        {0: 0.0, 10: 1.0, 20: 2.0, 30: 0.2 + 0.9 * (1 + np.sqrt(0.5)), 40: 1.1, 60: 0.2},
    ),
    # airbench94: 0.2 at the first step, the whole at floor(0.23 * 60) = 13, 0.07 after the last.
    (
        rates.OneCycle(name="one_cycle", start=0.2, peak=0.23, end=0.07),
        {0: 0.4, 13: 2.0, 12: 2 * (0.2 + 0.8 * 12 / 13), 14: 2 * (1 - 0.93 / 47), 60: 0.14},
    ),
    (
        rates.OneCycle(name="one_cycle", start=0.2, peak=0.5, warmup=1),
        {0: 0.0, 5: 0.2, 10: 0.4, 35: 2.0, 60: 0.0},
    ),
    # No way up, and no way down.
    (rates.OneCycle(name="one_cycle", peak=0.0), {0: 2.0, 30: 1.0, 60: 0.0}),
    (rates.OneCycle(name="one_cycle", peak=1.0), {0: 0.0, 30: 1.0, 60: 2.0}),
]


@pytest.mark.parametrize(("spec", "known"), KNOWN, ids=lambda one: str(one)[:60])
def test_rates_at_chosen_steps(spec, known):
    found = {step: schedules.rate(spec, PEAK, step, STEPS, EPOCHS) for step in known}
    assert found == pytest.approx(known)


@pytest.mark.backend
@pytest.mark.parametrize("spec", [spec for spec, _ in KNOWN], ids=lambda one: str(one)[:60])
def test_the_compiled_rate_is_the_plain_one(spec):
    """Jumps are in the same step: float32 is enough for that."""
    import keras

    from experiments.training.schedules import PerStep, Span

    # Of an odd number of steps, whose shares are not exact in binary.
    schedule = PerStep(spec, 0.3, Span(781, 6))
    borders = [border + near for border in range(0, 6 * 781, 781) for near in (-1, 0, 1)]
    steps = [step for step in (*borders, 390, 391, 1562, 3514, 3515) if step >= 0]
    for step in steps:
        found = keras.ops.convert_to_numpy(schedule(keras.ops.convert_to_tensor(step, "int32")))
        assert found.dtype == np.float32
        # An angle's rounding is up to pi 2^-24, all that is left near the end of a cosine.
        assert found == pytest.approx(schedule.at(step), rel=1e-5, abs=1e-7), step


def test_the_fewer_of_epochs_and_steps_end_a_schedule():
    spec = rates.Cosine(name="cosine")
    assert schedules.Span(10, 6).total == schedules.Span(10, 6, 99).total == 60
    assert schedules.rate(spec, PEAK, 15, STEPS, EPOCHS, max_steps=30) == pytest.approx(1.0)
    # All of it warm-up.
    warm = rates.Cosine(name="cosine", warmup=2)
    assert schedules.rate(warm, PEAK, 10, STEPS, EPOCHS, max_steps=15) == pytest.approx(1.0)


def test_an_unchanged_rate_stays_the_optimizer_s_own_variable():
    span = schedules.Span(STEPS, EPOCHS)
    assert schedules.per_step(rates.Constant(), PEAK, span) is None
    plateau = Plateau(name="plateau", patience=1, factor=0.5)
    assert schedules.per_step(plateau, PEAK, span) is None
    assert schedules.per_step(rates.Constant(warmup=1), PEAK, span).at(5) == 1.0


@pytest.mark.backend
def test_history_tells_the_rate_of_each_epoch_s_last_step(parse, train, stripes, tmp_path):
    """Four steps an epoch, three epochs."""
    run = train(parse(schedule={"name": "cosine", "warmup": 0.5}), tmp_path / "run", stripes)
    spec = run.row.schedule
    due = [schedules.rate(spec, 0.01, step, 4, 3) for step in (3, 7, 11)]
    assert run.history["lr"] == pytest.approx(due, rel=1e-5)  # six digits


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rates.Milestones(name="milestones", epochs=[4, 2], factor=0.1), "must rise"),
        (lambda: rates.Milestones(name="milestones", epochs=[], factor=0.1), "epochs"),
        (lambda: rates.Milestones(name="milestones", epochs=[1], factor=1), "factor"),
        (lambda: rates.Exponential(name="exponential", factor=0.9, every=0), "every"),
        (lambda: rates.Cosine(name="cosine", end=1.5), "end"),
        (lambda: rates.OneCycle(name="one_cycle", peak=-0.1), "peak"),
        (lambda: rates.Constant(warmup=-1), "warmup"),
        (lambda: rates.Constant(warmup=1, warmup_start=2), "warmup_start"),
    ],
)
def test_fields_that_do_not_fit_are_named(make, told):
    with pytest.raises(pydantic.ValidationError, match=told):
        make()


def test_a_row_names_the_schedules_that_there_are(parse):
    with pytest.raises(ValueError, match="schedule: ") as caught:
        parse(schedule={"name": "cosin"})
    for name in ("constant", "plateau", "milestones", "exponential", "cosine", "one_cycle"):
        assert f"'{name}'" in str(caught.value)
    with pytest.raises(ValueError, match=re.escape("schedule.warmup: 3.5 epochs, and there are 3")):
        parse(schedule={"name": "cosine", "warmup": 3.5})
