"""Blocks of convolutions on maps, and steps between maps of one size and half of it."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.conv import HE_INIT, precision
from sigjax.nn.norm import batch_norm
from sigjax.nn.transposed_conv import transposed_convolution
from sigjax.typing import Array, Float

BlockNorm = Literal["none", "batch", "layer"]
BlockPadding = Literal["same", "valid"]


class ConvBlock(nn.Module):
    """Convolutions with norm and ReLU: `conv1`, `norm1`, `conv2`, ...

    Attributes:
      width: Channels of each.
      count: How many.
      taps: Size of the kernels, odd.
      padding: `"same"` keeps the map's size; `"valid"` takes `taps - 1` off each time.
      norm: After each convolution; without one it has a bias.
      dtype: What it computes in.
    """

    width: int
    count: int = 2
    taps: int = 3
    padding: BlockPadding = "same"
    norm: BlockNorm = "batch"
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b i j d"]:
        """`[b, h, w, c]` to `[b, i, j, width]`.

        Args:
          x: The map.
          train: Normalise with this batch's statistics and update the running ones.
        """
        for number in range(1, self.count + 1):
            x = nn.Conv(
                self.width,
                (self.taps, self.taps),
                padding=self.padding.upper(),
                use_bias=self.norm == "none",
                kernel_init=HE_INIT,
                dtype=self.dtype,
                precision=precision(self.dtype),
                name=f"conv{number}",
            )(x)
            name = f"norm{number}"
            if self.norm == "batch":
                x = batch_norm(train, name, self.dtype)(x)
            elif self.norm == "layer":
                x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name=name)(x)
            x = nn.relu(x)
        return x


def halved(x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
    """Maxima of windows of 2 by 2; a last row or column that is alone is its own.

    So a map of n has `ceil(n / 2)`, and nothing is padded that could be a maximum.
    """
    rows, columns = (-size % 2 for size in x.shape[1:3])
    if rows or columns:
        pads = ((0, 0), (0, rows), (0, columns), (0, 0))
        x = jnp.pad(x, pads, constant_values=-jnp.inf)
    b, h, w, c = x.shape
    # Not a pooling of the library's, whose gradient is a slow scatter on CPU.
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


class Doubled(nn.Module):
    """A map twice as large.

    Attributes:
      width: Channels of the result.
      method: `"transposed"`: a transposed convolution of 2 by 2 with stride 2 (U-Net's
        up-convolution); `"nearest"`: every value four times, and a 3x3 convolution,
        which has no checkerboard (Odena et al. 2016).
      dtype: What it computes in.
    """

    width: int
    method: Literal["transposed", "nearest"] = "transposed"
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """`[b, h, w, c]` to `[b, 2 h, 2 w, width]`."""
        if self.method == "nearest":
            x = x.repeat(2, axis=1).repeat(2, axis=2)
            return nn.Conv(
                self.width,
                (3, 3),
                kernel_init=HE_INIT,
                dtype=self.dtype,
                precision=precision(self.dtype),
                name="conv",
            )(x)
        # Taps do not overlap: each output has one, so the fan-in is the channels.
        init = nn.initializers.variance_scaling(
            2.0,
            "fan_in",
            "truncated_normal",
            in_axis=-1,
            out_axis=-2,
            batch_axis=(0, 1),
        )
        shape = (2, 2, self.width, x.shape[-1])
        kernel = self.param("kernel", init, shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        x = transposed_convolution(x.astype(self.dtype), kernel, stride=2)
        return x + bias.astype(self.dtype)


def centred(x: Float[Array, "b h w c"], size: tuple[int, ...]) -> Array:
    """The middle of a map, `[b, *size, c]`; one value more is left out at the end."""
    first = [(own - new) // 2 for own, new in zip(x.shape[1:3], size, strict=True)]
    return jax.lax.slice(
        x,
        (0, *first, 0),
        (len(x), first[0] + size[0], first[1] + size[1], x.shape[3]),
    )


class Scores(nn.Module):
    """A linear layer at every place of a map: `kernel` `[d, v]` and `bias` `[v]`.

    Attributes:
      classes: How many.
      zero: Start from zeros: a score that is added to others changes nothing at first.
    """

    classes: int
    zero: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w v"]:
        """Float32 scores."""
        init = nn.initializers.zeros if self.zero else nn.initializers.lecun_normal()
        x = x.astype(jnp.float32)
        kernel = self.param("kernel", init, (x.shape[-1], self.classes))
        bias = self.param("bias", nn.initializers.zeros, (self.classes,))
        return jnp.matmul(x, kernel, precision=precision(x.dtype)) + bias
