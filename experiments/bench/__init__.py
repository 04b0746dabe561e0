"""Speed, measured as ratios: all cases side by side in one run, medians after a warm-up.

Each module has `run(**options) -> list[dict]`, one row per case; the first field names it.
"""

# Option -> the most that it may be. More is a slip of the keyboard, and fills memory or days.
LIMITS = {"batch": 4_096, "images": 100_000, "members": 16, "repeats": 1_000, "size": 1_024}
LIMITS |= {"trials": 1_000, "workers": 64}


def check(**options: int) -> None:
    """Raise `ValueError` for numbers that are not whole, or not from 1 to what `LIMITS` says."""
    for name, value in options.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 1 <= value <= LIMITS[name]:
            raise ValueError(
                f"{name} (--{name}) {value!r}: give a whole number from 1 to {LIMITS[name]:,}"
            )
