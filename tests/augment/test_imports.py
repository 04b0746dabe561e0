"""What the files of `augment` and `stacking` import: no circles, no command line."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("augment", "stacking")
    for path in (ROOT / package).glob("*.py")
}


def imports(path: pathlib.Path) -> set[str]:
    """Names of all modules that a file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & FILES.keys() or {node.module}
    return found


def test_no_files_import_each_other():
    left = {name: imports(path) & FILES.keys() for name, path in FILES.items()}
    while left:
        free = {name for name, needed in left.items() if not needed & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {name: needed for name, needed in left.items() if name not in free}


@pytest.mark.parametrize("name", FILES)
def test_what_shows_progress_is_the_callers_choice(name):
    assert not {module.split(".")[0] for module in imports(FILES[name])} & {"rich", "typer"}
