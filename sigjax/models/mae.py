"""Masked autoencoder on patches of a signal (Lorenzen et al. 2025, arXiv 2502.17477).

Encoder-only, as in the paper: masked patches enter the transformer as a learnable mask
token, so all `n` tokens are processed and a linear head maps tokens to patch values.

What the paper leaves open, and what is chosen here:
  * Heads are not stated: 4 of width 64, the usual head width of ViT and RoFormer.
  * "8/3" of width 256 is 682.67: the gate is 680 wide, the nearest multiple of 8, which
    tensor cores and a tensor-parallel split need. 9.88 M parameters in all ("~10M").
  * A final RMSNorm precedes the head: a pre-norm stack leaves its output unnormalised.
  * The head's kernel starts so small that predictions have a standard deviation of
    0.03 g. The usual start (1 g of white noise) puts LMM at 40, and hundreds of steps
    go into shrinking it; a start at zero lies below the loss's floor, where it has no
    gradient.
"""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.attention import AttentionKind
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.transformer import Transformer
from sigjax.typing import Array, Bool, Float, Int

_HEAD_INIT = nn.initializers.variance_scaling(1e-3, "fan_in", "truncated_normal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaeConfig:
    """Architecture of a masked autoencoder.

    Attributes:
      patch_size: Values per patch (channels times samples): 900 for 10 s of 3 axes at
        30 Hz.
      width: Embedding dimension.
      depth: Encoder blocks.
      num_heads: Attention heads per block.
      mlp_dim: Hidden width of the SwiGLU.
      rotary_base: Base of the rotary wavelengths.
      remat: Recompute blocks in the backward pass; slower, but activations of one
        block at a time.
      unroll: Blocks per loop iteration; `depth` leaves no loop (see `Transformer`).
      dtype: `"auto"` computes in bfloat16 on accelerators, float32 on CPU.
      attention: `"auto"` is cuDNN's flash attention on GPU in bfloat16 and
        `recomputing_attention` on CPU; `"xla"` can be differentiated forwards too.
    """

    patch_size: int
    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    rotary_base: float = 10_000.0
    remat: bool = False
    unroll: int = 1
    dtype: ComputeDtype = "auto"
    attention: AttentionKind = "auto"

    def __post_init__(self):
        """Refuses sizes that do not fit together."""
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise ValueError(
                f"width={self.width} must be num_heads={self.num_heads} times an even"
                " head width (rotary embeddings turn pairs)"
            )


class MaeOutput(NamedTuple):
    """Output of `Mae.__call__`.

    Attributes:
      tokens: `[b, n, d]`, normalised encoder output.
      reconstruction: Float32 `[b, n, p]`, or `[b, m, p]` of the masked patches only.
    """

    tokens: Array
    reconstruction: Array


class Mae(nn.Module):
    """Masked autoencoder; see the module docstring.

    Attributes:
      config: The architecture.
    """

    config: MaeConfig

    def setup(self):
        """Builds embedding, encoder and head."""
        c = self.config
        dtype = compute_dtype(c.dtype)
        self.embed = nn.Dense(c.width, dtype=dtype)
        self.mask_token = self.param(
            "mask_token", nn.initializers.normal(0.02), (c.width,)
        )
        self.encoder = Transformer(
            depth=c.depth,
            num_heads=c.num_heads,
            mlp_dim=c.mlp_dim,
            dtype=dtype,
            attention=c.attention,
            rotary_base=c.rotary_base,
            remat=c.remat,
            unroll=c.unroll,
        )
        self.head = nn.Dense(c.patch_size, kernel_init=_HEAD_INIT, dtype=dtype)

    def encode(
        self,
        patches: Float[Array, "b n p"],
        mask: Bool[Array, "b n"] | None = None,
        length: Int[Array, "b"] | None = None,
    ) -> Float[Array, "b n d"]:
        """Tokens of all patches.

        Args:
          patches: `[b, n, p]` patch values in the signal's units (g).
          mask: Bool `[b, n]`, true where the mask token replaces the patch; none is
            masked without it.
          length: Int `[b]`, how many leading patches are valid; all without it. Tokens
            of valid patches are those of the window without its padding.

        Returns:
          `[b, n, d]` in the compute dtype.
        """
        x = self.embed(patches)
        if mask is not None:
            x = jnp.where(mask[..., None], self.mask_token.astype(x.dtype), x)
        return self.encoder(x, length)

    def reconstruct(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b n p"]:
        """Patch values from tokens: `[b, n, d]` to float32 `[b, n, p]`."""
        return self.head(tokens).astype(jnp.float32)

    def __call__(
        self,
        patches: Float[Array, "b n p"],
        mask: Bool[Array, "b n"] | None = None,
        reconstruct_index: Int[Array, "b m"] | None = None,
        length: Int[Array, "b"] | None = None,
    ) -> MaeOutput:
        """Encodes, then reconstructs.

        Args:
          patches: `[b, n, p]`.
          mask: Bool `[b, n]`, true where hidden.
          reconstruct_index: Int `[b, m]`, which tokens to reconstruct; all without it.
          length: Int `[b]`, how many leading patches are valid; all without it.
        """
        tokens = self.encode(patches, mask, length)
        chosen = tokens
        if reconstruct_index is not None:
            chosen = jnp.take_along_axis(tokens, reconstruct_index[..., None], axis=1)
        return MaeOutput(tokens, self.reconstruct(chosen))
