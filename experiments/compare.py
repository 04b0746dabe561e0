"""One table of everything that several trained members can be together, and what it costs.

Every member alone, every rule of `stacking.vote` and the stacks made of the members, all on the
same validation images. Weights are fitted on images that the members held out, never on these.
"""

import os
import pathlib
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import stacking
import zoo
from experiments import _ensembles, bench, datasets, ensemble, evaluate, feed
from experiments._files import read_json
from experiments.ensemble import Member
from experiments.vote import WEIGHTS, check_labels, held_out_outputs, validation_outputs

BATCH = 32  # images at once where throughput is measured
WIDE = 104  # characters that the whole table needs


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
    "selection are left out; to have them, train the members with --set data.holdout=0.1"
)


class Choice(NamedTuple):
    """A way to decide: what to tell of it, its probabilities (n, classes), and what it takes.

    `asked` are the numbers of the members that have a say, `models` the runs whose models answer.
    """

    told: dict[str, str]
    probs: np.ndarray
    asked: Sequence[int]
    models: Sequence[Member]


def find_runs(folders: Sequence[pathlib.Path]) -> tuple[list[Member], list[Member]]:
    """Return the members and the stacks among finished runs, each folder once.

    Votes and experts are left out: the rules are compared on the members. Raises `ValueError` for
    fewer than two members, members trained on different images, and stacks of others.
    """
    unique = {pathlib.Path(folder).resolve(): pathlib.Path(folder) for folder in folders}
    runs = [ensemble.read_member(folder) for folder in unique.values()]
    trained = [run.run for run in runs if run.row.kind == "train"]
    if len(trained) < 2:
        raise ValueError(
            f"trained runs among {', '.join(map(str, folders))}: {len(trained)}; an ensemble has "
            "two members or more"
        )
    members = ensemble.read_members(trained)
    stacks = [run for run in runs if run.row.kind == "stack"]
    for run in stacks:
        _members_of(run, members)
    return members, stacks


def compare(
    members: Sequence[Member],
    stacks: Sequence[Member],
    data: datasets.Dataset | None,
    *,
    cache_dir: pathlib.Path,
    repeats: int,
    console: Console,
) -> list[dict]:
    """Return a line per member, rule and stack: accuracy, calibration, diversity and cost.

    `data` is what the members were trained on; without it, nothing is fitted, and what needs
    weights is left out. `cache_dir` keeps the members' outputs for held-out images. Each model is
    timed side by side with the others in `repeats` turns, for 0 not at all.

    Accuracies, calibration error and disagreement are percent, `loss` is the mean negative log
    likelihood, `disagreement` the mean over pairs of the members that have a say (of a member
    alone: over its pairs with the others). Costs are the sums over these members; a stack's are its
    own. Raises `ValueError` for runs and data that differ in their validation images.
    """
    probs, labels = validation_outputs([*members, *stacks])
    own, weights, fitted_on = probs[:, : len(members)], {"": None}, 0
    if data is not None:
        check_labels(data, labels, members[0])
        outputs, truth = held_out_outputs(members, data, cache_dir)
        weights |= {name: fit(outputs, truth) for name, fit in WEIGHTS.items()}
        fitted_on = len(truth)
    choices = [
        Choice({"ensemble": member.name, "kind": "member"}, probs[:, i], [i], [member])
        for i, member in enumerate(members)
    ]
    choices += [
        _vote(rule, own, weights[rule.weights], members)
        for rule in RULES
        if rule.weights in weights
    ]
    choices += [
        Choice(
            {"ensemble": run.name, "kind": "stack"}, probs[:, i], _members_of(run, members), [run]
        )
        for i, run in enumerate(stacks, len(members))
    ]
    disagreement = 100 * stacking.disagreement(own)
    times = latency([*members, *stacks], repeats, console) if repeats else {}
    return [
        {"ensemble": "", "kind": "", "rule": "", "weighted_by": "", "weights": ""}
        | choice.told
        | {"n": len(labels), "fitted_on": fitted_on, "repeats": repeats, "load": os.getloadavg()[0]}
        | _scores(choice, labels, disagreement)
        | _costs(choice, times)
        for choice in choices
    ]


def latency(
    runs: Sequence[Member], repeats: int, console: Console
) -> dict[pathlib.Path, tuple[float, float]]:
    """Time the runs' models side by side on noise: seconds of one image, and of one in a batch."""
    rng = np.random.default_rng(0)
    cases = {}
    for run in runs:
        model = zoo.load(evaluate.model_file(run.run))
        shape = read_json(run.run / "dataset.json")["image_shape"]
        for size in (1, BATCH):
            images = rng.integers(0, 256, (size, *shape), np.uint8)
            cases[run.run, size] = partial(model.predict_on_batch, images)
    with console.status(f"timing {len(runs)} models"):
        seconds = bench.side_by_side(cases, repeats=repeats)
    return {run.run: (seconds[run.run, 1], seconds[run.run, BATCH] / BATCH) for run in runs}


def table(rows: Sequence[dict], width: int) -> Table:
    """Table for a console of `width` characters, the best values bold."""
    out = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption(rows))
    out.add_column("ensemble", no_wrap=True)
    columns = [c for c in _ensembles.columns(rows) if width >= WIDE or not c.detail]
    for column in columns:
        out.add_column(f"{column.title}\n{column.unit}", justify="right", no_wrap=True)
    best = _ensembles.best(rows)
    for number, row in enumerate(rows):
        texts = [(column.text(row), (number, column.key) in best) for column in columns]
        last = number + 1 == len(rows) or rows[number + 1]["kind"] != row["kind"]
        cells = (f"[bold]{text}[/]" if marked else text for text, marked in texts)
        out.add_row(escape(row["ensemble"]), *cells, end_section=last)
    return out


def caption(rows: Sequence[dict]) -> str:
    """Tell how the numbers of a table came about."""
    said = f"n = {rows[0]['n']:,} validation images; best values bold"
    if rows[0]["fitted_on"]:
        said += f"; weights fitted on {rows[0]['fitted_on']:,} images that the members held out"
    said += "; an ensemble costs the sum of the members that it asks"
    if rows[0]["latency_ms"]:
        said += f"; latency of one image, images/s in batches of {BATCH} on {feed.device()}"
    return said


def _vote(
    rule: Rule, probs: np.ndarray, weights: np.ndarray | None, members: Sequence[Member]
) -> Choice:
    told = {"ensemble": rule.name, "kind": "vote", "rule": rule.rule, "weighted_by": rule.weights}
    asked = np.arange(len(members)) if weights is None else np.flatnonzero(weights)
    if weights is not None:
        shares = (f"{members[i].name} {weights[i]:.3f}" for i in asked)
        told["weights"] = ", ".join(shares)
    voted = stacking.vote(probs, rule.rule, weights)
    return Choice(told, voted, asked, [members[i] for i in asked])


def _members_of(stack: Member, members: Sequence[Member]) -> list[int]:
    """Return which of the members a stack was made of.

    They are known by folder and accuracy: runs may have been moved as a whole.
    """
    known = {(m.run.resolve().name, m.metrics["top1"]): i for i, m in enumerate(members)}
    found = []
    for part in stack.metrics["members"]:
        key = pathlib.PurePath(part["run"]).name, part["top1"]
        if key not in known:
            raise ValueError(
                f"{stack.run} is a stack with the member {part['run']}, which is not among the "
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
        **evaluate.accuracy(choice.probs, labels),
        "calibration_error": evaluate.calibration_error(choice.probs, labels),
        "disagreement": float(others.mean()) if others.size else "",
    }


def _costs(choice: Choice, times: dict[pathlib.Path, tuple[float, float]]) -> dict:
    costs = {key: sum(run.metrics[key] for run in choice.models) for key in ("parameters", "macs")}
    if not times:
        return costs | dict.fromkeys(("latency_ms", "images_per_second"), "")
    alone, in_batch = np.sum([times[run.run] for run in choice.models], axis=0).tolist()
    return costs | {"latency_ms": 1000 * alone, "images_per_second": 1 / in_batch}
