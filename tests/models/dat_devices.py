r"""Features and gradients of both forms of a small DAT: on one device and on four.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 \
        python -m tests.models.dat_devices

Both in float64. Fails where they differ by more than 1e-9 of the largest value.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from sigjax.models.dat import Dat
from tests.models.dat_test import PLUS, TINY, drawn


def main():
    assert jax.device_count() == 4
    jax.config.update("jax_enable_x64", True)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    x = jax.random.normal(jax.random.key(1), (8, 24, 16))
    for config in (TINY, PLUS):
        params = jax.tree.map(jnp.float64, drawn(config, 24, 16))
        config = dataclasses.replace(config, dtype="float64")

        def both(params, x, config=config):
            features = Dat(config).apply({"params": params}, x)
            return jnp.square(features).mean(), features

        both = jax.jit(jax.value_and_grad(both, has_aux=True))
        one = both(params, x)
        four = both(jax.device_put(params, whole), jax.device_put(x, rows))
        assert len(four[0][1].sharding.device_set) == 4
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
            # Gradients of biases of keys are sums that cancel: 0 but for rounding.
            scale = max(np.abs(a).max(), 1e-6)
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * scale)


if __name__ == "__main__":
    main()
