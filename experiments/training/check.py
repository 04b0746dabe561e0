"""Whether a row can be trained, told before Keras is imported or data is decoded."""

from collections.abc import Mapping

import zoo
from experiments.place import Place
from experiments.recipes import Row, Train
from experiments.training import adversarial


def check(row: Train, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` for a network, a teacher or adversarial images that do not fit the row."""
    zoo.check(**row.model)
    if row.distill:
        teacher = rows[row.distill.teacher]
        if teacher.data != row.data:
            raise ValueError(
                f"the teacher {row.distill.teacher} saw {teacher.data.told()}, {row.recipe} sees "
                f"{row.data.told()}: distillation needs the same images"
            )
    if row.adversarial:
        adversarial.check_trainable(row.adversarial.folder, row.data, row.share)
