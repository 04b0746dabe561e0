"""Cases that take turns."""

from experiments import timing


def test_cases_take_turns_after_a_warm_up():
    calls = []
    cases = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = timing.side_by_side(cases, repeats=2, turn=0)
    assert seconds.keys() == cases.keys() and all(value >= 0 for value in seconds.values())
    assert "".join(calls) == "abab" + "abab"  # twice before the clock runs, then two turns
