"""What a paper printed of a row."""

from experiments.recipes._part import Part, Several


class Expect(Part):
    """What the paper printed: accuracies in percent, `tolerance` in points.

    Those of validation images, but `train_top1`, and `adversarial`: top-1 on adversarial images
    of the run's own training images. `views`, where given, are those with which the paper measured
    top1, top3 and top5: a run is held against them by what it scored with the same views. What is
    no `target` is shown beside a run and held against nothing: the row's note says why.
    """

    top1: float | None = None
    top3: float | None = None
    top5: float | None = None
    train_top1: float | None = None
    adversarial: float | None = None
    epochs: int | None = None
    seconds_per_epoch: float | None = None
    hours: float | None = None
    dataset: str | None = None
    views: Several | None = None
    tolerance: float = 0.5
    target: bool = True
