"""The papers that there are: every row resolves, and names what exists."""

import pathlib

import pytest

from experiments import recipes
from experiments.recipes import images, schemas

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROWS = [row.recipe for paper in recipes.papers() for row in recipes.rows(paper).values()]
RESULTS = sorted((ROOT / "experiments" / "results").rglob("recipe.yaml"))


def test_every_paper_has_rows():
    assert {"alphanet", "ghost_ensembles", "laptop", "quickstart"} <= set(recipes.papers())
    assert all(recipes.rows(paper) for paper in recipes.papers())


@pytest.mark.parametrize("name", ROWS)
def test_a_resolved_row_is_itself_a_recipe(name, tmp_path):
    row = recipes.load(name)
    path = tmp_path / "row.yaml"
    path.write_text(recipes.dump(row))
    assert recipes.load(path) == recipes.load(str(path)) == row
    assert recipes.rows(row.paper)[row.name] == row
    assert f"{row.paper}/{row.name}" == name


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_what_exists(name):
    from experiments import datasets

    row = recipes.load(name)
    assert row.data.name in datasets.names()
    assert set(recipes.needed(row)) <= recipes.rows(row.paper).keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_goal_with_views_is_that_of_a_row_that_is_scored_with_them(name):
    row = recipes.load(name)
    if row.expect and row.expect.views:
        assert row.test_views == row.expect.views


@pytest.mark.parametrize("name", ROWS)
def test_what_a_row_needs_saw_the_same_images(name):
    row = recipes.load(name)
    for needed in recipes.needed(row):
        other = recipes.rows(row.paper)[needed]
        assert other.data == row.data
        assert isinstance(other.data, images.Images)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_recipes_that_earlier_versions_wrote_are_read(path):
    row = recipes.load(path)
    assert recipes.parse(recipes.read(recipes.dump(row)), "dumped") == row


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "alphanet/alphanet_v9",
            "alphanet.yaml has no row 'alphanet_v9'; did you mean alphanet_v4",
        ),
        ("alphanets/alphanet_v4", "no recipes for paper 'alphanets'; did you mean alphanet"),
        ("../alphanet/alphanet_v4", "no recipes for paper '..'"),
        ("alphanet_v4", "recipe 'alphanet_v4': write PAPER/ROW"),
        ("", "recipe '': write PAPER/ROW"),
        ("missing.yaml", "no recipe file missing.yaml"),
        ("missing.yml", "no recipe file missing.yml"),
    ],
)
def test_what_there_is_not_is_named(name, told):
    with pytest.raises(ValueError, match=told):
        recipes.load(name)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no YAML mapping, but NoneType"),
        (b"- a\n", "holds no YAML mapping, but list"),
        (b"title: caf\xe9\n", "cannot be read: .*utf-8"),
        (b"epochs: 1\nepochs: 2\n", "'epochs' stands twice"),
        (b"epochs: [\n", "not valid YAML"),
        (b"kind: trains\n", "no kind of row 'trains'; did you mean train"),
        (b"kind: 3\n", "no kind of row 3"),
        (b"epochs: 1\n", "recipe: Field required"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(content, told, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"broken.yaml.*(\n.*)*{told}"):
        recipes.load(path)


@pytest.mark.parametrize(
    "name", ["../out", "/etc/row", "paper/../row", "paper/..", "a//b", "a/", "paper/row\n", "", "."]
)
def test_a_row_s_name_stays_below_the_runs(name, resolve):
    with pytest.raises(ValueError, match="recipe: String should match"):
        resolve({"a": None}, overrides={"recipe": name})


def test_a_name_has_a_paper_and_a_row(resolve):
    row = resolve({"a": None}, overrides={"recipe": "other/v1.0-b"})
    assert (row.paper, row.name) == ("other", "v1.0-b")
    assert isinstance(row, schemas.Train)
