"""What a user can say about files that they do not say themselves."""

import dataclasses
import datetime
import math
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

from sigjax.data.recording import Recording

UNITS_IN_G = {"g": 1.0, "mg": 1e-3, "m/s2": 1 / 9.80665}
TIME_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvLayout:
    """How a text table of samples is laid out.

    Attributes:
      x: Column of the first axis, by name, or by position from 0 in a table without
        names.
      y: Of the second.
      z: Of the third.
      unit: Of the axes: `"g"`, `"mg"` or `"m/s2"`.
      time: Column of the time, or "" where samples are `rate_hz` apart.
      time_unit: `"s"`, `"ms"`, `"us"` or `"ns"` since 1970-01-01 (UTC), `"iso"` for
        ISO 8601 text, or a `strptime` pattern such as `"%d.%m.%Y %H:%M:%S.%f"`.
      rate_hz: Sampling rate; measured from the times if 0.
      start: ISO 8601 time of the first sample where there is no time column; without
        one the recording starts at 0.
      label: Column of an activity label, or "".
      person: Column that names the person, or "".
      delimiter: Between columns: one character, or `"tab"`.
      decimal: Decimal sign of the numbers: `"."` or `","`.
      skip_rows: Rows before the table (before its column names, if it has any).
      has_names: Whether a row with column names comes first.
    """

    x: str
    y: str
    z: str
    unit: str = "g"
    time: str = ""
    time_unit: str = "iso"
    rate_hz: float = 0.0
    start: str = ""
    label: str = ""
    person: str = ""
    delimiter: str = ","
    decimal: str = "."
    skip_rows: int = 0
    has_names: bool = True

    def __post_init__(self):
        """Refuses layouts that no table can have."""
        if self.unit not in UNITS_IN_G:
            raise ValueError(f"csv unit={self.unit!r}: one of {tuple(UNITS_IN_G)}")
        if self.time_unit not in TIME_UNITS_S and self.time_unit != "iso":
            _check_pattern(self.time_unit)
        if len({self.x, self.y, self.z}) < 3:
            raise ValueError("csv: x, y and z must be three columns")
        if not self.time and not self.rate_hz > 0:
            raise ValueError("csv: name the time column, or give rate_hz")
        if not 0 <= self.rate_hz < math.inf or self.skip_rows < 0:
            raise ValueError(
                "csv: rate_hz and skip_rows must not be negative, and be finite"
            )
        if self.delimiter != "tab" and (
            len(self.delimiter) != 1 or not self.delimiter.isascii()
        ):
            raise ValueError(
                f"csv delimiter={self.delimiter!r}: one ASCII character, or tab"
            )
        if self.decimal not in (".", ",") or self.decimal == self.delimiter:
            raise ValueError(
                f"csv decimal={self.decimal!r}: '.' or ',', and not the delimiter"
            )
        if self.start:
            _check_start(self.start)

    @property
    def separator(self) -> str:
        """The delimiter as it stands in the file."""
        return "\t" if self.delimiter == "tab" else self.delimiter

    @classmethod
    def parse(cls, text: str) -> "CsvLayout":
        """From `"x=ax,y=ay,z=az,unit=m/s2,time=t,time_unit=ms"`, as flags give it.

        A comma inside a value is written `\\,`.

        Raises:
          ValueError: Unknown or missing keys, or values that do not fit.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}
        given: dict[str, Any] = {}
        for part in text.replace("\\,", "\0").split(","):
            key, equals, value = part.replace("\0", ",").partition("=")
            if key.strip() not in fields or not equals:
                raise ValueError(
                    f"csv layout: {part!r} is not KEY=VALUE with a key of"
                    f" {', '.join(fields)}"
                )
            kind = fields[key.strip()].type
            given[key.strip()] = _convert(key, value, kind)
        missing = [axis for axis in "xyz" if axis not in given]
        if missing:
            raise ValueError(f"csv layout: name the columns of {', '.join(missing)}")
        return cls(**given)


def _check_pattern(time_unit: str) -> None:
    moment = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    try:
        datetime.datetime.strptime(moment.strftime(time_unit), time_unit)
        fits = "%" in time_unit
    except (ValueError, re.error):  # The latter where a part comes twice.
        fits = False
    if not fits:
        raise ValueError(
            f"csv time_unit={time_unit!r}: one of {tuple(TIME_UNITS_S)}, 'iso' or a"
            " strptime pattern"
        )


def _check_start(start: str) -> None:
    try:
        datetime.datetime.fromisoformat(start)
    except ValueError as error:
        raise ValueError(f"csv start={start!r}: not an ISO 8601 time") from error


def _convert(key: str, value: str, kind: Any) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError(f"csv layout: {key}={value!r} must be true or false")
        return value.lower() == "true"
    try:
        return kind(value)
    except ValueError as error:
        raise ValueError(f"csv layout: {key}={value!r} must be a number") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read.

    Attributes:
      channels: Names of what to keep beside acceleration, such as `("gyro",
        "light")`; what a file does not have is left out. Temperature is always kept.
      tz: Where the device was set up, as an IANA name (`"Europe/London"`): for clocks
        that keep local time without naming the zone.
      csv: Layout of text tables that are in no known device's format.
    """

    channels: tuple[str, ...] = ()
    tz: str = ""
    csv: CsvLayout | None = None

    def __post_init__(self):
        """Refuses unknown time zones."""
        if self.tz:
            try:
                zoneinfo.ZoneInfo(self.tz)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(
                    f"tz={self.tz!r} is no IANA time zone, such as 'Europe/London'"
                ) from error

    def to_json(self) -> dict[str, Any]:
        """What the samples of a recording depend on, as plain values."""
        csv = None if self.csv is None else dataclasses.asdict(self.csv)
        return {"tz": self.tz, "csv": csv}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ReadOptions":
        """The inverse of `to_json`."""
        csv = values["csv"]
        return cls(tz=values["tz"], csv=None if csv is None else CsvLayout(**csv))


DEFAULT = ReadOptions()


def utc_offset_s(local: float, tz: str) -> float:
    """Local time minus UTC in `tz`, at a local time in seconds since 1970-01-01."""
    epoch = datetime.datetime(1970, 1, 1)
    wall = epoch + datetime.timedelta(seconds=local)
    offset = wall.replace(tzinfo=zoneinfo.ZoneInfo(tz)).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def with_time_zone(recording: Recording, tz: str) -> Recording:
    """Completes a local clock of unknown zone with the zone it was set in.

    The offset is that of the moment when the device was set up (its last
    configuration, else its first sample) and stays, because such clocks ignore
    daylight saving.
    """
    if not tz or recording.utc_offset_s is not None or not recording.segments:
        return recording
    start = recording.segments[0].start
    configured = _seconds(recording.metadata)
    moment = configured if configured is not None and configured <= start else start
    return dataclasses.replace(recording, utc_offset_s=utc_offset_s(moment, tz))


def _seconds(metadata: Mapping[str, Any]) -> float | None:
    try:
        stamp = datetime.datetime.fromisoformat(str(metadata.get("last_change")))
    except ValueError:
        return None
    return stamp.replace(tzinfo=datetime.UTC).timestamp()
