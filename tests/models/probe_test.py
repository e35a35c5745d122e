"""The probe is the paper's stack of layers, and weighs layers by a softmax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.probe import Probe, ProbeConfig


def test_the_papers_probe_has_its_sizes():
    module = Probe(ProbeConfig(classes=32))
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 1536)))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    # Kernels and biases of 1536-128-64-32-32, and two vectors of each norm.
    kernels = 1536 * 128 + 128 * 64 + 64 * 32 + 32 * 32
    assert count == kernels + (128 + 64 + 32 + 32) + 2 * (128 + 64 + 32)


def test_a_linear_probe_is_one_product():
    module = Probe(ProbeConfig(classes=3, hidden=()))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
    variables = module.init(jax.random.key(0), x)
    layer = variables["params"]["classes"]
    expected = x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
    np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-6)


def test_layers_are_weighed_by_a_softmax():
    module = Probe(ProbeConfig(classes=3, hidden=(), layers=2))
    alone = Probe(ProbeConfig(classes=3, hidden=()))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 5)), jnp.float32)
    params = dict(module.init(jax.random.key(0), x)["params"])
    params["layers"] = jnp.log(jnp.array([3.0, 1.0]))
    mixed = 0.75 * x[:, 0] + 0.25 * x[:, 1]
    expected = alone.apply({"params": {"classes": params["classes"]}}, mixed)
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"classes": 1}, {"classes": 2, "hidden": (0,)}, {"classes": 2, "layers": -1}],
)
def test_sizes_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="at least|negative"):
        ProbeConfig(**wrong)
