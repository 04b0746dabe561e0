"""One table of everything that several trained members can be together, and what it costs.

Every member alone, every rule of `stacking.vote` and the stacks made of the members, all on the
same validation images. Weights are fitted on images that the members held out, never on these.
With views every line is told twice, plain and with the members' answers averaged over views of an
image; the weights are the same, those fitted on plain images. Times are those of plain calls.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

import stacking
import zoo
from experiments.datasets import Dataset
from experiments.ensembles.choices import RULES, Choice, choices, of_rule
from experiments.ensembles.members import named, share
from experiments.ensembles.vote import WEIGHTS, held_out_outputs, validation_outputs
from experiments.listener import SILENT, Listener
from experiments.place import Place
from experiments.runs import Run, scores
from experiments.timing import side_by_side
from experiments.training import views as seen

BATCH = 32  # images at once where throughput is measured
NOTHING_HELD_OUT = (
    "the members held no images out, so no weights can be fitted: weighted rules and greedy "
    "selection are left out; to have them, train the members with --set share.holdout=0.1"
)


def compare(
    runs: Sequence[Run],
    place: Place,
    cache_dir: pathlib.Path,
    *,
    views: str = "none",
    repeats: int = 10,
    listener: Listener = SILENT,
) -> list[dict]:
    """Compare what finished runs can be together; one row for each member, vote and stack.

    Members are the networks among the runs, stacks those with a model of others; votes and experts
    are left out. With `views`, such as mirror, rows have `top1_mirror` beside the plain `top1`.
    Without `repeats` no times are taken. `cache_dir` keeps the members' outputs.
    Raises `ValueError` for fewer than two members, members of different images, stacks of others,
    and unknown views.
    """
    several = len(seen.get(views)) > 1
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
    data = None
    if share(members).holdout or several:
        data = _data([*networks, *stacks], place, listener)
    fitted = _fitted(members, data, cache_dir, listener)
    ways = choices(probs, members, stacks, fitted.weights)
    with_views = [{} for _ in ways]
    if several:
        probs = _with_views([*networks, *stacks], probs, data, views, listener)
        with_views = [
            {f"top1_{views}": scores.accuracy(choice.probs, labels)["top1"]}
            for choice in choices(probs, members, stacks, fitted.weights)
        ]
    times = latency([*networks, *stacks], repeats, listener) if repeats else {}
    shared = {"n": len(labels), "fitted_on": fitted.images, "repeats": repeats}
    shared["load"] = os.getloadavg()[0]
    disagreement = 100 * stacking.disagreement(own)
    alone = [own[:, number].argmax(axis=1) == labels for number in range(len(members))]
    best = max(alone, key=np.sum)
    found = [
        _TOLD
        | choice.told
        | shared
        | _scores(choice, labels, disagreement)
        | _trust(choice, labels, best)
        | more
        | _costs(choice, times)
        for choice, more in zip(ways, with_views, strict=True)
    ]
    unfitted = [
        of_rule(rule) | {"weights": f"not fitted: {fitted.failed[rule.weights]}"}
        for rule in RULES
        if rule.weights in fitted.failed
    ]
    return found + [dict.fromkeys(found[0], "") | told | shared for told in unfitted]


def _data(runs: Sequence[Run], place: Place, listener: Listener) -> Dataset:
    """Return the data set that the runs saw; ValueError where it is another one."""
    data = place.dataset(runs[0].row.data, listener)
    for run in runs:
        run.check_data(data)
    return data


def _with_views(
    runs: Sequence[Run], probs: np.ndarray, data: Dataset, views: str, listener: Listener
) -> np.ndarray:
    """Return the runs' probabilities (n, runs, classes) with views; `probs` are the plain ones."""
    found = []
    for number, run in enumerate(runs):
        model, plain = zoo.load(run.model_file), probs[:, number]
        found.append(seen.predict_views(model, data.validation.images, views, plain=plain))
        listener.progress(f"asking models with {views}", number + 1, len(runs))
    return np.stack(found, axis=1)


class _Fitted(NamedTuple):
    """Weights by what fits them, what could not be fitted and why, and on how many images."""

    weights: dict[str, np.ndarray | None]
    failed: dict[str, str]
    images: int


def _fitted(
    members: Mapping[str, Run],
    data: Dataset | None,
    cache_dir: pathlib.Path,
    listener: Listener,
) -> _Fitted:
    """Fit all weights on the images that the members held out, if they did."""
    if not share(members).holdout:
        listener.say(NOTHING_HELD_OUT)
        return _Fitted({"": None}, {}, 0)
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


def _trust(choice: Choice, labels: np.ndarray, best: np.ndarray) -> dict:
    """Tell how far top-1 can be trusted; `best` (n,) is what the best member is right about."""
    right = choice.probs.argmax(axis=1) == labels
    low, high = scores.interval(100 * right.mean(), len(labels))
    itself = choice.told["kind"] == "member" and np.array_equal(right, best)
    p = "" if itself else scores.mcnemar(right, best)
    return {"top1_low": low, "top1_high": high, "p_best_member": p}


def _costs(choice: Choice, times: dict[pathlib.Path, tuple[float, float]]) -> dict:
    costs = {key: sum(run.metrics[key] for run in choice.models) for key in ("parameters", "macs")}
    if not times:
        return costs | dict.fromkeys(("latency_ms", "images_per_second"), "")
    alone, in_batch = np.sum([times[run.path] for run in choice.models], axis=0).tolist()
    return costs | {"latency_ms": 1000 * alone, "images_per_second": 1 / in_batch}
