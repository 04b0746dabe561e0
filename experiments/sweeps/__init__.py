"""Sweeps: many trainings of a row, each a process and a run folder of its own. No Keras.

    search.py     which trials run, one after the other or side by side, and what became of them
    oracle.py     the process that asks Keras Tuner for the next values; asking.py talks to it
    journal.py    what was proposed and how it ended, from which a cut sweep goes on
    trial.py      a trial's row and score, and the sweep's own run in the end
    objective.py  the same for users of Optuna

The process that conducts a sweep loads no framework, so that it stays small however long it goes.
"""

from experiments.sweeps.objective import objective

__all__ = ["objective"]
