"""A pre-norm transformer encoder: RMSNorm, rotary attention, SwiGLU, scanned layers."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.attention import (
    AttentionKind,
    RotaryAttention,
    attend,
    rotary_angles,
)
from sigjax.nn.products import DENSE_PRODUCT, dense_product
from sigjax.typing import Array, Float, Int


class SwiGLU(nn.Module):
    """`W_down(silu(W_gate x) * W_up x)`, no biases (Shazeer 2020, eq. 6).

    On CPU its derivatives are of reverse mode only (`dense_product`).

    Attributes:
      hidden: Width of the gate.
      dtype: Compute dtype.
    """

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """`[b, n, d]` to `[b, n, d]`."""
        dense = functools.partial(
            nn.Dense, use_bias=False, dtype=self.dtype, dot_general=dense_product
        )
        gate, up = dense(self.hidden, name="gate")(x), dense(self.hidden, name="up")(x)
        return dense(x.shape[-1], name="down")(jax.nn.silu(gate) * up)


class Block(nn.Module):
    """One encoder block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    For the backward pass it stores what matrix products and the attention kernel made
    and recomputes what lies between them (norms, rotations, gates): a few operations
    per value instead of a trip through memory. That halves the activations.
    """

    width: int
    num_heads: int
    mlp_dim: int
    dtype: jnp.dtype
    attention_kind: AttentionKind
    prevent_cse: bool

    def setup(self):
        """Builds both halves."""
        self.attention_norm = nn.RMSNorm(dtype=self.dtype)
        self.attention = RotaryAttention(
            self.width, self.num_heads, self.dtype, self.attention_kind
        )
        self.mlp_norm = nn.RMSNorm(dtype=self.dtype)
        self.mlp = SwiGLU(self.mlp_dim, self.dtype)

    def project(self, x: Array, cos: Array, sin: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values of the normalised stream."""
        return self.attention.project(self.attention_norm(x), cos, sin)

    def finish(self, x: Array, mixed: Array) -> Array:
        """All that follows the attention kernel."""
        x = x + self.attention.merge(mixed)
        return x + self.mlp(self.mlp_norm(x))

    def __call__(
        self,
        x: Float[Array, "b n d"],
        cos: Float[Array, "n j"],
        sin: Float[Array, "n j"],
        length: Int[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "b n d"], None]:
        """Returns the new residual stream and None, the pair that `nn.scan` wants."""
        policies = jax.checkpoint_policies
        keep_products = functools.partial(
            nn.remat,
            prevent_cse=self.prevent_cse,
            policy=policies.save_from_both_policies(
                policies.dots_with_no_batch_dims_saveable,
                policies.save_only_these_names(DENSE_PRODUCT),
            ),
        )
        # The kernel stays outside: inside, its forward pass would run again.
        q, k, v = keep_products(Block.project)(self, x, cos, sin)
        mixed = attend(q, k, v, self.attention_kind, length)
        return keep_products(Block.finish)(self, x, mixed), None


class Transformer(nn.Module):
    """A stack of blocks and a final RMSNorm.

    Layers are scanned: their parameters are stacked along a leading layer axis, and
    the block is compiled once whatever the depth.

    Attributes:
      depth: Number of blocks.
      num_heads: Attention heads per block.
      mlp_dim: Hidden width of the SwiGLU.
      dtype: Compute dtype; parameters are float32.
      attention: Attention kernel.
      rotary_base: Base of the rotary wavelengths.
      remat: Recompute each block in the backward pass instead of storing it.
      unroll: Blocks per loop iteration. All of them leaves no loop: longer to compile,
        but activations need no copy into and out of the loop's stacked buffers.
    """

    depth: int
    num_heads: int
    mlp_dim: int
    dtype: jnp.dtype
    attention: AttentionKind = "auto"
    rotary_base: float = 10_000.0
    remat: bool = False
    unroll: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], length: Int[Array, "b"] | None = None
    ) -> Float[Array, "b n d"]:
        """`[b, n, d]` to `[b, n, d]`.

        Args:
          x: Tokens.
          length: Int `[b]`, how many leading tokens are valid; all without it. What
            stands in the padding reaches no valid token (`attend`).
        """
        cos, sin = rotary_angles(
            x.shape[1], x.shape[2] // self.num_heads, self.rotary_base
        )
        # A loop body is safe from CSE, which otherwise undoes rematerialisation.
        prevent_cse = self.unroll > 1
        block = nn.remat(Block, prevent_cse=prevent_cse) if self.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=self.depth,
            unroll=self.unroll,
        )
        x, _ = stack(
            x.shape[2],
            self.num_heads,
            self.mlp_dim,
            self.dtype,
            self.attention,
            prevent_cse,
            name="blocks",
        )(x, cos, sin, length)
        return nn.RMSNorm(dtype=self.dtype, name="norm")(x)
