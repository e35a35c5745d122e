"""Bilinear samples of a map at points in [-1, 1], zeros outside.

As PyTorch's `grid_sample(align_corners=True, padding_mode="zeros")`, with points as
(y, x) and channels last.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.deformable.windows import add_windows, take_windows
from sigjax.typing import Array, Float


def sample(
    x: Float[Array, "b h w c"], points: Float[Array, "b n 2"]
) -> Float[Array, "b n c"]:
    """Reads a map between its cells.

    Args:
      x: `[b, h, w, c]`.
      points: (y, x); -1 and 1 are the centres of the first and the last cell. Within a
        cell of the edge values fade to 0, beyond it they are 0.

    Returns:
      `[b, n, c]` in the dtype of `x`. Gradients reach `x` and `points`; where a point
      lies on a cell, they are those to the right and below.
    """
    return sample_groups(x, points[:, None])


def sample_groups(
    x: Float[Array, "b h w c"], points: Float[Array, "b g n 2"]
) -> Float[Array, "b n c"]:
    """`sample`, where each of `g` equal groups of channels has its own points.

    Raises:
      ValueError: Groups do not divide channels.
    """
    batch, rows, columns, width = x.shape
    groups, keys = points.shape[1:3]
    if width % groups:
        raise ValueError(f"{groups} groups do not divide {width} channels")
    x = x.reshape(batch, rows, columns, groups, -1)
    x = x.transpose(0, 3, 1, 2, 4).reshape(-1, rows, columns, width // groups)
    points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
    found = _sample(x, points.reshape(-1, keys, 2))
    found = found.reshape(batch, groups, keys, -1).transpose(0, 2, 1, 3)
    return found.reshape(batch, keys, width)


@jax.custom_vjp
def _sample(x: Array, points: Array) -> Array:
    return _forward(x, points)[0]


def _forward(x, points):
    corners, part, _ = _corners(_wide(x), points, x.shape)
    dy, dx = part
    return _mix(corners, (1 - dy, dy), (1 - dx, dx)).astype(x.dtype), (x, points)


def _wide(x):
    """The map as `[m, h, w * c]` with two cells of zeros around: any point has four."""
    wide = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return wide.reshape(*wide.shape[:2], -1)


def _corners(wide, points, shape):
    """The cells `[m, n, 2, 2, c]` around points, fractions, and the cells' starts."""
    size = np.asarray(shape[1:3])
    place = (points + 1) * jnp.asarray((size - 1) / 2, points.dtype)
    base = jnp.floor(place)
    starts = jnp.clip(base, -2, jnp.asarray(size, base.dtype)).astype(jnp.int32) + 2
    starts = starts * jnp.asarray((1, shape[3]), jnp.int32)
    which = jnp.arange(shape[0], dtype=jnp.int32)
    corners = take_windows(wide, which, starts, (2, 2 * shape[3]))
    part = jnp.moveaxis(place - base, -1, 0)[..., None]
    return corners.reshape(*points.shape[:2], 2, 2, shape[3]), part, starts


def _mix(corners, down, across):
    """The four corners, rows weighed by `down` and columns by `across`."""
    lines = (
        corners[:, :, i, 0] * across[0] + corners[:, :, i, 1] * across[1]
        for i in (0, 1)
    )
    top, bottom = lines
    return top * down[0] + bottom * down[1]


def _backward(saved, gradient):
    x, points = saved
    wide = _wide(x)
    corners, part, starts = _corners(wide, points, x.shape)
    (dy, dx), one = part, jnp.ones_like(part[0])
    gradient = gradient.astype(part.dtype)
    slopes = (
        _mix(corners, (-one, one), (1 - dx, dx)),
        _mix(corners, (1 - dy, dy), (-one, one)),
    )
    places = [(slope * gradient).sum(axis=-1) for slope in slopes]
    scale = (np.asarray(x.shape[1:3]) - 1) / 2
    found = jnp.stack(places, axis=-1) * jnp.asarray(scale, points.dtype)
    lines = [
        jnp.concatenate([gradient * down * across for across in (1 - dx, dx)], axis=-1)
        for down in (1 - dy, dy)
    ]
    blocks = jnp.stack(lines, axis=2).astype(x.dtype)
    which = jnp.arange(len(x), dtype=jnp.int32)
    total = add_windows(blocks, which, starts, jnp.zeros_like(wide))
    total = total.reshape(len(x), x.shape[1] + 4, x.shape[2] + 4, x.shape[3])
    return total[:, 2:-2, 2:-2], found.astype(points.dtype)


_sample.defvjp(_forward, _backward)
