"""Reads raw acceleration that ActiLife exported as text ("RAW CSV").

Ten rows of header name the device, the rate ("at 30 Hz"), the start and the date
format; then follow, in g with three decimals, X, Y and Z, with or without a row of
column names and a column `Timestamp`. ActiLife writes files of activity counts with
the same header, an epoch period and no rate: those hold no acceleration.
"""

import dataclasses
import datetime
import re

import numpy as np
from etils import epath

from sigjax.data.formats.csv_rows import Columns, Lines, Rows, split_row
from sigjax.data.formats.csv_times import TimeParser
from sigjax.data.formats.options import DEFAULT, CsvLayout, ReadOptions
from sigjax.data.formats.source import Source
from sigjax.data.formats.table_rows import Table, read_rows
from sigjax.data.recording import FormatError, Recording

_HEADER_ROWS = 10
_MARK = "Data File Created By ActiGraph"
_AXES = tuple(f"Accelerometer {axis}" for axis in "XYZ")
# ActiLife's own default, for headers that name no format.
_DATE_FORMAT = "M/d/yyyy"
_TIME_FORMATS = ("%H:%M:%S", "%H:%M:%S.%f", "%I:%M:%S %p")
# .NET's words for parts of a date, longest first, in strptime's.
_DATE_PARTS = (
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%m"),
    ("dd", "%d"),
    ("d", "%d"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What the ten rows say.

    Attributes:
      model: Such as `"wGT3XBT"`.
      serial: Of the device.
      firmware: Its version.
      software: ActiLife's version.
      rate_hz: Of raw acceleration; None in a file of counts.
      epoch_s: Of activity counts; 0 in a raw file.
      start: Local time of the first row.
      date_format: As .NET writes it, such as `"M/d/yyyy"`.
    """

    model: str
    serial: str
    firmware: str
    software: str
    rate_hz: float | None
    epoch_s: int
    start: datetime.datetime
    date_format: str


def recognises(source: Source) -> bool:
    """Whether a `.csv` begins with ActiLife's header."""
    if not source.kind.endswith(".csv"):
        return False
    rows = source.first_rows
    return bool(rows) and _MARK in rows[0]


def parse_header(rows: list[str], name: str) -> Header:
    """Reads the header.

    Args:
      rows: The first ten of the file.
      name: For messages.

    Raises:
      FormatError: It is another header, or has no readable start.
    """
    if len(rows) < _HEADER_ROWS or _MARK not in rows[0]:
        raise FormatError(
            f"{name}: not an ActiGraph CSV: expected {_HEADER_ROWS} rows of header that"
            f" begin with {_MARK!r}"
        )
    text = "\n".join(row.strip().strip('"').rstrip(",;\t ") for row in rows)

    def find(pattern: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        return found[1].strip() if found else ""

    rate = find(r"\bat (\d+(?:[.,]\d+)?) ?Hz")
    epoch = find(r"^Epoch Period.*?(\d+:\d\d:\d\d)")
    hours, minutes, seconds = (int(part) for part in (epoch or "0:0:0").split(":"))
    date_format = find(r"date format (\S+)") or _DATE_FORMAT
    return Header(
        model=find(_MARK + r" (\S+)"),
        serial=find(r"^Serial Number: *(.*)$"),
        firmware=find(r"Firmware v(\S+)"),
        software=find(r"ActiLife v(\S+)"),
        rate_hz=float(rate.replace(",", ".")) if rate else None,
        epoch_s=hours * 3600 + minutes * 60 + seconds,
        start=_start(
            find(r"^Start Date *(.*)$"), find(r"^Start Time *(.*)$"), date_format, name
        ),
        date_format=date_format,
    )


def _start(date: str, time: str, date_format: str, name: str) -> datetime.datetime:
    for time_format in _TIME_FORMATS:
        try:
            return datetime.datetime.strptime(
                f"{date} {time}", f"{_strptime(date_format)} {time_format}"
            )
        except (ValueError, re.error):  # The latter where a part comes twice.
            continue
    raise FormatError(
        f"{name}: start {date!r} {time!r} does not fit the date format {date_format!r}"
    )


def _strptime(date_format: str) -> str:
    pattern = "|".join(part for part, _ in _DATE_PARTS)
    words = dict(_DATE_PARTS)
    literal = date_format.replace("%", "%%")
    return re.sub(pattern, lambda found: words[found[0]], literal)


def read_actigraph_csv(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one RAW CSV of ActiLife.

    Times are local, set when the device was set up, and do not follow daylight
    saving. Rows in which all axes are exactly 0 were not measured, since gravity is
    missing: ActiLife fills the device's idle sleep with them. They are counted as
    `bad_idle` and leave a gap. (Versions that fill it with the last sample leave no
    trace of it; it then counts as non-wear.)

    Args:
      source: A path (local or in a bucket, `.gz` and `.zip` too) or the bytes of a
        file.
      name: What to call the source; the path unless given.
      options: Nothing of it applies here; `read_recording` applies `tz`.

    Returns:
      The recording, int16 counts of 0.001 g (of more decimals, or float32, where the
      text has them). `table_csv.read_table` tells the rest.

    Raises:
      FormatError: It is no ActiGraph CSV, or one of activity counts.
      FileNotFoundError: If there is no such file.
    """
    del options
    source = Source(source, name)
    with source.open() as stream:
        lines = Lines(stream, source.name)
        rows = [lines.line() for _ in range(_HEADER_ROWS)]
        header = parse_header([row for row in rows if row is not None], source.name)
        if not header.rate_hz or header.epoch_s:
            raise FormatError(
                f"{source.name}: holds {header.epoch_s}-s activity counts, not raw"
                " acceleration: use the .gt3x file, or export RAW CSV from ActiLife"
            )
        recording = read_rows(_table(lines, header, header.rate_hz, source.name))
    metadata = {
        "start": header.start.isoformat(),
        "firmware": header.firmware,
        "software": header.software,
        **recording.metadata,
    }
    return dataclasses.replace(
        recording,
        device=f"ActiGraph {header.model}".strip(),
        device_id=header.serial,
        metadata=metadata,
    )


def _table(lines: Lines, header: Header, rate_hz: float, name: str) -> Table:
    """Finds the columns, their delimiter and the format of their times."""
    row = lines.peek() or ""
    delimiter = next((mark for mark in ";\t" if mark in row), ",")
    names = split_row(row, delimiter)
    if set(_AXES) <= set(names):
        lines.line()
        first = split_row(lines.peek() or "", delimiter)
        axes = (names.index(_AXES[0]), names.index(_AXES[1]), names.index(_AXES[2]))
        time = names.index("Timestamp") if "Timestamp" in names else None
        count = len(names)
    else:
        first, count = names, len(names)
        if count not in (3, 4) and row:
            raise FormatError(
                f"{name}: expected X, Y and Z with or without a timestamp in row"
                f" {_HEADER_ROWS + 1}, found {row[:60]!r}"
            )
        axes, time = ((0, 1, 2), None) if count < 4 else ((1, 2, 3), 0)
        count = max(count, 3)
    numbers = "".join(first[axis] for axis in axes if axis < len(first))
    layout = CsvLayout(
        x=_AXES[0],
        y=_AXES[1],
        z=_AXES[2],
        rate_hz=rate_hz,
        start=header.start.isoformat(),
        delimiter="tab" if delimiter == "\t" else delimiter,
        decimal="," if "," in numbers and delimiter != "," else ".",
    )
    times = None
    if time is not None:
        example = first[time] if time < len(first) else ""
        times = TimeParser(_time_unit(example, header.date_format), example)
    return Table(
        name=name,
        lines=lines,
        columns=Columns(axes, time, None, None, count),
        layout=layout,
        times=times,
        tz="",
        missing=_is_idle,
    )


def _time_unit(example: str, date_format: str) -> str:
    halves = re.search(r"[AP]M", example, re.IGNORECASE)
    if re.match(r"\d{4}-\d\d-\d\d", example) and not halves:
        return "iso"
    fraction = re.search(r":\d\d([.,])\d", example)
    pattern = f"{_strptime(date_format)} "
    pattern += "%I:%M:%S" if halves else "%H:%M:%S"
    pattern += f"{fraction[1]}%f" if fraction else ""
    return pattern + (" %p" if halves else "")


def _is_idle(rows: Rows) -> np.ndarray:
    return (rows.values == 0).all(axis=1)
