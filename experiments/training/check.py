"""Whether a row can be trained, told before Keras is imported or data is decoded."""

from collections.abc import Mapping

import zoo
from experiments import datasets
from experiments.place import Place
from experiments.recipes import Row, Train
from experiments.recipes.sizes import ends_elsewhere
from experiments.training import adversarial, generated


def check(row: Train, rows: Mapping[str, Row], place: Place) -> None:
    """Raise `ValueError` for a network, a teacher, a generator or images that do not fit the row.

    Also for a network that takes one size alone, and sizes that end at none of the data's, where
    that is known by now.
    """
    zoo.check(**row.model)
    for _, size in row.sizes or ():
        zoo.resizable(**row.model, input_shape=(size, size, 3))
    known = datasets.facts(row.data.name)
    if row.sizes and row.data.size is None and known and known.image_shape:
        side = known.image_shape[0]
        if side != row.last_size:
            told = f"the images of {row.data.name} have {side}"
            raise ValueError(f"{row.recipe}: {ends_elsewhere(row.last_size, told)}")
    if row.distill:
        teacher = rows[row.distill.teacher]
        if teacher.data != row.data:
            raise ValueError(
                f"the teacher {row.distill.teacher} saw {teacher.data.told()}, {row.recipe} sees "
                f"{row.data.told()}: distillation needs the same images"
            )
    if row.adversarial:
        adversarial.check_trainable(row.adversarial.folder, row.data, row.share)
    if row.generated:
        generated.check(row, rows[row.generated.run])
