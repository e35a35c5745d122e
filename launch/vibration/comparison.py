"""What the study asks of a detector: does it rank damage, and keep its promise?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy

from launch.vibration.detectors import Detector
from launch.vibration.recordings import Recordings
from sigjax.evals.detection_intervals import LEVEL, bootstrap
from sigjax.evals.thresholds import conformal

RATE = 0.05
_DRAWS = 400
_COUNTS = (1, 2, 4, 8, 16, 32)


def compare(detector: Detector, given: Recordings) -> tuple[dict[str, Any], np.ndarray]:
    """A detector's row, and scores of healthy recordings that it was not trained on.

    Args:
      detector: After training.
      given: What to ask it of.

    Returns:
      `detector`, `seen`, `trained`; `auc`, for each depth `[depth, auc, low, high]`;
      `windows` and `recordings`, shares of healthy ones above the threshold made of the
      calibration's, `[share, low, high]`; `found`, `[depth, share]` of damaged
      recordings. Scores are `[r, w]`.
    """
    made, healthy = detector.score(given.calibration), detector.score(given.healthy)
    damaged = {depth: detector.score(x) for depth, x in given.damaged.items()}
    group = np.repeat(np.arange(len(made)), made.shape[1])
    of_windows = conformal(made.ravel(), RATE, group=group)
    of_recordings = conformal(made.mean(axis=1), RATE)
    normal = healthy.mean(axis=1)
    auc, found = [], []
    for depth, score in damaged.items():
        label = np.repeat([0, 1], [len(normal), len(score)])
        odd = score.mean(axis=1)
        auc.append([depth, *bootstrap(label, np.concatenate([normal, odd]))])
        found.append([depth, float((odd > of_recordings.value).mean())])
    row = {
        "detector": detector.name,
        "seen": detector.seen,
        "trained": detector.trained,
        "auc": auc,
        "windows": _share(healthy > of_windows.value),
        "recordings": _of_trials(normal > of_recordings.value),
        "found": found,
    }
    if made.shape[1] == 1:  # A number of a recording: there are no windows.
        del row["windows"]
    return row, np.concatenate([made, healthy])


def calibrations(score: np.ndarray, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """False alarms by how many recordings made the threshold.

    Args:
      score: Of healthy recordings `[r, w]` that nothing was trained on.
      seed: Of the draws.

    Yields:
      A row for each number of recordings that has windows enough for a threshold, and
      leaves as many recordings: `recordings`, `mean`, `low` and `high` (95 %
      of draws) of the share of the other recordings' windows above the threshold,
      `promised` of its mean, `at_most` what `conformal` says with 95 % confidence of
      windows that are taken for independent, and `above`, in how many draws it is more.
    """
    rng = np.random.default_rng(seed)
    for count in _COUNTS:
        if (count * score.shape[1] + 1) * RATE < 1:
            continue
        if 2 * count > len(score):
            return
        shares, above = [], []
        for _ in range(_DRAWS):
            order = rng.permutation(len(score))
            made, other = score[order[:count]], score[order[count:]]
            alone = conformal(made.ravel(), RATE)
            group = np.repeat(np.arange(count), score.shape[1])
            together = conformal(made.ravel(), RATE, group=group)
            shares.append((other > together.value).mean())
            above.append((other > alone.value).mean() > (alone.at_most or 1.0))
        low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        yield {
            "recordings": count,
            "mean": float(np.mean(shares)),
            "low": float(low),
            "high": float(high),
            "promised": together.parameters["promised"],
            "at_most": float(alone.at_most or 1.0),
            "above": float(np.mean(above)),
        }


def _share(flagged: np.ndarray, draws: int = 1000) -> list[float]:
    """Share of windows `[r, w]` with percentiles of resamples of recordings."""
    own = flagged.mean(axis=1)
    drawn = np.random.default_rng(0).integers(len(own), size=(draws, len(own)))
    ends = np.quantile(own[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(own.mean()), *map(float, ends)]


def _of_trials(flagged: np.ndarray) -> list[float]:
    """Share of recordings with Clopper and Pearson's interval."""
    exact = scipy.stats.binomtest(int(flagged.sum()), len(flagged))
    low, high = exact.proportion_ci(confidence_level=LEVEL)
    return [float(flagged.mean()), float(low), float(high)]
