"""Classifier confidence: how sure the section classifier is of the clip's own section.

Equation 4 of "Self-supervised Anomalous Sound Detection for Machine Condition
Monitoring": the mean over a clip's segments of log((1 - p) / p), with p the softmax
probability of the clip's class.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import ArrayBackend, BackendError, State


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfidenceConfig:
    """Which formula, of which class.

    Attributes:
      formula: `"log_odds"` is equation 4. `"misplaced_bracket"` is what the code of the
        DCASE 2021 MobileNetV2 baseline computes, log((1 - p) - log p): 1.72 instead of
        4.60 for p = 0.01. For comparison with its scores alone.
      class_index: The section's class; `None` to learn it, as the class that the
        training clips are on average most likely of.
    """

    formula: Literal["log_odds", "misplaced_bracket"] = "log_odds"
    class_index: int | None = None

    def __post_init__(self):
        """Refuses an unknown formula or a class that cannot be."""
        if self.formula not in _FORMULAS:
            raise ValueError(
                f"formula must be one of {list(_FORMULAS)}, got {self.formula!r}"
            )
        if self.class_index is not None and self.class_index < 0:
            raise ValueError(f"class_index must be 0 or more, got {self.class_index}")


class Confidence(ArrayBackend[ConfidenceConfig]):
    """Equation 4, from logits `[n v]` or, with several segments, `[n b v]`.

    Clips of unequal numbers of segments are given in groups of equal ones.
    """

    reads = ("logits",)
    config_type = ConfidenceConfig
    _ranks = (2, 3)
    _names = ("class_index",)

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        classes = x.shape[-1]
        if classes < 2:
            raise BackendError("confidence needs logits of two classes at least")
        index = self.config.class_index
        if index is None:
            odds = [log_odds(x, c).mean() for c in range(classes)]
            index = int(np.argmin(odds))
        if index >= classes:
            raise BackendError(f"class_index {index}, but logits of {classes} classes")
        return {"class_index": np.asarray(index, np.int64)}

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        odds = log_odds(x, int(state["class_index"]))
        value = _FORMULAS[self.config.formula](odds)
        return value.reshape(len(x), -1).mean(axis=1)


def log_odds(logits: np.ndarray, class_index: int) -> np.ndarray:
    """log((1 - p) / p) of softmax probabilities, without forming p.

    A float32 p of a sure classifier is 1, and its log odds minus infinity; from the
    logits they are the log-sum-exp of the others minus the own.

    Args:
      logits: Float `[... v]`.
      class_index: The own class.

    Returns:
      Float64 `[...]`.
    """
    z = np.asarray(logits, np.float64)
    others = np.delete(z, class_index, axis=-1)
    top = others.max(axis=-1)
    spread = np.exp(others - top[..., None]).sum(axis=-1)
    return top + np.log(spread) - z[..., class_index]


def misplaced_bracket(odds: np.ndarray) -> np.ndarray:
    """log((1 - p) - log p), as the DCASE 2021 baseline's code has it.

    Args:
      odds: log((1 - p) / p), any shape.

    Returns:
      Float64 of that shape; finite for any finite odds.
    """
    s = np.asarray(odds, np.float64)
    log_rest = -np.logaddexp(0, -s)
    # -log p = log(1 + e^s), which underflows where the classifier is sure; its log
    # is then s.
    sure = s < -30
    log_surprise = np.where(sure, s, np.log(np.logaddexp(0, np.where(sure, 0, s))))
    return np.logaddexp(log_rest, log_surprise)


_FORMULAS = {"log_odds": lambda odds: odds, "misplaced_bracket": misplaced_bracket}
