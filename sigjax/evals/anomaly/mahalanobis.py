"""Mahalanobis distance to the domain's mean, with one covariance for both domains.

Equation 5 of "Self-supervised Anomalous Sound Detection for Machine Condition
Monitoring". Three target clips give a mean but no covariance: this one is of all
training clips, each centred on its own domain's mean.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import ArrayBackend, State, own_or_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class MahalanobisConfig:
    """How the covariance is estimated, and which mean counts.

    Attributes:
      covariance: `"ledoit_wolf"`, `"empirical"` (divided by the number of clips), or
        `"shrunk"` by a fixed share.
      shrinkage: Of `"shrunk"`, the share of the scaled identity in [0, 1].
      domain: `"own"` holds a clip of known domain against that domain's mean, and
        others against the nearest; `"min"` all against the nearest.
      floor: Least eigenvalue, as a share of their mean. A unit that never fires has
        no variance; without a floor its first flicker is an infinite distance.
    """

    covariance: Literal["ledoit_wolf", "empirical", "shrunk"] = "ledoit_wolf"
    shrinkage: float = 0.1
    domain: Literal["own", "min"] = "own"
    floor: float = 1e-8

    def __post_init__(self):
        """Refuses what no covariance can be made of."""
        if self.covariance not in ("ledoit_wolf", "empirical", "shrunk"):
            raise ValueError(f"unknown covariance {self.covariance!r}")
        if self.domain not in ("own", "min"):
            raise ValueError(f"domain must be 'own' or 'min', got {self.domain!r}")
        if not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be in [0, 1], got {self.shrinkage}")
        if self.floor <= 0:
            raise ValueError(f"floor must be above 0, got {self.floor}")


class Mahalanobis(ArrayBackend[MahalanobisConfig]):
    """Equation 5.

    Where no clip differs from its domain's mean (one clip, or all alike), the
    covariance is the identity: the score is the Euclidean distance.
    """

    config_type = MahalanobisConfig
    _names = ("mean", "group", "whitening")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        group, member = np.unique(domain, return_inverse=True)
        mean = np.stack([x[member == g].mean(axis=0) for g in range(len(group))])
        covariance = _covariance(x - mean[member], self.config)
        return {
            "mean": mean,
            "group": group,
            "whitening": whitening(covariance, self.config.floor),
        }

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        columns = [
            np.linalg.norm((x - mean) @ state["whitening"], axis=1)
            for mean in state["mean"]
        ]
        own = self.config.domain == "own"
        return own_or_least(np.stack(columns, axis=1), state["group"], domain, own=own)


def _covariance(centred: np.ndarray, config: MahalanobisConfig) -> np.ndarray:
    """Float64 `[d d]` of rows that are centred already."""
    n, d = centred.shape
    empirical = centred.T @ centred / n
    if config.covariance == "empirical" or not centred.any():
        return empirical
    share = config.shrinkage
    if config.covariance == "ledoit_wolf":
        # A second to import: only a fit pays.
        from sklearn.covariance import ledoit_wolf_shrinkage

        share = ledoit_wolf_shrinkage(centred, assume_centered=True) if n > 1 else 1.0
    target = np.trace(empirical) / d * np.eye(d)
    return (1 - share) * empirical + share * target


def whitening(covariance: np.ndarray, floor: float) -> np.ndarray:
    """W with W W' the inverse of a covariance: |x W| is the Mahalanobis length of x.

    Args:
      covariance: Float64 `[d d]`, symmetric.
      floor: Least eigenvalue as a share of their mean.

    Returns:
      Float64 `[d d]`; the identity where the covariance is zero.
    """
    value, vector = np.linalg.eigh(covariance)
    mean = value.mean()
    if mean <= 0:
        return np.eye(len(covariance))
    return vector / np.sqrt(np.maximum(value, floor * mean))
