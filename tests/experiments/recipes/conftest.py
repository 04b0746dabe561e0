"""A paper made of what a test says."""

from collections.abc import Callable

import pytest

from experiments import recipes

BASE = {"data": {"name": "digits"}, "model": {"name": "alphanet_v4"}, "epochs": 3}


@pytest.fixture
def resolve() -> Callable:
    """Resolve a row of a paper that holds `rows` over `base`."""

    def resolved(rows: dict, name: str = "a", overrides=None, **base) -> recipes.Row:
        content = recipes.checked_paper({"base": {**BASE, **base}, "rows": rows}, "p.yaml")
        return recipes.resolve(content, "p", name, overrides or {})

    return resolved
