"""Recipes: each row of a paper's table as data, checked before anything runs.

One YAML file per paper: `base` holds what its rows share, `rows` what each one changes, and
`expect` the published values (accuracies in percent, times as their name says). A resolved row
is itself a file that can be run.
"""

import difflib
import importlib.resources
import pathlib
from typing import Annotated, Any, Literal, Self

import pydantic
import yaml

import augment
import zoo

Positive = Annotated[int, pydantic.Field(ge=1)]
Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Data(_Part):
    """Which images: a data set by name, resized to `size` pixels where given.

    `holdout` is the share of the training images that members of a stack never see, so that
    the stack's head can be fitted on them. With `folds`, training leaves out the part numbered
    `fold`, from 0, of so many equal parts.
    """

    name: str
    size: Positive | None = None
    resample: Literal["lanczos", "bicubic", "bilinear", "nearest"] = "lanczos"
    holdout: Fraction = 0.0
    folds: Annotated[int, pydantic.Field(ge=2)] | None = None
    fold: Annotated[int, pydantic.Field(ge=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_the_folds(self) -> Self:
        if (self.folds is None) != (self.fold is None) or (self.folds or 1) <= (self.fold or 0):
            raise ValueError(f"fold {self.fold} of {self.folds} folds: give both, counted from 0")
        return self


class Optimizer(pydantic.BaseModel):
    """A Keras optimizer by name; any other field is an argument of its class."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    name: str = "adam"
    learning_rate: Annotated[float, pydantic.Field(gt=0)] = 0.001


class EarlyStop(_Part):
    """Stop after `patience` epochs without a better `monitor`."""

    patience: Positive
    monitor: str = "val_top1"


class Plateau(_Part):
    """Multiply the learning rate by `factor` after `patience` epochs without a better `monitor`."""

    patience: Positive
    factor: Annotated[float, pydantic.Field(gt=0, lt=1)]
    monitor: str = "val_top1"
    min_lr: Annotated[float, pydantic.Field(ge=0)] = 0.0


class Distill(_Part):
    """Learn from a teacher as well (Hinton et al., arXiv 1503.02531).

    The loss is alpha T^2 KL(teacher || network), both softened by the temperature T, plus
    (1 - alpha) times the cross entropy with the labels. `teacher` is a row of the same paper or a
    run folder, a stack for example.
    """

    teacher: str
    temperature: Annotated[float, pydantic.Field(gt=0)] = 4.0
    alpha: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9


class Adversarial(_Part):
    """Every batch ends in `per_batch` images of a set that the command `attack` made.

    `folder` holds the set; with `classes`, only its images of these true classes are taken.
    """

    folder: str
    per_batch: Positive = 5
    classes: list[Annotated[int, pydantic.Field(ge=0)]] | None = None


class Expect(_Part):
    """What the paper printed: accuracies in percent, `tolerance` in points."""

    top1: float | None = None
    top3: float | None = None
    top5: float | None = None
    epochs: int | None = None
    seconds_per_epoch: float | None = None
    hours: float | None = None
    dataset: str | None = None
    tolerance: float = 0.5


class _Row(_Part):
    recipe: str
    title: str = ""
    note: str = ""
    data: Data
    augment: str | dict[str, Any] | None = None
    optimizer: Optimizer = Optimizer()
    batch_size: Positive = 128
    epochs: Positive
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    keep: Literal["best", "last"] = "best"
    expect: Expect | None = None

    @pydantic.field_validator("augment")
    @classmethod
    def _known_policy(cls, policy: str | dict | None) -> str | dict | None:
        if policy is not None:
            augment.get(policy)
        return policy

    @property
    def name(self) -> str:
        """The row's name without its paper."""
        return self.recipe.rpartition("/")[2]


class Train(_Row):
    """One network trained on one data set. `model` is a name of the zoo and its overrides."""

    kind: Literal["train"] = "train"
    model: dict[str, Any]
    early_stop: EarlyStop | None = None
    plateau: Plateau | None = None
    distill: Distill | None = None
    adversarial: Adversarial | None = None
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    jit: bool | Literal["auto"] = "auto"

    @pydantic.field_validator("model")
    @classmethod
    def _known_model(cls, model: dict) -> dict:
        if not isinstance(model.get("name"), str):
            raise ValueError("needs a name, for example {name: alphanet_v4}")
        zoo.info(model["name"])
        return model


class Stack(_Row):
    """Frozen members (rows of the same paper, or run folders) and a dense head on their outputs.

    `tap` is the output that the head reads (not `on`, which YAML reads as true). The head is
    fitted on images that the members held out, on all their training images by members trained
    `folds` times without the part in question (`out_of_fold`), or on the members' own training
    images (`train`). An empty `head` is a linear one.
    """

    kind: Literal["stack"]
    members: Annotated[list[str], pydantic.Field(min_length=1)]
    tap: Literal["probs", "logits", "pooled"] = "probs"
    head: list[Positive] = [512, 512, 512]
    fit_on: Literal["held_out", "out_of_fold", "train"] = "held_out"
    folds: Annotated[int, pydantic.Field(ge=2)] = 5
    views: Positive = 1


Row = Train | Stack


def papers() -> list[str]:
    """Names of the papers that have recipes."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.suffix == ".yaml")


def rows(paper: str) -> dict[str, Row]:
    """All rows of a paper, by name, in the order of its table."""
    content = _paper(paper)
    return {name: _resolve(paper, content, name, {}) for name in content["rows"]}


def load(recipe: str, overrides: dict[str, Any] | None = None) -> Row:
    """Return a row of a paper (`"alphanet/alphanet_v4"`) or of a resolved recipe file.

    `overrides` maps dotted fields to values: `{"epochs": 2, "data.size": 64}`.
    Raises `ValueError` naming the file, the row and the field that does not fit.
    """
    overrides = overrides or {}
    if recipe.endswith((".yaml", ".yml")):
        path = pathlib.Path(recipe).expanduser()
        if not path.is_file():
            raise ValueError(f"no recipe file {path}")
        return _validate(_merge(_read(path), _nested(overrides)), str(path))
    paper, slash, row = recipe.partition("/")
    if not slash:
        raise ValueError(f"recipe {recipe!r}: write PAPER/ROW, for example alphanet/alphanet_v4")
    content = _paper(paper)
    if row not in content["rows"]:
        raise ValueError(f"{paper}.yaml has no row {row!r}{_close(row, content['rows'])}")
    return _resolve(paper, content, row, overrides)


def dump(row: Row) -> str:
    """YAML of a resolved row; `load` reads it back to an equal row."""
    return yaml.safe_dump(row.model_dump(exclude_none=True), sort_keys=False, width=100)


def differences(old: Row, new: Row) -> list[str]:
    """Fields in which two rows differ, as `field: old -> new`."""
    before, after = _flat(old.model_dump()), _flat(new.model_dump())
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def parse_set(assignments: list[str]) -> dict[str, Any]:
    """Turn `["epochs=2", "augment=B"]` into overrides; values are YAML."""
    overrides = {}
    for text in assignments:
        field, equals, value = text.partition("=")
        if not equals or not field:
            raise ValueError(f"--set {text!r}: write FIELD=VALUE, for example --set epochs=2")
        overrides[field.strip()] = yaml.safe_load(value)
    return overrides


def _folder() -> pathlib.Path:
    return pathlib.Path(str(importlib.resources.files("experiments") / "recipes"))


def _paper(paper: str) -> dict:
    if paper not in papers():
        raise ValueError(f"no recipes for paper {paper!r}{_close(paper, papers())}")
    return _read(_folder() / f"{paper}.yaml")


def _read(path: pathlib.Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no recipe (a YAML mapping), but {type(content).__name__}")
    return content


def _resolve(paper: str, content: dict, name: str, overrides: dict[str, Any]) -> Row:
    row = content["rows"][name]
    # A stack trains no network: of the base it takes only the fields it has.
    fields = Stack.model_fields if row.get("kind") == "stack" else Train.model_fields
    base = {key: value for key, value in content.get("base", {}).items() if key in fields}
    merged = _merge(_merge(base, row), _nested(overrides))
    return _validate({"recipe": f"{paper}/{name}", **merged}, f"{paper}.yaml, row {name}")


def _validate(content: dict, place: str) -> Row:
    row = Stack if content.get("kind") == "stack" else Train
    try:
        return row(**content)
    except pydantic.ValidationError as error:
        lines = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            hint = _close(field, row.model_fields) if problem["type"] == "extra_forbidden" else ""
            lines.append(f"  {field}: {problem['msg']}{hint} (got {problem['input']!r})")
        raise ValueError(f"{place}:\n" + "\n".join(lines)) from None


def _nested(overrides: dict[str, Any]) -> dict:
    nested: dict = {}
    for field, value in overrides.items():
        *parents, last = field.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested


def _merge(base: dict, change: dict) -> dict:
    """`change` over `base`, mapping by mapping."""
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    flat = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _close(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else f"; there are {', '.join(names)}"
