"""Features made comparable: each fold's training rows have mean 0 and deviation 1."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sigjax.evals.layer_probes.folds import SPLITS, Fold

# Rows at once: a data set's features in float64 may not fit.
_ROWS = 4096
# A deviation that is so much smaller than the mean is float32's rounding.
_ROUNDING = 1e-6


class Standard(NamedTuple):
    """What a layer's features are standardised by.

    Attributes:
      mean: Float32 `[f, w]`.
      scale: Float32 `[f, w]`: standard deviations (of a sample, `n - 1`); 1 where a
        feature is the same in all training rows and tells nothing.
      constant: How many such features the fold with the most of them has.
    """

    mean: np.ndarray
    scale: np.ndarray
    constant: int


def standard(values: np.ndarray, folds: Sequence[Fold]) -> Standard:
    """Mean and scale of each fold's training rows, float32 `[n, w]` to `[f, w]`."""
    found = [_of_rows(values, fold.train) for fold in folds]
    mean, scale = (np.stack(x).astype(np.float32) for x in zip(*found, strict=True))
    constant = scale <= _ROUNDING * np.abs(mean)
    scale = np.where(constant, np.float32(1), scale)
    return Standard(mean, scale, int(constant.sum(axis=1).max()))


def check_finite(values: np.ndarray, folds: Sequence[Fold], name: str) -> None:
    """Refuses features that are no numbers in rows that a fold uses.

    Raises:
      ValueError: Names the first such row and how many there are.
    """
    rows = [getattr(fold, split) for fold in folds for split in SPLITS]
    rows = np.unique(np.concatenate(rows))
    wrong = [part[~np.isfinite(values[part]).all(axis=1)] for part in _parts(rows)]
    wrong = np.concatenate(wrong)
    if len(wrong):
        raise ValueError(
            f"{name}: features of row {wrong[0]} are not finite; {len(wrong)} of"
            f" {len(rows)} such rows: leave them out"
        )


def _of_rows(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width = values.shape[1]
    total, squares = np.zeros(width), np.zeros(width)
    for part in _parts(rows):
        total += values[part].sum(axis=0, dtype=np.float64)
    mean = total / len(rows)
    for part in _parts(rows):
        squares += np.square(values[part] - mean).sum(axis=0)
    return mean, np.sqrt(squares / (len(rows) - 1))


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS)]
