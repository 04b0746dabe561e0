"""Stacking: frozen members, one trained head, one model.

    stack = stacking.stack({"v4": a, "v4b": b, "v4c": c})
    history = stacking.fit_head(stack, images, labels, validation=(more_images, more_labels))

The members are any functional Keras models with layers named `pooled`, `logits` or `probs`.
Keras is imported at the first use, not by `import stacking`.
"""

import importlib

# A function that shares its module's name must be bound when the package is imported: later the
# import of the module would bind the module.
from stacking.stack import head_of, members_of, stack

_LAZY = {"fit_head": "stacking.fit", "member_outputs": "stacking.cache"}
__all__ = ["fit_head", "head_of", "member_outputs", "members_of", "stack"]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'stacking' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
