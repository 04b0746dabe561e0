"""What all benches share: bounds of their numbers."""

import keras
import pytest

from experiments import bench


@pytest.mark.backend
@pytest.mark.parametrize("name", ["augment", "members", "stack"])
@pytest.mark.parametrize("repeats", [0, -1, 10**6, 1.5])
def test_a_bench_refuses_numbers_that_make_no_sense(name, repeats):
    import importlib

    case = importlib.import_module(f"experiments.bench.{name}")
    with pytest.raises(ValueError, match=rf"repeats \(--repeats\) {repeats}: .* from 1 to 1,000"):
        case.run(repeats=repeats)


@pytest.mark.parametrize("name", bench.LIMITS)
def test_bounds_hold_at_both_ends(name):
    bench.check(**{name: 1})
    bench.check(**{name: bench.LIMITS[name]})
    with pytest.raises(ValueError, match=f"--{name}"):
        bench.check(**{name: bench.LIMITS[name] + 1})


@pytest.mark.backend
def test_members_give_the_same_probabilities_however_they_are_run(monkeypatch):
    from experiments.bench import members

    monkeypatch.setattr(members, "NETWORKS", {"simplenet_cifar_310k": (28, 28, 3)})
    monkeypatch.setattr(
        members, "side_by_side", lambda cases, repeats: dict.fromkeys(cases, 1.0)
    )  # every case has run once by then
    if keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="give --backend jax"):
            members.run(repeats=1)
        return
    rows = members.run(repeats=1, members=2, batch=2)
    assert [row["case"].partition(": ")[2] for row in rows] == [
        "one after the other",
        "one graph",
        "weights batched",
    ]
    # Float32 sums in another order: probabilities of 200 classes, about 1/200 each.
    assert all(row["difference"] < 1e-5 for row in rows)
