"""Neighbourhood attention: each cell attends to the `taps x taps` cells around it.

Hassani et al. 2023 (arXiv 2204.07143), with NATTEN's rule at borders: the neighbourhood
of a cell near an edge is moved inside, so that it always has `taps**2` cells. The
position bias goes by how far a key is from its query.

Cells go in square tiles: a tile's queries meet the block of keys that holds all their
neighbourhoods, and what is none of a query's is masked. So the work is matrix products,
a few times more than the neighbourhoods need, and nothing is gathered cell by cell.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.conv import precision
from sigjax.nn.products import wide_product
from sigjax.nn.torch_init import dense
from sigjax.typing import Array, Float

_TILE = 8  # cells of one axis of a tile


def neighbours(size: int, taps: int) -> np.ndarray:
    """The neighbourhood of each cell of one axis, int `[size, taps]`.

    Raises:
      ValueError: The axis is shorter than the neighbourhood.
    """
    if size < taps:
        raise ValueError(f"{size} cells have no neighbourhoods of {taps}")
    start = np.clip(np.arange(size) - taps // 2, 0, size - taps)
    return start[:, None] + np.arange(taps)


def _tiles(size: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one axis: each tile's cells, its block of keys, and what they are to another.

    Returns:
      Int `[tiles, cells]` and `[tiles, keys]` of cells of the axis (the last tile
      repeats the last cell), and bool `[tiles, cells, keys, 2 taps - 1]`: true at
      `key - query + taps - 1` for a key in the query's neighbourhood.
    """
    around = neighbours(size, taps)
    count = -(-size // _TILE)
    cells = np.minimum(np.arange(count * _TILE), size - 1).reshape(count, _TILE)
    length = min(_TILE + taps - 1, size)
    first = np.minimum(around[cells[:, 0], 0], size - length)
    keys = first[:, None] + np.arange(length)
    inside = (keys[:, None, :, None] == around[cells][:, :, None]).any(axis=-1)
    between = keys[:, None] - cells[:, :, None] + taps - 1
    each = between[..., None] == np.arange(2 * taps - 1)
    return cells, keys, each & inside[..., None]


class NeighbourhoodAttention(nn.Module):
    """Multi-head neighbourhood attention with a relative position bias.

    A map that is smaller than a neighbourhood is padded with zeros at its end, and the
    padding takes part (as published code has it).

    Attributes:
      heads: Must divide the channels.
      taps: Rows and columns of a neighbourhood; odd.
      dtype: What it computes in; logits are at least float32.
    """

    heads: int
    taps: int = 7
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`, for any map.

        Raises:
          ValueError: Heads do not divide the channels, or `taps` is even.
        """
        rows, columns, width = x.shape[1:]
        if width % self.heads or self.taps % 2 == 0:
            raise ValueError(
                f"{self.heads} heads must divide {width} channels, and taps be odd,"
                f" got {self.taps}"
            )
        short = [max(self.taps - n, 0) for n in (rows, columns)]
        x = x.astype(self.dtype)
        x = jnp.pad(x, ((0, 0), (0, short[0]), (0, short[1]), (0, 0)))
        qkv = self._linear("qkv", 3 * width, x)
        mixed = self._attend(qkv)[:, :rows, :columns]
        return self._linear("out", width, mixed)

    def _linear(self, name: str, features: int, x: Array) -> Array:
        return dense(features, x.shape[-1], self.dtype, name)(x)

    def _attend(self, qkv: Array) -> Array:
        batch, rows, columns, width = qkv.shape
        cells_y, keys_y, near_y = _tiles(rows, self.taps)
        cells_x, keys_x, near_x = _tiles(columns, self.taps)
        q, k, v = jnp.split(qkv, 3, axis=-1)

        def cut(x, down, across):
            x = x[:, down][:, :, :, across]  # [b, tiles, cells, tiles, cells, c]
            x = x.swapaxes(2, 3).reshape(
                batch, len(down), len(across), -1, self.heads, width // 3 // self.heads
            )
            return x.transpose(0, 4, 1, 2, 3, 5)

        q = cut(q * (width // 3 // self.heads) ** -0.5, cells_y, cells_x)
        k, v = cut(k, keys_y, keys_x), cut(v, keys_y, keys_x)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        logits = wide_product("bhtuqk,bhtunk->bhtuqn", q, k)
        logits = logits + self._bias(near_y, near_x, wide).reshape(logits.shape[1:])
        inside = np.einsum("tij,uab->tuiajb", near_y.any(-1), near_x.any(-1))
        hide = np.where(inside.reshape(logits.shape[2:]), 0, -np.inf)
        weights = jax.nn.softmax(logits + jnp.asarray(hide, wide), axis=-1)
        weights = weights.astype(self.dtype)
        mixed = wide_product("bhtuqn,bhtunk->bhtuqk", weights, v).astype(self.dtype)
        mixed = mixed.transpose(0, 2, 3, 4, 1, 5)
        mixed = mixed.reshape(batch, *q.shape[2:4], _TILE, _TILE, -1).swapaxes(2, 3)
        mixed = mixed.reshape(batch, len(cells_y) * _TILE, len(cells_x) * _TILE, -1)
        return mixed[:, :rows, :columns]

    def _bias(self, near_y, near_x, wide: jnp.dtype) -> Array:
        """The table spread over tiles, by products: their gradient needs no scatter."""
        shape = (self.heads, 2 * self.taps - 1, 2 * self.taps - 1)
        table = self.param("table", nn.initializers.normal(0.02), shape)
        lines = jnp.einsum(
            "hab,tija->htijb",
            jnp.asarray(table, wide),
            jnp.asarray(near_y, wide),
            precision=precision(wide),
        )
        return jnp.einsum(
            "htijb,ucdb->htuicjd",
            lines,
            jnp.asarray(near_x, wide),
            precision=precision(wide),
        )
