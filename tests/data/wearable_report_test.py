"""The report of a store: rows, sums, tables, page and pictures."""

import csv as plain_csv
import dataclasses
import datetime
import html.parser
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from sigjax.data import recording as rec
from sigjax.data import store as stores
from sigjax.data import store_layout
from sigjax.data.wearable import (
    prepare,
    report,
    report_figures,
    report_rows,
    report_summary,
    report_wear,
)

DAY = 86_400.0
MIDNIGHT = 19_700 * DAY  # 2023-12-09
HOSTILE = "<script>alert('x')</script> & $x^{2}$ é.cwa"
CONFIG = dataclasses.replace(prepare.PRESETS["paper"], min_wear_h=1.0, lowpass_hz=None)
RATE = 20.0


def _segment(values, start):
    index = np.array([0.0, len(values)])
    return rec.Segment(
        counts=np.rint(values * 4096).astype(np.int16),
        scale=1 / 4096,
        anchor_index=index,
        anchor_time=start + index / (0.99 * RATE),
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
    )


def _daily(hours, seed=0):
    """Rest in a new direction every 5 minutes, with a shake between."""
    rng = np.random.default_rng(seed)
    samples, piece = round(hours * 3600 * RATE), round(300 * RATE)
    direction = rng.normal(size=(samples // piece + 1, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    noise = np.where(np.arange(samples) % piece < piece // 10, 0.2, 0.004)
    level = 1.03 * np.repeat(direction, piece, axis=0)[:samples]
    return level + noise[:, None] * rng.standard_normal((samples, 3))


def _table(hours):
    level = np.zeros((round(hours * 3600 * RATE), 3))
    level[:, 2] = 1.03
    noise = np.random.default_rng(9).standard_normal(level.shape)
    return level + 0.003 * noise


def _recording(source, *segments, **quality):
    counts = {"blocks": 400, "bad_blocks": 0, "samples": 0, "breaks_session": 0}
    counts["samples"] = sum(len(s.counts) for s in segments)
    return rec.Recording(
        source=source,
        device="AX3",
        device_id="12345",
        nominal_rate_hz=RATE,
        segments=segments,
        quality={**counts, **quality},
        metadata={},
        utc_offset_s=3600.0,
    )


def _recordings(folder):
    worn = np.concatenate([_daily(2), _table(2), _daily(1.5, 1)])
    yield "P001", _recording(f"{folder}/P001.cwa", _segment(worn, MIDNIGHT + 0.25))
    halves = (
        _segment(_daily(1.4, 2), MIDNIGHT + 22 * 3600),
        _segment(_daily(0.5, 3), MIDNIGHT + 24 * 3600),
    )
    quality = {"bad_blocks": 3, "breaks_session": 1, "breaks_sequence": 3}
    yield "P002", _recording(f"{folder}/{HOSTILE}", *halves, **quality)
    still = _recording(f"{folder}/P003.cwa", _segment(np.abs(_daily(2)), MIDNIGHT))
    yield "P003", still
    yield "P004", _recording(f"{folder}/P004.cwa")


def _fail(path, name, source, status, reason):
    failure = {"name": name, "source": source, "status": status, "reason": reason}
    failure |= {"seconds": 0.5, "bytes": 17, "fingerprint": "17-0"}
    text = json.dumps(failure).encode()
    store_layout.Files(path).write(f"failures/{name}.json", text)


def _begin(path):
    return stores.StoreWriter(
        path, rate_hz=CONFIG.rate_hz, description=dataclasses.asdict(CONFIG)
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A finished store with a file of every fate."""
    raw = tmp_path_factory.mktemp("raw")
    (raw / "SIMULATED.txt").write_text("simulated\n")
    path = tmp_path_factory.mktemp("made") / "store"
    writer = _begin(path)
    for name, recording in _recordings(raw):
        prepared = prepare.prepare_recording(
            recording, CONFIG, name=name, person=name[:4]
        )
        quality = {**prepared.quality, "seconds": 2.0, "bytes": 1_000_000}
        writer.write(dataclasses.replace(prepared, quality=quality))
    writer.finish()
    (raw / "empty.cwa").touch()
    _fail(path, "P005", f"{raw}/P005.cwa", "unreadable", "the file is empty")
    _fail(path, "P006", f"{raw}/P006.cwa", "unreadable", "the file is empty")
    _fail(
        path, "notes", f"{raw}/notes.bin", "unsupported", "files of type .bin <b>no</b>"
    )
    return path


@pytest.fixture(scope="module")
def written(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, report.write(path, output=folder)


def _rows(path):
    return {row.name: row for row in report.rows(path)}


def test_a_row_for_every_fate(path):
    rows = report.rows(path)
    assert [row.file for row in rows] == sorted(row.file for row in rows)
    rows = _rows(path)
    status = {name: row.status for name, row in rows.items()}
    assert status == {
        "P001": "used",
        "P002": "used",
        "P003": "dropped",
        "P004": "dropped",
        "P005": "unreadable",
        "P006": "unreadable",
        "notes": "unsupported",
    }
    one = rows["P001"]
    assert one.start == datetime.datetime(2023, 12, 9, 0, 0, 0, 250_000)
    hours = (one.recorded_h, one.wear_h, one.nonwear_h, one.too_short_h, one.dropped_h)
    assert hours == pytest.approx((5.555, 3.535, 2.02, 0, 0), abs=0.02)
    assert (one.rate_nominal_hz, one.rate_measured_hz) == (20.0, pytest.approx(19.8))
    assert (one.segments, one.samples, one.blocks) == (2, round(5.5 * 3600 * RATE), 400)
    assert (one.device, one.device_id, one.utc_offset_s) == ("AX3", "12345", 3600.0)
    assert (one.calibration_method, one.calibration_ok) == ("van_hees", True)
    assert one.calibration_error_before_mg == pytest.approx(30, abs=1)
    assert one.calibration_error_after_mg < 3
    assert one.calibration_points > 10
    assert (one.seconds, one.bytes, one.clipped_values) == (2.0, 1_000_000, 0)
    assert (one.reason, one.detail) == (None, None)
    two = rows["P002"]
    assert (two.bad_blocks, two.gaps) == (3, 1)
    assert two.restarts == 1  # three breaks in the numbering are the bad blocks'
    assert two.too_short_h == pytest.approx(0.505, abs=0.01)
    three = rows["P003"]
    assert three.reason == "not calibrated: rest in too few orientations"
    assert three.detail.startswith("not calibrated (stationary windows span ")
    assert (three.wear_h, three.segments) == (0.0, 0)
    assert three.dropped_h == pytest.approx(2.02, abs=0.01)
    assert (rows["P004"].reason, rows["P004"].start) == ("no usable samples", None)
    five = rows["P005"]
    assert (five.reason, five.detail) == ("the file is empty", "the file is empty")
    assert five.person is None and five.samples is None and five.recorded_h is None
    assert (five.seconds, five.bytes, five.segments) == (0.5, 17, 0)


def test_restarts_are_the_readers_where_it_counts_them():
    reader = {"breaks_session": 1, "breaks_restart": 2, "breaks_sequence": 7}
    entry = store_layout.Entry(
        name="a",
        person="a",
        source="a",
        device="",
        device_id="",
        rate_hz=30.0,
        segments=(),
        quality={"reader": reader},
    )
    assert report_rows._of_entry(entry).restarts == 3


def test_exclusions_and_hours_add_up(path):
    rows = report.rows(path)
    summary = report_summary.summarise(rows)
    assert summary.found == len(rows) == 7
    assert dict(summary.counts) == {
        "used": 2,
        "dropped": 2,
        "unreadable": 2,
        "unsupported": 1,
    }
    losses = [(loss.status, loss.reason, len(loss.rows)) for loss in summary.losses]
    assert losses == [
        ("dropped", "no usable samples", 1),
        ("dropped", "not calibrated: rest in too few orientations", 1),
        ("unreadable", "the file is empty", 2),
        ("unsupported", "files of type .bin <b>no</b>", 1),
    ]
    hours = summary.hours
    parts = ("wear_h", "nonwear_h", "too_short_h", "dropped_h")
    assert hours["recorded_h"] == pytest.approx(sum(hours[key] for key in parts))
    assert hours["recorded_h"] == pytest.approx(5.555 + 1.919 + 2.02, abs=0.02)
    assert (summary.persons, summary.persons_used, summary.segments) == (4, 2, 3)
    assert (summary.blocks, summary.bad_blocks) == (1600, 3)
    (device,) = summary.devices
    assert (device.name, device.files, device.used, device.devices) == ("AX3", 4, 2, 1)
    (rate,) = summary.rates
    assert rate.name == "20 Hz" and rate.rates_hz == pytest.approx((19.8, 19.8, 19.8))
    assert summary.seconds == (pytest.approx((4 * 2 + 2 * 0.5) / 6), 2.0)
    assert summary.files_per_hour == pytest.approx(3600 * 6 / 9)
    assert summary.bytes == 4_000_034
    checks = {check.column: check.files for check in summary.checks}
    assert checks == {"bad_blocks": 1, "gaps": 1, "restarts": 1}
    printed = report.text(summary)
    assert "         2  unreadable: the file is empty" in printed
    assert "         1  device restarted within the file (restarts)" in printed


def test_what_to_look_at():
    row = report.Row(
        file="a",
        name="a",
        person="p",
        status="used",
        start=datetime.datetime(1970, 1, 1),
        end=datetime.datetime(1970, 1, 2),
        rate_nominal_hz=100.0,
        rate_measured_hz=90.0,
        calibration_method="actipy",
        calibration_ok=False,
        clock_set_back=1,
        clipped_values=4,
    )
    rows = [row, dataclasses.replace(row, file="b", name="b")]
    checks = report_summary.summarise(rows).checks
    assert {check.column: check.files for check in checks} == dict.fromkeys(
        (
            "calibration_ok",
            "start",
            "rate_measured_hz",
            "clock_set_back",
            "clipped_values",
            "person",
        ),
        2,
    )


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        (
            "not calibrated (3 stationary windows, 10 needed)",
            "not calibrated: too little rest",
        ),
        (
            "not calibrated (error 12.3 mg after the fit, below 10 mg needed)",
            "not calibrated: error stays above 10 mg",
        ),
        (
            "not calibrated (no convergence in 1000 iterations)",
            "not calibrated: no convergence in … iterations",
        ),
        ("no 24 h of contiguous wear", "no contiguous wear of the minimum length"),
        (
            "300 bytes starting with b'MD': a CWA file has a header of 1024 bytes"
            " starting with b'MD'; copy the file from the device again",
            "the file ends inside its header",
        ),
        (
            "CSV in a layout that is not supported (starts with 'a,b'); name its"
            " columns with --csv",
            "CSV in a layout that is not supported",
        ),
        (
            "ValueError at cwa.py:17: AX3 said 4.5e-3",
            "ValueError at cwa.py:…: AX3 said …",
        ),
        ("holds 5-s counts of 7 axes", "holds 5-s counts of … axes"),
        ("the device's clock; it's odd", "the device's clock"),
        ("", "no reason given"),
        ("x" * 200, "x" * 89 + "…"),
    ],
)
def test_reasons_are_kinds_without_figures(detail, kind):
    assert report.category(detail) == kind


def test_tables_come_back_as_they_were(path, written):
    folder, _ = written
    rows = report.rows(path)
    table = report.table(rows)
    assert table.schema.field("start").type == pa.timestamp("ms")
    assert table.schema.field("calibration_ok").type == pa.bool_()
    assert table.schema.field("bad_blocks").type == pa.int64()
    assert table["person"].null_count == table["wear_h"].null_count == 3
    assert [report.Row(**row) for row in table.to_pylist()] == rows
    assert parquet.read_table(folder / "report.parquet").equals(table)
    options = csv.ConvertOptions(
        column_types=table.schema,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    assert csv.read_csv(folder / "report.csv", convert_options=options).equals(table)
    with (folder / "report.csv").open(newline="") as file:
        lines = list(plain_csv.DictReader(file))
    by_name = {line["name"]: line for line in lines}
    assert by_name["P004"]["start"] == "" and by_name["P002"]["file"].endswith(HOSTILE)
    start = datetime.datetime.fromisoformat(by_name["P001"]["start"])
    assert start == _rows(path)["P001"].start


class _Page(html.parser.HTMLParser):
    """Fails on tags that do not match; collects text and tags."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.lines = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.lines.append([])
        elif tag in ("td", "th"):
            self.lines[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if "td" in self.open:
            self.lines[-1][-1] += data


def test_the_page_is_whole_and_escapes_what_files_are_called(path, written):
    folder, result = written
    assert result.folder == str(folder) and result.weeks == result.not_drawn == ()
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    shown = " ".join(" ".join(page.words).split())
    for loss in report_summary.summarise(report.rows(path)).losses:
        assert loss.reason in shown
        for row in loss.rows:
            assert row.file in shown and row.detail in shown
    assert "simulated data" in shown and "preset paper, but" in shown
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    # Wear by day, hours, calibration, and the two used recordings.
    assert len(sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not any("href" in attrs for _, attrs in page.tags)
    assert "http" not in text
    cells = [attrs.get("title") for tag, attrs in page.tags if tag == "td"]
    assert any(title and title.endswith(HOSTILE) for title in cells)


def test_the_table_of_reasons_adds_up(written):
    folder, result = written
    page = _Page((folder / "report.html").read_text(encoding="utf-8"))
    fates = (*report_rows.STATUSES, "found")
    lines = [line for line in page.lines if line and line[0] in fates]
    table = [(status, reason, int(files)) for status, reason, files, _, _ in lines]
    assert table == [
        ("used", "", 2),
        ("dropped", "no usable samples", 1),
        ("dropped", "not calibrated: rest in too few orientations", 1),
        ("unreadable", "the file is empty", 2),
        ("unsupported", "files of type .bin <b>no</b>", 1),
        ("found", "", 7),
    ]
    hours = [float(line[4]) for line in lines if line[4] != "–"]
    assert sum(hours[:-1]) == pytest.approx(hours[-1], abs=0.2)
    assert hours[-1] == pytest.approx(result.summary.hours["recorded_h"], abs=0.05)


def test_a_chosen_recording_has_a_picture(path, tmp_path):
    result = report.write(path, ["P002"], output=tmp_path)
    assert result.weeks == ("weeks/P002.png",)
    assert (tmp_path / "weeks/P002.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(KeyError, match="P003"):
        report.write(path, ["P003"], output=tmp_path)


def test_lost_samples_are_told_not_fatal(path, tmp_path):
    store = stores.Store.open(path)
    entry = store.entries[0]
    lost = dataclasses.replace(entry.segments[0], path="recordings/P001/gone")
    broken = dataclasses.replace(entry, segments=(lost,))
    store.entries = (broken, *store.entries[1:])
    result = report.write(store, output=tmp_path)
    ((name, why),) = result.not_drawn
    assert name == "P001" and "cannot read samples" in why
    assert "not drawn" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_store_without_recordings_and_an_unfinished_one(tmp_path):
    with pytest.raises(store_layout.StoreError, match="no store here"):
        report.rows(tmp_path / "nothing")
    path = tmp_path / "store"
    writer = _begin(path)
    assert report.rows(path) == []
    assert report.write(path).summary.found == 0
    _Page((path / "report.html").read_text(encoding="utf-8"))
    assert parquet.read_table(path / "report.parquet").num_rows == 0
    _fail(path, "a", "raw/a.cwa", "unreadable", "the file is empty")
    assert report.write(path).summary.losses[0].reason == "the file is empty"
    _Page((path / "report.html").read_text(encoding="utf-8"))
    # The same file, prepared since, by a run that ended before it deleted the failure.
    prepared = rec.PreparedRecording(
        name="a",
        person="a",
        source="raw/a.cwa",
        device="AX3",
        device_id="",
        rate_hz=30.0,
        segments=(
            rec.WearSegment(start=0.0, acceleration=np.ones((60, 3), np.float32)),
        ),
        quality={"status": "used"},
    )
    writer.write(prepared)
    (row,) = report.rows(path)
    assert (row.status, row.device_id, row.recorded_h) == ("used", "", None)
    assert report.write(path).summary.counts["used"] == 1
    store_layout.Files(path).write("failures/b.json", b'{"name": "b"}')
    with pytest.raises(store_layout.StoreError, match="failures/b.json is damaged"):
        report.rows(path)


def test_names_that_are_no_text_are_written(tmp_path):
    _begin(tmp_path)
    _fail(tmp_path, "a", 'raw/\udcff\n,".cwa', "unreadable", "bad \udcfe name")
    report.write(tmp_path)
    (row,) = parquet.read_table(tmp_path / "report.parquet").to_pylist()
    assert row["file"] == 'raw/\\udcff\n,".cwa'
    with (tmp_path / "report.csv").open(newline="") as file:
        (line,) = plain_csv.DictReader(file)
    assert line["file"] == row["file"]


def test_a_report_that_cannot_be_written_says_so(path, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(store_layout.StoreError, match="cannot write report"):
        report.write(path, output=tmp_path / "file" / "below")


def _entry(name, *spans, rate_hz=30.0, **quality):
    segments = tuple(
        store_layout.SegmentEntry(
            start=MIDNIGHT + 3600 * start,
            samples=round((end - start) * 3600 * rate_hz),
            scale=stores.SCALE,
            path=f"recordings/{name}/{number}",
            digest="",
        )
        for number, (start, end) in enumerate(spans)
    )
    return store_layout.Entry(
        name=name,
        person=name,
        source=name,
        device="AX3",
        device_id="1",
        rate_hz=rate_hz,
        segments=segments,
        quality=quality,
    )


def test_hours_worn_by_day():
    entries = [
        _entry("a", (10.5, 30.25), (40, 48)),
        # Recorded since the day before it was put on.
        _entry("b", (25, 27), start=MIDNIGHT + 3600 * 5, end=MIDNIGHT + 3600 * 60),
        # The clock was set back: hours 1 to 20 come twice.
        _entry("c", (0, 20), (1, 24)),
    ]
    hours = report_wear.hours_worn(entries, bin_h=24, bins=3)
    np.testing.assert_allclose(
        hours, [[13.5, 14.25, 0], [0, 2, 0], [24, 0, 0]], atol=1e-6
    )
    by_hour = report_wear.hours_worn(entries[:1], bin_h=1, bins=48)[0]
    assert by_hour[10:12] == pytest.approx([0.5, 1])
    assert by_hour[29:32] == pytest.approx([1, 0.25, 0])
    assert by_hour[40:48] == pytest.approx(np.ones(8))
    # What lies past the last bin is left out.
    assert report_wear.hours_worn(entries[:1], bin_h=24, bins=1)[0] == 13.5


def test_wear_too_short_to_keep_is_wear_and_has_a_shade_of_its_own():
    short = [[MIDNIGHT + 3600 * 4, MIDNIGHT + 3600 * 6]]
    off = [[MIDNIGHT + 3600 * 6, MIDNIGHT + 3600 * 9]]
    entry = _entry(
        "a", (10, 20), start=MIDNIGHT, end=MIDNIGHT + DAY, nonwear=off, too_short=short
    )
    assert report_wear.hours_worn([entry], bin_h=24, bins=1)[0, 0] == 12
    means = np.full((1, 1440), np.nan)
    means[0, 600:1200] = 5.0
    day = np.array([round(MIDNIGHT / DAY)])
    shades = report_figures._shades(entry, day, means)[0]
    lost, unworn, too_short = 2, 1, 3
    assert (shades[:240] == lost).all() and (shades[240:360] == too_short).all()
    assert (shades[360:540] == unworn).all() and (shades[540:600] == lost).all()
    assert not shades[600:1200].any()


def test_share_worn_by_day_and_hour():
    entries = [_entry("a", (10.5, 30)), _entry("b", (22, 48))]
    share = report_wear.wear_share(entries, 2)
    assert share.shape == (2, 24)
    assert share[0, 9:12] == pytest.approx([0, 0.25, 0.5])
    assert share[0, 22:] == pytest.approx([1, 1])
    assert share[1, 5:7] == pytest.approx([1, 0.5])


def test_minute_means(tmp_path):
    # Two minutes at 1.5 g around midnight, then 30 s at 0.5 g and 30 s at 2 g.
    g = np.zeros((180 * 30, 3), np.float32)
    g[:, 0] = np.repeat([1.5, 0.5, 2.0], [3600, 900, 900])
    writer = stores.StoreWriter(tmp_path, rate_hz=30.0, description={})
    start = MIDNIGHT + DAY - 60
    writer.write(
        rec.PreparedRecording(
            name="a",
            person="a",
            source="a",
            device="AX3",
            device_id="",
            rate_hz=30.0,
            segments=(rec.WearSegment(start=start, acceleration=g),),
            quality={"start": start - DAY, "end": start + 180},
        )
    )
    store = writer.finish()
    days = report_wear.days_of(store.entries[0])
    assert days.tolist() == [19_699, 19_700, 19_701]
    means = report_wear.minute_means(store, store.entries[0], days)
    assert means.shape == (3, 1440) and np.isfinite(means).sum() == 3
    assert means[1, -1] == pytest.approx(500, abs=0.3)
    assert means[2, :2] == pytest.approx([500, 500], abs=0.3)
    # Of one day, the others' minutes must not be counted to it.
    alone = report_wear.minute_means(store, store.entries[0], days[1:2])
    assert np.isfinite(alone).sum() == 1


def test_a_clock_that_jumps_years_is_drawn_without_the_years():
    entry = _entry("a", (0, 30), (24 * 4000, 24 * 4000 + 1))
    days = report_wear.days_of(entry)
    assert (days - 19_700).tolist() == [0, 1, 4000]
    assert report_figures.wear([entry], "").startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 60, 61])
def test_wear_of_few_and_of_many(count):
    entries = [_entry(f"腕 $x^{{{i}}}$", (i, 30 + i)) for i in range(count)]
    assert report_figures.wear(entries, "simulated data").startswith(b"\x89PNG")


def test_settings_name_the_preset():
    description = dataclasses.asdict(prepare.PRESETS["actipy"])
    assert report_summary.settings(description)[0] == "preset actipy"
    title, table = report_summary.settings({**description, "min_wear_h": 2.0, "x": 1})
    assert title == "preset actipy, but min_wear_h = 2.0"
    assert ("min_wear_h", "2.0", "0.0") in table and ("x", "1", None) in table
    assert report_summary.settings({"a": {"b": 1}}) == (
        "own settings",
        [("a.b", "1", None)],
    )


def test_thousands_of_files_stay_a_small_page(path, tmp_path):
    store = stores.Store.open(path)
    first, dropped = store.entries[0], store.entries[2]
    entries = [
        dataclasses.replace(
            first if i % 5 else dropped, name=f"R{i:05d}", source=f"gs://b/R{i:05d}.cwa"
        )
        for i in range(5000)
    ]
    store.entries = tuple(entries)
    store.path = str(tmp_path)  # no failures there
    rows = report.rows(store)
    summary = report_summary.summarise(rows)
    assert summary.counts["used"] == 4000 and summary.counts["dropped"] == 1000
    written = report.write(store, output=tmp_path)
    assert written.summary.found == 5000
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    shown = " ".join(" ".join(_Page(text).words).split())
    assert "and 980 more in report.csv" in shown
    assert "The first 500 of 5,000 that could be read" in shown
    assert "4,000" in shown and "SIMULATED" not in shown
    assert parquet.read_table(tmp_path / "report.parquet").num_rows == 5000
