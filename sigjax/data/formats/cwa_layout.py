"""Byte layout of Open Movement CWA files, shared by the reader and the simulator.

Source: Open Movement, `Docs/ax3/ax3-technical.md` and `cwa.h`. A file is one
header (1024 bytes) and data blocks of 512 bytes, all little-endian and packed.
"""

import dataclasses
import datetime
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

HEADER_BYTES = 1024
BLOCK_BYTES = 512
PAYLOAD_BYTES = 480
PACKED_SAMPLES = 120  # samples in a block at 4 bytes each: the most a block can hold
HEADER_LENGTH = 1020  # content of the length field: bytes that follow it
BLOCK_LENGTH = 508
PACKED_SCALE = 1.0 / 256.0  # g per count of exponent-packed samples
NEVER = 0xFFFFFFFF  # a packed time that lies after every other

HEADER = np.dtype(
    {
        "names": [
            "magic",
            "length",
            "hardware",
            "device_id",
            "session_id",
            "upper_device_id",
            "logging_start",
            "logging_end",
            "sensor_config",
            "rate_code",
            "last_change",
            "firmware",
            "annotation",
        ],
        "formats": [
            "S2",
            "<u2",
            "u1",
            "<u2",
            "<u4",
            "<u2",
            "<u4",
            "<u4",
            "u1",
            "u1",
            "<u4",
            "u1",
            "V448",
        ],
        "offsets": [0, 2, 4, 5, 7, 11, 13, 17, 35, 36, 37, 41, 64],
        "itemsize": HEADER_BYTES,
    }
)

BLOCK = np.dtype(
    [
        ("magic", "S2"),
        ("length", "<u2"),
        ("fraction", "<u2"),
        ("session_id", "<u4"),
        ("sequence", "<u4"),
        ("timestamp", "<u4"),
        ("light_scale", "<u2"),
        ("temperature", "<u2"),
        ("events", "u1"),
        ("battery", "u1"),
        ("rate_code", "u1"),
        ("axes_bps", "u1"),
        ("offset", "<i2"),
        ("count", "<u2"),
        ("payload", f"V{PAYLOAD_BYTES}"),
        ("checksum", "<u2"),
    ]
)

_HARDWARE = {0x00: "AX3", 0x17: "AX3", 0xFF: "AX3", 0x64: "AX6"}

# Keys that the configuration software writes into the header's annotation.
_ANNOTATION_NAMES = {
    "_c": "study_centre",
    "_s": "study_code",
    "_i": "study_investigator",
    "_x": "exercise_type",
    "_so": "operator",
    "_n": "study_notes",
    "_p": "position",
    "_sc": "subject_code",
    "_se": "sex",
    "_h": "height",
    "_w": "weight",
    "_ha": "handedness",
    "_sn": "subject_notes",
}


def rate_hz(code: np.ndarray | int) -> np.ndarray:
    """Nominal sampling rate of a rate code (low four bits)."""
    return 3200.0 / 2.0 ** (15 - (np.asarray(code, np.int64) & 15))


def range_g(code: int) -> int:
    """Full-scale range, in plus or minus g, of a rate code (high two bits)."""
    return 16 >> (code >> 6)


def pack_time(seconds: np.ndarray) -> np.ndarray:
    """Packs whole seconds since 1970-01-01 into `YYYYYYMM MMDDDDDh hhhhmmmm mmssssss`.

    Args:
      seconds: Integers, any shape, of years 2000 to 2063.
    """
    seconds = np.asarray(seconds, np.int64)
    days = (seconds // 86_400).astype("M8[D]")
    months = days.astype("M8[M]")
    month = months.astype(np.int64)
    day = (days - months).astype(np.int64) + 1
    year, month = month // 12 + 1970 - 2000, month % 12 + 1
    second = seconds % 86_400
    packed = (year << 26) | (month << 22) | (day << 17) | (second // 3600 << 12)
    return (packed | (second // 60 % 60 << 6) | (second % 60)).astype("<u4")


def unpack_time(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `pack_time`.

    Returns:
      Int64 seconds since 1970-01-01 and whether each is a date that exists.
    """
    packed = np.asarray(packed).astype(np.int64)
    year, month, day = (packed >> 26) & 63, (packed >> 22) & 15, (packed >> 17) & 31
    hour, minute, second = (packed >> 12) & 31, (packed >> 6) & 63, packed & 63
    months = ((year + 30) * 12 + month - 1).astype("M8[M]")
    days = months.astype("M8[D]") + (day - 1)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("M8[M]") == months)
    valid &= (hour < 24) & (minute < 60) & (second < 60)
    seconds = days.astype(np.int64) * 86_400 + hour * 3600 + minute * 60 + second
    return seconds, valid


def _describe_time(packed: int) -> str | None:
    if packed == 0:
        return "always"
    if packed == NEVER:
        return "never"
    seconds, valid = unpack_time(np.array([packed]))
    if not valid[0]:
        return None
    stamp = datetime.datetime.fromtimestamp(int(seconds[0]), datetime.UTC)
    return stamp.replace(tzinfo=None).isoformat()


def encode_annotation(annotation: Mapping[str, str]) -> bytes:
    """URL-encodes key-value pairs into the 448 bytes that the header keeps for them.

    Raises:
      ValueError: If they do not fit.
    """
    text = urllib.parse.urlencode(annotation).encode("ascii")
    if len(text) > 448:
        raise ValueError(f"annotation takes {len(text)} bytes, a CWA header holds 448")
    return text.ljust(448, b" ")


def _decode_annotation(raw: bytes) -> dict[str, str]:
    text = raw.rstrip(b"\x20\x00\xff").decode("ascii", errors="replace")
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    # Configuration software leaves the field unencoded when a user typed into it.
    if not pairs and text:
        return {"text": text}
    return {_ANNOTATION_NAMES.get(key, key): value for key, value in pairs}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What the first 1024 bytes say.

    Attributes:
      intact: Magic bytes and length are right.
      data_offset: Bytes before the first data block.
      device: `"AX3"`, `"AX6"`, or `""` for an unknown hardware code.
      device_id: Serial number as text, `""` when damaged.
      nominal_rate_hz: The configured rate.
      metadata: JSON-able; subject code, session, logging times, firmware...
    """

    intact: bool
    data_offset: int
    device: str
    device_id: str
    nominal_rate_hz: float
    metadata: Mapping[str, Any]


def parse_header(raw: bytes) -> Header:
    """Reads a header of at least 1024 bytes; a damaged one gives `intact=False`."""
    field = np.frombuffer(raw, HEADER, count=1)[0]
    intact = field["magic"] == b"MD" and field["length"] == HEADER_LENGTH
    if not intact:
        return Header(
            intact=False,
            data_offset=HEADER_BYTES,
            device="",
            device_id="",
            nominal_rate_hz=0.0,
            metadata={"clock": "device-local"},
        )
    upper = int(field["upper_device_id"])
    # Old firmware left the upper half of the serial number erased.
    device_id = (0 if upper == 0xFFFF else upper) << 16 | int(field["device_id"])
    code = int(field["rate_code"])
    gyro = int(field["sensor_config"])
    metadata: dict[str, Any] = {
        # Local time of the computer that configured the device, without DST changes.
        "clock": "device-local",
        "session_id": int(field["session_id"]),
        "hardware_code": int(field["hardware"]),
        "firmware": int(field["firmware"]),
        "range_g": range_g(code),
        "gyro_range_dps": 0 if gyro in (0, 0xFF) else 8000 >> (gyro & 15),
        "logging_start": _describe_time(int(field["logging_start"])),
        "logging_end": _describe_time(int(field["logging_end"])),
        "last_change": _describe_time(int(field["last_change"])),
    }
    # What a user typed must not replace what the device says.
    metadata = _decode_annotation(bytes(field["annotation"])) | metadata
    return Header(
        intact=True,
        data_offset=HEADER_BYTES,
        device=_HARDWARE.get(int(field["hardware"]), ""),
        device_id=str(device_id),
        nominal_rate_hz=float(rate_hz(code)),
        metadata=metadata,
    )
