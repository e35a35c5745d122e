"""From the rows of a text table to a `Recording`: what several formats share."""

import dataclasses
import datetime
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sigjax.data.formats.csv_rows import Columns, Lines, RowReader, Rows
from sigjax.data.formats.csv_times import TimeParser
from sigjax.data.formats.decimal_samples import DecimalSamples, Growing
from sigjax.data.formats.options import UNITS_IN_G, CsvLayout, utc_offset_s
from sigjax.data.formats.row_clock import RowClock
from sigjax.data.formats.wall_clock import Piece
from sigjax.data.recording import Channel, FormatError, Recording, Segment

# More than any wearable measures (consumer devices end at 16 g, shock sensors at
# 400 g): what is beyond is no acceleration, and would reach infinity further on.
LARGEST_G = 1000.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose head was read.

    Attributes:
      name: For messages and `Recording.source`.
      lines: At the first row.
      columns: To read.
      layout: Its unit, rate, start, delimiter and decimal sign.
      times: How to read the time column, if there is one.
      tz: Zone in whose wall-clock time naive times are, or "".
      missing: Tells, as a bool array, the rows that hold no measurement; they are
        counted as `bad_idle`.
    """

    name: str
    lines: Lines
    columns: Columns
    layout: CsvLayout
    times: TimeParser | None
    tz: str
    missing: Callable[[Rows], np.ndarray] | None = None


def read_rows(table: Table) -> Recording:
    """Reads all rows of a table; `table_csv.read_table` tells what comes out.

    Raises:
      FormatError: It holds several persons or too many labels, or its times and its
        rate cannot be right.
    """
    layout, name, unit_g = table.layout, table.name, UNITS_IN_G[table.layout.unit]
    reader = RowReader(
        table.lines,
        table.columns,
        delimiter=layout.separator,
        decimal=layout.decimal,
        times=table.times,
        largest=LARGEST_G / unit_g,
        name=name,
    )
    samples, codes = DecimalSamples(), Growing(np.int16)
    rows = _measured(reader, table.missing)
    if table.times is not None:
        pieces, rate, breaks = _timed(rows, samples, codes, table, table.times)
        naive = table.times.naive
        _check_times(reader.quality, name)
    else:
        pieces, rate, breaks = _untimed(rows, samples, codes, table)
        naive = _is_naive(layout.start)
    metadata: dict[str, Any] = {}
    labels = None
    if table.columns.label is not None:
        labels, metadata["labels"] = _sorted_labels(codes, reader.labels)
    if table.columns.person is not None:
        metadata["subject_code"] = _person(reader.persons, name)
    counts, step = samples.finish()
    utc = not naive or bool(table.tz)
    quality = reader.quality | breaks
    if table.lines.damaged:
        quality["bad_compression"] = 1
    return Recording(
        source=name,
        device="CSV",
        device_id="",
        nominal_rate_hz=rate,
        segments=tuple(_segment(p, counts, step * unit_g, labels) for p in pieces),
        quality=quality,
        metadata={"clock": "utc" if utc else "device-local", **metadata},
        utc_offset_s=0.0 if utc else None,
    )


def _measured(
    reader: RowReader, missing: Callable[[Rows], np.ndarray] | None
) -> Iterable[Rows]:
    """The reader's rows, without those that hold no measurement."""
    for rows in reader:
        if missing is None:
            yield rows
            continue
        idle = missing(rows)
        count = int(idle.sum())
        reader.quality["bad_idle"] = reader.quality.get("bad_idle", 0) + count
        reader.quality["bad_blocks"] += count
        reader.quality["samples"] -= count
        yield rows if not count else rows.only(~idle)


_Clocked = tuple[tuple[Piece, ...], float, dict[str, int]]


def _timed(
    blocks: Iterable[Rows],
    samples: DecimalSamples,
    codes: Growing,
    table: Table,
    times: TimeParser,
) -> _Clocked:
    """Collects rows that carry times; returns pieces, nominal rate and breaks."""
    rate_hz, name = table.layout.rate_hz, table.name
    clock = RowClock(rate_hz)
    for rows in blocks:
        samples.append(rows.values)
        if rows.label is not None:
            codes.append(rows.label)
        if rows.time is not None:
            clock.add(rows.time, rows.position)
    known = clock.finish(table.tz if times.naive else "")
    if known is None:
        raise FormatError(
            f"{name}: all rows have the same time, so the rate cannot be measured:"
            " give rate_hz in --csv"
        )
    measured = known.rate_hz or rate_hz
    if rate_hz and not rate_hz / 2 < measured < rate_hz * 2:
        raise FormatError(
            f"{name}: rate_hz={rate_hz:g}, but its times say {measured:.4g} Hz: check"
            " rate_hz and time_unit in --csv"
        )
    breaks = {
        "breaks_gap": known.breaks_gap,
        "breaks_set_back": known.breaks_set_back,
        "short_gaps": known.short_gaps,
    }
    return known.pieces, rate_hz or measured, breaks


def _untimed(
    blocks: Iterable[Rows], samples: DecimalSamples, codes: Growing, table: Table
) -> _Clocked:
    """Collects rows that are `rate_hz` apart: each run of good ones is a piece."""
    starts, positions, last = [], [], -2
    total = 0
    for rows in blocks:
        samples.append(rows.values)
        if rows.label is not None:
            codes.append(rows.label)
        new = np.flatnonzero(np.diff(rows.position, prepend=last) != 1)
        starts.append(total + new)
        positions.append(rows.position[new])
        total += len(rows.position)
        last = int(rows.position[-1]) if len(rows.position) else last
    layout = table.layout
    zero = _start(layout.start, table.tz)
    pieces = []
    for start, position, count in zip(
        np.concatenate([*starts, np.zeros(0, np.int64)]),
        np.concatenate([*positions, np.zeros(0, np.int64)]),
        np.diff(np.concatenate([*starts, [total]])),
        strict=True,
    ):
        row = np.array([0.0, count])
        time = zero + (position + row) / layout.rate_hz
        pieces.append(
            Piece(
                start=int(start),
                rows=int(count),
                first=float(time[0]),
                last=float(time[1]),
                anchor_row=row,
                anchor_time=time,
            )
        )
    return tuple(pieces), layout.rate_hz, {"breaks_bad_row": max(len(pieces) - 1, 0)}


def _check_times(quality: dict[str, int], name: str) -> None:
    if quality["blocks"] and quality["bad_time"] == quality["blocks"]:
        raise FormatError(
            f"{name}: no row has a readable time between 1740 and 2200: check time and"
            " time_unit in --csv"
        )


def _is_naive(start: str) -> bool:
    return not start or datetime.datetime.fromisoformat(start).tzinfo is None


def _start(text: str, tz: str) -> float:
    """Seconds since 1970-01-01: UTC if that can be told, else local."""
    if not text:
        return 0.0
    stamp = datetime.datetime.fromisoformat(text)
    seconds = stamp.replace(tzinfo=stamp.tzinfo or datetime.UTC).timestamp()
    naive = stamp.tzinfo is None
    return seconds - utc_offset_s(seconds, tz) if naive and tz else seconds


def _sorted_labels(codes: Growing, texts: list[str]) -> tuple[np.ndarray, list[str]]:
    """Numbers labels by their order instead of by their first appearance."""
    order = sorted(range(len(texts)), key=_key(texts))
    table = np.empty(len(texts) + 1, np.int16)
    table[order] = np.arange(len(texts))
    table[-1] = -1
    codes.map(lambda code: table[code], np.int16)
    return codes.finish(), [texts[index] for index in order]


def _key(texts: list[str]) -> Callable[[int], Any]:
    if all(re.fullmatch(r"[+-]?\d+(\.\d*)?", text) for text in texts):
        return lambda index: (float(texts[index]), texts[index])
    return lambda index: texts[index]


def _person(persons: set[str], name: str) -> str:
    if len(persons) > 1:
        raise FormatError(
            f"{name}: holds {len(persons)} persons"
            f" ({', '.join(sorted(persons)[:5])}...): split it into one file for each,"
            " so that splits can keep them apart"
        )
    return next(iter(persons), "")


def _segment(
    piece: Piece, counts: np.ndarray, scale: float, labels: np.ndarray | None
) -> Segment:
    rows = slice(piece.start, piece.start + piece.rows)
    channels = {}
    if labels is not None:
        channels["label"] = Channel(values=labels[rows], unit="label")
    return Segment(
        counts=counts[rows],
        scale=scale,
        anchor_index=piece.anchor_row,
        anchor_time=piece.anchor_time,
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
        channels=channels,
    )
