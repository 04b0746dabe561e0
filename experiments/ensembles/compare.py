"""One table of everything that several trained members can be together, and what it costs.

Every member alone, every rule of `stacking.vote` and the stacks made of the members, all on the
same validation images. Weights are fitted on images that the members held out, never on these.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

import stacking
import zoo
from experiments.ensembles.members import named, share
from experiments.ensembles.vote import WEIGHTS, held_out_outputs, validation_outputs
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, scores
from experiments.timing import side_by_side

BATCH = 32  # images at once where throughput is measured


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
NOTHING_HELD_OUT = (
    "the members held no images out, so no weights can be fitted: weighted rules and greedy "
    "selection are left out; to have them, train the members with --set share.holdout=0.1"
)


class Choice(NamedTuple):
    """A way to decide: what to tell of it, its probabilities (n, classes), and what it takes.

    `asked` are the numbers of the members that have a say, `models` the runs whose models answer.
    """

    told: dict[str, str]
    probs: np.ndarray
    asked: Sequence[int]
    models: Sequence[Run]


def compare(
    runs: Sequence[Run],
    place: Place,
    cache_dir: pathlib.Path,
    *,
    repeats: int = 10,
    listener: Listener = SILENT,
) -> list[dict]:
    """Compare what finished runs can be together; one row for each member, vote and stack.

    Members are the networks among the runs, stacks those with a model of others; votes and experts
    are left out. Without `repeats` no times are taken. `cache_dir` keeps the members' outputs.
    Raises `ValueError` for fewer than two members, members of different images, and stacks of
    others.
    """
    networks = [run for run in runs if run.kind.network]
    stacks = [run for run in runs if run.kind.has_model and not run.kind.network]
    if len(networks) < 2:
        raise ValueError(
            f"trained runs among {', '.join(map(str, runs))}: {len(networks)}; an ensemble has "
            "two members or more"
        )
    members = named(networks)
    probs = validation_outputs({str(run): run for run in (*networks, *stacks)})
    own, labels = probs[:, : len(members)], networks[0].labels
    fitted = _fitted(members, stacks, place, cache_dir, listener)
    choices = [
        Choice({"ensemble": name, "kind": "member"}, probs[:, i], [i], [run])
        for i, (name, run) in enumerate(members.items())
    ]
    choices += [
        _vote(rule, own, fitted.weights[rule.weights], members)
        for rule in RULES
        if rule.weights in fitted.weights
    ]
    choices += [
        Choice(
            {"ensemble": run.name, "kind": "stack"}, probs[:, i], _members_of(run, networks), [run]
        )
        for i, run in enumerate(stacks, len(members))
    ]
    times = latency([*networks, *stacks], repeats, listener) if repeats else {}
    shared = {"n": len(labels), "fitted_on": fitted.images, "repeats": repeats}
    shared["load"] = os.getloadavg()[0]
    disagreement = 100 * stacking.disagreement(own)
    found = [
        _TOLD | choice.told | shared | _scores(choice, labels, disagreement) | _costs(choice, times)
        for choice in choices
    ]
    unfitted = [
        _of_rule(rule) | {"weights": f"not fitted: {fitted.failed[rule.weights]}"}
        for rule in RULES
        if rule.weights in fitted.failed
    ]
    return found + [dict.fromkeys(found[0], "") | told | shared for told in unfitted]


class _Fitted(NamedTuple):
    """Weights by what fits them, what could not be fitted and why, and on how many images."""

    weights: dict[str, np.ndarray | None]
    failed: dict[str, str]
    images: int


def _fitted(
    members: Mapping[str, Run],
    stacks: Sequence[Run],
    place: Place,
    cache_dir: pathlib.Path,
    listener: Listener,
) -> _Fitted:
    """Fit all weights on the images that the members held out, if they did."""
    if not share(members).holdout:
        listener.say(NOTHING_HELD_OUT)
        return _Fitted({"": None}, {}, 0)
    data = place.dataset(next(iter(members.values())).row.data, listener)
    for run in (*members.values(), *stacks):
        run.check_data(data)
    outputs, truth = held_out_outputs(members, data, cache_dir, listener)
    weights, failed = {"": None}, {}
    for name, fit in WEIGHTS.items():
        try:
            weights[name] = fit(outputs, truth)
        except ValueError as error:  # boosting members that are no better than chance
            failed[name] = str(error)
    return _Fitted(weights, failed, len(truth))


_TOLD = {"ensemble": "", "kind": "", "rule": "", "weighted_by": "", "weights": ""}


def latency(
    runs: Sequence[Run], repeats: int, listener: Listener = SILENT
) -> dict[pathlib.Path, tuple[float, float]]:
    """Time the runs' models side by side on noise: seconds of one image, and of one in a batch."""
    rng = np.random.default_rng(0)
    cases = {}
    for run in runs:
        model = zoo.load(run.model_file)
        for size in (1, BATCH):
            images = rng.integers(0, 256, (size, *run.dataset["image_shape"]), np.uint8)
            cases[run.path, size] = partial(model.predict_on_batch, images)
    listener.say(f"timing {len(runs)} models")
    seconds = side_by_side(cases, repeats=repeats)
    return {run.path: (seconds[run.path, 1], seconds[run.path, BATCH] / BATCH) for run in runs}


def _of_rule(rule: Rule) -> dict[str, str]:
    return {
        "ensemble": rule.name,
        "kind": "vote",
        "rule": rule.rule,
        "weighted_by": rule.weights,
    }


def _vote(
    rule: Rule, probs: np.ndarray, weights: np.ndarray | None, members: Mapping[str, Run]
) -> Choice:
    told, names, runs = _of_rule(rule), list(members), list(members.values())
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
        key = pathlib.PurePath(part["run"]).name, part["top1"]
        if key not in known:
            raise ValueError(
                f"{stack} is a stack with the member {part['run']}, which is not among the "
                "runs given: give all of its members, or leave the stack out"
            )
        found.append(known[key])
    return found


def _scores(choice: Choice, labels: np.ndarray, disagreement: np.ndarray) -> dict:
    if choice.told["kind"] == "member":
        others = np.delete(disagreement[choice.asked[0]], choice.asked[0])
    else:
        among = disagreement[np.ix_(choice.asked, choice.asked)]
        others = among[~np.eye(len(among), dtype=bool)]
    return {
        **scores.accuracy(choice.probs, labels),
        "calibration_error": scores.calibration_error(choice.probs, labels),
        "disagreement": float(others.mean()) if others.size else "",
    }


def _costs(choice: Choice, times: dict[pathlib.Path, tuple[float, float]]) -> dict:
    costs = {key: sum(run.metrics[key] for run in choice.models) for key in ("parameters", "macs")}
    if not times:
        return costs | dict.fromkeys(("latency_ms", "images_per_second"), "")
    alone, in_batch = np.sum([times[run.path] for run in choice.models], axis=0).tolist()
    return costs | {"latency_ms": 1000 * alone, "images_per_second": 1 / in_batch}
