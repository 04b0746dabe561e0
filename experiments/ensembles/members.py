"""The runs that an ensemble is made of, checked to fit each other and its row. No Keras."""

from collections.abc import Mapping, Sequence

import stacking
import zoo
from experiments import datasets, recipes
from experiments.place import Place
from experiments.recipes import KINDS, Experts, Images, Joint, Row, Share, Stack, Train, Vote
from experiments.runs import Run


def of(row: Row, place: Place) -> dict[str, Run]:
    """Return the finished runs of a row's members by name."""
    return named([Run(place.named(row, name)) for name in row.members])


def named(runs: Sequence[Run]) -> dict[str, Run]:
    """Return finished runs by the names of their rows, or where these repeat of their folders.

    Raises `ValueError` that names the run and the fix where one is not finished, where they saw
    different images, and where names repeat all the same; no model is loaded.
    """
    for run in runs:
        _ = run.metrics  # says how to make it where it is not finished
        same_images({str(runs[0]): runs[0].row.data, str(run): run.row.data})
        run.check_same(runs[0].dataset, str(runs[0]))
    for names in ([run.name for run in runs], [run.folder for run in runs]):
        if len(set(names)) == len(runs):
            return dict(zip(names, runs, strict=True))
    raise ValueError(
        f"{', '.join(map(str, runs))}: two have the same name; give folders that are named "
        "differently, each once"
    )


def same_images(images: Mapping[str, Images]) -> None:
    """Raise `ValueError` unless all that are named saw the same images."""
    (first, wanted), *others = images.items()
    for name, given in others:
        if given != wanted:
            raise ValueError(
                f"{name} is about {given.told()}, but {first} about {wanted.told()}: an ensemble "
                "needs the same images (every field of data)"
            )


def share(runs: Mapping[str, Run]) -> Share:
    """Return the share of the training images that all runs learned from; it must be one."""
    return _one_share({name: run.row for name, run in runs.items()})


def check(row: Stack | Vote, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` unless the rows of the members, by name, fit the ensemble's."""
    for name, one in rows.items():
        if KINDS[one.kind].images:
            raise ValueError(
                f"{name}: is of kind {one.kind}, which makes images and says no class of them: "
                "members are classifiers"
            )
    same_images({row.recipe: row.data} | {name: one.data for name, one in rows.items()})
    CHECKS[type(row)](row, rows)


def check_clean(row: Experts, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` unless experts can come from the row of the run that they name."""
    folder, clean = row.member, rows[row.member]
    if not _learns_from_labels_alone(clean):
        raise ValueError(
            f"{folder} is the run of a {clean.kind} or of one that learned from more than "
            "labels: experts need one network that was trained on clean images"
        )
    same_images({row.recipe: row.data, folder: clean.data})
    if clean.share != row.share:
        raise ValueError(
            f"{row.recipe} has {row.share!r}, {folder} {clean.share!r}: set the fields of share "
            "that differ"
        )
    if clean.batch_size <= row.per_batch:
        raise ValueError(
            f"{row.per_batch} adversarial images in batches of {clean.batch_size}: give "
            "per_batch less, or train the clean run with more"
        )
    run, facts = Run(place.named(row, folder)), datasets.facts(row.data.name)
    known = run.classes if run.finished else facts and facts.classes
    if known:
        stacking.partition(known, row.experts)  # raises for more experts than classes


def check_alone(row: Joint, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` for a member that cannot be built, weights included."""
    for network in row.members.values():
        zoo.check(**network)


def _check_stack(row: Stack, rows: Mapping[str, Row]) -> None:
    if row.fit_on == "train":
        _one_share(rows)
        return
    for name, member in rows.items():
        if not KINDS[member.kind].network:
            raise ValueError(
                f"{name} is a {member.kind}, which was fitted on images that its members held out, "
                "so none is left to fit the head on: stack its members, or take fit_on=train"
            )
        if row.fit_on == "out_of_fold" and not _learns_from_labels_alone(member):
            raise ValueError(
                f"fit_on=out_of_fold trains {name} again without each fold: that needs rows that "
                "learn from labels alone; take fit_on=held_out"
            )
    if not _one_share(rows).holdout and row.fit_on == "held_out":
        raise ValueError(
            f"{row.recipe}: the members saw every training image, so none is left to fit the head "
            "on; train them with --set share.holdout=0.1, ask for fit_on=out_of_fold, which trains "
            f"each again {row.folds} times, or for fit_on=train (as paper P2 did)"
        )


def _check_vote(row: Vote, rows: Mapping[str, Row]) -> None:
    if row.weights == "none":
        return
    for name, member in rows.items():
        if not KINDS[member.kind].network:
            raise ValueError(
                f"{name} is a {member.kind}, which was fitted on images that its members held out, "
                "so none is left to fit weights on: vote with weights=none"
            )
    if not _one_share(rows).holdout:
        raise ValueError(
            f"{row.recipe}: the members saw every training image, so none is left to fit weights "
            "on; train them with --set share.holdout=0.1, or vote with weights=none"
        )


CHECKS = {Stack: _check_stack, Vote: _check_vote}


def _one_share(rows: Mapping[str, Row]) -> Share:
    """Return the share of those that have one: a stack trained on none of its own."""
    shares = {name: row.share for name, row in rows.items() if hasattr(row, "share")}
    (first, wanted), *others = shares.items() or [("", Share())]
    for name, given in others:
        if given != wanted:
            raise ValueError(
                f"{name} was trained with {given!r}, but {first} with {wanted!r}: what one held "
                "out the other has seen; train them with the same share"
            )
    return wanted


def _learns_from_labels_alone(row: Row) -> bool:
    more = isinstance(row, Train) and (row.distill or row.adversarial or row.generated)
    return isinstance(row, Train) and not more


def changed(run: Run) -> list[str]:
    """Return in what a member's row differs from the paper's; empty where it does not."""
    return recipes.changes(run.row) or []
