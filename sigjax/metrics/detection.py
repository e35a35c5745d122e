"""Figures of a detector: ROC, AUC, partial AUC, means over them, precision and recall.

A higher score means more anomalous. Labels are 0 (normal) and 1 (anomaly). Equal to
scikit-learn's to 1e-12:

  * clips of equal score are one step of the curve: a constant score has AUC 0.5;
  * `partial_auc` is `roc_auc_score(max_fpr=...)`, the official pAUC of all DCASE years:
    the area up to a false-alarm rate, with the true-positive rate interpolated there,
    standardised as in McClish, "Analyzing a portion of the ROC curve" (1989). Chance is
    0.5, a perfect detector has 1, and the least possible at 0.1 is 0.4737. It is not
    the sum over the floor(p N) highest normal clips that the DCASE papers print.

Nothing has an AUC without both classes, and NaN and infinite scores have no place in a
ranking that others reproduce: both are errors that say how many there are.
"""

import sys
from typing import NamedTuple

import numpy as np

# The smallest value in a harmonic mean: the official scripts clamp here, so that one
# AUC of 0 gives a mean near 1e-15 and not 0/0.
EPSILON = sys.float_info.epsilon
# Highest false-alarm rate of the official pAUC.
MAX_FPR = 0.1


class DetectionError(ValueError):
    """Labels and scores have no such figure; says why."""


class RocCurve(NamedTuple):
    """A curve of `k` distinct scores, float64 `[k + 1]` each, from (0, 0) to (1, 1).

    Attributes:
      fpr: Share of normal clips with a score of at least the threshold.
      tpr: Share of anomalous clips with a score of at least the threshold.
      threshold: Falling; the first is infinite.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    threshold: np.ndarray


class Decisions(NamedTuple):
    """Figures of decisions, where 1 says "anomaly".

    Attributes:
      precision: Of what was flagged, the share that is anomalous; 0 where nothing was
        flagged, as in the official scripts.
      recall: Of what is anomalous, the share that was flagged; NaN without anomalies.
      f1: Harmonic mean of the two; 0 where both are 0, NaN without anomalies.
      hits: Anomalies that were flagged.
      false_alarms: Normal clips that were flagged.
      misses: Anomalies that were not flagged.
    """

    precision: float
    recall: float
    f1: float
    hits: int
    false_alarms: int
    misses: int


def roc_curve(label: np.ndarray, score: np.ndarray) -> RocCurve:
    """Curve with a point for each distinct score.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`, finite.

    Raises:
      DetectionError: A class is missing, or a score is NaN or infinite.
    """
    label, score = _checked(label, score)
    falling, last = _steps(score)
    false, true = _counts(label[falling], last, None)
    threshold = np.concatenate([[np.inf], score[falling][last]])
    return RocCurve(false / false[-1], true / true[-1], threshold)


def roc_auc(
    label: np.ndarray, score: np.ndarray, *, weight: np.ndarray | None = None
) -> np.ndarray:
    """Chance that an anomaly scores above a normal clip; ties count half.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`, finite.
      weight: `[*r, n]`, how often each clip counts (a resample of a bootstrap), not
        negative; once by default.

    Returns:
      Float64 `[*r]`, a scalar without weights; NaN where a class has no weight.

    Raises:
      DetectionError: A class is missing, or a score is NaN or infinite.
    """
    return _area(*_weighted_counts(label, score, weight), max_fpr=1.0)


def partial_auc(
    label: np.ndarray,
    score: np.ndarray,
    *,
    max_fpr: float = MAX_FPR,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Standardised area up to a false-alarm rate; the official pAUC at 0.1.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`, finite.
      max_fpr: In (0, 1]; 1 gives the AUC.
      weight: As in `roc_auc`.

    Returns:
      Float64 `[*r]`: `(1 + (area - p^2 / 2) / (p - p^2 / 2)) / 2` with `p = max_fpr`.

    Raises:
      DetectionError: A class is missing, a score is NaN or infinite, or `max_fpr` is
        out of range.
    """
    if not 0 < max_fpr <= 1:
        raise DetectionError(f"max_fpr is in (0, 1], got {max_fpr}")
    area = _area(*_weighted_counts(label, score, weight), max_fpr=max_fpr)
    chance = max_fpr**2 / 2
    return 0.5 * (1 + (area - chance) / (max_fpr - chance))


def harmonic_mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Harmonic mean as in the official scripts: what is below `EPSILON` counts as it.

    Args:
      values: Of any shape; NaN makes the mean NaN.
      axis: Averaged over; all by default.

    Raises:
      DetectionError: There is nothing to average.
    """
    values = _some(values, axis)
    return 1 / np.mean(1 / np.maximum(values, EPSILON), axis=axis)


def arithmetic_mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Arithmetic mean; arguments and errors as in `harmonic_mean`."""
    return np.mean(_some(values, axis), axis=axis)


def precision_recall(label: np.ndarray, decision: np.ndarray) -> Decisions:
    """Precision, recall and F1 of decisions.

    Args:
      label: `[n]`, 0 normal and 1 anomaly; either may be missing.
      decision: `[n]`, 0 or 1.

    Raises:
      DetectionError: Lengths differ, or there is another number than 0 and 1.
    """
    label, decision = _binary("label", label), _binary("decision", decision)
    if label.shape != decision.shape:
        raise DetectionError(f"{len(label)} labels and {len(decision)} decisions")
    hits = int((label & decision).sum())
    flagged, anomalies = int(decision.sum()), int(label.sum())
    precision = hits / flagged if flagged else 0.0
    recall = f1 = np.nan
    if anomalies:
        recall = hits / anomalies
        f1 = 2 * hits / (flagged + anomalies)
    return Decisions(precision, recall, f1, hits, flagged - hits, anomalies - hits)


def _binary(name: str, values: np.ndarray) -> np.ndarray:
    """Bool `[n]`."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise DetectionError(f"{name} is [n], got {list(values.shape)}")
    strange = values[(values != 0) & (values != 1)]
    if strange.size:
        raise DetectionError(
            f"{name} is 0 or 1, got {strange[0]} ({strange.size} of {values.size})"
        )
    return values.astype(bool)


def _checked(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bool and float64 `[n]`."""
    label, score = _binary("label", label), np.asarray(score, np.float64)
    if label.shape != score.shape:
        raise DetectionError(f"{len(label)} labels and scores {list(score.shape)}")
    broken = int((~np.isfinite(score)).sum())
    if broken:
        raise DetectionError(f"{broken} of {len(score)} scores are NaN or infinite")
    anomalies = int(label.sum())
    if not 0 < anomalies < len(label):
        raise DetectionError(
            f"needs normal and anomalous clips, got {len(label) - anomalies} normal"
            f" and {anomalies} anomalous"
        )
    return label, score


def _steps(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clips by falling score `[n]`, and where each distinct score ends `[k]`."""
    falling = np.argsort(-score, kind="stable")
    ordered = score[falling]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1])
    return falling, np.append(changes, len(score) - 1)


def _counts(
    label: np.ndarray, last: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Normal and anomalous clips at or above each distinct score, `[*r, k + 1]`."""
    found = []
    for which in (~label, label):
        each = which.astype(np.float64) if weight is None else weight * which
        above = np.cumsum(each, axis=-1)[..., last]
        found.append(np.concatenate([np.zeros((*above.shape[:-1], 1)), above], -1))
    return found[0], found[1]


def _weighted_counts(
    label: np.ndarray, score: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    label, score = _checked(label, score)
    falling, last = _steps(score)
    if weight is not None:
        weight = np.asarray(weight, np.float64)
        if weight.shape[-1:] != score.shape or not (weight >= 0).all():
            raise DetectionError(
                f"weights are not negative and [*r, {len(score)}], got"
                f" {list(weight.shape)}"
            )
        weight = weight[..., falling]
    return _counts(label[falling], last, weight)


def _area(false: np.ndarray, true: np.ndarray, *, max_fpr: float) -> np.ndarray:
    """Area below the curve up to a false-alarm rate, `[*r, k + 1]` to `[*r]`."""
    # Counts, not shares, are summed: their products are whole numbers, so that the area
    # of the whole curve is exact up to its last division.
    normals, anomalies = false[..., -1], true[..., -1]
    run, rise = np.diff(false), np.diff(true)
    width = np.minimum(
        run, np.maximum(max_fpr * normals[..., None] - false[..., :-1], 0)
    )
    share = np.divide(width, run, out=np.zeros_like(run), where=run > 0)
    area = (width * (true[..., :-1] + rise * share / 2)).sum(axis=-1)
    total = normals * anomalies
    return np.divide(area, total, out=np.full_like(area, np.nan), where=total > 0)[()]


def _some(values: np.ndarray, axis: int | None) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if (values.size if axis is None else values.shape[axis]) == 0:
        raise DetectionError("there is nothing to average")
    return values
