"""How figures look, and how they and images become text of a page or PNG files.

Text and lines in INK become `currentColor` in the SVG, so that they follow the light or dark theme
of the page that holds them.
"""

from __future__ import annotations

import base64
import html
import io
import pathlib
import re
import warnings
from collections.abc import Mapping

import markupsafe
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

INK = "#1c2128"
BLUE = "#2f74d0"
# Six hues that differ in lightness too, each at least 3:1 on white and on the dark background;
# more than six lines repeat them with other strokes.
HUES = (BLUE, "#d96b00", "#16906a", "#b8458f", "#7d5bd0", "#8a7a1e")
FILES = (".svg", ".png", ".pdf")
WIDTH = 420  # units; fits a phone without small print
ENLARGED = 1.15  # CSS pixels per unit where there is room: text as large as the page's captions
STYLE = {
    "font.size": 11,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a class may be called "$5"
    "svg.fonttype": "none",  # the page's own font, searchable
    "svg.hashsalt": "report",  # the same run gives the same bytes
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "grid.color"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),
}


def titled(width: float, height: float, title: str) -> Figure:
    """Return a figure whose title stands at its left edge."""
    figure = Figure(figsize=(width / 72, height / 72))
    figure.suptitle(title, x=0.006, ha="left")
    return figure


def inline(figures: Mapping[str, Figure], key: str, label: str) -> dict[str, markupsafe.Markup]:
    """Figures as SVG that a template inserts as it stands; their text is escaped already."""
    return {
        name: markupsafe.Markup(_svg(figure, f"{key}-{name}", f"{name} of {label}"))
        for name, figure in figures.items()
    }


def png(figure: Figure) -> bytes:
    """Render the figure on white, two pixels per unit."""
    buffer = io.BytesIO()
    _save(figure, buffer, format="png", dpi=144, facecolor="white")
    return buffer.getvalue()


def check(path: pathlib.Path) -> None:
    """Raise ValueError for a file that no figure is written to."""
    if path.suffix not in FILES:
        raise ValueError(f"a figure is written as {', '.join(FILES)}, got {path}: change its end")


def write(figure: Figure, path: pathlib.Path) -> None:
    """Write the figure on white to a file, as its suffix says: .svg, .png or .pdf."""
    check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        none = {"Date": None} if path.suffix == ".svg" else None
        options = {"format": path.suffix[1:], "dpi": 144, "facecolor": "white", "metadata": none}
        _save(figure, file, **options)


def _svg(figure: Figure, key: str, label: str) -> str:
    """Render the figure as inline `<svg>`: ids begin with `key`, `label` is read out."""
    buffer = io.StringIO()
    none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    _save(figure, buffer, format="svg", transparent=True, metadata=none)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", text)
    text = re.sub(r" font-family: [^;\"]*;?", "", text).replace(INK, "currentColor")
    width, height = (round(72 * ENLARGED * inches) for inches in figure.get_size_inches())
    opening = f'<svg role="img" aria-label="{html.escape(label)}" width="{width}" height="{height}"'
    return re.sub(r'<svg width="[^"]*" height="[^"]*"', opening, text, count=1)


@matplotlib.rc_context(STYLE)
def _save(figure: Figure, buffer: io.IOBase, **options) -> None:
    with warnings.catch_warnings():
        # Class names in any script: the browser has the glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, **options)


def picture(path: pathlib.Path, fix: str) -> np.ndarray:
    """Return a picture's pixels (h, w, 3) uint8; ValueError with the fix for a damaged one."""
    try:
        with Image.open(path) as found:
            return np.asarray(found.convert("RGB"))
    except OSError as error:  # of which Pillow's own errors are some
        raise ValueError(f"{path} cannot be read ({error}): {fix}") from error


def data_uri(image: np.ndarray, limit: int = 128) -> str:
    """Encode a uint8 image (h, w, 1 or 3), reduced to at most `limit` pixels, without loss."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    picture.thumbnail((limit, limit), Image.Resampling.LANCZOS)
    picture.save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
