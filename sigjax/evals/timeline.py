"""What a person did when: rows that cover a recording, hours by day.

Times are the device's clock throughout. Where that keeps UTC a day begins at midnight
UTC; everywhere else it is one of the wearer's days.
"""

import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from sigjax.data.recording import PreparedRecording

DAY_S = 86_400.0
# The codes of `Timeline.wear`.
WEAR = ("wear", "non-wear", "no data", "too short")
_WEAR, _NON_WEAR, _NO_DATA, _TOO_SHORT = range(4)
# A clock that jumped by years leaves a gap of millions of label windows.
LONGEST_GAP_S = 31 * DAY_S
_CHUNK_S = 6 * 3600


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Rows that cover a recording from its first sample to its last, in time order.

    Attributes:
      labels: Class names.
      label_s: Length of a row; shorter where a stretch of non-wear, of no data or of
        wear ends.
      start: Float64 `[r]`, seconds since 1970-01-01 on the device's clock.
      duration_s: Float64 `[r]`.
      wear: Int8 `[r]`, codes of `WEAR`: worn; not worn; no samples; worn, but too
        short for a label.
      probability: Float32 `[r, v]`; NaN except where worn.
    """

    labels: tuple[str, ...]
    label_s: float
    start: np.ndarray
    duration_s: np.ndarray
    wear: np.ndarray
    probability: np.ndarray

    @property
    def label(self) -> np.ndarray:
        """Int `[r]`, the most probable class; -1 except where worn."""
        filled = np.nan_to_num(self.probability, nan=-1.0)
        return np.where(self.wear == _WEAR, filled.argmax(axis=1), -1)

    @property
    def repeated_s(self) -> float:
        """Seconds that occur twice, where the device's clock was set back."""
        end = self.start + self.duration_s
        return float(self.duration_s.sum() - (end.max() - self.start.min()))


class _Rows(NamedTuple):
    start: np.ndarray
    duration_s: np.ndarray
    wear: int
    probability: np.ndarray | None = None


def timeline(
    prepared: PreparedRecording,
    probabilities: Sequence[np.ndarray],
    labels: Sequence[str],
    label_s: float,
) -> Timeline:
    """Lays probabilities out in time, and says what lies between them.

    The rows of a stretch of wear begin where it begins, `label_s` each; what is left
    at its end is too short for a label. Between stretches rows are `label_s` long, the
    last one shorter; but a gap without data of more than 31 days is one row.

    Args:
      prepared: The recording; `quality` says when it was not worn.
      probabilities: For each of its segments, float `[n, v]`, `n` whole label windows.
      labels: Class names, in the order of the probabilities.
      label_s: Seconds that a label stands for.

    Raises:
      ValueError: Probabilities do not align with the recording, or it has no samples.
    """
    rate, quality = prepared.rate_hz, prepared.quality
    if len(probabilities) != len(prepared.segments):
        raise ValueError(
            f"{prepared.name}: {len(probabilities)} stretches of probabilities for"
            f" {len(prepared.segments)} segments"
        )
    stretches, rows = [], []
    for segment, values in zip(prepared.segments, probabilities, strict=True):
        count = len(segment.acceleration) // round(label_s * rate)
        if values.shape != (count, len(labels)):
            raise ValueError(
                f"{prepared.name}: probabilities of shape {values.shape} for"
                f" {count} label windows and {len(labels)} labels"
            )
        end = segment.start + len(segment.acceleration) / rate
        stretches.append((segment.start, end))
        starts = segment.start + np.arange(count) * label_s
        rows.append(_Rows(starts, np.full(count, label_s), _WEAR, values))
        done = segment.start + count * label_s
        if end - done > 0.5 / rate:
            rows.append(_Rows(np.array([done]), np.array([end - done]), _TOO_SHORT))
    spans = [(float(a), float(b)) for a, b in quality.get("nonwear", ())]
    begin, end = _ends(quality, [*stretches, *spans], 1.5 / rate, prepared.name)
    for low, high in _between(sorted(stretches), begin, end):
        for a, b, kind in _pieces(low, high, spans, 1.5 / rate):
            rows.append(_fill(a, b, kind, label_s))
    return _join(rows, tuple(labels), label_s)


def _ends(
    quality: Mapping[str, Any],
    spans: Sequence[tuple[float, float]],
    near: float,
    name: str,
) -> tuple[float, float]:
    """First and last moment; samples lie up to `near` beside the grid of `spans`."""
    first, last = quality.get("start"), quality.get("end")
    lows, highs = [a for a, _ in spans], [b for _, b in spans]
    if not spans and (first is None or last is None):
        raise ValueError(f"{name} has no samples")
    low, high = min(lows, default=math.inf), max(highs, default=-math.inf)
    begin = low if first is None or first > low - near else first
    end = high if last is None or last < high + near else last
    return float(begin), float(end)


def _between(
    stretches: Sequence[tuple[float, float]], begin: float, end: float
) -> Iterator[tuple[float, float]]:
    """What no stretch covers; doubles of 1.7e9 s differ by 0.2 microseconds."""
    cursor = begin
    for low, high in stretches:
        if low > cursor + 1e-5:
            yield cursor, low
        cursor = max(cursor, high)
    if end > cursor + 1e-5:
        yield cursor, end


def _pieces(
    low: float, high: float, nonwear: Sequence[tuple[float, float]], near: float
) -> Iterator[tuple[float, float, int]]:
    """Cuts a gap between stretches into non-wear and what has no data."""
    cursor = low
    for start, end in sorted(nonwear):
        start = low if start < low + near else start
        end = high if end > high - near else end
        start = max(start, cursor)
        if end <= start or start >= high:
            continue
        if start > cursor:
            yield cursor, start, _NO_DATA
        yield start, end, _NON_WEAR
        cursor = end
    if cursor < high:
        yield cursor, high, _NO_DATA


def _fill(start: float, end: float, wear: int, label_s: float) -> _Rows:
    if wear == _NO_DATA and end - start > LONGEST_GAP_S:
        return _Rows(np.array([start]), np.array([end - start]), wear)
    count = max(1, math.ceil((end - start) / label_s - 1e-6))
    starts = start + np.arange(count) * label_s
    return _Rows(starts, np.append(np.diff(starts), end - starts[-1]), wear)


def _join(rows: Sequence[_Rows], labels: tuple[str, ...], label_s: float) -> Timeline:
    start = np.concatenate([row.start for row in rows])
    order = np.argsort(start, kind="stable")
    probability = [
        np.full((len(row.start), len(labels)), np.nan, np.float32)
        if row.probability is None
        else row.probability
        for row in rows
    ]
    wear = [np.full(len(row.start), row.wear, np.int8) for row in rows]
    return Timeline(
        labels=labels,
        label_s=label_s,
        start=start[order],
        duration_s=np.concatenate([row.duration_s for row in rows])[order],
        wear=np.concatenate(wear)[order],
        probability=np.concatenate(probability)[order],
    )


def table(found: Timeline, digits: int | None = None) -> pa.Table:
    """A timeline as a table, one row each.

    Columns: `time` (ISO 8601 on the device's clock, without a zone), `epoch_s` (the
    same as seconds since 1970-01-01), `duration_s`, `wear`, `label`, `confidence` (its
    probability), and `p_LABEL` for each class. The last three are empty where nothing
    was classified. `digits` rounds probabilities, which halves a text file.
    """
    probability = found.probability
    if digits is not None:
        probability = np.round(probability, digits)
    moment = np.round(found.start * 1e3).astype("datetime64[ms]")
    label = found.label
    names = np.array([*found.labels, None], object)  # -1 is the last.
    columns = {
        "time": np.datetime_as_string(moment),
        "epoch_s": np.round(found.start, 3),
        "duration_s": np.round(found.duration_s, 3),
        "wear": np.array(WEAR)[found.wear],
        "label": names[label],
        "confidence": probability.max(axis=1),
    }
    for name, values in zip(found.labels, probability.T, strict=True):
        columns[f"p_{name}"] = values
    return pa.table(
        {key: pa.array(values, from_pandas=True) for key, values in columns.items()}
    )


def days(found: Timeline) -> np.ndarray:
    """Int `[d]`, days since 1970-01-01 that a recording spans, increasing.

    Days that lie wholly in a gap of more than 31 days are left out.
    """
    _, start, _ = _split(found)
    return np.unique(np.floor(start / DAY_S).astype(int))


def _split(found: Timeline) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows cut at midnight: row numbers, starts and ends, each within a day.

    Of a row that spans whole days, a long gap, those are left out.
    """
    end = found.start + found.duration_s
    first = (np.floor(found.start / DAY_S) + 1) * DAY_S
    last = np.maximum(first, np.floor(end / DAY_S) * DAY_S)
    number = np.concatenate(2 * [np.arange(len(end))])
    start = np.concatenate([found.start, last])
    end = np.concatenate([np.minimum(end, first), end])
    real = end > start
    return number[real], start[real], end[real]


def daily(found: Timeline) -> list[dict[str, Any]]:
    """Hours by day of the device's clock, midnight to midnight.

    Returns:
      A row per day: `day` (ISO 8601), `span_h` (hours of it between the recording's
      first and last sample: 24 except on the first and last day), `wear_h`,
      `non_wear_h`, `no_data_h`, `too_short_h` and, for each class, `hours_LABEL`.
      `wear_h` is what the classes and `too_short_h` sum to, and `span_h` is `wear_h +
      non_wear_h + no_data_h`. A clock that was set back shows an hour twice; such a
      day has more than 24.
    """
    number, start, end = _split(found)
    day = np.floor(start / DAY_S).astype(int)
    known, place = np.unique(day, return_inverse=True)
    # Classes first, then what is no class.
    kind = np.where(found.wear == _WEAR, found.label, len(found.labels) + found.wear)
    kinds = len(found.labels) + len(WEAR)
    hours = np.bincount(
        place * kinds + kind[number],
        (end - start) / 3600,
        minlength=len(known) * kinds,
    ).reshape(-1, kinds)
    rows = []
    for value, row in zip(known, hours, strict=True):
        classes, (_, non_wear, no_data, too_short) = (
            row[: len(found.labels)],
            row[len(found.labels) :],
        )
        rows.append(
            {
                "day": iso_day(int(value)),
                "span_h": float(row.sum()),
                "wear_h": float(classes.sum() + too_short),
                "non_wear_h": float(non_wear),
                "no_data_h": float(no_data),
                "too_short_h": float(too_short),
                **{
                    f"hours_{label}": float(h)
                    for label, h in zip(found.labels, classes, strict=True)
                },
            }
        )
    return rows


def iso_day(day: int) -> str:
    """`"2024-01-08"` of days since 1970-01-01."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def total(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums of what `daily` returns over its days."""
    keys = [key for key in rows[0] if key != "day"] if rows else []
    return {key: float(sum(row[key] for row in rows)) for key in keys}


def minute_movement(prepared: PreparedRecording, wanted: np.ndarray) -> np.ndarray:
    """Mean of the vector magnitude above 1 g, minute by minute.

    ENMO, the Euclidean norm minus one, negative values set to zero (van Hees et al.
    2013, PLoS ONE 8:e61691).

    Args:
      prepared: The recording.
      wanted: Int `[d]`, increasing, days since 1970-01-01, each with the day of a
        sample among them.

    Returns:
      Float64 `[d, 1440]` in mg; NaN where nothing was worn.
    """
    sums, counts = np.zeros((2, len(wanted) * 1440))
    size = round(_CHUNK_S * prepared.rate_hz)
    for segment in prepared.segments:
        for at in range(0, len(segment.acceleration), size):
            g = segment.acceleration[at : at + size]
            over = np.maximum(np.sqrt(np.einsum("sc,sc->s", g, g)) - 1, 0)
            time = segment.start + (at + np.arange(len(g))) / prepared.rate_hz
            minute = np.floor(time / 60).astype(np.int64)
            row = np.searchsorted(wanted, minute // 1440).clip(max=len(wanted) - 1)
            known = wanted[row] == minute // 1440
            place = (row * 1440 + minute % 1440)[known]
            sums += np.bincount(place, over[known], minlength=len(sums))
            counts += np.bincount(place, minlength=len(sums))
    means = np.full(len(sums), np.nan)
    np.divide(1e3 * sums, counts, out=means, where=counts > 0)
    return means.reshape(-1, 1440)
