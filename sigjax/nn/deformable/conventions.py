"""Where keys start, where queries stand, and how far offsets move: three rules.

Points are (y, x) in [-1, 1], and -1 and 1 are the centres of the first and the last
cell of a map (`align_corners`). In cells of a map of `H` rows, from 0:

  convention   key j of Hk stands at          query i at         one offset unit is
  "text"       j (H-1)/(Hk-1)                 i                  1 cell
  "v1"         (j + 1/2)/Hk (H-1)             (i + 1/2)/H (H-1)  (H-1)/(2 Hk) cells
  "pp"         (j + 1/2)/(Hk-1) (H-1)         i                  (H-1)/(2 (Hk-1)) cells

"text" is DATAR's section 3.1, "v1" the code of DAT (Xia et al. 2022), "pp" that of
DAT++ (Xia et al. 2023). Weights trained by one rule mean something else by another. A
map or grid of one row has its only cell at 0, by all of them; the published code
divides by zero there.
"""

from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np

from sigjax.typing import Array, Float

Convention = Literal["text", "v1", "pp"]


def check(convention: str) -> None:
    """Refuses what is no convention.

    Raises:
      ValueError: For any other name.
    """
    if convention not in get_args(Convention):
        known = ", ".join(get_args(Convention))
        raise ValueError(f"no convention {convention!r}; there are {known}")


def key_axis(size: int, convention: Convention) -> np.ndarray:
    """Coordinates of an axis's `size` keys before any offset, float64 `[size]`."""
    if size == 1:
        return np.zeros(1)
    at = np.arange(size, dtype=np.float64)
    if convention == "text":
        return at / (size - 1) * 2 - 1
    return (at + 0.5) / (size if convention == "v1" else size - 1) * 2 - 1


def query_axis(size: int, convention: Convention) -> np.ndarray:
    """Coordinates of the `size` queries of one axis, float64 `[size]`."""
    return key_axis(size, "v1" if convention == "v1" else "text")


def query_steps(size: int, convention: Convention) -> tuple[float, float]:
    """First query and distance between queries of one axis, in cells of its map.

    The middle of the map is 0. The distance is 1 cell, or `(size - 1) / size` in "v1":
    over the whole axis, queries fall back by less than a cell.
    """
    half = (size - 1) / 2
    if convention == "v1":
        return (1 / size - 1) * half, (size - 1) / size
    return -half, 1.0


def key_points(rows: int, columns: int, convention: Convention) -> np.ndarray:
    """The keys' reference points, float64 `[rows, columns, 2]` of (y, x)."""
    return _points(rows, columns, convention, key_axis)


def query_points(rows: int, columns: int, convention: Convention) -> np.ndarray:
    """The queries' points, float64 `[rows, columns, 2]` of (y, x)."""
    return _points(rows, columns, convention, query_axis)


def _points(rows, columns, convention, axis):
    y, x = axis(rows, convention), axis(columns, convention)
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)


def move(
    raw: Float[Array, "*a r q 2"],
    factor: float,
    convention: Convention,
    map_size: tuple[int, int],
) -> Float[Array, "*a r q 2"]:
    """The deformed points.

    Args:
      raw: What the offset network gives for a grid of `r x q` keys, (y, x).
      factor: Above 0: offsets are `tanh(raw) * factor` units (see the module
        docstring; DATAR's `s`, which its text leaves open, is `factor` cells of the
        map). Below 0: offsets have no limit, but points do: `tanh` of a point in "v1",
        a clip to [-1, 1] else. 0 is refused: leave out the offset network instead.
      convention: Which rule.
      map_size: Rows and columns of the map that is sampled.

    Returns:
      Points (y, x), in the dtype of `raw`.

    Raises:
      ValueError: The factor is 0.
    """
    if factor == 0:
        raise ValueError("an offset factor of 0 leaves nothing to learn")
    rows, columns = raw.shape[-3:-1]
    reference = jnp.asarray(key_points(rows, columns, convention), raw.dtype)
    if factor < 0:
        points = reference + raw
        return jnp.tanh(points) if convention == "v1" else jnp.clip(points, -1, 1)
    if convention == "text":
        units = [2 / max(size - 1, 1) for size in map_size]
    else:
        less = 0 if convention == "v1" else 1
        units = [1 / max(size - less, 1) for size in (rows, columns)]
    limit = np.asarray(units) * factor
    return reference + jnp.tanh(raw) * jnp.asarray(limit, raw.dtype)
