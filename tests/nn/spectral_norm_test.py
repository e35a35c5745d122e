import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.spectral_norm import (
    largest_singular_value,
    power_iteration,
    spectrally_normalised,
)

KEY = jax.random.key(0)


class Kernel(nn.Module):
    """A kernel of any shape, normalised."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, train=False):
        kernel = self.param("kernel", nn.initializers.normal(3.0), self.shape)
        return spectrally_normalised(self, kernel, train)


def largest(kernel):
    """By NumPy's SVD, of the matrix of a kernel."""
    matrix = np.asarray(kernel).reshape(-1, kernel.shape[-1])
    return np.linalg.svd(matrix, compute_uv=False)[0]


@functools.cache
def steps(shape):
    module = Kernel(shape)

    @jax.jit
    def step(variables):
        kernel, changed = module.apply(variables, True, mutable=["spectral"])
        return kernel, {**variables, **changed}

    return jax.jit(module.init)(KEY), step


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (3, 4, 6), (3, 3, 2, 8), (4, 1)])
def test_the_largest_singular_value_of_a_normalised_kernel_goes_to_one(shape):
    variables, step = steps(shape)
    errors = []
    for _ in range(150):
        kernel, variables = step(variables)
        errors.append(abs(largest(kernel) - 1))
    assert kernel.shape == shape and largest(variables["params"]["kernel"]) > 3
    assert errors[-1] < 1e-4 and errors[0] < 0.1
    # The singular vectors are NumPy's, up to a sign in both.
    matrix = np.asarray(variables["params"]["kernel"]).reshape(-1, shape[-1])
    left, _, right = np.linalg.svd(matrix)
    for found, expected in (("left", left[:, 0]), ("right", right[0])):
        vector = np.asarray(variables["spectral"][found])
        assert abs(vector @ expected) == pytest.approx(1, abs=1e-4)


def test_a_kernel_that_moves_is_followed_by_one_iteration_a_step():
    variables, step = steps((7, 5))
    drift = jax.random.normal(jax.random.key(1), (7, 5)) * 0.02
    for _ in range(150):
        _, variables = step(variables)
    for _ in range(50):
        params = jax.tree.map(lambda k: k + drift, variables["params"])
        kernel, variables = step({**variables, "params": params})
        assert abs(largest(kernel) - 1) < 0.02


def test_what_is_evaluated_is_normalised_by_the_vectors_as_they_are():
    variables, step = steps((3, 4, 6))
    module = Kernel((3, 4, 6))
    _, later = step(variables)
    found = module.apply(variables)
    state = variables["spectral"]
    matrix = np.asarray(variables["params"]["kernel"]).reshape(-1, 6)
    sigma = state["left"] @ matrix @ state["right"]
    np.testing.assert_allclose(found, variables["params"]["kernel"] / sigma, rtol=1e-5)
    # A step of training has moved them, and training may leave them where they were.
    assert np.abs(later["spectral"]["right"] - state["right"]).max() > 1e-6
    frozen = module.apply(variables, True)
    np.testing.assert_allclose(frozen, module.apply(later), rtol=1e-5)


def test_no_gradient_passes_through_the_vectors_and_equation_12_holds():
    rng = np.random.default_rng(0)
    matrix = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    weight = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    start = jnp.ones(3)

    def loss(matrix):
        left, right = power_iteration(matrix, start, 2)  # far from converged
        return (weight * matrix / largest_singular_value(matrix, left, right)).sum()

    left, right = power_iteration(matrix, start, 2)
    sigma = left @ matrix @ right
    lam = (weight * matrix).sum() / sigma
    expected = (weight - lam * jnp.outer(left, right)) / sigma
    np.testing.assert_allclose(jax.grad(loss)(matrix), expected, rtol=1e-4, atol=1e-5)


def test_a_kernel_of_zeros_stays_finite():
    module = Kernel((4, 3))
    variables = jax.tree.map(jnp.zeros_like, jax.jit(module.init)(KEY))
    assert np.isfinite(module.apply(variables, True)).all()
