"""Reads the accelerometer file `ACC.csv` of an Empatica E4 session.

Row 1 holds the start (seconds since 1970-01-01, UTC), row 2 the rate, each three
times; every further row is one sample x, y, z in 1/64 g (Empatica, "E4 data export
formatting"). The file keeps no clock but this start and rate.
"""

import io
import pathlib

import numpy as np
from etils import epath

from sigjax.data.formats.options import DEFAULT, ReadOptions
from sigjax.data.formats.source import Source
from sigjax.data.recording import FormatError, Recording, Segment

SCALE = 1.0 / 64.0  # g per count; the E4 measures up to +-2 g
_LOWEST, _HIGHEST = -128, 127
_HEADER_ROWS = 2


def parse_header(first_row: str, second_row: str) -> tuple[float, float] | None:
    """Start and rate if these are the first two rows of an E4 `ACC.csv`, else None."""
    try:
        starts = [float(field) for field in first_row.split(",")]
        rates = [float(field) for field in second_row.split(",")]
    except ValueError:
        return None
    if len(starts) != 3 or len(rates) != 3 or len(set(starts) | set(rates)) != 2:
        return None
    start, rate = starts[0], rates[0]
    # 2001 or later tells a time from a sample; the E4 itself samples at 32 Hz.
    return (start, rate) if 1e9 < start < 1e10 and 1.0 <= rate <= 1024.0 else None


def recognises(source: Source) -> bool:
    """Whether a `.csv` begins with the two rows of an E4 accelerometer file."""
    if not source.kind.endswith(".csv"):
        return False
    rows = source.first_rows
    return len(rows) > 1 and parse_header(rows[0], rows[1]) is not None


def read_e4(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one E4 `ACC.csv`.

    A row that is not three whole numbers of -128 to 127 is counted as a bad block
    (a row is a block here) and ends the segment: its time passes, its sample is
    missing, so what follows keeps its place on the clock.

    Args:
      source: A path (local or in a bucket) or the bytes of a file.
      name: What to call the source; the path unless given.
      options: Nothing of it applies: the file holds acceleration alone, in UTC.

    Raises:
      FormatError: If the two header rows are not those of an E4 `ACC.csv`.
      FileNotFoundError: If there is no such file.
    """
    del options
    source = Source(source, name)
    name = source.name
    with source.open() as unpacked:
        raw, damaged = unpacked.read_all(), unpacked.damaged
    if not raw:
        raise FormatError(f"{name}: the file is empty")
    text = raw.decode("utf-8-sig", errors="replace")
    stream = io.StringIO(text)
    rows = [stream.readline().strip() for _ in range(_HEADER_ROWS)]
    header = parse_header(*rows)
    if header is None:
        raise FormatError(
            f"{name}: not an Empatica E4 ACC.csv: expected the start time three times "
            f"and the rate three times, found {rows[0][:60]!r} and {rows[1][:60]!r}"
        )
    start, rate = header
    counts, reasons, quality = _parse_samples(stream)
    segments = _segments(counts, reasons == 0, start, rate)
    if damaged:
        quality["bad_compression"] = 1
    quality["breaks_bad_row"] = max(len(segments) - 1, 0)
    return Recording(
        source=name,
        device="E4",
        device_id="",
        nominal_rate_hz=rate,
        segments=segments,
        quality=quality,
        metadata={"clock": "utc", "session": pathlib.PurePath(name).parent.name},
        utc_offset_s=0.0,
    )


_ROW_REASONS = ("columns", "number", "range")


def _parse_samples(stream: io.StringIO) -> tuple[np.ndarray, np.ndarray, dict]:
    """Parses the sample rows.

    Returns:
      Int16 `[s, 3]` (zeros in bad rows), `[s]` the reason why a row is bad (0 is
      good, 1 onwards index `_ROW_REASONS`) and the quality counts.
    """
    body = stream.read()
    parsed = _parse_clean(body)
    values, reasons = _parse_row_by_row(body) if parsed is None else parsed
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & np.equal(values, np.round(values))
        inside = (values >= _LOWEST) & (values <= _HIGHEST)
    reasons = np.where((reasons == 0) & ~whole.all(1), 2, reasons)
    reasons = np.where((reasons == 0) & ~inside.all(1), 3, reasons)
    quality = {"blocks": len(values), "bad_blocks": int((reasons > 0).sum())}
    quality |= {
        f"bad_{reason}": int((reasons == code).sum())
        for code, reason in enumerate(_ROW_REASONS, start=1)
    }
    quality["samples"] = quality["blocks"] - quality["bad_blocks"]
    values = np.where((reasons == 0)[:, None], values, 0.0)
    return values.astype(np.int16), reasons, quality


def _parse_clean(body: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Parses rows that are all three numbers, in C; None when there is any other."""
    if not body.strip():
        return None
    try:
        values = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2, comments=None)
    except ValueError:
        return None
    # The C parser skips empty rows, but each is a sample that is missing.
    rows = body.count("\n") + (not body.endswith("\n"))
    if values.shape != (rows, 3):
        return None
    return values, np.zeros(rows, np.uint8)


def _parse_row_by_row(body: str) -> tuple[np.ndarray, np.ndarray]:
    rows = body.splitlines()
    values = np.full((len(rows), 3), np.nan)
    reasons = np.zeros(len(rows), np.uint8)
    for index, row in enumerate(rows):
        fields = row.split(",")
        if len(fields) != 3:
            reasons[index] = 1
            continue
        try:
            values[index] = [float(field) for field in fields]
        except ValueError:
            reasons[index] = 2
    return values, reasons


def _segments(
    counts: np.ndarray, good: np.ndarray, start: float, rate: float
) -> tuple[Segment, ...]:
    """Cuts at bad rows; row i was taken at `start + i / rate`."""
    edges = np.flatnonzero(np.diff(good, prepend=False, append=False))
    segments = []
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        index = np.array([0.0, float(high - low)])
        segments.append(
            Segment(
                counts=counts[low:high],
                scale=SCALE,
                anchor_index=index,
                anchor_time=start + (low + index) / rate,
                temperature_index=np.zeros(0),
                temperature_c=np.zeros(0, np.float32),
            )
        )
    return tuple(segments)
