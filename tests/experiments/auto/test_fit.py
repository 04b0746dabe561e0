"""`fit` from pictures to a page: on sixty pictures of two colors, and on what cannot be learned."""

import json
import pathlib
import subprocess
import sys

import pytest

import experiments
from experiments import auto, executor, plan, recipes
from experiments.auto.rate import Rate
from experiments.listener import Listener
from experiments.place import Place
from experiments.runs import tables

ROOT = pathlib.Path(__file__).parents[3]


class Heard(Listener):
    def __init__(self):
        self.said = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def known_rate(monkeypatch):
    """Leave out the measuring, which trains once more."""
    monkeypatch.setattr("experiments.auto.rate.measured", lambda *_: Rate(1000.0, 1.0))


@pytest.fixture
def unheard(monkeypatch):
    """Keras must not be asked for: what is wrong is told before."""
    monkeypatch.setattr(Place, "load_backend", lambda self: pytest.fail("Keras is imported"))


def test_sixty_pictures_become_a_classifier_and_a_page(pictures, quick, tmp_path):
    root, heard, out = pictures(blue=30, red=30), Heard(), tmp_path / "fit" / "colors"
    done = experiments.fit(root, minutes=0.2, out=out, listener=heard)
    assert done.run.finished and done.run.metrics["n"] == 12
    assert done.run.name == "tuned" and done.run.dataset["class_names"] == ["blue", "red"]
    told = "\n".join(heard.said)
    assert "48 pictures to learn from and 12 to validate on, 2 classes, 24 of each" in told
    assert "a fifth of every class" in told and "pictures a second on this machine" in told
    assert f"recipe: {out / 'tuned.yaml'}" in told
    page = done.page.read_text(encoding="utf-8")
    assert "In short" in page and "What may help most" in page and "Pictures in colors" in page

    # The recipe is one that `run` takes, and the run is what it says.
    row = recipes.load(out / "tuned.yaml")
    assert row == done.run.row and row.epochs <= 2

    # Begun again it is as it was; asked otherwise it is refused.
    before = done.run.metrics
    assert experiments.fit(root, minutes=0.2, out=out).run.metrics == before
    with pytest.raises(ValueError, match=r"begun otherwise \(minutes 0.2 -> 5.0\): give another"):
        experiments.fit(root, minutes=5, out=out)


def test_several_become_a_stack(pictures, quick, known_rate, tmp_path):
    out = tmp_path / "best"
    done = auto.fit(pictures(blue=40, red=40), minutes=1, aim="best", out=out)
    assert [run.name for run in done.runs] == ["tuned", "tuned_b", "stack"]
    assert done.run.model_file.is_file() and len(done.run.metrics["members"]) == 2
    assert all(run.row.share.holdout for run in done.runs[:-1])
    command = json.loads((out / tables.FIT).read_text())["commands"]["stack"]
    files = [out / f"{run.name}.yaml" for run in done.runs]
    assert " ".join(map(str, files)) in command, "a stack is run after its members"
    place = Place(runs=out.parent / "changed")
    assert len(plan.make(list(map(str, files)), place)) == 3


def test_what_was_cut_off_goes_on(pictures, quick, known_rate, tmp_path, monkeypatch):
    """The plan is kept: another rate of the machine does not change what was begun."""
    root, out = pictures(blue=20, red=20), tmp_path / "cut"
    monkeypatch.setattr(executor, "carry_out", lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            auto.fit(root, minutes=0.2, out=out)
        monkeypatch.setattr("experiments.auto.rate.measured", lambda *_: pytest.fail("anew"))


def test_an_edited_recipe_runs_into_another_folder(
    pictures, quick, known_rate, tmp_path, monkeypatch
):
    root, out = pictures(blue=20, red=20), tmp_path / "edited"
    monkeypatch.setattr(executor, "carry_out", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        auto.fit(root, minutes=0.2, out=out)
    file = out / "tuned.yaml"
    file.write_text(file.read_text().replace("batch_size: 16", "batch_size: 8"))
    (step,) = plan.make([str(file)], Place(root, runs=out.parent / "changed"))
    assert step.row.batch_size == 8 and step.folder == out.parent / "changed/edited/tuned"
    command = json.loads((out / tables.FIT).read_text())["commands"]["tuned"]
    assert f"run {file} --data-dir {root} --runs {out.parent / 'changed'}" in command


def test_what_cannot_be_read_is_told_and_left_out_when_asked(pictures, quick, tmp_path, unheard):
    root = pictures(blue=20, red=20)
    (root / "red" / "3.png").write_bytes((root / "red" / "3.png").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"red/3.png: .*\n.*--skip-unreadable"):
        auto.fit(root, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    heard = Heard()
    with pytest.raises(pytest.fail.Exception, match="Keras is imported"):  # it got that far
        auto.fit(root, out=tmp_path / "out", skip_unreadable=True, listener=heard)
    assert any("left out of train" in line and "red/3.png" in line for line in heard.said)


def test_a_csv_file_is_read_as_well(pictures, quick, tmp_path, unheard):
    root, heard = pictures(blue=10, red=10), Heard()
    names = [f"{name}/{number}.png" for name in ("blue", "red") for number in range(10)]
    lines = [f"{name},{name.partition('/')[0]}" for name in names]
    (root / "list.csv").write_text("\n".join(["path,label", *lines]))
    with pytest.raises(pytest.fail.Exception, match="Keras is imported"):  # all was decoded
        auto.fit(root / "list.csv", out=tmp_path / "out", listener=heard)
    assert any("16 pictures to learn from and 4 to validate on" in line for line in heard.said)


def test_twins_and_small_classes_are_told(pictures, quick, tmp_path, unheard):
    root, heard = pictures(blue=40, red=4), Heard()
    for number in range(40):
        (root / "blue" / f"{number}.png").write_bytes((root / "blue" / "0.png").read_bytes())
    with pytest.raises(pytest.fail.Exception, match="Keras is imported"):
        auto.fit(root, out=tmp_path / "out", listener=heard)
    assert any("class 'red' has 3 pictures to learn from: hardly" in line for line in heard.said)
    assert any("8 of 9 pictures to validate on are also among" in line for line in heard.said)


BAD = {
    "not there": (lambda root: root / "nowhere", "nowhere does not exist.*a folder train/"),
    "no pictures": (lambda root: _emptied(root), "holds no folder"),
    "an empty class": (lambda root: _with(root, "green"), "class folder green is empty"),
    "one class": (lambda root: _without(root, "red"), r"has one class \(blue\)"),
    "a class of two": (lambda root: _few(root), "class 'red' has 2 images, too few to set 20% "),
    "a text": (lambda root: _noted(root), "notes.txt is no image"),
}


@pytest.mark.parametrize("spoil, told", BAD.values(), ids=BAD)
def test_what_cannot_be_learned_from_is_told_before_keras(spoil, told, pictures, unheard, tmp_path):
    with pytest.raises(ValueError, match=told):
        auto.fit(spoil(pictures(blue=10, red=10)), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"minutes": 0}, r"minutes \(--minutes\) 0: give more than 0"),
        ({"minutes": float("nan")}, r"minutes \(--minutes\) nan"),
        ({"aim": "fast"}, "aim 'fast'"),
        ({"out": "my birds!"}, r"out \(--out\) my birds!: recipes are named by the folder"),
    ],
)
def test_arguments_that_there_are_not(options, told, pictures, unheard):
    with pytest.raises(ValueError, match=told):
        auto.fit(pictures(blue=5, red=5), **options)


def test_the_package_stays_light():
    """`import experiments` loads nothing of it, and the name is there all the same."""
    code = "import sys, experiments; print('experiments.auto' in sys.modules); experiments.fit"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "False")
    with pytest.raises(AttributeError, match="no attribute 'fits'"):
        _ = experiments.fits


def _emptied(root: pathlib.Path) -> pathlib.Path:
    (root.parent / "empty").mkdir()
    return root.parent / "empty"


def _with(root: pathlib.Path, name: str) -> pathlib.Path:
    (root / name).mkdir()
    return root


def _without(root: pathlib.Path, name: str) -> pathlib.Path:
    (root / name).rename(root.parent / name)
    return root


def _few(root: pathlib.Path) -> pathlib.Path:
    for number in range(2, 10):
        (root / "red" / f"{number}.png").unlink()
    return root


def _noted(root: pathlib.Path) -> pathlib.Path:
    (root / "red" / "notes.txt").write_text("red ones")
    return root
