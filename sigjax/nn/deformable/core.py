"""Attention of a map to sampled keys under a continuous position bias.

`plain_attention` works everywhere: a bias by any design, then XLA's or cuDNN's
attention. `tiled_attention` is made for the CPU, where fresh memory is what costs most:
it goes through the groups of the batch in turn and through their keys in chunks, so
that logits stay in the cache from their bias to the product with the values, and its
backward pass computes them again instead of keeping them (Dao et al. 2022,
FlashAttention, algorithms 1 and 4).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from sigjax.nn.attention import attention_kind
from sigjax.nn.deformable import slices
from sigjax.nn.deformable.conventions import Convention
from sigjax.nn.deformable.position_bias import (
    Design,
    check_table,
    choose_design,
    position_bias,
)
from sigjax.nn.deformable.windows import add_windows
from sigjax.nn.products import wide_product
from sigjax.typing import Array, Float

# Logits of a group that are computed at once: 1 MiB, about a core's share of the cache.
_TILE_VALUES = 2**18


def attend_points(
    q: Float[Array, "b m d"],
    k: Float[Array, "b n d"],
    v: Float[Array, "b n d"],
    points: Float[Array, "b g n 2"],
    table: Float[Array, "h r q"] | None,
    *,
    heads: int,
    size: tuple[int, int],
    convention: Convention,
    design: Design = "auto",
) -> Float[Array, "b m d"]:
    """`softmax(q k^T / sqrt(d / heads) + bias) v` for each head.

    Args:
      q: `[b, rows * columns, d]`, queries of the map in row-major order.
      k: Keys, head by head; heads of a group stand together.
      v: Values, likewise.
      points: Where keys were sampled, (y, x) in [-1, 1].
      table: Of `position_bias`; None for no bias.
      heads: Must divide `d`; groups must divide it.
      size: Rows and columns of the map.
      convention: Where queries stand.
      design: Of the bias. On CPU, `"slices"` (and so `"auto"`) is `tiled_attention`.

    Returns:
      `[b, rows * columns, d]`.

    Raises:
      ValueError: As `position_bias`.
    """
    if table is not None:
        check_table(table.shape, points.shape[1], size, convention)
        if design == "auto":
            design = choose_design(convention, size, k.shape[1])
        if design == "slices" and jax.default_backend() == "cpu":
            return tiled_attention(
                q, k, v, points, table, heads=heads, size=size, convention=convention
            )
        table = position_bias(table, points, size, convention, design=design)
    return plain_attention(q, k, v, table, heads)


def plain_attention(
    q: Float[Array, "b m d"],
    k: Float[Array, "b n d"],
    v: Float[Array, "b n d"],
    bias: Float[Array, "b h m n"] | None,
    heads: int,
) -> Float[Array, "b m d"]:
    """Attention with a bias `[b, heads, m, n]` that is there in memory."""
    parts = (each.reshape(*each.shape[:2], heads, -1) for each in (q, k, v))
    q, k, v = parts
    kind = attention_kind("auto", v.dtype)
    if kind == "cudnn" and not _fits_cudnn(q, k):
        kind = "xla"
    if kind == "cudnn":
        bias = None if bias is None else bias.astype(q.dtype)
        mixed = jax.nn.dot_product_attention(q, k, v, bias=bias, implementation=kind)
        return mixed.reshape(*q.shape[:2], -1)
    logits = wide_product("bmhd,bnhd->bhmn", q * q.shape[-1] ** -0.5, k)
    weights = jax.nn.softmax(logits if bias is None else logits + bias, axis=-1)
    mixed = wide_product("bhmn,bnhd->bmhd", weights.astype(v.dtype), v)
    return mixed.astype(v.dtype).reshape(*q.shape[:2], -1)


def _fits_cudnn(q: Array, k: Array) -> bool:
    """Whether cuDNN takes these shapes with a bias: even lengths, heads of 8 k."""
    return q.shape[1] % 2 == k.shape[1] % 2 == q.shape[3] % 8 == 0


def tiled_attention(
    q: Float[Array, "b m d"],
    k: Float[Array, "b n d"],
    v: Float[Array, "b n d"],
    points: Float[Array, "b g n 2"],
    table: Float[Array, "h r q"],
    *,
    heads: int,
    size: tuple[int, int],
    convention: Convention,
) -> Float[Array, "b m d"]:
    """`attend_points` by slices, some keys of a group at a time.

    Logits are `[keys, queries]` here, for slices have a key's whole map in a row.
    Reverse mode only.
    """
    batch, queries, width = q.shape
    groups, keys = points.shape[1:3]
    wide = jnp.promote_types(q.dtype, jnp.float32)
    # Query-minor, for that is how logits lie: no product has a large transposed side.
    turned = q.transpose(0, 2, 1) * (width // heads) ** -0.5
    turned = turned.reshape(batch * groups, heads // groups, -1, queries)
    k, v = (
        each.reshape(batch, keys, groups, heads // groups, -1)
        .transpose(0, 2, 3, 1, 4)
        .reshape(batch * groups, heads // groups, keys, -1)
        for each in (k, v)
    )
    grouped = table.reshape(groups, heads // groups, *table.shape[1:]).astype(wide)
    flat = points.astype(wide).reshape(batch * groups, keys, 2)
    out: Array = _tiled(turned, k, v, grouped, flat, size, convention)  # pyright: ignore
    return out.reshape(batch, width, queries).transpose(0, 2, 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _tiled(q, k, v, table, points, size, convention):
    return _tiled_forward(q, k, v, table, points, size, convention)[0]


def _chunk(heads: int, keys: int, queries: int) -> int:
    """How many keys at once; divides them. All, where they divide badly."""
    most = min(max(_TILE_VALUES // (heads * queries), 1), keys)
    best = next(n for n in range(most, 0, -1) if keys % n == 0)
    return best if 4 * best >= most else keys


def _chunks(chunk: int, tree: Any, axis: int) -> Any:
    """Keys along `axis` in chunks, which come second: `[tiles, chunks, ...]`."""

    def cut(x):
        parts = x.reshape(*x.shape[:axis], -1, chunk, *x.shape[axis + 1 :])
        return jnp.moveaxis(parts, axis, 1)

    return jax.tree.map(cut, tree)


def _whole(x: Array, axis: int) -> Array:
    """The inverse of `_chunks`."""
    parts = jnp.moveaxis(x, 1, axis)
    return parts.reshape(*parts.shape[:axis], -1, *parts.shape[axis + 2 :])


def _in_chunks(k, v, points, table, queries, size, convention):
    """What the keys bring: `which` of each tile, and k, v and their plan in chunks."""
    chunk = _chunk(k.shape[1], k.shape[2], queries)
    which = jnp.arange(points.shape[0], dtype=jnp.int32) % table.shape[0]
    _, starts, y, x = slices.plan(points, which, size, convention)
    return which, (_chunks(chunk, (k, v), 2), _chunks(chunk, (starts, y, x), 1))


def _logits(q, k, padded, where, size):
    logits = wide_product("hnd,hdm->hnm", k, q)
    return slices.plan_bias(padded, where, size, logits[None])[0].reshape(logits.shape)


def _turned(x: Array) -> Array:
    """`[h, n, d]` to `[h, d, n]`, really: sums over rows of both sides are slow."""
    return jax.lax.optimization_barrier(x.swapaxes(1, 2))


def _one_tile(which, where):
    return slices.Plan(which[None], *jax.tree.map(lambda x: x[None], where))


def _tiled_forward(q, k, v, table, points, size, convention):
    padded = slices.padded(table, size, convention)
    heads, width, queries = q.shape[1:]
    wide = padded.dtype

    def tile(parts):
        q, which, chunks = parts

        def add(sums, parts):
            (k, v), where = parts
            where = _one_tile(which, where)
            logits = _logits(q, k, padded, where, size)
            top, total, mixed = sums
            higher = jnp.maximum(top, logits.max(axis=1, keepdims=True))
            weights, shrunk = jnp.exp(logits - higher), jnp.exp(top - higher)
            total = total * shrunk + weights.sum(axis=1, keepdims=True)
            more = wide_product("hdn,hnm->hdm", _turned(v), weights.astype(v.dtype))
            return (higher, total, mixed * shrunk + more), None

        none = jnp.zeros((heads, 1, queries), wide)
        mixed = jnp.zeros((heads, width, queries), wide)
        start = (jnp.full_like(none, -jnp.inf), none, mixed)
        (top, total, mixed), _ = jax.lax.scan(add, start, chunks)
        return (mixed / total).astype(v.dtype), top + jnp.log(total)

    which, chunks = _in_chunks(k, v, points, table, queries, size, convention)
    out, log_total = jax.lax.map(tile, (q, which, chunks))
    return out, (q, k, v, table, points, out, log_total)


def _tiled_backward(size, convention, saved, gradient):
    q, k, v, table, points, out, log_total = saved
    padded = slices.padded(table, size, convention)

    def tile(table_gradient, parts):
        q, which, out, log_total, gradient, chunks = parts
        inner = (out.astype(log_total.dtype) * gradient).sum(axis=1, keepdims=True)

        def add(sums, parts):
            (k, v), where = parts
            where = _one_tile(which, where)
            weights = jnp.exp(_logits(q, k, padded, where, size) - log_total)
            found = weights * (wide_product("hnd,hdm->hnm", v, gradient) - inner)
            by_key = found.reshape(1, *found.shape[:2], *size)
            windows = slices.plan_windows(padded, where, size)
            added, places = slices.plan_gradients(windows, where, by_key)
            table_gradient, grad_q = sums
            table_gradient = add_windows(
                added, where.which, where.starts, table_gradient
            )
            weights, found = weights.astype(v.dtype), found.astype(v.dtype)
            grad_q = grad_q + wide_product("hdn,hnm->hdm", _turned(k), found)
            return (table_gradient, grad_q), (
                wide_product("hnm,hdm->hnd", found, q).astype(k.dtype),
                wide_product("hnm,hdm->hnd", weights, gradient).astype(v.dtype),
                slices.point_gradient(places[0], size),
            )

        start = (table_gradient, jnp.zeros(q.shape, padded.dtype))
        (table_gradient, grad_q), found = jax.lax.scan(add, start, chunks)
        return table_gradient, (grad_q.astype(q.dtype), *found)

    which, chunks = _in_chunks(k, v, points, table, q.shape[3], size, convention)
    total, (grad_q, grad_k, grad_v, grad_points) = jax.lax.scan(
        tile, jnp.zeros_like(padded), (q, which, out, log_total, gradient, chunks)
    )
    grad_table = slices.unpadded(total, size, convention)
    return (
        grad_q,
        _whole(grad_k, 2),
        _whole(grad_v, 2),
        grad_table,
        _whole(grad_points, 1),
    )


_tiled.defvjp(_tiled_forward, _tiled_backward)
