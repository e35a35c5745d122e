"""Selective Mahalanobis of the DCASE autoencoder, on its residuals.

Since 2023 the baseline scores a clip by the lesser of two quadratic forms of its
reconstruction error, one with the inverse covariance of each domain's residuals. The
published code takes the form of the clip's *mean* residual, without subtracting the
training mean (`"official"`). The mean over frames of each frame's form is the other
reading (`"per_frame"`). They are two scores, not two estimates of one.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import (
    ArrayBackend,
    BackendError,
    Domains,
    State,
    checked_domains,
    own_or_least,
)
from sigjax.evals.anomaly.mahalanobis import whitening


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectiveConfig:
    """Which of the two scores.

    Attributes:
      form: `"official"` or `"per_frame"`.
      floor: Least eigenvalue of a domain's covariance, as a share of their mean.
    """

    form: Literal["official", "per_frame"] = "official"
    floor: float = 1e-8

    def __post_init__(self):
        """Refuses an unknown form or a floor that is none."""
        if self.form not in ("official", "per_frame"):
            raise ValueError(
                f"form must be 'official' or 'per_frame', got {self.form!r}"
            )
        if self.floor <= 0:
            raise ValueError(f"floor must be above 0, got {self.floor}")


class ResidualSums:
    """Covariance of each domain's residuals, batch after batch.

    The residuals of a year do not fit in memory. As in the published code, a batch is
    centred on its own mean within each domain, and the sum of the outer products is
    divided by the number of rows less one. One batch of all rows is the covariance.
    """

    def __init__(self):
        """Nothing summed yet."""
        self._sums: dict[str, np.ndarray] = {}
        self._rows: dict[str, int] = {}

    def add(self, residual: np.ndarray, domains: Domains) -> "ResidualSums":
        """Adds a batch.

        Args:
          residual: Float `[n t f]`, finite; the rows of stacked frames are separate.
          domains: Text `[n]`.

        Returns:
          Itself.

        Raises:
          BackendError: For a value that is not finite, or another shape.
        """
        if residual.ndim != 3 or not np.isfinite(residual).all():
            raise BackendError(
                "residuals must be finite and of shape [clips, rows, bins], got shape"
                f" {list(residual.shape)}"
            )
        domain = checked_domains(domains, len(residual))
        bins = residual.shape[-1]
        for name in np.unique(domain).tolist():
            clips = np.flatnonzero(domain == name)
            count = len(clips) * residual.shape[1]
            total = sum(residual[i].sum(axis=0, dtype=np.float64) for i in clips)
            mean = total / max(count, 1)
            product = self._sums.get(name, np.zeros((bins, bins)))
            for i in clips:
                rows = residual[i].astype(np.float64) - mean
                product = product + rows.T @ rows
            self._sums[name] = product
            self._rows[name] = self._rows.get(name, 0) + count
        return self

    def covariances(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Text `[g]`, float64 `[g f f]`, and the number of rows `[g]`."""
        if not self._sums:
            raise BackendError("no residuals were added")
        names = sorted(self._sums)
        rows = np.asarray([self._rows[name] for name in names], np.int64)
        sums = np.stack([self._sums[name] for name in names])
        return np.asarray(names), sums / np.maximum(rows - 1, 1)[:, None, None], rows


class Selective(ArrayBackend[SelectiveConfig]):
    """Least quadratic form over the domains, of residuals `[n t f]`.

    `t` are a clip's rows: frames, times the frames of a stack (5 in the baseline), with
    `f` mel bins. `fit` takes all training clips as one batch; `from_sums` takes what
    was summed by batches, as the published code does while it trains. The domain of a
    test clip is never used.
    """

    reads = ("residual",)
    config_type = SelectiveConfig
    _ranks = (3,)
    _names = ("group", "whitening")

    @classmethod
    def from_sums(
        cls, sums: ResidualSums, config: SelectiveConfig | None = None
    ) -> "Selective":
        """Fitted on residuals that were summed in batches."""
        backend = cls(config)
        learnt = backend._learnt(sums)
        counts = {"width": learnt["whitening"].shape[-1], "clips": 0, "left_out": 0}
        fixed = {name: np.asarray(value, np.int64) for name, value in counts.items()}
        return cls.from_state(backend.config, fixed | learnt)

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        return self._learnt(ResidualSums().add(x, domain))

    def _learnt(self, sums: ResidualSums) -> State:
        group, covariance, rows = sums.covariances()
        floor = self.config.floor
        return {
            "group": group,
            "whitening": np.stack([whitening(c, floor) for c in covariance]),
            "rows": rows,
        }

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        value = np.empty((len(x), len(state["group"])))
        for i, clip in enumerate(x):
            rows = clip.astype(np.float64)
            if self.config.form == "official":
                rows = rows.mean(axis=0, keepdims=True)
            for g, matrix in enumerate(state["whitening"]):
                value[i, g] = ((rows @ matrix) ** 2).sum(axis=1).mean()
        return own_or_least(value, state["group"], domain, own=False)
