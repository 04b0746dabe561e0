"""Stacking: frozen members, one trained head, one model.

    stack = stacking.stack({"v4": a, "v4b": b, "v4c": c})
    history = stacking.fit_head(stack, images, labels, validation=(more_images, more_labels))

or frozen members that vote, on arrays of their outputs alone:

    probs = stacking.member_outputs({"v4": a, "v4b": b, "v4c": c}, images)
    decisions = stacking.vote(probs, "mode").argmax(axis=1)

The members are any functional Keras models with layers named `pooled`, `logits` or `probs`.
Keras is imported at the first use, not by `import stacking`.
"""

import importlib

# A function that shares its module's name must be bound when the package is imported: later the
# import of the module would bind the module.
from stacking.experts import partition, partition_by_confusion
from stacking.joint import effective_members, joint, weights_of
from stacking.stack import frozen_member, head_of, members_of, stack
from stacking.vote import accuracy_weights, boosted_weights, disagreement, select, vote

_LAZY = {
    "fit_head": "stacking.fit",
    "fit_head_on": "stacking.fit",
    "member_outputs": "stacking.cache",
    "out_of_fold": "stacking.cache",
}
__all__ = [
    "accuracy_weights",
    "boosted_weights",
    "disagreement",
    "effective_members",
    "fit_head",
    "fit_head_on",
    "frozen_member",
    "head_of",
    "joint",
    "member_outputs",
    "members_of",
    "out_of_fold",
    "partition",
    "partition_by_confusion",
    "select",
    "stack",
    "vote",
    "weights_of",
]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'stacking' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
