"""One block of DAT and of DAT++."""

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.conv import depthwise
from sigjax.nn.deformable import DeformableAttention, DeformableAttentionConfig
from sigjax.nn.drop_path import DropPath
from sigjax.nn.gelu import gelu
from sigjax.nn.layer_norm import LayerNorm
from sigjax.nn.neighbourhood_attention import NeighbourhoodAttention
from sigjax.nn.torch_init import bias_init, dense, kernel_init
from sigjax.nn.window_attention import WindowAttention
from sigjax.typing import Array, Float


def layer_norm(name: str, dtype: jnp.dtype) -> LayerNorm:
    """Layer norm over the channels, as PyTorch has it."""
    return LayerNorm(1e-5, dtype, name=name)


class DepthwiseConvolution(nn.Module):
    """A depthwise 3x3 convolution with a bias; the map keeps its size.

    Attributes:
      dtype: What it computes in.
    """

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`."""
        shape = (3, 3, 1, x.shape[-1])
        kernel = self.param("kernel", kernel_init, shape)[:, :, 0].astype(self.dtype)
        bias = self.param("bias", bias_init(9), (x.shape[-1],)).astype(self.dtype)
        return depthwise(x.astype(self.dtype), kernel) + bias


class Mlp(nn.Module):
    """`W2 gelu(W1 x)`, or with `y + depthwise(y)` before the GELU (DAT++).

    Attributes:
      ratio: Hidden width over the input's.
      convolutional: Whether it has the depthwise convolution.
      dtype: What it computes in.
    """

    ratio: int
    convolutional: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`."""
        width = x.shape[-1]
        x = self._linear("up", self.ratio * width, x)
        if self.convolutional:
            x = x + DepthwiseConvolution(self.dtype, name="depthwise")(x)
        return self._linear("down", width, gelu(x))

    def _linear(self, name: str, width: int, x: Array) -> Array:
        return dense(width, x.shape[-1], self.dtype, name)(x)


class Block(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`; in DAT++ a convolution first.

    Attributes:
      deformable: Of kind `D`; the others take its number of heads.
      kind: `L`, `S`, `N` or `D` (`sigjax.models.dat`).
      window: Of `L` and `S`, and the neighbourhood of `N`.
      shift: Of `S`.
      mlp_ratio: See `Mlp`.
      convolutional: The form of DAT++.
      drop_path: Rate of both branches, each drawn by itself.
      dtype: What it computes in.
    """

    deformable: DeformableAttentionConfig
    kind: str
    window: int
    shift: int
    mlp_ratio: int
    convolutional: bool
    drop_path: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool
    ) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`."""
        if self.convolutional:
            x = x + DepthwiseConvolution(self.dtype, name="perception")(x)
        mixed = self._attention()(layer_norm("norm1", self.dtype)(x))
        x = x + DropPath(self.drop_path)(mixed, train)
        mlp = Mlp(self.mlp_ratio, self.convolutional, self.dtype, name="mlp")
        changed = mlp(layer_norm("norm2", self.dtype)(x))
        return x + DropPath(self.drop_path)(changed, train)

    def _attention(self) -> nn.Module:
        heads, name = self.deformable.heads, "attention"
        if self.kind == "D":
            return DeformableAttention(self.deformable, self.dtype, name=name)
        if self.kind == "N":
            return NeighbourhoodAttention(heads, self.window, self.dtype, name=name)
        shift = self.shift if self.kind == "S" else 0
        return WindowAttention(heads, self.window, shift, self.dtype, name=name)
