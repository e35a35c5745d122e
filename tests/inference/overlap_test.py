"""Laws of windows that overlap and of their merging."""

import numpy as np
import pytest

from sigjax.inference.overlap import merge, window_starts

CASES = [
    (rows, per_window, overlap)
    for rows in (1, 5, 6, 7, 12, 13, 40)
    for per_window in (1, 6)
    for overlap in (0.0, 0.3, 0.5, 0.9, 0.99)
]


def probabilities(windows, per_window, classes=4, seed=0):
    found = np.random.default_rng(seed).random((windows, per_window, classes))
    return (found / found.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("rows", "per_window", "overlap"), CASES)
def test_windows_cover_all_and_end_with_the_rows(rows, per_window, overlap):
    starts = window_starts(rows, per_window, overlap)
    covered = {s + i for s in starts.tolist() for i in range(per_window)}
    assert covered >= set(range(rows))
    assert starts[0] == 0
    assert starts[-1] == max(0, rows - per_window)
    steps = np.diff(starts)
    step = max(1, round((1 - overlap) * per_window + 1e-9))
    assert (steps[:-1] == step).all()
    assert (0 < steps).all() and (steps <= step).all()


def test_without_overlap_windows_follow_each_other():
    assert window_starts(18, 6, 0.0).tolist() == [0, 6, 12]
    assert window_starts(20, 6, 0.0).tolist() == [0, 6, 12, 14]
    # 45 of 50 minutes, as in training: every 30 of 300 labels.
    assert np.diff(window_starts(8640, 300, 0.9)).tolist() == [30] * 278


def test_nothing_has_no_windows():
    assert window_starts(0, 6, 0.5).shape == (0,)
    assert merge(np.zeros((0, 6, 3)), np.zeros(0, int), 0).shape == (0, 3)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0, float("nan")])
def test_an_overlap_that_is_none_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap="):
        window_starts(10, 5, overlap)


@pytest.mark.parametrize(("rows", "per_window", "overlap"), CASES)
def test_merging_keeps_what_is_constant_and_sums_to_one(rows, per_window, overlap):
    starts = window_starts(rows, per_window, overlap)
    constant = np.broadcast_to(
        np.float32([0.5, 0.25, 0.125, 0.125]), (len(starts), per_window, 4)
    )
    assert np.array_equal(
        merge(constant, starts, rows), constant[0, :1].repeat(rows, 0)
    )
    merged = merge(probabilities(len(starts), per_window), starts, rows)
    assert merged.shape == (rows, 4) and merged.dtype == np.float32
    np.testing.assert_allclose(merged.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("rows", "per_window", "overlap"), CASES)
def test_merging_equals_a_plain_loop(rows, per_window, overlap):
    starts = window_starts(rows, per_window, overlap)
    found = probabilities(len(starts), per_window)
    expected = np.empty((rows, 4))
    for row in range(rows):
        over = [
            found[w, row - s].astype(float)
            for w, s in enumerate(starts)
            if 0 <= row - s < per_window
        ]
        expected[row] = sum(over) / len(over)
    np.testing.assert_allclose(merge(found, starts, rows), expected, atol=1e-7)


def test_windows_side_by_side_are_only_joined():
    found = probabilities(3, 6)
    merged = merge(found, window_starts(18, 6, 0.0), 18)
    assert np.array_equal(merged, found.reshape(18, 4))


def test_the_order_of_windows_changes_nothing():
    starts = window_starts(40, 6, 0.7)
    found = probabilities(len(starts), 6)
    order = np.random.default_rng(1).permutation(len(starts))
    np.testing.assert_allclose(
        merge(found[order], starts[order], 40), merge(found, starts, 40), atol=1e-7
    )


def test_padding_is_left_out():
    found = probabilities(1, 6)
    merged = merge(found, window_starts(4, 6, 0.0), 4)
    assert np.array_equal(merged, found[0, :4])


def test_rows_that_no_window_covers_are_an_error():
    with pytest.raises(ValueError, match="no window covers label window 6"):
        merge(probabilities(1, 6), np.array([0]), 8)
