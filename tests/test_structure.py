"""The architecture, held by tests: who may import whom, how large things are, what stays light."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("zoo", "augment", "stacking", "experiments")
# Our packages that a package may import, itself left out.
MAY_IMPORT = {
    "zoo": set(),
    "augment": set(),
    "stacking": set(),
    "experiments": {"zoo", "augment", "stacking"},
}
# Inside `experiments`: a file imports what stands on its own floor, and above it.
FLOORS = (
    "listener",
    "_files",
    "timing",
    "spectrum",
    "recipes",
    "backend",
    "datasets",
    "runs",
    "place",
    "training",
    "ensembles",
    "studies",
    "embeddings",
    "generate",
    "reports",
    "bench",
    "cost",
    "plan",
    "progress",
    "executor",
    "spawned",
    "sweeps",
    "auto",
    "cli",
    "__main__",
)
# Files that must tell the backends apart; there inside functions only.
BACKENDS = {"tensorflow", "jax", "torch"}
BACKEND_FILES = (
    "augment/_compile.py",
    "augment/_derivative.py",
    "augment/_jitter.py",
    "augment/_sample.py",
    "augment/_warp.py",
    "experiments/backend.py",
    "experiments/bench/_calls.py",
    "experiments/bench/_rivals.py",
    "experiments/bench/_torch.py",
    "experiments/bench/_torch_layers.py",
    "experiments/bench/_worker.py",
    "experiments/bench/profile.py",
    "experiments/generate/updates.py",
    "experiments/studies/_formats.py",
    "experiments/training/_selftest.py",
    "experiments/training/blocks.py",
    "experiments/training/feed.py",
    "experiments/training/precision.py",
    "experiments/training/sgd.py",
    "zoo/_kernels.py",
    "zoo/_weights.py",
)
# Beside its subject, which comes first.
MOST_PARAMETERS = 8
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 70
# experiments/runs/folder.py and tables.py.
RUN_FILES = (
    "recipe.yaml",
    "environment.json",
    "dataset.json",
    "history.csv",
    "progress.csv",
    "sheets.npz",
    "metrics.json",
    "model.keras",
    "predictions.npz",
    "samples.npz",
    "sweep.json",
    "trials.csv",
    "compare.csv",
    "robustness.csv",
    "phone.csv",
    "saliency.csv",
    "saliency.json",
    "embeddings.json",
    "generated.csv",
    "nearest.png",
    "fit.json",
)
# (file, name) -> why it says a name of a run's file.
SPELLS = {("experiments/datasets/_cache.py", "dataset.json"): "the cache has one of its own"}
# File -> why it compares what is called `kind`; of kinds of rows, `KINDS` says all.
COMPARES_KINDS = {
    "experiments/cli/_runs.py": "the column of a comparison: member, vote or stack",
    "experiments/cli/make.py": "the command of a kind, made by KINDS, refuses rows of another",
    "experiments/datasets/_cache.py": "how the pixels of a picture are stored",
    "experiments/ensembles/compare.py": "the column of a comparison: member, vote or stack",
    "experiments/reports/plots.py": "the points of a plot that look alike",
    "experiments/reports/sections/robustness.py": "a corruption",
}


class Import(NamedTuple):
    """A name that a file imports, dotted: `experiments.runs.Run`."""

    name: str
    at_module_level: bool


class Source:
    """A file of ours, read once."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.functions = list(_functions(self.tree))
        inside = {node for _, function in self.functions for node in ast.walk(function)}
        self.imports = [
            Import(name, node not in inside)
            for node in ast.walk(self.tree)
            for name in _names(node)
        ]

    def __repr__(self) -> str:
        return self.name

    @property
    def holds(self) -> set[str]:
        """Names that it binds, wherever."""
        nodes = list(ast.walk(self.tree))
        bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        bound |= {name for name, _ in self.functions}
        bound |= {node.name for node in nodes if isinstance(node, ast.ClassDef)}
        aliases = [a for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
        return bound | {alias.asname or alias.name for alias in aliases}

    @property
    def package(self) -> str:
        """Name of the package that it belongs to."""
        return self.name.partition("/")[0]


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function and method below a node, with its name in dots."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}" if prefix else child.name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from _functions(child, name)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        # Relative imports keep their dots, and are found to be nothing of ours.
        module = "." * node.level + (node.module or "")
        return [f"{module}.{alias.name}" for alias in node.names]
    return []


SOURCES = [Source(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
BY_NAME = {source.name: source for source in SOURCES}
EXPERIMENTS = [source for source in SOURCES if source.package == "experiments"]
ARCHITECTURES = [
    source
    for source in SOURCES
    if source.path.parent == ROOT / "zoo" and not source.path.name.startswith("_")
]

each_file = pytest.mark.parametrize("source", SOURCES, ids=repr)
each_file_of_experiments = pytest.mark.parametrize("source", EXPERIMENTS, ids=repr)


def _file_of(name: str) -> str | None:
    """Return the file of ours that an imported name means.

    `from experiments import runs` means the package runs, its `__init__.py`, and not the one of
    experiments; `from experiments.runs import Run` means the `__init__.py` of runs, which holds
    Run. What Python executes on the way to a module, the packages around it, does not count.
    """
    if file := _module(name):
        return file
    parent, _, attribute = name.rpartition(".")
    file = _module(parent)
    return file if file and attribute in BY_NAME[file].holds else None


def _module(name: str) -> str | None:
    path = name.replace(".", "/")
    return next((f for f in (f"{path}.py", f"{path}/__init__.py") if f in BY_NAME), None)


def _floor(name: str) -> int:
    """Number of the floor of a file of `experiments`."""
    return FLOORS.index(name.split("/")[1].removesuffix(".py"))


# Who imports whom --------------------------------------------------------------------------------


@each_file
def test_what_is_imported_of_ours_is_there(source):
    for name, _ in source.imports:
        assert not name.startswith("."), f"relative import of {name}"
        if name.partition(".")[0] in PACKAGES:
            assert _file_of(name), f"imports {name}, which there is not"


@each_file
def test_packages_import_only_downstream(source):
    ours = {name.partition(".")[0] for name, _ in source.imports} & set(PACKAGES)
    assert ours - {source.package} <= MAY_IMPORT[source.package]


@pytest.mark.parametrize("source", ARCHITECTURES, ids=repr)
def test_an_architecture_knows_only_its_blocks(source):
    for name, _ in source.imports:
        top = name.partition(".")[0]
        blocks = _file_of(name) == "zoo/_blocks.py"
        assert blocks or top == "keras" or top in sys.stdlib_module_names, name


@each_file_of_experiments
def test_inside_experiments_imports_go_up_the_floors(source):
    if source.name == "experiments/__init__.py":
        assert not any(one.at_module_level for one in source.imports)
        return
    assert source.name.split("/")[1].removesuffix(".py") in FLOORS, "it stands on no floor"
    for name, _ in source.imports:
        file = _file_of(name)
        if file and file.startswith("experiments/"):
            assert _floor(file) <= _floor(source.name), f"imports {name}, which is below it"


def test_no_imports_go_in_a_circle():
    graph = {
        source.name: {file for name, _ in source.imports if (file := _file_of(name))}
        for source in SOURCES
    }
    circles = {
        tuple(sorted(other for other in reached if name in _reached(graph, other)))
        for name in graph
        if name in (reached := _reached(graph, name))
    }
    assert not circles


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the files that a file imports, and those that these import, and so on."""
    found, left = set(), [start]
    while left:
        new = graph[left.pop()] - found
        found |= new
        left += new
    return found


@each_file
def test_what_prints_stands_in_the_command_line(source):
    if not source.name.startswith("experiments/cli/"):
        printers = {name for name, _ in source.imports if name.split(".")[0] in {"rich", "typer"}}
        assert not printers


@each_file
def test_backends_are_told_apart_in_few_places(source):
    for name, at_module_level in source.imports:
        if name.partition(".")[0] in BACKENDS:
            assert source.name in BACKEND_FILES, f"imports {name}"
            assert not at_module_level, f"imports {name} at module level"


@pytest.mark.parametrize("name", [*BACKEND_FILES, *COMPARES_KINDS])
def test_every_file_that_is_listed_here_is_there(name):
    assert name in BY_NAME


# How large things are ----------------------------------------------------------------------------


@each_file
def test_no_function_has_many_parameters(source):
    many = {}
    for name, function in source.functions:
        given = function.args
        count = len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - 1
        if count > MOST_PARAMETERS and not _is_command(source, function):
            many[name] = count
    assert not many


def _is_command(source: Source, function: ast.FunctionDef) -> bool:
    """Whether its parameters are the options of a command: `@app.command()`."""
    calls = [node.func for node in function.decorator_list if isinstance(node, ast.Call)]
    names = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    return source.name.startswith("experiments/cli/") and bool(names & {"command", "callback"})


@each_file
def test_functions_and_files_are_short(source):
    long = {
        name: lines
        for name, function in source.functions
        if (lines := function.end_lineno - function.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    }
    assert not long
    assert len(source.text.splitlines()) <= MOST_LINES


# What is said in one place -----------------------------------------------------------------------


@each_file
def test_only_runs_spells_the_names_of_a_run_folder(source):
    if source.name.startswith("experiments/runs/"):
        return
    spelt = {
        name
        for text in _texts(source.tree)
        for name in RUN_FILES
        # A sentence of a help text or an error may end in one.
        if (text == name or text.endswith(f"/{name}")) and not any(c.isspace() for c in text)
    }
    assert not {name for name in spelt if (source.name, name) not in SPELLS}


def _texts(tree: ast.AST) -> list[str]:
    """Texts of a file, also parts of f-strings; no docstrings, which stand alone."""
    alone = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    constants = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in alone]
    return [node.value for node in constants if isinstance(node.value, str)]


@each_file_of_experiments
def test_only_recipes_know_what_kinds_there_are(source):
    """Anything else asks `recipes.KINDS` what a kind needs, has and is made by."""
    if source.name.startswith("experiments/recipes/") or source.name in COMPARES_KINDS:
        return
    asked = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare):
            asked += [(side, node.lineno) for side in (node.left, *node.comparators)]
        elif isinstance(node, ast.Match):
            asked.append((node.subject, node.lineno))
    lines = [line for side, line in asked if _is_kind(side)]
    assert not lines, f"lines {lines}"


def _is_kind(node: ast.AST) -> bool:
    """Whether it is `kind`, `x.kind`, `x["kind"]` or `x.get("kind")`; no array's `dtype.kind`."""
    if isinstance(node, ast.Attribute):
        owner = node.value
        of_array = "dtype" in (getattr(owner, "attr", ""), getattr(owner, "id", ""))
        return node.attr == "kind" and not of_array
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "kind"
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get" and node.args:
        return isinstance(node.args[0], ast.Constant) and node.args[0].value == "kind"
    return isinstance(node, ast.Name) and node.id == "kind"


def test_no_file_is_a_second_copy_of_the_settings():
    """Only the build system and ruff live in pyproject.toml; ruff cannot read setup.cfg."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings.keys() == {"build-system", "tool"}
    assert settings["tool"].keys() == {"ruff"}


# What starts fast --------------------------------------------------------------------------------

APP = "from experiments.cli import app; app({}, standalone_mode=False)"
LIGHT = {
    "zoo": "import zoo; zoo.list_models()",
    "info": "import zoo; [zoo.info(name) for name in zoo.list_models()]",
    "augment": "import augment; augment.get('C').to_dict()",
    "stacking": "import stacking",
    "recipes": "import experiments.recipes",
    "runs": "import experiments.runs",
    "place": "import experiments.place",
    "reports": "import experiments.reports",
    "plan": "import experiments.plan",
    "sweeps": "import experiments.sweeps, experiments.sweeps.search",
    "fit": "import experiments; experiments.fit",
    "help": APP.format(["--help"]),
    "list": APP.format(["list"]),
    "list --recipes": APP.format(["list", "--recipes"]),
    "info of a row": APP.format(["info", "alphanet/alphanet_v4"]),
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT)
def test_what_must_start_fast_loads_no_framework(code):
    heavy = "{'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'matplotlib'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('heavy', {heavy} & set(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "heavy set()"
