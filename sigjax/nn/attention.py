"""Multi-head self-attention with rotary position embeddings (RoFormer)."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float

AttentionKind = Literal["auto", "xla", "cudnn"]


def attention_kind(
    name: AttentionKind, dtype: jnp.dtype, backend: str | None = None
) -> Literal["xla", "cudnn"]:
    """Chooses the attention kernel, explicitly.

    JAX never picks cuDNN's flash attention by itself, and the cuDNN path never falls
    back: it raises on a CPU and for float32. So the choice is made here.

    Args:
      name: `"auto"`, or the kernel by name.
      dtype: The dtype of queries, keys and values.
      backend: `"cpu"`, `"gpu"` or `"tpu"`; the default backend when not given.
    """
    if name != "auto":
        return name
    backend = backend or jax.default_backend()
    half = dtype in (jnp.bfloat16, jnp.float16)
    return "cudnn" if backend == "gpu" and half else "xla"


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
    """Self-attention over all tokens, without biases.

    The projection is one 2-D kernel laid out head by head (`h`, then q k v, then `k`),
    so that splitting its columns over a tensor axis keeps whole heads together.

    Attributes:
      num_heads: Heads; must divide the width.
      dtype: Compute dtype.
      kind: Which kernel (`attention_kind`).
    """

    num_heads: int
    dtype: jnp.dtype
    kind: AttentionKind = "auto"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        cos: Float[Array, "n j"],
        sin: Float[Array, "n j"],
    ) -> Float[Array, "b n d"]:
        """Mixes tokens: `[b, n, d]` to `[b, n, d]`."""
        b, n, d = x.shape
        head_dim = d // self.num_heads
        qkv = nn.Dense(3 * d, use_bias=False, dtype=self.dtype, name="qkv")(x)
        qkv = qkv.reshape(b, n, self.num_heads, 3, head_dim)
        q, k, v = qkv[..., 0, :], qkv[..., 1, :], qkv[..., 2, :]
        mixed = jax.nn.dot_product_attention(
            rotate(q, cos, sin),
            rotate(k, cos, sin),
            v,
            implementation=attention_kind(self.kind, jnp.dtype(self.dtype)),
        )
        return nn.Dense(d, use_bias=False, dtype=self.dtype, name="out")(
            mixed.reshape(b, n, d)
        )
