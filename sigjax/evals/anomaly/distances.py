"""Nearest rows of a bank, without the cube of all differences."""

import numpy as np

# Of the matrix of distances that exists at one time: 32 MB of float64.
_CELLS = 2**22


def directions(x: np.ndarray) -> np.ndarray:
    """Rows of length one, for cosine distances.

    A zero row (silence through a ReLU) has no direction. A last column gives all of
    them one of their own: at distance 0 from each other, 1 from all the rest.

    Args:
      x: Float64 `[n d]`.

    Returns:
      Float64 `[n d+1]`.
    """
    length = np.linalg.norm(x, axis=1, keepdims=True)
    zero = length == 0
    return np.concatenate([x / np.where(zero, 1, length), zero], axis=1)


def nearest(
    x: np.ndarray, bank: np.ndarray, k: int, *, leave_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances to the nearest rows of a bank.

    Candidates come from one matrix product per chunk of rows. Their distances are then
    taken from the differences: near a duplicate, |x|^2 - 2xy + |y|^2 has no digits
    left.

    Args:
      x: Float64 `[m d]`.
      bank: Float64 `[n d]`.
      k: Neighbours; fewer where the bank has fewer.
      leave_self: `x` is the bank, and a row is not its own neighbour (its duplicates
        are).

    Returns:
      Distances `[m k]`, ascending, and rows of the bank, int `[m k]`.
    """
    k = min(k, len(bank) - leave_self)
    distance, index = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
    if k == 0:
        return distance, index
    square = np.einsum("nd,nd->n", bank, bank)
    rows = max(1, _CELLS // len(bank))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        # |x|^2 is the same for all of a row.
        cell = square - 2 * (part @ bank.T)
        if leave_self:
            cell[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        if k == 1:
            found = cell.argmin(axis=1)[:, None]
        else:
            found = np.argpartition(cell, k - 1, axis=1)[:, :k]
        exact = differences(part, bank, found)
        order = np.argsort(exact, axis=1, kind="stable")
        distance[start : start + rows] = np.take_along_axis(exact, order, axis=1)
        index[start : start + rows] = np.take_along_axis(found, order, axis=1)
    return distance, index


def differences(x: np.ndarray, bank: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Euclidean distances of each row of `x` to chosen rows of a bank.

    Args:
      x: Float64 `[m d]`.
      bank: Float64 `[n d]`.
      index: Int `[m k]`.

    Returns:
      Float64 `[m k]`.
    """
    columns = [np.linalg.norm(x - bank[rows], axis=1) for rows in index.T]
    return np.stack(columns, axis=1)


def cosine(euclidean: np.ndarray) -> np.ndarray:
    """1 - cos of the angle between rows of length one, from their distance."""
    return euclidean**2 / 2


def nearest_scaled(x: np.ndarray, bank: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The least distance to a row of a bank in units of that row's radius.

    Args:
      x: Float64 `[m d]`.
      bank: Float64 `[n d]`.
      radius: Float64 `[n]`, above 0.

    Returns:
      Float64 `[m]`.
    """
    least = np.empty(len(x))
    square = np.einsum("nd,nd->n", bank, bank)
    rows = max(1, _CELLS // len(bank))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        own = np.einsum("md,md->m", part, part)[:, None]
        cell = np.maximum(own + square - 2 * (part @ bank.T), 0) / radius**2
        found = cell.argmin(axis=1)[:, None]
        exact = differences(part, bank, found) / radius[found]
        least[start : start + rows] = exact[:, 0]
    return least
