"""Lists of networks and recipes, what is known of one, and what a data set looks like."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augment
import zoo
from experiments import datasets, recipes
from experiments.cli import _tables, lists

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROWS = [row.recipe for paper in recipes.papers() for row in recipes.rows(paper).values()]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A page that folds no line."""
    monkeypatch.setattr(lists.console, "_width", 200)


def _run(*arguments: str) -> str:
    """Return what a command prints; what it raises is raised here."""
    return CliRunner().invoke(lists.app, arguments, catch_exceptions=False).stdout


def test_lists_are_for_programs_too():
    assert [row["recipe"] for row in json.loads(_run("list", "--recipes", "--json"))] == ROWS
    networks = json.loads(_run("list", "alphanet*", "--json"))
    assert {"alphanet_v1", "alphanet_v4c"} <= {network["name"] for network in networks}


def test_tables_show_every_network_and_recipe():
    text = _run("list")
    assert all(name in text for name in zoo.list_models())
    assert f"{len(zoo.list_models())} networks" in text
    text = _run("list", "--recipes")
    assert all(name.rpartition("/")[2] in text for name in ROWS)
    assert "50.7" in text and "5 experts" in text and "3 members" in text


def test_a_goal_with_views_is_listed_as_one():
    row = recipes.load("quickstart/member_a", {"expect": {"top1": 94.5, "views": "shifts"}})
    assert list(_tables.recipes([row]).columns[-1].cells) == ["", "94.5 with shifts"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("quickstart/*", [name for name in ROWS if name.startswith("quickstart/")]),
        ("stack", ["laptop/stack", "quickstart/stack"]),
        ("member_?", [f"quickstart/member_{letter}" for letter in "abc"]),
        ("*/experts", ["ghost_ensembles/experts", "laptop/experts"]),
        ("alphanet/alphastack", ["alphanet/alphastack"]),
    ],
)
def test_recipes_are_listed_by_a_pattern(pattern, expected):
    found = json.loads(_run("list", "--recipes", pattern, "--json"))
    assert [row["recipe"] for row in found] == expected
    text = _run("list", "--recipes", pattern)
    assert f"{len(expected)} recipes" in text
    assert all(name.rpartition("/")[2] in text for name in expected)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "--recipes", "no*such"], "no recipe matches 'no\\*such'"),
        (["list", "--recipes", "Stack"], "no recipe matches 'Stack'"),
        (["list", "no*such"], "no network matches 'no\\*such'"),
        (["list", "--markdown", "--recipes"], "--markdown"),
        (["info", "alphanet_v9"], "alphanet_v9.*alphanet_v4"),
        (["info", "alphanet/alphanet_v9"], "alphanet_v9.*did you mean alphanet_v4"),
        (["info", "alphanets/alphanet_v4"], "did you mean alphanet"),
        (["info", "missing.yaml"], "no recipe file missing.yaml"),
        (["info", "missing.yml"], "no recipe file missing.yml"),
    ],
)
def test_what_there_is_not_is_an_error_that_names_it(arguments, told):
    with pytest.raises(ValueError, match=told):
        _run(*arguments)


def test_info_tells_all_that_is_known():
    assert "11,255,496" in _run("info", "alphanet_v4")
    assert json.loads(_run("info", "alphanet_v4", "--json"))["parameters"] == 11_255_496


def test_info_of_a_row_is_itself_a_recipe(tmp_path):
    path = tmp_path / "row.yaml"
    path.write_text(_run("info", "laptop/distilled"))
    assert recipes.load(path) == recipes.load("laptop/distilled")
    content = json.loads(_run("info", "laptop/distilled", "--json"))
    assert content["distill"]["teacher"] == "stack"


def test_the_readme_shows_the_networks_that_there_are():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    table = text.split("<!-- networks: ")[1].split("-->\n", 1)[1].split("\n<!-- end")[0]
    assert table == _tables.markdown(lists.networks())
    assert _run("list", "--markdown") == table + "\n"


# The command data --------------------------------------------------------------------------------


def test_data_tells_what_there_is_and_where_its_sheet_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = _run("data", "digits")
    told = dict(line.split("  ", 1) for line in text.splitlines() if "  " in line)
    assert told["data set"].strip() == "digits"
    enlarged = "enlarged from 8x8 to 32x32 by lanczos when read"
    assert told["images"].strip() == f"32x32, RGB, uint8, {enlarged}"
    assert told["train"].strip() == "1,438 images, 139 to 146 per class"
    assert "│ validation" in text or "┃ validation" in text
    assert text.splitlines()[-1] == f"contact sheet: {tmp_path / 'digits.png'}"
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_data_writes_its_sheet_where_it_is_told_to(tmp_path):
    text = _run("data", "digits", "--size", "16", "--out", str(tmp_path / "new" / "sheet.png"))
    assert "16x16" in text
    assert text.splitlines()[-1] == f"contact sheet: {tmp_path / 'new' / 'sheet.png'}"
    assert (tmp_path / "new" / "sheet.png").is_file()


def test_data_shows_the_pixels_that_a_row_would_see(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (12, 9, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{number}.png")
    (tmp_path / "set" / "b" / "3.png").write_text("no picture")
    options = [
        "--skip-unreadable",
        "--channels",
        "1",
        "--background",
        "white",
        "--resample",
        "box",
        "--size",
        "6",
    ]
    options += ["--validation-share", "0.5", "--validation-seed", "3"]
    folders = {"--data-dir": "set", "--cache-dir": "cache", "--out": "sheet.png"}
    folders = [text for name, path in folders.items() for text in (name, str(tmp_path / path))]
    told = _run("data", "folder", *folders, *options)
    assert "6x6, grayscale, uint8" in told
    assert "padded to a square with white" in told
    assert "4 images, 2 per class" in told and "3 images, 1 to 2 per class" in told
    assert "left out of " in told and "3.png: not an image that Pillow can read" in told
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("policy", "name"),
    [("A", "A"), ("policy.yaml", "policy"), ("laptop/simplenet", "laptop-simplenet")],
)
def test_data_draws_a_policy(policy, name, tmp_path, monkeypatch):
    """By its name, from a file, or that of a row."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text("vertical_flip: 0.5\n")
    drawn = []

    def draw(dataset, policy, path, name):
        drawn.append(policy)
        return path

    monkeypatch.setattr(datasets, "draw_policy_sheet", draw)
    text = _run("data", "digits", "--augment", policy)
    assert text.splitlines()[-1] == f"augmentation: {tmp_path / f'digits-{name}.png'}"
    expected = {"A": augment.A, "policy": augment.Policy(vertical_flip=0.5)}
    row = recipes.load("laptop/simplenet") if "/" in policy else None
    assert drawn == [expected[name] if row is None else augment.get(row.augment)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["digits", "--augment", "D"], "unknown policy 'D': one of A, B, C, CARS"),
        (["digits", "--augment", "none.yaml"], "policy file none.yaml does not exist"),
        (["digits", "--augment", "alphanet/none"], "no .*none"),
        (["digits", "--augment", "laptop/stack"], "the row augments nothing; give a row with"),
        (["digit"], "no data set 'digit'; did you mean digits"),
        (["digits", "--size", "0"], "size .* 0"),
        (["digits", "--size", "1000000"], "size .* 1000000"),
        (["digits", "--resample", "cubic"], "resample 'cubic': choose of"),
        (["digits", "--channels", "2"], "channels .--channels. 2: choose of 1, 3"),
        (["digits", "--crop", "boxes"], "crop .--crop. 'boxes': digits has no boxes"),
        (["digits", "--background", "gray"], "background .--background. 'gray': choose of white"),
        (["digits", "--validation-share", "0.3"], "digits says itself which images are for valid"),
        (["folder", "--validation-seed", "-1"], "validation_seed .--validation-seed. -1: give"),
        (["csv", "--data-dir", "taken"], "taken is neither a folder nor an archive. csv is"),
        (["stanford_cars", "--data-dir", "."], "holds no stanford_cars. stanford_cars is a folder"),
        (["tiny_imagenet", "--data-dir", "nowhere"], "nowhere"),
        (["digits", "--out", "taken"], "taken is a file"),
        (["digits", "--out", "taken/sheet.png"], "taken"),
    ],
)
def test_data_refuses_before_anything_is_decoded(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(datasets, "load", None)
    with pytest.raises(ValueError, match=told):
        _run("data", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_names_are_names_in_the_tables_of_a_data_set():
    told = datasets.Summary([("data set", "[red]x")], ["label", "class"], [["0", "[bold]"]])
    with lists.console.capture() as page:
        lists.console.print(*_tables.data(told), sep="\n")
    assert "[red]x" in page.get() and "[bold]" in page.get()
