"""Images of a generator among those that a row learns from."""

from experiments.recipes._part import Part, Positive, Seed


class Generated(Part):
    """`per_class` images of each class, made by the finished generator `run`, are learned too.

    `run` is a row of the same paper or a run's folder, of the same images and share: what it
    learned from, and nothing of what this row leaves out, is in what it makes. The images are drawn
    by `seed` and made once; with `only` they are learned in the place of the real ones. Validation
    images are the real ones always.

    They are no part of `data`: runs with and without them saw the same data set, are measured on
    the same images and can be combined.
    """

    run: str
    per_class: Positive
    seed: Seed = 0
    only: bool = False
