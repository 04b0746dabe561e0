"""Attacks equal those of other libraries on the same weights."""

import numpy as np
import pytest

import augment

CLASSES = 4
SHAPE = (6, 6, 3)


def torch_twin(model):
    """The network `convolutional` in plain torch: NCHW, pixels 0..1, logits out."""
    import torch

    kernel, shift, gamma, beta, mean, variance, dense, bias = map(
        torch.tensor, map(np.array, model.get_weights())
    )
    conv, norm = torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5, model.get_layer("bn").epsilon)
    last = torch.nn.Linear(5, CLASSES)
    conv.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": shift})
    statistics = {"running_mean": mean, "running_var": variance}
    norm.load_state_dict({"weight": gamma, "bias": beta, **statistics}, strict=False)
    last.load_state_dict({"weight": dense.T, "bias": bias})
    pool = torch.nn.AdaptiveAvgPool2d(1)
    twin = torch.nn.Sequential(conv, torch.nn.Tanh(), norm, pool, torch.nn.Flatten(), last)
    return twin.eval()


@pytest.mark.backend
@pytest.mark.parametrize("targeted", [False, True])
def test_attacks_equal_torchattacks_on_the_same_weights(
    images, labels, targets, targeted, convolutional
):
    torchattacks = pytest.importorskip("torchattacks")
    import torch

    model = convolutional()
    twin = torch_twin(model)
    pixels = torch.tensor(images / 255, dtype=torch.float32).permute(0, 3, 1, 2)
    ours = {"targets": targets} if targeted else {}
    pairs = (
        (
            torchattacks.FGSM(twin, eps=8 / 255),
            augment.fgsm(model, images, labels, epsilon=8, **ours),
        ),
        (
            torchattacks.PGD(twin, eps=8 / 255, alpha=3 / 255, steps=4, random_start=False),
            augment.pgd(model, images, labels, epsilon=8, step=3, steps=4, seed=None, **ours),
        ),
    )
    for theirs, ours in pairs:
        if targeted:
            theirs.set_mode_targeted_by_label(quiet=True)
        expected = theirs(pixels, torch.tensor(targets if targeted else labels))
        expected = 255 * expected.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3)  # they work in 0..1


@pytest.mark.backend
def test_fgsm_equals_the_adversarial_robustness_toolbox_on_the_same_weights(
    images, labels, convolutional
):
    evasion = pytest.importorskip("art.attacks.evasion")
    from art.estimators.classification import PyTorchClassifier
    from torch import nn

    model = convolutional()
    classifier = PyTorchClassifier(
        torch_twin(model),
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, *SHAPE[:2]),
        nb_classes=CLASSES,
        clip_values=(0, 255),
        preprocessing=(0, 255),
        device_type="cpu",
    )
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    expected = evasion.FastGradientMethod(classifier, eps=8).generate(pixels, np.array(labels))
    ours = augment.fgsm(model, images, labels, epsilon=8)
    np.testing.assert_array_equal(ours, expected.transpose(0, 2, 3, 1))
