"""Windows over a stretch of signal, and one value out of those that overlap."""

import math
from collections.abc import Callable

import numpy as np


def window_starts(rows: int, per_window: int, overlap: float) -> np.ndarray:
    """Where windows start that cover `rows` label windows.

    They are `(1 - overlap) * per_window` apart, rounded to whole label windows and at
    least one. The last reaches back, so that it ends with the rows. Fewer rows than
    one window holds take one window, which is then longer than they are.

    Args:
      rows: Label windows of the stretch.
      per_window: Label windows of a window.
      overlap: Share of a window that the next one covers too, in `[0, 1)`.

    Returns:
      Int `[w]`, increasing; empty for no rows.

    Raises:
      ValueError: If `overlap` is not in `[0, 1)`.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap={overlap} must be at least 0 and below 1")
    if rows <= 0:
        return np.zeros(0, np.int64)
    step = max(1, math.floor((1 - overlap) * per_window + 0.5))
    last = max(0, rows - per_window)
    return np.append(np.arange(0, last, step, dtype=np.int64), last)


def merge(probability: np.ndarray, starts: np.ndarray, rows: int) -> np.ndarray:
    """Means over the windows that cover each label window.

    Args:
      probability: Float `[w, n, v]` of windows.
      starts: Int `[w]`, the label window that each starts with. What reaches past
        `rows` is padding and left out.
      rows: Label windows in all, each covered by a window.

    Returns:
      Float32 `[rows, v]`.

    Raises:
      ValueError: If no window covers some row.
    """
    means = OverlapMeans(probability.shape[2:], np.ones)
    for first, part in zip(starts.tolist(), probability, strict=True):
        means.add(first, part)
    count = means.weight(rows)
    if (count == 0).any():
        raise ValueError(f"no window covers label window {int(np.argmin(count))}")
    return means.mean(rows)


def overlap_add(parts: np.ndarray, starts: np.ndarray, rows: int) -> np.ndarray:
    """Windows `[w, n, ...]` at `starts` as one signal, float32 `[rows, ...]`.

    Each counts by a Hann window that is nowhere 0, so that ends that only one window
    covers are its own values.
    """
    means = OverlapMeans(parts.shape[2:], _hann)
    for first, part in zip(starts.tolist(), parts, strict=True):
        means.add(first, part)
    return means.mean(rows)


def _hann(length: int) -> np.ndarray:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2


class OverlapMeans:
    """Means over windows that overlap and come one after another."""

    def __init__(self, shape: tuple[int, ...], weight: Callable[[int], np.ndarray]):
        """No window has come yet.

        Args:
          shape: Of a row of a window.
          weight: How much the rows of a window of so many count, float `[n]`.
        """
        self._of_window = weight
        self._sum, self._weight = np.zeros((0, *shape)), np.zeros(0)

    def add(self, first: int, part: np.ndarray) -> None:
        """Takes a window, `[n, *shape]`, whose first row is this one."""
        stop = first + len(part)
        if stop > len(self._weight):
            # To twice as many, so that hours are not copied with every window.
            more = max(stop, 2 * len(self._weight)) - len(self._weight)
            self._sum = np.pad(self._sum, [(0, more), *[(0, 0)] * (part.ndim - 1)])
            self._weight = np.pad(self._weight, (0, more))
        weight = self._of_window(len(part))
        self._sum[first:stop] += _column(weight, part) * part
        self._weight[first:stop] += weight

    def weight(self, rows: int) -> np.ndarray:
        """What all windows together count in the first rows, float `[rows]`."""
        known = self._weight[:rows]
        return np.pad(known, (0, rows - len(known)))

    def mean(self, rows: int) -> np.ndarray:
        """Of the first rows, float32 `[rows, *shape]`; NaN where no window was."""
        total = self._sum[:rows]
        weight = _column(self._weight[:rows], total)
        found = np.full((rows, *total.shape[1:]), np.nan)
        np.divide(total, weight, out=found[: len(total)], where=weight > 0)
        return found.astype(np.float32)


class FrameMeans(OverlapMeans):
    """Scores of a recording's frames, from windows that overlap.

    A frame's score is a mean over its windows. It weighs most where it is in the middle
    of one: at a window's ends the network sees one side alone.
    """

    def __init__(self, classes: int):
        """Nothing has been heard yet."""
        super().__init__((classes,), _triangle)


def _triangle(length: int) -> np.ndarray:
    place = np.arange(length)
    return 1.0 + np.minimum(place, length - 1 - place)


def _column(weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return weight.reshape(-1, *[1] * (rows.ndim - 1))
