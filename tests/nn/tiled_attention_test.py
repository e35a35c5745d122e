import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn import attention, tiled_attention
from sigjax.nn.attention import attend


def _inputs(tokens, keys, dtype="f4"):
    random = np.random.default_rng(0)
    shapes = [(2, tokens, 3, 8), (2, keys, 3, 8), (2, keys, 3, 8), (2, tokens, 3, 8)]
    return [jnp.asarray(2 * random.normal(size=s).astype("f4"), dtype) for s in shapes]


def _both(function, inputs):
    q, k, v, grad = inputs
    out, back = jax.vjp(function, q, k, v)
    return out, *back(grad.astype(out.dtype))


@pytest.mark.parametrize(("tokens", "keys"), [(40, 40), (33, 21)])
def test_tiles_change_neither_values_nor_gradients(tokens, keys, monkeypatch):
    monkeypatch.setattr(tiled_attention, "_QUERIES", 16)
    inputs = _inputs(tokens, keys)
    got = jax.jit(lambda x: _both(tiled_attention.tiled_attention, x))(inputs)
    expected = jax.jit(
        lambda x: _both(
            lambda q, k, v: jax.nn.dot_product_attention(q, k, v, implementation="xla"),
            x,
        )
    )(inputs)
    for one, two in zip(got, expected, strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, atol=3e-5)


def test_half_precision_keeps_its_dtype_and_stays_near(monkeypatch):
    monkeypatch.setattr(tiled_attention, "_QUERIES", 16)
    both = jax.jit(lambda x: _both(tiled_attention.tiled_attention, x))
    exact, half = both(_inputs(40, 40)), both(_inputs(40, 40, "bfloat16"))
    for one, two in zip(half, exact, strict=True):
        assert one.dtype == jnp.bfloat16
        error = jnp.linalg.norm(one.astype("f4") - two) / jnp.linalg.norm(two)
        assert float(error) < 0.02


def test_many_tokens_take_it(monkeypatch):
    calls = []

    def spy(q, k, v):
        calls.append(q.shape[1])
        return q

    monkeypatch.setattr(attention, "tiled_attention", spy)
    for tokens in (512, 513):
        q = jnp.zeros((1, tokens, 1, 2))
        attend(q, q, q, "recompute")
        attend(q, q, q, "recompute", jnp.array([3]))
    assert calls == [513]
