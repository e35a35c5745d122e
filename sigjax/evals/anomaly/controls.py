"""Controls: what a score is worth shows beside one that needs no thought.

A kurtosis or a loudness that nobody trained separates many faults, and many recording
sessions. Whoever beats chance but not these has found nothing.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import ArrayBackend, BackendError, State, own_or_least

# Below this share of full scale a sample is silence.
_SILENCE = 1e-4
_FLOOR_DB = -120.0

UNTRAINED = (
    "level_db",
    "peak",
    "crest",
    "kurtosis",
    "zero_crossings",
    "silence",
    "offset",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistanceToMeanConfig:
    """Euclidean distance to the domain's mean.

    Attributes:
      domain: As in `MahalanobisConfig`.
    """

    domain: Literal["own", "min"] = "own"

    def __post_init__(self):
        """Refuses another word."""
        if self.domain not in ("own", "min"):
            raise ValueError(f"domain must be 'own' or 'min', got {self.domain!r}")


class DistanceToMean(ArrayBackend[DistanceToMeanConfig]):
    """Mahalanobis without a covariance."""

    config_type = DistanceToMeanConfig
    _names = ("mean", "group")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        group = np.unique(domain)
        mean = np.stack([x[domain == name].mean(axis=0) for name in group])
        return {"mean": mean, "group": group}

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        columns = [np.linalg.norm(x - mean, axis=1) for mean in state["mean"]]
        own = self.config.domain == "own"
        return own_or_least(np.stack(columns, axis=1), state["group"], domain, own=own)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneNumberConfig:
    """One number of each clip.

    Attributes:
      number: `"norm"` of the embedding, or one `"column"` of it (say, of what
        `untrained` gives).
      column: Which.
      tail: `"high"` or `"low"` values are anomalous, or those far from the nearest
        domain's mean in `"both"` directions.
    """

    number: Literal["norm", "column"] = "norm"
    column: int = 0
    tail: Literal["both", "high", "low"] = "both"

    def __post_init__(self):
        """Refuses other words."""
        if self.number not in ("norm", "column"):
            raise ValueError(f"number must be 'norm' or 'column', got {self.number!r}")
        if self.tail not in ("both", "high", "low"):
            raise ValueError(f"unknown tail {self.tail!r}")
        if self.column < 0:
            raise ValueError(f"column must be 0 or more, got {self.column}")


class OneNumber(ArrayBackend[OneNumberConfig]):
    """One number as the score; what is learnt is its mean in each domain."""

    config_type = OneNumberConfig
    _names = ("mean", "group")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        if self.config.number == "column" and self.config.column >= x.shape[1]:
            raise BackendError(
                f"column {self.config.column} of embeddings of width {x.shape[1]}"
            )
        group, value = np.unique(domain), self._value(x)
        mean = np.asarray([value[domain == name].mean() for name in group])
        return {"mean": mean, "group": group}

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        value = self._value(x)
        if self.config.tail != "both":
            return value if self.config.tail == "high" else -value
        apart = np.abs(value[:, None] - state["mean"])
        return own_or_least(apart, state["group"], domain, own=False)

    def _value(self, x: np.ndarray) -> np.ndarray:
        if self.config.number == "norm":
            return np.linalg.norm(x, axis=1)
        return x[:, self.config.column].copy()


def untrained(wave: np.ndarray) -> np.ndarray:
    """Statistics of a wave that nobody learned, in the order of `UNTRAINED`.

    Level in dB of full scale (-120 at least), peak, crest factor, kurtosis (3 for
    Gaussian noise; of the wave without its mean), share of sample pairs that change
    sign, share of samples below 1e-4, mean. All but level, peak, silence and offset do
    not change with loudness.

    Args:
      wave: `[s]`, float with full scale 1, or int16 counts.

    Returns:
      Float64 `[7]`; crest and kurtosis of a constant wave are 0. NaN where the wave is
      not finite or empty.
    """
    scale = 2.0**15 if wave.dtype == np.int16 else 1.0
    x = np.asarray(wave, np.float64) / scale
    if not x.size or not np.isfinite(x).all():
        return np.full(len(UNTRAINED), np.nan)
    offset = float(x.mean())
    apart = x - offset
    power = float((apart**2).mean())
    peak = float(np.abs(x).max())
    # Rounding of the mean leaves a constant wave some 1e-34 of power.
    still = power <= (1e-12 * peak) ** 2
    level = 10 * np.log10(power) if not still else _FLOOR_DB
    crest = 0.0 if still else float(np.abs(apart).max()) / np.sqrt(power)
    kurtosis = 0.0 if still else float((apart**4).mean()) / power**2
    crossings = float((np.signbit(apart[1:]) != np.signbit(apart[:-1])).sum())
    return np.asarray(
        [
            max(level, _FLOOR_DB),
            peak,
            crest,
            kurtosis,
            crossings / max(len(x) - 1, 1),
            float((np.abs(x) < _SILENCE).mean()),
            offset,
        ]
    )
