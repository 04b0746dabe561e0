"""The robustness card, as measuring it left it: for the console and for reports."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.reports.context import Context, Shown
from experiments.runs import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Attack(NamedTuple):
    """What an attack is called, and how its curve is drawn."""

    title: str
    stroke: int = 0


ATTACKS = {"fgsm": Attack("FGSM"), "pgd": Attack("PGD", stroke=1)}


class Card:
    """Accuracies by model and measure, in percent."""

    def __init__(self, rows: Sequence[dict[str, Any]]):
        self.n = int(rows[0]["n"])
        self._found = {(r["model"], r["measure"], float(r["strength"])): r["top1"] for r in rows}
        self.models = list(dict.fromkeys(model for model, _, _ in self._found))
        measures = dict.fromkeys((what, strength) for _, what, strength in self._found)
        self.attacks = [key for key in measures if key[0] in ATTACKS]
        self.epsilons = list(dict.fromkeys(strength for _, strength in self.attacks))
        kinds = dict.fromkeys(what for what, _ in measures if what not in (*ATTACKS, "clean"))
        self.corruptions = {
            kind: [strength for what, strength in measures if what == kind] for kind in kinds
        }

    def clean(self, model: str) -> float:
        """Accuracy on the images as they are."""
        return self._found[model, "clean", 0.0]

    def attacked(self, model: str, attack: str, epsilon: float) -> float:
        """Accuracy under an attack with epsilon in grey levels."""
        return self._found[model, attack, epsilon]

    def corrupted(self, model: str, kind: str) -> float:
        """Accuracy under a corruption, the mean over its severities."""
        return float(np.mean([self._found[model, kind, s] for s in self.corruptions[kind]]))

    def mean_corrupted(self, model: str) -> float:
        """Accuracy under all corruptions, the mean over kinds and severities."""
        return float(np.mean([self.corrupted(model, kind) for kind in self.corruptions]))


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a card's rows; ValueError that names the file where it is damaged."""
    texts = ("model", "measure")
    return tables.read(path, ("strength", "n", "top1"), texts, fix="measure again, or remove it")


def show(context: Context) -> Shown | None:
    """Show every card: accuracy under attacks and corruptions, as tables and by epsilon."""
    if not context.cards:
        return None
    from experiments.reports import svg

    found = [read(path) for path in context.cards]
    drawn = {f"robustness{number}": figure(Card(rows)) for number, rows in enumerate(found)}
    return Shown(
        {
            "cards": [
                _card(rows) | svg.inline({"figure": plot}, key, "robustness")
                for rows, (key, plot) in zip(found, drawn.items(), strict=True)
            ]
        },
        links=[("robustness", "Robustness")],
        plots=[(context.plots, drawn)] if context.plots else (),
    )


def _card(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    card = Card(rows)
    return {
        "card": card,
        "attacks": [(f"{ATTACKS[what].title} {eps:g}", what, eps) for what, eps in card.attacks],
        "kinds": [(kind, kind.replace("_", " ")) for kind in card.corruptions],
        **{key: rows[0].get(key, "") for key in ("device", "command", "seed")},
        "date": rows[0].get("date", "")[:10],
    }


def figure(card: Card) -> Figure:
    """Draw accuracy by epsilon, clean images at 0: a hue for each model, a stroke an attack."""
    from experiments.reports import plots

    steps = np.array([0.0, *card.epsilons])
    lines = [
        plots.Curve(
            f"{model}, {attack.title}",
            steps,
            np.array([card.clean(model), *(card.attacked(model, key, e) for e in card.epsilons)]),
            hue=hue,
            stroke=attack.stroke,
        )
        for hue, model in enumerate(card.models)
        for key, attack in ATTACKS.items()
    ]
    title, xlabel = "Top-1, %, under attack", "epsilon, grey levels"
    return plots.curves(lines, title, xlabel=xlabel, spikes=False)
