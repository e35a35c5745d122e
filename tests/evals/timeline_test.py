"""Timelines: every second of a recording in one row, and hours that add up."""

import csv
import io

import matplotlib.colors
import matplotlib.image
import numpy as np
import pyarrow.csv
import pytest

from sigjax.data import recording as rec
from sigjax.evals import timeline as tl
from sigjax.evals import timeline_figures

LABELS = ("sleep", "sit", "walk")
RATE = 5.0
DAY0 = 19_730  # 2024-01-08
MIDNIGHT = DAY0 * 86_400.0


def recording(stretches, nonwear=(), start=None, end=None, **quality):
    """A recording with wear from hour to hour after midnight, at 5 Hz."""
    segments = [
        rec.WearSegment(
            start=MIDNIGHT + 3600 * a,
            acceleration=np.tile(
                np.float32([0, 0, 1.01]), (round(3600 * (b - a) * RATE), 1)
            ),
        )
        for a, b in stretches
    ]
    quality["nonwear"] = [
        [MIDNIGHT + 3600 * a, MIDNIGHT + 3600 * b] for a, b in nonwear
    ]
    spans = [*stretches, *nonwear]
    if start is None and spans:
        start, end = min(a for a, _ in spans), max(b for _, b in spans)
    quality["start"] = None if start is None else MIDNIGHT + 3600 * start
    quality["end"] = None if end is None else MIDNIGHT + 3600 * end - 1 / RATE
    return rec.PreparedRecording(
        name="P001",
        person="P001",
        source="P001.cwa",
        device="AX3",
        device_id="1",
        rate_hz=RATE,
        segments=tuple(segments),
        quality=quality,
    )


def probabilities(prepared, label_s=10.0, seed=0):
    """Each class for a while, and never quite sure."""
    rng = np.random.default_rng(seed)
    found = []
    for segment in prepared.segments:
        rows = len(segment.acceleration) // round(label_s * RATE)
        place = np.arange(rows) // 97 % len(LABELS)
        p = 0.1 * rng.random((rows, len(LABELS))).astype(np.float32)
        p[np.arange(rows), place] += 1
        found.append(p / p.sum(axis=1, keepdims=True))
    return found


def made(prepared, label_s=10.0):
    return tl.timeline(prepared, probabilities(prepared, label_s), LABELS, label_s)


WEEKEND = recording([(10, 20), (22, 30.001), (31, 50)], [(20, 22), (50, 52.7)])


def test_rows_cover_a_recording_without_gap_or_overlap():
    found = made(WEEKEND)
    end = found.start + found.duration_s
    np.testing.assert_allclose(found.start[1:], end[:-1], atol=1e-5)
    assert found.start[0] == MIDNIGHT + 36_000
    assert end[-1] == pytest.approx(MIDNIGHT + 52.7 * 3600)
    assert found.repeated_s == pytest.approx(0, abs=1e-3)
    assert (found.duration_s <= 10 + 1e-6).all()
    hours = [found.duration_s[found.wear == code].sum() / 3600 for code in range(4)]
    # 3.6 s after hour 30 fill no label window.
    np.testing.assert_allclose(hours, [37, 4.7, 1 - 0.001, 0.001], atol=1e-6)


def test_a_label_is_where_the_device_was_worn_and_nowhere_else():
    found = made(WEEKEND)
    worn = found.wear == 0
    assert (found.label[worn] >= 0).all() and (found.label[~worn] == -1).all()
    assert np.isfinite(found.probability[worn]).all()
    assert np.isnan(found.probability[~worn]).all()
    assert np.array_equal(
        found.probability[worn], np.concatenate(probabilities(WEEKEND))
    )
    # Rows of a stretch begin where it begins.
    (first,) = np.flatnonzero(np.abs(found.start - (MIDNIGHT + 31 * 3600)) < 1e-6)
    assert found.wear[first] == 0 and found.duration_s[first - 1] < 10


def test_data_that_end_before_nonwear_leave_no_data():
    found = made(recording([(10, 12), (15, 16)], [(13, 14)]))
    hours = [found.duration_s[found.wear == code].sum() / 3600 for code in range(4)]
    np.testing.assert_allclose(hours, [3, 1, 2, 0], atol=1e-6)
    assert (found.wear[720:1080] == 2).all() and (found.wear[1080:1440] == 1).all()


def test_what_is_beside_the_grid_by_a_sample_leaves_no_slivers():
    prepared = recording([(1, 2), (4, 5)], [(2 - 1e-5, 4 - 1e-5)], 1 - 3e-5, 5 + 1e-6)
    found = made(prepared)
    assert found.duration_s.min() == pytest.approx(10)
    assert set(found.wear.tolist()) == {0, 1}


def test_samples_before_and_after_all_wear_are_no_data():
    found = made(recording([(5, 6)], start=4.5, end=6.25))
    hours = [found.duration_s[found.wear == code].sum() / 3600 for code in range(4)]
    np.testing.assert_allclose(hours, [1, 0, 0.75, 0], atol=1e-4)


def test_hours_by_day_add_up_to_the_day():
    days = tl.daily(made(WEEKEND))
    assert [row["day"] for row in days] == ["2024-01-08", "2024-01-09", "2024-01-10"]
    spans = [row["span_h"] for row in days]
    np.testing.assert_allclose(spans, [14, 24, 4.7], atol=1e-6)
    for row in days:
        classes = sum(row[f"hours_{label}"] for label in LABELS)
        assert row["wear_h"] == pytest.approx(classes + row["too_short_h"])
        parts = row["wear_h"] + row["non_wear_h"] + row["no_data_h"]
        assert row["span_h"] == pytest.approx(parts)
    assert days[0]["non_wear_h"] == pytest.approx(2)
    assert days[1]["no_data_h"] == pytest.approx(0.999, abs=1e-6)
    assert days[2]["non_wear_h"] == pytest.approx(2.7)
    assert tl.total(days)["span_h"] == pytest.approx(42.7)


def test_hours_of_a_class_are_those_of_its_rows():
    found = made(WEEKEND)
    total = tl.total(tl.daily(found))
    for number, label in enumerate(LABELS):
        rows = found.duration_s[found.label == number].sum() / 3600
        assert rows > 1
        assert total[f"hours_{label}"] == pytest.approx(rows)


def test_a_row_over_midnight_counts_for_both_days():
    start = 24 - 4 / 3600  # 4 s before midnight
    found = made(recording([(start, start + 20 / 3600)]))
    first, second = tl.daily(found)
    assert first["span_h"] * 3600 == pytest.approx(4, abs=1e-4)
    assert second["span_h"] * 3600 == pytest.approx(16, abs=1e-4)


def test_nothing_but_nonwear_has_a_timeline_without_labels():
    found = made(recording([], [(3, 30)]))
    assert (found.wear == 1).all() and (found.label == -1).all()
    assert tl.total(tl.daily(found))["non_wear_h"] == pytest.approx(27)


def test_a_clock_that_jumped_by_years_leaves_one_row():
    found = made(recording([(0, 1), (5 * 365 * 24, 5 * 365 * 24 + 1)]))
    assert len(found.start) == 2 * 360 + 1
    assert found.duration_s.sum() == pytest.approx(5 * 365 * 86_400 + 3600)
    rows = tl.daily(found)
    assert [row["day"] for row in rows] == ["2024-01-08", "2029-01-06"]
    assert rows[0]["no_data_h"] == pytest.approx(23)


def test_a_clock_that_was_set_back_shows_an_hour_twice():
    found = made(recording([(1, 3), (2, 4)]))
    assert found.repeated_s == pytest.approx(3600)
    assert (np.diff(found.start) >= 0).all()
    assert tl.total(tl.daily(found))["wear_h"] == pytest.approx(4)


def test_the_table_says_all_of_it():
    found = made(WEEKEND)
    table = tl.table(found)
    assert table.column_names == [
        *("time", "epoch_s", "duration_s", "wear", "label", "confidence"),
        *(f"p_{label}" for label in LABELS),
    ]
    rows = table.to_pylist()
    assert rows[0]["time"] == "2024-01-08T10:00:00.000"
    assert rows[0]["epoch_s"] == MIDNIGHT + 36_000
    assert rows[0]["label"] == "sleep" and rows[97]["label"] == "sit"
    assert rows[0]["confidence"] == rows[0]["p_sleep"] > 0.7
    (gone,) = [row for row in rows if row["time"] == "2024-01-08T20:00:00.000"]
    assert gone["wear"] == "non-wear"
    assert gone["label"] is None and gone["confidence"] is gone["p_sit"] is None
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    lines = list(csv.DictReader(buffer.getvalue().decode().splitlines()))
    assert {line["wear"] for line in lines} == set(tl.WEAR)
    assert all((line["label"] == "") == (line["wear"] != "wear") for line in lines)


@pytest.mark.parametrize(
    ("prepared", "found", "message"),
    [
        (recording([(0, 1)]), [], "0 stretches of probabilities for 1 segments"),
        (recording([(0, 1)]), [np.ones((359, 3))], "for 360 label windows"),
        (recording([(0, 1)]), [np.ones((360, 2))], "and 3 labels"),
        (recording([]), [], "P001 has no samples"),
    ],
)
def test_what_does_not_align_is_refused(prepared, found, message):
    with pytest.raises(ValueError, match=message):
        tl.timeline(prepared, found, LABELS, 10.0)


def test_movement_is_that_of_the_minute():
    prepared = recording([(10, 11)])
    prepared.segments[0].acceleration[300:600] = [0, 0, 1.5]
    means = tl.minute_movement(prepared, tl.days(made(prepared)))
    assert means.shape == (1, 1440)
    assert np.isnan(means[0, :600]).all() and np.isnan(means[0, 660:]).all()
    np.testing.assert_allclose(means[0, 600:603], [10, 500, 10], rtol=1e-4)


@pytest.mark.parametrize(
    "stretches",
    [[(10, 11)], [(23.5, 24.5)], [(10, 20), (22, 30)]],
    ids=["an hour", "over midnight", "two days"],
)
def test_pictures_are_drawn_of_any_length(stretches):
    prepared = recording(stretches, [(20, 22)] if len(stretches) > 1 else ())
    found = made(prepared)
    movement = tl.minute_movement(prepared, tl.days(found))
    picture = timeline_figures.day_by_day(found, title="x", movement=movement)
    assert picture.startswith(b"\x89PNG")
    assert picture != timeline_figures.day_by_day(found, title="x")


def test_a_strip_shows_what_lasted_longest():
    found = made(WEEKEND)
    codes = timeline_figures.strip(found, MIDNIGHT, MIDNIGHT + 86_400, 1440)
    assert (codes[:600] == -1).all()
    assert (codes[20 * 60 : 22 * 60] == len(LABELS) + 1).all()
    worn = codes[600 : 20 * 60]
    # 97 labels of 10 s each, then the next class.
    assert np.array_equal(worn[:16], np.zeros(16)) and worn[17] == 1


def test_every_day_of_a_picture_shows_its_colours():
    found = made(recording([(0, 24 * 4)]))
    picture = timeline_figures.day_by_day(found, title="x", note="simulated data")
    pixels = matplotlib.image.imread(io.BytesIO(picture))[..., :3]
    sleep = matplotlib.colors.to_rgb("#332288")
    band = (np.abs(pixels - sleep).max(axis=-1) < 0.01).sum(axis=1) > 200
    # Four bands, one below the other.
    assert (np.diff(band.astype(int)) == 1).sum() == 4
