"""What few labels are worth to a classifier: curves over shares of the labels."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sigjax.evals.paper_figures import half_width


class Point(NamedTuple):
    """Scores of one share of the labels.

    Attributes:
      share: In (0, 1].
      mean: Over repeats.
      low: Of the 95 % interval of the mean by Student's t; NaN for a single repeat.
      high: Likewise.
      repeats: Each score.
    """

    share: float
    mean: float
    low: float
    high: float
    repeats: tuple[float, ...]


def curve(scores: Mapping[float, Sequence[float]]) -> list[Point]:
    """Points of a curve, from few labels to many.

    Args:
      scores: By share of the labels, the score of each repeat; one at least.

    Raises:
      ValueError: A share is out of range or has no score.
    """
    found = []
    for share in sorted(scores):
        own = [float(score) for score in scores[share]]
        if not 0 < share <= 1 or not own:
            raise ValueError(f"share {share} with {len(own)} scores makes no point")
        mean, half = float(np.mean(own)), half_width(own)
        found.append(Point(share, mean, mean - half, mean + half, tuple(own)))
    return found


def area(points: Sequence[Point]) -> float:
    """Mean score over the logarithm of the share, by the trapezoidal rule.

    One number for a whole curve; the mean itself if there is but one point.
    """
    score = np.array([p.mean for p in points])
    if len(points) < 2:
        return float(score[0])
    x = np.log([p.share for p in points])
    return float(((score[1:] + score[:-1]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))


def labels_for(points: Sequence[Point], score: float) -> float:
    """Share of the labels from which on a curve has that score.

    Between points it is interpolated over the logarithm of the share; where a curve
    goes down again, the first share that reaches the score counts.

    Returns:
      The share; the first one where that has the score already; NaN if none has.
    """
    if points[0].mean >= score:
        return points[0].share
    for before, after in zip(points, points[1:], strict=False):
        if after.mean >= score:
            part = (score - before.mean) / (after.mean - before.mean)
            first, last = math.log(before.share), math.log(after.share)
            return math.exp(first + part * (last - first))
    return math.nan


def saving(points: Sequence[Point], other: Sequence[Point], share: float) -> float:
    """How many times the labels the other curve needs to reach this one's score.

    Args:
      points: Such as of a classifier that starts from an autoencoder.
      other: Such as of one from scratch.
      share: A share of `points`.

    Returns:
      2 means half the labels do; NaN if the other never gets there.

    Raises:
      ValueError: The curve has no such share.
    """
    own = [p.mean for p in points if p.share == share]
    if not own:
        raise ValueError(f"no point at {share}; there are {[p.share for p in points]}")
    return labels_for(other, own[0]) / share
