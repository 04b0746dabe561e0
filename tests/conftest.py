"""Fixtures shared by all test files."""

import os
import pathlib
import shutil
import tempfile
import types

import numpy as np
import pytest

SHARED = pathlib.Path(__file__).resolve().parent.parent.parent / "shared"
COMPILED = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config: pytest.Config) -> None:
    """Let all processes of one run of the tests compile a program of JAX once, not each again.

    Half of the time of JAX's tests is XLA's, and many of them train the same small network.
    """
    if COMPILED in os.environ:  # the user's, or that of a worker's parent
        return
    config.compiled = os.environ[COMPILED] = tempfile.mkdtemp(prefix="smallzoo-tests-")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the tests compiled."""
    if folder := getattr(config, "compiled", None):
        shutil.rmtree(folder, ignore_errors=True)


def _existing(path: pathlib.Path) -> pathlib.Path:
    if not path.exists():
        pytest.skip(f"needs the reference data, which is not here: {path.name}")
    return path


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Folder with reference facts and real images; tests that need it skip without it."""
    return _existing(SHARED)


@pytest.fixture(scope="session")
def reference() -> dict:
    """Facts about each network, by name, from `reference/architectures.yaml`."""
    import yaml

    text = _existing(SHARED / "reference" / "architectures.yaml").read_text()
    return yaml.safe_load(text)["architectures"]


@pytest.fixture(scope="session")
def tiny_imagenet_10(tmp_path_factory) -> pathlib.Path:
    """Ten classes of Tiny ImageNet in the official layout, unpacked once."""
    import tarfile

    archive = _existing(SHARED / "data" / "tiny-imagenet-10.tar.xz")
    folder = tmp_path_factory.mktemp("data")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "tiny-imagenet-10"


@pytest.fixture(scope="session")
def photos(request) -> np.ndarray:
    """36 images 64x64x3: of Tiny ImageNet where it is present, otherwise noise."""
    from PIL import Image

    if not SHARED.exists():
        return np.random.default_rng(0).integers(0, 256, (36, 64, 64, 3), np.uint8)
    folder = request.getfixturevalue("tiny_imagenet_10")
    paths = sorted(folder.glob("val/images/*.JPEG"))[:36]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])


ENVIRONMENT = {
    "backend": "tensorflow",
    "device": "2 CPU cores",
    "cores": 2,
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"},
    "commit": "0123456789ab",
    "command": "python -m experiments run alphanet",
    "date": "2026-11-21T10:00:00",
}
SECONDS, SPEED = 95.3, 1123.4  # of an epoch; images a second


@pytest.fixture(scope="session")
def make_run(photos):
    """Return a function that writes a finished run of any kind of row, without Keras.

    `make_run(folder, row)` writes what a run of `row` leaves, a row of a paper by name or a `Row`,
    with predictions that have exactly the given top-1, in percent; no model. `classes` is their
    number or their names, `images` and `train` count validation and training images, `epochs` is
    how many were trained, of which the best is no later than the last, `metrics` add to
    metrics.json or replace what it says.
    """
    from experiments import recipes, runs
    from experiments.runs import metrics as of_run

    def make(
        folder: pathlib.Path,
        row="alphanet/alphanet_v4",
        *,
        classes: int | list[str] = 10,
        images: int = 1000,
        train: int | None = None,
        top1: float = 47.7,
        seed: int = 0,
        epochs: int = 30,
        shown: np.ndarray = photos,
        **metrics,
    ) -> pathlib.Path:
        row = recipes.load(row) if isinstance(row, str) else row
        rng = np.random.default_rng(seed)
        data = _described(row, classes, images, train, shown)
        probs = _predictions(rng, data.validation.labels, len(data.class_names), top1)
        with pytest.MonkeyPatch.context() as patch:
            for module in (runs, of_run):
                patch.setattr(module, "environment", lambda: ENVIRONMENT)
            with runs.making(folder, row, data) as run:
                if run.kind.images:
                    _finish_generator(run, epochs, shown, of_run)
                    return folder
                views = {}
                if getattr(row, "augment", None):
                    moved = [np.roll(shown[:6], 5 * view, axis=2) for view in range(1, 6)]
                    views = {"original": shown[:6], "augmented": np.stack(moved, axis=1)}
                scores = run.write_outputs(data, probs, views)
                lines = _history(rng, row, epochs, top1) if run.kind.has_history else []
                if lines:
                    run.write_history(lines)
                cost = {"parameters": 11255496, "macs": 211000000}
                run.finish(of_run.build(row, run.dataset, scores, cost, history=lines) | metrics)
        return folder

    return make


def _finish_generator(run, epochs: int, shown: np.ndarray, of_run) -> None:
    """Write what a generator leaves: losses, sheets, a strip, and metrics without accuracies."""
    from experiments.runs import outputs

    lines = [
        {"epoch": epoch, "discriminator_loss": 1 + 1 / epoch, "generator_loss": 2 - 1 / epoch}
        | {"images": 1000 * epoch, "seconds": SECONDS, "images_per_second": SPEED}
        for epoch in range(1, epochs + 1)
    ]
    run.write_history(lines)
    sheets = {str(epoch): shown[:16] for epoch in (1, epochs)}
    outputs.write_sheets(run.path, sheets, shown[:20])
    told = {"discriminator": {"parameters": 5, "macs": 50}, "epochs": epochs, "seconds": 9.0}
    told |= {"images": 1000 * epochs, "seconds_per_epoch": SECONDS, "images_per_second": SPEED}
    told |= {"losses": {key: lines[-1][key] for key in ("discriminator_loss", "generator_loss")}}
    cost = {"parameters": 11255496, "macs": 211000000}
    run.finish(of_run.build(run.row, run.dataset, {}, cost, **told))


def _described(row, classes, images: int, train: int | None, shown: np.ndarray):
    """Return a data set whose validation images repeat those shown; nothing is copied."""
    from experiments.datasets._dataset import Rows, Split

    count = len(classes) if isinstance(classes, list) else classes
    names = [f"animal {i}, Animalia numero {i}" for i in range(count)]
    share = getattr(row, "share", None)
    left = 1 - share.holdout if share else 1
    left *= 1 - 1 / share.folds if share and share.folds else 1
    return types.SimpleNamespace(
        name=row.data.name,
        class_names=classes if isinstance(classes, list) else names,
        class_ids=[f"n{i:08}" for i in range(count)],
        train=types.SimpleNamespace(
            labels=range(round(10 * images * left) if train is None else train)
        ),
        validation=Split(Rows(shown, np.arange(images) % len(shown)), np.arange(images) % count),
        image_shape=shown.shape[1:],
        digest={"train": "0" * 8, "validation": f"{images:08}"},
    )


def _predictions(rng, labels: np.ndarray, classes: int, top1: float) -> np.ndarray:
    """Return probabilities; a mistake is mostly a neighboring class, as in real matrices."""
    images = len(labels)
    wrong = (labels + rng.choice([1, 2, 3], images, p=[0.7, 0.2, 0.1])) % classes
    wrong[wrong == labels] = (labels[wrong == labels] + 1) % classes
    right = np.zeros(images, bool)
    odds = (0.2 + rng.random(classes))[labels] * rng.random(images)
    right[np.argsort(-odds)[: round(images * top1 / 100)]] = True
    predicted = np.where(right, labels, wrong)
    probs = rng.random((images, classes)).astype(np.float32)
    probs[np.arange(images), predicted] = probs.max(axis=1) * rng.uniform(1.1, 60, images)
    return probs / probs.sum(axis=1, keepdims=True)


def _history(rng, row, epochs: int, top1: float) -> list[dict]:
    """Return a history that reaches top-1 in the epoch whose weights the row keeps."""
    best = max(1, round(0.8 * epochs)) if row.keep == "best" else epochs
    lines = []
    for epoch in range(1, epochs + 1):
        grown = 1 - np.exp(-3 * epoch / epochs)
        val = top1 if epoch == best else top1 * min(grown / 0.95, 1) - 0.5 - rng.random()
        train, loss = top1 * grown * 1.1, 5 * (1 - grown) + 1.5
        lr = 0.001 * 0.316 ** (epoch > epochs * 0.6) * 0.316 ** (epoch > epochs * 0.8)
        scores = {"loss": loss, "top1": train, "top3": train * 1.3, "top5": train * 1.5}
        scores |= {"val_loss": loss + 0.3 + rng.random() / 5}
        scores |= {"val_top1": val, "val_top3": val * 1.3, "val_top5": val * 1.5}
        speed = {"seconds": SECONDS, "images_per_second": SPEED}
        lines.append({"epoch": epoch, **scores, "lr": lr, **speed})
    return lines
