"""Multi-head self-attention with rotary position embeddings (RoFormer)."""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.products import dense_product
from sigjax.nn.tiled_attention import tiled_attention
from sigjax.typing import Array, Bool, Float, Int

AttentionKind = Literal["auto", "xla", "cudnn", "recompute"]

# Tokens from which the logits of all heads are too much for a CPU's cache.
_MANY = 512


def attention_kind(
    name: AttentionKind, dtype: jnp.dtype, backend: str | None = None
) -> Literal["xla", "cudnn", "recompute"]:
    """Chooses the attention kernel, explicitly.

    JAX never picks cuDNN's flash attention by itself, and the cuDNN path never falls
    back: it raises on a CPU and for float32. So the choice is made here: cuDNN on GPU
    in half precision, `recomputing_attention` on CPU (`tiled_attention` of many
    tokens), else XLA's.

    Args:
      name: `"auto"`, or the kernel by name.
      dtype: The dtype of queries, keys and values.
      backend: `"cpu"`, `"gpu"` or `"tpu"`; the default backend when not given.
    """
    if name != "auto":
        return name
    backend = backend or jax.default_backend()
    if backend == "gpu" and dtype in (jnp.bfloat16, jnp.float16):
        return "cudnn"
    return "recompute" if backend == "cpu" else "xla"


@jax.custom_vjp
def recomputing_attention(
    q: Float[Array, "b n h k"],
    k: Float[Array, "b n h k"],
    v: Float[Array, "b n h k"],
    length: Int[Array, "b"] | None = None,
) -> Float[Array, "b n h k"]:
    """`softmax(q k^T / sqrt(head_dim)) v`, made for the CPU.

    With `length`, at least 1 each, the sum runs over the first `length` tokens.

    Automatic differentiation stores two `n x n` tiles per head and layer (logits and
    probabilities), more than all other activations together: writing fresh memory
    costs a CPU more than computing them a second time. Here the backward pass rebuilds
    the probabilities from `q`, `k` and the log of the softmax's denominator (Dao et al.
    2022, FlashAttention, algorithm 4, without its tiling: a tile fits a CPU's cache).

    Reverse mode only: `jax.jvp` and `jax.hessian` need `kind="xla"`.
    """
    return _attend(q, k, v, length)[0]


def _attend(q, k, v, length):
    # Head-major and scaled once, so that each product is a plain batched one.
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    logits = _logits(q, k, length)
    top = logits.max(axis=-1, keepdims=True)
    weights = jnp.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    # Dividing after the product divides n x k values instead of n x n.
    mixed = _product("bhqn,bhnk->bhqk", weights.astype(v.dtype), v) / total
    mixed = mixed.astype(v.dtype)
    residuals = q, k, v, length, mixed, top + jnp.log(total)
    return mixed.swapaxes(1, 2), residuals


def _attend_backward(residuals, grad):
    q, k, v, length, mixed, log_total = residuals
    grad = grad.swapaxes(1, 2)
    weights = jnp.exp(_logits(q, k, length) - log_total)
    # sum_n weights * grad_weights equals sum_k mixed * grad: a sum over n x k values.
    inner = (mixed * grad).sum(axis=-1, keepdims=True, dtype=jnp.float32)
    grad_logits = weights * (_product("bhqk,bhnk->bhqn", grad, v) - inner)
    weights, grad_logits = weights.astype(v.dtype), grad_logits.astype(v.dtype)
    grad_q = _product("bhqn,bhnk->bhqk", grad_logits, k) * q.shape[-1] ** -0.5
    grad_k = _product("bhqn,bhqk->bhnk", grad_logits, q)
    grad_v = _product("bhqn,bhqk->bhnk", weights, grad)
    grads = (x.astype(v.dtype).swapaxes(1, 2) for x in (grad_q, grad_k, grad_v))
    return *grads, None  # an integer has no gradient


def _logits(q, k, length):
    logits = _product("bhqk,bhnk->bhqn", q, k)
    if length is None:
        return logits
    valid = valid_tokens(k.shape[2], length)[:, None, None]
    return jnp.where(valid, logits, -jnp.inf)


def _product(subscripts: str, x: Array, y: Array) -> Array:
    return jnp.einsum(subscripts, x, y, preferred_element_type=jnp.float32)


recomputing_attention.defvjp(_attend, _attend_backward)


def attend(
    q: Float[Array, "b n h k"],
    k: Float[Array, "b n h k"],
    v: Float[Array, "b n h k"],
    kind: AttentionKind = "auto",
    length: Int[Array, "b"] | None = None,
) -> Float[Array, "b n h k"]:
    """Softmax attention of every token to every valid token, by the kernel `kind`.

    Args:
      q: `[b, n, h, k]` queries.
      k: `[b, n, h, k]` keys.
      v: `[b, n, h, k]` values.
      kind: Which kernel (`attention_kind`).
      length: Int `[b]`, how many leading tokens are valid; all without it. Keys and
        values of padding never matter; outputs at its queries mean nothing. A length
        of 0 counts as 1, so that an empty row stays finite.

    Returns:
      `[b, n, h, k]`.
    """
    if length is not None:
        # A kernel could read beyond its arrays, or divide by a sum over nothing.
        length = jnp.clip(length, 1, k.shape[1]).astype(jnp.int32)
        # No kernel promises what gradients it writes for padding; a select drops them.
        valid = valid_tokens(k.shape[1], length)[..., None, None]
        k, v = jnp.where(valid, k, 0), jnp.where(valid, v, 0)
    chosen = attention_kind(kind, v.dtype)
    if chosen == "recompute" and length is None and k.shape[1] > _MANY:
        return tiled_attention(q, k, v)
    if chosen == "recompute":
        return recomputing_attention(q, k, v, length)
    return jax.nn.dot_product_attention(
        q, k, v, key_value_seq_lengths=length, implementation=chosen
    )


def split_qkv(
    qkv: Float[Array, "b n h 3 k"],
) -> tuple[Float[Array, "b n h k"], Float[Array, "b n h k"], Float[Array, "b n h k"]]:
    """Queries, keys and values of a product that gives all three.

    As the parts of one split, their gradients are put together by one concatenation;
    as three slices they would be padded to the size of the whole and added.
    """
    q, k, v = (part.squeeze(-2) for part in jnp.split(qkv, 3, axis=-2))
    return q, k, v


def valid_tokens(tokens: int, length: Int[Array, "b"]) -> Bool[Array, "b n"]:
    """True for the first `length` of `tokens` positions."""
    return jnp.arange(tokens) < length[:, None]


def rotary_angles(
    tokens: int, head_dim: int, base: float = 10_000.0
) -> tuple[Float[Array, "n j"], Float[Array, "n j"]]:
    """Cosine and sine of the rotation of each token and frequency pair.

    RoFormer (Su et al. 2021, eq. 15): pair `i` of a head turns by
    `position * base ** (-2 i / head_dim)`.

    Returns:
      Two float32 `[tokens, head_dim / 2]`.
    """
    if head_dim % 2:
        raise ValueError(f"rotary embeddings need an even head width, got {head_dim}")
    frequency = base ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angle = jnp.arange(tokens, dtype=jnp.float32)[:, None] * frequency
    return jnp.cos(angle), jnp.sin(angle)


def rotate(
    x: Float[Array, "b n h k"], cos: Float[Array, "n j"], sin: Float[Array, "n j"]
) -> Float[Array, "b n h k"]:
    """Applies the rotation; pair `i` is made of entries `i` and `i + k / 2`.

    RoFormer pairs neighbours; pairing halves is the same map up to a fixed permutation
    of the learned projections, and reads contiguous memory.
    """
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    turned = jnp.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    )
    return turned.astype(x.dtype)


class RotaryAttention(nn.Module):
    """Self-attention over all tokens, without biases; on CPU for reverse mode only.

    The projection is one 2-D kernel laid out head by head (`h`, then q k v, then `k`),
    so that splitting its columns over a tensor axis keeps whole heads together.

    Attributes:
      width: Model width `d`.
      num_heads: Heads; must divide the width.
      dtype: Compute dtype.
      kind: Which kernel (`attention_kind`).
    """

    width: int
    num_heads: int
    dtype: jnp.dtype
    kind: AttentionKind = "auto"

    def setup(self):
        """Builds both projections."""
        dense = functools.partial(
            nn.Dense, use_bias=False, dtype=self.dtype, dot_general=dense_product
        )
        self.qkv, self.out = dense(3 * self.width), dense(self.width)

    def project(
        self,
        x: Float[Array, "b n d"],
        cos: Float[Array, "n j"],
        sin: Float[Array, "n j"],
    ) -> tuple[Array, Array, Array]:
        """Rotated queries, rotated keys and values, each `[b, n, h, k]`."""
        qkv = self.qkv(x).reshape(*x.shape[:2], self.num_heads, 3, -1)
        q, k, v = split_qkv(qkv)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def merge(self, mixed: Float[Array, "b n h k"]) -> Float[Array, "b n d"]:
        """Heads back to the model's width."""
        return self.out(mixed.reshape(*mixed.shape[:2], self.width))

    def __call__(
        self,
        x: Float[Array, "b n d"],
        cos: Float[Array, "n j"],
        sin: Float[Array, "n j"],
        length: Int[Array, "b"] | None = None,
    ) -> Float[Array, "b n d"]:
        """Mixes tokens, `[b, n, d]` to `[b, n, d]`; `length` as in `attend`."""
        return self.merge(attend(*self.project(x, cos, sin), self.kind, length))
