"""ActiLife's RAW CSV, and its counts that are no acceleration."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjax.data.formats import (
    ReadOptions,
    find_recordings,
    read_actigraph_csv,
    read_recording,
)
from sigjax.data.formats.actigraph_csv import parse_header
from sigjax.data.recording import FormatError

_START = datetime.datetime(2016, 8, 3, 21, 35)
_NAMES = "Accelerometer X,Accelerometer Y,Accelerometer Z"


def _header(
    date="M/d/yyyy", start="8/3/2016", time="21:35:00", rate="at 30 Hz", epoch="0:00:00"
) -> list[str]:
    date = f"date format {date}" if date else ""
    return [
        "------------ Data File Created By ActiGraph wGT3XBT ActiLife v6.13.3 Firmware"
        f" v1.8.0 {date} {rate}  Filter Normal -----------",
        "Serial Number: MOS2D16160581",
        f"Start Time {time}",
        f"Start Date {start}",
        f"Epoch Period (hh:mm:ss) {epoch}",
        "Download Time 18:59:15",
        "Download Date 8/24/2016",
        "Current Memory Address: 0",
        "Current Battery Voltage: 4.03     Mode = 12",
        "-" * 50,
    ]


def _values(count: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3)).round(3) + 0.001


def _file(rows, *, names=_NAMES, **header) -> bytes:
    lines = [*_header(**header), *([names] if names else []), *rows]
    return "\r\n".join([*lines, ""]).encode()


def _rows(values, separator=",") -> list[str]:
    return [separator.join(f"{x:.3f}" for x in row) for row in values]


def _utc(moment: datetime.datetime) -> float:
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def test_real_counts_are_refused_and_their_header_is_read(real_data):
    path = real_data / "wrist_devices" / "ActiGraph61.csv"
    header = parse_header(path.read_text().splitlines()[:10], "a")
    assert (header.model, header.serial) == ("wGT3XBT", "MOS2D16160581")
    assert (header.firmware, header.software) == ("1.8.0", "6.13.3")
    assert (header.rate_hz, header.epoch_s) == (None, 5)
    assert header.start == datetime.datetime(2016, 8, 15, 21, 35)
    with pytest.raises(FormatError, match=r"5-s activity counts, .*export RAW CSV"):
        read_recording(path)


@pytest.mark.parametrize("names", [_NAMES, ""])
def test_without_timestamps(tmp_path, names):
    values = _values()
    path = tmp_path / "a.csv"
    path.write_bytes(_file(_rows(values), names=names))
    assert find_recordings(tmp_path)[0] == [path]
    recording = read_recording(path, ReadOptions(tz="America/New_York"))
    (segment,) = recording.segments
    assert (recording.device, recording.device_id) == (
        "ActiGraph wGT3XBT",
        "MOS2D16160581",
    )
    assert recording.nominal_rate_hz == segment.rate_hz == 30
    assert (segment.counts.dtype, segment.scale) == (np.int16, 1e-3)
    np.testing.assert_array_equal(segment.counts, np.rint(values * 1000))
    assert segment.start == _utc(_START)
    assert segment.end == pytest.approx(segment.start + 299 / 30, abs=1e-6)
    assert recording.metadata["clock"] == "device-local"
    assert recording.metadata["start"] == "2016-08-03T21:35:00"
    assert recording.utc_offset_s == -4 * 3600
    assert recording.quality["samples"] == 300
    assert recording.quality["bad_blocks"] == 0


@pytest.mark.parametrize(
    ("date_format", "pattern"),
    [
        ("M/d/yyyy", "%m/%d/%Y"),
        ("d/M/yyyy", "%d/%m/%Y"),
        ("dd.MM.yyyy", "%d.%m.%Y"),
        ("dd-MMM-yy", "%d-%b-%y"),
        ("yyyy-MM-dd", "%Y-%m-%d"),
        ("", "%m/%d/%Y"),
    ],
)
@pytest.mark.parametrize("clock", ["%H:%M:%S", "%I:%M:%S %p"])
def test_date_formats(date_format, pattern, clock):
    moments = [_START + datetime.timedelta(seconds=i / 30) for i in range(300)]
    stamps = [m.strftime(f"{pattern} {clock}") for m in moments]
    if "%p" not in clock:
        stamps = [
            f"{s}.{m.microsecond // 1000:03d}"
            for s, m in zip(stamps, moments, strict=True)
        ]
    rows = [f"{t},{r}" for t, r in zip(stamps, _rows(_values()), strict=True)]
    header = {
        "date": date_format,
        "start": _START.strftime(pattern),
        "time": _START.strftime(clock),
    }
    for names in (f"Timestamp,{_NAMES}", ""):
        recording = read_actigraph_csv(_file(rows, names=names, **header))
        (segment,) = recording.segments
        np.testing.assert_array_equal(segment.counts, np.rint(_values() * 1000))
        times = segment.time_at(np.arange(300))
        expected = _utc(_START) + np.arange(300) / 30
        np.testing.assert_allclose(times, expected, atol=0.002)
        assert recording.metadata["clock"] == "device-local"


def test_european_numbers():
    rows = [row.replace(".", ",") for row in _rows(_values(), ";")]
    names = _NAMES.replace(",", ";")
    header = [f"{line};;" for line in _header(date="dd.MM.yyyy", start="03.08.2016")]
    raw = "\r\n".join([*header, names, *rows]).encode()
    recording = read_actigraph_csv(raw)
    (segment,) = recording.segments
    np.testing.assert_array_equal(segment.counts, np.rint(_values() * 1000))
    assert segment.start == _utc(_START)


def test_columns_of_a_device_with_more_sensors():
    names = f"Timestamp,{_NAMES},Temperature,Gyroscope X"
    stamps = [f"2016-08-03T21:35:{i / 30:010.7f}" for i in range(300)]
    rows = [f"{t},{r},31.5,0.1" for t, r in zip(stamps, _rows(_values()), strict=True)]
    (segment,) = read_actigraph_csv(_file(rows, names=names)).segments
    np.testing.assert_array_equal(segment.counts, np.rint(_values() * 1000))
    assert segment.start == pytest.approx(_utc(_START), abs=1e-4)


def test_idle_sleep_and_bad_rows_leave_gaps():
    rows = _rows(_values())
    rows[100:190] = ["0.000,0.000,0.000"] * 90
    rows[250] = "NaN,NaN,NaN"
    rows[260] = "0.1,0.2"
    recording = read_actigraph_csv(_file(rows))
    quality = recording.quality
    assert (quality["bad_idle"], quality["bad_number"]) == (90, 1)
    assert (quality["bad_columns"], quality["bad_blocks"]) == (1, 92)
    assert (quality["blocks"], quality["samples"]) == (300, 208)
    assert [len(s.counts) for s in recording.segments] == [100, 60, 9, 39]
    starts = [s.start - _utc(_START) for s in recording.segments]
    assert starts == pytest.approx([i / 30 for i in (0, 190, 251, 261)], abs=1e-6)


def test_more_decimals():
    values = np.random.default_rng(0).normal(size=(100, 3)).round(9)
    rows = [",".join(map(str, row)) for row in values]
    (segment,) = read_actigraph_csv(_file(rows)).segments
    assert segment.counts.dtype == np.float32
    np.testing.assert_array_equal(segment.counts, values.astype(np.float32))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an ActiGraph CSV"),
        ("\n".join(_header()[:7]).encode(), "10 rows of header"),
        (_file(["1,2,3"], start="31/31/2016"), "does not fit the date format"),
        (_file(["1,2,3"], date="M/M/yyyy"), "does not fit the date format"),
        (_file(["1,2,3"], rate="", epoch="00:01:00"), "60-s activity counts"),
        (_file(["1,2,3"], rate="at 0 Hz"), "activity counts"),
        (_file(["1,2,3,4,5"], names=""), "expected X, Y and Z"),
    ],
)
def test_what_cannot_be_read_says_so(raw, message):
    with pytest.raises(FormatError, match=rf"a\.csv: .*{message}"):
        read_actigraph_csv(raw, name="a.csv")


def test_a_header_alone_has_no_segments():
    assert read_actigraph_csv(_file([])).segments == ()
    assert read_actigraph_csv(_file([], names="")).segments == ()


_WHOLE = _file(_rows(_values(30)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_are_read_or_refused(data):
    raw = bytearray(_WHOLE)
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(raw) - 1))
        piece = data.draw(
            st.sampled_from([b"", b"M", b"9", b"y", b";", b"\xff", b"\n"])
        )
        raw[place : place + 1] = piece
    try:
        recording = read_actigraph_csv(
            bytes(raw[: data.draw(st.integers(0, len(raw)))])
        )
    except FormatError:
        return
    assert recording.quality["samples"] == sum(
        len(s.counts) for s in recording.segments
    )
