from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.norm import BatchNorm, moments


def _maps(mean=0.5, dtype=jnp.float32):
    x = np.random.default_rng(0).normal(mean, 2.0, (3, 4, 5, 6))
    return jnp.asarray(x, dtype)


def _variables():
    random = np.random.default_rng(1)
    scale, bias, mean = (jnp.asarray(random.normal(size=6), jnp.float32) for _ in "abc")
    return {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": mean, "var": jnp.square(mean) + 1},
    }


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [jnp.dtype("float32"), jnp.dtype("bfloat16")])
def test_values_gradients_and_statistics_are_flax_s(train, exact, affine, dtype):
    variables = _variables()
    if not affine:
        variables["params"] = {}
    ours = BatchNorm(train, momentum=0.7, affine=affine, exact=exact, dtype=dtype)
    theirs = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.7,
        use_bias=affine,
        use_scale=affine,
        use_fast_variance=not exact,
        dtype=dtype,
    )
    x = _maps(dtype=dtype)
    weight = jnp.asarray(np.random.default_rng(2).normal(size=x.shape), jnp.float32)

    def outcome(module: Any):
        def total(params, x):
            given = {**variables, "params": params}
            out, changed = module.apply(given, x, mutable=["batch_stats"])
            assert out.dtype == dtype
            return (weight * jnp.sin(out.astype(jnp.float32))).sum(), changed

        function = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
        return jax.jit(function)(variables["params"], x)

    found, expected = outcome(ours), outcome(theirs)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert found[1][1].dtype == dtype
    # bfloat16 has 8 bits: of gradients up to 10, 0.08 are one step.
    atol, rtol = (0.1, 0.0) if dtype == jnp.bfloat16 else (1e-5, 1e-5)
    for got, wanted in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        got, wanted = np.float32(got), np.float32(wanted)
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)


def test_variables_are_flax_s():
    x = _maps()
    ours, theirs = (
        module.init(jax.random.key(0), x)
        for module in (BatchNorm(train=True), nn.BatchNorm(use_running_average=False))
    )
    jax.tree.map(np.testing.assert_array_equal, ours, dict(theirs))


def test_an_exact_variance_stands_a_large_mean():
    x = _maps(mean=1000.0)
    expected = np.asarray(x, np.float64).var(axis=(0, 1, 2))
    np.testing.assert_allclose(moments(x, exact=True)[1], expected, rtol=1e-5)


def test_a_constant_map_has_a_finite_gradient():
    module: Any = BatchNorm(train=True)
    x = jnp.full((2, 3, 6), 0.3)

    def total(x):
        out, _ = module.apply(_variables(), x, mutable=["batch_stats"])
        return jnp.square(out).sum()

    assert np.isfinite(jax.grad(total)(x)).all()
