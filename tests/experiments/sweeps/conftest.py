"""Sweeps without training: an oracle in this process, and trials that are written, not trained."""

import json
import pathlib

import pytest

from experiments import plan, progress, recipes
from experiments.place import Place
from experiments.plan import Done, Job
from experiments.runs import Run, names, trials
from experiments.sweeps import asking, oracle, search

# A network that a trial of these tests trains in a second on digits.
TINY = {
    "data": {"name": "digits", "size": 28},
    "model": {
        "name": "alphanet_v4",
        "filters": [4, 4],
        "kernels": [3, 3],
        "pools": [True, True],
        "dense": 8,
    },
    "jit": False,
    "precision": "float32",
    "batch_size": 256,
    "epochs": 2,
}
SPACE = {
    "optimizer.learning_rate": {"min": 0.0001, "max": 0.01, "sampling": "log"},
    "batch_size": [64, 128, 256],
}


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(runs=tmp_path / "runs")


@pytest.fixture
def sweep(tmp_path):
    """Return a function that makes the row of a sweep of a tiny row, whose fields it may change."""

    def make(name: str = "sweep", base: dict | None = None, **fields) -> recipes.Sweep:
        file = tmp_path / f"base_{name}.yaml"
        file.write_text(json.dumps({"recipe": "test/base"} | TINY | (base or {})))
        content = {"kind": "sweep", "recipe": f"test/{name}", "of": str(file), "space": SPACE}
        content |= {"data": TINY["data"], "trials": 4, "epochs": 2} | fields
        return recipes.parse(content, "test")

    return make


class Inside(asking.Asking):
    """Asks an oracle of this process, by the same lines of JSON."""

    def _start(self) -> None:
        self.oracle = oracle.Oracle(json.loads(json.dumps(self.settings)), self._folder())

    def _folder(self) -> str:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return str(self.log.parent / "keras_tuner")

    def _say(self, question):
        if "ask" in question:
            answer = self.oracle.ask(question["ask"])
        else:
            answer = self.oracle.tell(question["tell"], question["score"])
        return json.loads(json.dumps(answer))


@pytest.fixture
def inside(monkeypatch):
    """Keep oracles in this process: loading Keras in another one takes seconds."""
    monkeypatch.setattr(search, "Asking", Inside)


class Workers:
    """An executor that leaves finished runs, in the order of their submission or as told.

    `fail` maps a trial's number to how it ends, one for each attempt: (error, died).
    """

    def __init__(self, make_run, room: int = 1, top1=None, fail: dict | None = None):
        self.make_run, self.room = make_run, room
        self.top1 = top1 or (lambda row: 10.0 + 1000 * row.optimizer.learning_rate)
        self.fail = {number: list(ends) for number, ends in (fail or {}).items()}
        self.jobs: list[Job] = []
        self.done: list[str] = []
        self.most, self.stop_after = 0, None

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def wait(self) -> Done:
        if len(self.done) == self.stop_after:
            raise KeyboardInterrupt
        job = self.jobs.pop(0)
        self.done.append(job.folder.name)
        job.folder.mkdir(parents=True, exist_ok=True)
        number = int(job.folder.name) if job.folder.name.isdigit() else 0
        if self.fail.get(number):
            error, died = self.fail[number].pop(0)
            Run(job.folder).log.write_text(f"a line\n{error}\n")
            return Done(job, error, died)
        options = {"epochs": job.row.epochs, "top1": self.top1(job.row)} if number else {}
        if number or job.folder.name == "retrained":
            self.make_run(job.folder, job.row, images=100, **options)
        return Done(job)

    def close(self) -> None:
        self.jobs.clear()


@pytest.fixture
def workers(make_run):
    return lambda *arguments, **options: Workers(make_run, *arguments, **options)


@pytest.fixture
def step(place):
    """Return a function that returns the step of a sweep in its folder."""
    return lambda row: plan.one(row, place.folder(row), place)


@pytest.fixture
def carry_out(place, inside, step):
    """Return a function that carries a sweep out by such an executor, up to its own run."""

    def run(row: recipes.Sweep, executor: Workers, *listener) -> progress.Outcome:
        return progress.run([step(row)], executor, place, *listener)

    return run


@pytest.fixture
def folder(place) -> pathlib.Path:
    """Folder of the sweep of these tests."""
    return place.runs / "test" / "sweep"


@pytest.fixture
def lines(folder):
    """Return a function that reads the table of trials."""
    return lambda: trials.read(folder / names.TRIALS_TABLE)
