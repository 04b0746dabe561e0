"""The section that puts runs of one data set beside each other."""

import numpy as np
import pytest

from experiments import recipes
from experiments.reports.context import Context
from experiments.reports.sections import across
from experiments.reports.svg import HUES
from experiments.runs import Run

SMALL = {"classes": 10, "images": 100, "epochs": 3}


def row(name="one", **fields):
    """Return a row of no paper."""
    given = {"recipe": f"own/{name}", "data": {"name": "digits"}, "epochs": 3}
    return recipes.parse(given | {"model": {"name": "alphanet_v4"}} | fields, "test")


def grouped(*folders):
    """Return the groups of runs, called by their folders."""
    runs = [Run(folder) for folder in folders]
    return Context(runs=runs, labels=[run.folder for run in runs], rows={}).groups


def test_data_sets_never_share_an_axis(make_run, page_of, tmp_path):
    small = SMALL | {"classes": 3}
    folders = [
        make_run(tmp_path / "d1", row("d1"), **SMALL),
        make_run(tmp_path / "m1", row("m1", data={"name": "mnist"}), **SMALL),
        make_run(tmp_path / "d2", row("d2"), **SMALL),
        make_run(tmp_path / "m2", row("m2", data={"name": "mnist"}), **SMALL),
        make_run(tmp_path / "alone", row("alone", data={"name": "cifar10"}), **SMALL),
        make_run(tmp_path / "few", row("few"), **small),
    ]
    groups = grouped(*folders)
    assert [(group.title, group.labels) for group in groups] == [
        ("digits, 10 classes", ["d1", "d2"]),
        ("mnist, 10 classes", ["m1", "m2"]),
        ("cifar10, 10 classes", ["alone"]),
        ("digits, 3 classes", ["few"]),
    ]
    source = page_of(*folders).source
    assert "<h3>digits, 10 classes</h3>" in source and "<h3>mnist, 10 classes</h3>" in source
    assert "<h3>cifar10" not in source and "<h3>digits, 3" not in source
    assert source.count("top1 of digits, 10 classes") == 2  # of training and of validation
    legend = source[source.index("across0-top1") : source.index("across0-loss")]
    assert "d1" in legend and "m1" not in legend


def test_a_single_run_of_each_data_set_has_nothing_beside_it(make_run, page_of, tmp_path):
    one = make_run(tmp_path / "d1", row("d1"), **SMALL)
    other = make_run(tmp_path / "m1", row("m1", data={"name": "mnist"}), **SMALL)
    assert "Across models" not in page_of(one, other).source


@pytest.mark.parametrize("count", [3, 20, 26])
def test_curves_are_told_apart_and_the_best_of_many_are_named(make_run, tmp_path, count):
    folders = [
        make_run(tmp_path / f"run{i:02}", row(f"r{i}"), seed=i, top1=50 + i, **SMALL)
        for i in range(count)
    ]
    group = grouped(*folders)[0]
    axes = across.figures(group)["top1"].axes[0]
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert len(axes.lines) == count and len(named) == min(count, across.NAMED)
    looks = {(line.get_color(), line.get_linestyle()) for line in named}
    assert len(looks) == len(named)
    assert {color for color, _ in looks} <= set(HUES)
    # The two lowest of 26 are those in gray.
    assert [line.get_label() for line in named] == group.labels[max(0, count - across.NAMED) :]


def test_bars_hold_accuracies_against_what_is_published(make_run, tmp_path):
    ours = row("published", expect={"top1": 80.0, "top5": 99.0})
    folders = [make_run(tmp_path / "a", ours, top1=70.0, **SMALL)]
    folders.append(make_run(tmp_path / "b", row("silent"), top1=60.0, **SMALL))
    figure = across.figures(grouped(*folders)[0])["accuracy"]
    axes = figure.axes[0]
    top5 = Run(folders[0]).metrics["top5"]
    assert [round(bar.get_width(), 1) for bar in axes.patches[:2]] == [round(top5, 1), 70.0]
    assert [line.get_xdata()[0] for line in axes.lines] == [80.0, 99.0]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        *("top-1", "top-5", "published top-1", "published top-5")
    ]
    assert axes.texts[0].get_text() == f"70.0 / {top5:.1f}"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_top_five_of_five_classes_is_not_drawn(make_run, tmp_path):
    few = SMALL | {"classes": 5}
    folders = [make_run(tmp_path / str(i), row(f"r{i}"), top1=60.0 + i, **few) for i in range(2)]
    figure = across.figures(grouped(*folders)[0])["accuracy"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["top-1"]
    assert len(figure.axes[0].patches) == 2


def test_what_is_published_with_views_is_held_against_views(make_run, tmp_path):
    ours = row("views", expect={"top1": 80.0, "views": "mirror"})
    scored = {"views": "mirror", "top1": 75.0, "top3": 80.0, "top5": 90.0, "loss": 1.0}
    folders = [
        make_run(tmp_path / "with", ours, top1=70.0, with_views=scored, **SMALL),
        make_run(tmp_path / "plain", ours, top1=70.0, **SMALL),
    ]
    axes = across.figures(grouped(*folders)[0])["accuracy"].axes[0]
    assert [text.get_text().split(" / ")[0] for text in axes.texts] == ["75.0", "70.0"]
    assert len(axes.lines) == 1  # nothing to hold the plain one against


def test_seconds_are_those_of_networks(make_run, tmp_path):
    folders = [
        make_run(tmp_path / name, f"laptop/{name}", seconds_per_epoch=seconds, **SMALL)
        for name, seconds in (("ghostnet", 20.0), ("alphanet", 5.5))
    ]
    folders.append(make_run(tmp_path / "stack", "laptop/stack", members=[], **SMALL))
    drawn = across.figures(grouped(*folders)[0])
    axes = drawn["seconds"].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [20.0, 5.5]
    assert [text.get_text() for text in axes.texts] == ["20.0", "5.5"]
    assert len(drawn["accuracy"].axes[0].texts) == 3
    assert "seconds" not in across.figures(grouped(*folders[1:])[0])  # one is no comparison


def test_votes_have_bars_and_no_curves(make_run, tmp_path):
    folders = [make_run(tmp_path / n, f"laptop/{n}", members=[], **SMALL) for n in ("mode", "mean")]
    assert across.figures(grouped(*folders)[0]).keys() == {"accuracy"}


def test_training_batch_by_batch_is_drawn_where_it_was_noted(make_run, page_of, tmp_path):
    folders = [make_run(tmp_path / name, row(name), **SMALL) for name in ("a", "b")]
    assert "images" not in across.figures(grouped(*folders)[0])
    for place, folder in enumerate(folders):
        line = {"epoch": 1, "seconds": 9.0, "val_loss": None, "val_top1": None}
        Run(folder).write_progress(
            [
                line | {"step": step, "images": 32 * step, "train_top1": 10.0 * step + place}
                for step in (1, 2, 3)
            ]
        )
    drawn = across.figures(grouped(*folders)[0])["images"]
    found = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in drawn.axes[0].lines]
    assert found == [([32, 64, 96], [10, 20, 30]), ([32, 64, 96], [11, 21, 31])]
    source = page_of(*folders).source
    assert "Training top-1 batch by batch" in source
    assert "training, batch by batch" in source  # in the figure of each run


def test_long_names_are_cut_so_that_bars_keep_their_place(make_run, tmp_path):
    names = [f"{'folder_' * 12}{i}" for i in range(2)]
    folders = [
        make_run(tmp_path / name, row("same"), seed=i, **SMALL) for i, name in enumerate(names)
    ]
    drawn = across.figures(grouped(*folders)[0])
    drawn["accuracy"].draw_without_rendering()
    axes = drawn["accuracy"].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert all("…" in label and label.endswith(f"folder_{i}") for i, label in enumerate(labels))
    box = axes.get_position()
    assert box.width > 0.4 and np.all(
        [label.get_window_extent().x0 >= 0 for label in axes.get_yticklabels()]
    )
