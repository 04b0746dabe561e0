"""Training steps beside plain PyTorch: which columns there are, and what is left out and told."""

import contextlib
import importlib.util

import pytest

import zoo
from experiments.bench import _rivals, models, train
from experiments.listener import Listener


class Ear(Listener):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def processes(monkeypatch) -> list:
    """Let no process start; JAX is missing, and what is asked of PyTorch is as fast as it says."""
    started = []

    @contextlib.contextmanager
    def process(make, options):
        started.append(options)
        if options.get("backend") == "jax":
            yield models.Running({"missing": "jax is not installed"}, None)
            return
        chosen = "bfloat16" if options["asked"] == "auto" else options["asked"]
        facts = {"precision": chosen, "macs": 10**9, "parameters": 7}
        yield models.Running(facts, lambda step: None)

    monkeypatch.setattr(models, "process", process)
    times = iter([1.0, 0.5, 0.4, 0.8, 0.2, 0.25])
    monkeypatch.setattr(
        train, "side_by_side", lambda steps, **how: {key: next(times) for key in steps}
    )
    return started


def test_a_case_is_a_row_for_each_column(processes, ear):
    (rows,) = train.each(["wrn*"], batch=8, listener=ear)
    assert [(row["framework"], row["precision"], row["mode"]) for row in rows] == [
        ("TensorFlow", "float32", "graph"),
        ("TensorFlow", "auto: bfloat16", "graph"),
        ("PyTorch", "float32", "eager"),
        ("PyTorch", "float32", "compile"),
        ("PyTorch", "bfloat16", "eager"),
        ("PyTorch", "bfloat16", "compile"),
    ]
    assert ear.said == ["wrn_16_4: no JAX auto jit: jax is not installed"]
    assert [row["images_s"] for row in rows] == [8, 16, 20, 10, 40, 32]
    assert [row["of_best_torch"] for row in rows] == [0.2, 0.4, 0.5, 0.25, 1, 0.8]
    assert rows[0]["gflop_s"] == pytest.approx(48) and rows[0]["case"] == "wrn_16_4"
    shape = {"network": "wrn_16_4", "size": 32, "classes": 100, "batch": 8, "augmented": False}
    assert all(shape.items() <= options.items() for options in processes)


def test_a_network_that_the_zoo_has_not_is_left_out_and_told(processes, ear, monkeypatch):
    monkeypatch.setitem(train.CASES, "new", train.Case("no_such_network", 32))
    assert list(train.each(["new"], listener=ear)) == [] and not processes
    assert ear.said == ["new is left out: the zoo has no network no_such_network"]


@pytest.mark.parametrize(
    ("only", "options", "told"),
    [
        (["resnet19"], {}, r"no case matches 'resnet19' \(--only\); there are alphanet_v4, resne"),
        ([], {"batch": 0}, "--batch"),
        ([], {"repeats": 0}, "--repeats"),
    ],
)
def test_what_cannot_be_timed_is_refused_before_any_process_starts(only, options, told, processes):
    with pytest.raises(ValueError, match=told):
        train.each(only, **options)
    assert not processes


def test_all_cases_but_the_newest_are_networks_of_the_zoo():
    known = {case.network for case in train.CASES.values()} & set(zoo.list_models())
    assert known >= {"alphanet_v4", "resnet18", "wrn_16_4", "ghostnet_100"}
    assert all(
        case.size >= zoo.info(case.network).min_size
        for case in train.CASES.values()
        if case.network in known
    )


def test_ours_and_pytorch_run_in_processes_of_their_own(ear, monkeypatch):
    """The smallest network, in the columns that compile nothing for long."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    monkeypatch.setitem(train.CASES, "tiny", train.Case("simplenet_cifar_310k", 28, 10))
    kept = [column for column in train.COLUMNS if column.mode != "compile"]
    columns = [column for column in kept if column.options["asked"] == "float32"]
    monkeypatch.setattr(train, "COLUMNS", columns)
    (rows,) = train.each(["tiny"], batch=2, quick=True, augmented=True, listener=ear)
    assert [row["framework"] for row in rows] == ["TensorFlow", "PyTorch"]
    assert rows[0]["parameters"] == rows[1]["parameters"] and not ear.said
    assert all(row["images_s"] > 0 and row["precision"] == "float32" for row in rows)


def test_a_backend_that_is_not_installed_is_missing_with_its_reason(monkeypatch):
    from experiments import backend

    def choose(name: str) -> str:
        raise ValueError(f"backend {name}: not installed")

    monkeypatch.setattr(backend, "choose", choose)
    shape = {"size": 28, "classes": 10, "batch": 2, "augmented": False, "asked": "float32"}
    for make, options in (
        (_rivals.keras_case, {"backend": "jax"}),
        (_rivals.torch_case, {"compiled": False}),
    ):
        facts, steps = make("simplenet_cifar_310k", **shape, **options)
        assert "not installed" in facts["missing"] and not steps
