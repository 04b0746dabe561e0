"""What the user can mend is told in one message, with exit code 2 and no traceback."""

import pathlib
import subprocess
import sys

import pytest
import typer

from experiments import backend
from experiments.cli import app

ROOT = pathlib.Path(__file__).resolve().parents[3]


def _commands() -> dict[str, object]:
    groups = [(group.name or "", group.typer_instance) for group in app.registered_groups]
    return {
        f"{prefix} {command.name or command.callback.__name__}".strip(): command
        for prefix, group in groups
        for command in group.registered_commands
    }


def test_every_command_has_an_example(run):
    commands = _commands()
    assert {"run", "train", "stack", "vote", "experts", "evaluate", "quickstart"} <= set(commands)
    for name, command in commands.items():
        assert "Example: python -m experiments" in command.callback.__doc__, name
        code, out, _ = run(*name.split(), "--help")
        assert code == 0 and "Example: python -m experiments" in out, name


SETS = [
    ("epochs", "write FIELD=VALUE"),
    ("=3", "write FIELD=VALUE"),
    ("epochs=two", "epochs: Input should be a valid integer"),
    ("epochs=0", "epochs: Input should be greater than or equal to 1"),
    ("epoch=3", "epoch: Extra inputs are not permitted; did you mean epochs"),
    ("epochs.x=3", "epochs is 24, which has no fields"),
    ("epochs=[", "--set 'epochs=['"),
]


@pytest.mark.parametrize(("text", "told"), SETS)
@pytest.mark.parametrize("command", ["run", "train"])
def test_mistakes_of_set_are_told(command, text, told, fails):
    assert told in fails(command, "quickstart/member_a", "--set", text)


def test_a_field_is_set_once(fails):
    twice = "--set", "epochs=2", "--set", "epochs=3"
    assert "--set epochs is given twice" in fails("run", "quickstart", *twice)


NAMES = [
    ("alphanett/x", "no recipes for paper 'alphanett'; did you mean alphanet"),
    ("alphanet/alphanet_v9", "has no row 'alphanet_v9'; did you mean alphanet_v4"),
    ("nowhere.yaml", "no recipe file nowhere.yaml"),
]


@pytest.mark.parametrize(("name", "told"), NAMES)
@pytest.mark.parametrize("command", ["run", "train", "vote"])
def test_rows_that_there_are_not_are_told(command, name, told, fails):
    assert told in fails(command, name)


def test_a_kind_that_there_is_not_is_told(fails, write):
    file = write("odd", kind="trian", model={"name": "alphanet_v4"}, epochs=1)
    assert "no kind of row 'trian'; did you mean train" in fails("run", file)
    assert "write PAPER/ROW" in fails("train", "alphanet")


def test_a_command_that_there_is_not_is_told(run):
    code, _, told = run("trian")
    assert code == 2 and "No such command" in told and "Traceback" not in told


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_a_folder_is_needed_is_told_before_keras(below, fails, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.place.Place.load_backend", None)
    place = tmp_path / "file" / below
    (tmp_path / "file").write_text("")
    told = "a file stands where a folder is needed"
    assert told in fails("run", "quickstart", "--runs", place)
    assert told in fails("run", "quickstart", "--runs", place, "--jobs", 2)
    assert told in fails("train", "quickstart/member_a", "--runs", place)
    assert told in fails("train", "quickstart/member_a", "--run-dir", place)
    assert told in fails("quickstart", "--runs", place)


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize("command", [("run", "quickstart"), ("train", "quickstart/member_a")])
def test_backends_that_there_are_not_are_told(command, how, fails, monkeypatch):
    if how == "option":
        command = *command, "--backend", "numpy"
    else:
        monkeypatch.setenv("KERAS_BACKEND", "numpy")
    assert "backend 'numpy': there are tensorflow, jax, torch" in fails(*command)


def test_a_backend_that_is_not_installed_is_told(fails, tmp_path, monkeypatch):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda _: None)
    told = fails("run", "quickstart", "--backend", "jax", "--runs", tmp_path)
    assert "backend jax: jax is not installed here: pip install 'smallzoo[jax]'" in told


@pytest.mark.parametrize("command", ["run", "quickstart"])
@pytest.mark.parametrize("jobs", [0, -2])
def test_jobs_are_one_or_more(command, jobs, fails, tmp_path):
    names = ["quickstart"] if command == "run" else []
    told = fails(command, *names, "--jobs", jobs, "--runs", tmp_path)
    assert f"--jobs {jobs}: give 1 or more" in told


# In one process: what a command imports shows in no other way.
_SCRIPT = """
import sys
from experiments.cli import main
for command in {commands}:
    sys.argv = ["experiments", *command]
    try:
        main()
    except SystemExit as end:
        print(end.code, "keras" in sys.modules)
"""


def test_missing_data_is_told_before_keras_is_imported(tmp_path):
    commands = [
        ["train", "laptop/alphanet"],
        ["run", "laptop"],
        ["run", "laptop", "--jobs", "2"],
        ["train", "laptop/alphanet", "--data-dir", str(tmp_path / "nowhere")],
        ["run", "alphanet", "--dry-run"],
    ]
    commands = [[*command, "--runs", str(tmp_path / "runs")] for command in commands]
    script = _SCRIPT.format(commands=commands)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    codes = [line for line in done.stdout.splitlines() if line.endswith(("False", "True"))]
    assert codes == ["2 False"] * 4 + ["0 False"], done.stdout + done.stderr
    assert done.stderr.count("--data-dir") >= 4 and "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_developer_may_ask_for_the_traceback(run, monkeypatch):
    monkeypatch.setenv("SMALLZOO_DEBUG", "1")
    with pytest.raises(ValueError, match="no recipe file"):
        run("train", "nowhere.yaml")


def test_other_errors_are_not_hidden(run, monkeypatch):
    def fail(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("experiments.plan.make", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run("run", "quickstart")


def test_ctrl_c_is_told_with_the_way_on(run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.plan.make", interrupted)
    code, _, told = run("run", "quickstart")
    assert (code, told) == (130, "error: stopped: the same command goes on from here\n")
    monkeypatch.setattr("experiments.plan.make", lambda *_: (_ for _ in ()).throw(typer.Exit(1)))
    assert run("run", "quickstart")[0] == 1
