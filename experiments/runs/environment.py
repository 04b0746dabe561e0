"""Where a number was measured: versions, device, commit, command and date."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys

from experiments import backend


def environment() -> dict:
    """Where a run happens: versions, device, cores, the project's commit, command and date."""
    import keras

    packages = ("smallzoo", "keras", "tensorflow", "jax", "torch", "numpy")
    return {
        "backend": keras.backend.backend(),
        "device": backend.device(),
        "cores": os.cpu_count(),
        # Sums are taken in another order by another number of threads, so rounding differs.
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := _version(name))},
        "commit": _commit(),
        "command": command(),
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
    }


def command() -> str:
    """Return the command line that runs now, as a user would type it."""
    given = os.environ.get(COMMAND)
    return given or shlex.join(["python", "-m", "experiments", *sys.argv[1:]])


# What a process that was spawned for a part of a command is told of it.
COMMAND = "SMALLZOO_COMMAND"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the checkout that this file lies in; None outside a checkout."""
    here = pathlib.Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
