"""The ActiGraph .gt3x reader, on files written from the manufacturer's description.

The writer below shares nothing with the reader. Beside it, the description's own
example bytes are checked.
"""

import functools
import gzip
import io
import json
import operator
import struct
import tracemalloc
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sigjax.data.formats import ReadOptions, read_gt3x, read_recording
from sigjax.data.formats import gt3x_layout as layout
from sigjax.data.recording import FormatError, Recording

_ALL = ReadOptions(channels=("light", "battery", "gyro"))
_START = 1_616_169_420  # 2021-03-19 15:57:00
_RATE = 30

_ACTIVITY, _BATTERY, _EVENT, _LUX, _METADATA = 0, 2, 3, 5, 6
_CAPSENSE, _PARAMETERS, _ACTIVITY2 = 13, 21, 26


# ------------------------------------------------------------------------ writing


def _record(kind: int, time: int, payload: bytes) -> bytes:
    body = struct.pack("<BBIH", 0x1E, kind, time, len(payload)) + payload
    return body + bytes([0xFF & ~functools.reduce(operator.xor, body)])


def _packed(samples: np.ndarray) -> bytes:
    """Twelve bits per value in the order y x z, as a string of bits."""
    bits = "".join(
        f"{value & 0xFFF:012b}" for x, y, z in samples.tolist() for value in (y, x, z)
    )
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _activity(kind: int, time: int, samples: np.ndarray) -> bytes:
    wide = samples.astype("<i2").tobytes()
    return _record(kind, time, _packed(samples) if kind == _ACTIVITY else wide)


def _ticks(seconds: float) -> int:
    days_to_1970 = 719_162
    return days_to_1970 * 86_400 * 10_000_000 + round(seconds * 10_000_000)


def _info(**changes: str | None) -> bytes:
    fields = {
        "Serial Number": "TAS1E42150038",
        "Device Type": "Link",
        "Firmware": "1.7.2",
        "Sample Rate": str(_RATE),
        "Start Date": str(_ticks(_START)),
        "Stop Date": "0",
        "TimeZone": "-05:00:00",
        "Download Date": str(_ticks(_START + 3_600.25)),
        "Acceleration Scale": "256.0",
        "Limb": "Wrist",
        "Subject Name": "P007",
    } | {key.replace("_", " "): value for key, value in changes.items()}
    lines = [f"{k}: {v}" for k, v in fields.items() if v is not None]
    return ("\r\n".join(lines) + "\r\n").encode()


def _archive(info: bytes | None = None, **members: bytes) -> bytes:
    """A `.gt3x` file; members are named with `_` for the dot."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("info.txt", _info() if info is None else info)
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


def _counts(seconds: int, *, limit: int = 2_048, seed: int = 0) -> np.ndarray:
    """Int16 `[seconds, rate, 3]`."""
    rng = np.random.default_rng(seed)
    return rng.integers(-limit, limit, (seconds, _RATE, 3)).astype(np.int16)


def _log(counts: np.ndarray, kind: int = _ACTIVITY2) -> list[bytes]:
    return [_activity(kind, _START + n, second) for n, second in enumerate(counts)]


def _bad(recording: Recording) -> dict[str, int]:
    return {k: v for k, v in recording.quality.items() if k.startswith("bad_") and v}


def _breaks(recording: Recording) -> dict[str, int]:
    return {k: v for k, v in recording.quality.items() if k.startswith("breaks_") and v}


def _samples(recording: Recording) -> np.ndarray:
    parts = [segment.counts for segment in recording.segments]
    return np.concatenate([np.zeros((0, 3), np.int16), *parts])


# ------------------------------------------------- the description's own examples


def test_the_description_s_packed_samples():
    raw = bytes.fromhex("0060 08EB D007 009E BF00 7008 EBF0")
    samples = [[8, 6, -323], [9, 7, -321], [8, 7, -321]]
    assert _packed(np.array(samples)) == raw
    log = _record(_ACTIVITY, _START, raw)
    info = _info(Serial_Number="NEO1C16110020", Acceleration_Scale=None)
    recording = read_gt3x(_archive(info, log_bin=log))
    np.testing.assert_array_equal(_samples(recording), samples)
    # To three decimals, x y z.
    expected = [[0.023, 0.018, -0.947], [0.026, 0.021, -0.941], [0.023, 0.021, -0.941]]
    (segment,) = recording.segments
    np.testing.assert_allclose(segment.acceleration, expected, atol=5.1e-4)
    old = read_gt3x(_archive(info, activity_bin=raw))
    np.testing.assert_array_equal(_samples(old), samples)


def test_the_description_s_wide_samples():
    raw = bytes.fromhex("0000 0000 0000 3000 ccff 4201 0300 faff 0101")
    recording = read_gt3x(_archive(log_bin=_record(_ACTIVITY2, _START, raw)))
    expected = [[0, 0, 0], [48, -52, 322], [3, -6, 257]]
    np.testing.assert_array_equal(_samples(recording), expected)


def test_the_description_s_record_and_checksum():
    payload = (
        b'{"MetadataType":"Bio","SubjectName":"CLE2A14151617","Race":"","Limb":"",'
        b'"Side":"","Dominance":"","Parsed":false,"JSON":null}'
    )
    record = _record(_METADATA, 1_421_142_129, payload)
    assert record[:8] == bytes.fromhex("1E06 71E8 B454 7C00")
    assert record[-1] == 0xF8


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (155_189_248, 256.0),
        (0x09_55_40_00, 341.0),
        (0x00_00_00_00, np.nan),
        (0xF8_C0_00_00, np.nan),
    ],
)
def test_the_parameters_float(code, value):
    raw = struct.pack("<HHIHHI", 1, 10, 30, 0, 55, code)
    np.testing.assert_equal(layout.counts_per_g(raw + b"\1\2"), value)


def test_the_description_s_lux():
    raw = bytes.fromhex("0000 1300 FFFF 9808 4C04")
    np.testing.assert_array_equal(layout.old_lux(raw, "NEO1"), [0, 0, 0, 2500, 1375])
    assert layout.old_lux(raw, "MRA1")[3] == 6000.0


# ------------------------------------------------------------ values and times, known


@pytest.mark.parametrize("kind", [_ACTIVITY, _ACTIVITY2])
@pytest.mark.parametrize("packed", [False, True])
def test_written_samples_come_back(tmp_path, kind, packed):
    counts = _counts(50)
    raw = _archive(log_bin=b"".join(_log(counts, kind)), epoch_bin=b"123")
    path = tmp_path / ("a.gt3x.gz" if packed else "a.GT3X")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    recording = read_recording(path)
    assert (recording.device, recording.device_id) == (
        "ActiGraph GT9X Link",
        "TAS1E42150038",
    )
    assert recording.nominal_rate_hz == 30.0
    assert recording.quality["blocks"] == 50
    assert _bad(recording) == _breaks(recording) == {}
    (segment,) = recording.segments
    assert segment.counts.dtype == np.int16
    np.testing.assert_array_equal(segment.counts, counts.reshape(-1, 3))
    np.testing.assert_array_equal(
        segment.acceleration, (counts.reshape(-1, 3) / 256).astype(np.float32)
    )
    times = segment.time_at(np.arange(1_500))
    np.testing.assert_allclose(times, _START + np.arange(1_500) / 30, atol=1e-6)
    assert segment.temperature_c.size == 0


@pytest.mark.parametrize("kind", [_ACTIVITY, _ACTIVITY2])
def test_extreme_counts(kind):
    most = 2_047 if kind == _ACTIVITY else 32_767
    second = np.tile(np.array([[most, -most - 1, 0]], np.int16), (_RATE, 1))
    recording = read_gt3x(_archive(log_bin=_activity(kind, _START, second)))
    np.testing.assert_array_equal(_samples(recording), second)


def test_header_fields():
    recording = read_gt3x(_archive(log_bin=b"".join(_log(_counts(2)))))
    assert recording.utc_offset_s == -18_000.0
    expected = {
        "subject_code": "P007",
        "limb": "Wrist",
        "firmware": "1.7.2",
        "logging_start": "2021-03-19T15:57:00",
        "extract_time": "2021-03-19T16:57:00.250000",
        "clock": "device-local",
    }
    assert recording.metadata.items() >= expected.items()
    assert "logging_end" not in recording.metadata  # 0: never


@pytest.mark.parametrize(
    ("changes", "utc_offset_s"),
    [
        ({"TimeZone": "01:00:00"}, 3_600.0),
        ({"TimeZone": "+05:45"}, 20_700.0),
        ({"TimeZone": None}, None),
        ({"TimeZone": "99:00:00"}, None),
        ({"TimeZone": "UTC"}, None),
    ],
)
def test_time_zones(changes, utc_offset_s):
    raw = _archive(_info(**changes), log_bin=b"".join(_log(_counts(2))))
    assert read_gt3x(raw).utc_offset_s == utc_offset_s


def _said(**content) -> bytes:
    return _record(_METADATA, _START, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("metadata", "clock"),
    [
        (_said(MetadataType="LocalTimeLog", UsedUtc=True), "utc"),
        (_said(MetadataType="LocalTimeLog", UsedUtc=False), "device-local"),
        (_said(MetadataType="Bio", UsedUtc=True), "device-local"),
        (_record(_METADATA, _START, b'["LocalTimeLog"]'), "device-local"),
        (_record(_METADATA, _START, b"{" * 5_000), "device-local"),
        (_record(_METADATA, _START, b"\xff\xfe"), "device-local"),
    ],
)
def test_files_in_utc_say_so(metadata, clock):
    raw = _archive(log_bin=metadata + b"".join(_log(_counts(2))))
    recording = read_gt3x(raw)
    assert recording.metadata["clock"] == clock
    assert recording.utc_offset_s == (0.0 if clock == "utc" else -18_000.0)
    assert recording.quality["bad_blocks"] == 0


@pytest.mark.parametrize(
    ("changes", "parameters", "counts_per_g"),
    [
        ({}, b"", 256),
        ({"Acceleration_Scale": "341"}, b"", 341),
        ({}, struct.pack("<HHI", 0, 55, 0x09_55_40_00), 341),
        ({"Acceleration_Scale": None}, b"", 256),
        ({"Acceleration_Scale": None, "Serial_Number": "MOS2D1"}, b"", 256),
        ({"Acceleration_Scale": None, "Serial_Number": "CLE1"}, b"", 341),
        ({"Acceleration_Scale": "0", "Serial_Number": "NEO1"}, b"", 341),
    ],
)
def test_scale(changes, parameters, counts_per_g):
    log = _record(_PARAMETERS, _START, parameters) + b"".join(_log(_counts(2)))
    (segment,) = read_gt3x(_archive(_info(**changes), log_bin=log)).segments
    assert segment.scale == pytest.approx(1 / counts_per_g)


def test_firmware_that_turned_the_axes():
    """wGT3X-BT 1.6.0 turned them by 90 degrees about z; the description undoes it."""
    counts = _counts(2)
    info = _info(Serial_Number="MOS2A1", Firmware="1.6.0")
    found = _samples(read_gt3x(_archive(info, log_bin=b"".join(_log(counts)))))
    x, y, z = counts.reshape(-1, 3).T
    np.testing.assert_array_equal(found, np.column_stack([y, -x, z]))


def test_side_channels_stand_at_their_seconds():
    log = _log(_counts(20))
    log.insert(3, _record(_LUX, _START + 2, struct.pack("<H", 700)))
    log.insert(3, _record(_BATTERY, _START + 2, struct.pack("<H", 4_110)))
    log.insert(17, _record(_LUX, _START + 15, struct.pack("<H", 40_000)))
    log.insert(18, _record(_LUX, _START + 16, b"\1"))  # no such value
    raw = _archive(log_bin=b"".join(log))
    (segment,) = read_gt3x(raw, options=_ALL).segments
    assert set(segment.channels) == {"light", "battery"}
    light, battery = segment.channels["light"], segment.channels["battery"]
    np.testing.assert_array_equal(light.values, [700, 40_000])
    np.testing.assert_array_equal(light.index, [60, 450])
    assert light.unit == "lux"
    np.testing.assert_allclose(battery.values, [4.11])
    np.testing.assert_array_equal(battery.index, [60])
    assert read_gt3x(raw).segments[0].channels == {}


def test_many_passes_are_one_segment():
    counts = _counts(12_000, seed=3)  # 2.3 MB: several passes
    log = b"".join(
        part + _record(_CAPSENSE, _START + n, b"123456") * (n % 7 == 0)
        for n, part in enumerate(_log(counts))
    )
    recording = read_gt3x(_archive(log_bin=log))
    assert recording.quality["blocks"] == 12_000
    assert _bad(recording) == _breaks(recording) == {}
    np.testing.assert_array_equal(_samples(recording), counts.reshape(-1, 3))


# ------------------------------------------------------------------- gaps and sleep


def test_idle_sleep_is_a_gap():
    counts = _counts(60)
    log = _log(counts)
    asleep = _record(_EVENT, _START + 20, b"\x08")
    awake = _record(_EVENT, _START + 40, b"\x09")
    raw = _archive(log_bin=b"".join([*log[:20], asleep, awake, *log[40:]]))
    recording = read_gt3x(raw)
    assert _breaks(recording) == {"breaks_idle_sleep": 1}
    assert _bad(recording) == {}
    before, after = recording.segments
    np.testing.assert_array_equal(before.counts, counts[:20].reshape(-1, 3))
    np.testing.assert_array_equal(after.counts, counts[40:].reshape(-1, 3))
    assert (before.start, after.start) == (_START, _START + 40)


def test_a_missing_second_is_a_gap():
    log = _log(_counts(10))
    recording = read_gt3x(_archive(log_bin=b"".join(log[:4] + log[5:])))
    assert _breaks(recording) == {"breaks_clock": 1}
    assert [s.start for s in recording.segments] == [_START, _START + 5]


def test_records_without_samples_are_no_samples():
    """Empty while asleep; one byte when the device is plugged in; zeros for nothing."""
    log = _log(_counts(10))
    log[3] = _record(_ACTIVITY2, _START + 3, b"")
    log[5] = _record(_ACTIVITY2, _START + 5, b"\0")
    log[7] = _activity(_ACTIVITY2, _START + 7, np.zeros((_RATE, 3), np.int16))
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert _bad(recording) == {"bad_blocks": 1, "bad_empty": 1}
    starts = [segment.start - _START for segment in recording.segments]
    assert starts == [0, 4, 6, 8]


def test_seconds_of_uneven_length():
    """A sample more or less in a second moves with the clock, not against it."""
    rng = np.random.default_rng(0)
    sizes = [30, 31, 30, 29, 30, 30]
    seconds = [rng.integers(1, 99, (n, 3)).astype(np.int16) for n in sizes]
    log = [_activity(_ACTIVITY, _START + n, s) for n, s in enumerate(seconds)]
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    (segment,) = recording.segments
    np.testing.assert_array_equal(segment.counts, np.concatenate(seconds))
    firsts = np.cumsum([0, *sizes[:-1]])
    np.testing.assert_array_equal(segment.time_at(firsts), _START + np.arange(6))


def test_half_a_second_is_followed_by_a_gap():
    counts = _counts(6)
    log = _log(counts)
    log[2] = _activity(_ACTIVITY2, _START + 2, counts[2, :15])
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert _breaks(recording) == {"breaks_clock": 1}
    first, second = recording.segments
    assert len(first.counts) == 75
    assert second.start == _START + 3


def test_a_clock_that_was_set_back():
    log = _log(_counts(10)) + _log(_counts(5, seed=1))
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert _breaks(recording) == {"breaks_clock": 1}
    assert [len(s.counts) for s in recording.segments] == [300, 150]
    assert [s.start for s in recording.segments] == [_START, _START]


def test_tiny_records_of_one_second_do_not_share_an_anchor():
    log = [_activity(_ACTIVITY2, _START, np.full((1, 3), n, np.int16)) for n in (1, 2)]
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert _breaks(recording) == {"breaks_clock": 1}
    assert [s.start for s in recording.segments] == [_START, _START]


# ----------------------------------------------------------------------- bad records


def _flipped(record: bytes, at: int) -> bytes:
    raw = bytearray(record)
    raw[at] ^= 0x10
    return bytes(raw)


@pytest.mark.parametrize("kind", [_ACTIVITY, _ACTIVITY2])
@pytest.mark.parametrize("at", [1, 3, 8, 100, -1])
@pytest.mark.parametrize("second", [0, 4, 9])
def test_a_wrong_byte_costs_its_record(kind, at, second):
    counts = _counts(10)
    log = _log(counts, kind)
    log[second] = _flipped(log[second], at)
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert _bad(recording) == {"bad_blocks": 1, "bad_checksum": 1}
    assert recording.quality["blocks"] == 10
    kept = np.delete(counts, second, axis=0).reshape(-1, 3)
    np.testing.assert_array_equal(_samples(recording), kept)
    assert len(recording.segments) == (2 if second == 4 else 1)


@pytest.mark.parametrize(
    ("at", "reason"), [(0, "separator"), (6, "checksum"), (7, "checksum")]
)
def test_a_wrong_separator_or_size_costs_its_record(at, reason):
    counts = _counts(10)
    log = _log(counts)
    log[4] = _flipped(log[4], at)
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    quality = recording.quality
    assert quality["bad_blocks"] == 1
    assert quality["blocks"] == 10
    if at == 7:
        # The size now leads beyond the end.
        assert quality["bad_truncated"] == 1
    else:
        assert quality[f"bad_{reason}"] == 1
    kept = np.delete(counts, 4, axis=0).reshape(-1, 3)
    np.testing.assert_array_equal(_samples(recording), kept)


def test_zeros_between_records_are_allowed():
    log = _log(_counts(10))
    log[3] += bytes(5)
    log[6] += bytes(10_000)
    recording = read_gt3x(_archive(log_bin=b"".join(log) + bytes(3_000_000)))
    assert _bad(recording) == _breaks(recording) == {}
    assert recording.quality["samples"] == 300


def test_junk_between_records_is_counted_once():
    rng = np.random.default_rng(0)
    log = _log(_counts(10))
    log[3] += rng.integers(1, 256, 3_000_000, dtype=np.uint8).tobytes()
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert recording.quality["samples"] == 300
    assert recording.quality["bad_blocks"] <= 3  # noise may look like a record
    assert recording.quality["bad_blocks"] >= 1


def test_payloads_that_are_no_whole_samples():
    log = _log(_counts(6))
    log[1] = _record(_ACTIVITY2, _START + 1, bytes(179))
    log[3] = _record(_ACTIVITY, _START + 3, bytes(137))
    log[5] = _record(_ACTIVITY2, 5, b"\1" * 180)
    recording = read_gt3x(_archive(log_bin=b"".join(log)))
    assert _bad(recording) == {"bad_blocks": 3, "bad_size": 2, "bad_date": 1}
    assert recording.quality["samples"] == 90


@pytest.mark.parametrize("missing", [1, 100, 185])
def test_a_record_cut_off_by_the_end(missing):
    raw = b"".join(_log(_counts(10)))[:-missing]
    recording = read_gt3x(_archive(log_bin=raw))
    assert _bad(recording) == {"bad_blocks": 1, "bad_truncated": 1}
    assert recording.quality["samples"] == 270


# ----------------------------------------------------------------------- old firmware


def _old_info(**changes: str | None) -> bytes:
    changes = {"Acceleration_Scale": None} | changes
    return _info(Serial_Number="NEO1C04110003", Firmware="2.5.0", **changes)


@pytest.mark.parametrize("samples", [1, 2, 1_500, 200_001])
def test_old_firmware(samples):
    rng = np.random.default_rng(0)
    counts = rng.integers(-2_046, 2_047, (samples, 3)).astype(np.int16)
    counts[-1] = 1
    lux = np.arange(0, 2_000, 10, dtype="<u2")
    raw = _archive(_old_info(), activity_bin=_packed(counts), lux_bin=lux.tobytes())
    recording = read_gt3x(raw, options=_ALL)
    assert recording.device == "ActiGraph GT3X+"
    assert _bad(recording) == _breaks(recording) == {}
    (segment,) = recording.segments
    np.testing.assert_array_equal(segment.counts, counts)
    assert segment.scale == pytest.approx(1 / 341)
    assert segment.start == pytest.approx(_START)
    assert segment.rate_hz == pytest.approx(30.0)
    light = segment.channels["light"]
    assert len(light.values) == min(200, -(-samples // 30) + (samples % 30 == 0))
    np.testing.assert_allclose(light.index, 30.0 * np.arange(len(light.index)))
    # Readings below 20 are nothing; 1.25 is for the colour of the case.
    expected = 1.25 * np.where(lux < 20, 0, lux)[: len(light.values)]
    np.testing.assert_allclose(light.values, expected)


def test_old_firmware_wrote_zeros_while_asleep():
    counts = _counts(10).reshape(-1, 3)
    counts[90:150] = 0
    counts[200:210] = 0  # a third of a second can be a fall
    counts[290:] = 0  # fills a page of memory
    recording = read_gt3x(_archive(_old_info(), activity_bin=_packed(counts)))
    assert _breaks(recording) == {"breaks_idle_sleep": 1}
    assert _bad(recording) == {"bad_blocks": 70, "bad_empty": 70}
    assert recording.quality["blocks"] == 300
    before, after = recording.segments
    np.testing.assert_array_equal(before.counts, counts[:90])
    np.testing.assert_array_equal(after.counts, counts[150:290])
    assert after.start == pytest.approx(_START + 5)


def test_damage_to_old_firmware_s_samples_is_reported():
    counts = _counts(100).reshape(-1, 3)
    packed = _packed(counts)
    recording = read_gt3x(_archive(_old_info(), activity_bin=packed + b"\1\2"))
    assert _bad(recording) == {"bad_blocks": 1, "bad_truncated": 1}
    np.testing.assert_array_equal(_samples(recording), counts)
    # Such files have no checksum but the archive's.
    raw = bytearray(_zip(info_txt=_old_info(), activity_bin=packed))
    raw[raw.index(packed) + 5_000] ^= 1
    recording = read_gt3x(bytes(raw))
    assert _bad(recording) == {"bad_compression": 1}
    assert recording.quality["samples"] == len(counts)


def test_old_firmware_that_recorded_nothing():
    for activity in (b"", bytes(1_000)):
        raw = _archive(_old_info(), activity_bin=activity, lux_bin=b"")
        assert read_gt3x(raw, options=_ALL).segments == ()


# ------------------------------------------------------------- what is no such file


def _zip(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "cannot unpack"),
        (b"PK\3\4" * 100, "cannot unpack"),
        (_archive(log_bin=b"1")[:-30], "cannot unpack"),
        (_zip(), "holds info.txt, this one holds nothing"),
        (_zip(log_bin=b""), "holds info.txt, this one holds log.bin"),
        (_archive(), "holds activity.bin, this one holds info.txt"),
        (_archive(_info(Sample_Rate=None), log_bin=b""), "no sampling rate"),
        (_archive(_info(Sample_Rate="0"), log_bin=b""), "no sampling rate"),
        (_archive(b"\xff\x00" * 10, log_bin=b""), "no sampling rate"),
        (
            _archive(_info(Serial_Number="XYZ", Acceleration_Scale=None), log_bin=b""),
            "tells the scale",
        ),
        (_archive(_old_info(Start_Date="0"), activity_bin=b""), "names no start"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, raw, message):
    path = tmp_path / "a.gt3x"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=f"a\\.gt3x: .*{message}"):
        read_recording(path)


def test_nothing_recorded():
    assert read_gt3x(_archive(log_bin=b"")).segments == ()


def test_damage_to_the_compressed_log_keeps_what_came_before():
    log = b"".join(_log(_counts(3_000)))
    raw = bytearray(_archive(log_bin=log))
    raw[len(raw) // 2] ^= 0x40
    recording = read_gt3x(bytes(raw))
    assert recording.quality["samples"] > 30_000
    assert sum(_bad(recording).values()) > 0
    kept = recording.segments[0].counts
    np.testing.assert_array_equal(kept, _counts(3_000).reshape(-1, 3)[: len(kept)])


# -------------------------------------------------------------------------- fuzzing

_fuzzed = hypothesis.settings(max_examples=100, deadline=None, database=None)
_RECORDS = _log(_counts(6), _ACTIVITY) + [
    _record(_LUX, _START + 6, b"\1\2"),
    _record(_EVENT, _START + 7, b"\x08"),
    _said(MetadataType="LocalTimeLog"),
    *(_activity(_ACTIVITY2, _START + 8 + n, s) for n, s in enumerate(_counts(4))),
]
_LOG = b"".join(_RECORDS)
_FILE = _archive(log_bin=_LOG)
_OLD = _archive(_old_info(), activity_bin=_packed(_counts(9).reshape(-1, 3)))


def _read_any(raw: bytes) -> Recording | None:
    try:
        recording = read_gt3x(raw, options=_ALL)
    except FormatError:
        return None
    assert all(isinstance(value, int) for value in recording.quality.values())
    samples = sum(len(segment.counts) for segment in recording.segments)
    assert samples == recording.quality["samples"]
    for segment in recording.segments:
        assert (np.diff(segment.anchor_index) > 0).all()
        assert (np.diff(segment.anchor_time) > 0).all()
        assert np.isfinite([segment.start, segment.end, segment.rate_hz]).all()
        for channel in segment.channels.values():
            assert channel.index is not None
            assert len(channel.index) == len(channel.values)
    return recording


@_fuzzed
@hypothesis.given(st.binary(max_size=2_000))
def test_fuzz_random_bytes(raw):
    _read_any(raw)
    recording = _read_any(_zip(info_txt=_info(), log_bin=raw))
    assert recording is not None
    assert recording.quality["samples"] * 4.5 <= len(raw)
    _read_any(_zip(info_txt=raw, log_bin=_LOG))
    _read_any(_zip(info_txt=_old_info(), activity_bin=raw, lux_bin=raw))
    whole = _read_any(_zip(info_txt=_info(), log_bin=_LOG + raw + _LOG))
    assert whole is not None
    assert whole.quality["samples"] >= 600 - 30


@_fuzzed
@hypothesis.given(st.binary(min_size=1, max_size=60), st.integers(1, 40))
def test_fuzz_payloads(payload, kind):
    """Sound records of any type with any payload."""
    log = _LOG + _record(kind, _START + 20, payload) + _record(kind, 0, payload) + _LOG
    recording = _read_any(_zip(info_txt=_info(), log_bin=log))
    assert recording is not None
    assert recording.quality["samples"] >= 600


@_fuzzed
@hypothesis.given(st.integers(0, max(len(_FILE), len(_LOG), len(_OLD))))
def test_fuzz_truncation(length):
    _read_any(_FILE[:length])
    _read_any(_OLD[:length])
    recording = _read_any(_zip(info_txt=_info(), log_bin=_LOG[:length]))
    assert recording is not None
    sizes = np.cumsum([len(record) for record in _RECORDS])
    whole = int((sizes <= length).sum())
    lost = int(length < len(_LOG) and length not in (0, *sizes.tolist()))
    assert recording.quality["bad_truncated"] == lost
    seconds = sum(record[1] in (_ACTIVITY, _ACTIVITY2) for record in _RECORDS[:whole])
    assert recording.quality["samples"] == 30 * seconds


@_fuzzed
@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), max_size=6)
)
def test_fuzz_bit_flips(flips):
    log, file, old = bytearray(_LOG), bytearray(_FILE), bytearray(_OLD)
    for position, bit in flips:
        for raw in (log, file, old):
            raw[position % len(raw)] ^= 1 << bit
    _read_any(bytes(file))
    _read_any(bytes(old))
    recording = _read_any(_zip(info_txt=_info(), log_bin=bytes(log)))
    assert recording is not None
    assert recording.quality["samples"] >= 300 - 30 * len(flips)
    # Two flips of one bit in one record leave its checksum, an exclusive or, as it is.
    if len(flips) == 1:
        assert recording.quality["bad_blocks"] > 0
    if not flips:
        assert recording.quality["bad_blocks"] == 0


@_fuzzed
@hypothesis.given(st.lists(st.integers(0, len(_RECORDS) - 1), max_size=20))
def test_fuzz_shuffled_and_duplicated_records(order):
    log = b"".join(_RECORDS[number] for number in order)
    recording = _read_any(_zip(info_txt=_info(), log_bin=log))
    assert recording is not None
    assert _bad(recording) == {}
    chosen = [_RECORDS[n] for n in order if _RECORDS[n][1] in (_ACTIVITY, _ACTIVITY2)]
    assert recording.quality["blocks"] == len(chosen)
    times = [struct.unpack_from("<I", record, 2)[0] for record in chosen]
    broken = sum(b != a + 1 for a, b in zip(times, times[1:], strict=False))
    assert sum(_breaks(recording).values()) == broken


def test_memory_follows_the_file_not_its_claims():
    raw = bytearray(_archive(log_bin=_LOG))
    directory = raw.rindex(b"PK\1\2")
    # The archive's directory says that log.bin unpacks to almost 4 GiB.
    raw[directory + 24 : directory + 28] = struct.pack("<I", 0xFFFF_FFF0)
    tracemalloc.start()
    recording = _read_any(bytes(raw))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording is not None
    assert recording.quality["samples"] == 300
    assert peak < 20e6
