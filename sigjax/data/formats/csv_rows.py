"""Rows of a text table as arrays, a block of a few megabytes at a time.

pyarrow parses the text. What this file adds is that no row is lost without being
counted: pyarrow refuses a whole table for one cell that is no number, so a block that
it refuses is parsed once more, as text, and cell by cell.
"""

import csv
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from sigjax.data.formats.csv_times import TimeParser
from sigjax.data.formats.source import Stream
from sigjax.data.recording import FormatError

# Its functions are made on import, where type checkers do not see them.
pc: Any = pyarrow.compute

_BLOCK_BYTES = 1 << 22
_LONGEST_ROW_BYTES = 1 << 20
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\s*$"
_LARGEST_LABELS = 1 << 15
REASONS = ("columns", "number", "range", "time")


class Columns(NamedTuple):
    """Which columns of a table to read, by position from 0; None where there is none.

    Attributes:
      axes: Of x, y and z.
      time: Of the time.
      label: Of the activity label.
      person: Of the person.
      count: How many columns a row has.
    """

    axes: tuple[int, int, int]
    time: int | None
    label: int | None
    person: int | None
    count: int


class Rows(NamedTuple):
    """The good rows of a block.

    Attributes:
      values: Float64 `[n, 3]`, finite, in the file's unit.
      time: Float64 `[n]` seconds since 1970-01-01, or None.
      label: Int32 `[n]` codes in the order in which texts appeared, -1 for none; or
        None.
      position: Int64 `[n]` row numbers from 0 in the table, bad rows counted too.
    """

    values: np.ndarray
    time: np.ndarray | None
    label: np.ndarray | None
    position: np.ndarray

    def only(self, good: np.ndarray) -> "Rows":
        """The rows that `good`, bool `[n]`, tells."""
        return Rows(
            self.values[good],
            None if self.time is None else self.time[good],
            None if self.label is None else self.label[good],
            self.position[good],
        )


class Lines:
    """A stream cut at line ends."""

    def __init__(self, stream: Stream, name: str):
        """Reads nothing yet; `name` is for messages."""
        self._stream, self._name = stream, name
        self._rest = b""
        self._ended = False
        self._first = True

    def line(self) -> str | None:
        """The next line without its end, or None at the end of the file."""
        line = self.peek()
        self._rest = self._rest.partition(b"\n")[2]
        return line

    def peek(self) -> str | None:
        """What `line` will return."""
        while b"\n" not in self._rest and not self._ended:
            self._more(1 << 16)
        if not self._rest:
            return None
        line = self._rest.partition(b"\n")[0]
        return _decoded(line).decode().rstrip("\r")

    def blocks(self) -> Iterator[bytes]:
        """The other lines, whole, a few megabytes at a time."""
        ended = False
        while not ended:
            if not self._ended:
                self._more(_BLOCK_BYTES)
            ended = self._ended
            whole, newline, self._rest = self._rest.rpartition(b"\n")
            if newline:
                yield whole + newline
        # A row that unpacking cut off may end in half a number.
        if self._rest and not self._stream.damaged:
            yield self._rest

    @property
    def damaged(self) -> bool:
        """Whether unpacking stopped before the end."""
        return bool(self._stream.damaged)

    @property
    def cut_off(self) -> bool:
        """Whether the last row was lost because unpacking stopped in it."""
        return self.damaged and self._ended and bool(self._rest)

    def _more(self, size: int) -> None:
        part = self._stream.read(size)
        self._ended = len(part) < size
        if self._first:
            part, self._first = part.removeprefix(b"\xef\xbb\xbf"), False
        # The rest never holds a line end where blocks are read.
        if len(self._rest) > _LONGEST_ROW_BYTES and b"\n" not in self._rest:
            raise FormatError(
                f"{self._name}: no line end in {len(self._rest):,} bytes: not a text"
                " table"
            )
        self._rest += part


def _decoded(text: bytes) -> bytes:
    """As UTF-8; what is none is taken for Latin-1, where any byte is a letter."""
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()
    return text


def split_row(line: str, delimiter: str) -> list[str]:
    """The cells of one line, quotes and spaces around them removed."""
    try:
        row = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        row = line.split(delimiter)
    return [cell.strip() for cell in row]


class RowReader:
    """Reads the rows of a table, and counts those it cannot use.

    Attributes:
      quality: `blocks` (rows), `bad_blocks`, `samples` and `bad_<reason>` of
        `REASONS` (other number of columns; an axis that is no finite number; beyond
        `largest`; no or no readable time), all up to the last block read.
      labels: Texts of the label column in the order they appeared.
      persons: Texts of the person column.
    """

    def __init__(
        self,
        lines: Lines,
        columns: Columns,
        *,
        delimiter: str = ",",
        decimal: str = ".",
        times: TimeParser | None = None,
        largest: float,
        name: str,
    ):
        """Reads nothing yet.

        Args:
          lines: Of the table, its column names already read.
          columns: To read.
          delimiter: Between columns, one character.
          decimal: `"."` or `","`.
          times: How to read the time column.
          largest: Magnitude on any axis from which on a number cannot be meant.
          name: For messages.
        """
        self._lines, self._columns, self._times = lines, columns, times
        self._delimiter, self._decimal = delimiter, decimal
        self._largest, self._name = largest, name
        self._codes: dict[bytes, int] = {}
        self.persons: set[str] = set()
        keys = ["blocks", "bad_blocks", "samples", *(f"bad_{r}" for r in REASONS)]
        self.quality = dict.fromkeys(keys, 0)

    @property
    def labels(self) -> list[str]:
        """See above."""
        return [text.decode() for text in self._codes]

    def __iter__(self) -> Iterator[Rows]:
        """Yields the good rows, block by block.

        Raises:
          FormatError: There are more than 32,768 different labels.
        """
        for block in self._lines.blocks():
            yield self._rows(_decoded(block))
        if self._lines.cut_off:
            self._count("columns", 1)
            self.quality["blocks"] += 1

    def _count(self, reason: str, rows: int) -> None:
        self.quality["bad_blocks"] += rows
        self.quality[f"bad_{reason}"] += rows

    def _rows(self, block: bytes) -> Rows:
        table, misfits = self._parse(block)
        total = table.num_rows + len(misfits)
        position = np.delete(np.arange(total), misfits)
        self._count("columns", len(misfits))
        values = np.empty((table.num_rows, 3))
        for axis, column in enumerate(self._columns.axes):
            values[:, axis] = _numbers(_column(table, column), self._decimal)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(values).all(axis=1)
            self._count("number", int((~good).sum()))
            inside = (np.abs(values) <= self._largest).all(axis=1)
        self._count("range", int((good & ~inside).sum()))
        good = np.asarray(good & inside)
        time = label = None
        if self._times is not None and self._columns.time is not None:
            time = self._times.seconds(_column(table, self._columns.time))
            timed = np.isfinite(time)
            self._count("time", int((good & ~timed).sum()))
            good &= timed
        if self._columns.label is not None:
            label = self._encode(_column(table, self._columns.label))
        if self._columns.person is not None:
            found = pc.unique(_column(table, self._columns.person)).to_pylist()
            self.persons |= {p.decode().strip() for p in found if p is not None}
        position = self.quality["blocks"] + position
        self.quality["blocks"] += total
        self.quality["samples"] += int(good.sum())
        rows = Rows(values, time, label, position)
        return rows if good.all() else rows.only(good)

    def _encode(self, column: pa.Array) -> np.ndarray:
        encoded = pc.dictionary_encode(column)
        texts = [text.strip() for text in encoded.dictionary.to_pylist()]
        codes = [
            -1 if not t else self._codes.setdefault(t, len(self._codes)) for t in texts
        ]
        if len(self._codes) > _LARGEST_LABELS:
            raise FormatError(
                f"{self._name}: more than {_LARGEST_LABELS:,} different labels: is this"
                " the label column?"
            )
        table = np.array([*codes, -1], np.int32)
        return table[pc.fill_null(encoded.indices, len(codes)).to_numpy()]

    def _parse(self, block: bytes) -> tuple[pa.Table, np.ndarray]:
        """Parses a block into columns, and tells which rows have another length."""
        text: dict[int, Any] = {axis: pa.binary() for axis in self._columns.axes}
        numbers: dict[int, Any] = {axis: pa.float64() for axis in self._columns.axes}
        for column in (self._columns.label, self._columns.person):
            if column is not None:
                text[column] = numbers[column] = pa.binary()
        if self._times is not None and self._columns.time is not None:
            text[self._columns.time] = pa.binary()
            numbers[self._columns.time] = self._times.arrow_type
        quoted = b'"' in block
        rows = block.count(b"\n") + (not block.endswith(b"\n")) if quoted else 0
        for types in (numbers, text):
            try:
                table, misfits = self._parse_as(block, types, '"')
            except pa.ArrowInvalid:
                continue
            # A quote that is never closed takes the rows after it into one cell.
            if table.num_rows + len(misfits) >= rows:
                return table, misfits
        try:
            return self._parse_as(block, text, False)
        except pa.ArrowInvalid as error:
            raise FormatError(f"{self._name}: not a text table: {error}") from error

    def _parse_as(self, block: bytes, types: dict[int, Any], quote: str | bool):
        misfits: list[int] = []

        def skip(row) -> str:
            misfits.append(row.number - 1)
            return "skip"

        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            read_options=pyarrow.csv.ReadOptions(
                column_names=[f"{i}" for i in range(self._columns.count)],
                # Preparation runs a process on every core.
                use_threads=False,
                block_size=len(block) + 1,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._delimiter,
                quote_char=quote,
                # An empty row is a sample that is missing.
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={f"{column}": kind for column, kind in types.items()},
                include_columns=[f"{column}" for column in types],
                strings_can_be_null=True,
                check_utf8=False,
                decimal_point=self._decimal,
                timestamp_parsers=[pyarrow.csv.ISO8601],
            ),
        )
        return table, np.array(misfits, np.int64)


def _column(table: pa.Table, column: int) -> pa.Array:
    return table[f"{column}"].combine_chunks()


def _numbers(column: pa.Array, decimal: str) -> np.ndarray:
    if pa.types.is_binary(column.type):
        text = column.cast(pa.string(), safe=False)
        if decimal != ".":
            text = pc.replace_substring(text, decimal, ".")
        number = pc.match_substring_regex(text, _NUMBER)
        text = pc.utf8_trim_whitespace(pc.if_else(number, text, None))
        column = text.cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)
