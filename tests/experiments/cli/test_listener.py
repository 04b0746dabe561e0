"""What is told on a terminal and in a log file."""

import io

import pytest
from rich.console import Console as Screen

from experiments.cli import listener


def _console(terminal: bool) -> listener.Console:
    screen = Screen(file=io.StringIO(), force_terminal=terminal, width=60, _environ={})
    return listener.Console(screen)


def _text(console: listener.Console) -> str:
    return console.screen.file.getvalue()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time that the listener reads, to be set."""
    now = [100.0]
    monkeypatch.setattr(listener.time, "monotonic", lambda: now[0])
    return now


def test_a_log_file_holds_what_was_said_and_no_bars(clock):
    console = _console(terminal=False)
    console.heading("laptop/[mode]")
    for done in range(4):
        clock[0] += 1
        console.progress("decoding", done, 3)
    path = "written to " + "/a [folder]" * 10
    console.say(path)
    heading, *rest = _text(console).splitlines()
    assert "laptop/[mode]" in heading and set(heading) == set("─ laptop/[mode]")
    assert rest == [path]  # unfolded, whatever the width


def test_a_terminal_shows_one_bar_that_is_removed_in_the_end(clock):
    console = _console(terminal=True)
    for what in ("one [bold]", "two"):
        for done in range(3):
            clock[0] += 1
            console.progress(what, done, 2)
        assert what in _text(console)
    text = _text(console)
    assert "1/2" in text and "2/2" not in text
    # Hidden and shown again, once for each bar; erased each time.
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 2
    assert text.endswith("\x1b[2K")


def test_a_bar_goes_on_while_others_work(clock):
    """What it is about is told when it changes; the time that it shows is drawn meanwhile."""
    console = _console(terminal=True)
    console.tick()  # no bar, nothing to draw
    console.progress("trials: 2 running, best 31.2, 14 min left", 3, 24)
    before = len(_text(console))
    console.tick()
    assert len(_text(console)) == before  # not more often than it is drawn otherwise
    clock[0] += 1
    console.tick()
    assert len(_text(console)) > before
    console.close()


def test_another_work_takes_the_bar_over(clock):
    console = _console(terminal=True)
    console.progress("rows", 1, 5)
    clock[0] += 1
    console.progress("epoch 1", 3, 9)
    assert "epoch 1" in _text(console) and "3/9" in _text(console)
    assert _text(console).count("\x1b[?25l") == 1
    console.say("said above the bar")
    console.close()
    console.close()
    assert _text(console).count("\x1b[?25h") == 1


def test_what_an_error_leaves_standing_is_cleared(clock):
    one, other = _console(terminal=True), _console(terminal=True)
    for console in (one, other):
        console.progress("batches", 1, 9)
    listener.clear()
    for console in (one, other):
        assert _text(console).endswith("\x1b[2K")
        assert _text(console).count("\x1b[?25h") == 1
    listener.clear()
    one.progress("batches", 1, 9)  # another one stands after it
    one.close()


def test_calls_for_every_batch_draw_about_ten_times_a_second(clock, monkeypatch):
    console, drawn = _console(terminal=True), []
    console.progress("batches", 0, 10_000)
    update = console._bar.update
    monkeypatch.setattr(
        console._bar, "update", lambda *a, **k: (drawn.append(k["completed"]), update(*a, **k))
    )
    for done in range(1, 5000):
        clock[0] += 0.001
        console.progress("batches", done, 10_000)
    assert 45 <= len(drawn) <= 50  # of 5 seconds
    console.close()
