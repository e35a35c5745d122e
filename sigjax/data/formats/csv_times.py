"""Times in text tables: numbers, ISO 8601, and `strptime` patterns.

A time is either an instant (a number since 1970, or text that names its offset from
UTC) or naive: what a clock on some wall showed.
"""

import datetime
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sigjax.data.formats.options import TIME_UNITS_S

# Beyond this (the year 2200) a number is in another unit than was said.
_LATEST_S = 7_258_118_400.0
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_OFFSET = re.compile(r":\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)$")


class TimeParser:
    """Reads a column of times.

    Attributes:
      arrow_type: What pyarrow is to make of the column.
      naive: Whether the times say nothing about their offset from UTC.
    """

    def __init__(self, time_unit: str, example: str):
        """Settles on one way to read the column.

        Args:
          time_unit: See `CsvLayout.time_unit`.
          example: The first row's time: ISO times either all name an offset or none.
        """
        self._unit = time_unit
        self._scale = TIME_UNITS_S.get(time_unit)
        self._cache: dict[str, float] = {}
        if self._scale is not None:
            self.naive, self.arrow_type = False, pa.float64()
        elif time_unit == "iso":
            self.naive = _OFFSET.search(example.strip()) is None
            self.arrow_type = pa.timestamp("ns", None if self.naive else "UTC")
        else:
            self.naive, self.arrow_type = "%z" not in time_unit, pa.binary()

    def seconds(self, column: pa.Array) -> np.ndarray:
        """Float64 seconds since 1970-01-01, NaN where there is no such time."""
        if pa.types.is_timestamp(column.type):
            nanoseconds = pc.fill_null(column.cast(pa.int64()), np.iinfo(np.int64).max)
            seconds = nanoseconds.to_numpy() / 1e9
        elif pa.types.is_binary(column.type):
            parse = self._parser()
            texts = column.to_pylist()
            seconds = np.array([parse(text) for text in texts], np.float64)
        else:
            seconds = column.to_numpy(zero_copy_only=False) * self._scale
        with np.errstate(invalid="ignore"):
            return np.where(np.abs(seconds) < _LATEST_S, seconds, np.nan)

    def _parser(self):
        # Rows of one second share all but their fraction, which strptime is slow at.
        shared, point = self._unit[:-3], self._unit[-3:-2]
        split = self._unit.endswith("%f") and bool(re.match(r"[^%\w]$", point))
        self._cache.clear()

        def parse(raw: bytes | None) -> float:
            try:
                text = (raw or b"").decode().strip()
                if self._scale is not None:
                    return float(text.replace(",", ".")) * self._scale
                if self._unit == "iso":
                    return self._since(datetime.datetime.fromisoformat(text))
                if not split:
                    stamp = datetime.datetime.strptime(text, self._unit)
                    return self._since(stamp)
                head, _, fraction = text.rpartition(point)
                if not (head and fraction.isascii() and fraction.isdigit()):
                    return np.nan
                if head not in self._cache:
                    stamp = datetime.datetime.strptime(head, shared)
                    self._cache[head] = self._since(stamp)
                return self._cache[head] + int(fraction) / 10 ** len(fraction)
            except (ValueError, OverflowError):
                return np.nan

        return parse

    def _since(self, stamp: datetime.datetime) -> float:
        if (stamp.tzinfo is None) != self.naive:
            return np.nan
        return (stamp - (_EPOCH if self.naive else _EPOCH_UTC)).total_seconds()
