import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sigjax.losses import sparsity


def test_kl_is_the_divergence_of_two_coins_summed_over_units():
    activation = np.array([0.05, 0.2, 0.9])
    expected = sum(scipy.stats.entropy([0.05, 0.95], [a, 1 - a]) for a in activation)
    found = sparsity.kl(0.05, jnp.asarray(activation, jnp.float32))
    assert found == pytest.approx(expected, rel=1e-5)
    assert sparsity.kl(0.2, jnp.full(4, 0.2)) == pytest.approx(0, abs=1e-6)


def test_kl_pushes_every_unit_towards_the_target():
    gradient = jax.grad(lambda a: sparsity.kl(0.1, a))(jnp.asarray([0.02, 0.1, 0.6]))
    assert gradient[0] < -1 and abs(gradient[1]) < 1e-5 and gradient[2] > 1


def test_kl_is_finite_at_0_and_1_and_not_a_number_beyond():
    assert np.isfinite(sparsity.kl(0.1, jnp.asarray([0.0, 1.0])))
    assert np.isnan(sparsity.kl(0.1, jnp.asarray([0.5, 1.001])))
    assert np.isnan(sparsity.kl(0.1, jnp.asarray([0.5, -0.001])))


def test_activations_of_a_convolutional_code_are_of_channels():
    code = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype("f4")
    found = sparsity.mean_activation(jnp.asarray(code))
    np.testing.assert_allclose(found, code.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        sparsity.l1(jnp.asarray(code)), np.abs(code).sum(axis=(1, 2, 3)), rtol=1e-5
    )
    flat = jnp.asarray(code[:, 0, 0])
    np.testing.assert_array_equal(sparsity.mean_activation(flat), flat)


def test_the_active_share_counts_sizes_above_the_threshold():
    code = jnp.asarray([[0.0, 0.02, -0.5, 0.01], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(sparsity.active_share(code, 0.01), [0.5, 0.0])


@pytest.mark.parametrize(
    "wrong", [{"weight": -1.0}, {"rho": 0.0}, {"rho": 1.0}, {"active": -0.1}]
)
def test_values_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sparsity.SparsityConfig(**{"weight": 1.0, **wrong})
