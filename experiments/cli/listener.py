"""What commands tell, on a terminal and in a log file."""

from __future__ import annotations

import atexit
import time
from typing import TYPE_CHECKING

from rich.console import Console as Screen
from rich.text import Text

from experiments.listener import Listener

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# A bar moves at most this often: it is told of every batch, of which there are thousands a second.
SECONDS = 0.1


class Console(Listener):
    """Prints what it hears; of what is being done a terminal shows one bar, a log file nothing.

    `close` removes the bar before its work is done, `clear` any that an error left standing.
    """

    def __init__(self, screen: Screen | None = None):
        self.screen = screen or Screen()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._next = 0.0  # when the bar may be drawn again, by time.monotonic

    def heading(self, text: str) -> None:
        """Print a rule across the page."""
        self.screen.rule(Text(text))

    def say(self, text: str) -> None:
        """Print a text as it is: nothing is folded, so that paths can be copied."""
        self.screen.print(Text(text), soft_wrap=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar, which is for what was told last; it is gone when all is done."""
        if not self.screen.is_interactive:
            return
        if done >= total:
            self.close()
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS
        if self._bar is None:
            self._bar = _bar(self.screen)
            self._task = self._bar.add_task(what, total=total)
            self._bar.start()
            _standing.append(self)
        self._bar.update(self._task, description=what, completed=done, total=total, refresh=True)

    def tick(self) -> None:
        """Draw the bar again, whose clock goes on."""
        now = time.monotonic()
        if self._bar is not None and now >= self._next:
            self._next = now + SECONDS
            self._bar.refresh()

    def close(self) -> None:
        """Remove the bar, if there is one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            _standing.remove(self)


_standing: list[Console] = []


@atexit.register  # a bar hides the cursor, which must not stay so
def clear() -> None:
    """Remove every bar, so that what is written past it, such as an error, has its own line."""
    for console in list(_standing):
        console.close()


def _bar(screen: Screen) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Drawn by the calls alone: no thread beside those that train.
    return Progress(*columns, console=screen, transient=True, auto_refresh=False)
