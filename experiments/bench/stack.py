"""How much faster a stack's head trains on cached outputs than by running the members each time.

Three alphanet_v4 at 64x64 with the AlphaStack's head, on noise: the cost does not depend on
content. No augmentation, which would slow only the uncached case: the ratio is the members' alone.
"""

import os
import statistics
import tempfile

import keras
import numpy as np

import stacking
import zoo
from experiments.bench import check
from experiments.listener import SILENT, Listener

CLASSES = 200
CASES = {"members each time": False, "cached outputs": True}


def run(
    *, repeats: int = 5, images: int = 1024, batch: int = 256, listener: Listener = SILENT
) -> list[dict]:
    """Train two equal heads, one on cached outputs, one with its members; one row per case.

    The cases take turns, two epochs each time: the first compiles, the second counts, as the
    history has it. `members_s` is the pass of the members that cached outputs need once,
    compiling included; `weight_diff` the largest difference between the two heads in the end.
    """
    check(repeats=repeats, images=images, batch=batch)
    members = {name: zoo.build(name) for name in ("alphanet_v4", "alphanet_v4b", "alphanet_v4c")}
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, 64, 64, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, images)
    stacks = {case: stacking.stack(members, seed=0) for case in CASES}
    histories = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats):
            listener.progress("turns", turn, repeats)
            options = {"epochs": 2, "batch_size": batch, "seed": turn, "cache_dir": folder}
            for case, cached in CASES.items():
                histories[case] += stacking.fit_head(
                    stacks[case], pixels, labels, cached=cached, **options
                )
    listener.progress("turns", repeats, repeats)
    seconds = {
        case: statistics.median(line["seconds"] for line in history[1::2])
        for case, history in histories.items()
    }
    heads = [stacking.head_of(stack).get_weights() for stack in stacks.values()]
    difference = max(float(np.abs(a - b).max()) for a, b in zip(*heads, strict=True))
    return [
        {
            "case": case,
            "backend": keras.backend.backend(),
            "images": images,
            "batch": batch,
            "repeats": repeats,
            "s_per_epoch": seconds[case],
            "times_faster": seconds["members each time"] / seconds[case],
            "members_s": history[0]["members_seconds"],
            "weight_diff": difference,
            "load": os.getloadavg()[0],
        }
        for case, history in histories.items()
    ]
