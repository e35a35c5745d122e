"""The initialisation that PyTorch gives its convolutions and linear layers."""

import flax.linen as nn
import jax
from jax.nn.initializers import Initializer

# Uniform within 1 / sqrt(fan-in): `kaiming_uniform_` with a = sqrt(5).
kernel_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def bias_init(fan_in: int) -> Initializer:
    """Of a bias whose kernel has this fan-in: uniform within `1 / sqrt(fan_in)`."""
    bound = fan_in**-0.5

    def init(key, shape, dtype=jax.numpy.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
