"""Attention of a map to sampled keys under a continuous position bias.

`plain_attention` works everywhere: a bias by any design, then XLA's or cuDNN's
attention. `tiled_attention` is made for the CPU, where fresh memory is what costs most:
it goes through the groups of the batch in turn, so that a tile of logits stays in the
cache from its bias to the product with the values, and its backward pass computes the
tile again (Dao et al. 2022, FlashAttention, algorithm 4) instead of keeping it.
"""

import functools

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
from sigjax.nn.deformable.staging import written_out
from sigjax.nn.deformable.windows import add_windows
from sigjax.nn.products import wide_product
from sigjax.typing import Array, Float

# Logits of the groups that are computed at once: 4 MiB, about what a cache holds.
_TILE_VALUES = 2**20


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
    """`attend_points` by slices, a few groups of the batch at a time.

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


def _blocks(logits: int, tiles: int) -> int:
    """How many tiles of so many logits go at once; divides `tiles`."""
    most = max(_TILE_VALUES // logits, 1)
    return next(n for n in range(min(most, tiles), 0, -1) if tiles % n == 0)


def _in_blocks(block: int, tree):
    return jax.tree.map(lambda x: x.reshape(-1, block, *x.shape[1:]), tree)


def _out_of_blocks(tree):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _plan(points, table, size, convention):
    which = jnp.arange(points.shape[0], dtype=jnp.int32) % table.shape[0]
    return slices.plan(points, which, size, convention)


def _logits(q, k, padded, where, size):
    bias = written_out(
        where.starts[0, 0, 0] >= 0,
        lambda padded, where: slices.plan_bias(padded, where, size),
        *(padded, where),
    )
    logits = wide_product("ghnd,ghdm->ghnm", k, q)
    return logits + bias.reshape(logits.shape)


def _tiled_forward(q, k, v, table, points, size, convention):
    padded = slices.padded(table, size, convention)
    tiles, heads, keys = k.shape[:3]
    block = _blocks(heads * keys * q.shape[3], tiles)

    def one(part):
        q, k, v, where = part
        logits = _logits(q, k, padded, where, size)
        top = logits.max(axis=2, keepdims=True)
        weights = jnp.exp(logits - top)
        total = weights.sum(axis=2, keepdims=True)
        mixed = wide_product("ghnd,ghnm->ghdm", v, weights.astype(v.dtype)) / total
        return mixed.astype(v.dtype), top + jnp.log(total)

    where = _plan(points, table, size, convention)
    parts = _in_blocks(block, (q, k, v, where))
    out, log_total = _out_of_blocks(jax.lax.map(one, parts))
    return out, (q, k, v, table, points, out, log_total)


def _tiled_backward(size, convention, saved, gradient):
    q, k, v, table, points, out, log_total = saved
    padded = slices.padded(table, size, convention)
    tiles, heads, keys = k.shape[:3]
    queries = q.shape[3]
    block = _blocks(heads * keys * queries, tiles)

    def one(table_gradient, part):
        q, k, v, where, out, log_total, gradient = part
        inner = (out.astype(log_total.dtype) * gradient).sum(axis=2, keepdims=True)
        weights = jnp.exp(_logits(q, k, padded, where, size) - log_total)
        found = weights * (wide_product("ghnd,ghdm->ghnm", v, gradient) - inner)
        by_key = found.reshape(block, heads, keys, *size)
        windows, places = slices.plan_gradients(padded, where, by_key)
        table_gradient = add_windows(windows, where.which, where.starts, table_gradient)
        weights, found = weights.astype(v.dtype), found.astype(v.dtype)
        gradients = (
            wide_product("ghnd,ghnm->ghdm", k, found).astype(q.dtype),
            wide_product("ghnm,ghdm->ghnd", found, q).astype(k.dtype),
            wide_product("ghnm,ghdm->ghnd", weights, gradient).astype(v.dtype),
            slices.point_gradient(places, size),
        )
        return table_gradient, gradients

    where = _plan(points, table, size, convention)
    parts = _in_blocks(block, (q, k, v, where, out, log_total, gradient))
    total, found = jax.lax.scan(one, jnp.zeros_like(padded), parts)
    grad_q, grad_k, grad_v, grad_points = _out_of_blocks(found)
    grad_table = slices.unpadded(total, size, convention)
    return grad_q, grad_k, grad_v, grad_table, grad_points


_tiled.defvjp(_tiled_forward, _tiled_backward)
