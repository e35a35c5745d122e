"""What ActiGraph `.gt3x` files say about themselves, and how they pack samples.

Source: ActiGraph, "ActiGraph .gt3x File Format" (github.com/actigraph/GT3X-File-Format)
and, for devices with firmware up to 2.5.0, "ActiGraph NHANES .gt3x File Format"
(github.com/actigraph/NHANES-GT3X-File-Format).
"""

import dataclasses
import datetime
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sigjax.data.recording import FormatError

SEPARATOR = 0x1E
HEADER_BYTES = 8
RECORD_BYTES = 9  # of a record without payload: header and checksum

# Record types.
ACTIVITY = 0x00
BATTERY = 0x02
EVENT = 0x03
LUX = 0x05
METADATA = 0x06
PARAMETERS = 0x15
ACTIVITY2 = 0x1A

SLEEP = b"\x08"  # payload of the event that begins idle sleep mode
_ACCEL_SCALE = (0, 55)  # address space and identifier among the parameters

_TICKS_AT_1970 = 621_355_968_000_000_000  # of 100 ns since 0001-01-01
_DAY_S = 86_400

# By how the serial number begins.
_MODELS = {
    "NEO": "GT3X+",
    "CLE": "wGT3X+",
    "MRA": "ActiSleep+",
    "MOS0": "wGT3X-BT",
    "MOS2": "wGT3X-BT",
    "MOS3": "wActiSleep+",
    "MOS4": "wActiSleep-BT",
    "TAS": "GT9X Link",
}
_COUNTS_PER_G = {"NEO": 341.0, "CLE": 341.0, "MRA": 341.0, "MOS": 256.0, "TAS": 256.0}

_TEXT = {
    "Firmware": "firmware",
    "Device Type": "device_type",
    "Board Revision": "board_revision",
    "Unexpected Resets": "unexpected_resets",
    "TimeZone": "time_zone",
    "Subject Name": "subject_code",
    "Limb": "limb",
    "Side": "side",
    "Dominance": "dominance",
    "Sex": "sex",
    "Height": "height",
    "Mass": "weight",
    "Age": "age",
    "Race": "race",
    "DateOfBirth": "date_of_birth",
}
_TIMES = {
    "Start Date": "logging_start",
    "Stop Date": "logging_end",
    "Last Sample Time": "last_sample",
    "Download Date": "extract_time",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """The content of `info.txt`.

    Attributes:
      serial: Serial number.
      device: `"ActiGraph GT9X Link"` and the like.
      rate_hz: Configured sampling rate.
      counts_per_g: Of the acceleration; NaN if the file does not tell.
      start: Seconds since 1970-01-01 at which recording was set to start; NaN if the
        file does not tell.
      utc_offset_s: Of a clock that keeps local time; None if unknown.
      rotated: Whether firmware swapped x and y (wGT3X-BT 1.6.0).
      metadata: JSON-able.
    """

    serial: str
    device: str
    rate_hz: float
    counts_per_g: float
    start: float
    utc_offset_s: float | None
    rotated: bool
    metadata: Mapping[str, Any]


def parse_info(raw: bytes, name: str) -> Info:
    """Parses `info.txt`.

    Raises:
      FormatError: If it names no sampling rate.
    """
    fields: dict[str, str] = {}
    for line in raw.decode("utf-8-sig", errors="replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            fields.setdefault(key.strip(), value.strip())
    rate = _number(fields.get("Sample Rate"))
    if not 1.0 <= rate <= 1000.0:
        raise FormatError(
            f"{name}: info.txt names no sampling rate (found "
            f"{fields.get('Sample Rate', '')!r}); download the recording again"
        )
    serial = fields.get("Serial Number", "")
    model = _by_prefix(_MODELS, serial, fields.get("Device Type", ""))
    scale = _number(fields.get("Acceleration Scale"))
    if not 1.0 <= scale <= 1e5:
        scale = _by_prefix(_COUNTS_PER_G, serial, math.nan)
    metadata: dict[str, Any] = {
        key: fields[field] for field, key in _TEXT.items() if field in fields
    }
    for field, key in _TIMES.items():
        moment = _describe(ticks_to_seconds(fields.get(field)))
        if moment:
            metadata[key] = moment
    return Info(
        serial=serial,
        device=f"ActiGraph {model}".strip(),
        rate_hz=rate,
        counts_per_g=scale,
        start=ticks_to_seconds(fields.get("Start Date")),
        utc_offset_s=parse_zone(fields.get("TimeZone", "")),
        rotated=serial.startswith("MOS") and fields.get("Firmware") == "1.6.0",
        metadata=metadata | {"clock": "device-local"},
    )


def _by_prefix(table: Mapping[str, Any], serial: str, default: Any) -> Any:
    return next((v for key, v in table.items() if serial.startswith(key)), default)


def _number(text: str | None) -> float:
    try:
        return float((text or "").replace(",", "."))
    except ValueError:
        return math.nan


def ticks_to_seconds(text: str | None) -> float:
    """Seconds since 1970-01-01 of .NET ticks; NaN outside the years 2000 to 2100."""
    if not re.fullmatch(r"\d{17,19}", text or ""):
        return math.nan
    seconds = (int(text or 0) - _TICKS_AT_1970) / 1e7
    return seconds if 946_684_800 <= seconds < 4_102_444_800 else math.nan


def _describe(seconds: float) -> str:
    if math.isnan(seconds):
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.replace(tzinfo=None).isoformat()


def parse_zone(text: str) -> float | None:
    """Seconds east of UTC of `-05:00:00`; None if it is no such text."""
    match = re.fullmatch(r"([+-]?)(\d{1,2}):(\d{2})(?::(\d{2}))?", text)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    total = float(hours * 3600 + minutes * 60 + seconds)
    if total > 0.75 * _DAY_S:
        return None
    return -total if match[1] == "-" else total


def counts_per_g(parameters: bytes) -> float:
    """The scale in a PARAMETERS record; NaN if it has none that can be."""
    pairs = np.frombuffer(
        parameters[: len(parameters) // 8 * 8],
        np.dtype([("space", "<u2"), ("key", "<u2"), ("value", "<u4")]),
    )
    for space, key, value in pairs.tolist():
        if (space, key) == _ACCEL_SCALE:
            scale = _decode_float(value)
            return scale if 1.0 <= scale <= 1e5 else math.nan
    return math.nan


def _decode_float(value: int) -> float:
    """24-bit fraction (of 2 ** 23) and 8-bit exponent, both two's complement."""
    exponent = (value >> 24) - ((value >> 31) << 8)
    fraction = (value & 0xFFFFFF) - ((value >> 23 & 1) << 24)
    return fraction / 2.0**23 * 2.0**exponent


def uses_utc(metadata: bytes) -> bool:
    """Whether a METADATA record says that the file's timestamps are in UTC."""
    try:
        content = json.loads(metadata)
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    known = content.get("MetadataType") == "LocalTimeLog"
    return known and content.get("UsedUtc") is True


def unpack(packed: np.ndarray, out: np.ndarray) -> None:
    """Unpacks 12-bit big-endian values in the order y x z.

    Args:
      packed: Uint8 `[k, bytes]`.
      out: Int16 `[k, s, 3]`, filled in the order x y z.
    """
    count, size = packed.shape
    samples = out.shape[1]
    # Two samples take nine bytes; an odd one is completed.
    whole = 9 * ((samples + 1) // 2)
    if size < whole:
        packed = np.concatenate(
            [packed, np.zeros((count, whole - size), np.uint8)], axis=1
        )
    triple = packed[:, :whole].reshape(count, -1, 3).astype(np.int16)
    values = np.empty((count, triple.shape[1], 2), np.int16)
    # Twelve bits at the top of an int16, shifted down again, are sign-extended.
    values[..., 0] = (triple[..., 0] << 8 | triple[..., 1]) >> 4
    values[..., 1] = (triple[..., 1] << 12 | triple[..., 2] << 4) >> 4
    values = values.reshape(count, -1, 3)[:, :samples]
    out[...] = values[..., [1, 0, 2]]


def unrotate(counts: np.ndarray) -> None:
    """Undoes firmware 1.6.0's turn about the z axis, in place on `[s, 3]`."""
    x = counts[:, 0].copy()
    counts[:, 0] = counts[:, 1]
    counts[:, 1] = -x


def old_lux(raw: bytes, serial: str) -> np.ndarray:
    """Light of `lux.bin` (firmware up to 2.5.0), float32 lux, one value per second."""
    values = np.frombuffer(raw[: len(raw) // 2 * 2], "<u2").astype(np.float32)
    values[(values < 20) | (values == 0xFFFF)] = 0.0
    # The cases differ in colour.
    scale, most = (3.25, 6000.0) if serial.startswith("MRA") else (1.25, 2500.0)
    return np.minimum(values * np.float32(scale), np.float32(most))
