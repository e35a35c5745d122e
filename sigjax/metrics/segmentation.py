"""Figures of masks and of when events begin and end.

Cells, of masks `[t, f]` or of frames `[t]`, of one class, over all clips together:

  IoU   cells that are true and said, over those that are either
  F1    twice the cells that are true and said, over the true ones plus those said

Boundaries: an event of a class is a run of its true frames; its onset is where the
first begins, its offset where the last ends. Onsets are matched to onsets of the same
clip and class, one to one, at most `tolerance` apart, as many as can be; offsets
likewise. Over all clips, F1 is twice the matches over the true ones plus those said. A
run that touches an end of the clip has its boundary there, like any other.

What is not there. A clip or class without true and without said cells (or boundaries)
adds nothing; a figure of nothing at all is NaN and no part of a mean over classes. What
is said of a silent clip counts against the figure, and so does silence where there is
an event: F1 is then 0, not NaN.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """What an F1 is made of; adds up over clips. Numbers, or `[v]` each.

    Attributes:
      matched: True and said.
      true: All that are true.
      said: All that are said.
    """

    matched: np.ndarray
    true: np.ndarray
    said: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]
        """Sums."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Runs(NamedTuple):
    """The runs of true frames of a clip, by class and time; `[n]` each.

    Attributes:
      label: Int64, class.
      start: Int64, first frame.
      stop: Int64, the frame behind the last.
    """

    label: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def f1(counts: Counts) -> np.ndarray:
    """`2 matched / (true + said)`, NaN of nothing."""
    return _ratio(2 * np.asarray(counts.matched), counts.true + counts.said)


def iou(counts: Counts) -> np.ndarray:
    """`matched / (true + said - matched)`, NaN of nothing."""
    return _ratio(counts.matched, counts.true + counts.said - counts.matched)


def precision(counts: Counts) -> np.ndarray:
    """`matched / said`, NaN where nothing is said."""
    return _ratio(counts.matched, counts.said)


def recall(counts: Counts) -> np.ndarray:
    """`matched / true`, NaN where nothing is true."""
    return _ratio(counts.matched, counts.true)


def macro(values: np.ndarray) -> float:
    """The mean over classes that have a figure; NaN if none has."""
    values = np.asarray(values, np.float64)
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def cell_counts(true: np.ndarray, said: np.ndarray) -> Counts:
    """Cells of each class.

    Args:
      true: Bool `[..., v]`.
      said: Bool, likewise.

    Returns:
      Int64 `[v]` each.

    Raises:
      ValueError: The shapes differ.
    """
    true, said = _alike(true, said)
    axes = tuple(range(true.ndim - 1))
    return Counts(
        (true & said).sum(axis=axes), true.sum(axis=axes), said.sum(axis=axes)
    )


def runs(active: np.ndarray) -> Runs:
    """Runs of true frames.

    Args:
      active: Bool `[t, v]`.
    """
    active = np.asarray(active, bool)
    padded = np.zeros((len(active) + 2, active.shape[1]), np.int8)
    padded[1:-1] = active
    change = np.diff(padded, axis=0).T  # class by class
    label, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    return Runs(label, start, stop)


def tidied(active: np.ndarray, *, gap: int = 0, least: int = 0) -> np.ndarray:
    """Frames with short pauses closed, and then short events left out.

    Args:
      active: Bool `[t, v]`.
      gap: Pauses between two runs of at most so many frames are closed.
      least: Runs of fewer frames are left out.

    Returns:
      Bool `[t, v]`.
    """
    found = np.array(active, bool)
    if gap:
        pauses = runs(~found)
        for label, start, stop in zip(*pauses, strict=True):
            if 0 < start and stop < len(found) and stop - start <= gap:
                found[start:stop, label] = True
    if least > 1:
        for label, start, stop in zip(*runs(found), strict=True):
            if stop - start < least:
                found[start:stop, label] = False
    return found


def matched(true: Sequence[float], said: Sequence[float], tolerance: float) -> int:
    """Most pairs of one true and one said moment that are at most so far apart.

    Taking the earliest that fits is as good as any matching, since all tolerances are
    the same.

    Args:
      true: Moments, ascending.
      said: Moments, ascending.
      tolerance: In their unit.
    """
    i = j = count = 0
    while i < len(true) and j < len(said):
        if said[j] < true[i] - tolerance:
            j += 1
        elif said[j] > true[i] + tolerance:
            i += 1
        else:
            i, j, count = i + 1, j + 1, count + 1
    return count


def boundary_counts(
    true: np.ndarray, said: np.ndarray, tolerance: int
) -> dict[str, Counts]:
    """Onsets and offsets of a clip.

    Args:
      true: Bool `[t, v]`.
      said: Bool, likewise.
      tolerance: Frames that a boundary may be off.

    Returns:
      Counts int64 `[v]` of each class, as `"onset"` and `"offset"`.

    Raises:
      ValueError: The shapes differ, or the tolerance is negative.
    """
    true, said = _alike(true, said)
    if tolerance < 0:
        raise ValueError(f"tolerance is {tolerance} frames, it must not be negative")
    classes = true.shape[-1]
    both = runs(true), runs(said)
    found = {}
    for name, field in (("onset", "start"), ("offset", "stop")):
        counts = np.zeros((3, classes), np.int64)
        for label in range(classes):
            own, other = (getattr(r, field)[r.label == label] for r in both)
            pairs = matched(own.tolist(), other.tolist(), tolerance)
            counts[:, label] = pairs, len(own), len(other)
        found[name] = Counts(*counts)
    return found


def frame_score(cells: np.ndarray, least_bands: int) -> np.ndarray:
    """A class's score in a frame: the `least_bands`-th highest of its bands'.

    So it reaches a threshold where as many bands do. Of true masks, 0 and 1, it tells
    the frames in which a class is active.

    Args:
      cells: `[..., t, f, v]`.
      least_bands: From 1 to f.

    Returns:
      `[..., t, v]`.
    """
    bands = cells.shape[-2]
    if not 1 <= least_bands <= bands:
        raise ValueError(f"least_bands={least_bands} is not in [1, {bands}]")
    place = bands - least_bands
    return np.partition(cells, place, axis=-2)[..., place, :]


def _ratio(above, below) -> np.ndarray:
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    blank = np.full(np.broadcast(above, below).shape, np.nan)
    return np.divide(above, below, out=blank, where=below > 0)


def _alike(true: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, said = np.asarray(true, bool), np.asarray(said, bool)
    if true.shape != said.shape:
        raise ValueError(f"shapes differ: true {true.shape}, said {said.shape}")
    return true, said
