"""Masks, events and their boundaries: by definition, and by brute force."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from sigjax.metrics import segmentation as metrics
from sigjax.metrics.segmentation import Counts


def test_cells_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    true, said = rng.random((2, 40, 7, 3)) < 0.3
    counts = metrics.cell_counts(true, said)
    flat = true.reshape(-1, 3), said.reshape(-1, 3)
    np.testing.assert_allclose(metrics.f1(counts), f1_score(*flat, average=None))
    np.testing.assert_allclose(metrics.iou(counts), jaccard_score(*flat, average=None))
    both = (true & said).sum(axis=(0, 1))
    np.testing.assert_allclose(metrics.recall(counts), both / true.sum(axis=(0, 1)))
    np.testing.assert_allclose(metrics.precision(counts), both / said.sum(axis=(0, 1)))


def most_pairs(true, said, tolerance):
    """The largest matching, by trying all."""
    if not true:
        return 0
    found = most_pairs(true[1:], said, tolerance)
    for i, moment in enumerate(said):
        if abs(moment - true[0]) <= tolerance:
            rest = said[:i] + said[i + 1 :]
            found = max(found, 1 + most_pairs(true[1:], rest, tolerance))
    return found


def test_boundaries_are_matched_one_to_one_and_as_many_as_can_be():
    rng = np.random.default_rng(1)
    for _ in range(300):
        true, said = (sorted(rng.integers(0, 12, n)) for n in rng.integers(0, 5, 2))
        for tolerance in (0, 1, 3):
            assert metrics.matched(true, said, tolerance) == most_pairs(
                true, said, tolerance
            )
    # Two said near one true: one is right.
    assert metrics.matched([5], [4, 6], 1) == 1


def frames(length, *events, classes=2):
    found = np.zeros((length, classes), bool)
    for label, start, stop in events:
        found[start:stop, label] = True
    return found


@pytest.mark.parametrize("off", [0, 2, 3])
def test_a_boundary_is_right_up_to_the_tolerance(off):
    true = frames(40, (0, 10, 20), (1, 5, 8))
    said = frames(40, (0, 10 + off, 20 - off), (1, 5, 8))
    found = metrics.boundary_counts(true, said, 2)
    for counts in found.values():
        np.testing.assert_array_equal(counts.matched, [off <= 2, 1])
        np.testing.assert_array_equal(counts.true, [1, 1])
        np.testing.assert_array_equal(counts.said, [1, 1])
    with pytest.raises(ValueError, match="tolerance is -1"):
        metrics.boundary_counts(true, said, -1)
    with pytest.raises(ValueError, match="shapes differ"):
        metrics.boundary_counts(true, said[1:], 1)


def test_another_class_and_the_other_kind_of_boundary_do_not_count():
    one, other = frames(40, (0, 10, 20)), frames(40, (1, 10, 20))
    found = metrics.boundary_counts(one, other, 5)
    assert found["onset"].matched.sum() == found["offset"].matched.sum() == 0
    # An offset where an onset was.
    found = metrics.boundary_counts(one, frames(40, (0, 2, 10)), 1)
    assert found["onset"].matched.sum() == found["offset"].matched.sum() == 0


def test_silence_counts_where_something_is_said_or_missed_and_else_adds_nothing():
    silent, event = frames(20), frames(20, (0, 3, 9))
    nothing = metrics.boundary_counts(silent, silent, 1)["onset"]
    assert np.isnan(metrics.f1(nothing)).all() and np.isnan(metrics.iou(nothing)).all()
    right = metrics.boundary_counts(event, event, 1)["onset"]
    np.testing.assert_array_equal(metrics.f1(right), [1.0, np.nan])
    for false in ((silent, event), (event, silent)):
        wrong = metrics.boundary_counts(*false, 1)["onset"]
        np.testing.assert_array_equal(metrics.f1(wrong), [0.0, np.nan])
        whole = right + nothing + wrong
        np.testing.assert_allclose(metrics.f1(whole)[0], 2 / 3)
    assert metrics.macro(metrics.f1(right)) == 1.0
    assert np.isnan(metrics.macro(metrics.f1(nothing)))
    assert isinstance(whole, Counts)


def test_runs_that_touch_the_ends_have_their_boundaries_there():
    found = metrics.runs(frames(10, (0, 0, 4), (0, 8, 10), (1, 2, 3)))
    assert list(zip(*(r.tolist() for r in found), strict=True)) == [
        (0, 0, 4),
        (0, 8, 10),
        (1, 2, 3),
    ]


def test_pauses_are_closed_before_short_events_are_left_out():
    given = frames(30, (0, 2, 4), (0, 5, 7), (0, 12, 14), (1, 0, 1), (1, 28, 30))
    np.testing.assert_array_equal(
        metrics.tidied(given, gap=1, least=3), frames(30, (0, 2, 7))
    )
    np.testing.assert_array_equal(
        metrics.tidied(given, gap=1), given | frames(30, (0, 4, 5))
    )
    # The pauses before the first and behind the last event are none.
    np.testing.assert_array_equal(
        metrics.tidied(frames(6, (0, 2, 4)), gap=3), frames(6, (0, 2, 4))
    )
    np.testing.assert_array_equal(metrics.tidied(given), given)


def test_a_frame_is_active_where_enough_bands_are():
    cells = np.random.default_rng(2).random((3, 6, 5, 2))
    for least, threshold in itertools.product((1, 3, 5), (0.3, 0.6)):
        said = metrics.frame_score(cells, least) >= threshold
        np.testing.assert_array_equal(said, (cells >= threshold).sum(axis=2) >= least)
    with pytest.raises(ValueError, match=r"least_bands=6 is not in \[1, 5\]"):
        metrics.frame_score(cells, 6)
