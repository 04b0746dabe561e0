"""Recipes: each row of a paper's table as data, checked before anything runs. No Keras.

One YAML file per paper in `papers/`: `base` holds what its rows share, `rows` what each one
changes, of the base or of another row (`like: ROW`), and `expect` the published values (accuracies
in percent, times as their name says). A resolved row is itself a file that can be run.
"""

import functools
import importlib.resources
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import pydantic

from augment._yaml import read, write
from experiments.recipes import _merge
from experiments.recipes._merge import parse_set
from experiments.recipes._part import Part, close_to
from experiments.recipes.attack import Attack
from experiments.recipes.ensembles import Experts, Joint, Stack, Vote
from experiments.recipes.images import Images, Share
from experiments.recipes.kinds import KINDS, needed
from experiments.recipes.schemas import Learned, Row, Train
from experiments.recipes.sweep import Sweep

__all__ = [
    "KINDS",
    "Attack",
    "Experts",
    "Images",
    "Joint",
    "Learned",
    "Row",
    "Share",
    "Stack",
    "Sweep",
    "Train",
    "Vote",
    "attack",
    "changes",
    "differences",
    "dump",
    "load",
    "needed",
    "papers",
    "parse",
    "parse_set",
    "read",
    "read_mapping",
    "rows",
    "swept",
    "write",
]

# Fields of a paper's file.
_PAPER = ("title", "base", "rows")
# Fields of a row that change nothing of what is trained, and of the paper's that is repeated.
_ASIDE = {"title", "note", "expect", "seed", "jit", "test_views"}
_ASIDE |= {"progress_every", "validate_every"}


def papers() -> list[str]:
    """Names of the papers that have recipes."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.suffix == ".yaml")


def rows(paper: str) -> dict[str, Row]:
    """All rows of a paper, by name, in the order of its table."""
    return {name: _resolve(paper, name, {}) for name in _paper(paper)["rows"]}


def load(recipe: str | pathlib.Path, overrides: Mapping[str, Any] | None = None) -> Row:
    """Return a row of a paper (`"alphanet/alphanet_v4"`) or of a resolved recipe file.

    `overrides` maps dotted fields to values, which replace what was there:
    `{"epochs": 2, "data.size": 64}`.
    Raises `ValueError` naming the file, the row and the field that does not fit.
    """
    overrides = overrides or {}
    if str(recipe).endswith((".yaml", ".yml")):
        path = pathlib.Path(recipe).expanduser()
        if not path.is_file():
            raise ValueError(f"no recipe file {path}")
        return parse(read_mapping(path), str(path), overrides)
    paper, slash, row = str(recipe).partition("/")
    if not slash:
        raise ValueError(f"recipe {recipe!r}: write PAPER/ROW, for example alphanet/alphanet_v4")
    if row not in _paper(paper)["rows"]:
        raise ValueError(f"{paper}.yaml has no row {row!r}{close_to(row, _paper(paper)['rows'])}")
    return _resolve(paper, row, overrides)


def parse(content: Mapping, place: str, overrides: Mapping[str, Any] | None = None) -> Row:
    """Return the row that a mapping says, also one that an earlier version wrote."""
    has_share = "share" in _schema(content, place).model_fields
    return _validate(_merge.put(_merge.renewed(content, has_share), overrides or {}), place)


def swept(row: Sweep, values: Mapping[str, Any] | None = None) -> Row:
    """Return the row that a sweep is of, with `values` of its fields, as its trials are.

    Raises `ValueError` for values that the row's schema refuses.
    """
    name = row.of
    if "/" not in name and not name.endswith((".yaml", ".yml")):
        name = f"{row.paper}/{name}"
    given = {} if row.epochs is None else {"epochs": row.epochs}
    return load(name, given | dict(values or {}))


def attack(options: Mapping[str, Any]) -> Attack:
    """Return an attack by its fields; `ValueError` names each option that does not fit."""
    try:
        return Attack(**options)
    except pydantic.ValidationError as error:
        raise ValueError("attack:\n" + "\n".join(_told(error, Attack))) from None


def dump(row: Row) -> str:
    """YAML of a resolved row; `load` reads it back to an equal row."""
    return write(row.model_dump(exclude_none=True))


def differences(old: Row, new: Row) -> list[str]:
    """Fields in which two rows differ, as `field: old -> new`."""
    return _different(old.model_dump(), new.model_dump())


def changes(row: Row) -> list[str] | None:
    """Fields in which a row differs from the paper's row of its name; None where there is none.

    What names it (title, note), what was published, the seed, how it was compiled, the views of
    which scores stand beside the plain ones, and where members lie do not count; float32 is one of
    what `precision: auto` means.
    """
    if row.paper not in papers() or row.name not in _paper(row.paper)["rows"]:
        return None
    return _different(*(_what_counts(one) for one in (_resolve(row.paper, row.name, {}), row)))


def _what_counts(row: Row) -> dict:
    content = row.model_dump(exclude=_ASIDE)
    if content.get("precision") == "float32":
        content["precision"] = "auto"
    folders = {name: pathlib.PurePath(name).name for name in needed(row)}
    for field in KINDS[row.kind].needs:
        top = field.partition(".")[0]
        content[top] = _replaced(content[top], folders)
    return content


def _replaced(content: Any, names: Mapping[str, str]) -> Any:
    """Return content with texts that stand in `names` replaced, also inside."""
    if isinstance(content, dict):
        return {key: _replaced(value, names) for key, value in content.items()}
    if isinstance(content, list):
        return [_replaced(value, names) for value in content]
    return names.get(content, content) if isinstance(content, str) else content


def _different(old: dict, new: dict) -> list[str]:
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def read_mapping(path: pathlib.Path) -> dict:
    """Read a YAML file that holds a mapping; ValueError names the file where it does not."""
    try:
        content = read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # also what is not UTF-8
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no YAML mapping, but {type(content).__name__}")
    return content


def _folder() -> pathlib.Path:
    return pathlib.Path(str(importlib.resources.files("experiments.recipes") / "papers"))


@functools.cache
def _paper(paper: str) -> dict:
    if paper not in papers():
        raise ValueError(f"no recipes for paper {paper!r}{close_to(paper, papers())}")
    return checked_paper(read_mapping(_folder() / f"{paper}.yaml"), f"{paper}.yaml")


def checked_paper(content: dict, place: str) -> dict:
    """Return a paper's content; ValueError for what is no row, and for unknown fields of base."""
    for field in content:
        if field not in _PAPER:
            raise ValueError(f"{place}: a paper has no {field}{close_to(field, _PAPER)}")
    rows, base = content.get("rows"), content.get("base") or {}
    if not isinstance(rows, dict) or not rows:
        raise ValueError(f"{place}: rows: a mapping of rows is needed")
    parts = {"base": base} | {f"row {name}": row for name, row in rows.items()}
    for what, fields in parts.items():
        if not isinstance(fields, dict | None):
            raise ValueError(f"{place}: {what}: fields are needed (got {fields!r})")
    known = {field for kind in KINDS.values() for field in kind.schema.model_fields} - {"recipe"}
    for field in base:
        if field not in known:
            raise ValueError(f"{place}: base: no kind of row has a {field}{close_to(field, known)}")
    return content


def _resolve(paper: str, name: str, overrides: Mapping[str, Any]) -> Row:
    return resolve(_paper(paper), paper, name, overrides)


def resolve(content: dict, paper: str, name: str, overrides: Mapping[str, Any]) -> Row:
    """Return a row of a paper's content: base, what it is like, its own fields, overrides."""
    place = f"{paper}.yaml, row {name}"
    try:
        row = _merge.row_of(content, name)
    except ValueError as error:
        raise ValueError(f"{paper}.yaml, {error}") from None
    # A stack trains no network, a vote nothing: of the base they take only the fields they have.
    fields = _schema(row, place).model_fields
    base = _merge.named(content.get("base") or {})
    base = {key: value for key, value in base.items() if key in fields}
    merged = _merge.put(_merge.over(base, row), overrides)
    return _validate({"recipe": f"{paper}/{name}", **merged}, place)


def _validate(content: dict, place: str) -> Row:
    schema = _schema(content, place)
    if wrong := [f"  {field}: {value}" for field, value in _flat(content).items() if _odd(value)]:
        raise ValueError(f"{place}: numbers must be finite:\n" + "\n".join(wrong))
    try:
        return schema(**content)
    except pydantic.ValidationError as error:
        raise ValueError(f"{place}:\n" + "\n".join(_told(error, schema))) from None


def _odd(value: Any) -> bool:
    """Whether it is an infinite number or none at all, or a list that holds one."""
    if isinstance(value, list):
        return any(_odd(one) for one in value)
    return isinstance(value, float) and not math.isfinite(value)


def _schema(content: Mapping, place: str) -> type[Row]:
    kind = content.get("kind", "train")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{place}: no kind of row {kind!r}{close_to(str(kind), KINDS)}")
    return KINDS[kind].schema


def _told(error: pydantic.ValidationError, model: type[Part]) -> list[str]:
    """Return a line for each field that does not fit."""
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        hint = _hint(field, model) if problem["type"] == "extra_forbidden" else ""
        place = f"{field}: " if field else ""  # empty where fields do not fit each other
        got = f" (got {problem['input']!r})" if field else ""
        lines.append(f"  {place}{problem['msg'].removeprefix('Value error, ')}{hint}{got}")
    return lines


def _hint(field: str, model: type[Part]) -> str:
    """Say which field is meant: the same word elsewhere, or one that is written alike."""
    fields = [*model.model_fields, *(f"share.{x}" for x in Share.model_fields)]
    word = field.rpartition(".")[2]
    if "share" not in model.model_fields:
        if word in ("share", *Share.model_fields):
            return "; the share of the training images is that of the members: set it there"
        fields = list(model.model_fields)
    same = [name for name in fields if name.rpartition(".")[2] == word]
    return f"; it is {same[0]}" if same else close_to(field, fields)


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    flat = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat
