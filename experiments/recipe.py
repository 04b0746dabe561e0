"""Recipes: each row of a paper's table as data, checked before anything runs.

One YAML file per paper: `base` holds what its rows share, `rows` what each one changes, and
`expect` the published values (accuracies in percent, times as their name says). A resolved row
is itself a file that can be run.
"""

import importlib.resources
import pathlib
from typing import Any

import pydantic
import yaml

from experiments.rows import KINDS, Attack, Part, Row, Train, close_to


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
        raise ValueError(f"{paper}.yaml has no row {row!r}{close_to(row, content['rows'])}")
    return _resolve(paper, content, row, overrides)


def attack(options: dict[str, Any]) -> Attack:
    """Return an attack by its fields; `ValueError` names each option that does not fit."""
    try:
        return Attack(**options)
    except pydantic.ValidationError as error:
        raise ValueError("attack:\n" + "\n".join(_told(error, Attack))) from None


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
        raise ValueError(f"no recipes for paper {paper!r}{close_to(paper, papers())}")
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
    # A stack trains no network, a vote nothing: of the base they take only the fields they have.
    fields = _kind(row).model_fields
    base = {key: value for key, value in content.get("base", {}).items() if key in fields}
    merged = _merge(_merge(base, row), _nested(overrides))
    return _validate({"recipe": f"{paper}/{name}", **merged}, f"{paper}.yaml, row {name}")


def _validate(content: dict, place: str) -> Row:
    row = _kind(content)
    try:
        return row(**content)
    except pydantic.ValidationError as error:
        raise ValueError(f"{place}:\n" + "\n".join(_told(error, row))) from None


def _told(error: pydantic.ValidationError, model: type[Part]) -> list[str]:
    """Return a line for each field that does not fit."""
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        hint = close_to(field, model.model_fields) if problem["type"] == "extra_forbidden" else ""
        place = f"{field}: " if field else ""  # empty where fields do not fit each other
        lines.append(f"  {place}{problem['msg']}{hint} (got {problem['input']!r})")
    return lines


def _kind(content: dict) -> type[Part]:
    """Class of a row; what is of no known kind is refused as training."""
    return KINDS.get(str(content.get("kind", "train")), Train)


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
