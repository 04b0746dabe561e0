"""What a spawned process does: one job, in its share of the cores, while its parent lives."""

import contextlib
import json
import os
import pathlib
import sys
import threading
import traceback

from experiments import recipes
from experiments.executor import ERROR, KNOWN, do
from experiments.listener import Listener
from experiments.place import Place
from experiments.plan import Job


class _Lines(Listener):
    """Writes what is told as lines of a log."""

    def heading(self, text: str) -> None:
        """Write it."""
        print(f"== {text}", flush=True)

    def say(self, text: str) -> None:
        """Write it."""
        print(text, flush=True)


def main() -> None:
    """Run the job that stands on the standard input, in the process that was spawned for it."""
    told = json.loads(sys.stdin.readline())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, told["cores"])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _offered_first()
    place = {key: value and pathlib.Path(value) for key, value in told["place"].items()}
    place["backend"] = told["place"]["backend"]
    row = recipes.parse(recipes.read(told["row"]), told["folder"])
    try:
        do(Job(row, pathlib.Path(told["folder"]), Place(**place), told["step"]), _Lines())
    except Exception as error:
        traceback.print_exc()
        known = isinstance(error, ValueError)
        told = str(error) if known else f"{type(error).__name__}: {error}"
        print(ERROR + " ".join(told.split()), flush=True)
        sys.exit(KNOWN if known else 1)


def _offered_first() -> None:
    """Where memory runs out, let the system end this process and not the one that spawned it."""
    with contextlib.suppress(OSError):  # not a Linux system
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with_parent() -> None:
    """End this process when the one that spawned it closes the pipe, which its death does too."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
