"""Windows over a stretch of signal, and one probability out of those that overlap."""

import math

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
    windows, length, classes = probability.shape
    row = starts[:, None] + np.arange(length)
    inside = row < rows
    count = np.bincount(row[inside], minlength=rows)
    if (count == 0).any():
        raise ValueError(f"no window covers label window {int(np.argmin(count))}")
    total = np.zeros((rows, classes))
    for window in range(windows):
        part = inside[window]
        total[row[window, part]] += probability[window, part]
    return (total / count[:, None]).astype(np.float32)
