"""Curves over shares of labels, and the labels that a start saves."""

import math

import numpy as np
import pytest
from scipy import stats

from sigjax.evals.autoencoders import label_efficiency as le


def test_points_have_students_intervals_over_repeats():
    first, last = le.curve({1.0: [0.9, 0.92, 0.97], 0.1: [0.5]})
    assert (first.share, last.share) == (0.1, 1.0)
    low, high = stats.t.interval(0.95, 2, loc=0.93, scale=stats.sem([0.9, 0.92, 0.97]))
    assert (last.mean, last.low, last.high) == pytest.approx((0.93, low, high))
    assert math.isnan(first.low) and first.repeats == (0.5,)


def test_labels_for_a_score_are_read_off_the_curve_in_logarithms():
    points = le.curve({0.01: [0.2], 0.1: [0.6], 1.0: [0.8]})
    assert le.labels_for(points, 0.4) == pytest.approx(0.01 * math.sqrt(10))
    assert le.labels_for(points, 0.1) == 0.01
    assert math.isnan(le.labels_for(points, 0.9))
    better = le.curve({0.01: [0.6], 1.0: [0.9]})
    assert le.saving(better, points, 0.01) == pytest.approx(10)
    assert math.isnan(le.saving(better, points, 1.0))
    # A curve that falls and rises: the first share that is enough.
    dip = le.curve({0.01: [0.2], 0.1: [0.6], 0.5: [0.3], 1.0: [0.7]})
    assert le.labels_for(dip, 0.6) == pytest.approx(0.1)


def test_area_is_a_mean_over_the_logarithm_of_the_share():
    shares = np.geomspace(0.01, 1, 5)
    straight = le.curve({s: [0.5 + 0.1 * math.log10(s)] for s in shares})
    assert le.area(straight) == pytest.approx(0.4)
    assert le.area(straight[:1]) == pytest.approx(0.3)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="share 0.1 with 0 scores"):
        le.curve({0.1: []})
    with pytest.raises(ValueError, match=r"no point at 0.5; there are \[1.0\]"):
        le.saving(le.curve({1.0: [1]}), le.curve({1.0: [1]}), 0.5)
