"""Whoever listens hears the same calls."""

import inspect

import pytest

from experiments import spawned
from experiments.cli.listener import Console
from experiments.listener import SILENT, Listener

CALLS = {
    "heading": ("a part",),
    "say": ("a fact",),
    "progress": ("epoch 1 of 2", 3, 4),
    "tick": (),
}


def test_silence_hears_everything_and_says_nothing(capfd):
    for call, arguments in CALLS.items():
        assert getattr(SILENT, call)(*arguments) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("listener", [Console, spawned._Lines])
def test_listeners_take_the_same_calls(listener):
    public = {name for name, _ in inspect.getmembers(Listener, inspect.isfunction)}
    assert public - {"__init__"} == set(CALLS)
    for call in CALLS:
        ours, theirs = (getattr(one, call) for one in (listener, Listener))
        assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters]


def test_a_spawned_process_writes_lines_of_a_log(capsys):
    for call, arguments in CALLS.items():
        getattr(spawned._Lines(), call)(*arguments)
    assert capsys.readouterr().out == "== a part\na fact\n"
