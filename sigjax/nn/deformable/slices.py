"""The position bias by slices: one window of the table per key, and a small blend.

Queries of one axis stand one cell apart (or `(H-1)/H` cells: `conventions.query_steps`)
and a key stands anywhere. So what a key meets in the table is a contiguous window, and
all its queries interpolate there with the same fraction: `H + 1` rows and two taps. In
"v1" queries fall back by less than a cell over the whole axis: `H + 2` rows and three
taps, of which two count. Where others gather four values for each query and key, this
copies rows.

The gradient is written out: windows of the table's gradient are added block by block,
and a point's gradient is the same blend with slopes instead of weights.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.deformable.conventions import Convention, query_steps
from sigjax.nn.deformable.staging import written_out
from sigjax.nn.deformable.windows import add_windows, take_windows
from sigjax.typing import Array, Float, Int

_barrier = jax.lax.optimization_barrier


class Taps(NamedTuple):
    """How the keys of one axis meet the table.

    Attributes:
      start: Int32 `[..., n]`, the first cell of each key's window; outside the table
        where the key is.
      weight: `[..., n, k, q]`: query `i` takes cell `start + i + k` with it. `q` is 1
        where all queries share their weights.
      slope: The weights' derivative by the position in the table.
    """

    start: Array
    weight: Array
    slope: Array


def axis_taps(points: Float[Array, "*a n"], size: int, convention: Convention) -> Taps:
    """Taps of keys at `points` in [-1, 1] for the `size` queries of this axis.

    Where a query and a key are a whole number of cells apart, the derivative is that
    to the right, as `grid_sample` of PyTorch has it.
    """
    first, step = query_steps(size, convention)
    place = first + (size - 1) - points * ((size - 1) / 2)
    base = jnp.floor(place)
    part = (place - base)[..., None]
    start = base.astype(jnp.int32)
    if step == 1:
        weight = jnp.stack([1 - part, part], axis=-2)
        ends = jnp.asarray([[-1], [1]], weight.dtype)
        return Taps(start, weight, jnp.broadcast_to(ends, weight.shape))
    # How far each query has fallen back from whole steps: below 1 over the axis.
    part = part - np.arange(size) * (1 - step)
    behind = part < 0
    part = jnp.where(behind, part + 1, part)
    zero, one = jnp.zeros_like(part), jnp.ones_like(part)
    weights = (
        jnp.where(behind, 1 - part, zero),
        jnp.where(behind, part, 1 - part),
        jnp.where(behind, zero, part),
    )
    slopes = (
        jnp.where(behind, -one, zero),
        jnp.where(behind, one, -one),
        jnp.where(behind, zero, one),
    )
    return Taps(start - 1, jnp.stack(weights, -2), jnp.stack(slopes, -2))


class Plan(NamedTuple):
    """Where the windows of `[k, n]` keys lie in the padded table, and their taps."""

    which: Int[Array, "k"]
    starts: Int[Array, "k n 2"]
    y: Taps
    x: Taps


def window_size(size: tuple[int, int], convention: Convention) -> tuple[int, int]:
    """Rows and columns of a key's window for a map of `size`."""
    more = 2 if convention == "v1" else 1
    return size[0] + more, size[1] + more


def padded(
    table: Float[Array, "g h r q"], size: tuple[int, int], convention: Convention
) -> Float[Array, "g h u w"]:
    """The table with zeros around it, so that every window lies inside."""
    rows, columns = window_size(size, convention)
    return jnp.pad(table, ((0, 0), (0, 0), (rows, rows), (columns, columns)))


def plan(
    points: Float[Array, "k n 2"],
    which: Int[Array, "k"],
    size: tuple[int, int],
    convention: Convention,
) -> Plan:
    """Windows and taps of keys at `points`; `which` is the group of each row."""
    taps = [axis_taps(points[..., i], size[i], convention) for i in (0, 1)]
    window = window_size(size, convention)
    starts = [
        jnp.clip(taps[i].start + window[i], 0, 2 * size[i] - 1 + window[i])
        for i in (0, 1)
    ]
    return Plan(which, jnp.stack(starts, axis=-1), *taps)


def blend(
    windows: Float[Array, "k h n u w"],
    down: Float[Array, "k n a y"],
    across: Float[Array, "k n c x"],
    size: tuple[int, int],
) -> Float[Array, "k h n i j"]:
    """Weighs the taps of all queries, rows by `down` and columns by `across`."""
    rows, columns = size
    total = jnp.zeros((), windows.dtype)
    for i in range(down.shape[2]):
        line = jnp.zeros((), windows.dtype)
        for j in range(across.shape[2]):
            part = windows[:, :, :, i : i + rows, j : j + columns]
            line = line + part * across[:, None, :, j, None]
        total = total + line * down[:, None, :, i, :, None]
    return total


def _unblend(gradient, down, across):
    """The transpose of `blend`: gradients of the windows."""
    rows, columns = gradient.shape[-2:]
    (a, c) = down.shape[2] - 1, across.shape[2] - 1
    none = ((0, 0),) * 3
    # Written out before the products: a fused padding would ask at every value.
    wide = _barrier(jnp.pad(gradient, (*none, (a, a), (c, c))))
    if down.shape[-1] > 1:
        down = jnp.pad(down, (*none, (a, a)))
    if across.shape[-1] > 1:
        across = jnp.pad(across, (*none, (c, c)))
    down, across = _barrier((down, across))
    height, width = rows + a, columns + c

    def shifted(weights, tap, most, length):
        here = weights[:, :, tap]
        if here.shape[-1] == 1:
            return here
        return here[..., most - tap : most - tap + length]

    total = jnp.zeros((), gradient.dtype)
    for i in range(a + 1):
        line = jnp.zeros((), gradient.dtype)
        for j in range(c + 1):
            part = wide[:, :, :, a - i : a - i + height, c - j : c - j + width]
            line = line + part * shifted(across, j, c, width)[:, None, :, None]
        total = total + line * shifted(down, i, a, height)[:, None, ..., None]
    return total


def plan_bias(
    table: Float[Array, "g h u w"], where: Plan, size: tuple[int, int]
) -> Float[Array, "k h n i j"]:
    """The bias of all queries by key, from a `padded` table."""
    down, across = where.y.weight, where.x.weight
    window = (size[0] + down.shape[2] - 1, size[1] + across.shape[2] - 1)
    return blend(
        take_windows(table, where.which, where.starts, window), down, across, size
    )


def plan_gradients(
    table: Float[Array, "g h u w"],
    where: Plan,
    gradient: Float[Array, "k h n i j"],
) -> tuple[Float[Array, "k h n y x"], Float[Array, "k n 2"]]:
    """Gradients of `plan_bias`: of each key's window, and of its place in the table."""
    size = (gradient.shape[-2], gradient.shape[-1])
    down, across = where.y.weight, where.x.weight
    window = (size[0] + down.shape[2] - 1, size[1] + across.shape[2] - 1)
    windows = take_windows(table, where.which, where.starts, window)

    def along(windows, where, gradient):
        slopes = (where.y.slope, where.x.slope)
        return (
            blend(windows, slopes[0], where.x.weight, size) * gradient,
            blend(windows, where.y.weight, slopes[1], size) * gradient,
        )

    always = where.starts[0, 0, 0] >= 0
    met = written_out(always, along, windows, where, gradient)
    places = [each.sum(axis=(1, 3, 4)) for each in met]
    return _unblend(gradient, down, across), jnp.stack(places, axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def bias_by_key(
    table: Float[Array, "g h r q"],
    points: Float[Array, "k n 2"],
    size: tuple[int, int],
    convention: Convention,
) -> Float[Array, "k h n i j"]:
    """The bias between keys at `points` and all queries of a map.

    Args:
      table: `[g, h, 2 rows - 1, 2 columns - 1]`, the heads of each group.
      points: Row `k` belongs to group `k % g`.
      size: Rows and columns of the map.
      convention: Where queries stand.

    Returns:
      `[k, h, n, rows, columns]`.
    """
    return _by_key_forward(table, points, size, convention)[0]


def _by_key_forward(table, points, size, convention):
    which = jnp.arange(points.shape[0], dtype=jnp.int32) % table.shape[0]
    where = plan(points, which, size, convention)
    bias = plan_bias(padded(table, size, convention), where, size)
    return bias, (table, points, which)


def _by_key_backward(size, convention, saved, gradient):
    table, points, which = saved
    wide = padded(table, size, convention)
    where = plan(points, which, size, convention)
    windows, places = plan_gradients(wide, where, gradient)
    total = add_windows(windows, which, where.starts, jnp.zeros_like(wide))
    return unpadded(total, size, convention), point_gradient(places, size)


def unpadded(
    gradient: Float[Array, "g h u w"], size: tuple[int, int], convention: Convention
) -> Float[Array, "g h r q"]:
    """The part of a `padded` table that is the table."""
    rows, columns = window_size(size, convention)
    return gradient[:, :, rows:-rows, columns:-columns]


def point_gradient(
    places: Float[Array, "k n 2"], size: tuple[int, int]
) -> Float[Array, "k n 2"]:
    """From gradients by places in the table to gradients by points in [-1, 1]."""
    scale = -(np.asarray(size) - 1) / 2
    return places * jnp.asarray(scale, places.dtype)


bias_by_key.defvjp(_by_key_forward, _by_key_backward)
