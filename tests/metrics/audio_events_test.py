"""Figures of audio events, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from sigjax.metrics import audio_events as metrics
from sigjax.metrics.audio_events import EventMetricsError


def _drawn(seed, n=57, v=6, ties=False):
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=(n, v))
    if ties:
        score = np.round(score, 1)
    return rng, score


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_is_scikit_learns(seed, ties):
    rng, score = _drawn(seed, ties=ties)
    target = (rng.uniform(size=score.shape) < 0.2).astype(float)
    ours = metrics.average_precisions(target, score)
    theirs = reference.average_precision_score(target, score, average=None)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    mean = reference.average_precision_score(target, score, average="macro")
    assert metrics.mean_average_precision(ours) == pytest.approx(mean, abs=1e-12)


def test_weights_are_scikit_learns():
    rng, score = _drawn(3, ties=True)
    target = (rng.uniform(size=len(score)) < 0.3).astype(int)
    weight = rng.integers(0, 4, (3, len(score))).astype(float)
    ours = metrics.average_precision(target, score[:, 0], weight=weight)
    theirs = [
        reference.average_precision_score(target, score[:, 0], sample_weight=w)
        for w in weight
    ]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_weights_are_clips_that_are_there_so_often():
    rng, score = _drawn(4, ties=True)
    target = (rng.uniform(size=len(score)) < 0.3).astype(int)
    weight = rng.integers(0, 4, len(score))
    repeated = np.repeat(np.arange(len(score)), weight)
    ours = metrics.average_precision(target, score[:, 0], weight=weight)
    again = metrics.average_precision(target[repeated], score[repeated, 0])
    assert ours == pytest.approx(again, abs=1e-12)


def test_a_class_without_positives_has_none_and_does_not_count():
    score = np.array([[0.9, 0.1], [0.2, 0.3], [0.5, 0.2]])
    target = np.array([[1, 0], [0, 0], [1, 0]])
    ours = metrics.average_precisions(target, score)
    assert ours[0] == 1 and np.isnan(ours[1])
    assert metrics.mean_average_precision(ours) == 1
    # scikit-learn counts it as 0 and warns.
    with pytest.warns(UserWarning, match="No positive class"):
        theirs = reference.average_precision_score(target, score, average=None)
    assert theirs[1] == 0
    assert np.isnan(metrics.mean_average_precision(np.array([np.nan, np.nan])))


def test_by_hand():
    # Falling: hit, miss, and a tie of a hit and a miss: P = 1 at R 1/2, 2/4 at R 1.
    target, score = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.5, 0.5])
    assert metrics.average_precision(target, score) == pytest.approx(0.75)
    assert metrics.average_precision(np.array([1, 0]), np.zeros(2)) == 0.5


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_is_scikit_learns(k):
    rng, score = _drawn(5)
    label = rng.integers(0, 6, len(score))
    ours = metrics.top_k_hits(score, label, k)
    if k < 6:
        theirs = reference.top_k_accuracy_score(label, score, k=k, labels=np.arange(6))
        assert ours.mean() == pytest.approx(theirs, abs=1e-12)
    else:
        assert ours.all()
    if k == 1:
        assert (ours == (score.argmax(axis=1) == label)).all()


def test_of_equal_scores_the_lower_number_comes_first_as_in_an_argmax():
    score, label = np.zeros((4, 4)), np.arange(4)
    assert metrics.top_k_hits(score, label).tolist() == [True, False, False, False]
    assert metrics.top_k_hits(score, label, 3).tolist() == [True, True, True, False]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_actions_are_pairs_of_the_highest_products(k):
    rng = np.random.default_rng(k)
    n, v, w = 40, 5, 7
    verb_score = rng.dirichlet(np.ones(v), n).round(2)  # some products are equal
    noun_score = rng.dirichlet(np.ones(w), n).round(2)
    verb, noun = rng.integers(0, v, n), rng.integers(0, w, n)
    ours = metrics.action_hits(verb_score, verb, noun_score, noun, k)
    product = verb_score[:, :, None] * noun_score[:, None]
    flat = product.reshape(n, -1)
    if k == 1:
        both = (verb_score.argmax(1) == verb) & (noun_score.argmax(1) == noun)
        assert (ours == both).all() and ours.sum() < n
    else:
        best = np.argsort(-flat, axis=1, kind="stable")[:, :k]
        assert (ours == (best == (verb * w + noun)[:, None]).any(axis=1)).all()
        assert 0 < ours.sum() < n


def test_of_equal_products_the_lower_numbers_come_first():
    even, pairs = np.full((4, 2), 0.5), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    for k in (1, 2, 3):
        hits = metrics.action_hits(even, pairs[:, 0], even, pairs[:, 1], k)
        assert hits.tolist() == [True] * k + [False] * (4 - k)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.top_k_hits(np.zeros((2, 3)), np.array([0, 3])), "0 to 3"),
        (lambda: metrics.top_k_hits(np.zeros((2, 3)), np.array([-1, 0])), "-1 to 0"),
        (lambda: metrics.top_k_hits(np.zeros((2, 3)), np.zeros(3, int)), "do not fit"),
        (
            lambda: metrics.top_k_hits(np.full((2, 3), np.nan), np.zeros(2, int)),
            "2 of 2 clips are NaN",
        ),
        (
            lambda: metrics.average_precision(np.array([0, 2]), np.zeros(2)),
            "targets are 0 or 1",
        ),
        (lambda: metrics.average_precision(np.zeros(3), np.zeros(2)), "3 targets"),
        (
            lambda: metrics.average_precision(
                np.zeros(2), np.zeros(2), weight=np.array([1, -1])
            ),
            "not negative",
        ),
        (
            lambda: metrics.average_precisions(np.zeros((2, 3)), np.zeros((2, 2))),
            r"targets \[2, 3\]",
        ),
        (lambda: metrics.average_precisions(np.zeros(2), np.zeros(2)), r"\[n, v\]"),
    ],
)
def test_what_has_no_figure_says_why(call, message):
    with pytest.raises(EventMetricsError, match=message):
        call()
