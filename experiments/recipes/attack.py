"""How adversarial images are made."""

from typing import Annotated, Any, Literal

import pydantic

from experiments.recipes._part import Part, Positive, Seed


class Attack(Part):
    """How adversarial images are made of a run's training or validation images.

    `images`, as many of each class, are moved by at most `epsilon` grey levels a pixel: by `fgsm`
    in one step, by `pgd` in `steps` of `step` grey levels (by default 10 of epsilon / 4) from a
    random start. A targeted attack aims at another class, drawn by the seed; one that is not
    moves away from the true class.
    """

    images: Positive = 3200
    method: Literal["fgsm", "pgd"] = "fgsm"
    epsilon: Annotated[float, pydantic.Field(ge=1, le=255)] = 8.0
    step: Annotated[float, pydantic.Field(gt=0, le=255)] | None = None
    steps: Positive | None = None
    targeted: bool = True
    split: Literal["train", "validation"] = "train"
    seed: Seed = 0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _steps_of_pgd(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        if fields.get("method") == "pgd":
            given = {key: value for key, value in fields.items() if value is not None}
            epsilon = given.get("epsilon", cls.model_fields["epsilon"].default)
            step = {"step": epsilon / 4} if isinstance(epsilon, int | float) else {}
            return {"steps": 10} | step | given
        for key in ("step", "steps"):
            if fields.get(key) is not None:
                raise ValueError(f"fgsm is one step of epsilon, it takes no {key}: use method=pgd")
        return fields
