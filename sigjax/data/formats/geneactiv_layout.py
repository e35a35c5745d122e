"""The text of GENEActiv `.bin` files: the header, and pages of 300 samples.

Source: Activinsights, "GENEActiv Instructions", section "Understanding .bin files". A
page is ten short lines and one line of 3600 hexadecimal digits, 12 to a sample:
x, y, z (12 bits each, two's complement), light (10 bits), button, one unused bit.
"""

import dataclasses
import datetime
import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sigjax.data.recording import FormatError

MARKER = b"Recorded Data"
PAGE_SAMPLES = 300
PAGE_DIGITS = 12 * PAGE_SAMPLES

_EOL = rb"[ \t]*\r?\n"
_PAGE = re.compile(
    _EOL
    + rb"Device Unique Serial Code:[^\r\n]*\r?\n"
    + rb"Sequence Number:[ \t]*(\d{1,10})"
    + _EOL
    + rb"Page Time:[ \t]*([^\r\n]{1,40}?)"
    + _EOL
    + rb"Unassigned:[^\r\n]*\r?\n"
    + rb"Temperature:[ \t]*([^\r\n]{1,20}?)"
    + _EOL
    + rb"Battery voltage:[ \t]*([^\r\n]{1,20}?)"
    + _EOL
    + rb"Device Status:[^\r\n]*\r?\n"
    + rb"Measurement Frequency:[ \t]*([^\r\n]{1,20}?)"
    + _EOL,
    re.IGNORECASE,
)
_ZONE = re.compile(r"(?:GMT|UTC)?\s*(?:([+-])(\d{1,2}):(\d{2}))?$", re.IGNORECASE)

# Names of the header's free text in `Recording.metadata`, as other readers call them.
_TEXT = {
    "Device Model": "model",
    "Device Firmware Version": "firmware",
    "Measurement Period": "measurement_period",
    "Time Zone": "time_zone",
    "Study Centre": "study_centre",
    "Study Code": "study_code",
    "Investigator ID": "study_investigator",
    "Exercise Type": "exercise_type",
    "Config Operator ID": "operator",
    "Config Notes": "study_notes",
    "Extract Operator ID": "extract_operator",
    "Extract Notes": "extract_notes",
    "Device Location Code": "position",
    "Subject Code": "subject_code",
    "Date of Birth": "date_of_birth",
    "Sex": "sex",
    "Height": "height",
    "Weight": "weight",
    "Handedness Code": "handedness",
    "Subject Notes": "subject_notes",
    "Number of Pages": "pages",
}
_TIMES = {
    "Calibration Date": "calibration_date",
    "Start Time": "logging_start",
    "Config Time": "last_change",
    "Extract Time": "extract_time",
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """What stands before the first page.

    Attributes:
      device_id: Serial number as text.
      rate_hz: Configured rate; NaN if the header does not tell.
      scale: g per count, float64 `[3]`.
      offset_g: Float64 `[3]`.
      lux_per_count: Of the light channel; NaN if the header does not tell.
      utc_offset_s: Of the clock; None if unknown.
      metadata: JSON-able.
    """

    device_id: str
    rate_hz: float
    scale: np.ndarray
    offset_g: np.ndarray
    lux_per_count: float
    utc_offset_s: float | None
    metadata: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageHeader:
    """The short lines of a page.

    Attributes:
      sequence: Number of the page.
      time: Seconds since 1970-01-01, device-local, of the page's first sample; NaN
        if there is no such date.
      temperature_c: Degrees C.
      battery_v: Volts.
      rate_hz: Nominal rate.
      length: Bytes up to the hexadecimal digits.
    """

    sequence: int
    time: float
    temperature_c: float
    battery_v: float
    rate_hz: float
    length: int


def parse_page(text: bytes) -> PageHeader | None:
    """Parses a page without its marker; None if a line is missing or wrong."""
    match = _PAGE.match(text)
    if match is None:
        return None
    sequence, time, *rest = match.groups()
    temperature, battery, rate = map(_number, rest)
    # The comparison is False for NaN, too.
    if not (0.1 <= rate <= 10_000.0 and math.isfinite(temperature + battery)):
        return None
    return PageHeader(
        sequence=int(sequence),
        time=parse_time(time),
        temperature_c=temperature,
        battery_v=battery,
        rate_hz=rate,
        length=match.end(),
    )


def _number(text: bytes | str) -> float:
    """NaN if it is none; extraction software writes commas in some languages."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        if isinstance(text, bytes):
            return float(text.replace(b",", b"."))
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


@functools.lru_cache(maxsize=64)
def _midnight(date: bytes) -> float:
    try:
        year, month, day = map(int, date.split(b"-"))
        moment = datetime.datetime(year, month, day, tzinfo=datetime.UTC)
    except ValueError:
        return math.nan
    return moment.timestamp() if 2000 <= year < 2100 else math.nan


def parse_time(text: bytes) -> float:
    """Seconds since 1970-01-01 of `2013-05-30 10:12:54:500`; NaN if it is no date."""
    date, _, clock = text.partition(b" ")
    try:
        hour, minute, second, millisecond = map(int, clock.split(b":"))
    except ValueError:
        return math.nan
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return math.nan
    if not 0 <= millisecond < 1000:
        return math.nan
    seconds = hour * 3600 + minute * 60 + second + millisecond / 1000.0
    return _midnight(date) + seconds


def parse_zone(text: str) -> float | None:
    """Seconds east of UTC of `GMT +01:00`; None if it is no such text."""
    match = _ZONE.match(text.strip())
    if match is None or not text.strip():
        return None
    if match[1] is None:
        return 0.0
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    if seconds > 15 * 3600:
        return None
    return float(-seconds if match[1] == "-" else seconds)


def parse_header(raw: bytes, name: str) -> Header:
    """Parses what stands before the first page.

    Raises:
      FormatError: If it is no GENEActiv header or lacks the calibration, without
        which counts mean nothing.
    """
    text = raw.decode("utf-8", errors="replace")
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            # Fields that nobody filled in hold zero bytes.
            fields.setdefault(key.strip(), value.strip(" \t\0"))
    gain = np.array([_number(fields.get(f"{axis} gain", "")) for axis in "xyz"])
    offset = np.array([_number(fields.get(f"{axis} offset", "")) for axis in "xyz"])
    if not (np.isfinite(gain).all() and np.isfinite(offset).all() and gain.all()):
        raise FormatError(
            f"{name}: not a GENEActiv file, or its header is damaged: 'x gain' to "
            "'z offset' are not all there (starts with "
            f"{raw[:30]!r}); copy the file from the device again"
        )
    volts, lux = _number(fields.get("Volts", "")), _number(fields.get("Lux", ""))
    rate = _number(fields.get("Measurement Frequency", "").split(" ")[0])
    return Header(
        device_id=fields.get("Device Unique Serial Code", ""),
        rate_hz=rate if 0.1 <= rate <= 10_000.0 else math.nan,
        scale=100.0 / gain,
        offset_g=-offset / gain,
        lux_per_count=lux / volts if volts > 0 and lux > 0 else math.nan,
        utc_offset_s=parse_zone(fields.get("Time Zone", "")),
        metadata=_metadata(fields),
    )


def _metadata(fields: Mapping[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        key: fields[name] for name, key in _TEXT.items() if fields.get(name)
    }
    for name, key in _TIMES.items():
        seconds = parse_time(fields.get(name, "").encode())
        if not math.isnan(seconds):
            moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
            metadata[key] = moment.replace(tzinfo=None).isoformat()
    _, _, top = fields.get("Accelerometer Range", "").partition("to")
    if math.isfinite(_number(top)):
        metadata["range_g"] = _number(top)
    return metadata | {"clock": "device-local"}
