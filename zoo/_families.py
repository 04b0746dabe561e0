"""The catalog: one line per architecture file, whose VARIANTS are the models.

TINY of each file is what `build` takes for a cheap form of one of them, which the tests train, save
and so on; its overrides make all the others cheap as well.
"""

import dataclasses
import difflib
import functools
import importlib
from typing import NamedTuple


class Family(NamedTuple):
    """Facts of an architecture that hold unless a variant says otherwise."""

    size: int
    """Height and width of the reference's RGB images in pixels."""
    classes: int
    head: str
    """Name of the classifier in the reference."""
    source: str
    paper: str


TIMM = "timm 1.0.31"
KERAS = "keras.applications 3.15.1"
PYTORCHCV = "pytorchcv 0.0.74"
TORCHVISION = "torchvision 0.28.0"
DEFINED = "definition in the file's docstring"
QUBVEL = "qubvel/classification_models"
SIMPLENET = "Coderx7/SimpleNet_Pytorch"
ALPHA = "AlphaNet, BravoNet and the AlphaStack on Tiny ImageNet"
CIFAR_100 = "SimpleNet, Res2Net, ResNeXt and WideResNet on CIFAR-100"

FAMILIES = {
    "alphanet": Family(64, 200, "logits", "the paper's table of models", ALPHA),
    "applications": Family(224, 1000, "predictions", KERAS, "VGG, arXiv 1409.1556"),
    "bravonet": Family(64, 200, "fc1", QUBVEL, f"{ALPHA}; Identity Mappings, arXiv 1603.05027"),
    "densenet": Family(224, 1000, "classifier", TIMM, "DenseNet, arXiv 1608.06993"),
    "dpn": Family(224, 1000, "classifier", TIMM, "Dual Path Networks, arXiv 1707.01629"),
    "efficientnet": Family(224, 1000, "classifier", TIMM, "EfficientNet, arXiv 1905.11946"),
    "ghost_resnet": Family(224, 1000, "fc", DEFINED, "GhostNet, arXiv 1911.11907"),
    "ghostnet": Family(224, 1000, "classifier", TIMM, "GhostNet, arXiv 1911.11907"),
    "ghostnetv2": Family(224, 1000, "classifier", TIMM, "GhostNetV2, arXiv 2211.12905"),
    "hardnet": Family(224, 1000, "output.fc", PYTORCHCV, "HarDNet, arXiv 1909.00948"),
    "mobilenetv2": Family(224, 1000, "classifier", TIMM, "MobileNetV2, arXiv 1801.04381"),
    "res2net": Family(224, 1000, "fc", TIMM, "Res2Net, arXiv 1904.01169"),
    "resnet": Family(224, 1000, "fc", TIMM, "Deep Residual Learning, arXiv 1512.03385"),
    "resnext": Family(224, 1000, "fc", TIMM, "ResNeXt, arXiv 1611.05431"),
    "resnext_narrow": Family(32, 100, "logits", DEFINED, f"{CIFAR_100}; ResNeXt, arXiv 1611.05431"),
    "shufflenet_v1": Family(224, 1000, "output", PYTORCHCV, "ShuffleNet, arXiv 1707.01083"),
    "shufflenet_v2": Family(224, 1000, "fc", TORCHVISION, "ShuffleNet V2, arXiv 1807.11164"),
    "simplenet": Family(224, 1000, "classifier", SIMPLENET, "SimpleNet, arXiv 1608.06037"),
    "sprint": Family(64, 200, "logits", DEFINED, "airbench, arXiv 2404.00498"),
    "squeezenet": Family(224, 1000, "classifier.1", TORCHVISION, "SqueezeNet, arXiv 1602.07360"),
    "squeezenext": Family(224, 1000, "output", PYTORCHCV, "SqueezeNext, arXiv 1803.10615"),
    "wide_resnet": Family(32, 10, "output", PYTORCHCV, "Wide Residual Networks, arXiv 1605.07146"),
}

MIN_SIZE = 28
"""Smallest height and width in pixels (MNIST) that every network builds at."""


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """Facts about a model at its reference shape and classes."""

    name: str
    family: str
    parameters: int
    """Weights, biases, BN gamma and beta."""
    macs: int
    """Multiply-adds for one image."""
    macs_64: int
    """Multiply-adds for one RGB image of 64x64 pixels under `stem="auto"`, same classes."""
    input_shape: tuple[int, int, int]
    classes: int
    stem: str | None
    """What `build` takes by default; None: there is no choice of stem."""
    paper: str
    source: str
    """The implementation that ours equals."""
    weights: tuple[str, ...]
    """What `build(weights=...)` can download, the default first."""
    min_size: int
    enlarges_to: int | None
    """Height and width in pixels to which smaller images are enlarged, if the network does."""
    notes: str


@functools.cache
def catalog() -> dict:
    """Map model name -> (architecture module, Spec with every fact filled in)."""
    entries = {}
    for family, line in FAMILIES.items():
        facts = {
            "input_shape": (line.size, line.size, 3),
            "classes": line.classes,
            "head": line.head,
            "source": line.source,
            "paper": line.paper,
        }
        module = importlib.import_module(f"zoo.{family}")
        for name, spec in module.VARIANTS.items():
            facts["macs_64"] = spec.macs
            unsaid = {key: fact for key, fact in facts.items() if getattr(spec, key) is None}
            entries[name] = module, dataclasses.replace(spec, **unsaid)
    return entries


def find(name: str) -> tuple:
    """Return (architecture module, Spec) of a model; ValueError with the closest names if none."""
    entries = catalog()
    if not isinstance(name, str) or name not in entries:
        close = difflib.get_close_matches(str(name), entries, n=5, cutoff=0.4)
        hint = f"Closest: {', '.join(close)}." if close else "zoo.list_models() names all."
        raise ValueError(f"unknown model {name!r}. {hint}")
    return entries[name]


def info(name: str) -> ModelInfo:
    """Return the facts about a model, without building it; ValueError if it is unknown."""
    module, spec = find(name)
    family = module.__name__.removeprefix("zoo.")
    shared = {field.name for field in dataclasses.fields(ModelInfo)} & set(vars(spec))
    return ModelInfo(
        name=name,
        family=family,
        min_size=MIN_SIZE,
        **{key: getattr(spec, key) for key in shared},
    )
