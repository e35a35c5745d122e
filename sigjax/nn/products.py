"""Products: with sums wider than their factors, and with fast gradients on CPU."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from sigjax.nn.conv import precision, product_of_rows
from sigjax.typing import Array

# Of what `dense_product` gives on CPU, for `jax.checkpoint_policies`.
DENSE_PRODUCT = "dense_product"


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


def dense_product(
    x: Array,
    kernel: Array,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """`nn.Dense(dot_general=dense_product)` for layers that see many rows.

    On CPU XLA turns both maps before the usual gradient of a kernel; `product_of_rows`
    does without, in reverse mode only. Elsewhere it is `jax.lax.dot_general`.
    """
    if jax.default_backend() == "cpu":
        # Remat's policies see products, not what a gradient of one's own is made of.
        return checkpoint_name(product_of_rows(x, kernel), DENSE_PRODUCT)
    return jax.lax.dot_general(
        x, kernel, dimension_numbers, precision, preferred_element_type
    )
