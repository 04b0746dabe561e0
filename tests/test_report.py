"""Reports from run folders. The folders are written here, as the contract of a run says."""

import csv
import html.parser
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from conftest import SHARED
from PIL import Image

from experiments._runs import read_run, short_names
from experiments.report import confused_pairs, report

ROWS = {
    "alphanet/alphanet_v1": {"top1": 36.0, "dataset": "tiny_imagenet", "hours": 14.4},
    "alphanet/alphanet_v4": {"top1": 47.7, "dataset": "tiny_imagenet", "epochs": 102},
    "alphanet/alphanet_v4b": {"top1": 47.6, "dataset": "tiny_imagenet", "tolerance": 1.0},
    "alphanet/alphastack": {"top1": 50.7, "dataset": "tiny_imagenet"},
    "cars/c50": {"top1": 83.8, "dataset": "stanford_cars"},
}


@pytest.fixture(scope="module")
def photos(request) -> np.ndarray:
    """36 images 64x64x3: of Tiny ImageNet where it is present, otherwise noise."""
    if not SHARED.exists():
        return np.random.default_rng(0).integers(0, 256, (36, 64, 64, 3), np.uint8)
    folder = request.getfixturevalue("tiny_imagenet_10")
    paths = sorted(folder.glob("val/images/*.JPEG"))[:36]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])


def write_run(
    folder: pathlib.Path,
    photos: np.ndarray,
    *,
    recipe: str = "alphanet/alphanet_v4",
    dataset: str = "tiny_imagenet",
    classes: int = 10,
    images: int = 1000,
    top1: float = 47.7,
    seed: int = 0,
    epochs: int = 30,
    names: list[str] | None = None,
    **metrics,
) -> pathlib.Path:
    """Write a run folder whose predictions have exactly the given top-1, in percent."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    names = names or [f"animal {i}, Animalia numero {i}" for i in range(classes)]
    labels = np.arange(images) % classes
    # A wrong prediction is mostly a neighboring class, as in real confusion matrices.
    wrong = (labels + rng.choice([1, 2, 3], images, p=[0.7, 0.2, 0.1])) % classes
    wrong[wrong == labels] = (labels[wrong == labels] + 1) % classes
    right = np.zeros(images, bool)
    odds = (0.2 + rng.random(classes))[labels] * rng.random(images)
    right[np.argsort(-odds)[: round(images * top1 / 100)]] = True
    predicted = np.where(right, labels, wrong)
    probs = rng.random((images, classes)).astype(np.float32)
    probs[np.arange(images), predicted] = probs.max(axis=1) * rng.uniform(1.1, 60, images)
    probs /= probs.sum(axis=1, keepdims=True)
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump({"recipe": recipe, "augment": "C", "batch_size": 128})
    )
    environment = {
        "backend": "tensorflow",
        "device": "2 CPU cores",
        "versions": {"keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"},
        "commit": "0123456789ab",
        "command": f"python -m experiments train {recipe}",
        "date": "2026-11-21T10:00:00",
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "dataset.json").write_text(
        json.dumps(
            {
                "name": dataset,
                "class_names": names,
                "class_ids": [f"n{i:08}" for i in range(classes)],
                "train": 10 * images,
                "validation": images,
                "image_shape": [64, 64, 3],
            }
        )
    )
    rank = (probs > probs[np.arange(images), labels][:, None]).sum(axis=1)
    content = {
        "recipe": recipe,
        "kind": "train",
        "model": recipe.rpartition("/")[2],
        "dataset": dataset,
        "n": images,
        "top1": float(100 * right.mean()),
        "top3": float(100 * (rank < 3).mean()),
        "top5": float(100 * (rank < 5).mean()),
        "loss": float(-np.log(probs[np.arange(images), labels]).mean()),
        "epochs": epochs,
        "best_epoch": epochs,
        "seconds": 95.3 * epochs,
        "seconds_per_epoch": 95.3,
        "images_per_second": 1123.4,
        "parameters": 11255496,
        "trainable": 11249000,
        "macs": 211000000,
        "seed": seed,
        "backend": "tensorflow",
        "device": "2 CPU cores",
        "date": environment["date"],
        "command": environment["command"],
        "expect": None,
    }
    (folder / "metrics.json").write_text(json.dumps(content | metrics))
    _write_history(folder / "history.csv", rng, epochs, top1)
    np.savez(folder / "predictions.npz", probs=probs, labels=labels)
    order = np.flatnonzero(~right)
    order = order[np.argsort(-probs[order, predicted[order]])][:24]
    views = np.stack([np.roll(photos[:6], 5 * (view + 1), axis=2) for view in range(5)], axis=1)
    np.savez(
        folder / "samples.npz",
        wrong_images=photos[order % len(photos)],
        wrong_labels=labels[order],
        wrong_predictions=predicted[order],
        wrong_confidence=probs[order, predicted[order]],
        original=photos[:6],
        augmented=views,
    )
    return folder


def _write_history(path: pathlib.Path, rng, epochs: int, top1: float) -> None:
    header = ["epoch", "loss", "top1", "top3", "top5", "val_loss", "val_top1", "val_top3"]
    header += ["val_top5", "lr", "seconds", "images_per_second"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for epoch in range(1, epochs + 1):
            grown = 1 - np.exp(-3 * epoch / epochs)
            val = top1 * min(grown / 0.95, 1) - (rng.random() if epoch < epochs else 0)
            train, loss = top1 * grown * 1.1, 5 * (1 - grown) + 1.5
            lr = 0.001 * 0.316 ** (epoch > epochs * 0.6) * 0.316 ** (epoch > epochs * 0.8)
            row = [epoch, loss, train, train * 1.3, train * 1.5, loss + 0.3 + rng.random() / 5]
            writer.writerow([*row, val, val * 1.3, val * 1.5, lr, 95.3, 1123.4])


class Page(html.parser.HTMLParser):
    """Parses a report strictly: balanced tags, unique ids; collects what the tests ask for."""

    VOID = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.open, self.ids, self.images, self.references = [], [], [], []
        self.tables, self.text = [], []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self._attributes(tag, dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("small", "br"):
            self.handle_data(" ")

    def handle_startendtag(self, tag, attrs):
        self._attributes(tag, dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    def _attributes(self, tag, attrs):
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.references += [attrs[key] for key in ("src", "href") if key in attrs]
        if tag in ("img", "image"):
            self.images.append(attrs.get("src") or attrs["href"])

    def row(self, table: int, name: str) -> list[str]:
        """Cells of the row whose first cell begins with a name, white space collapsed."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.tables[table]]
        return next(row for row in rows if row[0].split(" ")[0] == name)


@pytest.fixture(scope="module")
def stacked(photos, tmp_path_factory) -> Page:
    """Page of two members, and a stack of them and of a third one that is not there."""
    root = tmp_path_factory.mktemp("runs")
    size = {"classes": 200, "images": 10_000}
    runs = [
        write_run(root / "alphanet_v4", photos, top1=48.0, **size),
        write_run(root / "v4b", photos, recipe="alphanet/alphanet_v4b", top1=46.0, seed=1, **size),
    ]
    members = [
        {"name": name, "run": f"elsewhere/{run}", "top1": top1, "top3": 60.0, "top5": 70.0}
        for name, run, top1 in (
            ("alphanet_v4", "alphanet_v4", 48.0),
            ("alphanet_v4b", "v4b", 46.0),
            ("alphanet_v4c", "alphanet_v4c", 49.4),
        )
    ]
    members = [member | {"parameters": 11255496} for member in members]
    stack = {"recipe": "alphanet/alphastack", "kind": "stack", "members": members, "seed": 2}
    runs.append(write_run(root / "alphastack", photos, top1=51.0, epochs=3, **stack, **size))
    return Page(report(runs, root / "page.html", rows=ROWS))


def test_a_page_is_self_contained(stacked):
    assert all(uri.startswith("data:image/png;base64,") for uri in stacked.images)
    assert all(reference.startswith(("data:", "#")) for reference in stacked.references)
    assert {r[1:] for r in stacked.references if r.startswith("#")} <= set(stacked.ids)
    assert not re.search(r"https?://|url\((?!#)|@import|<script|<link", stacked.source)


def test_the_papers_table_tells_each_rows_status(stacked):
    found = [row[0].split()[0] for row in stacked.tables[0][2:]]
    # Of the other paper nothing was run, so none of its rows appears.
    assert found == ["alphanet_v1", "alphanet_v4", "alphanet_v4b", "alphastack"]
    assert stacked.row(0, "alphanet_v1")[1:4] == ["36.0", "–", "○ not run"]
    assert stacked.row(0, "alphanet_v4")[1:4] == ["47.7", "48.0", "✓ reproduced top-1 +0.3 points"]
    assert stacked.row(0, "alphanet_v4b")[1:4] == ["47.6", "46.0", "▼ below top-1 −1.6 points"]
    assert stacked.row(0, "alphastack")[1:4] == ["50.7", "51.0", "✓ reproduced top-1 +0.3 points"]
    assert stacked.row(0, "alphanet_v4")[4:6] == ["102", "30"]


def test_the_results_name_every_run_and_member(stacked):
    assert stacked.row(1, "alphanet_v4")[0] == "alphanet_v4 member of alphastack"
    assert stacked.row(1, "alphanet_v4c")[0].endswith("its run is not in this report")
    assert stacked.row(1, "alphanet_v4c")[1:6] == ["49.4", "60.0", "70.0", "–", "11,255,496"]
    stack = stacked.row(1, "alphastack")
    assert stack[0] == "alphastack stack of 3, 1.6 points above its best member"
    assert stack[6:] == ["211.0", "3", "95.3", "1,123", "0:04:46"]


def test_pngs_lie_in_the_runs_and_beside_the_page(photos, tmp_path):
    runs = [write_run(tmp_path / name, photos, epochs=2) for name in ("a", "b")]
    report(runs, tmp_path, plots=True)
    assert (tmp_path / "report.html").exists()
    names = {path.name for path in (tmp_path / "a" / "plots").iterdir()}
    assert names == {
        f"{name}.png"
        for name in ("augmented", "classes", "confusion", "curve_loss", "curve_top1")
        + ("misclassified",)
    }
    drawn = list(tmp_path.rglob("*.png"))
    assert len(drawn) == 2 * len(names) + 2
    for path in drawn:
        with Image.open(path) as image:
            assert min(image.size) > 200


def test_mistakes_and_views_are_shown_as_images(photos, tmp_path):
    run = write_run(tmp_path / "run", photos, epochs=2)
    page = Page(report([run], tmp_path / "page.html"))
    samples = read_run(run).samples
    # One image inside the confusion matrix; 24 mistakes; 6 originals with 5 views each.
    assert len(page.images) == 1 + 24 + 6 * 6
    text = " ".join(" ".join(page.text).replace("\N{NO-BREAK SPACE}", " ").split())
    true, wrong = samples["wrong_labels"][0], samples["wrong_predictions"][0]
    confidence = f"{100 * samples['wrong_confidence'][0]:.0f}"
    assert f"animal {true} → animal {wrong}, {confidence} %" in text.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "the 24 most confident of 523" in text


def test_two_classes_without_mistakes_or_published_values(photos, tmp_path):
    run = write_run(
        tmp_path / "run",
        photos[..., :1],
        recipe="mine",
        dataset="folders",
        classes=2,
        images=100,
        top1=100,
        epochs=1,
        names=["<script>", "$5 & more, or less"],
    )
    page = Page(report([run], tmp_path / "page.html", rows=ROWS))
    assert "every validation image was recognized" in page.source
    assert "Misclassified" not in page.source and "Paper and ours" not in page.source
    # Top-3 of two classes says nothing; names from data are text, never markup.
    assert page.row(0, "Run")[1:3] == ["Top-1 %", "Loss"]
    assert "&lt;script&gt;" in page.source and "$5 &amp; more" in page.source


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "digits"}, "run on digits, published on tiny_imagenet"),
        ({"classes": 10}, "10 of 200 classes"),
        ({"classes": 200, "images": 400}, "400 of 10,000 validation images"),
    ],
)
def test_another_task_is_not_compared(photos, tmp_path, changes, reason):
    run = write_run(tmp_path / "run", photos, epochs=2, **changes)
    page = Page(report([run], tmp_path / "page.html", rows=ROWS))
    assert page.row(0, "alphanet_v4")[3] == f"≠ not comparable {reason}"


def test_a_run_brings_its_own_published_values(photos, tmp_path):
    run = write_run(tmp_path / "run", photos, dataset="own", epochs=2, expect={"top1": 48.1})
    page = Page(report([run], tmp_path / "page.html", title="My own title"))
    assert page.row(0, "alphanet_v4")[3] == "✓ reproduced top-1 −0.4 points"
    assert "<title>My own title</title>" in page.source


def test_twelve_runs_of_one_row_are_told_apart(photos, tmp_path):
    runs = [
        write_run(tmp_path / f"s{i}", photos, seed=i, classes=3, images=60, epochs=3)
        for i in range(12)
    ]
    page = Page(report(runs, tmp_path / "page.html", rows=ROWS))
    for i in range(12):
        assert page.source.count(f'">alphanet_v4 (s{i})</a>') == 1
        assert any(row[0] == f"alphanet_v4 alphanet_v4 (s{i})" for row in page.tables[0])


def test_runs_are_named_by_row_folder_or_path(photos, tmp_path):
    places = ("a/alphanet_v4", "b/alphanet_v4", "a/alphanet_v4_seed_1")
    runs = [write_run(tmp_path / p, photos, classes=2, images=20, epochs=1) for p in places]

    def names(chosen):
        page = report(chosen, tmp_path / "page.html")
        return re.findall(r'<a href="#run\d+">(.*?)</a>', page.read_text())

    assert names([runs[0], runs[0]]) == ["alphanet_v4"]  # one folder given twice is one run
    assert names(runs[::2]) == ["alphanet_v4", "alphanet_v4_seed_1"]
    assert names(runs[:2]) == [str(run) for run in runs[:2]]


DAMAGE = {
    "recipe.yaml": "recipe: [",
    "environment.json": "[1, 2]",
    "dataset.json": '{"name": "digits"}',
    "metrics.json": '{"recipe": "a/b"',
    "history.csv": "epoch,loss,top1,val_loss,val_top1\n1,2,3\n",
    "predictions.npz": "no archive",
    "samples.npz": "",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_refused_by_the_files_name(photos, tmp_path, name):
    run = write_run(tmp_path / "run", photos, epochs=2)
    (run / name).write_text(DAMAGE[name])
    with pytest.raises(ValueError, match=f"{re.escape(str(run / name))} cannot be used"):
        report([run], tmp_path / "page.html")
    (run / name).unlink()
    with pytest.raises(ValueError, match=f"{re.escape(str(run / name))} is missing"):
        report([run], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_files_of_two_runs_are_refused(photos, tmp_path):
    one, other = (write_run(tmp_path / str(v), photos, top1=v, epochs=2) for v in (40, 60))
    (one / "predictions.npz").write_bytes((other / "predictions.npz").read_bytes())
    with pytest.raises(ValueError, match="top1 is 40.0, predictions.npz gives 60.00"):
        report([one], tmp_path / "page.html")
    np.savez(one / "predictions.npz", probs=np.ones((4, 3)) / 3, labels=np.arange(4) % 3)
    with pytest.raises(ValueError, match="3 classes, dataset.json has 10"):
        report([one], tmp_path / "page.html")


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no run folders"):
        report([], tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        report([tmp_path / "absent"], tmp_path)


def test_pickled_arrays_are_never_loaded(photos, tmp_path):
    run = write_run(tmp_path / "run", photos, epochs=2)
    np.savez(run / "samples.npz", wrong_images=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="samples.npz cannot be used .*allow_pickle"):
        report([run], tmp_path / "page.html")


def test_confused_pairs_count_both_directions():
    confusion = np.array([[5, 2, 0], [3, 5, 1], [0, 0, 5]])
    assert confused_pairs(confusion) == [(0, 1, 2, 3), (1, 2, 1, 0)]
    assert confused_pairs(confusion, limit=1) == [(0, 1, 2, 3)]
    assert confused_pairs(np.eye(3, dtype=int)) == []


def test_short_names_stay_distinct():
    names = ["goldfish, Carassius auratus", "crane", "crane, lifting device", "a" * 30]
    assert short_names(names, ["n1", "n2", "n3", "n4"]) == [
        "goldfish",
        "crane (n2)",
        "crane (n3)",
        "a" * 21 + "…",
    ]


def test_reporting_loads_no_framework(photos, tmp_path):
    run = write_run(tmp_path / "run", photos, epochs=2)
    code = (
        "import sys; from experiments.report import report; report(sys.argv[1:2], sys.argv[2]);"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run), str(tmp_path / "page.html")],
        cwd=pathlib.Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
