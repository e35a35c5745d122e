"""The picture of a recording: what it says in words, and that it can be drawn."""

import datetime
import io

import matplotlib.image
import numpy as np
import pytest

from sigjax.evals import sound_timeline_figures as figures
from sigjax.evals.sound_figures import Spectrogram

HZ = np.geomspace(50, 7800, 64)


def _scored(score, alarm, hop_s=10.0):
    start = hop_s * np.arange(len(score))
    score = np.asarray(score, np.float64)
    threshold = np.where(np.isnan(score), np.nan, 5.0)
    return figures.Scored(
        start, start + 10, score, threshold, np.asarray(alarm, bool), hop_s
    )


def test_moments_read_as_people_say_them():
    assert figures.clock(12.04) == "12 s" and figures.clock(0.5) == "0.5 s"
    assert figures.clock(59.97) == "1:00" and figures.clock(185) == "3:05"
    assert figures.clock(7385) == "2:03:05"
    assert figures.span(40, 70) == "40 s to 1:10"
    begun = datetime.datetime(2026, 3, 1, 23, 59, 30)
    assert figures.span(10, 70, begun) == "23:59:40 to 00:00:40"
    alarm = _scored([1, 9], [0, 1])
    assert figures._verdict(alarm, begun) == "Alarm: 23:59:40 to 23:59:50"


def test_alarms_of_windows_that_overlap_do_not():
    found = _scored([9] * 3 + [1] * 3 + [9] * 2, [1] * 3 + [0] * 3 + [1] * 2, hop_s=2.0)
    # The middles of the windows are 5, 7 ... 19 s; those at the ends reach there.
    assert [alarm[2:] for alarm in found.alarms()] == [(0, 10), (16, 24)]
    apart = _scored([1, 9, 1], [0, 1, 0])
    assert apart.alarms() == [(1, 2, 10.0, 20.0)]


@pytest.mark.parametrize(
    ("score", "alarm", "verdict"),
    [
        ([1, 2, 3], [0, 0, 0], "No alarm: all scores are below the threshold"),
        ([1, 9, 3], [0, 0, 0], "No alarm; 1 of 3 windows above threshold"),
        ([1, 9, 3], [0, 1, 0], "Alarm: 10 s to 20 s"),
        ([9, 1, 9], [1, 0, 1], "2 alarms: 0 s to 10 s, 20 s to 30 s"),
        ([np.nan] * 3, [0, 0, 0], "No window could be scored"),
    ],
)
def test_the_verdict(score, alarm, verdict):
    assert figures._verdict(_scored(score, alarm)) == verdict


def test_many_alarms_are_counted_and_the_first_ones_named():
    text = figures._verdict(_scored([9, 1] * 6, [1, 0] * 6))
    assert text.startswith("6 alarms: 0 s to 10 s,") and text.endswith(" and 2 more")


@pytest.mark.parametrize(
    ("nowhere", "start"), [(False, None), (True, datetime.datetime(2026, 3, 1, 6))]
)
def test_it_can_be_drawn(start, nowhere):
    rng = np.random.default_rng(0)
    strip = Spectrogram(rng.normal(-40, 5, (200, 64)), 60.0, HZ)
    value = np.zeros((100, 32))
    if not nowhere:
        value[20:30, 10:12] = 4.0
    worst = figures.Worst(
        20.0, 30.0, True, Spectrogram(strip.value[:100], 10.0, HZ), value, HZ[::2]
    )
    scored = _scored([1, 2, 9, np.nan, 3, 1], [0, 0, 1, 1, 0, 0])
    title = "a $recording$ of\tmine " + "x" * 200
    png = figures.recording(scored, strip, worst, title=title, note="X", start=start)
    image = matplotlib.image.imread(io.BytesIO(png))
    assert image.shape[:2] == (913, 1210)
    # The anomaly is drawn in red, and only where there is one.
    red = (image[..., 0] > 0.6) & (image[..., 1] < 0.25) & (image[..., 2] < 0.25)
    assert bool(red[600:840, 90:900].sum() > 500) != nowhere


def test_without_a_worst_window_there_is_none_beneath():
    scored = _scored([1, 2], [0, 0])
    strip = Spectrogram(np.zeros((20, 64)), 20.0, HZ)
    png = figures.recording(scored, strip, None, title="a")
    assert matplotlib.image.imread(io.BytesIO(png)).shape[0] < 600
