"""Intervals of AUC, pAUC and official scores: bootstrap over clips, and DeLong's.

Clips are resampled with replacement within strata: each machine, section, domain and
label keeps its number of clips, as another draw of the same data set would. Where clips
are stretches of few recordings they are not independent; then resample the recordings
(`group`), or the intervals are far too narrow.

Neither kind of interval says anything beyond the machines and recording sessions that
were drawn from, and both have no width where a detector is perfect: an AUC of 1 of 8
clips and of 800 are told apart by the counts alone.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy

from sigjax.evals.dcase import DcaseScores, mean_of, values_of
from sigjax.metrics import detection

LEVEL = 0.95


class Interval(NamedTuple):
    """A figure and the ends of its interval; NaN where undefined."""

    value: float
    low: float
    high: float


class DeLong(NamedTuple):
    """AUCs of `k` detectors on the same clips.

    Attributes:
      auc: Float64 `[k]`.
      covariance: Float64 `[k, k]`, of their estimates.
    """

    auc: np.ndarray
    covariance: np.ndarray


def resample(
    stratum: np.ndarray,
    *,
    group: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """How often each clip is in each resample.

    Args:
      stratum: `[n]`, of any type that can be sorted; drawn from separately.
      group: `[n]`, clips that are drawn together, such as those of one recording; each
        clip alone by default.
      resamples: `r`.
      seed: Of the draw.

    Returns:
      Uint16 `[r, n]`.
    """
    rng = np.random.default_rng(seed)
    drawn = np.zeros((resamples, len(stratum)), np.uint16)
    which = np.unique(stratum, return_inverse=True)[1]
    for number in range(which.max(initial=-1) + 1):
        rows = np.flatnonzero(which == number)
        alone = rows if group is None else np.asarray(group)[rows]
        groups, member = np.unique(alone, return_inverse=True)
        share = np.full(len(groups), 1 / len(groups))
        count = rng.multinomial(len(groups), share, size=resamples)
        drawn[:, rows] = count[:, member]
    return drawn


def bootstrap(
    label: np.ndarray,
    score: np.ndarray,
    *,
    max_fpr: float = 1.0,
    stratum: np.ndarray | None = None,
    group: np.ndarray | None = None,
    resamples: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of one AUC or pAUC over resamples of clips.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`.
      max_fpr: 1 for the AUC, 0.1 for the official pAUC.
      stratum: Text `[n]`, drawn from separately, beside the labels.
      group: Text `[n]`, drawn together; see `resample`.
      resamples: How many.
      level: Of the interval.
      seed: Of the draw.

    Raises:
      DetectionError: There is no such figure.
    """
    value = detection.partial_auc(label, score, max_fpr=max_fpr)
    strata = np.asarray(label).astype(str)
    if stratum is not None:
        strata = np.char.add(np.char.add(strata, "\0"), np.asarray(stratum).astype(str))
    weight = resample(strata, group=group, resamples=resamples, seed=seed)
    drawn = detection.partial_auc(label, score, max_fpr=max_fpr, weight=weight)
    return _interval(value, drawn, level)


class Scored(NamedTuple):
    """Scores of the clips that one of several detectors was tested on.

    Attributes:
      label: Int `[n]`, 0 normal and 1 anomaly.
      score: Float `[n]`.
      unit: Int `[n]`, what each clip is a part of: an index into what is resampled.
    """

    label: np.ndarray
    score: np.ndarray
    unit: np.ndarray


class Drawn(NamedTuple):
    """A figure, and what it was in each resample, float64 `[r]`."""

    value: float
    draws: np.ndarray


def bootstrap_mean(
    parts: Sequence[Scored], weight: np.ndarray, *, max_fpr: float = 1.0
) -> Drawn:
    """Mean AUC or pAUC of detectors that were tested on shared recordings.

    Splits of one small set overlap: their standard deviation is no error of their
    mean. Here the recordings are drawn once and all splits' figures are of that draw.
    A split of which a draw holds no normal or no anomalous clip is not in that draw's
    mean.

    Args:
      parts: Of each split.
      weight: `[r, u]`, how often each recording is in each draw; see `resample`.
      max_fpr: 1 for the AUC, 0.1 for the official pAUC.

    Raises:
      DetectionError: A split has no such figure, or there are none.
    """
    if not parts:
        raise detection.DetectionError("there is no split to take the mean of")
    values, draws = [], []
    for label, score, unit in parts:
        values.append(detection.partial_auc(label, score, max_fpr=max_fpr))
        own = weight[:, unit]
        draws.append(detection.partial_auc(label, score, max_fpr=max_fpr, weight=own))
    made = np.stack(draws)
    there = np.isfinite(made)
    total, count = np.where(there, made, 0).sum(axis=0), there.sum(axis=0)
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return Drawn(float(np.mean(values)), mean)


def interval(
    drawn: Drawn, *, level: float = LEVEL, least: float = 0.0, most: float = 1.0
) -> Interval:
    """The figure and, to both sides, as many standard deviations of its resamples.

    Of four or eight normal recordings a resample often leaves out the one that decides
    the pAUC. Its resamples then lie above the figure almost without exception, and
    percentiles, corrected for that bias or not, say nothing of the error.

    Args:
      drawn: Of `bootstrap_mean`.
      level: Of the interval.
      least: What the figure cannot be below.
      most: What it cannot be above.
    """
    draws = drawn.draws[np.isfinite(drawn.draws)]
    if not len(draws) or math.isnan(drawn.value):
        return Interval(drawn.value, math.nan, math.nan)
    half = float(scipy.stats.norm.ppf((1 + level) / 2) * draws.std())
    low, high = drawn.value - half, drawn.value + half
    return Interval(drawn.value, max(low, least), min(high, most))


def difference(a: Drawn, b: Drawn, *, level: float = LEVEL) -> Interval:
    """Interval of `a - b`; both must be of the same resamples."""
    drawn = Drawn(a.value - b.value, a.draws - b.draws)
    return interval(drawn, level=level, least=-1.0)


def bootstrap_scores(
    scores: DcaseScores,
    *,
    group: np.ndarray | None = None,
    resamples: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Intervals of a year's figures over resamples of clips.

    Args:
      scores: What `evals.dcase.score` found.
      group: Text `[n]`, clips drawn together; see `resample`.
      resamples: How many.
      level: Of the intervals.
      seed: Of the draw.

    Returns:
      By machine, and `"total"`: an interval for each column of its means, without
      those of decisions.
    """
    clips = scores.clips
    columns = (clips.machine, clips.section, clips.domain, clips.label)
    strata = np.array(["\0".join(map(str, row)) for row in zip(*columns, strict=True)])
    weight = resample(strata, group=group, resamples=resamples, seed=seed)
    terms = [term for term in scores.terms if term.official]
    drawn, _ = values_of(clips, terms, weight=weight)
    found = {}
    for machine in (*scores.machines, ""):
        chosen = [i for i, t in enumerate(terms) if machine in ("", t.machine)]
        values = [drawn[i] for i in chosen]
        means = mean_of(scores.year, [terms[i] for i in chosen], values)
        own = scores.mean(machine)
        found[machine or "total"] = {
            column: _interval(own[column], value, level)
            for column, value in means.items()
        }
    return found


def delong(label: np.ndarray, score: np.ndarray) -> DeLong:
    """AUCs and their covariance, without resampling.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves" (1988), by midranks (Sun and Xu, "Fast
    implementation of DeLong's algorithm", 2014). Clips are taken as independent.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`, or `[k, n]` of detectors to compare.

    Raises:
      DetectionError: There is no AUC, or fewer than two clips of a class.
    """
    label, score = np.asarray(label), np.atleast_2d(np.asarray(score, np.float64))
    auc = np.stack([detection.roc_auc(label, row) for row in score])
    anomaly, normal = score[:, label == 1], score[:, label == 0]
    m, n = anomaly.shape[1], normal.shape[1]
    if min(m, n) < 2:
        raise detection.DetectionError(
            f"a variance needs two clips of each class, got {n} normal and {m}"
            " anomalous"
        )
    # A clip's rank among all less its rank among its own: whom it beats of the others.
    among_all = scipy.stats.rankdata(np.concatenate([anomaly, normal], 1), axis=1)
    beaten = (among_all[:, :m] - scipy.stats.rankdata(anomaly, axis=1)) / n
    beating = 1 - (among_all[:, m:] - scipy.stats.rankdata(normal, axis=1)) / m
    covariance = np.atleast_2d(np.cov(beaten)) / m + np.atleast_2d(np.cov(beating)) / n
    return DeLong(auc, covariance)


def delong_interval(
    label: np.ndarray, score: np.ndarray, *, level: float = LEVEL
) -> Interval:
    """DeLong's interval of one AUC, on the logit scale so that it stays within 0 and 1.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`.
      level: Of the interval.

    Raises:
      DetectionError: As in `delong`.
    """
    found = delong(label, score)
    auc, variance = float(found.auc[0]), float(found.covariance[0, 0])
    if not 0 < auc < 1:
        return Interval(auc, auc, auc)
    half = scipy.stats.norm.ppf((1 + level) / 2) * math.sqrt(variance)
    half /= auc * (1 - auc)
    middle = math.log(auc / (1 - auc))
    low, high = (1 / (1 + math.exp(-(middle + s * half))) for s in (-1, 1))
    return Interval(auc, low, high)


def delong_difference(
    label: np.ndarray, a: np.ndarray, b: np.ndarray, *, level: float = LEVEL
) -> Interval:
    """Difference of two detectors' AUCs, `a - b`, on the same clips.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      a: `[n]`, scores of the one.
      b: `[n]`, of the other.
      level: Of the interval.

    Raises:
      DetectionError: As in `delong`.
    """
    auc, covariance = delong(label, np.stack([a, b]))
    contrast = np.array([1.0, -1.0])
    # Rounding makes the variance of no difference slightly negative.
    spread = math.sqrt(max(float(contrast @ covariance @ contrast), 0.0))
    half = float(scipy.stats.norm.ppf((1 + level) / 2)) * spread
    value = float(auc[0] - auc[1])
    return Interval(value, value - half, value + half)


def _interval(value: Any, drawn: np.ndarray, level: float) -> Interval:
    """Bias-corrected percentiles (Efron 1981).

    A resample repeats its highest normal clips, which lifts the pAUC: by .005 of 100
    normal clips, enough to push the plain percentiles of a mean over 21 sections off.
    """
    value, drawn = float(value), np.atleast_1d(drawn)
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    normal, least = scipy.stats.norm, 0.5 / drawn.size
    bias = normal.ppf(np.clip(below, least, 1 - least))
    ends = normal.cdf(2 * bias + normal.ppf([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(drawn, ends)
    return Interval(value, float(low), float(high))
