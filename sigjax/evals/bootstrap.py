"""Intervals of figures over resamples of what is independent: people, sources."""

import math
from typing import Any

import numpy as np

LEVEL = 0.95


def resamples(units: int, count: int, seed: int) -> np.ndarray:
    """Float64 `[count, units]`: how often each unit is in each resample."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=count)
    return drawn.astype(np.float64)


def interval(value: Any, drawn: np.ndarray, units: int) -> dict[str, float | None]:
    """A figure with its percentile interval over the resamples that define it.

    Args:
      value: Of all units; NaN where undefined.
      drawn: Float `[r]`, of the resamples.
      units: How many there are: fewer than two have no interval.

    Returns:
      `value`, `low` and `high`, JSON-able, None where undefined.
    """
    defined = drawn[np.isfinite(drawn)]
    low = high = math.nan
    if units > 1 and len(defined):
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
    return {"value": number(value), "low": number(low), "high": number(high)}


def number(value: Any) -> float | None:
    """A float as JSON has it: NaN becomes null."""
    return float(value) if np.isfinite(value) else None
