"""Max pooling that remembers where each maximum stood, and its way back.

Unpooling puts each value where its window's maximum stood and zeros elsewhere: the
decoder of SegNet (Badrinarayanan et al. 2017, arXiv 1511.00561, Sect. 3).

Both are written as choices between shifted maps, one for each place in a window: no
scatter, which is a loop over single values on CPU.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.transposed_conv import (
    Size,
    check_pool_padding,
    convolved_size,
    per_axis,
)
from sigjax.typing import Array, Float


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("values", "indices"),
    meta_fields=("shape", "window", "stride", "padding"),
)
@dataclasses.dataclass(frozen=True)
class Pooled:
    """Maxima and where they stood; passes through jit with its sizes.

    Attributes:
      values: `[b, *o, c]`, the maxima.
      indices: int32 `[b, *o, c]`: each maximum's place in its map, axes flattened row
        by row, as PyTorch's `return_indices` counts.
      shape: `(h, w)` or `(s,)` of the map before.
      window: Of every axis.
      stride: Of every axis.
      padding: Of every axis.
    """

    values: Any
    indices: Any
    shape: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


def max_pool(
    x: Float[Array, "b *a c"], window: Size, stride: Size, padding: Size = 0
) -> Pooled:
    """The maximum of each window, and the first place where it stands.

    The gradient goes to that place alone.

    Args:
      x: `[b, s, c]` or `[b, h, w, c]`.
      window: Its size, for all axes or one each.
      stride: Distance of neighbouring windows.
      padding: Places at both ends of every axis that no maximum is taken from; at most
        half a window.

    Raises:
      ValueError: Another rank, a window that does not fit, or too much padding.
    """
    if x.ndim not in (3, 4):
        raise ValueError(
            f"max pooling takes [b, s, c] or [b, h, w, c], got shape {x.shape}"
        )
    axes = x.ndim - 2
    window = per_axis(window, axes, "window")
    stride = per_axis(stride, axes, "stride")
    padding = per_axis(padding, axes, "padding")
    shape = x.shape[1:-1]
    _check(shape, window, stride, padding)
    pads = [(0, 0), *((each, each) for each in padding), (0, 0)]
    padded = jnp.pad(x, pads, constant_values=-jnp.inf) if any(padding) else x
    out = _sizes(shape, window, stride, padding)
    taps = [
        (_slice(padded, tap, out, stride), places)
        for tap, places in _places(shape, window, stride, padding)
    ]
    best, first = taps[0]
    where = jnp.broadcast_to(first, best.shape)
    for met, places in taps[1:]:
        # Not a number wins, once.
        better = (met > best) | (jnp.isnan(met) & ~jnp.isnan(best))
        best = jnp.where(better, met, best)
        where = jnp.where(better, places, where)
    return Pooled(best, where, shape, window, stride, padding)


def max_unpool(values: Float[Array, "b *o c"], pooled: Pooled) -> Array:
    """Values at the places of their windows' maxima, zeros elsewhere.

    Where windows overlap, a place may be that of several maxima: the value of the last
    window, row by row, stands there, and its gradient goes to that window alone.

    Args:
      values: `[b, *o, c]`, as `pooled.values`.
      pooled: From `max_pool`.

    Returns:
      `[b, *pooled.shape, c]`.

    Raises:
      ValueError: For another shape than that of what was pooled.
    """
    if values.shape != pooled.indices.shape:
        raise ValueError(
            f"max unpooling got values of shape {values.shape}, but what was pooled"
            f" has {pooled.indices.shape}"
        )
    sizes = (pooled.shape, pooled.window, pooled.stride, pooled.padding)
    apart = all(s >= w for s, w in zip(pooled.stride, pooled.window, strict=True))
    total = jnp.zeros((values.shape[0], *pooled.shape, values.shape[-1]), values.dtype)
    # Of two windows on a place, the later one meets it with the earlier tap.
    for tap, places in reversed(list(_places(*sizes))):
        chosen = pooled.indices == places
        put = functools.partial(_spread, tap=tap, pooled=pooled)
        here = put(jnp.where(chosen, values, 0))
        total = total + here if apart else jnp.where(put(chosen), here, total)
    return total


def _check(shape, window, stride, padding):
    if min(*window, *stride) < 1 or min(padding) < 0:
        raise ValueError(
            f"windows and strides are at least 1 and padding at least 0, got window"
            f" {window}, stride {stride}, padding {padding}"
        )
    check_pool_padding(padding, window)
    if min(_sizes(shape, window, stride, padding)) < 1:
        raise ValueError(
            f"a window of {window} does not fit {shape} with padding {padding}"
        )


def _sizes(shape, window, stride, padding) -> tuple[int, ...]:
    return tuple(map(convolved_size, shape, window, stride, padding))


def _places(shape, window, stride, padding) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Taps of a window, and where each of them stands in the map, `[*o, 1]`.

    A place in the padding is -1: no maximum stands there.
    """
    out = _sizes(shape, window, stride, padding)
    flat = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    flat = np.pad(flat, [(each, each) for each in padding], constant_values=-1)
    for tap in np.ndindex(*window):
        yield tap, _slice(flat[None, ..., None], tap, out, stride)[0]


def _slice(padded, tap, out, stride):
    """What a tap meets in all windows."""
    spans = zip(tap, out, stride, strict=True)
    return padded[
        (slice(None), *(slice(t, t + (o - 1) * s + 1, s) for t, o, s in spans))
    ]


def _spread(met, *, tap, pooled: Pooled):
    """The adjoint of `_slice` after padding: each value to where its tap stands."""
    edges = [(0, 0, 0)]
    each = zip(
        tap, met.shape[1:-1], pooled.shape, pooled.stride, pooled.padding, strict=True
    )
    for first, out, size, step, pad in each:
        low = first - pad
        edges.append((low, size - low - (out - 1) * step - 1, step - 1))
    zero = jnp.zeros((), met.dtype)
    return jax.lax.pad(met, zero, (*edges, (0, 0, 0)))
