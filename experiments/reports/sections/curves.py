"""The learning curves of all runs over each other."""

from experiments.reports.context import Context, Shown


def show(context: Context) -> Shown | None:
    """Show validation curves, if two runs or more have some."""
    from experiments.reports import figures, svg

    drawn = figures.of_runs(context.runs, context.labels)
    if not drawn:
        return None
    return Shown(
        {"drawings": svg.inline(drawn, "all", "all runs")},
        links=[("curves", "Learning curves")],
        plots=[(context.plots, drawn)] if context.plots else (),
    )
