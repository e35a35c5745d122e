"""Distances in units of how dense the training clips lie there.

Source clips are many and dense, target clips few and sparse: one distance means two
things. Both methods here need no domain labels, and score one clip at a time.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import ArrayBackend, State
from sigjax.evals.anomaly.distances import directions, nearest, nearest_scaled

# scikit-learn's guard against a mean distance of 0.
_TINY = 1e-10
# Its square is still a number.
_LEAST_RADIUS = 1e-150


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalDensityConfig:
    """Local-density normalisation.

    Attributes:
      neighbors: Whose mean distance is a training clip's radius; fewer where there are
        fewer.
      metric: `"cosine"`: Euclidean distance of rows of length one. `"euclidean"`: of
        rows as they are.
    """

    neighbors: int = 4
    metric: Literal["cosine", "euclidean"] = "cosine"

    def __post_init__(self):
        """Refuses numbers that give no radius."""
        _check(self.neighbors, self.metric)


class LocalDensity(ArrayBackend[LocalDensityConfig]):
    """min over y of |x - y| / mean distance of y to its nearest training clips.

    Wilkinghoff et al., "Keeping the Balance: Anomaly Score Calculation for Domain
    Generalization" (2025). Equal training clips count once: copies say nothing of
    density, and would make it infinite. Copies that differ by rounding have a tiny
    radius, and harm nobody: the minimum is then another clip's. With one distinct clip
    the radius is 1.
    """

    config_type = LocalDensityConfig
    _names = ("bank", "radius")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        bank = np.unique(_rows(x, self.config.metric), axis=0)
        radius = np.ones(1)
        if len(bank) > 1:
            near, _ = nearest(bank, bank, self.config.neighbors, leave_self=True)
            radius = np.maximum(near.mean(axis=1), _LEAST_RADIUS)
        return {"bank": bank, "radius": radius}

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        rows = _rows(x, self.config.metric)
        return nearest_scaled(rows, state["bank"], state["radius"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class LofConfig:
    """Local outlier factor.

    Attributes:
      neighbors: Of a clip, 20 in scikit-learn; fewer where there are fewer.
      metric: As in `LocalDensityConfig`.
    """

    neighbors: int = 20
    metric: Literal["cosine", "euclidean"] = "cosine"

    def __post_init__(self):
        """Refuses numbers that give no neighbour."""
        _check(self.neighbors, self.metric)


class Lof(ArrayBackend[LofConfig]):
    """Local outlier factor of new clips (Breunig et al. 2000).

    The numbers are scikit-learn's (`LocalOutlierFactor(novelty=True)`, as a test
    holds). Its own scoring spends 60 ms on one clip, and keeps what a state needs in
    private attributes. Equal training clips count once, as above. With one distinct
    clip there is no density, and the score is the distance to it.
    """

    config_type = LofConfig
    _names = ("bank", "reach", "density")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        bank = np.unique(_rows(x, self.config.metric), axis=0)
        near, index = nearest(bank, bank, self.config.neighbors, leave_self=True)
        if not near.shape[1]:
            return {"bank": bank, "reach": np.zeros(1), "density": np.zeros(1)}
        reach = near[:, -1]
        return {"bank": bank, "reach": reach, "density": _density(near, reach[index])}

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        bank = state["bank"]
        k = min(self.config.neighbors, max(1, len(bank) - 1))
        near, index = nearest(_rows(x, self.config.metric), bank, k)
        if len(bank) == 1:
            return near[:, 0]
        own = _density(near, state["reach"][index])
        return state["density"][index].mean(axis=1) / own


def _density(near: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Local reachability density: distances to neighbours, and how far those reach."""
    return 1 / (np.maximum(near, reach).mean(axis=1) + _TINY)


def _rows(x: np.ndarray, metric: str) -> np.ndarray:
    return directions(x) if metric == "cosine" else x


def _check(neighbors: int, metric: str) -> None:
    if neighbors < 1:
        raise ValueError(f"neighbors must be 1 or more, got {neighbors}")
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"unknown metric {metric!r}")
