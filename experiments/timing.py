"""Times that can be compared: cases in turns, medians after a warm-up."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping


def side_by_side(
    cases: Mapping[Hashable, Callable[[], object]],
    *,
    repeats: int,
    turn: float = 0.5,
    limit: float = 20,
) -> dict[Hashable, float]:
    """Return the median seconds of each case, timed in turns so that all see the same machine.

    A turn lasts `turn` seconds, or one call if that is longer: caches and threads settle, as they
    do in training. Each case has `repeats` turns, or as many as begin within its first `limit`
    seconds.
    """
    for case in list(cases.values()) * 2:  # compilation, and what the first call after it does
        case()
    seconds = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            end = time.perf_counter() + turn
            while sum(seconds[name]) < limit:
                start = time.perf_counter()
                case()
                seconds[name].append(time.perf_counter() - start)
                if time.perf_counter() > end:
                    break
    return {name: statistics.median(times) for name, times in seconds.items()}
