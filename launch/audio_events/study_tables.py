"""What the study's cells come to: accuracies and paired differences with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from launch.audio_events.study_data import EventClips
from sigjax.evals.detection_intervals import resample

RESAMPLES, LEVEL = 2000, 0.95
# What the others are compared with.
REFERENCE = "with"
Row = dict[str, Any]


class Runs(NamedTuple):
    """All runs of one variant.

    Attributes:
      correct: Float64 `[r n]`, 1 where a clip's class was found by the run that was
        tested on it, NaN where none was; a row for each seed (one of what draws
        nothing).
      facts: What the cells tell beside it, as means over runs.
    """

    correct: np.ndarray
    facts: Mapping[str, float]


class Units:
    """Resamples of clips and of seeds: those of all variants are the same.

    Sources are drawn with replacement within each class and fold (clips cut from one
    source stay together), and seeds with replacement from those that were run.
    """

    def __init__(self, clips: EventClips, tested: np.ndarray):
        """Draws clips.

        Args:
          clips: All.
          tested: Int `[m]`, clips that were tested on.
        """
        stratum = clips.fold[tested] * len(clips.name) + clips.label[tested]
        drawn = resample(stratum, group=clips.source[tested], resamples=RESAMPLES)
        self._clips = drawn / drawn.sum(axis=1, keepdims=True)

    def interval(self, value: np.ndarray) -> dict[str, float]:
        """Mean of `[r m]` over seeds and clips, and the ends of its interval."""
        count = len(value)
        rng = np.random.default_rng(count)
        seeds = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
        means = ((self._clips @ value.T) * seeds).sum(axis=1)
        ends = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = (float(end) for end in ends)
        return {"value": float(value.mean()), "low": low, "high": high}


def rows(clips: EventClips, runs: Mapping[str, Runs]) -> list[Row]:
    """A row for each variant.

    Args:
      clips: All.
      runs: By variant; all were tested on the same clips.

    Returns:
      `variant`, `runs`, `accuracy` (`value`, `low`, `high`, and `sd` of the seeds'
      means, None for one), `folds` (means over seeds), `seeds` (means over folds),
      `classes` (by name) and `facts`; of others than `REFERENCE` also `less`, the
      difference to it, with `folds` and the `pairs` of fold and seed in which it is
      ahead, level or behind.

    Raises:
      ValueError: Variants were tested on different clips.
    """
    there = [np.isfinite(own.correct).all(axis=0) for own in runs.values()]
    if not there:
        return []
    tested = np.flatnonzero(there[0])
    if any((own != there[0]).any() for own in there):
        raise ValueError("variants were tested on different clips")
    fold, label = clips.fold[tested], clips.label[tested]
    folds, classes = sorted(set(fold.tolist())), range(len(clips.name))
    units = Units(clips, tested)
    found = []
    for name, own in runs.items():
        value = own.correct[:, tested]
        each = value.mean(axis=1)
        row: Row = {
            "variant": name,
            "runs": len(value) * len(folds),
            "accuracy": {
                **units.interval(value),
                "sd": float(each.std(ddof=1)) if len(each) > 1 else None,
            },
            "folds": _by(fold, folds, value.mean(axis=0)),
            "seeds": each.tolist(),
            "classes": dict(
                zip(
                    clips.name,
                    _by(label, classes, value.mean(axis=0)),
                    strict=True,
                )
            ),
            "facts": dict(own.facts),
        }
        if name != REFERENCE and REFERENCE in runs:
            reference = runs[REFERENCE].correct[:, tested]
            row["less"] = _less(units, fold, value, reference)
        found.append(row)
    return found


def _by(which: np.ndarray, numbers: Sequence[int] | range, value) -> list[float]:
    return [float(value[..., which == number].mean()) for number in numbers]


def _less(units: Units, fold: np.ndarray, value, reference) -> dict[str, Any]:
    """A variant less the reference: on the same clips, by the same seeds.

    What draws nothing has one run, which is compared with each seed's.
    """
    both = min(len(value), len(reference)) if len(value) > 1 else len(reference)
    difference = value[:both] - reference[:both]
    numbers = sorted(set(fold.tolist()))
    pairs = np.array([_by(fold, numbers, own) for own in difference])
    # Clips are whole: a difference of less than a thousandth of one is rounding.
    sign = np.sign(np.round(pairs, 6))
    return {
        **units.interval(difference),
        "folds": pairs.mean(axis=0).tolist(),
        "pairs": {
            "ahead": int((sign > 0).sum()),
            "level": int((sign == 0).sum()),
            "behind": int((sign < 0).sum()),
        },
    }
