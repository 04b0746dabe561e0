"""What a sweep's oracle proposed and how it ended, in order: sweep.json. No Keras.

The order is all that the run folders of the trials do not say. A sweep that was cut off asks the
oracle the same questions again and tells it the same ends, which brings it to the same state.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments._files import read_json, write_json
from experiments.runs import names, trials


@dataclasses.dataclass
class Trial:
    """What is known of a trial: the values proposed, and how it ended."""

    number: int
    values: dict[str, Any]
    epochs: int | None = None
    """How many in all, where the oracle says so."""
    after: int | None = None
    """The number of the shorter trial that it goes on from."""
    status: str = "running"
    score: float | None = None
    seconds: float | None = None
    reason: str = ""
    log: list[str] = dataclasses.field(default_factory=list)
    """The last lines of its log, where it failed."""
    attempts: int = 1

    @property
    def line(self) -> trials.Line:
        """What the table of trials says of it."""
        fields = trials.Line._fields
        return trials.Line(
            **{"trial": self.number}
            | {key: value for key, value in vars(self).items() if key in fields}
        )


class Journal:
    """The events of a sweep, written whole after each one, and the table of its trials."""

    def __init__(self, folder: pathlib.Path, fields: Sequence[str], backend: str):
        """Read what is there; ValueError for a sweep that was begun on another backend."""
        self.folder, self.fields = folder, fields
        self.file = folder / names.SWEEP
        self.content: dict[str, Any] = {"backend": backend, "asked": [], "trials": []}
        if self.file.exists():
            self.content = read_json(self.file)
            if (known := self.content["backend"]) != backend:
                raise ValueError(
                    f"{folder} was begun on {known}, this is {backend}: go on with --backend "
                    f"{known}, or choose another --runs"
                )
        self.trials = {one["number"]: Trial(**one) for one in self.content["trials"]}

    @property
    def questions(self) -> list[tuple[dict, dict]]:
        """What the oracle was asked and told, with its answers, in order."""
        return [(question, answer) for question, answer in self.content["asked"]]

    def answered(self, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Note a question and its answer, before anything follows from it."""
        self.content["asked"].append([dict(question), dict(answer)])
        self.write()

    def proposed(self, number: int, answer: Mapping[str, Any]) -> Trial:
        """Note a trial that was proposed."""
        self.trials[number] = Trial(number, **answer)
        self.answered({"ask": number}, answer)
        return self.trials[number]

    def ended(self, trial: Trial) -> None:
        """Note the end of a trial, which the oracle is told of."""
        self.answered({"tell": trial.number, "score": trial.score}, {})

    def write(self) -> None:
        """Write both files."""
        known = [vars(trial) for trial in self.trials.values()]
        write_json(self.file, self.content | {"trials": known})
        lines = [trial.line for trial in self.trials.values()]
        trials.write(self.folder / names.TRIALS_TABLE, lines, self.fields)
