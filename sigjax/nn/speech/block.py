"""A block of a speech encoder: attention and MLP."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.attention import AttentionKind, valid_tokens
from sigjax.nn.conv import precision
from sigjax.nn.gelu import gelu
from sigjax.nn.layer_norm import LayerNorm
from sigjax.nn.speech.attention import speech_attention, weighted_values
from sigjax.nn.speech.config import SpeechEncoderConfig
from sigjax.typing import Array, Float, Int

_INIT = nn.initializers.normal(0.02)


def dense(width: int, dtype: jnp.dtype, name: str) -> nn.Dense:
    """A linear layer as these encoders begin with."""
    return nn.Dense(
        width, dtype=dtype, kernel_init=_INIT, precision=precision(dtype), name=name
    )


class SpeechBlock(nn.Module):
    """Norms after each half, or before it with `pre_norm`.

    Attributes:
      config: The architecture.
      dtype: What it computes in.
      attention: Kernel (`sigjax.nn.attention.attention_kind`).
      deterministic: Whether nothing is dropped.
    """

    config: SpeechEncoderConfig
    dtype: jnp.dtype
    attention: AttentionKind
    deterministic: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        length: Int[Array, "b"] | None,
        bias: Float[Array, "h t t"] | None,
    ) -> Float[Array, "b t d"]:
        """`[b, t, d]` to `[b, t, d]`.

        Args:
          x: `[b, t, d]`.
          length: Int `[b]`, how many leading frames are no padding; all without it.
          bias: WavLM's `[h, t, t]` (`sigjax.nn.speech.attention.position_bias`).
        """
        c = self.config
        first = LayerNorm(c.eps, self.dtype, name="norm_attention")
        second = LayerNorm(c.eps, self.dtype, name="norm_mlp")
        if c.pre_norm:
            x = x + self._drop(self._mix(first(x), length, bias), c.dropout)
            return x + self._mlp(second(x))
        x = first(x + self._drop(self._mix(x, length, bias), c.dropout))
        return second(x + self._mlp(x))

    def _mix(self, x: Array, length: Array | None, bias: Array | None) -> Array:
        c = self.config
        shape = (*x.shape[:2], c.heads, c.head_dim)
        q, k, v = (dense(c.width, self.dtype, name)(x).reshape(shape) for name in "qkv")
        gate = None
        if bias is not None:
            gate = _Gate(self.dtype, name="gate")(x.reshape(shape))
        if c.attention_dropout and not self.deterministic:
            own = None
            if length is not None:
                own = valid_tokens(x.shape[1], jnp.maximum(length, 1))
            q, k, v = (a.swapaxes(1, 2) for a in (q * c.head_dim**-0.5, k, v))
            gate = None if gate is None else gate.swapaxes(1, 2)
            key = self.make_rng("dropout")
            mixed = weighted_values(
                q, k, v, own, gate, bias, c.attention_dropout, key
            ).swapaxes(1, 2)
        else:
            mixed = speech_attention(
                q, k, v, length=length, gate=gate, bias=bias, kind=self.attention
            )
        return dense(c.width, self.dtype, "out")(mixed.reshape(x.shape))

    def _mlp(self, x: Array) -> Array:
        c = self.config
        x = gelu(dense(c.mlp, self.dtype, "up")(x))
        x = self._drop(x, c.activation_dropout)
        return self._drop(dense(c.width, self.dtype, "down")(x), c.dropout)

    def _drop(self, x: Array, rate: float) -> Array:
        if self.deterministic or not rate:
            return x
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, x.shape)
        return jnp.where(kept, x / (1 - rate), 0).astype(x.dtype)


class _Gate(nn.Module):
    """How much of the bias of positions each query takes: WavLM, equations 3 to 5.

    Its linear layer has 8 outputs, summed four by four before the sigmoid: a sum of
    products is the product with the sum of its kernels.
    """

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b t h k"]) -> Float[Array, "b t h"]:
        heads, width = x.shape[2:]
        kernel = self.param("kernel", _INIT, (width, 8))
        bias = self.param("bias", nn.initializers.zeros, (8,))
        constant = self.param("constant", nn.initializers.ones, (heads,))
        kernel = jnp.asarray(kernel).reshape(width, 2, 4).sum(axis=-1)
        bias = jnp.asarray(bias).reshape(2, 4).sum(axis=-1)
        # Little work, so in float32: the gate scales logits.
        x = jnp.matmul(
            x.astype(jnp.float32), kernel, precision=jax.lax.Precision.HIGHEST
        )
        update, reset = jnp.moveaxis(jax.nn.sigmoid(x + bias), -1, 0)
        return update * (reset * jnp.asarray(constant) - 1) + 2
