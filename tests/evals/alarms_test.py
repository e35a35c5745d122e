"""Laws of alarms on a stream: hysteresis, and drift of the running median."""

import json
import math

import numpy as np
import pytest
import scipy.stats

from sigjax.evals import alarms, thresholds
from sigjax.evals.thresholds import ThresholdError


def _run(score, **config):
    alarm = alarms.Hysteresis(alarms.HysteresisConfig(**config))
    return alarm.run(np.array(score, float)), alarm


def test_without_margins_an_alarm_is_the_threshold():
    score = np.random.default_rng(0).normal(size=500)
    found, alarm = _run(score, on=1, off=1)
    np.testing.assert_array_equal(found, score > 1)
    assert alarm.events == (np.diff((score > 1).astype(int), prepend=0) == 1).sum()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (dict(on=2, off=1), [0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0]),
        (dict(on=2, off=1, after=2), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]),
        (dict(on=2, off=1, until=2), [0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1]),
        (dict(on=2, off=2, after=3, until=1), [0] * 9 + [1, 0, 0, 0]),
    ],
)
def test_an_alarm_begins_and_ends_as_written(config, expected):
    score = [0, 3, 1.5, 3, 1, 0, 2, 3, 3, 3, 2, 1.5, 0.5]
    found, _ = _run(score, **config)
    np.testing.assert_array_equal(found, np.array(expected, bool))


@pytest.mark.parametrize(("after", "until", "off"), [(1, 1, 0.5), (3, 1, 1), (2, 5, 0)])
def test_there_are_no_more_alarms_than_the_threshold_promises(after, until, off):
    score = np.random.default_rng(1).normal(size=5000)
    _, plain = _run(score, on=1, off=1)
    _, calm = _run(score, on=1, off=off, after=after, until=until)
    assert 0 < calm.events < plain.events <= (score > 1).sum()


def test_a_damaged_clip_changes_nothing():
    found, alarm = _run([3, math.nan, 3, math.nan, 0], on=2, off=1, after=2)
    assert found.tolist() == [False, False, True, True, False] and alarm.skipped == 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(on=1, off=2), r"off \(2\) must not be above on \(1\)"),
        (dict(on=math.inf, off=2), "above on"),
        (dict(on=1, off=math.nan), "above on"),
        (dict(on=1, off=0, after=0), "1 clip or more"),
        (dict(on=1, off=0, until=-2), "1 clip or more"),
    ],
)
def test_an_alarm_that_cannot_be_is_refused(config, message):
    with pytest.raises(ThresholdError, match=message):
        alarms.HysteresisConfig(**config)


def test_the_running_median_is_the_median_of_the_window():
    rng = np.random.default_rng(2)
    score = rng.normal(size=300).round(1)  # With ties.
    limits = alarms.drift_limits(score, window=21, false_alarm_rate=0.05)
    alarm = alarms.DriftAlarm(limits)
    for i, value in enumerate(score):
        said = alarm.update(float(value))
        if i < 20:
            assert math.isnan(alarm.median) and said == ""
            continue
        median = np.median(score[i - 20 : i + 1])
        assert alarm.median == median
        expected = (
            "high" if median > limits.high else "low" if median < limits.low else ""
        )
        assert said == expected
    before = alarm.median
    assert alarm.update(math.nan) == said and alarm.median == before
    assert alarm.skipped == 1


@pytest.mark.parametrize(("n", "window"), [(60, 5), (200, 21), (500, 61)])
@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_drift_is_called_no_more_often_than_promised_if_nothing_changes(
    n, window, shape
):
    rng, rate, trials = np.random.default_rng(3), 0.1, 2000
    draw = rng.normal if shape == "normal" else rng.standard_exponential
    high = low = 0
    for _ in range(trials):
        score = draw(size=n + window)
        limits = alarms.drift_limits(score[:n], window=window, false_alarm_rate=rate)
        median = np.median(score[n:])
        high += median > limits.high
        low += median < limits.low
    # Up to a step of the order statistics on each side.
    most, least = scipy.stats.binom.ppf([1 - 1e-4, 1e-4], trials, [rate / 2, rate / 4])
    assert least <= high <= most and least <= low <= most


def test_a_shift_is_found_and_named():
    rng = np.random.default_rng(4)
    limits = alarms.drift_limits(rng.normal(size=2000), false_alarm_rate=1e-5)
    for shift, name in ((1.0, "high"), (-1.0, "low")):
        alarm = alarms.DriftAlarm(limits)
        calm = [alarm.update(float(v)) for v in rng.normal(size=200)]
        moved = [alarm.update(float(v)) for v in rng.normal(size=200) + shift]
        assert set(calm) == {""}
        assert moved[-1] == name and set(moved) == {"", name}
    # One loud hour does not move a median; one clip does not either.
    alarm = alarms.DriftAlarm(limits)
    score = rng.normal(size=300)
    score[100:120] = 50
    assert not any(alarm.update(float(v)) == "low" for v in score)


def test_a_stream_costs_a_fixed_amount_of_memory():
    limits = alarms.drift_limits(np.arange(1000.0), window=11)
    alarm = alarms.DriftAlarm(limits)
    for value in np.random.default_rng(5).normal(size=1000):
        alarm.update(float(value))
    assert len(alarm._last) == len(alarm._sorted) == 11
    assert alarm._sorted == sorted(alarm._last)


def test_limits_survive_json_and_say_what_they_need():
    score = np.random.default_rng(6).normal(size=500)
    limits = alarms.drift_limits(np.r_[score, np.nan, np.inf])
    assert limits.clips == 500 and limits.low < limits.median < limits.high
    text = json.dumps(limits.as_dict(), allow_nan=False)
    assert alarms.DriftConfig.from_dict(json.loads(text)) == limits
    with pytest.raises(ThresholdError, match="no drift limits"):
        alarms.DriftConfig.from_dict({"low": 1})
    for window in (0, 10, -3):
        with pytest.raises(ThresholdError, match="odd"):
            alarms.drift_limits(score, window=window)
    with pytest.raises(ThresholdError, match="3 scores are too few"):
        alarms.drift_limits(score[:3])
    with pytest.raises(ThresholdError, match="0 scores are too few"):
        alarms.drift_limits(np.full(4, np.nan))
    with pytest.raises(ThresholdError, match="false-alarm rate"):
        alarms.drift_limits(score, false_alarm_rate=0)


def test_a_threshold_and_an_alarm_work_together():
    rng = np.random.default_rng(7)
    threshold = thresholds.conformal(rng.normal(size=1000), 0.01)
    score = rng.normal(size=2000)
    score[500:520] += 6
    config = alarms.HysteresisConfig(on=threshold.value, off=1.0, after=3, until=3)
    alarm = alarms.Hysteresis(config)
    active = alarm.run(score)
    assert active[503:520].all() and alarm.events == 1
