"""Figures of a classification, all from its confusion matrix.

Equal to scikit-learn's, including how classes count that do not occur:

  * balanced accuracy is the mean recall over the classes that occur in the truth;
  * macro-F1 is the mean over the classes that occur in the truth or are predicted;
  * Cohen's kappa is undefined (0/0) where truth and prediction are all of one and the
    same class; it is NaN then, not 0 or 1;
  * a class's precision is NaN if it is never predicted, its recall if it never occurs,
    its F1 if neither (scikit-learn's `zero_division=nan`);
  * without a single label everything is NaN.

Every function takes matrices stacked over leading axes, of counts or of any multiple of
counts: a common factor changes nothing.
"""

from typing import Any, NamedTuple

import numpy as np


class PerClass(NamedTuple):
    """Figures of each class, float64 `[*a, v]`, NaN where undefined.

    Attributes:
      precision: Of what is predicted as the class, the share that is it.
      recall: Of what is the class, the share that is found.
      f1: Harmonic mean of the two.
      support: Labels of the class, in the matrix's units.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def confusion_matrix(
    label: np.ndarray, predicted: np.ndarray, classes: int
) -> np.ndarray:
    """Counts how often each class was taken for which.

    Args:
      label: Integers of any shape, the truth in `[0, classes)`; -1 for none: these
        do not count.
      predicted: Integers of the same shape in `[0, classes)`; looked at only where
        there is a label.
      classes: `v`.

    Returns:
      Int64 `[v, v]`, rows are the truth, columns the prediction.

    Raises:
      ValueError: Shapes differ, or a class number is out of range.
    """
    label, predicted = np.asarray(label), np.asarray(predicted)
    if label.shape != predicted.shape:
        raise ValueError(f"labels {label.shape} and predictions {predicted.shape}")
    counted = label != -1
    label = label[counted].astype(np.int64)
    predicted = predicted[counted].astype(np.int64)
    for name, values in (("label", label), ("predicted", predicted)):
        if values.size and (values.min() < 0 or values.max() >= classes):
            raise ValueError(
                f"{name} from {values.min()} to {values.max()}, not in"
                f" [0, {classes}) (a missing label is -1)"
            )
    pairs = np.bincount(label * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)


def balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur in the truth: `[*a, v, v]` to `[*a]`."""
    recall, occurs = per_class(confusion).recall, _square(confusion).sum(axis=-1) > 0
    return _mean_over(recall, occurs)


def cohen_kappa(confusion: np.ndarray) -> np.ndarray:
    """Agreement beyond chance, unweighted: `[*a, v, v]` to `[*a]`.

    `1 - observed / expected` disagreement, expected from the margins (Cohen 1960).
    """
    c = _square(confusion)
    total = c.sum(axis=(-2, -1))
    truth, predicted = c.sum(axis=-1), c.sum(axis=-2)
    agreed = np.trace(c, axis1=-2, axis2=-1)
    # Both times the total, so that counts stay whole numbers and 0 is exactly 0.
    expected = total * total - (truth * predicted).sum(axis=-1)
    # Sums of fractions miss 0 by rounding where one class is all there is.
    alone = ((truth > 0) | (predicted > 0)).sum(axis=-1) < 2
    return 1 - _divide((total - agreed) * total, np.where(alone, 0.0, expected))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over classes in truth or prediction: `[*a, v, v]` to `[*a]`."""
    c = _square(confusion)
    return _mean_over(per_class(c).f1, (c.sum(axis=-1) > 0) | (c.sum(axis=-2) > 0))


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share that is right: `[*a, v, v]` to `[*a]`."""
    c = _square(confusion)
    return _divide(np.trace(c, axis1=-2, axis2=-1), c.sum(axis=(-2, -1)))


def per_class(confusion: np.ndarray) -> PerClass:
    """Precision, recall, F1 and support of each class."""
    c = _square(confusion)
    right = np.diagonal(c, axis1=-2, axis2=-1)
    truth, predicted = c.sum(axis=-1), c.sum(axis=-2)
    return PerClass(
        precision=_divide(right, predicted),
        recall=_divide(right, truth),
        f1=_divide(2 * right, truth + predicted),
        support=truth,
    )


METRICS = {
    "balanced_accuracy": balanced_accuracy,
    "kappa": cohen_kappa,
    "macro_f1": macro_f1,
    "accuracy": accuracy,
}


def figures(confusion: np.ndarray) -> dict[str, Any]:
    """All figures of one matrix.

    Args:
      confusion: `[v, v]`, rows are the truth; counts, or counts divided by anything.

    Returns:
      Floats `balanced_accuracy`, `kappa`, `macro_f1` and `accuracy`; float64 `[v]`
      under `precision`, `recall`, `f1` and `support`. NaN where undefined.
    """
    found = {name: float(metric(confusion)) for name, metric in METRICS.items()}
    return {**found, **per_class(confusion)._asdict()}


def _square(confusion: np.ndarray) -> np.ndarray:
    c = np.asarray(confusion, np.float64)
    if c.ndim < 2 or c.shape[-1] != c.shape[-2]:
        raise ValueError(f"a confusion matrix is [v, v], got {list(c.shape)}")
    if not np.isfinite(c).all() or (c < 0).any():
        raise ValueError("a confusion matrix holds counts, got negative or NaN")
    return c


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NaN where `b` is 0."""
    out = np.full(np.broadcast_shapes(np.shape(a), np.shape(b)), np.nan)
    return np.divide(a, b, out=out, where=np.asarray(b) != 0)


def _mean_over(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    total = np.where(which, values, 0.0).sum(axis=-1)
    return _divide(total, which.sum(axis=-1))
