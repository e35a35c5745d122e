"""Small windows of maps at places that the data choose, and their gradient.

Reading is a gather of contiguous blocks. Its transpose adds blocks to a map: XLA's
scatter on CPU goes value by value, so there it is a loop of block additions, which is
faster (`benchmarks.deformable_attention` times the layer).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.typing import Array, Float, Int


def take_windows(
    maps: Float[Array, "m *a r q"],
    which: Int[Array, "k"],
    starts: Int[Array, "k n 2"],
    size: tuple[int, int],
) -> Float[Array, "k *a n i j"]:
    """Windows of `size` that begin at `starts` (row, column).

    Args:
      maps: `[m, ..., r, q]`.
      which: Map of each row of `starts`.
      starts: Int32 within `[0, r - i]` and `[0, q - j]`; beyond, the nearest inside.
      size: Rows and columns `i, j`.

    Returns:
      `[k, ..., n, i, j]`.
    """
    return _take(maps, which, starts, size)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _take(maps, which, starts, size):
    return _gather(maps, which, starts, size)


def _gather(maps, which, starts, size):
    # One slice for each map of a stack, too: they then lie as they are asked for, where
    # slices through the whole stack would be turned afterwards.
    lead = maps.shape[1:-2]
    ones = (1,) * (1 + len(lead))

    def one(index, start, place):
        at = (index.astype(starts.dtype), *place, start[0], start[1])
        return jax.lax.dynamic_slice(maps, at, (*ones, *size)).reshape(size)

    over_keys = jax.vmap(one, (None, 0, None))
    over_stack = over_keys
    for _ in lead:
        over_stack = jax.vmap(over_stack, (None, None, 0))
    places = tuple(jnp.indices(lead, dtype=starts.dtype)) if lead else ()
    return jax.vmap(over_stack, (0, 0, None))(which, starts, places)


def _take_forward(maps, which, starts, size):
    shape = jax.ShapeDtypeStruct(maps.shape, maps.dtype)
    return _take(maps, which, starts, size), (shape, which, starts)


def _take_backward(size, saved, gradient):
    del size
    like, which, starts = saved
    zeros = np.zeros(which.shape, jax.dtypes.float0)
    none = np.zeros(starts.shape, jax.dtypes.float0)
    empty = jnp.zeros(like.shape, like.dtype)
    return add_windows(gradient, which, starts, empty), zeros, none


_take.defvjp(_take_forward, _take_backward)


def add_windows(
    windows: Float[Array, "k *a n i j"],
    which: Int[Array, "k"],
    starts: Int[Array, "k n 2"],
    total: Float[Array, "m *a r q"],
) -> Float[Array, "m *a r q"]:
    """`total` with all windows added: the transpose of `take_windows`."""
    size = windows.shape[-2:]
    if jax.default_backend() == "cpu":
        return _add_in_turn(windows, which, starts, total)
    pull = jax.linear_transpose(lambda maps: _gather(maps, which, starts, size), total)
    return total + pull(windows)[0]


def _add_in_turn(windows, which, starts, total):
    keys = windows.shape[-3]
    zero = jnp.zeros((), starts.dtype)
    lead = (zero,) * (total.ndim - 3)
    which, places = which.astype(starts.dtype), starts.reshape(-1, 2)
    size = (1, *windows.shape[1:-3], 1, *windows.shape[-2:])

    def add(step, total):
        step = step.astype(starts.dtype)
        row, key = step // keys, step % keys
        window = jax.lax.dynamic_slice(windows, (row, *lead, key, zero, zero), size)
        window = window.reshape(*size[:-3], *size[-2:])
        at = (which[row], *lead, places[step, 0], places[step, 1])
        here = jax.lax.dynamic_slice(total, at, window.shape)
        return jax.lax.dynamic_update_slice(total, here + window, at)

    return jax.lax.fori_loop(0, len(places), add, total, unroll=8)
