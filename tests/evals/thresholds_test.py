"""Laws of thresholds: what they promise holds, and what cannot hold is refused."""

import fractions
import json

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjax.evals import thresholds
from sigjax.metrics.detection import DetectionError


@pytest.mark.parametrize("n", [19, 110])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.normal(size=size),
        lambda rng, size: -rng.gamma(0.5, size=size),  # Skewed to the left.
        lambda rng, size: rng.standard_cauchy(size),
        lambda rng, size: (
            np.repeat(rng.normal(size=(size[0], 1)), size[1], 1)
            + 0.3 * rng.normal(size=size)
        ),  # A day that all clips share: exchangeable.
    ],
    ids=["normal", "skewed", "cauchy", "shared"],
)
def test_conformal_false_alarms_are_as_many_as_promised(n, draw):
    rng, rate, trials = np.random.default_rng(0), 0.05, 800
    scores = draw(rng, (trials, n + 1))
    alarms = 0
    for row in scores:
        found = thresholds.conformal(row[:-1], rate)
        assert found.false_alarm_rate <= rate
        alarms += row[-1] > found.value
    # Exactly binomial, since each trial has its own calibration.
    low, high = scipy.stats.binom.ppf([1e-4, 1 - 1e-4], trials, found.false_alarm_rate)
    assert low <= alarms <= high
    assert found.false_alarm_rate > rate - 1 / (n + 1)


def test_the_rate_of_one_calibration_stays_below_its_bound_as_often_as_it_says():
    rng = np.random.default_rng(1)
    above = 0
    for _ in range(600):
        found = thresholds.conformal(rng.normal(size=150), 0.05)
        above += scipy.stats.norm.sf(found.value) > found.at_most
    # Clopper and Pearson's bound for as few alarms among as many clips.
    few = round(found.false_alarm_rate * 151) - 1
    assert scipy.stats.binom.cdf(few, 150, found.at_most) == pytest.approx(0.05)
    low, high = scipy.stats.binom.ppf([1e-4, 1 - 1e-4], 600, 0.05)
    assert low <= above <= high


@settings(deadline=None, max_examples=60)
@given(
    score=st.lists(
        st.one_of(st.floats(-9, 9), st.sampled_from([0.0, 1.0])), min_size=1
    ),
    rate=st.floats(0.001, 0.999),
)
def test_no_more_clips_lie_above_than_were_asked_for(score, rate):
    score = np.array(score)
    found = thresholds.empirical(score, rate)
    share = (score > found.value).mean()
    assert share == found.false_alarm_rate <= rate + 1e-9
    # The next lower score would let too many through.
    lower = score[score < found.value]
    if len(lower):
        assert (score > lower.max()).mean() > rate * (1 - 1e-9)
    if (len(score) + 1) * rate >= 1:
        assert thresholds.conformal(score, rate).value >= found.value or (
            (score > thresholds.conformal(score, rate).value).mean() <= rate + 1e-9
        )


def test_conformal_is_the_order_statistic_that_it_names():
    score = np.random.default_rng(2).permutation(99) + 1.0
    for rate, expected in ((0.01, 99.0), (0.02, 98.0), (0.1, 90.0), (0.019, 99.0)):
        found = thresholds.conformal(score, rate)
        assert found.value == expected
        assert found.false_alarm_rate == (100 - expected) / 100
    with pytest.raises(thresholds.ThresholdError, match="least 101 normal .* are 99"):
        thresholds.conformal(score, 0.0099)


def test_a_group_counts_the_same_however_many_clips_it_has():
    score = np.array([*range(10), *range(100, 190)], float)
    group = np.repeat(["quiet", "loud"], [10, 90])
    # Half of the weight is on ten clips: 5 % of all is a tenth of the loud one's.
    found = thresholds.conformal(score, 0.05, group=group)
    assert found.value == 180.0 and found.false_alarm_rate == pytest.approx(0.05)
    assert thresholds.conformal(score, 0.55, group=group).value == 8.0
    order = np.random.default_rng(0).permutation(100)
    again = thresholds.conformal(score[order], 0.05, group=group[order])
    assert again == found and found.at_most is None
    odd = np.append(score, [np.nan, np.inf])
    left = thresholds.conformal(odd, 0.05, group=np.append(group, ["x", "quiet"]))
    assert (left.value, left.left_out, left.parameters["groups"]) == (180.0, 2, 2)
    assert thresholds.Threshold.from_dict(json.loads(json.dumps(found.as_dict())))
    with pytest.raises(thresholds.ThresholdError, match="groups of shape"):
        thresholds.conformal(score, 0.05, group=group[1:])


@pytest.mark.parametrize("alike", [0.0, 0.9, 1.0])
def test_new_groups_clips_lie_above_as_seldom_as_is_promised(alike):
    """The mean over calibrations; clips alone would promise far less than is true."""
    rng, k, each = np.random.default_rng(1), 6, 20
    above, bound = [], []
    for _ in range(800):
        own = np.sqrt(alike) * rng.normal(size=(k + 1, 1))
        score = own + np.sqrt(1 - alike) * rng.normal(size=(k + 1, each))
        group = np.repeat(np.arange(k), each)
        found = thresholds.conformal(score[:k].ravel(), 0.1, group=group)
        above.append((score[k] > found.value).mean())
        bound.append(found.parameters["promised"])
    assert set(bound) == {0.1 + 0.9 / 7}
    error = np.std(above) / np.sqrt(len(above))
    assert np.mean(above) < bound[0] + 3 * error
    if alike == 1:  # Its clips are one clip, and 6 are too few for 10 %.
        assert np.mean(above) == pytest.approx(1 / 7, abs=4 * error)
    if alike == 0:
        assert np.mean(above) == pytest.approx(0.1, abs=0.01)


def test_groups_of_one_clip_are_clips():
    score = np.random.default_rng(2).normal(size=99)
    alone = thresholds.conformal(score, 0.05)
    assert thresholds.conformal(score, 0.05, group=np.arange(99)) == alone


def test_false_alarms_per_day_are_a_rate_of_clips():
    assert thresholds.clips_per_day(10) == 8640
    rate = thresholds.rate_of(8.64, 10)
    assert rate == pytest.approx(0.001)
    score = np.random.default_rng(3).normal(size=2000)
    found = thresholds.conformal(score, rate)
    assert found.per_day(10) <= 8.64
    assert "false alarms a day (with 95 % confidence at most" in found.describe(10)
    assert found.per_day(5) == 2 * found.per_day(10)
    for wrong in (0, 8640, -1):
        with pytest.raises(thresholds.ThresholdError, match="false alarms a day"):
            thresholds.rate_of(wrong, 10)
    for hop in (0, -1, 1e6):
        with pytest.raises(thresholds.ThresholdError, match="a clip every"):
            thresholds.clips_per_day(hop)
    # A user with ten minutes of sound learns what these can give.
    with pytest.raises(thresholds.ThresholdError, match=r"4,319 normal clips, .* 60\."):
        thresholds.conformal(score[:60], thresholds.rate_of(2, 10))


def test_the_official_threshold_is_the_quantile_of_a_gamma_fit():
    score = np.random.default_rng(4).gamma(3, 2, size=1000) + 5
    found = thresholds.official(score)
    fitted = scipy.stats.gamma.fit(score)
    assert found.value == pytest.approx(scipy.stats.gamma.ppf(0.9, *fitted), rel=1e-3)
    assert found.value == pytest.approx(np.quantile(score, 0.9), rel=0.03)
    assert found.parameters["loc"] == pytest.approx(5, abs=1)
    assert not found.remark


def test_the_official_threshold_says_where_it_does_not_fit():
    rng = np.random.default_rng(5)
    # Log-odds of a sure classifier: a long tail to the left of a wall.
    score = -rng.gamma(0.6, 4, size=1000)
    found = thresholds.official(score)
    share = (score > found.value).mean()
    assert abs(share - 0.1) > 0.04 and "does not fit" in found.remark
    assert found.parameters["share_above"] == share
    ours = thresholds.conformal(score, 0.1)
    assert (score > ours.value).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("make", [thresholds.conformal, thresholds.empirical])
def test_clips_without_a_score_are_left_out_and_counted(make):
    score = np.random.default_rng(6).normal(size=300)
    clean = make(score, 0.05)
    dirty = make(np.r_[score, np.nan, np.inf, -np.inf], 0.05)
    assert dirty.left_out == 3 and dirty.clips == 300
    assert dirty.value == clean.value
    with pytest.raises(thresholds.ThresholdError, match="none of 2 scores"):
        make(np.full(2, np.nan), 0.05)
    for rate in (0, 1, -0.1, np.nan):
        with pytest.raises(thresholds.ThresholdError, match="above 0 and below 1"):
            make(score, rate)


def test_constant_scores_have_no_official_threshold_and_raise_no_alarms():
    with pytest.raises(thresholds.ThresholdError, match="all 50 scores are 3"):
        thresholds.official(np.full(50, 3.0))
    found = thresholds.conformal(np.full(50, 3.0), 0.1)
    assert found.value == 3 and not found.decide(np.full(5, 3.0)).any()


@pytest.mark.parametrize("method", thresholds.METHODS)
def test_a_threshold_survives_json(method):
    score = np.random.default_rng(7).gamma(2, size=400) / 3
    make = getattr(thresholds, method)
    found = make(score) if method == "official" else make(score, 0.07)
    text = json.dumps(found.as_dict(), allow_nan=False)
    again = thresholds.Threshold.from_dict(json.loads(text))
    assert again == found and again.method == method
    np.testing.assert_array_equal(again.decide(score), found.decide(score))
    with pytest.raises(thresholds.ThresholdError, match="no threshold"):
        thresholds.Threshold.from_dict({**found.as_dict(), "extra": 1})
    with pytest.raises(thresholds.ThresholdError, match="no threshold"):
        thresholds.Threshold.from_dict({"value": 1.0})
    with pytest.raises(thresholds.ThresholdError, match="no threshold"):
        thresholds.Threshold.from_dict({**found.as_dict(), "method": "guess"})


def test_a_decision_is_above_the_threshold_and_none_without_a_score():
    found = thresholds.empirical(np.arange(11.0), 0.1)
    assert found.value == 9
    decided = found.decide(np.array([[8.9, 9.0], [9.1, np.nan]]))
    np.testing.assert_array_equal(decided, [[0, 0], [1, -1]])
    assert decided.dtype == np.int8


def _cases():
    rng = np.random.default_rng(8)
    label = np.arange(80) % 2
    yield "plain", label, rng.normal(size=80) + label
    yield "ties", label, rng.integers(0, 5, 80) + 3.0 * label
    yield "perfect", label, label + 0.1 * rng.random(80)
    yield "inverted", label, rng.normal(size=80) - 2 * label


CASES = list(_cases())


@pytest.mark.parametrize("case", CASES, ids=[name for name, *_ in CASES])
def test_f1_ev_is_the_mean_f1_of_an_even_threshold(case):
    _, label, score = case
    at = np.linspace(score.min(), score.max(), 1501)
    middle = (at[1:] + at[:-1]) / 2
    f1 = [float(_f1(label, score > t)) for t in middle]
    theirs = sklearn.metrics.f1_score(label, score > middle[700], zero_division=0)
    assert f1[700] == pytest.approx(theirs)
    assert thresholds.f1_ev(label, score) == pytest.approx(np.mean(f1), abs=4e-3)


def _f1(label, flagged):
    hits = int((flagged & (label == 1)).sum())
    return fractions.Fraction(2 * hits, int(flagged.sum() + label.sum()))


@pytest.mark.parametrize("case", CASES[:3], ids=[name for name, *_ in CASES[:3]])
def test_bounded_f1_ev_is_that_mean_between_its_bounds(case):
    _, label, score = case
    cuts = np.unique(score)
    # Exact, since thresholds can tie for the best F1.
    best = cuts[np.argmax([_f1(label, score > t) for t in cuts])]
    spread = 0.2515 * score[label == 0].std()
    at = np.linspace(score[label == 0].mean() - spread, best + spread, 1501)
    middle = (at[1:] + at[:-1]) / 2
    f1 = [float(_f1(label, score > t)) for t in middle]
    found = thresholds.f1_ev(label, score, bounded=True)
    assert found == pytest.approx(np.mean(f1), abs=4e-3)


def test_f1_ev_of_what_has_no_range():
    label = np.array([0, 1, 1])
    assert thresholds.f1_ev(label, np.ones(3)) == 0
    # To flag nearly all is best, which is below the lower bound: F1 at that bound.
    label, score = np.array([0, 0, 1, 1, 1]), np.array([9.0, 5, 1, 2, 0])
    low = 7 - 0.2515 * 2
    expected = float(_f1(label, score > low))
    assert thresholds.f1_ev(label, score, bounded=True) == expected
    with pytest.raises(DetectionError, match="0 anomalous"):
        thresholds.f1_ev(np.zeros(3), np.arange(3.0))


def test_numbers_for_people_have_no_exponent():
    numbers = (0.01234, 24.0, 2059.6, 1.7e7)
    assert [thresholds.plain(n) for n in numbers] == [
        "0.0123",
        "24",
        "2,060",
        "17,000,000",
    ]
