"""Who runs jobs: this process, or spawned ones that share its cores.

A spawned process has a log, an exit code and, where it was given one, a deadline; it ends with the
process that spawned it, however that ends. What it was cut off in goes on when it is run again.
"""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

from experiments import recipes
from experiments._files import check_writable, write_text
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.plan import Done, Job, Step, check, confirm, stages
from experiments.recipes import KINDS
from experiments.recipes.kinds import function
from experiments.runs import Run
from experiments.runs.environment import COMMAND, command
from experiments.runs.folder import check_recipe

# Seconds that a process is given to end by itself, and between looks at those that run.
GRACE, LOOK = 10, 0.05
ERROR = "error: "
# The exit code of a process that told what the user can mend: it would come again.
KNOWN = 2
# Processes beside each other take of a GPU's memory what they need, not all of it at once.
_SHARED = {
    "PYTHONUNBUFFERED": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


def do(job: Job, listener: Listener = SILENT) -> dict | None:
    """Run a job in this process; return the metrics of a row's run.

    A finished run is told, and refused where it was made on another backend or other images.
    """
    run, kind = Run(job.folder), KINDS[job.row.kind]
    if run.finished:
        check_recipe(job.folder, job.row)
        confirm(run, job.place, listener)
        return run.metrics
    check_writable(run.log)
    job.place.check(job.row.data)
    job.place.load_backend()
    if job.step == "prepare":
        return function(kind.prepare)(job.row, job.folder, job.place, listener)
    title = f": {job.row.title}" if job.row.title else ""
    listener.heading(f"{job.row.recipe} on {job.row.data.told()}{title}")
    return function(kind.run)(job.row, job.folder, job.place, listener)


def carry_out(step: Step, place: Place, listener: Listener = SILENT) -> dict:
    """Run a single step in this process and return the metrics; errors are raised as they come."""
    if step.run.finished:
        return do(Job(step.row, step.folder, place), listener)
    check(step, place)
    metrics = None
    for batch in stages(step, place):
        for job in batch:
            metrics = do(job, listener)
    return metrics


class Here:
    """Runs one job after the other in this process."""

    room = 1

    def __init__(self, listener: Listener = SILENT):
        self.listener = listener
        self.jobs: collections.deque[Job] = collections.deque()

    def submit(self, job: Job) -> None:
        """Take a job."""
        self.jobs.append(job)

    def wait(self) -> Done:
        """Run the next job; what it raises is kept in its log."""
        job = self.jobs.popleft()
        try:
            do(job, self.listener)
            return Done(job)
        except Exception as error:  # a row that fails must not end the others
            log = Run(job.folder).log
            said = _kept(log, traceback.format_exc())
            known = isinstance(error, ValueError)
            told = str(error) if known else f"{type(error).__name__}: {error}"
            return Done(job, told + said, died=not known)

    def close(self) -> None:
        """Leave what waits."""
        self.jobs.clear()


class Spawned:
    """Runs so many jobs at once, each in a process of its own with its share of the cores."""

    def __init__(self, count: int, *, deadline: float | None = None, listener: Listener = SILENT):
        if count < 1:
            raise ValueError(f"--jobs {count}: give 1 or more")
        self.room = count
        self.deadline, self.listener = deadline, listener
        self.free = [_share(number, count) for number in range(count)]
        self.jobs: collections.deque[Job] = collections.deque()
        self.running: list[_Process] = []

    def submit(self, job: Job) -> None:
        """Take a job; it is begun as soon as there is room."""
        self.jobs.append(job)
        self._fill()

    def wait(self) -> Done:
        """Wait for the next job that ends."""
        while (done := self.look()) is None:
            self.listener.tick()
            time.sleep(LOOK)
        return done

    def look(self) -> Done | None:
        """Return a job that has ended, if there is one now."""
        for process in self.running:
            if process.ended(process.job.deadline or self.deadline):
                process.gone()
                self.running.remove(process)
                self.free.append(process.cores)
                self._fill()
                return process.done()
        return None

    def close(self) -> None:
        """End all processes and leave what waits."""
        self.jobs.clear()
        for process in self.running:
            process.end(signal.SIGTERM)
        for process in self.running:
            process.gone()
        self.running.clear()

    def _fill(self) -> None:
        while self.jobs and self.free:
            job = self.jobs.popleft()
            self.running.append(_Process(job, self.free.pop(0)))
            self.listener.say(f"{job.row.recipe}: begun, log in {Run(job.folder).log}")


class _Process:
    """A job in a process of its own."""

    def __init__(self, job: Job, cores: list[int]):
        self.job, self.cores = job, cores
        self.began, self.late = time.monotonic(), False
        self.log = Run(job.folder).log
        threads = dict.fromkeys(
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
            str(len(cores)),
        )
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            log = self.log.open("ab")
        except OSError as error:
            raise ValueError(f"{self.log} cannot be written ({error}): choose --runs") from error
        with log:
            self.start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "experiments.spawned"],
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_SHARED, **threads, COMMAND: command()},
                # Ctrl-C is for the process that spawns: it ends the others in order.
                start_new_session=True,
            )
        told = {
            "row": recipes.dump(job.row),
            "folder": str(job.folder),
            "place": {key: value and str(value) for key, value in vars(job.place).items()},
            "step": job.step,
            "cores": cores,
        }
        with contextlib.suppress(BrokenPipeError):  # it has ended: its exit code says how
            self.process.stdin.write(json.dumps(told).encode() + b"\n")

    def ended(self, deadline: float | None) -> bool:
        """Whether it has ended; one that is past the deadline is ended."""
        if self.process.poll() is None and deadline is not None:
            if time.monotonic() - self.began > deadline:
                self.late = True
                self.end(signal.SIGTERM)
                self.gone()
        return self.process.returncode is not None

    def done(self) -> Done:
        """Return how it ended."""
        code = self.process.returncode
        return Done(self.job, self._error(), died=self.late or code not in (0, KNOWN))

    def _error(self) -> str:
        """Return why it failed, with its log; empty where it did not."""
        code, where = self.process.returncode, f" (log: {self.log})"
        if self.late:
            return f"ended at its deadline, {time.monotonic() - self.began:.0f} s{where}"
        if code == 0:
            return ""
        with self.log.open("rb") as log:
            log.seek(self.start)
            lines = log.read().decode(errors="replace").splitlines()
        told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        if told:
            return told[-1] + where
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"its process ended by {how}{where}"

    def end(self, number: signal.Signals) -> None:
        """Send the process and all that it started a signal."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def gone(self) -> None:
        """Wait for the end, or force it."""
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.end(signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()


def _share(number: int, count: int) -> list[int]:
    """Return the cores of the process with this number among `count`, which share all there are."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cores = cores or list(range(os.cpu_count() or 1))
    return cores[number::count] or [cores[number % len(cores)]]


def _kept(log: pathlib.Path, text: str) -> str:
    """Write a traceback beside a run; return what to tell of it."""
    try:
        write_text(log, text)
    except ValueError:  # the folder itself cannot be written, which the error says already
        return ""
    return f" (log: {log})"
