"""Softmax attention over many tokens on a CPU, head after head.

Dao et al. 2022 (FlashAttention): logits are never written out as a whole, and the
backward pass rebuilds the probabilities. The logits of one head's queries fit a cache,
so no softmax is split. `benchmarks.audio_step` times AST with it.
"""

import jax
import jax.numpy as jnp

from sigjax.nn.products import wide_product
from sigjax.typing import Array, Float

# Queries at a time: of 1,214 keys, 6 MB of float32 logits. Fewer fit a core's own
# cache, but then the threads of a product wait for each other longer than they work.
_QUERIES = 1280


@jax.custom_vjp
def tiled_attention(
    q: Float[Array, "b n h k"],
    k: Float[Array, "b m h k"],
    v: Float[Array, "b m h k"],
) -> Float[Array, "b n h k"]:
    """`softmax(q k^T / sqrt(head_dim)) v`; reverse mode only.

    Args:
      q: `[b, n, h, k]` queries.
      k: `[b, m, h, k]` keys.
      v: `[b, m, h, k]` values.

    Returns:
      `[b, n, h, k]`, of the dtype of `v`.
    """
    return _forward(q, k, v)[0]


def _forward(q, k, v):
    queries, keys, values = _heads(q * q.shape[-1] ** -0.5), _heads(k), _heads(v)

    def head(parts):
        q, keys, values = parts

        def tile(rows):
            logits = wide_product("qk,nk->qn", q[rows], keys)
            top = logits.max(axis=-1, keepdims=True)
            weights = jnp.exp(logits - top)
            total = weights.sum(axis=-1, keepdims=True)
            mixed = wide_product("qn,nk->qk", weights.astype(values.dtype), values)
            return (mixed / total).astype(values.dtype), top + jnp.log(total)

        return _joined([tile(rows) for rows in _tiles(len(q))])

    mixed, log_total = jax.lax.map(head, (queries, keys, values))
    return _tokens(mixed, q), (queries, keys, values, mixed, log_total)


def _backward(residuals, grad):
    queries, keys, values, mixed, log_total = residuals
    grads = _heads(grad)

    def head(parts):
        q, q_turned, keys, values, mixed, log_total, grad, grad_turned = parts

        def tile(rows):
            weights = jnp.exp(
                wide_product("qk,nk->qn", q[rows], keys) - log_total[rows]
            )
            # sum_n weights * grad_weights equals sum_k mixed * grad.
            inner = (mixed[rows] * grad[rows]).sum(-1, keepdims=True, dtype=jnp.float32)
            # What has several uses XLA would compute again in each of them.
            weights = jax.lax.optimization_barrier(weights)
            change = weights * (wide_product("qk,nk->qn", grad[rows], values) - inner)
            weights, change = weights.astype(q.dtype), change.astype(q.dtype)
            change = jax.lax.optimization_barrier(change)
            sums = (
                wide_product("kq,qn->kn", q_turned[:, rows], change),
                wide_product("kq,qn->kn", grad_turned[:, rows], weights),
            )
            return sums, wide_product("qn,nk->qk", change, keys)

        tiles = [tile(rows) for rows in _tiles(len(q))]
        grad_k, grad_v = (
            sum(sums) for sums in zip(*(s for s, _ in tiles), strict=True)
        )
        return _joined([(own,) for _, own in tiles])[0], grad_k, grad_v

    # A product that sums over rows of both is slow; with the narrow one turned, fast.
    turned = queries.swapaxes(1, 2), grads.swapaxes(1, 2)
    grad_q, grad_k, grad_v = jax.lax.map(
        head,
        (queries, turned[0], keys, values, mixed, log_total, grads, turned[1]),
    )
    grad_q = _tokens(grad_q, grad) * grad.shape[-1] ** -0.5
    shape = (grad.shape[0], grad.shape[2], *keys.shape[:0:-1])
    grad_k, grad_v = (x.reshape(shape).transpose(0, 3, 1, 2) for x in (grad_k, grad_v))
    return tuple(x.astype(values.dtype) for x in (grad_q, grad_k, grad_v))


tiled_attention.defvjp(_forward, _backward)


def _tiles(tokens: int) -> list[slice]:
    """Even runs of at most `_QUERIES` rows."""
    rows = -(-tokens // -(-tokens // _QUERIES))
    return [slice(a, min(a + rows, tokens)) for a in range(0, tokens, rows)]


def _joined(tiles: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    if len(tiles) == 1:
        return tiles[0]
    return tuple(jnp.concatenate(parts) for parts in zip(*tiles, strict=True))


def _heads(x: Array) -> Array:
    """`[b, n, h, k]` to `[b * h, n, k]`."""
    b, n, h, k = x.shape
    return x.swapaxes(1, 2).reshape(b * h, n, k)


def _tokens(x: Array, like: Array) -> Array:
    """The inverse of `_heads`."""
    b, n, h, k = like.shape
    return x.reshape(b, h, n, k).swapaxes(1, 2)
