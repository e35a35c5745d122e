import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.layer_norm import LayerNorm, layer_norm


def _inputs(dtype="f4"):
    random = np.random.default_rng(0)
    shapes = [(3, 5, 12), (12,), (12,), (3, 5, 12)]
    made = [random.normal(size=s).astype("f4") for s in shapes]
    made[0] = 3 + 2 * made[0]
    return [jnp.asarray(m, dtype) for m in made]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_values_and_gradients_are_those_of_flax(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x, scale, bias, grad = _inputs()
    params = {"scale": scale, "bias": bias}

    def both(module):
        def run(params, x):
            return module.apply({"params": params}, x)

        @jax.jit
        def all_of(params, x):
            out, back = jax.vjp(run, params, x)
            return out, *jax.tree.leaves(back(grad))

        return all_of(params, x)

    theirs = nn.LayerNorm(1e-3, use_fast_variance=False)
    got = both(LayerNorm(1e-3, jnp.dtype("f4")))
    for one, two in zip(got, both(theirs), strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_half_precision_is_rounded_once():
    x, scale, bias, _ = _inputs()
    exact = layer_norm(x, scale, bias, 1e-6)
    module = LayerNorm(1e-6, jnp.dtype("bfloat16"))
    made = jax.jit(module.init)(jax.random.key(0), x)["params"]
    np.testing.assert_array_equal(made["scale"], 1)
    np.testing.assert_array_equal(made["bias"], 0)
    half = module.apply({"params": {"scale": scale, "bias": bias}}, x)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, exact.astype(jnp.bfloat16))
    slope = jax.grad(lambda x: layer_norm(x, scale, bias, 1e-6).astype("f4").sum())
    found = jax.jit(slope)(x.astype(jnp.bfloat16))
    assert found.dtype == jnp.bfloat16


def test_a_large_mean_costs_no_digits():
    x, scale, bias, _ = _inputs()
    near = layer_norm(x, scale, bias, 1e-6)
    far = layer_norm(x + 1024, scale, bias, 1e-6)
    np.testing.assert_allclose(far, near, atol=2e-3)


def test_a_constant_row_has_finite_gradients():
    _, scale, bias, _ = _inputs()
    slope = jax.grad(lambda x: layer_norm(x, scale, bias, 1e-6)[:, :3].sum())
    found = jax.jit(slope)(jnp.ones((2, 12)))
    assert np.isfinite(found).all()
