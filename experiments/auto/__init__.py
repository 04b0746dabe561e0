"""From somebody's own pictures to a classifier and a page about it, in a given time.

    fit("photos", minutes=20)

It looks at the pictures, measures this machine, chooses of a table of ways (`ways`), writes the
choice as recipes that can be edited, and has them run as any others.
"""

from experiments.auto.choose import AIMS
from experiments.auto.fitting import Fitted, fit

__all__ = ["AIMS", "Fitted", "fit"]
