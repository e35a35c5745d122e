"""When recordings were worn and how much they moved: the numbers behind the pictures.

Times are the device's clock throughout: a day is one of the wearer's days wherever
the clock was set to local time, and begins at midnight UTC where it keeps UTC.
"""

import math
from collections.abc import Sequence

import numpy as np

from sigjax.data import store as stores

DAY_S = 86_400.0
MOST_DAYS = 31
_CHUNK_H = 6  # What is decoded at once: 8 MB of floats at 30 Hz.


def spans_of(
    entries: Sequence[stores.Entry],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where the stretches of wear of recordings lie, those too short to keep as well.

    Returns:
      Float64 `[k]` start and end of every stretch, seconds since 1970-01-01; int
      `[k]`, whose it is; float64 `[r]` midnight before each recording's first sample.
    """
    found = [
        (segment.start, segment.start + segment.samples / entry.rate_hz, row)
        for row, entry in enumerate(entries)
        for segment in entry.segments
    ]
    found += [
        (begun, ended, row)
        for row, entry in enumerate(entries)
        for begun, ended in entry.quality.get("too_short", ())
    ]
    start, end, row = np.array(found, np.float64).reshape(-1, 3).T
    first = np.full(len(entries), np.inf)
    np.minimum.at(first, row.astype(int), start)
    begun = [entry.quality.get("start") for entry in entries]
    first = np.minimum(first, [np.inf if t is None else t for t in begun])
    return start, end, row.astype(int), np.floor(first / DAY_S) * DAY_S


def hours_worn(
    entries: Sequence[stores.Entry], *, bin_h: float, bins: int
) -> np.ndarray:
    """Hours of wear of each recording, from midnight before its first sample on.

    Args:
      entries: Recordings with segments.
      bin_h: Hours to a bin.
      bins: How many; wear after the last is left out.

    Returns:
      Float64 `[r, bins]` in hours, each at most `bin_h` (a clock that was set back
      shows the same hour twice).
    """
    start, end, row, origin = spans_of(entries)
    # What lies after a moment adds its share to the bin it is in and all of each bin
    # that follows; a span is what follows its start less what follows its end.
    steps = np.zeros((len(entries), bins + 2))
    for time, sign in ((start, 1.0), (end, -1.0)):
        place = np.clip((time - origin[row]) / (3600 * bin_h), 0, bins)
        whole = np.floor(place).astype(int)
        np.add.at(steps, (row, whole), sign * (1 - (place - whole)))
        np.add.at(steps, (row, whole + 1), sign * (place - whole))
    return np.clip(bin_h * np.cumsum(steps, axis=1)[:, :bins], 0, bin_h)


def wear_share(entries: Sequence[stores.Entry], days: int) -> np.ndarray:
    """Share of recordings worn, `[days, 24]`: day of recording, hour of the day.

    An hour that a recording does not cover counts as not worn.
    """
    total = np.zeros(days * 24)
    for at in range(0, len(entries), 4096):
        some = entries[at : at + 4096]
        total += hours_worn(some, bin_h=1, bins=days * 24).sum(axis=0)
    return total.reshape(days, 24) / len(entries)


def days_of(entry: stores.Entry) -> np.ndarray:
    """Int `[d]`, days since 1970-01-01 that a recording spans, at most `MOST_DAYS`.

    Where its clock jumped too far for that, the first days that have wear.
    """
    worn = [
        np.arange(
            math.floor(s.start / DAY_S),
            math.floor((s.start + (s.samples - 1) / entry.rate_hz) / DAY_S) + 1,
        )
        for s in entry.segments
    ]
    days = np.unique(np.concatenate(worn))
    times = [entry.quality.get("start"), entry.quality.get("end")]
    ends = [math.floor(t / DAY_S) for t in times if t is not None]
    first, last = min([days[0], *ends]), max([days[-1], *ends])
    if last - first < MOST_DAYS:
        return np.arange(first, last + 1)
    return days[:MOST_DAYS]


def minute_means(
    store: stores.Store, entry: stores.Entry, days: np.ndarray
) -> np.ndarray:
    """Mean of the vector magnitude above 1 g, minute by minute.

    ENMO, the Euclidean norm minus one, negative values set to zero (van Hees et al.
    2013, PLoS ONE 8:e61691).

    Args:
      store: That holds the recording.
      entry: The recording.
      days: Int `[d]`, increasing, days since 1970-01-01.

    Returns:
      Float64 `[d, 1440]` in mg; NaN where nothing was worn.
    """
    total, count = np.zeros((2, len(days) * 1440))
    size = round(_CHUNK_H * 3600 * store.rate_hz)
    for number, segment in enumerate(entry.segments):
        for at in range(0, segment.samples, size):
            length = min(size, segment.samples - at)
            counts = store.read(entry, number, at, length)
            g = counts * np.float32(segment.scale)
            over = np.maximum(np.sqrt(np.einsum("sc,sc->s", g, g)) - 1, 0)
            time = segment.start + (at + np.arange(length)) / store.rate_hz
            minute = np.floor(time / 60).astype(np.int64)
            row = np.searchsorted(days, minute // 1440).clip(max=len(days) - 1)
            known = days[row] == minute // 1440
            place = (row * 1440 + minute % 1440)[known]
            total += np.bincount(place, over[known], minlength=len(total))
            count += np.bincount(place, minlength=len(total))
    means = np.full(len(total), np.nan)
    np.divide(1e3 * total, count, out=means, where=count > 0)
    return means.reshape(-1, 1440)
