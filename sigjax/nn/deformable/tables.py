"""Bias tables for maps of other sizes."""

import jax.numpy as jnp
import numpy as np

from sigjax.nn.conv import precision
from sigjax.typing import Array, Float

_SHARPNESS = -0.75  # of PyTorch's bicubic kernel


def cubic_matrix(before: int, after: int) -> np.ndarray:
    """Bicubic interpolation of one axis as a matrix, float64 `[after, before]`.

    Keys 1981 with a = -3/4 on cells whose outer edges stay in place, the last value
    repeated beyond: PyTorch's `interpolate(mode="bicubic", align_corners=False)`.
    """
    place = (np.arange(after) + 0.5) * before / after - 0.5
    base = np.floor(place)
    matrix = np.zeros((after, before))
    for tap in (-1, 0, 1, 2):
        cell = np.clip(base + tap, 0, before - 1).astype(int)
        np.add.at(matrix, (np.arange(after), cell), _cubic(place - base - tap))
    return matrix


def _cubic(distance: np.ndarray) -> np.ndarray:
    a, x = _SHARPNESS, np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def resize_table(
    table: Float[Array, "h r q"], size: tuple[int, int]
) -> Float[Array, "h u w"]:
    """The table of a position bias for a map of `size` (rows, columns).

    Both axes by themselves (`cubic_matrix`), from what they are to `2 rows - 1` and
    `2 columns - 1`. A table spans its map whatever the size: the bias between two edges
    of the map stays what it was. For square tables this is what DAT does with its
    weights.

    Args:
      table: `[heads, r, q]`.
      size: Rows and columns of the map.

    Returns:
      `[heads, 2 rows - 1, 2 columns - 1]`; the table itself where it fits.
    """
    shape = tuple(2 * n - 1 for n in size)
    for axis, after in enumerate(shape, 1):
        before = table.shape[axis]
        if before == after:
            continue
        matrix = jnp.asarray(cubic_matrix(before, after), table.dtype)
        product = jnp.tensordot(
            table, matrix, axes=((axis,), (1,)), precision=precision(table.dtype)
        )
        table = jnp.moveaxis(product, -1, axis)
    return table
