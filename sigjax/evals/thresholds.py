"""Decision thresholds from scores of normal clips alone, and how good they can be.

A clip is called an anomaly where its score is *above* the threshold.

  * `conformal` is the default for use: its rate of false alarms is what was asked for,
    for any distribution of scores, as long as the clips it is made of are normal, were
    not trained on, and are as exchangeable with the clips to come as one of those with
    another. Clips of one short recording are not: then the days to come differ from
    them in ways that no count corrects. Say which clips belong together (`group`), and
    what is promised is of clips of a new group, and the number of groups decides how
    well. It can be asked for in false alarms per day.
  * `empirical` is the plain quantile. Of training clips it is optimistic.
  * `official` is the rule of the DCASE baselines: the 0.9 quantile of a gamma
    distribution fitted to scores of training clips. It fails where scores are skewed
    to the left, as log-odds are; the threshold says so. The baselines since 2023 fit
    losses of batches rather than of clips; give those to have their numbers.
"""

import dataclasses
import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy

from sigjax.metrics import detection

METHODS = ("conformal", "empirical", "official")
DAY_S = 86_400.0
CONFIDENCE = 0.95


class ThresholdError(ValueError):
    """Scores give no such threshold; says what would."""


def plain(value: float) -> str:
    """A number of three digits for people: 0.0123, 24, 2,060."""
    return f"{float(f'{value:.3g}'):,.10g}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold:
    """Where an alarm begins.

    Attributes:
      method: One of `METHODS`.
      value: A score above it is an anomaly.
      false_alarm_rate: Share of normal clips above it: guaranteed on average over
        calibrations (`conformal`; of groups see there), of the very clips
        (`empirical`), or of the fitted distribution (`official`).
      at_most: What this rate does not exceed with `CONFIDENCE` for these calibration
        clips (`conformal` without groups), else None.
      clips: Clips that it is made of.
      left_out: Clips whose score was NaN or infinite.
      parameters: Of the method, such as those of the gamma distribution.
      remark: What a user must know, or `""`.
    """

    method: str
    value: float
    false_alarm_rate: float
    at_most: float | None = None
    clips: int
    left_out: int = 0
    parameters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    remark: str = ""

    def decide(self, score: np.ndarray) -> np.ndarray:
        """Int8 of the scores' shape: 1 anomaly, 0 normal, -1 where a score is NaN."""
        score = np.asarray(score, np.float64)
        above = (score > self.value).astype(np.int8)
        return np.where(np.isnan(score), np.int8(-1), above)

    def per_day(self, hop_s: float) -> float:
        """False alarms a day where a clip is scored every `hop_s` seconds."""
        return self.false_alarm_rate * clips_per_day(hop_s)

    def describe(self, hop_s: float) -> str:
        """In words, for a report."""
        text = f"{self.method} threshold {self.value:.6g} from {self.clips:,} clips"
        text += f": {plain(self.per_day(hop_s))} false alarms a day"
        if self.at_most is not None:
            most = self.at_most * clips_per_day(hop_s)
            text += f" (with {100 * CONFIDENCE:.0f} % confidence at most {plain(most)})"
        text += f" at one clip per {hop_s:g} s"
        return f"{text}; {self.remark}" if self.remark else text

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` gives the same threshold, bit for bit."""
        return {**dataclasses.asdict(self), "parameters": dict(self.parameters)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Threshold":
        """Reads what `as_dict` gave, also after JSON.

        Raises:
          ThresholdError: A field is missing, unknown, or no threshold.
        """
        try:
            read = cls(**values)
        except TypeError as error:
            raise ThresholdError(f"no threshold: {error}") from error
        if read.method not in METHODS or not math.isfinite(read.value):
            raise ThresholdError(f"no threshold: {json.dumps(dict(values))[:80]}")
        return read


def clips_per_day(hop_s: float) -> float:
    """Clips scored in a day of sound, one every `hop_s` seconds."""
    if not 0 < hop_s <= DAY_S:
        raise ThresholdError(f"a clip every {hop_s} s: must be above 0, within a day")
    return DAY_S / hop_s


def rate_of(false_alarms_per_day: float, hop_s: float) -> float:
    """Share of normal clips that may be flagged.

    Raises:
      ThresholdError: It is not between 0 and 1.
    """
    clips = clips_per_day(hop_s)
    rate = false_alarms_per_day / clips
    if not 0 < rate < 1:
        raise ThresholdError(
            f"{false_alarms_per_day:g} false alarms a day of {clips:,.0f} clips: must"
            " be above 0 and below the number of clips"
        )
    return rate


def conformal(
    score: np.ndarray, false_alarm_rate: float, *, group: np.ndarray | None = None
) -> Threshold:
    """Threshold with a guarantee at any number of clips.

    With `n` scores it is the `(n + 1 - j)`-th smallest, `j = floor((n + 1) rate)`. A
    new normal clip that is exchangeable with them is above it with probability at most
    `j / (n + 1) <= rate`, and more than `rate - 1 / (n + 1)` without ties (Vovk et al.,
    "Algorithmic Learning in a Random World", 2005; Laxhammar and Falkman, "Conformal
    prediction for distribution-independent anomaly detection", 2010). That is an
    average over calibrations; for one calibration the probability is distributed as
    Beta(j, n + 1 - j), which gives `at_most`. By linearity the expected number of
    false alarms a day is the rate times the clips, also where they overlap.

    Clips of few recordings, machines or days are not exchangeable with those of others;
    the groups may be. With `k` groups it is the least score that at most the rate of
    their clips lie above, where each group counts the same. Of a clip of a new group it
    is promised that it is above with probability at most `rate + (1 - rate) / (k + 1)`
    on average over calibrations, in `parameters["promised"]` (Lee, Barber and Willett,
    "Distribution-free inference with hierarchical data", 2023, whose quantile this is
    at that rate). Nothing is promised for one calibration: `at_most` is None.

    Args:
      score: `[n]`, of normal clips that nothing was fitted to.
      false_alarm_rate: In (0, 1); `rate_of` gives it from false alarms per day.
      group: `[n]`, which clips belong together; each alone by default.

    Raises:
      ThresholdError: There are too few clips for such a rate; says how many it needs.
    """
    ordered, left_out = _finite(score)
    _check_rate(false_alarm_rate)
    n = len(ordered)
    # A rate of 1 / (n + 1) must not be lost to rounding.
    above = math.floor((n + 1) * false_alarm_rate * (1 + 1e-12))
    if above < 1:
        raise ThresholdError(
            f"a false-alarm rate of {false_alarm_rate:.3g} needs at least"
            f" {math.ceil(1 / false_alarm_rate - 1e-9) - 1:,} normal clips, there are"
            f" {n:,}. With these, ask for {1 / (n + 1):.3g} or more, or score less"
            " often"
        )
    if group is not None:
        finite = np.isfinite(np.asarray(score, np.float64).ravel())
        member = np.unique(_grouped(group, finite), return_inverse=True)[1]
        if member.max() + 1 < n:
            return _of_groups(score, false_alarm_rate, finite, member)
    most = scipy.stats.beta.ppf(CONFIDENCE, above, n + 1 - above)
    return Threshold(
        method="conformal",
        value=float(ordered[n - above]),
        false_alarm_rate=above / (n + 1),
        at_most=float(most),
        clips=n,
        left_out=left_out,
        parameters={"asked": float(false_alarm_rate)},
    )


def _grouped(group: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Groups of the clips that have a score."""
    group = np.asarray(group)
    if group.shape != finite.shape:
        raise ThresholdError(f"groups of shape {group.shape} for {finite.size} clips")
    return group[finite]


def _of_groups(
    score: np.ndarray, rate: float, finite: np.ndarray, member: np.ndarray
) -> Threshold:
    """`conformal` where clips belong together; `member` numbers the finite ones'."""
    score = np.asarray(score, np.float64).ravel()[finite]
    size = np.bincount(member)
    order = np.argsort(score, kind="stable")
    weight = (1 / (len(size) * size[member]))[order]
    above = np.cumsum(weight[::-1])[::-1] - weight  # of those that come after
    place = int(np.argmax(above <= rate * (1 + 1e-9)))
    value = float(score[order[place]])
    share = np.bincount(member, weights=score > value) / size
    promised = rate + (1 - rate) / (len(size) + 1)
    return Threshold(
        method="conformal",
        value=value,
        false_alarm_rate=float(share.mean()),
        clips=len(score),
        left_out=int(finite.size - finite.sum()),
        parameters={
            "asked": float(rate),
            "groups": float(len(size)),
            "promised": float(promised),
        },
        remark=(
            f"of {len(size):,} groups: of a new one's clips at most"
            f" {100 * promised:.3g} % are promised to lie above on average"
        ),
    )


def empirical(score: np.ndarray, false_alarm_rate: float) -> Threshold:
    """The least score that at most a share of the clips are above.

    Args:
      score: `[n]`, of normal clips.
      false_alarm_rate: In (0, 1).

    Raises:
      ThresholdError: There is no finite score.
    """
    ordered, left_out = _finite(score)
    _check_rate(false_alarm_rate)
    above = math.floor(len(ordered) * false_alarm_rate * (1 + 1e-12))
    value = float(ordered[len(ordered) - 1 - above])
    return Threshold(
        method="empirical",
        value=value,
        false_alarm_rate=float((ordered > value).mean()),
        clips=len(ordered),
        left_out=left_out,
        parameters={"asked": float(false_alarm_rate)},
        remark="" if above else "no clip that it is made of lies above it",
    )


def official(score: np.ndarray, quantile: float = 0.9) -> Threshold:
    """The DCASE baselines' threshold: a quantile of a fitted gamma distribution.

    Args:
      score: `[n]`, one of each training clip.
      quantile: Of the distribution with shape, location and scale fitted.

    Raises:
      ThresholdError: All scores are equal, or nothing could be fitted.
    """
    ordered, left_out = _finite(score)
    _check_rate(1 - quantile)
    if ordered[0] == ordered[-1]:
        raise ThresholdError(f"all {len(ordered)} scores are {ordered[0]:g}: no spread")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # Its search passes through impossible values.
        try:
            shape, loc, scale = scipy.stats.gamma.fit(ordered)
        except scipy.stats.FitError as error:
            raise ThresholdError(f"no gamma distribution fits: {error}") from error
        value = float(scipy.stats.gamma.ppf(quantile, shape, loc=loc, scale=scale))
    if not math.isfinite(value):
        raise ThresholdError("no gamma distribution fits these scores; use conformal")
    above = int((ordered > value).sum())
    chance = scipy.stats.binomtest(above, len(ordered), 1 - quantile).pvalue
    remark = ""
    if chance < 1e-3:
        remark = (
            f"the gamma distribution does not fit: {above / len(ordered):.1%} of the"
            f" clips lie above, not {1 - quantile:.1%}"
        )
    return Threshold(
        method="official",
        value=value,
        false_alarm_rate=1 - quantile,
        clips=len(ordered),
        left_out=left_out,
        parameters={
            "quantile": quantile,
            "shape": float(shape),
            "loc": float(loc),
            "scale": float(scale),
            "share_above": above / len(ordered),
        },
        remark=remark,
    )


def f1_ev(
    label: np.ndarray,
    score: np.ndarray,
    *,
    bounded: bool = False,
    alpha: float = 0.2515,
) -> float:
    """Expected F1 where the threshold is drawn evenly from the range of scores.

    Wilkinghoff and Imoto, "F1-EV score: measuring the likelihood of estimating a good
    decision threshold for semi-supervised anomaly detection" (2024). F1 is constant
    between scores, so that the integral is exact.

    Args:
      label: `[n]`, 0 normal and 1 anomaly.
      score: `[n]`, finite.
      bounded: Draw it from the mean of normal scores to the best threshold instead,
        each `alpha` standard deviations of normal scores further out.
      alpha: Of `bounded`; by default the paper's.

    Returns:
      0 to 1; 0 where all scores are equal.

    Raises:
      DetectionError: A class is missing, or a score is NaN or infinite.
    """
    detection.roc_auc(label, score)  # Refuses what has no F1 either.
    label, score = np.asarray(label), np.asarray(score, np.float64)
    every, anomalous = np.sort(score), np.sort(score[label == 1])

    def f1(threshold: np.ndarray) -> np.ndarray:
        flagged = len(every) - np.searchsorted(every, threshold, "right")
        hits = len(anomalous) - np.searchsorted(anomalous, threshold, "right")
        return 2 * hits / (flagged + len(anomalous))

    cuts = np.unique(score)
    if bounded:
        normal = score[label == 0]
        low = normal.mean() - alpha * normal.std()
        high = cuts[np.argmax(f1(cuts))] + alpha * normal.std()
        if high <= low:  # To flag more than half of the normal clips is best.
            return float(f1(np.array([low]))[0])
        cuts = np.concatenate([[low], cuts[(cuts > low) & (cuts < high)], [high]])
    if len(cuts) < 2:
        return 0.0
    share = np.diff(cuts / (cuts[-1] - cuts[0]))
    return float((share * f1(cuts[:-1])).sum())


def _finite(score: np.ndarray) -> tuple[np.ndarray, int]:
    """Rising float64 scores, and how many are not numbers."""
    score = np.asarray(score, np.float64).ravel()
    finite = np.sort(score[np.isfinite(score)])
    if not len(finite):
        raise ThresholdError(f"none of {len(score)} scores is a finite number")
    return finite, len(score) - len(finite)


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ThresholdError(f"a false-alarm rate is above 0 and below 1, got {rate}")
