"""What `export` writes, how it is checked, and what is refused before anything is loaded."""

import configparser
import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from experiments.runs import names, outputs
from experiments.studies import export as exports
from experiments.studies._formats import FORMATS
from experiments.studies.export import TOLERANCE, Exported, export

ROOT = pathlib.Path(__file__).resolve().parents[3]
SHAPE = (32, 32, 3)
CLASSES = 5


def photographs(count: int, seed: int) -> np.ndarray:
    """Crops of the photographs that scikit-learn brings, (count, 32, 32, 3) uint8."""
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image("china.jpg")
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, np.subtract(photograph.shape[:2], SHAPE[:2]), (count, 2))
    return np.stack([photograph[y : y + SHAPE[0], x : x + SHAPE[1]] for y, x in corners])


def exportable(seed: int, shape=SHAPE):
    """A network with the layers that exporters treat specially; answers vary from 0 to 1."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input(shape, name="image")
    x = layers.Rescaling(1 / 32, -4, name="normalize", dtype="float32")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.LeakyReLU(0.1)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Conv2D(8, 3, groups=2)(x)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D(name="pooled")(x))
    x = layers.Dense(CLASSES, name="logits", dtype="float32")(x)
    return keras.Model(image, layers.Activation("softmax", name="probs", dtype="float32")(x))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> pathlib.Path:
    """Folders of runs as far as export reads them: a single model, and a stack of two."""
    import stacking

    folder = tmp_path_factory.mktemp("runs")
    members = {"a": exportable(0), "b": exportable(1)}
    photos = photographs(9, seed=0)
    for name, model in {
        "single": members["a"],
        "stack": stacking.stack(members, head=(8,), seed=0),
    }.items():
        (folder / name).mkdir()
        model.save(folder / name / names.MODEL)
        kept = dict.fromkeys(outputs.SAMPLES, np.zeros(5)) | {"wrong_images": photos[:5]}
        outputs.write(folder / name / names.SAMPLES, **kept, original=photos[5:])
    return folder


def writable(name: str):
    """Return the format; skip where the active backend or a missing package rules it out."""
    import keras

    backend, chosen = keras.config.backend(), FORMATS[name]
    if backend not in chosen.writers:
        pytest.skip(f"{name} is not written by {backend}")
    for package in chosen.writers[backend]:
        pytest.importorskip(package)
    return chosen


def exported(run: pathlib.Path, format: str, out: pathlib.Path, **options) -> Exported:
    """Export, and check what is known of it."""
    found = export(run, format, out, **options)
    files = [out, *out.rglob("*")]
    assert found.path == out
    assert found.bytes == sum(path.stat().st_size for path in files if path.is_file())
    assert found.differences.keys() == {1, 7}
    assert max(found.differences.values()) <= TOLERANCE
    return found


@pytest.mark.parametrize("run", ["single", pytest.param("stack", marks=pytest.mark.backend)])
@pytest.mark.parametrize("format", FORMATS)
def test_the_lines_told_load_what_answers_as_the_model(format, run, runs, tmp_path):
    import zoo

    found = exported(runs / run, format, tmp_path / f"exported{writable(format).suffix}")
    assert "9 images of the run's data set" in found.checked_on
    assert (found.input_shape, found.converted) == (SHAPE, False)
    images = photographs(3, seed=1).astype(np.float32)  # a number that export has not checked
    scope = {"images": images}
    exec(found.usage, scope)
    expected = np.asarray(zoo.load(runs / run / names.MODEL).predict_on_batch(images))
    assert np.ptp(expected, axis=0).max() > 100 * TOLERANCE  # a constant would not pass
    np.testing.assert_allclose(np.asarray(scope["probs"]), expected, rtol=0, atol=TOLERANCE)


def test_mixed_precision_becomes_float32(tmp_path):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        exportable(0).save(tmp_path / "mixed.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    plain = tmp_path / "plain.keras"
    assert exported(tmp_path / "mixed.keras", "keras", plain).converted
    assert {x.compute_dtype for x in keras.saving.load_model(plain).layers} == {"float32"}
    assert not exported(plain, "keras", tmp_path / "again.keras").converted


def test_sides_that_a_model_leaves_open_stay_open(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    writable("onnx")
    exportable(0, (None, None, 3)).save(tmp_path / names.MODEL)
    described = {"name": "photos", "class_names": list("abcde"), "image_shape": SHAPE}
    (tmp_path / names.DATASET).write_text(json.dumps(described))
    found = exported(tmp_path, "onnx", tmp_path / "model.onnx")
    assert found.input_shape == (None, None, 3)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = np.zeros((2, 40, 48, 3), np.float32)
    assert session.run(None, {"image": images})[0].shape == (2, CLASSES)


# The check ---------------------------------------------------------------------------------------


def off(probs):
    return probs + 10 * TOLERANCE


def not_a_number(probs):
    return probs * np.nan


def in_another_order(probs):
    return probs[::-1]


def of_one_image(probs):
    return probs[:1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (off, "keras answers differently in batches of 1: a probability is off by 0.001, 0.0001"),
        (not_a_number, "off by nan"),
        (in_another_order, "differently in batches of 7"),
        (of_one_image, re.escape("7 images give (1, 5), not (7, 5)")),
    ],
)
def test_what_answers_differently_is_removed(spoil, message, runs, tmp_path, monkeypatch):
    chosen = FORMATS["keras"]

    def spoiled(path):
        run = chosen.open(path)
        return lambda images: spoil(run(images))

    monkeypatch.setitem(FORMATS, "keras", dataclasses.replace(chosen, open=spoiled))
    with pytest.raises(ValueError, match=message):
        export(runs / "single", "keras", tmp_path / "spoiled.keras")
    assert not list(tmp_path.iterdir())


def test_it_is_said_what_images_are_checked_on(runs, tmp_path):
    for number, photo in enumerate(photographs(2, seed=2)):
        Image.fromarray(photo).resize((50, 40)).save(tmp_path / f"{number}.png")
    given = sorted(tmp_path.glob("*.png"))
    lone = tmp_path / "a.keras"
    found = exported(runs / "single", "keras", lone, images=given)
    assert found.checked_on == "2 images given, resized (lanczos, for want of a recipe)"
    found = exported(lone, "keras", tmp_path / "b.keras")
    assert found.checked_on.startswith("7 images of seeded noise")


def test_images_given_are_resized_as_the_run_s_were(run, tmp_path, monkeypatch):
    Image.fromarray(photographs(1, seed=2)[0]).save(tmp_path / "large.png")
    seen, kept = [], exports._kept
    monkeypatch.setattr(exports, "_kept", lambda *a: seen.append(a[3]) or kept(*a))
    found = exported(run.path, "keras", tmp_path / "a.keras", images=[tmp_path / "large.png"])
    assert found.checked_on == "1 images given"
    nearest = Image.open(tmp_path / "large.png").resize((16, 16), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(seen[0][0], np.asarray(nearest))


# Refusals ----------------------------------------------------------------------------------------


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(
        "experiments.studies.export.load", lambda backend: pytest.fail("Keras was loaded")
    )


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    ("backend", "format", "way"),
    [
        ("torch", "saved_model", "tensorflow or jax"),
        ("jax", "onnx", "tensorflow or torch"),
        ("jax", "litert", "tensorflow"),
        ("torch", "litert", "tensorflow"),
    ],
)
def test_what_a_backend_cannot_write_is_refused_with_the_way(
    backend, format, way, runs, monkeypatch
):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with pytest.raises(ValueError, match=f"{format} is not written by {backend}.*--backend {way},"):
        export(runs / "single", format)


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_missing_package_is_named_with_its_extra(runs, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    # A backend that is there; nothing else is.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorflow" or None)
    with pytest.raises(ValueError, match=re.escape("pip install -e '.[export]'")) as refused:
        export(runs / "single", "onnx")
    assert "onnx, onnxruntime, tf2onnx" in str(refused.value)


def test_the_extra_declares_what_the_formats_import():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    declared = {
        re.split("[^a-z0-9-]", line)[0]
        for text in (
            settings["options"]["install_requires"],
            settings["options.extras_require"]["export"],
        )
        for line in text.split()
    }
    imported = {x for f in FORMATS.values() for needed in f.writers.values() for x in needed}
    assert {name.replace("_", "-") for name in imported} <= declared


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    ("format", "out", "message"),
    [
        ("pickle", None, "'pickle': there are saved_model, onnx, litert, keras"),
        ("keras", None, "model.keras exists: remove it, or give another --out"),
        ("keras", "model.h5", "model.h5: a file of format keras must end in .keras"),
    ],
)
def test_formats_and_targets_are_refused_at_once(format, out, message, runs):
    with pytest.raises(ValueError, match=message):
        export(runs / "single", format, out)


@pytest.mark.usefixtures("nothing_is_loaded")
def test_missing_runs_and_images_are_named(runs, tmp_path):
    with pytest.raises(ValueError, match="give a finished run's folder"):
        export(tmp_path, "keras")
    with pytest.raises(ValueError, match="absent.png: no such file"):
        export(runs / "single", "keras", tmp_path / "a.keras", [tmp_path / "absent.png"])


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_place_that_cannot_be_written_is_named_before_any_work(runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write to .*a\.keras .*a file stands where"):
        export(runs / "single", "keras", tmp_path / "file" / "a.keras")


def test_a_damaged_model_or_a_file_that_is_none_is_named(runs, tmp_path):
    whole = (runs / "single" / names.MODEL).read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.keras"):
        export(tmp_path / "cut.keras", "keras", tmp_path / "a.keras")
    assert {path.name for path in tmp_path.iterdir()} == {"cut.keras"}
