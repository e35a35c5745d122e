"""Convolutions of a speech encoder: on the wave, and the one that tells positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.attention import valid_tokens
from sigjax.nn.conv import precision
from sigjax.nn.gelu import gelu
from sigjax.nn.layer_norm import LayerNorm
from sigjax.nn.speech.config import SpeechEncoderConfig, conv_frames
from sigjax.signal.framing import cut_frames
from sigjax.typing import Array, Bool, Float, Int

# Of the norms among the convolutions, whatever the encoder's own is.
_EPS = 1e-5
_LAYOUT = ("NWC", "WIO", "NWC")
_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class WaveConvolutions(nn.Module):
    """The wave to frames of 20 ms.

    Attributes:
      config: The architecture.
      dtype: What all but the first computes in. The first is float32: in half precision
        the wave would have 8 bits.
    """

    config: SpeechEncoderConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "b s"], samples: Int[Array, "b"] | None
    ) -> Float[Array, "b t c"]:
        """Waves `[b, s]` to frames `[b, t, c]`.

        Args:
          x: `[b, s]`.
          samples: Int `[b]`, of which statistics are taken; of all without it.
        """
        c = self.config
        x = x.astype(jnp.float32)[..., None]
        for i in range(len(c.conv_dim)):
            own = None
            if samples is not None and i == 0:
                frames = conv_frames(int(x.shape[1]), c, 1)
                own = valid_tokens(frames, conv_frames(samples, c, 1))
            dtype = jnp.dtype("float32") if i == 0 else self.dtype
            x = _WaveConvolution(c, i, dtype, name=str(i))(x.astype(dtype), own)
        return x.astype(self.dtype)


class _WaveConvolution(nn.Module):
    config: SpeechEncoderConfig
    index: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, own: Bool[Array, "b t"] | None) -> Array:
        c, i = self.config, self.index
        width = c.conv_dim[i]
        kernel = self.param("kernel", _INIT, (c.conv_kernel[i], x.shape[-1], width))
        x = _strided(x, jnp.asarray(kernel).astype(self.dtype), c.conv_stride[i])
        if c.conv_bias:
            bias = self.param("bias", nn.initializers.zeros, (width,))
            x = x + jnp.asarray(bias).astype(self.dtype)
        if c.conv_norm == "layer":
            x = LayerNorm(_EPS, self.dtype, name="norm")(x)
        elif i == 0:
            x = _TimeNorm(name="norm")(x, own)
        return gelu(x)


def _strided(
    x: Float[Array, "b s c"], kernel: Float[Array, "k c d"], stride: int
) -> Float[Array, "b t d"]:
    level = precision(x.dtype)
    if x.shape[-1] == 1 and jax.default_backend() == "cpu":
        # Of one channel a convolution is a product of few values each: XLA fuses what
        # follows with it.
        frames = cut_frames(x[..., 0], length=len(kernel), hop=stride)
        return jnp.einsum("btk,kd->btd", frames, kernel[:, 0], precision=level)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,), "VALID", dimension_numbers=_LAYOUT, precision=level
    )


class _TimeNorm(nn.Module):
    """Each channel of each clip normalised over its own frames."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], own: Bool[Array, "b t"] | None
    ) -> Float[Array, "b t c"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        if own is None:
            own = jnp.ones(x.shape[:2], bool)
        share = own / jnp.maximum(own.sum(axis=1, keepdims=True), 1)
        # As a product: XLA's own sum over time is forty times slower on CPU.
        mean = jnp.einsum("bt,btc->bc", share, x, precision=precision(x.dtype))
        centred = x - mean[:, None]
        variance = (jnp.square(centred) * share[..., None]).sum(axis=1)
        gain = jax.lax.rsqrt(variance + _EPS) * scale
        return centred * gain[:, None] + bias


class PositionConvolution(nn.Module):
    """A grouped convolution over neighbouring frames, then a GELU.

    Attributes:
      config: The architecture.
      dtype: What it computes in.
    """

    config: SpeechEncoderConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], own: Bool[Array, "b t"] | None
    ) -> Float[Array, "b t d"]:
        """`[b, t, d]` to what is added to it.

        Args:
          x: `[b, t, d]`, zero in padded frames.
          own: Bool `[b, t]`, which frames are no padding; all without it. A batch norm
            gives padding its bias, which would spread: here it is made zero again,
            unless `norm_stats="hf"`.
        """
        c = self.config
        if c.pos_norm == "batch":
            x = _Affine(name="batch_norm")(x)
            if own is not None and c.norm_stats == "exact":
                x = jnp.where(own[..., None], x, 0)
        std = 2 * (c.pos_taps * c.width) ** -0.5
        kernel = self.param(
            "kernel",
            nn.initializers.normal(std),
            (c.pos_taps, c.width // c.pos_groups, c.width),
        )
        bias = self.param("bias", nn.initializers.zeros, (c.width,))
        kernel = jnp.asarray(kernel).astype(self.dtype)
        x = _grouped(x.astype(self.dtype), kernel, c.pos_groups)
        return gelu(x + jnp.asarray(bias).astype(self.dtype))


class _Affine(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return (x * jnp.asarray(scale) + jnp.asarray(bias)).astype(x.dtype)


def _grouped(
    x: Float[Array, "b t d"], kernel: Float[Array, "k e d"], groups: int
) -> Float[Array, "b t d"]:
    """As many frames as came in; the middle of a kernel is its tap `taps // 2`."""
    taps, frames = len(kernel), x.shape[1]
    # Taps that reach beyond both ends of a short clip would only meet zeros.
    before = min(taps // 2, frames - 1)
    after = min((taps - 1) // 2, frames - 1)
    kernel = kernel[taps // 2 - before : taps // 2 + after + 1]

    def convolve(x: Array, kernel: Array, groups: int) -> Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1,),
            [(before, after)],
            dimension_numbers=_LAYOUT,
            feature_group_count=groups,
            precision=precision(x.dtype),
        )

    if jax.default_backend() != "cpu":
        return convolve(x, kernel, groups)
    # One group at a time takes half of the time that XLA's grouped one takes on CPU.
    parts = zip(
        jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True
    )
    return jnp.concatenate([convolve(*part, groups=1) for part in parts], axis=-1)
