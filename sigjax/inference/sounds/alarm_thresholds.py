"""Thresholds from false alarms per day, also where there is too little normal sound.

`sigjax.evals.thresholds.conformal` refuses a rate that its clips cannot promise. Here
the lowest rate that they can promise is taken instead, and said.
"""

import dataclasses
import math

import numpy as np

from sigjax.evals import thresholds
from sigjax.evals.thresholds import Threshold, ThresholdError

# Of clips that the network itself was trained on.
TRAINED_ON = (
    "made of clips that the network was trained on, so that it may give more false"
    " alarms (train with data.validation_fraction to avoid this)"
)


def clips_needed(false_alarms_per_day: float, hop_s: float) -> int:
    """Normal clips that a conformal threshold of this rate needs at least.

    Raises:
      ThresholdError: The rate is not between 0 and 1.
    """
    rate = thresholds.rate_of(false_alarms_per_day, hop_s)
    return math.ceil(1 / rate - 1e-9) - 1


def minutes_needed(false_alarms_per_day: float, hop_s: float, clip_s: float) -> float:
    """Minutes of normal sound that so many clips of `clip_s` without overlap take."""
    return clips_needed(false_alarms_per_day, hop_s) * clip_s / 60


def alarm_threshold(
    score: np.ndarray,
    *,
    false_alarms_per_day: float,
    hop_s: float,
    clip_s: float | None = None,
    remark: str = "",
) -> Threshold:
    """A conformal threshold of the rate that was asked for, or the lowest possible.

    Args:
      score: `[n]`, of normal clips by a model that was fitted without them.
      false_alarms_per_day: That are allowed.
      hop_s: Seconds from one scored clip to the next in use.
      clip_s: Length of a clip, for the remark.
      remark: What else a user must know.

    Raises:
      ThresholdError: No score is finite, or the rate is none.
    """
    rate = thresholds.rate_of(false_alarms_per_day, hop_s)
    clips = int(np.isfinite(score).sum())
    needed = clips_needed(false_alarms_per_day, hop_s)
    said = [remark] if remark else []
    if 0 < clips < needed:
        rate = 1 / (clips + 1)
        per_day = rate * thresholds.clips_per_day(hop_s)
        length = "" if clip_s is None else f" ({needed * clip_s / 60:,.0f} minutes)"
        said.insert(
            0,
            f"{false_alarms_per_day:g} false alarms a day need {needed:,} normal clips"
            f"{length}; these {clips} promise {thresholds.plain(per_day)}",
        )
    found = thresholds.conformal(score, rate)
    return dataclasses.replace(found, remark="; ".join(said))


__all__ = [
    "TRAINED_ON",
    "ThresholdError",
    "alarm_threshold",
    "clips_needed",
    "minutes_needed",
]
