"""How a row comes about: base, the row that it is like, its own fields, and `--set`."""

from collections.abc import Iterable, Mapping
from typing import Any

from augment import _yaml

# What is said of one row and no other: `like` does not hand it on.
OWN = ("expect", "note", "title", "like")
# What may be said by its name alone: `data: folder` for `data: {name: folder}`.
NAMED = ("data", "model", "optimizer", "schedule")


def named(content: Mapping[str, Any]) -> dict:
    """Return fields with those spelled out that are said by their name alone."""
    return {
        key: {"name": value} if key in NAMED and isinstance(value, str) else value
        for key, value in content.items()
    }


def over(base: Mapping, change: Mapping) -> dict:
    """Return `change` over `base`, mapping by mapping.

    A mapping that names another thing than the one below it (`name`) begins anew: the arguments of
    one optimizer or network mean nothing to another.
    """
    merged = dict(base)
    for key, value in change.items():
        below = merged.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        if both and value.get("name", below.get("name")) == below.get("name"):
            value = over(below, value)
        merged[key] = value
    return merged


def row_of(content: Mapping, name: str, seen: tuple[str, ...] = ()) -> dict:
    """Return a row's own fields over those of the row that it is `like`, and so on; no base."""
    rows = content["rows"]
    row = named(rows[name] or {})
    if "like" not in row:
        return row
    model, chain = row["like"], (*seen, name)
    if not isinstance(model, str) or model not in rows:
        raise ValueError(f"row {name}: like {model!r}: there is no such row")
    if model in chain:
        raise ValueError(f"row {name}: like goes in a circle: {' -> '.join((*chain, model))}")
    inherited = row_of(content, model, chain)
    own = {key: value for key, value in row.items() if key != "like"}
    return over({key: value for key, value in inherited.items() if key not in OWN}, own)


def put(content: dict, overrides: Mapping[str, Any]) -> dict:
    """Return `content` with dotted fields replaced, whole: `{"optimizer.name": "sgd"}`."""
    for field in overrides:
        for other in overrides:
            if other.startswith(f"{field}."):
                raise ValueError(f"--set {field} and --set {other} contradict each other")
    changed = named(content)
    for field, value in named(overrides).items():
        *parents, last = field.split(".")
        place = changed
        for parent in parents:
            inner = place.get(parent)
            if inner is not None and not isinstance(inner, dict):
                raise ValueError(f"--set {field}: {parent} is {inner!r}, which has no fields")
            place[parent] = dict(inner or {})
            place = place[parent]
        place[last] = value
    return changed


def parse_set(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn `["epochs=2", "augment=B"]` into overrides; values are YAML 1.2."""
    overrides = {}
    for text in assignments:
        field, equals, value = text.partition("=")
        field = field.strip()
        if not equals or not all(field.split(".")):
            raise ValueError(f"--set {text!r}: write FIELD=VALUE, for example --set epochs=2")
        if field in overrides:
            raise ValueError(f"--set {field} is given twice")
        try:
            overrides[field] = _yaml.read(value)
        except ValueError as error:
            raise ValueError(f"--set {text!r}: {error}") from None
    return overrides


def renewed(content: Mapping[str, Any], has_share: bool) -> dict:
    """Return a row that an earlier version wrote, in today's fields.

    `data` held what is `share` now, which rows had that train on no images of their own, too;
    `plateau` was no schedule, and its least gain was fixed.
    """
    content, data = dict(content), content.get("data")
    if isinstance(data, dict) and "share" not in content:
        parts = {key: data[key] for key in ("holdout", "folds", "fold") if key in data}
        if parts:
            content["data"] = {key: value for key, value in data.items() if key not in parts}
            if has_share:
                content["share"] = parts
    plateau = content.get("plateau")
    if "plateau" in content and "schedule" not in content and isinstance(plateau, dict | None):
        del content["plateau"]
        if plateau:
            content["schedule"] = {"name": "plateau", "min_delta": 0.01, **plateau}
    return content
