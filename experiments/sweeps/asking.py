"""The process with the oracle, as the one that conducts a sweep sees it."""

import contextlib
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# What a sweep's row says of how it searches.
SETTINGS = ("search", "space", "trials", "epochs", "objective", "factor", "iterations", "seed")
# Of what a Gaussian process proposes, a minimizer's last digits depend on the number of threads.
ROUNDING = 1e-6
Question = Mapping[str, Any]


class Asking:
    """Asks an oracle, and tells it how trials ended.

    Its process may die, as any other may: it is then begun again and told all from the start.
    """

    def __init__(self, settings: Mapping[str, Any], backend: str, log: pathlib.Path):
        self.settings, self.backend, self.log = settings, backend, log
        self.told: list[Question] = []
        self.process: subprocess.Popen | None = None

    def begin(self, events: Sequence[tuple[Question, Mapping[str, Any]]]) -> None:
        """Begin with the questions of an earlier time, and what was answered then.

        Raises `ValueError` where the answers are others now.
        """
        self._start()
        for question, answer in events:
            now = self._say(question)
            if not _agree(answer, now):
                raise ValueError(
                    f"{self.log.parent}: to {dict(question)} Keras Tuner answered {dict(answer)} "
                    f"and now {dict(now)}: is it another version? Go on with that one, or choose "
                    "another --runs"
                )
            self.told.append(question)

    def ask(self, number: int) -> dict[str, Any]:
        """Return what is proposed for a trial: `values` and more, or `wait`, or `over`."""
        return self._put({"ask": number})

    def tell(self, number: int, score: float | None) -> None:
        """Tell how a trial ended; without a score it failed."""
        self._put({"tell": number, "score": score})

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def _put(self, question: Question) -> dict[str, Any]:
        try:
            answer = self._say(question)
        except _Gone:
            self._start()
            for earlier in self.told:
                self._say(earlier)
            answer = self._say(question)
        self.told.append(question)
        return answer

    def _say(self, question: Question) -> dict[str, Any]:
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise _Gone(f"the process that asks Keras Tuner ended by itself (log: {self.log})")
        return json.loads(answer)

    def _start(self) -> None:
        self.close()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # No model is built: the lightest backend will do, which needs JAX all the same.
        light = "numpy" if importlib.util.find_spec("jax") else self.backend
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "experiments.sweeps.oracle"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                env={**os.environ, "KERAS_BACKEND": light, "TF_CPP_MIN_LOG_LEVEL": "2"},
                start_new_session=True,  # Ctrl-C is for the process that asks
            )
        with contextlib.suppress(OSError):  # told by the first answer that does not come
            self.process.stdin.write(json.dumps(self.settings) + "\n")


def _agree(one: Any, other: Any) -> bool:
    """Whether two answers are the same, but for sums taken in another order on other cores."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_agree(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING)
    return one == other


class _Gone(ValueError):
    """The process has ended."""
