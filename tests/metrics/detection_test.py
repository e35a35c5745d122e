"""Against scikit-learn and against counting pairs, with ties, constants and weights."""

import itertools
import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjax.metrics import detection


def _pairs(label, score):
    """AUC by definition: the share of pairs in the right order, ties half."""
    normal, anomaly = score[label == 0], score[label == 1]
    right = sum(
        1.0 if a > n else 0.5 if a == n else 0.0
        for n, a in itertools.product(normal.tolist(), anomaly.tolist())
    )
    return right / (len(normal) * len(anomaly))


def _partial(label, score, max_fpr):
    """Partial area by definition: the curve's points joined, integrated by pieces."""
    cuts = [math.inf, *sorted(set(score.tolist()), reverse=True)]
    normal, anomaly = score[label == 0], score[label == 1]
    points = [(np.mean(normal >= c), np.mean(anomaly >= c)) for c in cuts]
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= max_fpr or x1 == x0:
            continue
        end = min(x1, max_fpr)
        at_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + at_end) / 2
    least = max_fpr**2 / 2
    return 0.5 * (1 + (area - least) / (max_fpr - least))


def _cases():
    rng = np.random.default_rng(0)
    for size in (2, 3, 17, 200):
        label = np.arange(size) % 2
        yield f"{size} without ties", label, rng.normal(size=size) + label
        yield f"{size} with ties", label, rng.integers(0, 4, size) + 2 * label
        yield f"{size} constant", label, np.full(size, 0.3)
        yield f"{size} perfect", label, label * 1.0
        yield f"{size} inverted", label, -label * 1.0
    rare = (np.arange(400) % 40 == 0).astype(int)
    yield "rare anomalies", rare, rng.normal(size=400).round(1) + rare
    yield "one normal", 1 - (np.arange(9) == 4), rng.normal(size=9)
    huge = rng.normal(size=50) * 1e300
    yield "huge", np.arange(50) % 2, huge
    yield "tiny", np.arange(50) % 2, huge * 1e-320 * 1e-290
    yield "zeros of both signs", np.array([0, 1, 0, 1]), np.array([0.0, -0.0, 1, 2])


CASES = list(_cases())


@pytest.fixture(params=CASES, ids=[name for name, *_ in CASES])
def case(request):
    return request.param[1:]


@pytest.mark.parametrize("max_fpr", [0.1, 0.05, 0.5, 1.0, 1 / 3])
def test_areas_equal_scikit_learn_and_the_definitions(case, max_fpr):
    label, score = case
    theirs = sklearn.metrics.roc_auc_score(label, score, max_fpr=max_fpr)
    ours = detection.partial_auc(label, score, max_fpr=max_fpr)
    assert ours == pytest.approx(theirs, rel=0, abs=1e-12)
    assert ours == pytest.approx(_partial(label, score, max_fpr), rel=0, abs=1e-12)


def test_the_whole_area_is_the_share_of_pairs_in_order(case):
    label, score = case
    ours = detection.roc_auc(label, score)
    assert ours == pytest.approx(_pairs(label, score), rel=0, abs=1e-12)
    theirs = sklearn.metrics.roc_auc_score(label, score)
    assert ours == pytest.approx(theirs, rel=0, abs=1e-12)


def test_the_curve_equals_scikit_learn(case):
    label, score = case
    theirs = sklearn.metrics.roc_curve(label, score, drop_intermediate=False)
    for ours, expected in zip(detection.roc_curve(label, score), theirs, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


scores = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-3, 3).map(float),
    st.sampled_from([0.1, 0.1 + 1e-16, 0.1 + 1e-12, 0.2, 1e-308]),
)


@settings(deadline=None, max_examples=150)
@given(
    clips=st.lists(st.tuples(st.integers(0, 1), scores), min_size=2, max_size=40),
    max_fpr=st.floats(0.01, 1.0),
)
def test_any_scores_have_the_areas_of_the_definitions(clips, max_fpr):
    label, score = (np.array(column) for column in zip(*clips, strict=True))
    if label.min() == label.max():
        with pytest.raises(detection.DetectionError, match="needs normal and anom"):
            detection.roc_auc(label, score)
        return
    auc = detection.roc_auc(label, score)
    partial = detection.partial_auc(label, score, max_fpr=max_fpr)
    assert auc == pytest.approx(_pairs(label, score), rel=0, abs=1e-12)
    expected = _partial(label, score, max_fpr)
    # Cancelling p^2 / 2 costs digits at small p; ours and theirs lose them alike.
    assert partial == pytest.approx(expected, rel=0, abs=1e-12 / max_fpr)
    # Symmetries of a ranking.
    assert detection.roc_auc(1 - label, -score) == pytest.approx(auc, abs=1e-12)
    assert detection.roc_auc(label, -score) == pytest.approx(1 - auc, abs=1e-12)


def test_weights_count_clips_as_if_they_were_repeated(case):
    label, score = case
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, (3, 2, len(label)))
    weight[..., [np.argmin(label), np.argmax(label)]] += 1
    auc = detection.roc_auc(label, score, weight=weight)
    partial = detection.partial_auc(label, score, weight=weight)
    assert auc.shape == partial.shape == (3, 2)
    for i in np.ndindex(3, 2):
        again = np.repeat(np.arange(len(label)), weight[i])
        expected = sklearn.metrics.roc_auc_score(label[again], score[again])
        assert auc[i] == pytest.approx(expected, rel=0, abs=1e-12)
        expected = _partial(label[again], score[again], 0.1)
        assert partial[i] == pytest.approx(expected, rel=0, abs=1e-12)


def test_the_largest_scores_are_still_a_ranking():
    # scikit-learn subtracts neighbours and overflows here.
    score = np.array([-1, 1, 1, -1]) * np.finfo(float).max
    assert detection.roc_auc(np.array([0, 1, 0, 1]), score) == 0.5


def test_a_class_without_weight_has_no_area():
    weight = np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
    label, score = np.array([0, 0, 1, 1]), np.arange(4.0)
    auc = detection.roc_auc(label, score, weight=weight)
    assert np.isnan(auc[0]) and auc[1] == 1
    with pytest.raises(detection.DetectionError, match="not negative"):
        detection.roc_auc(label, score, weight=-weight)
    with pytest.raises(detection.DetectionError, match="4"):
        detection.roc_auc(label, score, weight=np.ones(3))


def test_landmarks_of_the_official_figure():
    label = np.repeat([0, 1], 100)
    assert detection.partial_auc(label, np.ones(200)) == pytest.approx(0.5, abs=1e-15)
    worst = detection.partial_auc(label, 1.0 - label)
    assert worst == pytest.approx(0.47368421052631576, abs=1e-15)
    assert detection.partial_auc(label, label) == 1


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([0, 0], [1, 2], "2 normal and 0 anomalous"),
        ([1, 1, 1], [1, 2, 3], "0 normal and 3 anomalous"),
        ([], [], "0 normal and 0 anomalous"),
        ([0, 1, 1], [1, np.nan, 2], "1 of 3 scores"),
        ([0, 1, 1], [-np.inf, np.inf, 2], "2 of 3 scores"),
        ([0, -1, 1], [1, 2, 3], r"label is 0 or 1, got -1 \(1 of 3\)"),
        ([0, 1], [1, 2, 3], "2 labels and scores"),
        ([[0, 1]], [[1, 2]], r"label is \[n\]"),
    ],
)
def test_what_has_no_curve_is_refused(label, score, message):
    for figure in (detection.roc_auc, detection.partial_auc, detection.roc_curve):
        with pytest.raises(detection.DetectionError, match=message):
            figure(np.array(label), np.array(score, float))


@pytest.mark.parametrize("max_fpr", [0, -0.1, 1.1, np.nan])
def test_a_range_that_is_none_is_refused(max_fpr):
    with pytest.raises(detection.DetectionError, match="max_fpr"):
        detection.partial_auc(np.array([0, 1]), np.array([0.0, 1]), max_fpr=max_fpr)


def test_means_equal_scipys_with_the_official_clamp():
    rng = np.random.default_rng(2)
    values = rng.uniform(0.2, 1, (7, 3, 4))
    values[0, 0, 0] = 0
    clamped = np.maximum(values, np.finfo(float).eps)
    for axis in (None, 0, 1, -1):
        expected = scipy.stats.hmean(clamped, axis=axis)
        found = detection.harmonic_mean(values, axis)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        found = detection.arithmetic_mean(values, axis)
        np.testing.assert_allclose(found, values.mean(axis), rtol=1e-13)
    # One AUC of 0 among 84 takes all with it.
    assert 1e-15 < detection.harmonic_mean(np.r_[np.full(83, 0.9), 0]) < 1e-13
    assert np.isnan(detection.harmonic_mean(np.array([0.5, np.nan])))


def test_a_mean_of_nothing_is_refused():
    for mean in (detection.harmonic_mean, detection.arithmetic_mean):
        with pytest.raises(detection.DetectionError, match="nothing"):
            mean(np.array([]))
        with pytest.raises(detection.DetectionError, match="nothing"):
            mean(np.ones((3, 0)), axis=1)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1))
def test_decisions_equal_scikit_learn(clips):
    label, decision = (np.array(column) for column in zip(*clips, strict=True))
    found = detection.precision_recall(label, decision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
            label, decision, average="binary", zero_division=0
        )
    assert found.precision == pytest.approx(precision, abs=1e-12)
    assert found.hits + found.misses == label.sum()
    assert found.hits + found.false_alarms == decision.sum()
    if label.any():
        assert found.recall == pytest.approx(recall, abs=1e-12)
        assert found.f1 == pytest.approx(f1, abs=1e-12)
    else:
        assert math.isnan(found.recall) and math.isnan(found.f1)


def test_decisions_that_are_none_are_refused():
    with pytest.raises(detection.DetectionError, match="decision is 0 or 1, got 2"):
        detection.precision_recall(np.array([0, 1]), np.array([0, 2]))
    with pytest.raises(detection.DetectionError, match="2 labels and 1 decisions"):
        detection.precision_recall(np.array([0, 1]), np.array([0]))
