"""Which modes of a mixture a generator reaches, and how many samples are good."""

from typing import NamedTuple

import numpy as np


class Coverage(NamedTuple):
    """What samples of a mixture come to.

    Attributes:
      covered: Modes with as many good samples as asked.
      modes: How many there are.
      good: Share of samples within the given distance of a mode.
      counts: Int `[m]`: good samples of each mode.
      divergence: Kullback-Leibler divergence of the good samples' modes from equal
        shares, in nats: 0 if all are met alike, `log m` if one is; NaN if none.
    """

    covered: int
    modes: int
    good: float
    counts: np.ndarray
    divergence: float


def coverage(
    samples: np.ndarray,
    centres: np.ndarray,
    sd: float,
    *,
    within: float = 3.0,
    least: float = 0.1,
) -> Coverage:
    """Counts samples near the modes of a mixture of equal, round Gaussians.

    A sample is good if it lies within `within` standard deviations of the nearest mode
    (in two dimensions 98.9 % of the mixture's own do at 3).

    Args:
      samples: `[n, d]`.
      centres: `[m, d]`.
      sd: Standard deviation of each mode.
      within: In standard deviations.
      least: A mode is covered from this share of the samples that it should have
        (`n / m`); one at least.

    Raises:
      ValueError: Shapes do not fit, or a sample is not finite.
    """
    samples, centres = np.asarray(samples, np.float64), np.asarray(centres, np.float64)
    if samples.ndim != 2 or samples.shape[1:] != centres.shape[1:] or not len(samples):
        raise ValueError(
            f"samples {samples.shape} and modes {centres.shape} do not fit"
        )
    if not np.isfinite(samples).all():
        raise ValueError("a sample is not finite: the generator diverged")
    distance = np.linalg.norm(samples[:, None] - centres[None], axis=-1)
    nearest = distance.argmin(axis=1)
    good = distance.min(axis=1) <= within * sd
    counts = np.bincount(nearest[good], minlength=len(centres))
    enough = max(1.0, least * len(samples) / len(centres))
    return Coverage(
        covered=int((counts >= enough).sum()),
        modes=len(centres),
        good=float(good.mean()),
        counts=counts,
        divergence=_divergence(counts),
    )


def _divergence(counts: np.ndarray) -> float:
    if not counts.sum():
        return float("nan")
    share = counts[counts > 0] / counts.sum()
    return float((share * np.log(share * len(counts))).sum())
