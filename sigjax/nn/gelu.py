"""The exact GELU, by the error function."""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float

_ROOT_HALF = 0.5**0.5


def gelu(x: Float[Array, "*a"]) -> Float[Array, "*a"]:
    """`x Phi(x)`, Phi the normal distribution (Hendrycks & Gimpel 2016, eq. 1).

    `jax.nn.gelu(x, approximate=False)` takes Phi from the complementary error function,
    which keeps the relative accuracy of values far below zero, where they vanish beside
    all others, and costs a CPU more. This is PyTorch's form: its
    absolute error is a rounding of `x`.

    Args:
      x: Any shape; half precision is computed in float32.

    Returns:
      The same shape and dtype.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    half = wide * 0.5
    return (half + half * jax.lax.erf(wide * _ROOT_HALF)).astype(x.dtype)
