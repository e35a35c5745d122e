"""Batch norm whose gradient reads its input and its output's gradient, and no more.

What automatic differentiation makes of means and variances keeps a centred copy of
every map and passes over it several times; on CPU a network of depthwise convolutions
is bound by memory. Here the two sums that the gradient needs (Ioffe & Szegedy 2015,
Sect. 3) are taken of the input itself.

In training, the running variance is updated with the batch's biased variance (Flax's
convention; PyTorch's is n / (n - 1) times that).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from sigjax.typing import Array, Float


def moments(
    x: Float[Array, "*a c"], *, exact: bool = False
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Mean and biased variance of every channel, float32.

    Args:
      x: `[..., c]`.
      exact: Variance in a second pass over `x`. `E[x^2] - E[x]^2` is faster but loses
        digits where the mean is large.
    """
    x = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    if exact:
        return mean, jnp.square(x - mean).mean(axis=axes)
    variance = jnp.square(x).mean(axis=axes) - jnp.square(mean)
    return mean, jnp.maximum(variance, 0.0)


def _apply(x, scale, bias, mean, variance, epsilon, dtype):
    gain = jax.lax.rsqrt(variance + epsilon) * scale
    return ((x - mean) * gain + bias).astype(dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def normalised(
    x: Float[Array, "*a c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    epsilon: float,
    exact: bool,
    dtype: jnp.dtype,
) -> Float[Array, "*a c"]:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, by the moments of `x`.

    Args:
      x: `[..., c]`.
      scale: Float32 `[c]`.
      bias: Float32 `[c]`.
      epsilon: Added to variances.
      exact: See `moments`.
      dtype: Of the result.
    """
    return _apply(x, scale, bias, *moments(x, exact=exact), epsilon, dtype)


def _forward(x, scale, bias, epsilon, exact, dtype):
    mean, variance = moments(x, exact=exact)
    out = _apply(x, scale, bias, mean, variance, epsilon, dtype)
    return out, (x, scale, mean, variance)


def _backward(epsilon, exact, dtype, saved, gradient):
    del dtype
    x, scale, mean, variance = saved
    axes = tuple(range(x.ndim - 1))
    values = x.size // x.shape[-1]
    wide, g = x.astype(jnp.float32), gradient.astype(jnp.float32)
    total = g.sum(axis=axes)
    # Of the centred input where digits count; else it is not written out for this.
    if exact:
        along = (g * (wide - mean)).sum(axis=axes)
    else:
        along = (g * wide).sum(axis=axes) - mean * total
    inverse = jax.lax.rsqrt(variance + epsilon)
    gain = inverse * scale
    slope = gain * jnp.square(inverse) * along / values
    centred = wide - mean
    found = gain * g - slope * centred - gain * total / values
    return found.astype(x.dtype), inverse * along, total


normalised.defvjp(_forward, _backward)


class BatchNorm(nn.Module):
    """Batch norm over all axes but the last; Flax's parameters and statistics.

    Attributes:
      train: Normalise with the batch's statistics and update the running ones.
      momentum: Share of the old running statistics that stays.
      epsilon: Added to variances.
      affine: Whether it has a scale and a bias.
      exact: See `moments`.
      dtype: Of the output; statistics are float32.
      scale_init: What the scale starts from.
    """

    train: bool
    momentum: float = 0.9
    epsilon: float = 1e-5
    affine: bool = True
    exact: bool = False
    dtype: jnp.dtype = jnp.dtype("float32")
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "*a c"]) -> Float[Array, "*a c"]:
        """`[..., c]` to `[..., c]`."""
        shape = (x.shape[-1],)
        running = (
            self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32),
            self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32),
        )
        scale, bias = jnp.ones(shape), jnp.zeros(shape)
        if self.affine:
            scale = self.param("scale", self.scale_init, shape)
            bias = self.param("bias", nn.initializers.zeros, shape)
        if not self.train:
            mean, variance = (each.value for each in running)
            return _apply(x, scale, bias, mean, variance, self.epsilon, self.dtype)
        if not self.is_initializing():
            # The same sums as below: XLA takes them once.
            found = moments(jax.lax.stop_gradient(x), exact=self.exact)
            for each, new in zip(running, found, strict=True):
                each.value = self.momentum * each.value + (1 - self.momentum) * new
        return normalised(x, scale, bias, self.epsilon, self.exact, self.dtype)


def batch_norm(
    train: bool,
    name: str,
    dtype: jnp.dtype,
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    affine: bool = True,
    exact: bool = False,
    scale_init: Initializer = nn.initializers.ones,
) -> BatchNorm:
    """Batch norm over all axes but the last; running statistics in `batch_stats`.

    Args:
      train: Normalise with the batch's statistics and update the running ones.
      name: Of the module.
      dtype: Of the output; statistics are float32.
      momentum: Share of the old running statistics that stays: 1 - PyTorch's.
      epsilon: Added to variances.
      affine: Whether it has a scale and a bias.
      exact: Variance in a second pass over the input. `E[x^2] - E[x]^2` is faster but
        loses digits where the mean is large, as it is before the first weights.
      scale_init: What the scale starts from.
    """
    return BatchNorm(
        train=train,
        momentum=momentum,
        epsilon=epsilon,
        affine=affine,
        exact=exact,
        scale_init=scale_init,
        dtype=dtype,
        name=name,
    )
