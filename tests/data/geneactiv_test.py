"""The GENEActiv reader: facts about a real file, and written files of known content."""

import dataclasses
import datetime
import gzip
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sigjax.data.formats import ReadOptions, read_geneactiv, read_recording
from sigjax.data.recording import FormatError, Recording

_ALL = ReadOptions(channels=("light", "button", "battery", "gyro"))
_START = datetime.datetime(2021, 3, 28, 0, 59, 51, 500_000)
_GAIN = (25_875, 25_734, 25_538)
_OFFSET = (439, -662, -3_056)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Page:
    """One page as the manual has it; fields are text so that they can be wrong."""

    sequence: str
    time: str
    counts: np.ndarray
    light: np.ndarray
    button: np.ndarray
    temperature: str = "21.5"
    battery: str = "4.1493"
    rate: str = "100.0"
    marker: str = "Recorded Data"

    @property
    def digits(self) -> str:
        """Twelve hexadecimal digits per sample, written as one 48-bit number each."""
        samples = zip(
            (self.counts & 0xFFF).tolist(),
            self.light.tolist(),
            self.button.tolist(),
            strict=True,
        )
        return "".join(
            f"{x << 36 | y << 24 | z << 12 | light << 2 | button << 1:012X}"
            for (x, y, z), light, button in samples
        )

    def text(self, *, digits: str | None = None) -> str:
        return "\r\n".join(
            [
                self.marker,
                "Device Unique Serial Code:012345",
                f"Sequence Number:{self.sequence}",
                f"Page Time:{self.time}",
                "Unassigned:",
                f"Temperature:{self.temperature}",
                f"Battery voltage:{self.battery}",
                "Device Status:Recording",
                f"Measurement Frequency:{self.rate}",
                self.digits if digits is None else digits,
                "",
            ]
        )


def _header(**changes: str) -> str:
    fields = {
        "Device Unique Serial Code": "012345",
        "Device Type": "GENEActiv           ",
        "Device Firmware Version": "Ver4.08a date19Sep14",
        "Accelerometer Range": "-8 to 8             ",
        "Measurement Frequency": "100.0 Hz",
        "Start Time": "2021-03-28 00:59:51:500",
        "Time Zone": "GMT -03:30",
        "Config Time": "2021-03-27 9:30:00:000",
        "Device Location Code": "left wrist",
        "Subject Code": "P007      ",
        "Sex": "",
        "Subject Notes": "\0" * 20,
        **{f"{a} gain": str(v) for a, v in zip("xyz", _GAIN, strict=True)},
        **{f"{a} offset": str(v) for a, v in zip("xyz", _OFFSET, strict=True)},
        "Volts": "300",
        "Lux": "800",
        "Number of Pages": "5",
    } | {key.replace("_", " "): value for key, value in changes.items()}
    lines = [f"{key}:{value}" for key, value in fields.items()]
    return "\r\n".join(["Device Identity", *lines, "", ""])


def _pages(count: int, *, rate_hz: float = 100.0, seed: int = 0) -> list[_Page]:
    rng = np.random.default_rng(seed)
    pages = []
    for number in range(count):
        time = _START + datetime.timedelta(seconds=number * 300 / rate_hz)
        pages.append(
            _Page(
                sequence=str(number),
                time=f"{time:%Y-%m-%d %H:%M:%S}:{time.microsecond // 1000:03d}",
                counts=rng.integers(-2048, 2048, (300, 3)),
                light=rng.integers(0, 1024, 300),
                button=rng.integers(0, 2, 300),
                temperature=f"{20 + number / 10:.1f}",
                battery=f"{4 - number / 100:.4f}",
                rate=f"{rate_hz:.1f}",
            )
        )
    return pages


def _file(pages: list[_Page], **header: str) -> bytes:
    return "".join([_header(**header), *(page.text() for page in pages)]).encode()


def _bad(recording: Recording) -> dict[str, int]:
    return {k: v for k, v in recording.quality.items() if k.startswith("bad_") and v}


def _breaks(recording: Recording) -> dict[str, int]:
    return {k: v for k, v in recording.quality.items() if k.startswith("breaks_") and v}


def _samples(recording: Recording) -> np.ndarray:
    parts = [segment.counts for segment in recording.segments]
    return np.concatenate([np.zeros((0, 3), np.int16), *parts])


def _seconds(moment: datetime.datetime) -> float:
    return moment.replace(tzinfo=datetime.UTC).timestamp()


# ------------------------------------------------------------------- a real file


@pytest.fixture
def real(real_data) -> Recording:
    path = real_data / "wrist_devices" / "GENEActiv_testfile.bin"
    return read_recording(path, _ALL)


def test_real_file_is_cut_off_in_its_last_page(real):
    (segment,) = real.segments
    assert segment.counts.shape == (4_800, 3)
    assert segment.counts.dtype == np.int16
    assert real.quality["blocks"] == 17
    assert _bad(real) == {"bad_blocks": 1, "bad_truncated": 1}
    assert _breaks(real) == {}
    assert (real.device, real.device_id) == ("GENEActiv", "012967")
    assert real.nominal_rate_hz == 85.7
    # 300 samples in exactly 3.5 s: the rate in the file is rounded.
    assert segment.rate_hz == pytest.approx(300 / 3.5, abs=1e-9)


def test_real_values_and_times_are_those_of_actipy(real):
    (segment,) = real.segments
    expected = {
        0: (0.740522, 0.014067, -0.643903),
        1: (0.609121, 0.247222, -0.812280),
        3: (0.632309, 0.080127, -0.824027),
        4797: (-0.952232, 0.173389, -0.170099),
        4799: (-0.956097, 0.173389, -0.232751),
    }
    for sample, values in expected.items():
        np.testing.assert_allclose(segment.acceleration[sample], values, atol=1e-6)
    assert segment.start == _seconds(
        datetime.datetime(2013, 5, 30, 10, 12, 54, 500_000)
    )
    # That reader shows whole milliseconds.
    end = datetime.datetime(2013, 5, 30, 10, 13, 50, 488_000)
    assert segment.end == pytest.approx(_seconds(end), abs=1e-3)
    assert segment.temperature_c[0] == 21.5
    assert segment.temperature_c[-1] == np.float32(23.1)
    norm = np.linalg.norm(segment.acceleration, axis=1)
    assert np.median(norm) == pytest.approx(1.0, abs=0.03)


def test_real_channels_and_header(real):
    channels = real.segments[0].channels
    # One count is 800 / 300 lux; scikit-digital-health rounds 2.67 down to 2.
    np.testing.assert_allclose(channels["light"].values[:3], [8 / 3, 8 / 3, 0])
    assert channels["light"].unit == "lux"
    assert not channels["button"].values.any()
    assert channels["battery"].values[0] == np.float32(4.1493)
    assert "gyro" not in channels
    assert real.utc_offset_s == 3600.0
    assert real.metadata["clock"] == "device-local"
    assert real.metadata["logging_start"] == "2013-05-30T10:12:49.500000"
    assert real.metadata["calibration_date"] == "2012-04-03T11:08:52"
    # Nobody filled this in: the file holds zero bytes.
    assert "subject_code" not in real.metadata


# ----------------------------------------------------------- values and times, known


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_written_samples_come_back(newline):
    pages = _pages(5)
    raw = _file(pages).replace(b"\r\n", newline.encode())
    recording = read_geneactiv(raw, name="a.bin", options=_ALL)
    assert recording.quality["bad_blocks"] == 0
    (segment,) = recording.segments
    counts = np.concatenate([page.counts for page in pages])
    np.testing.assert_array_equal(segment.counts, counts)
    expected = (100 * counts - np.array(_OFFSET)) / np.array(_GAIN)
    np.testing.assert_allclose(segment.acceleration, expected, atol=1e-6)
    light = np.concatenate([page.light for page in pages])
    channels = segment.channels
    np.testing.assert_allclose(channels["light"].values, light * 800 / 300, rtol=1e-6)
    button = np.concatenate([page.button for page in pages])
    np.testing.assert_array_equal(channels["button"].values, button)
    np.testing.assert_allclose(channels["battery"].values, 4 - np.arange(5) / 100)
    np.testing.assert_allclose(segment.temperature_c, 20 + np.arange(5) / 10, rtol=1e-6)
    np.testing.assert_allclose(segment.temperature_index, 149.5 + 300 * np.arange(5))
    times = segment.time_at(np.arange(1_500))
    np.testing.assert_allclose(times, _seconds(_START) + np.arange(1_500) / 100)


def test_header_fields():
    recording = read_geneactiv(_file(_pages(1)))
    assert recording.device_id == "012345"
    assert recording.utc_offset_s == -3.5 * 3600
    assert recording.nominal_rate_hz == 100.0
    expected = {
        "subject_code": "P007",
        "position": "left wrist",
        "last_change": "2021-03-27T09:30:00",
        "range_g": 8.0,
    }
    assert recording.metadata.items() >= expected.items()
    assert not {"sex", "subject_notes"} & set(recording.metadata)


@pytest.mark.parametrize(
    ("text", "offset_s"),
    [
        ("GMT", 0.0),
        ("GMT +00:00", 0.0),
        ("GMT +05:45", 20_700.0),
        ("GMT -11:00", -39_600.0),
        ("", None),
        ("GMT +99:00", None),
        ("Europe/London", None),
    ],
)
def test_time_zones(text, offset_s):
    recording = read_geneactiv(_file(_pages(1), Time_Zone=text))
    assert recording.utc_offset_s == offset_s


def test_side_channels_only_on_request():
    (segment,) = read_geneactiv(_file(_pages(2))).segments
    assert segment.channels == {}


def test_unknown_light_calibration_gives_raw_counts():
    pages = _pages(1)
    (segment,) = read_geneactiv(_file(pages, Volts="0"), options=_ALL).segments
    light = segment.channels["light"]
    assert light.unit == "adc"
    np.testing.assert_array_equal(light.values, pages[0].light)


def test_commas_of_other_languages():
    pages = [dataclasses.replace(p, temperature="20,5") for p in _pages(2)]
    (segment,) = read_geneactiv(_file(pages, Measurement_Frequency="100,0 Hz")).segments
    np.testing.assert_array_equal(segment.temperature_c, [20.5, 20.5])


def test_a_lone_page_takes_the_rate_of_the_rest():
    pages = _pages(8, rate_hz=300 / 3.5)
    pages = [dataclasses.replace(page, rate="85.7") for page in pages]
    del pages[1]
    lone, rest = read_geneactiv(_file(pages)).segments
    assert len(lone.counts) == 300
    assert lone.rate_hz == pytest.approx(rest.rate_hz, abs=1e-6)
    assert rest.rate_hz == pytest.approx(300 / 3.5, abs=1e-6)


def test_many_passes_are_one_segment(tmp_path):
    """Pages that the reader's passes cut in two, anywhere."""
    pages = _pages(12)
    count = 700  # 2.6 MB: several passes
    times = [_START + datetime.timedelta(seconds=3 * n) for n in range(count)]
    texts = [page.digits for page in pages]
    raw = _header() + "".join(
        dataclasses.replace(
            pages[n % 12],
            sequence=str(n),
            time=f"{time:%Y-%m-%d %H:%M:%S}:{time.microsecond // 1000:03d}",
        ).text(digits=texts[n % 12])
        for n, time in enumerate(times)
    )
    recording = read_geneactiv(raw.encode(), options=_ALL)
    assert recording.quality["blocks"] == count
    assert recording.quality["bad_blocks"] == 0
    (segment,) = recording.segments
    expected = np.concatenate([page.counts for page in pages])
    expected = np.resize(expected, (300 * count, 3))
    np.testing.assert_array_equal(segment.counts, expected)
    path = tmp_path / "a.bin.gz"
    path.write_bytes(gzip.compress(raw.encode(), 1)[:-500_000])
    cut_off = read_recording(path)
    assert cut_off.quality["bad_compression"] == 1
    assert 0 < cut_off.quality["samples"] < 300 * count
    np.testing.assert_array_equal(
        _samples(cut_off), expected[: cut_off.quality["samples"]]
    )


# -------------------------------------------------------------------- bad pages


def _with(change: str, pages: list[_Page], at: int) -> list[str]:
    """The pages' texts, one of them wrong in one way."""
    texts = [page.text() for page in pages]
    page = pages[at]
    changes = {
        "short": lambda: page.text(digits=page.digits[:-12]),
        "odd": lambda: page.text(digits=page.digits[:-1]),
        "long": lambda: page.text(digits=page.digits + "00"),
        "digit": lambda: page.text(digits="G" + page.digits[1:]),
        "no digits": lambda: page.text(digits=""),
        "missing line": lambda: page.text().replace("Unassigned:\r\n", ""),
        "no sequence": lambda: dataclasses.replace(page, sequence="").text(),
        "no number": lambda: dataclasses.replace(page, temperature="warm").text(),
        "not finite": lambda: dataclasses.replace(page, battery="nan").text(),
        "no rate": lambda: dataclasses.replace(page, rate="0").text(),
        "month": lambda: dataclasses.replace(page, time="2021-13-28 1:0:0:0").text(),
        "hour": lambda: dataclasses.replace(page, time="2021-03-28 24:0:0:0").text(),
        "year": lambda: dataclasses.replace(page, time="1921-03-28 1:0:0:0").text(),
        "no date": lambda: dataclasses.replace(page, time="yesterday").text(),
        "zeros": lambda: page.text(digits="0" * 3600),
        "marker": lambda: dataclasses.replace(page, marker="Recorded Dada").text(),
    }
    texts[at] = changes[change]()
    return texts


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("short", "payload"),
        ("odd", "payload"),
        ("long", "payload"),
        ("digit", "payload"),
        ("no digits", "payload"),
        ("missing line", "fields"),
        ("no sequence", "fields"),
        ("no number", "fields"),
        ("not finite", "fields"),
        ("no rate", "fields"),
        ("month", "date"),
        ("hour", "date"),
        ("year", "date"),
        ("no date", "date"),
        ("zeros", "empty"),
        ("marker", "marker"),
    ],
)
@pytest.mark.parametrize("at", [0, 3])
def test_a_bad_page_is_counted_and_leaves_a_gap(change, reason, at):
    pages = _pages(6)
    raw = _header() + "".join(_with(change, pages, at))
    recording = read_geneactiv(raw.encode())
    assert recording.quality["blocks"] == 6
    assert _bad(recording) == {"bad_blocks": 1, f"bad_{reason}": 1}
    assert recording.quality["samples"] == 1_500
    kept = [page.counts for n, page in enumerate(pages) if n != at]
    np.testing.assert_array_equal(_samples(recording), np.concatenate(kept))
    assert _breaks(recording) == ({"breaks_sequence": 1} if at else {})
    last = recording.segments[-1]
    assert last.end == pytest.approx(_seconds(_START) + 1_799 / 100, abs=1e-6)


def test_a_page_cut_off_by_the_end_is_truncated():
    raw = _file(_pages(3))
    for missing in (20, 3_000, 3_700):
        recording = read_geneactiv(raw[:-missing])
        assert _bad(recording) == {"bad_blocks": 1, "bad_truncated": 1}
        assert recording.quality["samples"] == 600


@pytest.mark.parametrize("before_pass_ends", [0, 1, 7, 12, 13])
def test_junk_between_pages_is_passed_over(before_pass_ends):
    """Longer than a pass, in what looks like a page, up to a marker that is cut."""
    first, second = _pages(2)
    text = _header() + first.text() + "Sequence Number:7" + "\0" * 10
    text = text.ljust((1 << 16) + (2 << 20) - before_pass_ends, "-") + second.text()
    recording = read_geneactiv(text.encode())
    assert recording.quality["samples"] == 600
    assert _bad(recording) == {"bad_blocks": 1, "bad_marker": 1}


# ------------------------------------------------------------------------ breaks


def _moved(page: _Page, seconds: float) -> str:
    date, _, clock = page.time.partition(" ")
    hour, minute, second, ms = clock.split(":")
    moment = datetime.datetime.fromisoformat(f"{date} {hour}:{minute}:{second}.{ms}")
    moment += datetime.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}:{moment.microsecond // 1000:03d}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sequence": "1"}, "sequence"),
        ({"rate": "50.0"}, "rate"),
        ({"shift": 1.0}, "clock"),
        ({"shift": -3_600.0}, "clock"),
        ({"shift": 86_400.0}, "clock"),
    ],
)
def test_each_kind_of_break(changes, reason):
    pages = _pages(6)
    shift = changes.pop("shift", 0.0)
    for at in (3, 4, 5):
        new = {"time": _moved(pages[at], shift), **changes}
        if "sequence" in new:
            new["sequence"] = str(at - 2)
        pages[at] = dataclasses.replace(pages[at], **new)
    recording = read_geneactiv(_file(pages))
    if reason == "rate":
        # The later pages' times no longer fit their rate, either.
        assert _breaks(recording) == {"breaks_rate": 1, "breaks_clock": 2}
        return
    assert _breaks(recording) == {f"breaks_{reason}": 1}
    first, second = recording.segments
    assert len(first.counts) == len(second.counts) == 900
    assert second.start == pytest.approx(_seconds(_START) + 9.0 + shift)


# ------------------------------------------------------------- what is no such file


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"Device Identity\r\n", "x gain"),
        (b"\x00\x01\x02" * 1_000, "x gain"),
        (_header(x_gain="0").encode(), "x gain"),
        (_header(y_offset="much").encode(), "x gain"),
        (_header(Measurement_Frequency="fast").encode(), "measurement frequency"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, raw, message):
    path = tmp_path / "a.bin"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=f"a\\.bin: .*{message}"):
        read_geneactiv(path)


def test_never_recorded():
    recording = read_geneactiv(_header().encode())
    assert recording.segments == ()
    assert recording.quality["blocks"] == 0


# -------------------------------------------------------------------------- fuzzing

_fuzzed = hypothesis.settings(max_examples=100, deadline=None, database=None)
_WHOLE = _file(_pages(6))
_TEXTS = [page.text().encode() for page in _pages(6)]


def _read_any(raw: bytes) -> Recording | None:
    try:
        recording = read_geneactiv(raw, options=_ALL)
    except FormatError:
        return None
    quality = recording.quality
    assert all(isinstance(value, int) for value in quality.values())
    samples = sum(len(segment.counts) for segment in recording.segments)
    assert samples == quality["samples"]
    assert quality["blocks"] == samples // 300 + quality["bad_blocks"]
    assert samples * 12 <= len(raw)
    for segment in recording.segments:
        assert (np.diff(segment.anchor_index) > 0).all()
        assert (np.diff(segment.anchor_time) > 0).all()
        assert np.isfinite([segment.start, segment.end, segment.rate_hz]).all()
    return recording


@_fuzzed
@hypothesis.given(st.binary(max_size=2_000))
def test_fuzz_random_bytes(raw):
    _read_any(raw)
    _read_any(_WHOLE[:1_000] + raw)
    _read_any(_WHOLE[: -len(_TEXTS[-1])] + raw + _TEXTS[-1])


@_fuzzed
@hypothesis.given(st.integers(0, len(_WHOLE)))
def test_fuzz_truncation(length):
    recording = _read_any(_WHOLE[:length])
    if recording is not None:
        started = _WHOLE[:length].count(b"Recorded Data")
        assert recording.quality["blocks"] >= started


@_fuzzed
@hypothesis.given(
    st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 7)), max_size=8)
)
def test_fuzz_bit_flips(flips):
    raw = bytearray(_WHOLE)
    for position, bit in flips:
        raw[position] ^= 1 << bit
    recording = _read_any(bytes(raw))
    if recording is not None:
        good = recording.quality["samples"] // 300
        # Every page is kept or counted, unless its marker and its number are both hit.
        assert good + recording.quality["bad_blocks"] >= 6 - len(flips) // 2
        assert good >= 6 - len(flips)


@_fuzzed
@hypothesis.given(st.lists(st.integers(0, 5), max_size=10))
def test_fuzz_shuffled_and_duplicated_pages(order):
    raw = _header().encode() + b"".join(_TEXTS[number] for number in order)
    recording = _read_any(raw)
    assert recording is not None
    assert recording.quality["blocks"] == len(order)
    assert recording.quality["bad_blocks"] == 0
    broken = sum(b != a + 1 for a, b in zip(order, order[1:], strict=False))
    assert sum(_breaks(recording).values()) == broken
    # Every page keeps its time, wherever it stands.
    starts = [number for segment in recording.segments for number in [segment.start]]
    firsts = [n for at, n in enumerate(order) if at == 0 or order[at - 1] != n - 1]
    np.testing.assert_allclose(starts, [_seconds(_START) + 3.0 * n for n in firsts])


def test_memory_follows_the_file_not_its_claims():
    raw = _header(Number_of_Pages="2000000000").encode() + b"".join(_TEXTS)
    tracemalloc.start()
    recording = _read_any(raw + b"Recorded Data" * 10_000 + b"0" * 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording is not None
    assert recording.quality["samples"] == 1_800
    assert recording.quality["bad_blocks"] == 10_000
    assert peak < 20e6
