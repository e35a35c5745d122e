"""Linear probe: what a linear classifier finds in features.

A logistic regression is convex: it has no learning rate, no number of steps and no
seed, so that a difference between two encoders is one of encoders. scikit-learn's is
the one everybody compares with.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.wrist_features import Feature

_MOST_ITERATIONS = 5000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """What is probed, and how.

    Attributes:
      features: `"tokens"` of the encoder; or features without one, of
        `sigjax.evals.wrist_features`.
      penalty: Weight of the squared coefficients beside the summed cross-entropy (1 /
        scikit-learn's C), of standardised features.
      n_fft: Of `"log_spectrum"`, in samples.
    """

    features: Literal["tokens"] | Feature = "tokens"
    penalty: float = 10.0
    n_fft: int = 30

    def __post_init__(self):
        """Refuses a penalty that is none."""
        if self.penalty <= 0:
            raise ValueError(f"penalty must be above 0, got {self.penalty}")


def probe(
    train: np.ndarray,
    label: np.ndarray,
    test: np.ndarray,
    classes: int,
    *,
    penalty: float,
) -> np.ndarray:
    """Fits on `train` and tells the classes of `test`.

    Features are standardised by the training rows; classes weigh the same, however
    many rows they have.

    Args:
      train: Float `[r, d]`.
      label: Int `[r]` in `[0, classes)`; rows with -1 are left out.
      test: Float `[q, d]`.
      classes: `v`. One that no training row has gets probability 0.
      penalty: See `ProbeConfig`.

    Returns:
      Float32 probabilities `[q, v]`.

    Raises:
      ValueError: Fewer than two classes to learn.
    """
    # A second to import: only a probe pays.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = label >= 0
    if len(np.unique(label[known])) < 2:
        raise ValueError("a probe needs training rows of two classes at least")
    regression = LogisticRegression(
        C=1 / penalty, class_weight="balanced", max_iter=_MOST_ITERATIONS
    )
    model = make_pipeline(StandardScaler(), regression)
    model.fit(train[known].astype(np.float64), label[known])
    probability = np.zeros((len(test), classes), np.float32)
    found = model.predict_proba(test.astype(np.float64))
    probability[:, regression.classes_] = found
    return probability
