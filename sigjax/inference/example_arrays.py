"""Rows and windows as users give them, checked."""

from typing import Any

import numpy as np


def checked_examples(
    X: Any, shape: tuple[int, ...] | None = None, *, finite: bool = True
) -> np.ndarray:
    """Examples as an array, checked.

    Args:
      X: What a user gave.
      shape: Of an example; any of one to three axes if None.
      finite: Refuse values that are not.

    Raises:
      ValueError: They are no numbers, of another shape, or not finite; says which.
    """
    x = np.asarray(X)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"examples must be numbers, got an array of {x.dtype}")
    if shape is None and (x.ndim not in (2, 3, 4) or not x.size):
        raise ValueError(
            "expected rows [n, d] or windows [n, s, c] with some in them, got shape"
            f" {x.shape}: one example is X[None], one feature X[:, None]"
        )
    if shape is not None and (x.shape[1:] != shape or not len(x)):
        raise ValueError(f"the detector takes [n, {str(shape)[1:]}, got {x.shape}")
    if finite:
        check_finite(x)
    return x


def check_finite(x: np.ndarray) -> None:
    """Refuses NaN and infinite values.

    Raises:
      ValueError: Saying how many examples `[n, ...]` have some, and the first of them.
    """
    wrong = ~np.isfinite(x)
    if wrong.any():
        rows = np.flatnonzero(wrong.reshape(len(x), -1).any(axis=1))
        raise ValueError(
            f"{len(rows):,} of {len(x):,} examples have NaN or infinite values, the"
            f" first is number {rows[0]}: leave them out, or fill the gaps"
        )
