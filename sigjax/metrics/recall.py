"""Unweighted average recall (UAR): the mean recall over classes.

The measure of "Comparing Self-Supervised Learning Models Pre-Trained on Human Speech
and Animal Vocalizations for Bioacoustics Processing" (Sarkar and Magimai.-Doss),
section III. It equals scikit-learn's `balanced_accuracy_score`, and its `recall_score`
with `average="macro"` over the classes that occur in the truth.

What a class counts that does not occur in the truth is a convention, and worth points:
with one of 32 classes absent, counting it as recall 0 (as torchmetrics did until 0.11)
takes 3.1 % of the score. Here it does not count, and `absent` names it;
`absent_as_zero` is the other convention, to compare with numbers that were made so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sigjax.metrics import classification


class Recall(NamedTuple):
    """Recalls of one set of predictions.

    Attributes:
      uar: Mean recall over the classes that occur; NaN without a label.
      per_class: Float64 `[v]`, NaN for a class that does not occur.
      support: Int64 `[v]`, labels of each class.
      absent: Names of the classes that do not occur.
      confusion: Int64 `[v, v]`, rows are the truth.
    """

    uar: float
    per_class: np.ndarray
    support: np.ndarray
    absent: tuple[str, ...]
    confusion: np.ndarray


def unweighted_average_recall(
    confusion: np.ndarray, *, absent_as_zero: bool = False
) -> np.ndarray:
    """UAR of confusion matrices.

    Args:
      confusion: `[*a, v, v]` counts, rows are the truth.
      absent_as_zero: Whether a class that does not occur counts as recall 0.

    Returns:
      Float64 `[*a]`, NaN where no class occurs.
    """
    found = classification.balanced_accuracy(confusion)
    if not absent_as_zero:
        return found
    occurs = np.asarray(confusion).sum(axis=-1) > 0
    return found * occurs.mean(axis=-1)


def recall(label: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Recall:
    """Recalls of predictions.

    Args:
      label: Integers `[n]` in `[0, v)`, the truth; -1 does not count.
      predicted: Integers `[n]` in `[0, v)`.
      classes: Names, `v` of them.

    Raises:
      ValueError: Shapes differ, or a class number is out of range.
    """
    confusion = classification.confusion_matrix(label, predicted, len(classes))
    support = confusion.sum(axis=-1)
    return Recall(
        uar=float(unweighted_average_recall(confusion)),
        per_class=classification.per_class(confusion).recall,
        support=support,
        absent=absent(label, classes),
        confusion=confusion,
    )


def absent(label: np.ndarray, classes: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes that no label is of, in their order."""
    label = np.asarray(label)
    count = np.bincount(label[label >= 0], minlength=len(classes))
    return tuple(name for name, n in zip(classes, count, strict=True) if not n)
