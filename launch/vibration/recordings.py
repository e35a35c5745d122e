"""The study's SIMULATED recordings: in steady noise, and beside machines that knock."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sigjax.data.synthetic.bearing import bearing_windows

# Knocks in a second that have nothing to do with the bearing.
CONDITIONS = {"steady noise": 0.0, "machines that knock": 8.0}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recordings:
    """Windows of recordings, float32 `[r, w, s]` in g; all of one size but for `r`.

    Attributes:
      train: Healthy, for detectors.
      calibration: Healthy, for thresholds.
      healthy: Healthy, for figures.
      damaged: By the depth of its blows; else the same recordings.
    """

    train: np.ndarray
    calibration: np.ndarray
    healthy: np.ndarray
    damaged: Mapping[float, np.ndarray]


def simulated(
    *,
    recordings: int,
    tested: int,
    depths: Sequence[float],
    knocks_hz: float,
    seed: int = 0,
    windows: int = 32,
    samples: int = 512,
) -> Recordings:
    """Four parts that share no recording.

    Args:
      recordings: Of `train`, and of `calibration`.
      tested: Of `healthy`, and of each depth.
      depths: Of blows, in standard deviations of the noise.
      knocks_hz: Other machines' knocks in a second.
      seed: Of all.
      windows: Of each recording.
      samples: Of each window.
    """

    def part(number: int, count: int, depth: float = 0.0) -> np.ndarray:
        made = bearing_windows(
            healthy=0 if depth else count,
            damaged=count if depth else 0,
            windows=windows,
            samples=samples,
            depth=depth,
            knocks_hz=knocks_hz,
            seed=4 * seed + number,
        )
        return made.x.reshape(count, windows, samples)

    return Recordings(
        train=part(0, recordings),
        calibration=part(1, recordings),
        healthy=part(2, tested),
        damaged={depth: part(3, tested, depth) for depth in depths},
    )
