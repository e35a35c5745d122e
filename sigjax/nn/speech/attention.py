"""Attention of a speech encoder: of own frames, with WavLM's gated positions.

WavLM (Chen et al. 2022, Sect. III-A) adds `gate[i] table[bucket(j - i)]` to the logit
of query i and key j. The bias is a head's own and as large as its logits, so no fused
kernel takes it without writing it out for every clip; here it is read once per head.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.attention import AttentionKind, attend, valid_tokens
from sigjax.nn.products import wide_product
from sigjax.typing import Array, Bool, Float, Int, PRNGKey

# Logits of a batch up to which they are one product on CPU: 8 MiB of float32, about
# what caches hold. Above, one head at a time.
_TOGETHER = 2**21
# Queries of a head at a time.
_QUERIES = 512
# Logit of padding: its weight is 0. Of an infinity, compiled gradients are no numbers.
_NEVER = -1e30


def speech_attention(
    q: Float[Array, "b t h k"],
    k: Float[Array, "b t h k"],
    v: Float[Array, "b t h k"],
    *,
    length: Int[Array, "b"] | None = None,
    gate: Float[Array, "b t h"] | None = None,
    bias: Float[Array, "h t t"] | None = None,
    kind: AttentionKind = "auto",
) -> Float[Array, "b t h k"]:
    """`softmax(q k^T / sqrt(head_dim) + gate bias) v`.

    Args:
      q: `[b, t, h, k]` queries.
      k: `[b, t, h, k]` keys.
      v: `[b, t, h, k]` values.
      length: Int `[b]`, how many leading frames are no padding; all without it.
        Outputs at padded queries mean nothing; a length of 0 counts as 1.
      gate: `[b, t, h]`, of queries; with `bias`.
      bias: `[h, t, t]`, of queries and keys.
      kind: Kernel of attention without a bias (`sigjax.nn.attention.attention_kind`).

    Returns:
      `[b, t, h, k]` in the dtype of `v`.
    """
    batch, frames, heads = q.shape[:3]
    cpu = jax.default_backend() == "cpu"
    large = cpu and batch * heads * frames**2 > _TOGETHER
    if gate is None and not (large and length is not None):
        return attend(q, k, v, kind, length)
    own = None
    if length is not None:
        own = valid_tokens(frames, jnp.maximum(length, 1))
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    if gate is not None:
        gate = gate.swapaxes(1, 2).astype(jnp.float32)
    attention = _by_head if large else _at_once
    return attention(q, k, v, own, gate, bias).swapaxes(1, 2)


def weighted_values(
    q: Float[Array, "b h t k"],
    k: Float[Array, "b h t k"],
    v: Float[Array, "b h t k"],
    own: Bool[Array, "b t"] | None,
    gate: Float[Array, "b h t"] | None,
    bias: Float[Array, "h t t"] | None,
    dropout: float = 0.0,
    key: PRNGKey | None = None,
) -> Float[Array, "b h t k"]:
    """Attention with all logits written out; `q` is scaled.

    Args:
      q: `[b, h, t, k]`.
      k: `[b, h, t, k]`.
      v: `[b, h, t, k]`.
      own: Bool `[b, t]`, which keys count; all without it.
      gate: `[b, h, t]`, with `bias` `[h, t, t]`.
      bias: See `gate`.
      dropout: Share of weights dropped, with `key`.
      key: For `dropout`; nothing is dropped without it.
    """
    logits = wide_product("bhqk,bhnk->bhqn", q, k)
    if gate is not None and bias is not None:
        logits = logits + gate[..., None] * bias
    if own is not None:
        logits = jnp.where(own[:, None, None], logits, _NEVER)
    if key is None:
        weights = jnp.exp(logits - _top(logits))
        total = weights.sum(axis=-1, keepdims=True)
        mixed = wide_product("bhqn,bhnk->bhqk", weights.astype(v.dtype), v) / total
        return mixed.astype(v.dtype)
    weights = jax.nn.softmax(logits, axis=-1)
    kept = jax.random.bernoulli(key, 1 - dropout, weights.shape)
    weights = jnp.where(kept, weights / (1 - dropout), 0)
    return wide_product("bhqn,bhnk->bhqk", weights.astype(v.dtype), v).astype(v.dtype)


def _at_once(q, k, v, own, gate, bias):
    return weighted_values(q, k, v, own, gate, bias)


def _by_head(q, k, v, own, gate, bias):
    """A few heads of one clip after another: their logits stay in the cache."""
    batch, heads, frames, width = q.shape
    tiles = -(-frames // _QUERIES)
    rows = -(-frames // tiles)
    spare = tiles * rows - frames
    fit = max(_TOGETHER // (rows * frames), 1)
    some = next(n for n in range(min(fit, heads), 0, -1) if heads % n == 0)
    parts = heads // some

    def tiled(x):  # b h t ... -> b*parts tiles some rows ...
        x = jnp.pad(x, ((0, 0), (0, 0), (0, spare)) + ((0, 0),) * (x.ndim - 3))
        x = x.reshape(batch * parts, some, tiles, rows, *x.shape[3:])
        return x.swapaxes(1, 2)

    if gate is not None:
        bias = jnp.pad(bias, ((0, 0), (0, spare), (0, 0)))
        bias = bias.reshape(parts, some, tiles, rows, frames).swapaxes(1, 2)
        gate = tiled(gate)
    number = jnp.arange(batch * parts)
    keys, values = (x.reshape(batch * parts, some, frames, width) for x in (k, v))

    # Rebuilt in the backward pass: logits of every head would not fit.
    @jax.checkpoint
    def group(inputs):
        number, q, k, v, gate = inputs

        def queries(tile):
            logits = wide_product("hqk,hnk->hqn", q[tile], k)
            if gate is not None:
                logits = logits + gate[tile][..., None] * bias[number % parts, tile]
            if own is not None:
                logits = jnp.where(own[number // parts], logits, _NEVER)
            weights = jnp.exp(logits - _top(logits))
            total = weights.sum(axis=-1, keepdims=True)
            mixed = wide_product("hqn,hnk->hqk", weights.astype(v.dtype), v) / total
            return mixed.astype(v.dtype)

        return (
            jax.lax.map(queries, jnp.arange(tiles)) if tiles > 1 else queries(0)[None]
        )

    mixed = jax.lax.map(group, (number, tiled(q), keys, values, gate))
    mixed = mixed.swapaxes(1, 2)  # b*parts some tiles rows k
    return mixed.reshape(batch, heads, tiles * rows, width)[:, :, :frames]


def _top(logits: Array) -> Array:
    # A shift that all weights share changes nothing, so it needs no gradient.
    return jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))


def position_bias(table: Float[Array, "e h"], frames: int, max_distance: int):
    """What every head adds for key `j` seen from query `i`, before the gate.

    Args:
      table: `[buckets, heads]`.
      frames: `t`.
      max_distance: See `buckets`.

    Returns:
      Float32 `[heads, t, t]`.
    """
    offsets = np.arange(1 - frames, frames)
    found = jnp.asarray(table).T[:, buckets(offsets, len(table), max_distance)]
    place = np.arange(frames)[None] - np.arange(frames)[:, None] + frames - 1
    return found[:, place]


def buckets(offsets: np.ndarray, count: int, max_distance: int) -> np.ndarray:
    """Bucket of every offset (key minus query), as T5 has them.

    One half of the buckets is for offsets above 0. Of each half, one half again is for
    distances by themselves, the other for ranges that grow geometrically up to
    `max_distance`, beyond which all share the last (Raffel et al. 2020, arXiv
    1910.10683, Sect. 2.1).

    Args:
      offsets: Integers.
      count: Of buckets.
      max_distance: From which on all offsets share a bucket.
    """
    half = count // 2
    exact = half // 2
    distance = np.abs(offsets)
    # Float32 as the public code has it: the same bucket at every border.
    far = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    far = far / np.float32(math.log(max_distance / exact)) * np.float32(half - exact)
    far = np.minimum(exact + far.astype(np.int64), half - 1)
    return (offsets > 0) * half + np.where(distance < exact, distance, far)
