"""Labels of raw samples, carried over to the prepared recording.

Preparation moves samples to another grid, bridges gaps and cuts out non-wear; a label
stays at the time at which the device's clock had it. So labels are looked up by time,
in the raw samples themselves and not in resampled ones: the majority of a window is
the mode over all its 100 Hz labels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sigjax.data import recording as rec
from sigjax.data.wearable import resample

MISSING = -1
# As in `resample`: a sample this close to an edge (in samples) lies on it.
_EPSILON = 1e-4
# Readers extrapolate a segment's ends; a longer overlap is a clock that was set back.
_MAX_OVERLAP_S = 1.0


class WindowLabels(NamedTuple):
    """What each window of a stretch was labelled.

    Attributes:
      code: Int16 `[n]`, the most frequent label; -1 where that is "no label".
      purity: Float32 `[n]`, the share of the window's samples that have it.
    """

    code: np.ndarray
    purity: np.ndarray


def majority_labels(segments: Sequence[rec.Segment], edges: np.ndarray) -> WindowLabels:
    """The most frequent label of each window, over its raw samples.

    "No label" counts like a label. Of labels that are equally frequent the one of the
    smallest code wins, and any wins over "no label". A window without samples (in a
    gap that was bridged) has no label, and neither has one that a clock which was set
    back shows twice; its purity is 0.

    Args:
      segments: Raw ones with a usable clock and a channel `"label"`, int16 `[s]`,
        -1 for no label. Segments without the channel have no labels.
      edges: Float64 `[n + 1]`, increasing, in seconds on the device's clock: window
        `k` holds the samples in `[edges[k], edges[k + 1])`.

    Returns:
      The labels of the `n` windows.
    """
    n = len(edges) - 1
    touched = [s for s in segments if s.end >= edges[0] and s.start < edges[-1]]
    codes = _codes(touched)
    # Missing comes last: a tie with it goes to the label.
    column = {code: place for place, code in enumerate([*codes, MISSING])}
    votes = np.zeros((n, len(column)), np.int64)
    for segment in touched:
        inside = np.ceil(resample.index_at(segment, edges) - _EPSILON)
        inside = np.clip(inside, 0, len(segment.counts)).astype(np.int64)
        window = np.repeat(np.arange(n), np.diff(inside))
        values = _values(segment)[inside[0] : inside[-1]]
        table = np.full(max(column) + 2, column[MISSING])
        for code, place in column.items():
            table[code + 1] = place
        cells = window * len(column) + table[values.astype(np.int64) + 1]
        votes += np.bincount(cells, minlength=votes.size).reshape(votes.shape)
    for begin, end in _shown_twice(touched):
        votes[(edges[1:] > begin) & (edges[:-1] < end)] = 0
    total = votes.sum(axis=1)
    winner = votes.argmax(axis=1)
    code = np.array(list(column), np.int16)[winner]
    purity = votes.max(axis=1) / np.maximum(total, 1)
    code[total == 0] = MISSING
    return WindowLabels(code, purity.astype(np.float32))


def _values(segment: rec.Segment) -> np.ndarray:
    channel = segment.channels.get("label")
    if channel is None:
        return np.full(len(segment.counts), MISSING, np.int16)
    return channel.values


def _codes(segments: Sequence[rec.Segment]) -> list[int]:
    """Codes in use, in order: a person has twenty of Capture-24's 206."""
    used: set[int] = set()
    for segment in segments:
        seen = np.bincount(_values(segment).astype(np.int64) + 1)
        used.update((np.flatnonzero(seen) - 1).tolist())
    return sorted(used - {MISSING})


def _shown_twice(segments: Sequence[rec.Segment]) -> list[tuple[float, float]]:
    """Stretches of time that two segments claim."""
    spans, latest = [], -np.inf
    for segment in sorted(segments, key=lambda s: s.start):
        end = min(segment.end, latest)
        if end - segment.start > _MAX_OVERLAP_S:
            spans.append((segment.start, end))
        latest = max(latest, segment.end)
    return spans
