"""Text tables by a named layout: columns, clocks, labels, and what is not used."""

import datetime
import gzip
import zoneinfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjax.data.formats import (
    CsvLayout,
    ReadOptions,
    csv_rows,
    decimal_samples,
    find_recordings,
    read_recording,
    read_table,
)
from sigjax.data.recording import FormatError
from sigjax.data.wearable import resample

_XYZ = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s")
_WATCH = CsvLayout.parse(
    "x=x_acc,y=y_acc,z=z_acc,unit=m/s2,time=timestamp,time_unit=ms,label=label"
)
_START = 1_700_000_000.0


def _csv(time, values, *, header="t,x,y,z") -> bytes:
    rows = [f"{t},{x},{y},{z}" for t, (x, y, z) in zip(time, values, strict=True)]
    return "\n".join([header, *rows, ""]).encode()


def _read(raw: bytes, layout: CsvLayout = _XYZ, tz: str = "", name: str = "a.csv"):
    return read_table(raw, name=name, options=ReadOptions(csv=layout, tz=tz))


def _random(count: int, decimals: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3)).round(decimals)


def test_real_watch_recordings(real_data):
    folder = real_data / "sp_sw_har_watch" / "DATA"
    options = ReadOptions(csv=_WATCH)
    found, _ = find_recordings(f"{folder}/s*/*_sw.csv", options)
    assert len(found) == 92
    total, short = 0, 0
    for path in found[::8]:
        recording = read_recording(path, options)
        (segment,) = recording.segments
        rows = path.read_text().splitlines()[1:]
        cells = [row.split(",") for row in rows]
        total += len(rows)
        assert recording.quality["samples"] == len(segment.counts) == len(rows)
        assert recording.quality["bad_blocks"] == 0
        short += recording.quality["short_gaps"]
        expected = np.array([c[:3] for c in cells], float) / 9.80665
        np.testing.assert_allclose(segment.acceleration, expected, rtol=3e-7)
        names = recording.metadata["labels"]
        codes = segment.channels["label"].values
        assert [names[code] for code in codes] == [cell[7] for cell in cells]
        # Stamps are up to 40 ms late; the device itself keeps 104.3 Hz.
        assert segment.rate_hz == pytest.approx(104.3, abs=0.1)
        late = np.array([c[6] for c in cells], float) / 1e3 - segment.time_at(
            np.arange(len(cells))
        )
        assert abs(np.median(late)) < 0.002 and np.abs(late).max() < 0.05
    assert total > 10_000 and short < 5


@pytest.mark.parametrize(
    ("unit", "decimals", "dtype", "scale"),
    [
        ("g", 3, np.int16, 1e-3),
        ("mg", 0, np.int16, 1e-3),
        ("g", 2, np.int16, 1e-2),
        ("m/s2", 3, np.int16, 1e-3 / 9.80665),
        ("g", 8, np.float32, 1.0),
        ("m/s2", 8, np.float32, 1 / 9.80665),
    ],
)
def test_decimal_text_is_kept_exactly(unit, decimals, dtype, scale):
    values = _random(500, decimals) * (1000 if unit == "mg" else 1)
    values = values.round(decimals)
    raw = _csv(_START + np.arange(500) / 50, values)
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s", unit=unit)
    (segment,) = _read(raw, layout).segments
    assert segment.counts.dtype == dtype
    assert segment.scale == pytest.approx(scale)
    in_unit = {"g": 1, "mg": 1e-3, "m/s2": 1 / 9.80665}[unit]
    np.testing.assert_allclose(
        segment.acceleration, values * in_unit, rtol=2e-7, atol=1e-9
    )


def test_finer_decimals_and_floats_that_come_late(monkeypatch):
    monkeypatch.setattr(csv_rows, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(decimal_samples, "_CHUNK", 1000)
    values = _random(9000, 2).clip(-3, 3)
    values[6000:] = _random(3000, 4).clip(-3, 3)
    time = _START + np.arange(9000) / 50
    (segment,) = _read(_csv(time, values)).segments
    assert (segment.counts.dtype, segment.scale) == (np.int16, 1e-4)
    np.testing.assert_array_equal(segment.counts, np.rint(values * 1e4))
    values[8500, 1] = 0.12345678
    (segment,) = _read(_csv(time, values)).segments
    assert segment.counts.dtype == np.float32
    np.testing.assert_array_equal(segment.counts, values.astype(np.float32))


def _stamps(unit: str, seconds: np.ndarray) -> list[str]:
    if unit in ("s", "ms", "us", "ns"):
        power = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
        whole = [round(s * 1000) for s in seconds]
        return [
            f"{w / 1000}" if not power else f"{w}{'0' * (power - 3)}" for w in whole
        ]
    moments = [datetime.datetime.fromtimestamp(s, datetime.UTC) for s in seconds]
    if unit == "iso":
        return [m.isoformat(timespec="milliseconds") for m in moments]
    return [m.strftime(unit) for m in moments]


@pytest.mark.parametrize(
    "unit",
    ["s", "ms", "us", "ns", "iso", "%d.%m.%Y %H:%M:%S.%f%z", "%Y%m%dT%H%M%S,%f UTC%z"],
)
def test_instants_are_utc(unit):
    seconds = _START + np.arange(300) / 50
    rows = zip(_stamps(unit, seconds), _random(300), strict=True)
    raw = "t;x;y;z\n" + "".join(f"{t};{x};{y};{z}\n" for t, (x, y, z) in rows)
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit=unit, delimiter=";")
    recording = _read(raw.encode(), layout, tz="Europe/London")
    (segment,) = recording.segments
    assert (recording.metadata["clock"], recording.utc_offset_s) == ("utc", 0.0)
    np.testing.assert_allclose(segment.time_at(np.arange(300)), seconds, atol=1e-6)
    assert recording.nominal_rate_hz == pytest.approx(50, rel=1e-8)


@pytest.mark.parametrize(
    "unit", ["iso", "%d/%m/%Y %H:%M:%S.%f", "%m-%d-%y %I:%M:%S.%f %p"]
)
def test_naive_times_are_local_without_a_zone(unit):
    seconds = _START + np.arange(100) / 50
    texts = [t.removesuffix("+00:00") for t in _stamps(unit, seconds)]
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit=unit)
    recording = _read(_csv(texts, _random(100)), layout)
    assert recording.metadata["clock"] == "device-local"
    assert recording.utc_offset_s is None
    assert recording.segments[0].start == pytest.approx(_START, abs=1e-6)


def test_times_that_name_an_offset_do_not_mix_with_others():
    texts = _stamps("iso", _START + np.arange(100) / 50)
    for odd in (texts[40].removesuffix("+00:00"), "2023-02-30T00:00:00Z", "24:00"):
        rows = [*texts[:40], odd, *texts[41:]]
        layout = CsvLayout(x="x", y="y", z="z", time="t")
        recording = _read(_csv(rows, _random(100)), layout)
        assert recording.quality["bad_time"] == recording.quality["bad_blocks"] == 1
        assert recording.segments[0].start == pytest.approx(_START, abs=1e-6)


def _wall(first: str, seconds: np.ndarray, tz: str) -> tuple[list[str], np.ndarray]:
    start = datetime.datetime.fromisoformat(first).timestamp()
    zone = zoneinfo.ZoneInfo(tz)
    moments = [datetime.datetime.fromtimestamp(start + s, zone) for s in seconds]
    return [m.replace(tzinfo=None).isoformat() for m in moments], start + seconds


@pytest.mark.parametrize(
    ("first", "hours"),
    [
        ("2024-03-30T23:30:00+00:00", 3),  # over the hour that is skipped
        ("2024-10-26T23:30:00+00:00", 4),  # over the one that comes twice
        ("2024-10-27T00:20:00+00:00", 1.5),  # from the first of the two
        ("2024-10-27T01:20:00+00:00", 1),  # from the second into what follows
        ("2024-07-01T12:00:00+00:00", 0.5),
        ("2024-01-01T12:00:00+00:00", 0.5),
    ],
)
def test_wall_clock_times_follow_daylight_saving(first, hours):
    texts, truth = _wall(first, np.arange(int(hours * 3600)) * 1.0, "Europe/London")
    layout = CsvLayout(x="x", y="y", z="z", time="t")
    recording = _read(_csv(texts, _random(len(texts))), layout, tz="Europe/London")
    (segment,) = recording.segments
    assert (recording.metadata["clock"], recording.utc_offset_s) == ("utc", 0.0)
    np.testing.assert_allclose(
        segment.time_at(np.arange(len(truth))), truth, rtol=0, atol=1e-5
    )
    assert recording.quality["breaks_gap"] == recording.quality["breaks_set_back"] == 0


def test_a_gap_within_the_repeated_hour_is_told_by_order():
    seconds = np.concatenate([np.arange(2000.0), np.arange(4500.0, 7000.0)])
    texts, truth = _wall("2024-10-27T00:10:00+00:00", seconds, "Europe/London")
    layout = CsvLayout(x="x", y="y", z="z", time="t")
    recording = _read(_csv(texts, _random(len(texts))), layout, tz="Europe/London")
    assert [s.start for s in recording.segments] == pytest.approx(
        [truth[0], truth[2000]]
    )
    assert recording.quality["breaks_gap"] == 1


def test_a_clock_without_daylight_saving_is_cut_at_the_hour_that_is_not():
    texts, _ = _wall("2024-03-31T00:30:00+00:00", np.arange(7200.0), "Etc/UTC")
    layout = CsvLayout(x="x", y="y", z="z", time="t")
    recording = _read(_csv(texts, _random(7200)), layout, tz="Europe/London")
    assert recording.quality["breaks_set_back"] == 1
    assert [len(s.counts) for s in recording.segments] == [5400, 1800]
    first, second = recording.segments
    assert second.start == first.end + 1 - 3600


def test_gaps_and_clock_set_back_begin_segments():
    time = _START + np.arange(1000) / 50
    time[300:] += 1.5
    time[700:] -= 600
    recording = _read(_csv(time, _random(1000)))
    assert [len(s.counts) for s in recording.segments] == [300, 400, 300]
    assert recording.quality["breaks_gap"] == recording.quality["breaks_set_back"] == 1
    for segment, first in zip(recording.segments, (0, 300, 700), strict=True):
        assert segment.start == pytest.approx(time[first], abs=1e-5)
        assert resample.usable(segment, recording.nominal_rate_hz)


def test_a_short_gap_is_not_stretched_over():
    time = _START + np.arange(1000) / 50
    time[333:] += 0.4
    recording = _read(_csv(time, _random(1000)))
    (segment,) = recording.segments
    assert recording.quality["short_gaps"] == 1
    np.testing.assert_allclose(segment.time_at(np.arange(1000)), time, atol=1e-4)


@pytest.mark.parametrize("block_bytes", [200, 1 << 22])
def test_jitter_and_repeated_stamps_are_averaged(monkeypatch, block_bytes):
    monkeypatch.setattr(csv_rows, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(1)
    truth = _START + np.arange(5000) / 100
    late = (truth + rng.uniform(0, 0.03, 5000)).round(3)
    recording = _read(_csv(late, _random(5000)))
    (segment,) = recording.segments
    error = segment.time_at(np.arange(5000)) - (truth + 0.015)
    assert np.abs(error).max() < 0.005
    assert recording.nominal_rate_hz == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("batch", [25, 100, 6000])
def test_rows_that_share_stamps(batch):
    """Stamped batch by batch, to the second, or to the minute."""
    truth = _START + np.arange(30_000) / 100
    recording = _read(_csv(truth[np.arange(30_000) // batch * batch], _random(30_000)))
    (segment,) = recording.segments
    np.testing.assert_allclose(segment.time_at(np.arange(30_000)), truth, atol=1e-5)
    assert recording.nominal_rate_hz == pytest.approx(100, rel=1e-6)


def test_a_given_rate_is_nominal_and_must_fit():
    raw = _csv(_START + np.arange(500) / 50.5, _random(500))
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s", rate_hz=50)
    recording = _read(raw, layout)
    assert recording.nominal_rate_hz == 50
    assert recording.segments[0].rate_hz == pytest.approx(50.5, rel=1e-4)
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s", rate_hz=200)
    with pytest.raises(FormatError, match="rate_hz=200, but its times say 50.5"):
        _read(raw, layout)


@pytest.mark.parametrize(
    ("start", "tz", "expected", "clock"),
    [
        ("2024-07-01T10:00:00", "", 1_719_828_000, "device-local"),
        ("2024-07-01T10:00:00", "Europe/London", 1_719_824_400, "utc"),
        ("2024-07-01T10:00:00+02:00", "", 1_719_820_800, "utc"),
        ("", "", 0, "device-local"),
    ],
)
def test_a_table_without_times(start, tz, expected, clock):
    values = _random(200)
    rows = [",".join(map(str, row)) for row in values]
    rows[50] = "0.1,,0.3"
    rows[120:122] = ["1,2", ""]
    layout = CsvLayout(x="0", y="1", z="2", rate_hz=20, start=start, has_names=False)
    recording = _read("\n".join(rows).encode(), layout, tz)
    assert recording.metadata["clock"] == clock
    assert [len(s.counts) for s in recording.segments] == [50, 69, 78]
    starts = [s.start for s in recording.segments]
    assert starts == pytest.approx([expected + i / 20 for i in (0, 51, 122)])
    quality = recording.quality
    assert (quality["blocks"], quality["samples"], quality["bad_blocks"]) == (
        200,
        197,
        3,
    )
    assert (quality["bad_number"], quality["bad_columns"]) == (2, 1)
    assert quality["breaks_bad_row"] == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{t},1,2", "columns"),
        ("{t},1,2,3,4", "columns"),
        ("", "number"),
        ("{t},nan,2,3", "number"),
        ("{t},inf,2,3", "number"),
        ("{t},0x1F,2,3", "number"),
        ("{t},oops,2,3", "number"),
        ("{t},\xff,2,3", "number"),
        ("{t},1e9,2,3", "range"),
        ("{t},1e999,2,3", "number"),
        (",1,2,3", "time"),
        ("soon,1,2,3", "time"),
        ("1e300,1,2,3", "time"),
        ("1e13,1,2,3", "time"),
        ("2023-11-14T22:13:20,1,2,3", "time"),
        ('{t},"1,2,3', "number"),
        ("x,y,z,t", "number"),
    ],
)
def test_a_bad_row_is_counted_and_the_others_are_used(row, reason):
    time = _START + np.arange(200) / 50
    lines = _csv(time, _random(200)).decode().splitlines()
    lines[78] = row.format(t=time[77])
    recording = _read("\n".join(lines).encode("latin-1"))
    quality = recording.quality
    assert (quality["blocks"], quality["samples"]) == (200, 199)
    assert quality["bad_blocks"] == quality[f"bad_{reason}"] == 1
    (segment,) = recording.segments
    assert segment.time_at(np.array([198.0]))[0] == pytest.approx(time[-1], abs=0.01)


def test_an_unclosed_quote_takes_no_rows_with_it(monkeypatch):
    monkeypatch.setattr(csv_rows, "_BLOCK_BYTES", 4096)
    time = _START + np.arange(3000) / 50
    lines = _csv(time, _random(3000)).decode().splitlines()
    lines = [f"{line},walk" for line in lines]
    lines[0] = "t,x,y,z,label"
    lines[1] = lines[1].replace("walk", '"walk, fast"')
    lines[2500] = lines[2500].replace("walk", '"walk')
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s", label="label")
    recording = _read("\n".join(lines).encode(), layout)
    assert recording.quality["samples"] == 3000
    assert recording.metadata["labels"] == ['"walk', "walk", "walk, fast"]


def test_labels_are_numbered_in_order_and_may_be_missing(monkeypatch):
    monkeypatch.setattr(csv_rows, "_BLOCK_BYTES", 4096)
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s", label="l")
    texts = ["run", "", "été", "NaN", " run "] * 200
    rows = _csv(_START + np.arange(1000) / 50, _random(1000)).decode().splitlines()
    for labels, names, codes in (
        (texts, ["run", "été"], [0, -1, 1, -1, 0]),
        (["10", "9", "-1", "9", ""] * 200, ["-1", "9", "10"], [2, 1, 0, 1, -1]),
    ):
        table = [f"{r},{n}" for r, n in zip(rows, ["l", *labels], strict=True)]
        recording = _read("\n".join(table).encode(), layout)
        assert recording.metadata["labels"] == names
        channel = recording.segments[0].channels["label"]
        assert (channel.unit, channel.values.dtype) == ("label", np.int16)
        np.testing.assert_array_equal(channel.values, codes * 200)


def test_one_person_names_the_recording_and_two_are_refused():
    layout = CsvLayout(x="x", y="y", z="z", time="t", time_unit="s", person="who")
    rows = _csv(_START + np.arange(10) / 5, _random(10)).decode().splitlines()
    table = [f"{r},{n}" for r, n in zip(rows, ["who", *["A7"] * 10], strict=True)]
    assert _read("\n".join(table).encode(), layout).metadata["subject_code"] == "A7"
    table[5] = table[5].replace("A7", "B1")
    with pytest.raises(FormatError, match=r"2 persons \(A7, B1.*split"):
        _read("\n".join(table).encode(), layout)


def test_european_numbers_skipped_rows_tabs_and_a_byte_order_mark():
    values = _random(100)
    rows = [f"{i / 10}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(values)]
    text = "\ufeffexported by hand\n\nt\tx\ty\tz\n" + "\n".join(rows).replace(".", ",")
    layout = CsvLayout.parse(
        r"x=x,y=y,z=z,time=t,time_unit=s,delimiter=tab,decimal=\,,skip_rows=2"
    )
    (segment,) = _read(text.encode(), layout).segments
    np.testing.assert_array_equal(segment.counts, np.rint(values * 1000))
    assert segment.rate_hz == pytest.approx(10)


def test_a_packed_table_that_ends_early_keeps_whole_rows(tmp_path):
    raw = _csv(_START + np.arange(5000) / 50, _random(5000))
    packed = gzip.compress(raw)
    path = tmp_path / "a.csv.gz"
    for cut in range(len(packed) // 2, len(packed) // 2 + 20):
        path.write_bytes(packed[:cut])
        recording = read_recording(path, ReadOptions(csv=_XYZ))
        quality = recording.quality
        assert quality["bad_compression"] == 1
        assert 1000 < quality["samples"] < 4000
        assert quality["bad_columns"] == quality["bad_blocks"] <= 1
        np.testing.assert_array_equal(
            recording.segments[0].counts,
            np.rint(_random(5000)[: quality["samples"]] * 1000),
        )


@pytest.mark.parametrize(
    ("raw", "layout", "message"),
    [
        (b"", _XYZ, "empty"),
        (b"t,x,y\n1,2,3\n", _XYZ, "no column 'z'; it has t, x, y"),
        (b"t,x,y,z,z\n1,2,3,4,5\n", _XYZ, "more than one column 'z'"),
        (b"t,x,y,z\n5,1,2,3\n5,1,2,3\n", _XYZ, "same time.*rate_hz"),
        (b"t,x,y,z\nnow,1,2,3\n", _XYZ, "no row has a readable time"),
        (
            b"1,2\n",
            CsvLayout(x="0", y="1", z="2", rate_hz=1, has_names=False),
            "0 to 1",
        ),
        (b"a" * (3 << 20), _XYZ, "not a text table"),
        (
            b"a\n",
            CsvLayout(x="x", y="y", z="z", rate_hz=1, skip_rows=3),
            "skipped rows",
        ),
    ],
)
def test_what_is_no_such_table_says_so(raw, layout, message):
    with pytest.raises(FormatError, match=rf"a\.csv: .*{message}"):
        _read(raw, layout)


def test_a_table_without_rows_has_no_segments():
    for raw in (b"t,x,y,z", b"t,x,y,z\n", b"t,x,y,z\nnan,,,\n1,,,\n"):
        assert _read(raw).segments == ()
    with pytest.raises(FormatError, match="--csv"):
        read_table(b"t,x,y,z\n")


def test_formats_that_are_known_need_no_layout(tmp_path):
    (tmp_path / "a.csv").write_bytes(_csv(_START + np.arange(100) / 50, _random(100)))
    found, skipped = find_recordings(tmp_path)
    assert not found and "name its columns with --csv" in skipped[0][1]
    found, skipped = find_recordings(tmp_path, ReadOptions(csv=_XYZ))
    assert len(found) == 1 and not skipped
    (tmp_path / "people.csv").write_text("person,age\nA,30\n")
    found, ((_, reason),) = find_recordings(tmp_path, ReadOptions(csv=_XYZ))
    assert len(found) == 1
    assert reason == "no column 'x'; it has person, age"


_CELLS = st.one_of(
    st.sampled_from(["", "nan", '"', "1e400", "-0", "1,5", "\x00", "2024-03-31T01:30"]),
    st.floats(width=32).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.text(max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(_CELLS, min_size=3, max_size=6), max_size=12),
    st.sampled_from(["s", "ns", "iso", "%Y-%m-%dT%H:%M", "%H:%M:%S.%f"]),
    st.sampled_from([",", ";"]),
    st.booleans(),
)
def test_any_text_is_read_or_refused(rows, unit, delimiter, timed):
    names = ["t", "x", "y", "z", "l", "p"]
    text = "\n".join(delimiter.join(row) for row in [names, *rows])
    layout = CsvLayout(
        x="x",
        y="y",
        z="z",
        time="t" if timed else "",
        time_unit=unit,
        rate_hz=0 if timed else 25,
        label="l",
        person="p",
        delimiter=delimiter,
    )
    _check(text.encode("utf-8", errors="surrogatepass"), layout)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_are_read_or_refused(data):
    raw = bytearray(_csv(_START + np.arange(40) / 50, _random(40)))
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + 1] = data.draw(st.binary(max_size=3))
        if not raw:
            break
    _check(bytes(raw[: data.draw(st.integers(0, len(raw)))]), _XYZ)


def _check(raw: bytes, layout: CsvLayout) -> None:
    try:
        recording = _read(raw, layout, tz="Europe/London")
    except FormatError:
        return
    quality = recording.quality
    assert quality["blocks"] == quality["samples"] + quality["bad_blocks"]
    assert quality["samples"] == sum(len(s.counts) for s in recording.segments)
    for segment in recording.segments:
        assert np.isfinite(segment.acceleration).all()
        assert (np.diff(segment.anchor_time) > 0).all()
        assert (np.diff(segment.anchor_index) > 0).all()
        assert len(segment.anchor_time) >= 2
