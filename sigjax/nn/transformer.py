"""A pre-norm transformer encoder: RMSNorm, rotary attention, SwiGLU, scanned layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.attention import AttentionKind, RotaryAttention, rotary_angles
from sigjax.typing import Array, Float


class SwiGLU(nn.Module):
    """`W_down(silu(W_gate x) * W_up x)`, no biases (Shazeer 2020, eq. 6).

    Attributes:
      hidden: Width of the gate.
      dtype: Compute dtype.
    """

    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """`[b, n, d]` to `[b, n, d]`."""
        gate = nn.Dense(self.hidden, use_bias=False, dtype=self.dtype, name="gate")(x)
        up = nn.Dense(self.hidden, use_bias=False, dtype=self.dtype, name="up")(x)
        return nn.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="down")(
            jax.nn.silu(gate) * up
        )


class Block(nn.Module):
    """One encoder block: `x + attention(norm(x))`, then `x + mlp(norm(x))`."""

    num_heads: int
    mlp_dim: int
    dtype: jnp.dtype
    attention: AttentionKind

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        cos: Float[Array, "n j"],
        sin: Float[Array, "n j"],
    ) -> tuple[Float[Array, "b n d"], None]:
        """Returns the new residual stream and None, the pair that `nn.scan` wants."""
        y = nn.RMSNorm(dtype=self.dtype, name="attention_norm")(x)
        x = x + RotaryAttention(
            self.num_heads, self.dtype, self.attention, name="attention"
        )(y, cos, sin)
        y = nn.RMSNorm(dtype=self.dtype, name="mlp_norm")(x)
        return x + SwiGLU(self.mlp_dim, self.dtype, name="mlp")(y), None


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
    """

    depth: int
    num_heads: int
    mlp_dim: int
    dtype: jnp.dtype
    attention: AttentionKind = "auto"
    rotary_base: float = 10_000.0
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """`[b, n, d]` to `[b, n, d]`."""
        cos, sin = rotary_angles(
            x.shape[1], x.shape[2] // self.num_heads, self.rotary_base
        )
        # CSE cannot undo the rematerialisation inside a scan body.
        block = nn.remat(Block, prevent_cse=False) if self.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=self.depth,
        )
        x, _ = stack(
            self.num_heads, self.mlp_dim, self.dtype, self.attention, name="blocks"
        )(x, cos, sin)
        return nn.RMSNorm(dtype=self.dtype, name="norm")(x)
