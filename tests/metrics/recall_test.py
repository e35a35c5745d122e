"""UAR equals scikit-learn's, whichever way absent classes count."""

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

from sigjax.metrics.recall import absent, recall, unweighted_average_recall

CLASSES = tuple("abcdef")


def example(present, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.choice(present, 60)
    return label, np.where(rng.random(60) < 0.5, label, rng.integers(0, 6, 60))


@pytest.mark.parametrize("present", [range(6), [0, 2, 5], [3]])
def test_it_is_scikit_learns_over_the_classes_that_occur(present):
    label, predicted = example(list(present))
    found = recall(label, predicted, CLASSES)
    expected = recall_score(
        label, predicted, labels=list(present), average="macro", zero_division=0
    )
    assert found.uar == pytest.approx(expected, abs=1e-12)
    if len(present) == 6:
        assert found.uar == pytest.approx(balanced_accuracy_score(label, predicted))
    assert found.absent == tuple(c for i, c in enumerate(CLASSES) if i not in present)
    assert np.isnan(found.per_class).sum() == 6 - len(present)
    assert found.support.sum() == found.confusion.sum() == 60


def test_the_other_convention_counts_absent_classes_as_never_found():
    label, predicted = example([0, 2, 5])
    found = recall(label, predicted, CLASSES)
    expected = recall_score(
        label, predicted, labels=range(6), average="macro", zero_division=0
    )
    as_zero = unweighted_average_recall(found.confusion, absent_as_zero=True)
    assert as_zero == pytest.approx(expected, abs=1e-12) and as_zero < found.uar


def test_stacks_of_matrices_and_none_at_all():
    label, predicted = example(range(6))
    one = recall(label, predicted, CLASSES)
    both = np.stack([one.confusion, np.zeros((6, 6), int)])
    found = unweighted_average_recall(both)
    assert found[0] == one.uar and math.isnan(found[1])
    assert absent(np.array([-1, 1]), CLASSES) == ("a", "c", "d", "e", "f")
