"""Labels find their windows through the device's clock."""

import numpy as np
import pytest

from sigjax.data import recording as rec
from sigjax.data.wearable import labels


def segment(values, start=1000.0, rate_hz=10.0, label=True):
    n = len(values)
    channel = rec.Channel(values=np.array(values, np.int16), unit="label")
    return rec.Segment(
        counts=np.zeros((n, 3), np.int16),
        scale=1.0,
        anchor_index=np.array([0.0, n]),
        anchor_time=np.array([start, start + n / rate_hz]),
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
        channels={"label": channel} if label else {},
    )


def edges(start, stop, step=1.0):
    return np.arange(start, stop + step / 2, step)


def test_mode_over_raw_samples():
    raw = [2] * 10 + [5] * 6 + [2] * 4 + [-1] * 7 + [0] * 3 + [7] * 10
    found = labels.majority_labels([segment(raw)], edges(1000, 1004))
    np.testing.assert_array_equal(found.code, [2, 5, -1, 7])
    np.testing.assert_allclose(found.purity, [1.0, 0.6, 0.7, 1.0])
    assert found.code.dtype == np.int16 and found.purity.dtype == np.float32


def test_ties():
    raw = [4] * 5 + [1] * 5 + [-1] * 5 + [9] * 5
    found = labels.majority_labels([segment(raw)], edges(1000, 1002))
    np.testing.assert_array_equal(found.code, [1, 9])
    np.testing.assert_allclose(found.purity, 0.5)


def test_true_rate_and_not_the_nominal_one():
    # 10.5 Hz: the label changes after 100 samples, that is at 9.52 s.
    raw = segment([0] * 100 + [1] * 110, rate_hz=10.5)
    found = labels.majority_labels([raw], edges(1000, 1020))
    np.testing.assert_array_equal(found.code, [0] * 10 + [1] * 10)
    assert found.purity[9] == pytest.approx(6 / 11, abs=0.05)


def test_gaps_and_segments_without_labels():
    first, later = segment([3] * 20), segment([4] * 20, start=1004.5)
    silent = segment([8] * 10, start=1007.0, label=False)
    found = labels.majority_labels([first, later, silent], edges(1000, 1009))
    np.testing.assert_array_equal(found.code, [3, 3, -1, -1, 4, 4, 4, -1, -1])
    np.testing.assert_allclose(found.purity, [1, 1, 0, 0, 1, 1, 1, 1, 0])


def test_a_clock_set_back_leaves_twice_shown_time_unlabelled():
    early, late = segment([3] * 60), segment([4] * 60, start=1003.0)
    found = labels.majority_labels([early, late], edges(1000, 1009))
    np.testing.assert_array_equal(found.code, [3, 3, 3, -1, -1, -1, 4, 4, 4])
    assert (found.purity[3:6] == 0).all()


def test_readers_overlap_a_little():
    found = labels.majority_labels(
        [segment([3] * 32), segment([4] * 30, start=1003.0)], edges(1000, 1006)
    )
    np.testing.assert_array_equal(found.code, [3, 3, 3, 4, 4, 4])


def test_a_shorter_last_window():
    found = labels.majority_labels(
        [segment([1] * 25)], np.array([1000.0, 1002, 1002.5])
    )
    np.testing.assert_array_equal(found.code, [1, 1])
