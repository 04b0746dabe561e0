"""Networks timed beside their references, on the smallest one; nothing here asserts on time."""

import csv
import os
import pathlib
import subprocess
import sys
import types

import pytest

import zoo
from experiments.bench import _worker, models
from experiments.listener import Listener

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = "simplenet_cifar_310k"

# A library whose network has as many parameters as ours, which is all that makes it a reference.
TIMM = f"""
import torch

def is_model(name):
    return name == "{NAME}"

def create_model(name):
    classifier = torch.nn.Linear(3, {zoo.info(NAME).classes})
    rest = {zoo.info(NAME).parameters} - sum(p.numel() for p in classifier.parameters())
    classifier.unused = torch.nn.Parameter(torch.zeros(rest))
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), classifier)
"""


@pytest.mark.backend
def test_models_are_timed_beside_their_reference(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "timm.py").write_text(TIMM)
    (tmp_path / "timm-1.0.dist-info").mkdir()
    (tmp_path / "timm-1.0.dist-info" / "METADATA").write_text("Name: timm\nVersion: 1.0\n")
    options = ["--names", NAME, "--batch", "2", "--size", "32", "--repeats", "1"]
    subprocess.run(
        [sys.executable, "-m", "experiments", "bench", "models", *options, "--out", "models.csv"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        check=True,
        capture_output=True,
    )
    with open(tmp_path / "models.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    assert [row["case"] for row in rows] == [*models.CASES[backend], "timm 1.0"]
    reference = rows[-1]
    for row in rows:
        assert row["network"] == NAME
        assert row["parameters"] == str(zoo.info(NAME).parameters)
        assert row["command"] == " ".join(
            ["python -m experiments bench models", *options, "--out models.csv"]
        )
        peaks = [
            float(row[f"{when}_mb"]) for when in ("framework", "forward_peak", "training_peak")
        ]
        assert 0 <= peaks[0] <= peaks[1] <= peaks[2]
        for phase in models.PHASES:
            ratio = float(reference[f"{phase}_images_s"]) / float(row[f"{phase}_images_s"])
            assert float(row[f"{phase}_times_slower"]) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        (["resnet18", "resnet19"], {}, "resnet19"),
        (["no*"], {}, "no network matches 'no\\*'"),
        ([""], {}, "no network matches ''"),
        ([], {}, "--names"),
        ([NAME], {"size": 16}, f"size .* 16: {NAME} needs at least 28"),
        ([NAME], {"size": 0}, "--size"),
        ([NAME], {"size": 100_000}, "size .* 100000: .* from 1 to 1,024"),
        ([NAME], {"batch": 0}, "batch .* 0: .* from 1 to 4,096"),
        ([NAME], {"batch": -3}, "batch .* -3"),
        ([NAME], {"batch": 10**9}, "--batch"),
        ([NAME], {"batch": True}, "batch .* True"),
        ([NAME], {"repeats": 0}, "repeats .* 0"),
        ([NAME], {"repeats": 10**6}, "from 1 to 1,000"),
        ([NAME], {"backend": "theano"}, "theano"),
    ],
)
def test_what_cannot_be_timed_is_refused_before_any_process_starts(
    names, options, told, monkeypatch
):
    monkeypatch.setattr(models, "process", None)
    with pytest.raises(ValueError, match=told):
        models.each(names, **options)  # before the first rows are asked for


def test_each_network_is_timed_once_and_told_of(monkeypatch):
    heard = []

    class Ear(Listener):
        def progress(self, what, done, total):
            heard.append((what, done, total))

    monkeypatch.setattr(models, "_network", lambda name, *rest: [{"case": name}] * 2)
    rows = models.run(["simplenet_cifar_3*", NAME, "simplenet_cifar_460k"], listener=Ear())
    expected = [NAME, "simplenet_cifar_460k"]
    assert [row["case"] for row in rows] == [name for name in expected for _ in range(2)]
    assert heard == [("networks", done, 2) for done in range(3)]


def test_a_library_without_the_network_is_no_reference(monkeypatch):
    weights = types.SimpleNamespace(numel=lambda: 7)
    other = types.SimpleNamespace(parameters=lambda: [weights])
    timm = types.SimpleNamespace(is_model=lambda name: True, create_model=lambda name: other)
    models_of = types.SimpleNamespace(list_models=lambda: [])
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models_of))
    monkeypatch.setitem(sys.modules, "pytorchcv", None)  # as if it were not installed
    library, model, missing = _worker.find_reference(NAME)
    assert library is None and model is None
    assert missing[0] == f"timm's has 7 parameters, ours {zoo.info(NAME).parameters:,}"
    assert missing[1] == "torchvision has none of this name"
    assert missing[2].startswith("pytorchcv cannot be imported (")
