"""Layer norm whose gradient is written out (Ba et al. 2016, arXiv 1607.06450).

With z = (x - mean) / sqrt(var + eps), y = scale z + bias and g the gradient of y:

  x      (h - mean(h) - z mean(h z)) / sqrt(var + eps), where h = scale g
  scale  sum of g z over all rows        bias  sum of g over all rows

On CPU sums are products with ones: XLA's own add one value at a time.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.staging import written_out
from sigjax.typing import Array, Float


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: Float[Array, "*a d"],
    scale: Float[Array, " d"],
    bias: Float[Array, " d"],
    eps: float,
) -> Float[Array, "*a d"]:
    """`scale * (x - mean) / sqrt(var + eps) + bias` over the last axis.

    Reverse mode only. Computed in float32 at least; the variance is the mean of squared
    deviations, in a second pass, so that no digits are lost.

    Returns:
      `[..., d]`, of the dtype of `x`.
    """
    return _forward(x, scale, bias, eps)[0]


def _forward(x, scale, bias, eps):
    y, mean, inverse = written_out(
        functools.partial(_normalise, eps=eps), x, scale, bias, unknown=scale
    )
    return y, (x, scale, bias, mean, inverse)


def _normalise(x, scale, bias, *, eps):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = _mean(wide)
    variance = _mean(jnp.square(wide - mean))
    inverse = jax.lax.rsqrt(variance + eps)
    y = (wide - mean) * inverse * scale + bias
    return y.astype(x.dtype), mean, inverse


def _backward(eps, residuals, grad):
    del eps
    return written_out(_gradients, residuals, grad, unknown=residuals[1])


def _gradients(residuals, grad):
    x, scale, bias, mean, inverse = residuals
    z = (x.astype(mean.dtype) - mean) * inverse
    grad = grad.astype(mean.dtype)
    inner = grad * scale
    grad_x = inverse * (inner - _mean(inner) - z * _mean(inner * z))
    return (
        grad_x.astype(x.dtype),
        _over_rows(grad * z).astype(scale.dtype),
        _over_rows(grad).astype(bias.dtype),
    )


def _mean(x: Array) -> Array:
    """Over the last axis, which stays."""
    if jax.default_backend() != "cpu":
        return x.mean(axis=-1, keepdims=True)
    share = jnp.full((x.shape[-1], 1), 1 / x.shape[-1], x.dtype)
    return jnp.matmul(x, share, precision=jax.lax.Precision.HIGHEST)


def _over_rows(x: Array) -> Array:
    """Sums over all axes but the last."""
    rows = x.reshape(-1, x.shape[-1])
    if jax.default_backend() != "cpu":
        return rows.sum(axis=0)
    return (jnp.ones((1, len(rows)), x.dtype) @ rows)[0]


layer_norm.defvjp(_forward, _backward)


class LayerNorm(nn.Module):
    """`layer_norm` with its parameters `scale` and `bias`, as Flax's module has them.

    Attributes:
      epsilon: Added to the variance.
      dtype: Of the output.
    """

    epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*a d"]) -> Float[Array, "*a d"]:
        """`[..., d]` to `[..., d]`."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        # What comes in may be wider than what goes out; then it counts in full.
        wide = jnp.promote_types(x.dtype, self.dtype)
        scale, bias = jnp.asarray(scale), jnp.asarray(bias)  # out of a file: NumPy's
        y: Array = layer_norm(x.astype(wide), scale, bias, self.epsilon)
        return y.astype(self.dtype)
