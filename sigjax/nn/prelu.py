"""PReLU with a slope per channel, and its gradient in one pass less."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float


@jax.custom_vjp
def _prelu(x: Array, slope: Array) -> Array:
    return jnp.where(x > 0, x, slope * x)


def _prelu_forward(x, slope):
    return _prelu(x, slope), (x, slope)


def _prelu_backward(saved, gradient):
    x, slope = saved
    of_slope = jnp.where(x > 0, 0, gradient * x)
    if jax.default_backend() == "cpu":
        # A sum reads what is written out: this product, not its two factors, of which
        # the norm's output would else be kept for it.
        of_slope = jax.lax.optimization_barrier(of_slope)
    total = of_slope.sum(axis=tuple(range(x.ndim - 1)))
    return jnp.where(x > 0, gradient, slope * gradient), total


_prelu.defvjp(_prelu_forward, _prelu_backward)


class PRelu(nn.Module):
    """x where positive, else a learnt slope times x; one slope per channel.

    He et al. 2015 (arXiv 1502.01852). Flax's own has one slope in all.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*a c"]) -> Float[Array, "*a c"]:
        """`[..., c]` to `[..., c]`."""
        init = nn.initializers.constant(0.25)
        slope = self.param("slope", init, (x.shape[-1],)).astype(x.dtype)
        return _prelu(x, slope)
