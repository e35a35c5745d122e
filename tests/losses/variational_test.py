import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.variational import kl_normal, sample_normal

MEAN = jnp.asarray([[0.5, -1.0, 0.0], [2.0, 0.1, -0.3]])
LOG_VARIANCE = jnp.asarray([[-1.0, 0.5, 0.0], [0.2, -2.0, 1.0]])


def test_the_closed_form_is_the_monte_carlo_estimate():
    rng = np.random.default_rng(0)
    mean, log_variance = np.asarray(MEAN, "f8"), np.asarray(LOG_VARIANCE, "f8")
    noise = rng.normal(size=(200_000, 2, 3))
    z = mean + np.exp(0.5 * log_variance) * noise
    # log q(z) - log p(z); the constants are the same.
    ratio = (-0.5 * noise**2 - 0.5 * log_variance + 0.5 * z**2).sum(axis=2)
    error = ratio.std(axis=0) / np.sqrt(len(ratio))
    assert (error < 0.01).all()
    found = np.asarray(kl_normal(MEAN, LOG_VARIANCE))
    assert (np.abs(found - ratio.mean(axis=0)) < 4 * error).all()


def test_it_is_never_negative_and_nothing_at_the_prior():
    rng = np.random.default_rng(1)
    mean, log_variance = jnp.asarray(rng.normal(size=(2, 500, 4)).astype("f4"))
    assert (kl_normal(mean, log_variance) > 0).all()
    assert (kl_normal(jnp.zeros((3, 4)), jnp.zeros((3, 4))) == 0).all()
    # To the second order it is v^2 / 4, which 1e-3 - log(1.001) in float32 is not.
    small = kl_normal(jnp.zeros((1, 1)), jnp.full((1, 1), 1e-3))
    assert small[0] == pytest.approx(1e-6 / 4, rel=0.2)
    # As the slides print it, with what they call sigma read as they use it.
    variance = jnp.exp(LOG_VARIANCE)
    printed = -0.5 * (variance + MEAN**2 - 1 - LOG_VARIANCE).sum(axis=1)
    np.testing.assert_allclose(printed, -kl_normal(MEAN, LOG_VARIANCE), rtol=1e-5)


def test_samples_have_the_mean_and_the_standard_deviation():
    keys = jax.random.split(jax.random.key(0), 40_000)
    z = sample_normal(
        jnp.broadcast_to(MEAN[0], (40_000, 3)),
        jnp.broadcast_to(LOG_VARIANCE[0], (40_000, 3)),
        keys,
    )
    std = np.exp(0.5 * np.asarray(LOG_VARIANCE[0]))
    error = std / np.sqrt(40_000)
    assert (np.abs(np.asarray(z.mean(axis=0) - MEAN[0])) < 4 * error).all()
    np.testing.assert_allclose(z.std(axis=0), std, rtol=0.02)


def test_gradients_through_samples_are_unbiased():
    """E f(z) of f = sum a (z - c)^2 has d/dmean = 2a(mean - c), d/dlogvar = a var."""
    a, c = jnp.asarray([1.0, 0.5, -2.0]), jnp.asarray([0.3, -1.0, 2.0])
    mean, log_variance = MEAN[:1], LOG_VARIANCE[:1]

    def value(mean, log_variance, key):
        z = sample_normal(mean, log_variance, key[None])
        return (a * jnp.square(z - c)).sum()

    keys = jax.random.split(jax.random.key(1), 40_000)
    drawn = jax.jit(jax.vmap(jax.grad(value, (0, 1)), (None, None, 0)))(
        mean, log_variance, keys
    )
    analytic = (2 * a * (mean - c), a * jnp.exp(log_variance))
    for found, expected in zip(drawn, analytic, strict=True):
        found = np.asarray(found, "f8")
        error = found.std(axis=0) / np.sqrt(len(found))
        assert (error > 0).all()
        assert (np.abs(found.mean(axis=0) - expected) < 4 * error).all()
