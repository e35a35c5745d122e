"""Products whose sums are wider than their factors."""

import jax
import jax.numpy as jnp

from sigjax.nn.conv import precision
from sigjax.typing import Array


def wide_product(subscripts: str, x: Array, y: Array) -> Array:
    """`einsum` of two arrays of one dtype, summed and given in float32 at least.

    On CPU the factors are widened first: half precision is emulated there, and not all
    of its products exist.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    level = precision(x.dtype)
    if jax.default_backend() == "cpu":
        x, y = x.astype(wide), y.astype(wide)
    return jnp.einsum(subscripts, x, y, precision=level, preferred_element_type=wide)
