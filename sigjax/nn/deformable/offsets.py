"""The network that says where keys are sampled."""

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.conv import depthwise
from sigjax.nn.gelu import gelu
from sigjax.nn.layer_norm import LayerNorm
from sigjax.nn.products import wide_product
from sigjax.nn.torch_init import bias_init, kernel_init
from sigjax.typing import Array, Float


class OffsetNetwork(nn.Module):
    """Raw offsets of every group: depthwise convolution, norm, GELU, a 1x1 product.

    All groups share its weights (DAT; DATAR, "Audio offset generator"). The product has
    no bias, so that no shift is common to all places.

    Attributes:
      groups: Must divide the channels.
      taps: Size of the depthwise kernel.
      stride: Of the keys in the map.
      pad: Zeros around the map; without it, `taps // 2`.
      norm: A layer norm over the group's channels, as DAT has it; DATAR names none.
      dtype: What it computes in; offsets are at least float32.
    """

    groups: int
    taps: int = 5
    stride: int = 1
    pad: int | None = None
    norm: bool = True
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, q: Float[Array, "b h w c"]) -> Float[Array, "b g r q 2"]:
        """Queries `[b, h, w, c]` to (y, x) for each group and each of `r x q` keys."""
        width = q.shape[-1] // self.groups
        pad = self.taps // 2 if self.pad is None else self.pad
        shape = (self.taps, self.taps, 1, width)
        kernel = self.param("kernel", kernel_init, shape)[:, :, 0].astype(self.dtype)
        bias = self.param("bias", bias_init(self.taps**2), (width,))
        # The same kernel for each group: channels stay where they are.
        x = depthwise(
            q.astype(self.dtype),
            jnp.tile(kernel, (1, 1, self.groups)),
            stride=self.stride,
            padding=((pad, pad), (pad, pad)),
        )
        x = x.reshape(*x.shape[:3], self.groups, width) + bias.astype(self.dtype)
        if self.norm:
            x = LayerNorm(1e-5, self.dtype, name="norm")(x)
        x = gelu(x)
        last = self.param("points", kernel_init, (width, 2)).astype(self.dtype)
        return wide_product("brqgc,cp->bgrqp", x, last)
