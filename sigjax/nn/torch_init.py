"""Linear layers as PyTorch has them, and how it initialises what has a kernel."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from sigjax.nn.conv import precision
from sigjax.nn.products import dense_product

# Uniform within 1 / sqrt(fan-in): `kaiming_uniform_` with a = sqrt(5).
kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def bias_init(fan_in: int) -> Initializer:
    """Of a bias whose kernel has this fan-in: uniform within `1 / sqrt(fan_in)`."""
    bound = fan_in**-0.5

    def init(key, shape, dtype=jax.numpy.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def dense(width: int, fan_in: int, dtype: jnp.dtype, name: str) -> nn.Dense:
    """A linear layer of a network on maps, initialised as PyTorch's.

    Args:
      width: Of the output.
      fan_in: Of the input.
      dtype: What it computes in.
      name: In the parameters.
    """
    return nn.Dense(
        width,
        kernel_init=kernel_init,
        bias_init=bias_init(fan_in),
        dtype=dtype,
        precision=precision(dtype),
        dot_general=dense_product,
        name=name,
    )
