"""What a run saw: a data set described without its images, and compared with another."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

# Of images that are enlarged when they are read, what is digested. Older versions decoded them
# large, and digested that.
_STORED = "stored images"


def describe(data: Any) -> dict:
    """Return what is to be known of a data set without its images: what dataset.json says."""
    generated = getattr(data, "generated", None)
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "class_ids": list(data.class_ids),
        "train": len(data.train.labels),
        "validation": len(data.validation.labels),
        "image_shape": list(data.image_shape),
        "digest": dict(data.digest),
        "digest_of": _STORED,
        # How many of those in `train` a generator has made.
        **({} if generated is None else {"generated": len(generated.labels)}),
    }


def other_data(known: Mapping[str, Any], given: Mapping[str, Any], part: bool = False) -> str:
    """Say in what two descriptions of data differ, empty where they are the same.

    What one of them does not have, such as an old one's digest, is not compared; with `part`, nor
    are how many of the training images were seen, and which generated ones beside them.
    """
    if len(known["class_names"]) != len(given["class_names"]):
        return f"{len(known['class_names'])} classes and {len(given['class_names'])}"
    for key in ("class_names", "class_ids"):
        pairs = zip(known.get(key) or (), given.get(key) or (), strict=False)
        for number, (one, other) in enumerate(pairs):
            if one != other:
                return f"class {number} is {one!r} and {other!r}"
    for key in ("name", "image_shape", "validation", *(() if part else ("train",))):
        if key in known and key in given and known[key] != given[key]:
            what = {"train": "training images", "validation": "validation images"}.get(key, key)
            return f"{what}: {known[key]} and {given[key]}"
    for split in ("train", "validation", *(() if part else ("generated",))):
        if same_pixels(known, given, split) is False:
            return f"the {split} images or labels are others, by their digest"
    return ""


def same_pixels(known: Mapping[str, Any], given: Mapping[str, Any], split: str) -> bool | None:
    """Tell by two descriptions' digests whether a split is the same; None where they cannot say.

    The digest of images that are enlarged when they are read is that of the stored ones and how
    they are enlarged, which nobody knows of an older version's.
    """
    one, other = ((described.get("digest") or {}).get(split) for described in (known, given))
    if not one or not other:
        return None
    older = any("digest_of" not in described for described in (known, given))
    if older and (" " in one) != (" " in other):
        return None
    return one == other


def short_names(given: Sequence[str], ids: Sequence[str] = (), length: int = 22) -> list[str]:
    """Return the first synonym of each name, cut to `length`; equal ones get their class id."""
    short = [name.partition(",")[0].strip() or name for name in given]
    short = [name if len(name) <= length else name[: length - 1].rstrip() + "…" for name in short]
    count = collections.Counter(short)
    keys = ids if len(ids) == len(given) else range(len(given))
    return [f"{s} ({key})" if count[s] > 1 else s for s, key in zip(short, keys, strict=True)]


def class_number(name: str, names: Sequence[str], ids: Sequence[str]) -> int | None:
    """Return a class's number by its name, short name, id or that number; None: no class."""
    for known in (names, short_names(names, ids), ids):
        if name in known:
            return list(known).index(name)
    number = int(name) if name.isascii() and name.isdigit() else len(names)
    return number if number < len(names) else None
