"""Principal components: what a linear autoencoder finds, without training one.

A linear autoencoder of `size` numbers with squared error spans the subspace of the
first `size` principal components (Baldi and Hornik 1989), so PCA of the same code size
is the bar that any autoencoder has to pass.
"""

from typing import NamedTuple

import numpy as np


class Pca(NamedTuple):
    """Principal components of rows.

    Attributes:
      mean: Float64 `[p]`.
      components: Float64 `[k, p]`, orthonormal rows, largest variance first.
      share: Float64 `[k]`: of the variance of the rows it was fitted to.
    """

    mean: np.ndarray
    components: np.ndarray
    share: np.ndarray

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Float64 `[n, k]` of rows `[n, ...]`."""
        return (flat(x) - self.mean) @ self.components.T

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Float64 `[n, ...]`: rows projected onto the components."""
        rows = self.codes(x) @ self.components + self.mean
        return rows.reshape(np.shape(x))


def flat(x: np.ndarray) -> np.ndarray:
    """Float64 `[n, p]` of `[n, ...]`."""
    x = np.asarray(x, np.float64)
    return x.reshape(len(x), -1)


def fit_pca(x: np.ndarray, size: int) -> Pca:
    """Principal components by singular values.

    Each component's largest coefficient is positive, so that the same rows have the
    same components on every machine.

    Args:
      x: `[n, ...]`, training rows.
      size: Numbers in a code.

    Raises:
      ValueError: There are not as many components.
    """
    rows = flat(x)
    most = min(len(rows) - 1, rows.shape[1])
    if not 0 < size <= most:
        raise ValueError(
            f"{len(rows)} rows of {rows.shape[1]} values have {most} components, not"
            f" {size}"
        )
    mean = rows.mean(axis=0)
    _, values, directions = np.linalg.svd(rows - mean, full_matrices=False)
    chosen = directions[:size]
    sign = np.sign(chosen[np.arange(size), np.abs(chosen).argmax(axis=1)])
    variance = values**2
    return Pca(mean, chosen * sign[:, None], (variance / variance.sum())[:size])


def squared_error(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Float64 `[n]`: mean over the values of each row of the squared difference.

    Raises:
      ValueError: Shapes differ.
    """
    if np.shape(x) != np.shape(reconstruction):
        raise ValueError(
            f"rows {np.shape(x)} and reconstructions {np.shape(reconstruction)} differ"
        )
    return ((flat(x) - flat(reconstruction)) ** 2).mean(axis=1)


def unexplained(x: np.ndarray, reconstruction: np.ndarray, mean: np.ndarray) -> float:
    """Share of the variance about the training mean that a reconstruction misses.

    0 is a perfect copy; 1 is what the mean alone gives.

    Args:
      x: `[n, ...]`.
      reconstruction: Likewise.
      mean: `[p]`, of the training rows.

    Raises:
      ValueError: Shapes differ, or no row differs from the mean.
    """
    whole = float(((flat(x) - mean) ** 2).mean())
    if whole == 0:
        raise ValueError("no row differs from the mean: there is nothing to explain")
    return float(squared_error(x, reconstruction).mean()) / whole
