"""Figures of audio events: top-k accuracy, average precision, verbs and nouns.

Equal to scikit-learn's to 1e-12, but for two things that it leaves to chance or hides:

  * of equal scores in `top_k_hits` the class of the lower number comes first, as in an
    argmax;
  * a class without a positive clip has no average precision: it is NaN and not part of
    a mean, where scikit-learn warns and counts it as 0.

`average_precision` takes clips of equal score as one step of the curve, and does not
interpolate between steps (scikit-learn's `average_precision_score`, and the mAP of
AudioSet's studies).
"""

import numpy as np


class EventMetricsError(ValueError):
    """Scores and labels have no such figure; says why."""


def top_k_hits(score: np.ndarray, label: np.ndarray, k: int = 1) -> np.ndarray:
    """Whether the true class is among the `k` of the highest scores.

    Args:
      score: Float `[n, v]`, finite.
      label: Int `[n]` in `[0, v)`.
      k: At least 1; all of the classes and more are always a hit.

    Returns:
      Bool `[n]`.

    Raises:
      EventMetricsError: Shapes do not fit, a label is no class, or a score is NaN.
    """
    score, label = _scores(score, 2), np.asarray(label)
    if label.shape != score.shape[:1] or k < 1:
        raise EventMetricsError(
            f"labels {list(label.shape)} and k={k} do not fit scores"
            f" {list(score.shape)}"
        )
    if label.size and not 0 <= label.min() <= label.max() < score.shape[1]:
        raise EventMetricsError(
            f"labels from {label.min()} to {label.max()}, not in [0, {score.shape[1]});"
            " leave out clips without a label"
        )
    own = np.take_along_axis(score, label[:, None].astype(np.int64), axis=1)
    before = np.arange(score.shape[1]) < label[:, None]
    rank = (score > own).sum(axis=1) + ((score == own) & before).sum(axis=1)
    return rank < k


def action_hits(
    verb_score: np.ndarray,
    verb: np.ndarray,
    noun_score: np.ndarray,
    noun: np.ndarray,
    k: int = 1,
) -> np.ndarray:
    """Whether the true pair is among the `k` pairs of the highest products.

    With `k=1` an action is right if its verb and its noun both are: the highest product
    is that of the two highest scores (EPIC-KITCHENS-100, Damen et al. 2022).

    Args:
      verb_score: Float `[n, v]`, probabilities.
      verb: Int `[n]`, classes.
      noun_score: Float `[n, w]`, probabilities.
      noun: Int `[n]`, classes.
      k: At least 1.

    Returns:
      Bool `[n]`.

    Raises:
      EventMetricsError: As in `top_k_hits`.
    """
    right = top_k_hits(verb_score, verb) & top_k_hits(noun_score, noun)
    if k == 1:
        return right
    verb_score, noun_score = _scores(verb_score, 2), _scores(noun_score, 2)
    for row in range(len(right)):
        product = np.outer(verb_score[row], noun_score[row]).reshape(-1)
        place = int(verb[row]) * noun_score.shape[1] + int(noun[row])
        better = (product > product[place]).sum()
        better += (product[:place] == product[place]).sum()
        right[row] = better < k
    return right


def average_precision(
    target: np.ndarray, score: np.ndarray, *, weight: np.ndarray | None = None
) -> np.ndarray:
    """Area below the curve of precision over recall, in steps.

    `AP = sum_k (R_k - R_(k-1)) P_k` over the distinct scores, falling.

    Args:
      target: `[n]`, 1 for a positive clip and 0 for others.
      score: Float `[n]`, finite.
      weight: `[*r, n]`, how often each clip counts (a resample of a bootstrap), not
        negative; once by default.

    Returns:
      Float64 `[*r]`, a scalar without weights; NaN without a positive clip.

    Raises:
      EventMetricsError: Shapes do not fit, a target is neither 0 nor 1, a score is NaN
        or infinite, or a weight is negative.
    """
    score, target = _scores(score, 1), np.asarray(target)
    if target.shape != score.shape:
        raise EventMetricsError(f"{len(target)} targets and {len(score)} scores")
    return average_precisions(target[:, None], score[:, None], weight=weight)[..., 0]


def average_precisions(
    target: np.ndarray, score: np.ndarray, *, weight: np.ndarray | None = None
) -> np.ndarray:
    """Average precision of each class.

    Args:
      target: `[n, v]`, 1 for each class of a clip.
      score: Float `[n, v]`.
      weight: `[*r, n]`, as in `average_precision`.

    Returns:
      Float64 `[*r, v]`; NaN of classes without a positive clip.

    Raises:
      EventMetricsError: As in `average_precision`.
    """
    score, target = _scores(score, 2), np.asarray(target)
    if target.shape != score.shape:
        raise EventMetricsError(
            f"targets {list(target.shape)} and scores {list(score.shape)}"
        )
    if not ((target == 0) | (target == 1)).all():
        raise EventMetricsError("targets are 0 or 1")
    each = np.ones(len(score)) if weight is None else np.asarray(weight, np.float64)
    if each.shape[-1:] != score.shape[:1] or (each.size and each.min() < 0):
        raise EventMetricsError(
            f"weights are not negative and [*r, {len(score)}], got {list(each.shape)}"
        )
    # Clips first, so that a clip's weights in all resamples are moved as one.
    by_clip = np.ascontiguousarray(each.reshape(-1, len(score)).T)
    found = [
        _precision(target[:, v].astype(bool), score[:, v], by_clip)
        for v in range(score.shape[1])
    ]
    return np.stack(found, axis=-1).reshape(*each.shape[:-1], score.shape[1])


def _precision(target: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Average precision of one class, bool and float64 `[n]`, `[n, r]` to `[r]`.

    Recall grows at scores of positive clips alone, so what lies between two of them is
    summed at once: AudioSet has a hundred of 20,000.
    """
    falling = np.argsort(-score, kind="stable")
    ordered, positive = score[falling], np.flatnonzero(target[falling])
    if not len(positive):
        return np.full(weight.shape[1], np.nan)
    changes = ordered[1:] != ordered[:-1]
    step = np.concatenate([[0], np.cumsum(changes)])
    last = np.append(np.flatnonzero(changes), len(score) - 1)
    # Steps with a positive clip, of p: where each ends, and its first positive.
    steps, first = np.unique(step[positive], return_index=True)
    ends = last[steps]
    weight = weight[falling[: ends[-1] + 1]]
    begins = np.concatenate([[0], ends[:-1] + 1])
    taken = np.cumsum(np.add.reduceat(weight, begins, axis=0), axis=0)
    gained = np.add.reduceat(weight[positive], first, axis=0)
    hits = np.cumsum(gained, axis=0)
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    area, total = (gained * precision).sum(axis=0), hits[-1]
    return np.divide(area, total, out=np.full_like(total, np.nan), where=total > 0)


def mean_average_precision(precisions: np.ndarray) -> np.ndarray:
    """mAP: the mean over classes that have a positive clip, `[*r, v]` to `[*r]`.

    NaN where no class has one.
    """
    precisions = np.asarray(precisions, np.float64)
    there = np.isfinite(precisions)
    total = np.where(there, precisions, 0.0).sum(axis=-1)
    count = there.sum(axis=-1)
    nothing = np.full(total.shape, np.nan)
    return np.divide(total, count, out=nothing, where=count > 0)


def _scores(score: np.ndarray, rank: int) -> np.ndarray:
    """Float64 `[n]` or `[n, v]`."""
    score = np.asarray(score, np.float64)
    if score.ndim != rank:
        raise EventMetricsError(
            f"scores are {'[n]' if rank == 1 else '[n, v]'}, got {list(score.shape)}"
        )
    broken = int((~np.isfinite(score)).any(axis=tuple(range(1, rank))).sum())
    if broken:
        raise EventMetricsError(
            f"scores of {broken} of {len(score)} clips are NaN or infinite"
        )
    return score
