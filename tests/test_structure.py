"""The architecture, held by tests: who may import whom, and what must stay light."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("zoo", "augment", "stacking", "experiments")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ARCHITECTURES = sorted(p for p in (ROOT / "zoo").glob("*.py") if not p.name.startswith("_"))

# Files that must tell the backends apart; there inside functions only.
BACKEND_FILES = {
    "augment/_warp.py",
    "augment/_gradient.py",
    "experiments/_formats.py",
    "experiments/bench/_worker.py",
    "experiments/feed.py",
    "experiments/distribute.py",
    "zoo/_kernels.py",
    "zoo/_weights.py",
}
# Our packages that a package may import, itself left out.
MAY_IMPORT = {
    "zoo": set(),
    "augment": set(),
    "stacking": set(),
    "experiments": {"zoo", "augment", "stacking"},
}


def _name(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: pathlib.Path) -> list[tuple[str, bool]]:
    """Imported modules of a file, and whether the import stands at module level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}: relative import"
            found.append((node.module, node not in inside))
    return found


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_packages_import_only_downstream(path):
    package = _name(path).split("/")[0]
    ours = {name.split(".")[0] for name, _ in _imports(path)} & set(PACKAGES)
    assert ours - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", ARCHITECTURES, ids=_name)
def test_an_architecture_knows_only_its_blocks(path):
    if path.name == "__init__.py":
        return
    for name, _ in _imports(path):
        top = name.split(".")[0]
        assert name == "zoo._blocks" or top == "keras" or top in sys.stdlib_module_names, name


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_backends_are_told_apart_in_few_places(path):
    for name, at_module_level in _imports(path):
        if name.split(".")[0] in {"tensorflow", "jax", "torch"}:
            assert _name(path) in BACKEND_FILES, f"{_name(path)} imports {name}"
            assert not at_module_level, f"{_name(path)} imports {name} at module level"


def test_the_report_reads_run_folders_without_keras():
    done = subprocess.run(
        [sys.executable, "-c", "import experiments.report, sys; print('keras' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


LIGHT = {
    "zoo": "import zoo; zoo.list_models()",
    "info": "import zoo; [zoo.info(name) for name in zoo.list_models()]",
    "augment": "import augment; augment.get('C').to_dict()",
    "stacking": "import stacking",
    "help": "from experiments.cli import app; app(['--help'], standalone_mode=False)",
    "list": "from experiments.cli import app; app(['list'], standalone_mode=False)",
    "recipes": "from experiments.cli import app; app(['list', '--recipes'], standalone_mode=False)",
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT)
def test_what_must_start_fast_loads_no_framework(code):
    heavy = "{'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'matplotlib'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('heavy', {heavy} & set(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "heavy set()"


def test_no_file_is_a_second_copy_of_the_settings():
    """Only the build system and ruff live in pyproject.toml; ruff cannot read setup.cfg."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings.keys() == {"build-system", "tool"}
    assert settings["tool"].keys() == {"ruff"}
