"""What is to be explained, and how well it is to be measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from experiments.studies import _explainers
from experiments.studies._explainers import METHODS, Options
from experiments.studies._subjects import PREDICTED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be explained, and how well it is to be measured.

    `of`: the class whose logit it is: `predicted`, `true`, or one by name, id or number. `only`:
    names of models, where not all. `limit` validation images are drawn by the options' seed; of
    these the first that the first model recognizes, and the first that it does not, `shown` in all,
    stand on the sheets. `steps` of deletion and insertion; `sanity` images, 0 for none, are
    explained again with random weights. `boxes`: whether to insist on them.
    """

    methods: Sequence[str] = tuple(METHODS)
    of: str = PREDICTED
    only: Sequence[str] = ()
    limit: int = 32
    shown: int = 6
    steps: int = 10
    sanity: int = 8
    boxes: bool = False
    options: Options = Options()

    def __post_init__(self):
        if not self.methods:
            raise ValueError(f"no methods: give some of {', '.join(METHODS)}")
        _explainers.check(*self.methods)
        for name, least in (("limit", 1), ("shown", 1), ("steps", 1), ("sanity", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name}={value}: give a whole number of {least} or more")
