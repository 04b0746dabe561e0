"""The state of an unfinished run that another version wrote."""

import types

import pytest

from experiments.training.callbacks import Saved
from experiments.training.checkpoint import Checkpoint


class Old(Saved):
    name = "old"


class New(Saved):
    name = "new"


def test_a_callback_that_the_run_began_without_is_named(tmp_path):
    model = types.SimpleNamespace(variables=[], optimizer=types.SimpleNamespace(variables=[]))
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save(model, [Old()], 1, 1)
    checkpoint.restore(model, [Old()])
    with pytest.raises(ValueError, match=r"last.npz was written by a version without new: remove"):
        checkpoint.restore(model, [Old(), New()])
