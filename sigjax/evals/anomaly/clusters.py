"""Few centres instead of all training clips: k-means and a Gaussian mixture.

scikit-learn fits them. Scoring is here, so that a state of plain arrays is enough and a
detector does not pay for the import.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import ArrayBackend, State, own_or_least
from sigjax.evals.anomaly.distances import cosine, directions, nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class KMeansConfig:
    """Cosine distance to the nearest centre.

    Attributes:
      clusters: Centres of each domain. A domain with no more distinct clips than that
        keeps each of them, which is what peers do with the target's.
      restarts: Of k-means; the best is kept.
      domain: As in `KnnConfig`.
      seed: Of the first centres.
    """

    clusters: int = 16
    restarts: int = 4
    domain: Literal["min", "own"] = "min"
    seed: int = 0

    def __post_init__(self):
        """Refuses numbers that give no centre."""
        if self.clusters < 1 or self.restarts < 1:
            raise ValueError("clusters and restarts must be 1 or more")
        if self.domain not in ("own", "min"):
            raise ValueError(f"domain must be 'own' or 'min', got {self.domain!r}")


class KMeans(ArrayBackend[KMeansConfig]):
    """Cosine distance to the nearest k-means centre, least over the domains."""

    config_type = KMeansConfig
    _names = ("centre", "centre_group", "group")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        rows, group = directions(x), np.unique(domain)
        centres = [self._centres(rows[domain == name]) for name in group]
        return {
            "centre": np.concatenate(centres),
            "centre_group": np.repeat(group, [len(c) for c in centres]),
            "group": group,
        }

    def _centres(self, rows: np.ndarray) -> np.ndarray:
        distinct = np.unique(rows, axis=0)
        if len(distinct) <= self.config.clusters:
            return distinct
        # A second to import: only a fit pays.
        from sklearn.cluster import KMeans as Lloyd

        model = Lloyd(
            self.config.clusters,
            n_init=self.config.restarts,  # pyright: ignore[reportArgumentType]
            random_state=self.config.seed,
        ).fit(rows)
        centre = model.cluster_centers_
        length = np.linalg.norm(centre, axis=1, keepdims=True)
        return centre / np.where(length == 0, 1, length)

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        rows, group = directions(x), state["group"]
        columns = []
        for name in group:
            centre = state["centre"][state["centre_group"] == name]
            columns.append(cosine(nearest(rows, centre, 1)[0][:, 0]))
        own = self.config.domain == "own"
        return own_or_least(np.stack(columns, axis=1), group, domain, own=own)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GmmConfig:
    """Negative log-likelihood of a Gaussian mixture.

    Attributes:
      components: Of the mixture; no more than distinct clips.
      covariance: `"full"` or `"diag"`.
      normalise: Rows of length one first.
      regularisation: Added to each variance, as a share of the mean variance of the
        training clips.
      seed: Of the first centres.
    """

    components: int = 2
    covariance: Literal["full", "diag"] = "full"
    normalise: bool = True
    regularisation: float = 1e-3
    seed: int = 0

    def __post_init__(self):
        """Refuses numbers that give no mixture."""
        if self.components < 1 or self.regularisation <= 0:
            raise ValueError("components must be 1 or more, regularisation above 0")
        if self.covariance not in ("full", "diag"):
            raise ValueError(f"unknown covariance {self.covariance!r}")


class Gmm(ArrayBackend[GmmConfig]):
    """One mixture of all training clips: a few target clips have no covariance.

    Domains are not used. Where all clips are alike, the variance is 1.
    """

    config_type = GmmConfig
    _names = ("weight", "mean", "precision_root")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        # A second to import: only a fit pays.
        from sklearn.mixture import GaussianMixture

        rows = self._rows(x)
        spread = float(rows.var(axis=0).mean())
        distinct = len(np.unique(rows, axis=0))
        model = GaussianMixture(
            min(self.config.components, distinct),
            covariance_type=self.config.covariance,
            reg_covar=self.config.regularisation * spread if spread > 0 else 1.0,
            max_iter=500,
            random_state=self.config.seed,
        ).fit(rows if len(rows) > 1 else np.repeat(rows, 2, axis=0))
        return {
            "weight": np.asarray(model.weights_),
            "mean": np.asarray(model.means_),
            "precision_root": np.asarray(model.precisions_cholesky_),
        }

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        rows, d = self._rows(x), x.shape[1]
        parts = []
        columns = zip(
            state["weight"], state["mean"], state["precision_root"], strict=True
        )
        for weight, mean, root in columns:
            full = root.ndim == 2
            apart = (rows - mean) @ root if full else (rows - mean) * root
            log_det = np.log(np.diagonal(root) if full else root).sum()
            exponent = (apart**2).sum(axis=1) + d * np.log(2 * np.pi)
            parts.append(np.log(weight) + log_det - exponent / 2)
        return -np.logaddexp.reduce(np.stack(parts, axis=1), axis=1)

    def _rows(self, x: np.ndarray) -> np.ndarray:
        if not self.config.normalise:
            return x
        length = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.where(length == 0, 1, length)
