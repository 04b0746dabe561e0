"""Run the papers: data sets, recipes, training, stacks and reports (`python -m experiments`).

`experiments.fit("photos", minutes=20)` learns pictures of one's own; it is loaded when asked for.
"""

__all__ = ["fit"]


def __getattr__(name: str):
    if name == "fit":
        from experiments.auto import fit

        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
