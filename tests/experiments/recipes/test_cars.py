"""P3: all 56 rows say what the settings of the source's runs say, and count as it counts."""

import types

import numpy as np
import pytest

import augment
import zoo
from experiments import recipes

RUNS = {name: row for name, row in recipes.rows("cars").items() if name.startswith("c_")}
# The source's boxes and images were very likely paired wrongly in these.
NO_TARGETS = {"c_10", "c_11"}
# What the source's transforms mean in fields of a policy.
TRANSFORMS = {
    "RandomHorizontalFlip": lambda x: {"horizontal_flip": x["p"]},
    "RandomAffine": lambda x: {
        "rotation": x["degrees"],
        "width_shift": x["translate"][0],
        "height_shift": x["translate"][1],
        "scale": tuple(x["scale"]),
        "shear_x": x["shear"],
        # The defaults of torchvision's.
        "fill_mode": "constant",
        "interpolation_order": 0,
    },
    "ColorJitter": lambda x: {f"jitter_{name}": value for name, value in x.items()},
    "RandomResizedCrop": lambda x: {
        "crop_area": tuple(x["scale"]),
        "crop_ratio": tuple(x["ratio"]),
    },
    "RandomRotation": lambda x: {"extra_rotation": x["degrees"]},
    "RandomPerspective": lambda x: {
        "perspective": x["distortion_scale"],
        "perspective_probability": x["p"],
    },
    "RandomErasing": lambda x: {"erasing": x["p"], "erasing_area": tuple(x["scale"])},
}
BASES = {"pow(0.0001/0.001, 1/67)": 0.1 ** (1 / 67), "0.955": 0.955, "0.975": 0.975, "0.98": 0.98}
SCHEDULES = {
    None: lambda x: {"name": "constant"},
    # Its sixth epoch without a gain drops, where ours drops after so many.
    "ReduceLROnPlateau": lambda x: {
        "name": "plateau",
        "monitor": "val_loss",
        "factor": x["factor"],
        "patience": x["patience"] + 1,
        "min_delta": x["threshold"],
        "relative": True,
        "min_lr": x["min_lr"],
    },
    "MultiStepLR": lambda x: {
        "name": "milestones",
        "factor": x["gamma"],
        "epochs": [float(epoch) for epoch in x["milestones"]],
    },
    "LambdaLR": lambda x: {
        "name": "exponential",
        "every": 1.0,
        "staircase": True,
        "factor": BASES[x["lr_lambda"].removeprefix("lambda epoch: ").removesuffix(" ** epoch")],
    },
}


@pytest.fixture(scope="module")
def published(shared):
    """Map row name -> what the reference has of that run."""
    import yaml

    text = (shared / "reference" / "cars_experiments.yaml").read_text()
    return {name.lower().replace("-", "_"): run for name, run in yaml.safe_load(text).items()}


@pytest.fixture
def settings(name, published):
    """Settings of the run that a row stands for."""
    return published[name]["settings"]


def test_there_is_a_row_for_every_run(published):
    assert list(RUNS) == list(published)
    assert len(RUNS) == 56


@pytest.mark.parametrize("name", RUNS)
def test_images_and_network_are_those_of_the_settings(name, settings):
    row, gray = RUNS[name], settings["grayscale"]
    assert (row.data.name, row.data.size, row.data.resample) == ("stanford_cars", 227, "bilinear")
    assert settings["img_size"] == [227, 227]
    assert row.data.channels == (1 if gray else None)
    assert row.data.crop == ("train_boxes" if settings["crop_to_bboxes"] else None)
    assert row.data.background == ("white" if settings["erase_background"] else None)
    plan = zoo._check.plan(**row.model)
    spec = plan.spec
    assert row.model["name"] == "ghostnet_cars"
    assert (spec.head_width, spec.dropout) == (settings["out_channels"], settings["dropout"])
    raw = {"mean": [0], "std": [1]}
    told = settings.get("norm_params_gray" if gray else "norm_params_rgb")
    assert (told is not None) == settings["normalize"]
    assert {"mean": list(spec.mean), "std": list(spec.std)} == (told or raw)


@pytest.mark.parametrize("name", RUNS)
def test_transforms_are_those_of_the_settings(name, settings):
    told = settings.get("image_augmentations", {}) | settings.get("tensor_augmentations", {})
    fields = {}
    for transform, arguments in told.items():
        fields |= TRANSFORMS[transform](arguments)
    ours = RUNS[name].augment
    assert augment.get(ours or {}) == augment.Policy(**fields)


def test_the_transforms_of_most_rows_are_those_of_the_policy_s_name():
    assert augment.get(RUNS["c_7"].augment) == augment.get(RUNS["c_50"].augment) == augment.CARS


@pytest.mark.parametrize("name", RUNS)
def test_training_is_that_of_the_settings(name, settings):
    row = RUNS[name]
    assert (row.batch_size, row.epochs) == (settings["batch_size"], settings["max_num_epochs"])
    assert row.keep == "best"
    given = row.optimizer.model_dump(exclude_none=True)
    expected = {"name": settings["optimizer"].lower(), "epsilon": 1e-8}
    expected |= {"learning_rate": settings["learning_rate"]}
    expected |= {"weight_decay": settings["weight_decay"]} if settings["weight_decay"] else {}
    assert given == expected
    smooth = settings["loss_function"] == "LabelSmoothingCrossEntropy"
    assert row.loss.label_smoothing == (0.1 if smooth else 0)
    assert row.loss.validation == ("smoothed" if smooth else "plain")
    stop = row.early_stop
    assert (stop.patience, stop.monitor, stop.min_delta) == (15, "val_loss", 0)


@pytest.mark.parametrize("name", RUNS)
def test_the_schedule_is_that_of_the_settings(name, settings):
    told = SCHEDULES[settings.get("lr_scheduler")](settings.get("lr_scheduler_params"))
    found = RUNS[name].schedule.model_dump()
    assert {key: found[key] for key in told} == told


@pytest.mark.parametrize("name", [x for x in RUNS if RUNS[x].schedule.name != "plateau"])
def test_rates_change_where_those_of_the_run_did(name, published):
    from experiments.training import schedules

    row, steps = RUNS[name], 128  # 8,144 images in batches of 64
    for epoch, rate in published[name]["lr_changes"]:
        for step in (epoch * steps, epoch * steps + steps - 1):
            ours = schedules.rate(row.schedule, 0.001, step, steps, row.epochs)
            assert ours == pytest.approx(rate, rel=0.002)  # logged to six decimals


def _rates_of_the_source(losses, patience=5, threshold=1e-3, factor=0.1, least=1e-7):
    """Restate PyTorch's ReduceLROnPlateau: the rate after each epoch."""
    best, bad, rate, rates = float("inf"), 0, 0.001, []
    for loss in losses:
        best, bad = (loss, 0) if loss < best * (1 - threshold) else (best, bad + 1)
        if bad > patience:
            rate, bad = max(rate * factor, least), 0
        rates.append(rate)
    return rates


@pytest.mark.parametrize("seed", range(5))
def test_the_plateau_drops_where_the_source_s_does(seed):
    from experiments.training import schedules

    rng = np.random.default_rng(seed)
    # Falls to a floor, with noise of about the threshold, so that both kinds of epochs come often.
    losses = 2 + 3 * np.exp(-np.arange(120) / 10) + rng.normal(0, 0.002, 120)
    rate = types.SimpleNamespace(value=0.001)
    rate.assign = lambda value: setattr(rate, "value", value)
    clock = types.SimpleNamespace(line={}, history=[])
    (plateau,) = schedules.callbacks(RUNS["c_26"].schedule, clock)
    plateau.set_model(types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=rate)))
    rates = []
    for epoch, loss in enumerate(losses):
        clock.line = {"val_loss": loss, "lr": rate.value}
        clock.history.append(clock.line)
        plateau.on_epoch_end(epoch)
        rates.append(rate.value)
    assert rates == pytest.approx(_rates_of_the_source(losses))
    assert len(set(rates)) > 3  # it did drop


@pytest.mark.parametrize("name", RUNS)
def test_goals_are_what_the_run_reached(name, published):
    row, run = RUNS[name], published[name]
    told = row.expect
    assert told.target == (name not in NO_TARGETS) == ("No target" not in row.note)
    assert told.top1 == run["valid_accuracy_max"]
    assert told.train_top1 == run["train_accuracy_max"]
    assert told.epochs == run["epochs_run"]
    assert told.dataset == "stanford_cars"


def test_the_tolerance_is_how_far_apart_four_runs_of_one_setting_lie():
    repeats = [RUNS[f"c_{n}"].expect.top1 for n in (26, 27, 28, 29)]
    assert len({RUNS[f"c_{n}"].seed for n in (26, 27, 28, 29)}) == 4
    tolerances = {row.expect.tolerance for row in RUNS.values() if row.expect}
    assert tolerances == {round(max(repeats) - min(repeats), 1)}


def test_parameters_are_those_of_the_runs(published, monkeypatch):
    """Networks differ by the width of the head and the channels alone; weights are zeros."""
    import keras

    draws, zeros = zoo._blocks.host_objects()["VarianceScaling"], keras.ops.zeros
    monkeypatch.setattr(draws, "__call__", lambda self, shape, dtype=None: zeros(shape, dtype))
    found = {}
    for name, row in RUNS.items():
        key = row.model["head_width"], row.data.channels or 3
        if key not in found:
            shape = (227, 227, key[1])
            model = zoo.build(**row.model, input_shape=shape, classes=196)
            found[key] = zoo.profile(model)[0]
        assert found[key] == published[name]["settings"]["num_params"], name
    assert len(found) == 6


def test_other_networks_have_the_settings_of_the_best_run():
    best = RUNS["c_50"]
    others = {name: row for name, row in recipes.rows("cars").items() if name not in RUNS}
    assert len(others) == 6
    for row in others.values():
        changed = {line.partition(":")[0] for line in recipes.differences(best, row)}
        kept = {x for x in changed if not x.startswith(("model.", "expect"))}
        assert kept == {"recipe", "title"}
        assert [row.model[key] for key in ("mean", "std", "dropout")] == [
            best.model[key] for key in ("mean", "std", "dropout")
        ]
