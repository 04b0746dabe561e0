"""The robustness card as `evaluate --robust` left it, for the console and for the report.

Needs no Keras.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import _plots
from experiments._runs import read_table

FILE = "robustness.csv"
ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}


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
    return read_table(path, ("strength", "n", "top1"), texts, fix="measure again, or remove it")


def section(path: pathlib.Path) -> dict[str, Any]:
    """Return what the report's template shows of a card."""
    rows = read(path)
    card = Card(rows)
    return {
        "card": card,
        "attacks": [(f"{ATTACKS[what]} {eps:g}", what, eps) for what, eps in card.attacks],
        "kinds": [(kind, kind.replace("_", " ")) for kind in card.corruptions],
        **{key: rows[0].get(key, "") for key in ("device", "command", "seed")},
        "date": rows[0].get("date", "")[:10],
        "figure": figure(card),
    }


def figure(card: Card) -> Figure:
    """Draw accuracy by epsilon, clean images at 0: FGSM as lines, PGD dashed."""
    steps = np.array([0.0, *card.epsilons])
    lines = [
        _plots.Curve(
            f"{model}, {title}",
            steps,
            np.array([card.clean(model), *(card.attacked(model, key, e) for e in card.epsilons)]),
            hue=hue,
            dashed=key == "pgd",
        )
        for hue, model in enumerate(card.models)
        for key, title in ATTACKS.items()
    ]
    title, xlabel = "Top-1, %, under attack", "epsilon, grey levels"
    return _plots.curves(lines, title, xlabel=xlabel, spikes=False)
