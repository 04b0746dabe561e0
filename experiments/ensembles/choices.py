"""Ways in which trained members and stacks of them can decide: what a comparison compares."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

import stacking
from experiments.runs import Run


class Rule(NamedTuple):
    """A line of the table: a rule of `stacking.vote`, and what its weights are fitted by."""

    name: str
    rule: str
    weights: str = ""


RULES = (
    Rule("mode", "mode"),
    Rule("weighted mode (accuracy)", "weighted_mode", "accuracy"),
    Rule("weighted mode (boosted)", "weighted_mode", "boosted"),
    Rule("mean", "mean"),
    Rule("weighted mean (boosted)", "weighted_mean", "boosted"),
    Rule("greedy selection", "weighted_mean", "selected"),
    Rule("meaningless class mean", "meaningless_mean_of_class_numbers"),
)


class Choice(NamedTuple):
    """A way to decide: what to tell of it, its probabilities (n, classes), and what it takes.

    `asked` are the numbers of the members that have a say, `models` the runs whose models answer.
    """

    told: dict[str, str]
    probs: np.ndarray
    asked: Sequence[int]
    models: Sequence[Run]


def choices(
    probs: np.ndarray,
    members: Mapping[str, Run],
    stacks: Sequence[Run],
    weights: Mapping[str, np.ndarray | None],
) -> list[Choice]:
    """Return every way to decide by the probabilities (n, members and stacks, classes)."""
    own, networks = probs[:, : len(members)], list(members.values())
    found = [
        Choice({"ensemble": name, "kind": "member"}, probs[:, i], [i], [run])
        for i, (name, run) in enumerate(members.items())
    ]
    found += [
        _vote(rule, own, weights[rule.weights], members)
        for rule in RULES
        if rule.weights in weights
    ]
    return found + [
        Choice(
            {"ensemble": run.name, "kind": "stack"}, probs[:, i], _members_of(run, networks), [run]
        )
        for i, run in enumerate(stacks, len(members))
    ]


def of_rule(rule: Rule) -> dict[str, str]:
    """Return what a table tells of a rule."""
    return {
        "ensemble": rule.name,
        "kind": "vote",
        "rule": rule.rule,
        "weighted_by": rule.weights,
    }


def _vote(
    rule: Rule, probs: np.ndarray, weights: np.ndarray | None, members: Mapping[str, Run]
) -> Choice:
    told, names, runs = of_rule(rule), list(members), list(members.values())
    asked = np.arange(len(runs)) if weights is None else np.flatnonzero(weights)
    if weights is not None:
        told["weights"] = ", ".join(f"{names[i]} {weights[i]:.3f}" for i in asked)
    voted = stacking.vote(probs, rule.rule, weights)
    return Choice(told, voted, asked, [runs[i] for i in asked])


def _members_of(stack: Run, members: Sequence[Run]) -> list[int]:
    """Return which of the members a stack was made of.

    They are known by folder and accuracy: runs may have been moved as a whole.
    """
    known = {(run.folder, run.metrics["top1"]): i for i, run in enumerate(members)}
    found = []
    for part in stack.metrics["members"]:
        of = part.get("run") or part["name"]  # members of joint training have no runs
        key = pathlib.PurePath(of).name, part["top1"]
        if key not in known:
            raise ValueError(
                f"{stack} is a stack with the member {of}, which is not among the "
                "runs given: give all of its members, or leave the stack out"
            )
        found.append(known[key])
    return found
