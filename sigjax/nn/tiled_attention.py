"""Softmax attention over many tokens on a CPU, a few hundred queries at a time.

Dao et al. 2022 (FlashAttention): logits are never written out as a whole, and the
backward pass rebuilds the probabilities. A CPU's cache holds some hundred rows of them
whole, so no softmax is split: rows of one head are taken together, head after head.
`benchmarks.audio_step` times AST with it.
"""

import jax
import jax.numpy as jnp

from sigjax.nn.products import wide_product
from sigjax.typing import Array, Float

# Queries at a time: of 1,214 keys, 1.2 MB of float32 logits. 512 are as fast.
_QUERIES = 256


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
    queries = _tiles(q * q.shape[-1] ** -0.5)
    keys, values = _heads(k), _heads(v)

    def head(parts):
        own, keys, values = parts

        def rows(q):
            logits = wide_product("qk,nk->qn", q, keys)
            top = logits.max(axis=-1, keepdims=True)
            weights = jnp.exp(logits - top)
            total = weights.sum(axis=-1, keepdims=True)
            mixed = wide_product("qn,nk->qk", weights.astype(values.dtype), values)
            return (mixed / total).astype(values.dtype), top + jnp.log(total)

        return jax.lax.map(rows, own)

    mixed, log_total = jax.lax.map(head, (queries, keys, values))
    return _untiled(mixed, q), (queries, keys, values, mixed, log_total)


def _backward(residuals, grad):
    queries, keys, values, mixed, log_total = residuals

    def head(parts):
        own, mixed, log_total, grads, keys, values = parts

        def rows(sums, parts):
            q, mixed, log_total, grad = parts
            weights = jnp.exp(wide_product("qk,nk->qn", q, keys) - log_total)
            # sum_n weights * grad_weights equals sum_k mixed * grad.
            inner = (mixed * grad).sum(axis=-1, keepdims=True, dtype=jnp.float32)
            change = weights * (wide_product("qk,nk->qn", grad, values) - inner)
            weights, change = weights.astype(q.dtype), change.astype(q.dtype)
            sums = (
                sums[0] + wide_product("qn,qk->nk", change, q),
                sums[1] + wide_product("qn,qk->nk", weights, grad),
            )
            return sums, wide_product("qn,nk->qk", change, keys)

        zeros = jnp.zeros(keys.shape, jnp.float32)
        return jax.lax.scan(rows, (zeros, zeros), (own, mixed, log_total, grads))

    (grad_k, grad_v), grad_q = jax.lax.map(
        head, (queries, mixed, log_total, _tiles(grad), keys, values)
    )
    shape = (grad.shape[0], grad.shape[2], *keys.shape[1:])
    grad_k, grad_v = (x.reshape(shape).swapaxes(1, 2) for x in (grad_k, grad_v))
    grad_q = _untiled(grad_q, grad) * grad.shape[-1] ** -0.5
    return tuple(x.astype(values.dtype) for x in (grad_q, grad_k, grad_v))


def _heads(x: Array) -> Array:
    """`[b, n, h, k]` to `[b * h, n, k]`."""
    b, n, h, k = x.shape
    return x.swapaxes(1, 2).reshape(b * h, n, k)


def _tiles(x: Array) -> Array:
    """`[b, n, h, k]` to `[b * h, tiles, rows, k]`, with zeros at the end."""
    x = _heads(x)
    tiles = -(-x.shape[1] // _QUERIES)
    rows = -(-x.shape[1] // tiles)
    x = jnp.pad(x, ((0, 0), (0, tiles * rows - x.shape[1]), (0, 0)))
    return x.reshape(len(x), tiles, rows, -1)


def _untiled(x: Array, like: Array) -> Array:
    """The inverse of `_tiles`."""
    b, n, h, k = like.shape
    return x.reshape(b, h, -1, k)[:, :, :n].swapaxes(1, 2)


tiled_attention.defvjp(_forward, _backward)
