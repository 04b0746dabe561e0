"""The sheets of principal components: shares, rebuilt images, classes, one image by its own."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments import _files
from experiments.embeddings import _sheets
from experiments.spectrum import Spectrum

INK = "#1c2128"
HUES = {"red": "#c0392b", "green": "#16906a", "blue": "#2f74d0"}
OTHERS = (INK, "#d96b00", "#7d5bd0", "#b8458f", "#8a7a1e")
MARKED = 0.9
SPREAD = 3  # roots of the mean square of a pixel that reach black and white


def spectrum(path: pathlib.Path, found: Mapping[str, Spectrum]) -> None:
    """Draw the share that the first components hold, by singular values and by variance."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(10, 3.6 + 0.2 * (len(found) + 1) // 2), layout="constrained")
    titles = {"values": "share of the sum of singular values", "variance": "share of the variance"}
    others = iter(OTHERS * len(found))
    hues = {name: HUES.get(name) or next(others) for name in found}
    for place, (of, title) in enumerate(titles.items()):
        axes = page.add_subplot(1, 2, place + 1, xscale="log")
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("components")
        axes.grid(alpha=0.15)
        axes.axhline(100 * MARKED, color=INK, alpha=0.35, linestyle=":", linewidth=1)
        for name, one in found.items():
            shares, needed = 100 * one.shares(of), one.needed(MARKED, of)
            label = f"{name}: {100 * MARKED:g} % in {needed:,}"
            axes.plot(np.arange(len(shares)) + 1, shares, color=hues[name], label=label)
            axes.plot(needed, shares[needed - 1], "o", color=hues[name], markersize=4)
        axes.set_ylim(0, 102)
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.spines[["top", "right"]].set_visible(False)
        legend = axes.legend(
            frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    with _files.atomic(path) as part:
        page.savefig(part, dpi=110, format="png")


def rebuilt(
    path: pathlib.Path, images: np.ndarray, of: Spectrum, components: Sequence[int]
) -> None:
    """Draw images (n, h, w, c) as so many components tell them, the original at the end."""
    flat = images.reshape(len(images), -1)
    columns = [_pixels(of.rebuilt(flat, count), images.shape) for count in components]
    rows = [[column[number] for column in (*columns, images)] for number in range(len(images))]
    heads = [f"{count:,}" for count in components] + ["original"]
    _sheets.rows(path, rows, heads, [""] * len(rows), "Rebuilt from so many components", left=10)


def classes(
    path: pathlib.Path, found: Sequence[tuple[str, Spectrum]], shape: tuple[int, int, int]
) -> None:
    """Draw of each class the mean image and its eigen-images, with their share of its variance."""
    rows, below = [], []
    for _, one in found:
        eigen = one.vectors * (len(one.mean) ** 0.5 / SPREAD)
        cells = _pixels(np.concatenate([one.mean[None], 127.5 + 127.5 * eigen]), (-1, *shape))
        shares = np.diff(one.shares("variance")[: len(one.vectors)], prepend=0)
        rows.append(list(cells))
        below.append(["", *(f"{100 * share:.0f} %" for share in shares)])
    most = max((len(row) for row in rows), default=1)
    rows = [row + [None] * (most - len(row)) for row in rows]
    heads = ["mean", *(str(number) for number in range(1, most))]
    names = [name for name, _ in found]
    _sheets.rows(path, rows, heads, names, "Mean and eigen-images of classes", below=below)


def one_image(path: pathlib.Path, image: np.ndarray, components: Sequence[int]) -> None:
    """Draw each channel of an image (h, w, c) as a matrix, from so many components of its own."""
    names = list(HUES) if image.shape[-1] == 3 else ["gray"]
    rows, below = [], []
    for channel in range(len(names)):
        pixels = image[..., channel].astype(float)
        mean = pixels.mean(axis=0)
        left, singular, right = np.linalg.svd(pixels - mean, full_matrices=False)
        cells, told = [image[..., channel]], ["original"]
        for count in components:
            if count > len(singular):
                continue
            low = (left[:, :count] * singular[:count]) @ right[:count] + mean
            cells.append(_pixels(low, low.shape))
            shares = (np.sum(part[:count]) / np.sum(part) for part in (singular, singular**2))
            told.append(", ".join(f"{100 * share:.0f}" for share in shares) + " %")
        rows.append([cell[..., None] for cell in cells])
        below.append(told)
    heads = ["", *(str(count) for count in components[: len(rows[0]) - 1])]
    title = "One image, each color by its own components"
    _sheets.rows(path, rows, heads, names, title, below=below)


def _pixels(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return np.asarray(values).round().clip(0, 255).astype(np.uint8).reshape(shape)
