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
from sigjax.nn.deformable.windows import add_windows, take_windows
from sigjax.nn.staging import written_out
from sigjax.typing import Array, Float, Int


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


def plan_windows(
    table: Float[Array, "g h r q"], where: Plan, size: tuple[int, int]
) -> Float[Array, "k h n u w"]:
    """Each key's window of a `padded` table, for every head of its group."""
    taps = (where.y.weight, where.x.weight)
    window = [n + tap.shape[2] - 1 for n, tap in zip(size, taps, strict=True)]
    return take_windows(table, where.which, where.starts, (window[0], window[1]))


def _down(
    windows: Float[Array, "k h n u w"], taps: Float[Array, "k n a y"], rows: int
) -> Float[Array, "k h n i w"]:
    """Weighs rows: all a window's columns, at the queries' rows."""
    parts = (
        windows[:, :, :, i : i + rows] * taps[:, None, :, i, :, None]
        for i in range(taps.shape[2])
    )
    return functools.reduce(jnp.add, parts)


def _across(
    lines: Float[Array, "k h n i w"], taps: Float[Array, "k n c x"], columns: int
) -> Float[Array, "k h n i j"]:
    """Weighs columns: lines at the queries' places."""
    parts = (
        lines[..., j : j + columns] * taps[:, None, :, j, None]
        for j in range(taps.shape[2])
    )
    return functools.reduce(jnp.add, parts)


def _back(
    gradient: Float[Array, "k h n i j"], taps: Float[Array, "k n c x"], axis: int
) -> Float[Array, "k h n u w"]:
    """The transpose of `_down` (`axis=-2`) and of `_across` (`axis=-1`)."""
    more, length = taps.shape[2] - 1, gradient.shape[axis]
    ends, none = (more, more), (0, 0)
    pads = (ends, none) if axis == -2 else (none, ends)
    # Written out before the products: a fused padding would ask at every value.
    wide = written_out(
        lambda x: jnp.pad(x, (none, none, none, *pads)), gradient, unknown=taps
    )
    shared = taps.shape[-1] == 1
    if not shared:
        taps = jnp.pad(taps, (none, none, none, ends))

    def weighed(wide, taps):
        def part(tap):
            first = more - tap
            here = jax.lax.slice_in_dim(wide, first, first + length + more, axis=axis)
            weights = taps[:, :, tap]
            if not shared:
                weights = weights[..., first : first + length + more]
            weights = weights[:, None]
            return here * (weights[..., None] if axis == -2 else weights[..., None, :])

        return functools.reduce(jnp.add, map(part, range(more + 1)))

    return written_out(weighed, wide, taps, unknown=taps)


def plan_bias(
    table: Float[Array, "g h r q"],
    where: Plan,
    size: tuple[int, int],
    logits: Float[Array, "k h n m"] | None = None,
) -> Float[Array, "k h n i j"]:
    """The bias of all queries by key, added to `logits`."""

    def total(table, where, logits):
        down, across = where.y.weight, where.x.weight
        windows = plan_windows(table, where, size)
        # Both axes at once: lines between them would have to be written.
        parts = (
            _across(windows[:, :, :, i : i + size[0]], across, size[1])
            * down[:, None, :, i, :, None]
            for i in range(down.shape[2])
        )
        bias = functools.reduce(jnp.add, parts)
        return bias if logits is None else logits.reshape(bias.shape) + bias

    return written_out(total, table, where, logits, unknown=where.y.weight)


def plan_gradients(
    windows: Float[Array, "k h n u w"],
    where: Plan,
    gradient: Float[Array, "k h n i j"],
) -> tuple[Float[Array, "k h n u w"], Float[Array, "k n 2"]]:
    """Gradients of `plan_bias`: of each key's window, and of its place in the table.

    Axis by axis: a row's slope meets the gradient that columns have handed back, so
    that no blend is of both.
    """
    rows, columns = gradient.shape[-2:]
    back = _back(gradient, where.x.weight, -1)

    def met(windows, y, x, back, gradient):
        by_rows = _down(windows, y.slope, rows) * back
        lines = _down(windows, y.weight, rows)
        return by_rows, _across(lines, x.slope, columns) * gradient

    parts = written_out(
        met, windows, where.y, where.x, back, gradient, unknown=gradient
    )
    places = [part.sum(axis=(1, 3, 4)) for part in parts]
    return _back(back, where.y.weight, -2), jnp.stack(places, axis=-1)


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
    return plan_bias(padded(table, size, convention), where, size), (
        table,
        points,
        which,
    )


def _by_key_backward(size, convention, saved, gradient):
    table, points, which = saved
    wide = padded(table, size, convention)
    where = plan(points, which, size, convention)
    windows = plan_windows(wide, where, size)
    found, places = plan_gradients(windows, where, gradient)
    total = add_windows(found, which, where.starts, jnp.zeros_like(wide))
    return unpadded(total, size, convention), point_gradient(places, size)


def unpadded(
    gradient: Float[Array, "g h u w"], size: tuple[int, int], convention: Convention
) -> Float[Array, "g h r q"]:
    """The part of a `padded` table that is the table."""
    rows, columns = window_size(size, convention)
    return gradient[:, :, rows:-rows, columns:-columns]


def point_gradient(
    places: Float[Array, "*a 2"], size: tuple[int, int]
) -> Float[Array, "*a 2"]:
    """From gradients by places in the table to gradients by points in [-1, 1]."""
    scale = -(np.asarray(size) - 1) / 2
    return places * jnp.asarray(scale, places.dtype)


bias_by_key.defvjp(_by_key_forward, _by_key_backward)
