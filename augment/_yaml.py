"""YAML as its version 1.2 reads it, and no more of it than policies and recipes need.

PyYAML follows YAML 1.1, where `1e-4` is a text, `on` and `yes` are true and `010` is 8. Refused
are keys that are no text or stand twice, and aliases that unfold to more than `NODES` values.
"""

import re

import yaml

NODES = 50_000
_PREFIX = "tag:yaml.org,2002:"
# Kind -> what YAML 1.2's core schema takes for it, and the letters that it begins with.
_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}

_TAGS = (*_SCALARS, "null", "str", "seq", "map", "merge")


class _Loader(yaml.SafeLoader):
    """Reads the scalars of YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would read as anything but a text."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a value that occurs twice out twice."""
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, x) for tag, x in found if tag in (f"{_PREFIX}null", f"{_PREFIX}merge")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_PREFIX + _kind, re.compile(f"^(?:{_pattern})$"), list(_first))


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    bases = {"0o": 8, "0x": 16}
    return int(text[2:], bases[text[:2]]) if text[:2] in bases else int(text)


_Loader.add_constructor(f"{_PREFIX}int", _whole_number)


def read(text: str) -> object:
    """Return what a YAML text says; ValueError where it is not valid, or unfolds without end."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}) > NODES:
                raise ValueError(f"its aliases unfold to more than {NODES:,} values")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, KeyError) as error:  # KeyError: !!bool maybe
        said = " ".join(str(error).split())
        raise ValueError(f"not valid YAML: {said}") from None


def write(content: object) -> str:
    """Return YAML that `read` reads back to equal content."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=100)


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Count the values of a node, those behind an alias every time; refuse wrong keys and tags."""
    if id(node) not in sizes:
        if node.tag.removeprefix(_PREFIX) not in _TAGS:
            raise ValueError(f"line {node.start_mark.line + 1}: {node.tag} is nothing that is read")
        sizes[id(node)] = NODES + 1  # what holds itself has no end
        parts = list(node.value) if isinstance(node.value, list) else []
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in parts if _is_text(key)]
            for key in keys:
                if keys.count(key) > 1:
                    raise ValueError(f"line {node.start_mark.line + 1}: {key!r} stands twice")
            parts = [value for _, value in parts]
        sizes[id(node)] = min(1 + sum(_size(part, sizes) for part in parts), NODES + 1)
    return sizes[id(node)]


def _is_text(key: yaml.Node) -> bool:
    if key.tag == f"{_PREFIX}merge":
        return False
    if key.tag != f"{_PREFIX}str":
        raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value!r} is no text")
    return True
