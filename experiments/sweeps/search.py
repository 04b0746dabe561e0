"""The course of a sweep: which trials run, one after the other or side by side. No Keras.

A trial is a job like any other of the executor's: a process, a log, a deadline, a run folder. What
is decided here is written down (`journal`) before anything follows from it, so that the sweep may
be cut off anywhere: finished trials stay, those that ran go on from their last epoch.
"""

import contextlib
import os
import pathlib
import time

from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.plan import Done, Job, Step
from experiments.recipes import Row
from experiments.reports.words import spoken
from experiments.runs import Run, names, trials
from experiments.runs.folder import check_recipe, held
from experiments.sweeps.asking import SETTINGS, Asking
from experiments.sweeps.journal import Journal, Trial
from experiments.sweeps.trial import folder_of, retrained, row_of, score, seconds

# Last lines of a failed trial's log that are kept, and how many trials in a row, from the first one
# on, must fail in the same way to say that the next would too.
LOG_LINES, ALIKE = 8, 3


class Search:
    """The trials of a sweep, `room` at once, then the best values anew where asked for."""

    def __init__(self, step: Step, place: Place, room: int, listener: Listener = SILENT):
        self.row, self.folder, self.place = step.row, step.folder, place
        self.room, self.listener, self.failed = room, listener, ""
        self.running: dict[pathlib.Path, Trial] = {}
        self.over = False
        self.ended_before, self.began = 0, time.monotonic()
        self._held = contextlib.ExitStack()
        whole = sum(many for many, _, _ in self.row.rounds(self.row.epochs or 1))
        self.whole = min(whole, self.row.trials or whole)

    def begin(self) -> list[Job]:
        """Hold the sweep's folder, and go on with what ran when it was cut off, if it was."""
        self._held.enter_context(held(self.folder, self.row))
        backend = self.place.backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
        fields = [one.name for one in self.row.dimensions]
        self.journal = Journal(self.folder, fields, backend)
        settings = self.row.model_dump(include=set(SETTINGS))
        settings["direction"] = "min" if self.row.falls else "max"
        self.oracle = Asking(settings, backend, self.folder / names.TRIALS / "oracle.log")
        self._held.callback(self.oracle.close)
        known = self.journal.trials.values()
        cut_off = [trial for trial in known if trial.status == "running"]
        for trial in known:
            if Run(folder_of(self.folder, trial.number)).begun:
                check_recipe(folder_of(self.folder, trial.number), self._row(trial))
        self.oracle.begin(self.journal.questions)
        self.ended_before = len(known) - len(cut_off)
        if known:
            self.listener.say(f"{self.ended_before} trials have ended, {len(cut_off)} go on")
        jobs = [job for trial in cut_off for job in self._start(trial)]
        return jobs + self._fill()

    def take(self, done: Done) -> list[Job]:
        """Note how a trial ended, and begin the next; the sweep's own run comes last."""
        if done.job.folder not in self.running:
            self.failed = done.error
            return [] if done.error or done.job.folder == self.folder else self._last()
        trial = self.running.pop(done.job.folder)
        if done.error and done.died and trial.attempts <= self.row.retries:
            trial.attempts += 1
            self.journal.write()
            self.listener.say(f"trial {trial.number}: {done.error}; attempt {trial.attempts}")
            return self._start(trial)
        self._end(trial, done.error)
        return [] if self.failed else self._fill()

    def close(self) -> None:
        """Let go of the folder and of the oracle."""
        self._held.close()

    def _row(self, trial: Trial) -> Row:
        return row_of(self.row, self.folder, trial)

    def _start(self, trial: Trial) -> list[Job]:
        """Return the job of a trial; none where it has ended already, or needs no training."""
        folder = folder_of(self.folder, trial.number)
        if Run(folder).finished:  # it ended while nobody looked
            self._end(trial)
            return []
        if same := self._same(trial):
            self._end_as(trial, same)
            return []
        try:
            row = self._row(trial)
        except ValueError as error:  # each value fits the row, all together do not
            self._end(trial, " ".join(str(error).split()))
            return []
        self.running[folder] = trial
        return [Job(row, folder, self.place, deadline=self.row.deadline)]

    def _fill(self) -> list[Job]:
        """Begin as many trials as there is room for, and the last jobs where none is left."""
        jobs = []
        while not (self.over or self.failed) and len(self.running) < self.room:
            trial = self._propose()
            if trial is None:
                break
            jobs += self._start(trial)
        self._tell()
        if not jobs and not self.running and not self.failed:
            return self._after_all()
        return jobs

    def _propose(self) -> Trial | None:
        """Return the next trial; None where there is none, or none before others have ended."""
        number = len(self.journal.trials) + 1
        if self.row.trials is not None and number > self.row.trials:
            self.over = True
            return None
        answer = self.oracle.ask(number)
        if "values" in answer:
            return self.journal.proposed(number, answer)
        self.journal.answered({"ask": number}, answer)
        self.over = "over" in answer
        return None

    def _same(self, trial: Trial) -> Trial | None:
        """Return a finished trial of the same values: the same seed would score the same."""
        return next(
            (
                other
                for other in self.journal.trials.values()
                if other.status == "finished"
                and (other.values, other.epochs, other.after)
                == (trial.values, trial.epochs, trial.after)
            ),
            None,
        )

    def _end_as(self, trial: Trial, same: Trial) -> None:
        trial.status, trial.score, trial.seconds = "finished", same.score, 0.0
        trial.reason = f"the values of trial {same.number}"
        self._note(trial)

    def _end(self, trial: Trial, error: str = "") -> None:
        """Note a trial's end."""
        run = Run(folder_of(self.folder, trial.number))
        if not error:
            try:
                trial.score = score(self.row, run)
                trial.status = "finished"
                before = self.journal.trials[trial.after].epochs if trial.after else 0
                trial.seconds = round(seconds(run, before), 3)
            except ValueError as problem:
                error = str(problem)
        if error:
            trial.status, trial.reason, trial.log = "failed", error, _last_lines(run)
        elif differ := self._other_images(run):  # scores are not of the same thing any more
            self.failed = differ
            return
        self._note(trial)
        ended = [one for one in self.journal.trials.values() if one.status != "running"]
        reasons = {one.reason.partition(" (log: ")[0] for one in ended}
        if len(ended) == ALIKE and len(reasons) == 1 and all(one.reason for one in ended):
            self.failed = (
                f"the first {ALIKE} trials all failed, so the others would: {trial.reason}; mend "
                f"that and begin again, or remove {self.folder} to try these anew too"
            )

    def _other_images(self, run: Run) -> str:
        """Say in what a trial's images are not those of the first one; empty where they are."""
        known = [one for one in self.journal.trials.values() if one.status == "finished"]
        first = Run(folder_of(self.folder, known[0].number))
        try:
            run.check_same(first.dataset, str(first))
        except ValueError as error:
            return str(error)
        return ""

    def _note(self, trial: Trial) -> None:
        self.journal.ended(trial)
        self.oracle.tell(trial.number, trial.score)
        self.listener.say(self._told(trial))

    def _told(self, trial: Trial) -> str:
        what = f"trial {trial.number} of {self.whole}"
        values = ", ".join(f"{name} {_short(value)}" for name, value in trial.values.items())
        if trial.status == "failed":
            return f"{what} failed: {trial.reason}; {values}"
        best = trials.best((one.line for one in self.journal.trials.values()), self.row.falls)
        ended = trial.reason or spoken(trial.seconds)
        told = f"{what}: {self.row.objective} {trial.score:.4g} ({ended}); {values}"
        return f"{told}; best: trial {best.trial} with {best.score:.4g}"

    def _tell(self) -> None:
        """Tell how far the sweep is: running, failed, best, and the time that is left."""
        known = list(self.journal.trials.values())
        ended = [one for one in known if one.status != "running"]
        failed = sum(one.status == "failed" for one in ended)
        best = trials.best((one.line for one in known), self.row.falls)
        told = [f"{len(self.running)} running", *([f"{failed} failed"] if failed else [])]
        told += [f"best {best.score:.4g}"] if best else []
        if now := len(ended) - self.ended_before:
            left = (time.monotonic() - self.began) / now * max(self.whole - len(ended), 0)
            told.append(f"{spoken(left)} left")
        whole = max(self.whole, len(known))
        self.listener.progress(f"trials: {', '.join(told)}", min(len(ended), whole - 1), whole)

    def _after_all(self) -> list[Job]:
        """Return the jobs that come after the last trial: the best values anew, or the end."""
        best = trials.best((one.line for one in self.journal.trials.values()), self.row.falls)
        if best is None:
            last = list(self.journal.trials.values())[-1:]
            why = f"; the last one: {last[0].reason}" if last else ""
            self.failed = f"{self.row.recipe}: none of {len(self.journal.trials)} trials ended well"
            self.failed += f"{why}; mend that, and remove {self.folder} to begin anew"
            return []
        anew = self.folder / names.RETRAINED
        if self.row.retrain is None or Run(anew).finished:
            return self._last()
        row = retrained(self.row, self.journal.trials[best.trial])
        if Run(anew).begun:
            check_recipe(anew, row)
        return [Job(row, anew, self.place)]

    def _last(self) -> list[Job]:
        """Return the job that writes the sweep's own run; it holds the folder itself."""
        self.close()
        return [Job(self.row, self.folder, self.place)]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _last_lines(run: Run) -> list[str]:
    """Return the last lines of a run's log."""
    with contextlib.suppress(OSError):
        text = run.log.read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-LOG_LINES:]
    return []
