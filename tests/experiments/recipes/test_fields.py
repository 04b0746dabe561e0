"""What the fields of a row may say."""

import pytest

from experiments import datasets, recipes
from experiments.recipes import fitting

PLATEAU = {"name": "plateau", "patience": 3, "factor": 0.5}


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ("val_accuracy", "val_top1"),
        ("accuracy", "top1"),
        ("val_acc", "val_top1"),
        ("val_sparse_categorical_accuracy", "val_top1"),
        ("val_top_k_categorical_accuracy", "val_top5"),
        ("sparse_top_k_categorical_accuracy", "top5"),
        *((name, name) for name in fitting.MONITORS),
    ],
)
def test_keras_names_of_monitors_are_understood(given, column, resolve):
    stop, average = {"patience": 2, "monitor": given}, {"name": "ema"}
    assert resolve({"a": None}, early_stop=stop, average=average).early_stop.monitor == column


@pytest.mark.parametrize("average", [None, {"name": "lookahead"}])
@pytest.mark.parametrize("field", ["early_stop", "schedule"])
def test_averages_that_there_are_not_are_not_monitored(field, average, resolve):
    waiting = {"early_stop": {"patience": 2}, "schedule": PLATEAU}[field]
    with pytest.raises(ValueError, match=f"{field}.monitor: val_top1_ema is of averaged weights"):
        resolve({"a": None}, average=average, **{field: waiting | {"monitor": "val_top1_ema"}})


@pytest.mark.parametrize("name", ["val_acuracy", "val_val_loss", "lr", "", 5])
def test_a_monitor_that_there_is_not_is_refused(name, resolve):
    with pytest.raises(ValueError, match="early_stop.monitor: "):
        resolve({"a": None}, early_stop={"patience": 2, "monitor": name})


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({}, 0.01),  # percent
        ({"monitor": "val_top5"}, 0.01),
        ({"monitor": "accuracy"}, 0.01),
        ({"monitor": "val_loss"}, 1e-4),
        ({"monitor": "loss"}, 1e-4),
        ({"monitor": "val_loss", "min_delta": 0.2}, 0.2),
        ({"min_delta": 0.0}, 0.0),
        ({"relative": True}, 0.0),
    ],
)
def test_the_least_gain_of_a_plateau_is_in_the_monitor_s_unit(given, least, resolve):
    assert resolve({"a": None}, schedule=PLATEAU | given).schedule.min_delta == least


def test_a_rate_is_constant_unless_a_schedule_is_named(resolve):
    assert resolve({"a": None}).schedule == fitting.Constant()
    assert isinstance(resolve({"a": None}, schedule=PLATEAU).schedule, fitting.Plateau)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"name": "platau"}, "schedule: .*'platau'.*'constant', 'plateau'"),
        ({"patience": 3, "factor": 0.5}, "schedule: .*name"),
        ({"name": "constant", "patience": 3}, "schedule.constant.patience: Extra"),
        (PLATEAU | {"factor": 1}, "schedule.plateau.factor"),
        (PLATEAU | {"patience": 0}, "schedule.plateau.patience"),
        (PLATEAU | {"min_lr": -1}, "schedule.plateau.min_lr"),
        (PLATEAU | {"patiance": 3}, "schedule.plateau.patiance: Extra"),
        ("platau", "schedule: .*'platau'"),
        (None, "schedule: "),
    ],
)
def test_a_schedule_that_does_not_fit_is_named(schedule, told, resolve):
    with pytest.raises(ValueError, match=told):
        resolve({"a": None}, schedule=schedule)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"name": "alphanet_v9"}}, "model: .*alphanet_v4"),
        ({"model": {"filters": [8]}}, "model: needs a name"),
        ({"model": {"name": ["x"]}}, "model: needs a name"),
        ({"model.classes": 10}, "model: classes cannot be set"),
        ({"model.input_shape": [32, 32, 3]}, "model: input_shape cannot be set"),
        ({"model.include_top": False}, "model: include_top cannot be set"),
        ({"model.classifier_activation": None}, "model: classifier_activation cannot be set"),
        ({"model.model_name": "x"}, "model: model_name cannot be set"),
        ({"freeze": "body"}, "freeze: body .*model.weights is not given"),
        ({"freeze": "head"}, "freeze: "),
        ({"augment": "Z"}, "augment: "),
        ({"augment": {"rotatoin": 3}}, "augment: .*rotatoin"),
        ({"share": {"holdout": 1.0}}, "share.holdout"),
        ({"share": {"holdout": -0.1}}, "share.holdout"),
        ({"share": {"folds": 3}}, "share: fold None of 3 folds: give both"),
        ({"share": {"fold": 1}}, "share: fold 1 of None folds"),
        ({"share": {"folds": 3, "fold": 3}}, "share: fold 3 of 3 folds"),
        ({"data": {"name": "digits", "resample": "cubic"}}, "data.resample"),
        ({"data": {"name": "digits", "channels": 2}}, "data.channels"),
        ({"data": {"name": "digits", "channels": True}}, "data.channels"),
        ({"data": {"name": "digits", "crop": "box"}}, "data.crop: .*'boxes' or 'train_boxes'"),
        ({"data": {"name": "digits", "background": "black"}}, "data.background"),
        ({"data": {"name": "digits", "validation_share": 0.0}}, "data.validation_share"),
        ({"distill": {"teacher": "x", "alpha": 1.5}}, "distill.alpha"),
        ({"adversarial": {"folder": "x", "classes": [-1]}}, "adversarial.classes.0"),
        ({"precision": "float16"}, "precision"),
        ({"loss": {"label_smoothing": 1.0}}, "loss.label_smoothing"),
        ({"loss": {"smoothing": 0.1}}, "loss.smoothing: Extra"),
        ({"loss": {"validation": "smoothed"}}, "loss: validation: smoothed needs a label_smooth"),
        ({"loss": {"label_smoothing": 0.1, "validation": "other"}}, "loss.validation"),
        ({"mix": {}}, "mix: a mix needs mixup or cutmix"),
        ({"mix": {"mixup": 0}}, "mix.mixup"),
        ({"mix": {"cutmix": 1.0, "probability": 1.1}}, "mix.probability"),
        ({"augment": {"alternating_flip": True, "horizontal_flip": 0.5}}, "augment: .*both mirror"),
        ({"test_views": "flip"}, "test_views: .*'none', 'mirror' or 'shifts'"),
        ({"test_views": None}, "test_views: "),
        ({"progress_every": 0}, "progress_every: "),
        ({"progress_every": 4, "validate_every": 6}, "validate_every: 6 is no multiple of .* 4"),
        ({"expect": {"views": "none"}}, "expect.views: .*'mirror' or 'shifts'"),
    ],
)
def test_a_network_s_row_refuses(changes, told):
    with pytest.raises(ValueError, match=rf"row alphanet_v4:\n  {told}"):
        recipes.load("alphanet/alphanet_v4", changes)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("alphanet/alphastack", {"members": []}, "members"),
        ("alphanet/alphastack", {"head": [0]}, "head.0"),
        ("alphanet/alphastack", {"folds": 1}, "folds"),
        ("alphanet/alphastack", {"views": "new"}, "views.*'fresh'"),
        ("alphanet/alphastack", {"augment": None}, "views: fresh draws an augmented view"),
        ("alphanet/alphastack", {"share": {"holdout": 0.1}}, "share: Extra"),
        ("laptop/mode", {"test_views": "mirror"}, "test_views: Extra"),
        (
            "laptop/mode",
            {"expect": {"views": "mirror"}},
            "expect.views: mirror: a row of kind vote",
        ),
        ("laptop/mode", {"rule": "mod"}, "no rule 'mod'; did you mean mode"),
        ("laptop/mode", {"weights": "accuracy"}, "rule mode takes no weights; weighted_mode does"),
        ("laptop/weighted_mode", {"weights": "none"}, "rule weighted_mode needs weights"),
        ("laptop/experts", {"rule": "weighted_mode"}, "rule 'weighted_mode' is none that takes no"),
        ("laptop/experts", {"attack.split": "validation"}, "attack.split must be train"),
        ("laptop/experts", {"attack.epsilon": True}, "attack.epsilon"),
        ("laptop/experts", {"experts": 0}, "experts"),
    ],
)
def test_an_ensemble_s_row_refuses(name, changes, told):
    with pytest.raises(ValueError, match=told):
        recipes.load(name, changes)


def test_freeze_takes_pretrained_weights(resolve):
    model = {"name": "ghostnet_100", "weights": "timm:ghostnet_100.in1k"}
    assert resolve({"a": None}, model=model, freeze="body").freeze == "body"


def test_an_argument_that_is_none_is_kept():
    row = recipes.load(
        "alphanet/alphanet_v4", {"optimizer": {"name": "adamw", "weight_decay": None}}
    )
    again = recipes.parse(recipes.read(recipes.dump(row)), "dumped")
    assert again == row and "weight_decay" in again.optimizer.model_extra


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (8.0, None, None)),
        ({"method": "pgd"}, (8.0, 2.0, 10)),
        ({"method": "pgd", "epsilon": 4, "steps": 3}, (4.0, 1.0, 3)),
        ({"method": "pgd", "step": 0.5, "steps": None}, (8.0, 0.5, 10)),
    ],
)
def test_pgd_takes_ten_steps_of_a_quarter_unless_told(options, expected):
    attack = recipes.attack(options)
    assert (attack.epsilon, attack.step, attack.steps) == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 3}, "fgsm is one step of epsilon, it takes no steps"),
        ({"step": 3.0}, "it takes no step: use method=pgd"),
        ({"epsilon": 0.5}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"epsilom": 3}, "epsilom: .*did you mean epsilon"),
        ({"images": 0, "seed": -1}, "images: .*(\n.*)*seed: "),
        ({"method": "cw"}, "method"),
    ],
)
def test_an_attack_that_does_not_fit_is_told_by_its_options(options, told):
    with pytest.raises(ValueError, match=rf"attack:\n(.*\n)*.*{told}"):
        recipes.attack(options)


def test_images_are_told_for_people():
    assert recipes.Images(name="digits").told() == "digits"
    enlarged = recipes.Images(name="digits", size=64, resample="bicubic")
    assert enlarged.told() == "digits at 64 px (bicubic)"
    cars = recipes.Images(name="stanford_cars", size=227, channels=1, crop="train_boxes")
    assert cars.told() == "stanford_cars at 227 px (lanczos), channels 1, crop train_boxes"


OTHERS = {
    "channels": 1,
    "crop": "boxes",
    "background": "white",
    "validation_share": 0.3,
    "validation_seed": 1,
}


@pytest.mark.parametrize("field", OTHERS)
def test_other_pixels_are_other_images(field):
    """Runs are combined where their images are equal, and only there."""
    plain = recipes.Images(name="folder")
    other = recipes.Images(name="folder", **{field: OTHERS[field]})
    assert other != plain
    assert other == recipes.Images(**other.model_dump(exclude_none=True))
    assert f"{field} {OTHERS[field]}" in other.told()


def test_options_of_images_are_those_of_a_data_set():
    fields = recipes.Images.model_fields.keys() - {"name"}
    assert fields == datasets.Pixels.__annotations__.keys()
