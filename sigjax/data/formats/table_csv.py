"""Reads text tables of acceleration whose columns a `CsvLayout` names.

Where rows carry a time, `row_clock` tells how it becomes the clock of segments. Where
they do not, row i was taken at `start + i / rate_hz`, and a row that cannot be used
ends a segment: its time passes, its sample is missing.
"""

from etils import epath

from sigjax.data.formats.csv_rows import Columns, Lines, split_row
from sigjax.data.formats.csv_times import TimeParser
from sigjax.data.formats.options import DEFAULT, CsvLayout, ReadOptions
from sigjax.data.formats.source import Source
from sigjax.data.formats.table_rows import Table, read_rows
from sigjax.data.recording import FormatError, Recording


def read_table(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one text table by `options.csv`.

    Times that are numbers, or that name their offset from UTC, are UTC. Others are
    wall-clock times: with `options.tz` they are turned into UTC, daylight saving
    included (an hour that comes twice in autumn is told by the order of rows);
    without it the recording stays on its own, local clock.

    A `label` column becomes the channel `"label"`: int16 codes of
    `metadata["labels"]`, which are the file's texts in order (of size, if all are
    numbers), -1 where it is empty. A `person` column becomes
    `metadata["subject_code"]`.

    Counts are int16 where every number is a whole multiple of a power of ten (see
    `decimal_samples`), else float32: then a week at 100 Hz takes 720 MB.

    Args:
      source: A path (local or in a bucket, `.gz` and `.zip` too) or the bytes of a
        file.
      name: What to call the source; the path unless given.
      options: `csv` and `tz`.

    Returns:
      The recording. In `quality`, `blocks` are rows and `bad_<reason>` those left
      out (`columns`: another number of them; `number`: an axis is no number; `range`:
      more than 1000 g; `time`: no time); `short_gaps` are steps in time of more than
      5 sample periods inside segments. `breaks_gap`, `breaks_set_back` and, without
      times, `breaks_bad_row` are what ended segments.

    Raises:
      FormatError: No layout was given, a column is not there, the file is no table,
        it holds several persons, or its rate can be neither measured nor is it given.
      FileNotFoundError: If there is no such file.
    """
    source = Source(source, name)
    if options.csv is None:
        raise FormatError(f"{source.name}: a CSV table needs its columns named (--csv)")
    layout = options.csv
    with source.open() as stream:
        lines = Lines(stream, source.name)
        columns, first = _resolve(lines, layout, source.name)
        times = None
        if columns.time is not None:
            times = TimeParser(layout.time_unit, first[columns.time] if first else "")
        return read_rows(
            Table(
                name=source.name,
                lines=lines,
                columns=columns,
                layout=layout,
                times=times,
                tz=options.tz,
            )
        )


def check_columns(source: Source, layout: CsvLayout) -> None:
    """Looks for the layout's columns, and reads no row.

    Raises:
      FormatError: One is not there.
    """
    with source.open() as stream:
        _resolve(Lines(stream, source.name), layout, source.name)


def _resolve(
    lines: Lines, layout: CsvLayout, name: str
) -> tuple[Columns, list[str] | None]:
    """Finds the layout's columns; returns them and the first row's cells."""
    for _ in range(layout.skip_rows):
        if lines.line() is None:
            raise FormatError(
                f"{name}: ends within the {layout.skip_rows} skipped rows"
            )
    names = None
    if layout.has_names:
        row = lines.line()
        if row is None:
            raise FormatError(f"{name}: no row of column names: the file is empty")
        names = split_row(row, layout.separator)
    row = lines.peek()
    first = None if row is None else split_row(row, layout.separator)
    count = len(names or first or ())

    def place(column: str) -> int:
        if names is not None and names.count(column) == 1:
            return names.index(column)
        if (
            names is None
            and column.isdecimal()
            and (first is None or int(column) < count)
        ):
            return int(column)
        if names is None:
            raise FormatError(
                f"{name}: no column {column!r}: positions go from 0 to {count - 1} in a"
                " table without names"
            )
        many = "more than one column" if column in names else "no column"
        raise FormatError(f"{name}: {many} {column!r}; it has {', '.join(names)[:200]}")

    columns = Columns(
        axes=(place(layout.x), place(layout.y), place(layout.z)),
        time=place(layout.time) if layout.time else None,
        label=place(layout.label) if layout.label else None,
        person=place(layout.person) if layout.person else None,
        count=count,
    )
    if first is not None and columns.time is not None and columns.time >= len(first):
        first = [*first, *[""] * (columns.time + 1 - len(first))]
    return columns, first
