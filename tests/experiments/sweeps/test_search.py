"""The course of a sweep: which trials run, what becomes of them, and what a cut sweep repeats."""

import json
import signal

import numpy as np
import pytest

from experiments import progress
from experiments.listener import Listener
from experiments.runs import Run, names, trials
from experiments.sweeps.journal import Trial
from experiments.sweeps.trial import row_of, run

DIED = f"its process ended by signal {signal.SIGKILL.name} (log: somewhere)"
DIVERGED = "the loss is nan in step 3: training has diverged"


class Hearing(Listener):
    """Keeps what is said, and the last that is told of how far it is."""

    def __init__(self):
        self.said, self.bars = [], []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self.bars.append((what, done, total))


def _rate(line) -> float:
    return line.values["optimizer.learning_rate"]


def test_trials_run_one_after_the_other_then_the_sweep_s_own_run(
    carry_out, sweep, workers, lines, folder
):
    executor, hearing = workers(), Hearing()
    carry_out(sweep(), executor, hearing)
    assert executor.done == ["001", "002", "003", "004", "sweep"] and executor.most == 1
    found = lines()
    assert [one.status for one in found] == ["finished"] * 4
    for one in found:
        run = Run(folder / names.TRIALS / f"{one.trial:03}")
        assert run.row.recipe == f"test/sweep_{one.trial:03}" and run.row.epochs == 2
        assert run.row.optimizer.learning_rate == _rate(one)
        assert run.row.batch_size == one.values["batch_size"]
        # `keep: best`: the best epoch's.
        assert one.score == pytest.approx(run.history["val_top1"].max(), abs=1e-4)
        assert one.epochs is None and one.attempts == 1 and one.seconds > 0
    told = [text for text in hearing.said if text.startswith("trial ")]
    assert len(told) == 4 and told[0].startswith(f"trial 1 of 4: val_top1 {found[0].score:.4g} (")
    assert f"optimizer.learning_rate {_rate(found[0]):.4g}" in told[0]
    assert [done for _, done, _ in hearing.bars] == [0, 1, 2, 3, 3]
    assert hearing.bars[1][0].startswith("trials: 1 running, best ")
    assert hearing.bars[1][0].endswith(" left")


def test_the_same_seed_proposes_the_same(carry_out, sweep, workers, place, lines):
    carry_out(sweep(), workers())
    first = [one.values for one in lines()]
    carry_out(sweep("other", recipe="test/other"), workers())
    carry_out(sweep("third", recipe="test/third", seed=1), workers())
    tables = [
        [one["values"] for one in json.loads(path.read_text())["trials"]]
        for path in (place.runs / "test" / name / names.SWEEP for name in ("other", "third"))
    ]
    assert tables[0] == first != tables[1]


@pytest.mark.parametrize(
    ("search", "stop"), [("random", 0), ("random", 5), ("hyperband", 5), ("bayesian", 4)]
)
def test_a_sweep_that_is_cut_off_goes_on_with_the_same_proposals(
    carry_out, sweep, workers, folder, search, stop
):
    """The trial that was begun is begun again, and what is finished is not."""
    # A Gaussian process is asked from the fourth trial on: after three for each dimension.
    space = {"optimizer.learning_rate": {"min": 0.0001, "max": 0.01, "sampling": "log"}}
    fields = {"search": search, "space": space, "trials": 6, "epochs": 4, "factor": 2}
    whole, cut = workers(), workers()
    carry_out(sweep(**fields), whole)
    told = json.loads((folder / names.SWEEP).read_text())
    folder.rename(folder.with_name("whole"))
    cut.stop_after = stop
    with pytest.raises(KeyboardInterrupt):
        carry_out(sweep(**fields), cut)
    again = workers()
    carry_out(sweep(**fields), again)
    assert cut.done + again.done == whole.done
    after = json.loads((folder / names.SWEEP).read_text())
    assert after["asked"] == told["asked"]
    assert [one["values"] for one in after["trials"]] == [one["values"] for one in told["trials"]]


def test_a_trial_that_ended_while_nobody_looked_is_not_repeated(
    carry_out, sweep, workers, folder, make_run
):
    cut = workers()
    cut.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        carry_out(sweep(), cut)
    third = folder / names.TRIALS / "003"
    values = json.loads((folder / names.SWEEP).read_text())["trials"][2]["values"]
    row = row_of(sweep(), folder, Trial(3, values))
    make_run(third, row, epochs=2, images=100)
    again = workers()
    carry_out(sweep(), again)
    assert again.done == ["004", "sweep"]


def test_a_trial_that_fails_is_told_and_the_others_go_on(carry_out, sweep, workers, lines, folder):
    executor = workers(fail={2: [(DIED, True)], 3: [(DIVERGED, False)]})
    hearing = Hearing()
    assert not carry_out(sweep(), executor, hearing).failed
    assert [one.status for one in lines()] == ["finished", "failed", "failed", "finished"]
    assert [one.reason for one in lines()] == ["", DIED, DIVERGED, ""]
    assert lines()[1].score is None and lines()[1].seconds is None
    kept = json.loads((folder / names.SWEEP).read_text())["trials"]
    assert kept[1]["log"] == ["a line", DIED]
    assert any(text.startswith(f"trial 2 of 4 failed: {DIED}") for text in hearing.said)
    assert "1 failed" in hearing.bars[2][0]


def test_what_died_is_tried_again_and_an_error_is_not(carry_out, sweep, workers, lines):
    ends = {1: [(DIED, True)] * 2, 2: [(DIED, True)] * 3, 3: [(DIVERGED, False)]}
    executor = workers(fail=ends)
    carry_out(sweep(retries=2), executor)
    assert executor.done == ["001"] * 3 + ["002"] * 3 + ["003", "004", "sweep"]
    assert [(one.status, one.attempts) for one in lines()] == [
        ("finished", 3),
        ("failed", 3),
        ("failed", 1),
        ("finished", 1),
    ]


def test_an_attempt_counts_over_a_cut(carry_out, sweep, workers, lines):
    cut = workers(fail={1: [(DIED, True)]})
    cut.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        carry_out(sweep(retries=1), cut)
    again = workers(fail={1: [(DIED, True)]})
    carry_out(sweep(retries=1), again)
    assert again.done[0] == "001" and again.done.count("001") == 1
    assert (lines()[0].status, lines()[0].attempts) == ("failed", 2)


def test_a_sweep_ends_where_all_trials_fail_alike(carry_out, sweep, workers, folder):
    executor = workers(fail={number: [(DIVERGED, False)] for number in range(1, 9)})
    outcome = carry_out(sweep(trials=8), executor)
    assert executor.done == ["001", "002", "003"]
    told = f"the first 3 trials all failed, so the others would: {DIVERGED}; mend that"
    assert outcome.failed[folder].startswith(told)
    again = workers()  # it was mended
    assert not carry_out(sweep(trials=8), again).failed
    assert again.done == ["004", "005", "006", "007", "008", "sweep"]


def test_a_sweep_without_a_score_fails_with_the_last_reason(carry_out, sweep, workers, folder):
    executor = workers(fail={number: [(f"reason {number}", False)] for number in (1, 2, 3, 4)})
    outcome = carry_out(sweep(), executor)
    assert "none of 4 trials ended well; the last one: reason 4" in outcome.failed[folder]
    assert executor.done == ["001", "002", "003", "004"]


def test_a_sweep_s_own_run_needs_a_score(sweep, place, folder):
    table = folder / names.TRIALS_TABLE
    trials.write(table, [trials.Line(1, "failed", None, None, None, 1, None, DIED, {})], [])
    with pytest.raises(ValueError, match="begin again: python -m experiments sweep test/sweep"):
        run(sweep(), folder, place)


def test_a_score_that_is_no_number_fails_the_trial(carry_out, sweep, workers, lines, make_run):
    def spoilt(folder, row, **options):
        make_run(folder, row, **options)
        run = Run(folder)
        columns = run.history | {"val_loss": [np.nan] * 2}
        if folder.name == "001":
            run.write_history([{key: columns[key][i] for key in columns} for i in range(2)])

    executor = workers()
    executor.make_run = spoilt
    carry_out(sweep(objective="val_loss"), executor)
    assert [one.status for one in lines()] == ["failed", *["finished"] * 3]
    assert lines()[0].reason == "val_loss is nan"


def test_trials_run_side_by_side(carry_out, sweep, workers, lines):
    executor = workers(room=3)
    carry_out(sweep(trials=7), executor)
    assert executor.most == 3 and len(executor.done) == 8 and executor.done[-1] == "sweep"
    assert all(one.finished for one in lines())


def test_trials_that_do_not_fit_together_fail_without_a_process(carry_out, sweep, workers, lines):
    """Each value fits the row; a warm-up of 3 epochs does not fit 2 of them."""
    space = {
        "schedule": [{"name": "constant"}, {"name": "constant", "warmup": 3}],
        "epochs": [2, 4],
    }
    row = sweep(base={"epochs": 4}, space=space, search="grid", trials=None, epochs=None)
    executor = workers(top1=lambda row: 50.0)
    carry_out(row, executor)
    by_values = {
        (one.values["epochs"], one.values["schedule"].get("warmup")): one for one in lines()
    }
    assert len(by_values) == 4 and len(executor.done) == 4
    bad = by_values[2, 3]
    assert bad.status == "failed" and "warmup: 3 epochs, and there are 2" in bad.reason


def test_values_that_come_again_are_not_trained_again(carry_out, sweep, workers, lines):
    """A Gaussian process may propose what it knows to be best; there are three points here."""
    row = sweep(space={"batch_size": [64, 128, 256]}, search="bayesian", trials=6)
    executor = workers(top1=lambda row: 100 - row.batch_size / 4)
    carry_out(row, executor)
    found = lines()
    known = {}
    for one in found:
        first = known.setdefault(one.values["batch_size"], one)
        if one is not first:
            assert one.reason == f"the values of trial {first.trial}"
            assert one.score == first.score and one.seconds == 0
    assert len(executor.done) == len(known) + 1 and len(found) == 6


def test_longer_trials_go_on_from_shorter_ones(carry_out, sweep, workers, lines, folder):
    executor = workers()
    carry_out(sweep(search="hyperband", epochs=4, factor=2, trials=None), executor)
    after = [one for one in lines() if one.after]
    assert after
    for one in lines():
        run = Run(folder / names.TRIALS / f"{one.trial:03}")
        assert run.row.keep_state and run.row.epochs == one.epochs
        if one.after:
            shorter = Run(folder / names.TRIALS / f"{one.after:03}")
            assert run.row.goes_on_from == str(shorter.path.resolve())
            # Only its own epochs count as its time.
            own = run.history["seconds"][shorter.row.epochs :].sum()
            assert one.seconds == pytest.approx(own)


def test_the_best_values_are_trained_anew(carry_out, sweep, workers, folder, lines):
    executor = workers()
    carry_out(sweep(retrain={"epochs": 9}), executor)
    assert executor.done[-2:] == ["retrained", "sweep"]
    row, best = Run(folder / names.RETRAINED).row, max(lines(), key=lambda one: one.score)
    assert row.epochs == 9 and row.optimizer.learning_rate == _rate(best)


def test_trials_of_other_images_end_the_sweep(carry_out, sweep, workers, folder, make_run):
    def other(folder, row, **options):
        images = 90 if folder.name == "002" else options.pop("images")
        make_run(folder, row, **(options | {"images": images}))

    executor = workers(room=2)
    executor.make_run = other
    outcome = carry_out(sweep(), executor)
    assert executor.done == ["001", "002", "003"]  # what runs beside it ends, nothing more begins
    assert "have other images or classes" in outcome.failed[folder]


def test_another_backend_or_sweep_is_refused(carry_out, sweep, workers, folder, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    cut = workers()
    cut.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        carry_out(sweep(), cut)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    outcome = carry_out(sweep(), workers())
    assert "was begun on tensorflow, this is jax" in outcome.failed[folder]
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(ValueError, match="begun with another recipe"):
        carry_out(sweep(trials=5), workers())


@pytest.mark.parametrize(("factor", "same"), [(1 + 1e-9, True), (1.001, False)])
def test_what_was_proposed_must_be_what_is_now(
    carry_out, sweep, workers, folder, lines, factor, same
):
    """Rounding differs between numbers of threads; another version proposes something else."""
    cut = workers()
    cut.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        carry_out(sweep(), cut)
    file = folder / names.SWEEP
    content = json.loads(file.read_text())
    content["asked"][0][1]["values"]["optimizer.learning_rate"] *= factor
    file.write_text(json.dumps(content))
    outcome = carry_out(sweep(), workers())
    assert (not outcome.failed) == same
    assert same or "Keras Tuner answered" in outcome.failed[folder]


def test_a_row_that_changed_since_is_refused(carry_out, sweep, workers, folder):
    cut = workers()
    cut.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        carry_out(sweep(), cut)
    outcome = carry_out(sweep(base={"seed": 5}), workers())
    assert "001 was begun with another recipe (seed: 0 -> 5)" in outcome.failed[folder]


def test_a_folder_is_one_sweep_s_at_a_time(sweep, workers, place, step, inside, folder):
    class Second(type(workers())):
        def submit(self, job):
            outcome = progress.run([step(sweep())], workers(), place)
            self.told = outcome.failed[folder]
            raise KeyboardInterrupt

    executor = Second(None)
    with pytest.raises(KeyboardInterrupt):
        progress.run([step(sweep())], executor, place)
    assert "is in use by another run" in executor.told


def test_a_finished_sweep_is_not_run_again(carry_out, sweep, workers, folder, make_run):
    make_run(folder, sweep())
    executor = workers()
    outcome = carry_out(sweep(), executor)
    assert not executor.done and [run.path for run in outcome.runs] == [folder]
