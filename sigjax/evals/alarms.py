"""Alarms on a stream of scores: hysteresis, and drift of the score's running median.

Both take one score at a time and remember a fixed amount: a few counts, and the last
`window` scores. A score that is NaN (a damaged clip) changes nothing and is counted.
"""

import bisect
import collections
import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import scipy

from sigjax.evals.thresholds import ThresholdError

Drift = Literal["", "high", "low"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HysteresisConfig:
    """When an alarm begins and ends.

    An alarm needs scores above `on`, so there are no more alarms than such scores: the
    false alarms that a threshold promises are an upper bound.

    Attributes:
      on: Scores above it begin an alarm.
      off: Scores at or below it end one; not above `on`.
      after: Scores above `on` in a row that begin it.
      until: Scores at or below `off` in a row that end it.
    """

    on: float
    off: float
    after: int = 1
    until: int = 1

    def __post_init__(self):
        """Refuses an alarm that would end before it begins."""
        if not (math.isfinite(self.on) and self.off <= self.on):
            raise ThresholdError(f"off ({self.off}) must not be above on ({self.on})")
        if min(self.after, self.until) < 1:
            raise ThresholdError(
                f"after ({self.after}) and until ({self.until}) are 1 clip or more"
            )


class Hysteresis:
    """An alarm that does not flicker.

    Attributes:
      config: When it begins and ends.
      active: Whether it is on.
      events: How often it has begun.
      skipped: Scores that were NaN.
    """

    def __init__(self, config: HysteresisConfig):
        """Begins off."""
        self.config = config
        self.active = False
        self.events = 0
        self.skipped = 0
        self._in_a_row = 0

    def update(self, score: float) -> bool:
        """Takes the next score; returns whether the alarm is on."""
        if math.isnan(score):
            self.skipped += 1
            return self.active
        config = self.config
        turns = score <= config.off if self.active else score > config.on
        self._in_a_row = self._in_a_row + 1 if turns else 0
        if self._in_a_row == (config.until if self.active else config.after):
            self.active = not self.active
            self.events += self.active
            self._in_a_row = 0
        return self.active

    def run(self, score: np.ndarray) -> np.ndarray:
        """Takes scores `[n]`; returns bool `[n]`."""
        return np.array([self.update(float(value)) for value in score], bool)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """Between what the running median of scores stays, if nothing changes.

    Attributes:
      low: A median below it is drift.
      high: A median above it is drift.
      window: Scores in the median, odd.
      false_alarm_rate: Chance that a full window is called drift though nothing
        changed, at most.
      median: Of the calibration scores.
      clips: Calibration scores.
    """

    low: float
    high: float
    window: int
    false_alarm_rate: float
    median: float
    clips: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DriftConfig":
        """Reads what `as_dict` gave.

        Raises:
          ThresholdError: A field is missing or unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ThresholdError(f"no drift limits: {error}") from error


def drift_limits(
    score: np.ndarray, *, window: int = 61, false_alarm_rate: float = 0.001
) -> DriftConfig:
    """Limits of the running median from normal scores, for any distribution.

    They are calibration scores: the median of `window` new ones is above the `j`-th of
    `n` with the chance that at most half of them fall below it, which is beta-binomial
    if all are exchangeable. Half of `false_alarm_rate` goes to each side. Scores that
    follow each other are alike in practice, so calibrate on hours, not minutes.

    Args:
      score: `[n]`, of normal clips that nothing was fitted to.
      window: Scores in the median; odd.
      false_alarm_rate: Of a full window. Windows overlap, so that one excursion is many
        windows long.

    Raises:
      ThresholdError: The window is even, or there are too few scores.
    """
    if window < 1 or window % 2 == 0:
        raise ThresholdError(f"the window is an odd number of clips, got {window}")
    if not 0 < false_alarm_rate < 1:
        raise ThresholdError(
            f"a false-alarm rate is above 0 and below 1, got {false_alarm_rate}"
        )
    score = np.asarray(score, np.float64).ravel()
    ordered = np.sort(score[np.isfinite(score)])
    n = len(ordered)
    j = _rank(n, window, false_alarm_rate / 2)
    if j > n:
        raise ThresholdError(
            f"{n} scores are too few for drift at a rate of {false_alarm_rate:g} over"
            f" {window} clips: calibrate longer, or take a wider window"
        )
    return DriftConfig(
        low=float(ordered[n - j]),
        high=float(ordered[j - 1]),
        window=window,
        false_alarm_rate=false_alarm_rate,
        median=float(np.median(ordered)),
        clips=n,
    )


@functools.lru_cache
def _rank(n: int, window: int, rate: float) -> int:
    """The least `j` such that a new median is seldom above the `j`-th; `n + 1` if none.

    The median is above the `j`-th of `n` where at most half of the window is below it.
    """

    def seldom(j: int) -> bool:
        chance = scipy.stats.betabinom.cdf(window // 2, window, j, n + 1 - j)
        return bool(chance <= rate)

    return 1 + bisect.bisect_left(range(1, n + 1), True, key=seldom)


class DriftAlarm:
    """Says when the median of the last scores has left its limits.

    A machine's sound changes with wear, load and seasons; then thresholds no longer
    hold, though no single clip is an anomaly.

    Attributes:
      config: Limits and window.
      skipped: Scores that were NaN.
    """

    def __init__(self, config: DriftConfig):
        """Begins without scores."""
        self.config = config
        self.skipped = 0
        self._last: collections.deque[float] = collections.deque()
        self._sorted: list[float] = []

    @property
    def median(self) -> float:
        """Of the last `window` scores; NaN until there are so many."""
        if len(self._last) < self.config.window:
            return math.nan
        return self._sorted[self.config.window // 2]

    def update(self, score: float) -> Drift:
        """Takes the next score; returns on which side the median is out, if it is."""
        if math.isnan(score):
            self.skipped += 1
        else:
            if len(self._last) == self.config.window:
                gone = self._last.popleft()
                del self._sorted[bisect.bisect_left(self._sorted, gone)]
            self._last.append(score)
            bisect.insort(self._sorted, score)
        median = self.median
        if median > self.config.high:
            return "high"
        return "low" if median < self.config.low else ""
