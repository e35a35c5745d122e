"""DATAR's learnable input adaptor, and the noise that its ablation puts in its place.

`out = x + strength (b + W * x)` (DATAR, equation 5). Before a patch convolution without
padding, which is linear, this is one larger patch convolution (`fold`): the adaptor
lets a patch see `(taps - 1) / 2` cells beyond its edges and changes how the weights are
learned, but adds no nonlinearity.
"""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.conv import depthwise, precision
from sigjax.nn.torch_init import bias_init, kernel_init
from sigjax.typing import Array, Float

Noise = Literal["none", "gaussian", "laplace"]


class InputAdaptor(nn.Module):
    """Adds a weak learned convolution of the input to it.

    Attributes:
      strength: DATAR's lambda: 0.005 there, 0.2 in its ablation.
      taps: Size of the kernel, odd; the paper does not say it.
      dtype: What it computes in.
    """

    strength: float = 0.005
    taps: int = 3
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`; the map's surroundings are zeros.

        Raises:
          ValueError: `taps` is even.
        """
        if self.taps % 2 == 0:
            raise ValueError(f"the adaptor's kernel must be odd, got {self.taps}")
        channels = x.shape[-1]
        added = nn.Conv(
            channels,
            (self.taps, self.taps),
            padding=self.taps // 2,
            kernel_init=kernel_init,
            bias_init=bias_init(self.taps**2 * channels),
            dtype=self.dtype,
            precision=precision(self.dtype),
            conv_general_dilated=_one_channel if channels == 1 else None,
            name="conv",
        )(x)
        return x.astype(self.dtype) + self.strength * added


def _one_channel(x: Array, kernel: Array, strides, padding, **others: Any) -> Array:
    """A convolution of one channel to one, as the product that XLA on CPU lacks."""
    del strides, others  # 1, and what follows from the layout
    down, across = (tuple(pads) for pads in padding)
    return depthwise(x, kernel[..., 0], padding=(down, across))


def fold(
    adaptor: Mapping[str, Any], patch: Mapping[str, Any], strength: float
) -> tuple[dict[str, Array], int]:
    """One convolution that is the adaptor and the patch convolution after it.

    Args:
      adaptor: Parameters of `InputAdaptor`.
      patch: `kernel` `[p, p, c, d]` and `bias` `[d]` of a convolution whose stride is
        `p` and which pads nothing (the stem of v1).
      strength: The adaptor's.

    Returns:
      `kernel` `[p + taps - 1, p + taps - 1, c, d]` and `bias`, and the zeros to pad on
      each side of the map; the stride stays `p`. Exact, borders included: where the
      adaptor looks beyond the map it meets zeros too.
    """
    inner = jnp.asarray(adaptor["conv"]["kernel"])
    outer, bias = jnp.asarray(patch["kernel"]), jnp.asarray(patch["bias"])
    reach = inner.shape[0] // 2
    size = outer.shape[0]
    kernel = jnp.pad(outer, ((reach, reach), (reach, reach), (0, 0), (0, 0)))
    for i in range(inner.shape[0]):
        for j in range(inner.shape[1]):
            part = jnp.einsum(
                "uvcd,ec->uved", outer, inner[i, j], precision=precision(outer.dtype)
            )
            kernel = kernel.at[i : i + size, j : j + size].add(strength * part)
    shift = jnp.einsum("uvcd,c->d", outer, jnp.asarray(adaptor["conv"]["bias"]))
    return {"kernel": kernel, "bias": bias + strength * shift}, reach


def add_noise(
    x: Float[Array, "*a"], key: jax.Array, kind: Noise, scale: float
) -> Float[Array, "*a"]:
    """`x` with noise of each value's own.

    Args:
      x: Any shape.
      key: Of the draw.
      kind: `"gaussian"` with a standard deviation of `scale`, `"laplace"` with a scale
        (mean absolute value) of it, or `"none"`.
      scale: 0.005 in DATAR's table 4, which does not say whether that is a deviation.

    Raises:
      ValueError: No such kind.
    """
    if kind == "none":
        return x
    draws = {"gaussian": jax.random.normal, "laplace": jax.random.laplace}
    if kind not in draws:
        raise ValueError(f"no noise {kind!r}: none, {', '.join(draws)}")
    return x + scale * draws[kind](key, x.shape, x.dtype)
