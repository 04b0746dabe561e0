"""Augmentation of small images: policies, ImageDataGenerator, a layer; data in, data out.

    images = augment.batch(images, augment.C, seed=0, epoch=3, indices=range(128))

Pixels are raw, 0..255. What happens to image i in epoch e is a pure function of (seed, epoch, i):
the same for any batch size, order, worker, restart and backend. `draw_mix` and `apply_mix` mix
such images in pairs; for a program of the caller's own, what is drawn may be packed (`pack`,
`apply_packed`, `pack_mix`, `mix_packed`). `enlarge` makes of small images what Pillow would. To
measure a trained model's robustness there are attacks (`fgsm`, `pgd`) and common corruptions
(`corrupt`); to see what it looks at, gradients by pixels and by maps (`Gradient`, `MapGradient`).
"""

from augment._draw import draw
from augment.policy import CARS, POLICIES, A, B, C, Policy, get

# Attributes that need more than NumPy, and where they live: `import augment` must stay free of it.
_LAZY = {
    "apply": "_apply",
    "batch": "_apply",
    "pack": "_apply",
    "apply_packed": "_apply",
    "Augment": "layer",
    "Mix": "mix",
    "draw_mix": "mix",
    "apply_mix": "_mixed",
    "pack_mix": "_mixed",
    "mix_packed": "_mixed",
    "enlarge": "_enlarge",
    "FILTERS": "_enlarge",
    "ImageDataGenerator": "generator",
    "Gradient": "_gradient",
    "MapGradient": "_gradient",
    "input_gradient": "_gradient",
    "logits_model": "_gradient",
    "maps_of": "_maps",
    "fgsm": "adversarial",
    "pgd": "adversarial",
    "CORRUPTIONS": "corruptions",
    "corrupt": "corruptions",
}

__all__ = ["A", "B", "C", "CARS", "POLICIES", "Policy", "draw", "get", *_LAZY]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'augment' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"augment.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
