"""The command that looks inside: explain."""

import pathlib
from typing import Annotated

import typer

from experiments.cli._options import Backend, CacheDir, DataDir, console, place
from experiments.cli.listener import Console
from experiments.runs import Run

app = typer.Typer()

# Folders within a run's, of validation images and of image files.
OUT, OUT_FILES = "explain", "explain_files"


Paths = Annotated[
    list[pathlib.Path],
    typer.Argument(
        metavar="RUN... [IMAGE...]",
        help="finished runs' folders; image files (default: validation images)",
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        help="gradient, smoothgrad, integrated, gradcam or occlusion, repeatable (default: all)"
    ),
]
Of = Annotated[
    str,
    typer.Option("--class", help="whose logit is explained: predicted, true, or a class by name"),
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="a run or a member of a stack by name, repeatable (default: all)"),
]
Layer = Annotated[
    str | None, typer.Option(help="whose maps Grad-CAM takes (default: the last ones)")
]
Limit = Annotated[int, typer.Option(help="validation images that are measured")]
Shown = Annotated[int, typer.Option(help="images on a sheet, half of them failures")]
Sanity = Annotated[int, typer.Option(help="images explained again with random weights; 0: none")]
Steps = Annotated[int, typer.Option(help="steps of deletion and insertion")]
Fill = Annotated[
    str, typer.Option(help="what covers pixels that are taken away: mean, black or white")
]
Baseline = Annotated[
    str, typer.Option(help="where integrated gradients begin: black, mean or white")
]
Patch = Annotated[
    int | None, typer.Option(help="pixels that occlusion covers (default: a quarter of a side)")
]
Boxes = Annotated[bool, typer.Option("--boxes", help="refuse data without boxes")]
Seed = Annotated[int, typer.Option(help="of images, noise and random weights")]
Out = Annotated[
    pathlib.Path | None, typer.Option(help="folder (default: explain, in the only run's)")
]


@app.command()
def explain(
    paths: Paths,
    method: Methods = None,
    of: Of = "predicted",
    only: Only = None,
    layer: Layer = None,
    limit: Limit = 32,
    shown: Shown = 6,
    sanity: Sanity = 8,
    steps: Steps = 10,
    fill: Fill = "mean",
    baseline: Baseline = "black",
    patch: Patch = None,
    boxes: Boxes = False,
    seed: Seed = 0,
    out: Out = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    backend: Backend = None,
) -> None:
    """Show where finished runs look, stacks and their members too, and measure it.

    Example: python -m experiments explain runs/laptop/stack --data-dir ~/data

    Example: python -m experiments explain runs/laptop/ghostnet owl.jpg --method gradcam
    """
    from experiments.cli import _studies
    from experiments.studies import saliency as study

    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    if not folders:
        raise ValueError(f"no run among {', '.join(map(str, paths))}: give a run's folder first")
    if out is None and len(folders) > 1:
        raise ValueError("several runs make one sheet: give its folder with --out")
    where, listener = place(data_dir, cache_dir, backend=backend), Console(console)
    told = {"layer": layer, "fill": fill, "baseline": baseline, "patch": patch, "seed": seed}
    asked = study.Asked(
        methods=tuple(method or study.METHODS),
        of=of,
        only=tuple(only or ()),
        limit=limit,
        shown=shown,
        sanity=sanity,
        steps=steps,
        boxes=boxes,
        options=study.Options(**told),
    )
    out = out or folders[0] / (OUT_FILES if files else OUT)
    runs = [Run(folder) for folder in folders]
    found = study.of_runs(runs, where, out, asked, files=files, listener=listener)
    listener.close()
    _studies.explained(console, found)
