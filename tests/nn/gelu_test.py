"""The exact GELU."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from sigjax.nn.gelu import gelu

X = np.concatenate([np.linspace(-12, 12, 4001), [0.0, -0.0, 1e-30, 300.0, -300.0]])


def exact(x):
    return x * 0.5 * special.erfc(-x / np.sqrt(2))


def test_equals_the_definition_to_a_rounding():
    found = np.asarray(jax.jit(gelu)(X.astype(np.float32)), np.float64)
    wanted = exact(X.astype(np.float32).astype(np.float64))
    # Of x, not of the result: far below zero it is the difference of two halves.
    assert (np.abs(found - wanted) <= 4e-7 * np.maximum(np.abs(X), 1)).all()


def test_its_gradient_is_that_of_the_definition():
    x = X.astype(np.float32)
    found = jax.vmap(jax.grad(gelu))(jnp.asarray(x))
    wanted = special.ndtr(X) + X * np.exp(-(X**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_half_precision_is_computed_in_float32():
    x = jnp.asarray(np.linspace(-4, 4, 801), jnp.bfloat16)
    found = gelu(x)
    assert found.dtype == jnp.bfloat16
    # A rounding of the result. From an erf of 8 bits nothing would be left at -3.
    np.testing.assert_allclose(
        np.asarray(found, np.float64),
        exact(np.asarray(x, np.float64)),
        rtol=2.0**-8,
        atol=1e-6,
    )
