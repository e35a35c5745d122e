import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from sigjax.losses import reconstruction as losses


def _pair(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 4, 2)).astype("f4"), rng.random((3, 4, 2), "f4")


def _density(prediction, x, scale):
    return -scipy.stats.norm.logpdf(x.astype("f8"), prediction, scale)


def _entropy(logits, x):
    p = scipy.special.expit(logits.astype("f8"))
    return -x * np.log(p) - (1 - x) * np.log(1 - p)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("mse", lambda p, x: (p - x) ** 2),
        ("l1", lambda p, x: abs(p - x)),
        ("bernoulli", _entropy),
        ("gaussian", lambda p, x: _density(p, x, np.exp(0.3))),
    ],
)
def test_equal_to_the_formula_as_mean_and_as_sum(kind, values):
    prediction, x = _pair()
    for reduce in ("mean", "sum"):
        found = losses.reconstruction(
            kind, jnp.asarray(prediction), jnp.asarray(x), reduce=reduce, log_scale=0.3
        )
        expected = getattr(values(prediction, x), reduce)(axis=(1, 2))
        assert found.shape == (3,) and found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_bernoulli_keeps_small_losses_and_refuses_what_is_no_probability():
    logits = jnp.asarray([[40.0], [-40.0], [30.0], [0.0], [0.0]])
    x = jnp.asarray([[1.0], [0.0], [0.0], [1.0001], [-0.0001]])
    found = np.asarray(losses.bernoulli(logits, x))
    np.testing.assert_allclose(found[:3], [np.exp(-40), np.exp(-40), 30], rtol=1e-5)
    assert np.isnan(found[3:]).all()


def test_a_learned_scale_is_best_at_the_root_mean_square_error():
    prediction, x = (jnp.asarray(v) for v in _pair())
    rmse = jnp.sqrt(losses.mse(prediction, x).mean())

    def slope(log_scale):
        return jax.grad(lambda s: losses.gaussian(prediction, x, s).mean())(log_scale)

    assert abs(slope(jnp.log(rmse))) < 1e-5
    assert slope(jnp.log(rmse) + 0.1) > 0.1 > -0.1 > slope(jnp.log(rmse) - 0.1)


def test_shapes_that_would_broadcast_are_refused():
    x = jnp.zeros((3, 4))
    with pytest.raises(ValueError, match=r"\(3, 1\) is not one of \(3, 4\)"):
        losses.mse(x[:, :1], x)


def test_l2_is_of_kernels_alone():
    params = {
        "encoder": {
            "layer0": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 5.0)},
            "layer1": {"norm": {"scale": jnp.full(3, 5.0), "bias": jnp.full(3, 5.0)}},
        },
        "log_scale": jnp.asarray(5.0),
    }
    assert losses.kernel_l2(params) == 24
    gradient = jax.grad(losses.kernel_l2)(params)
    np.testing.assert_array_equal(gradient["encoder"]["layer0"].pop("kernel"), 4.0)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_a_logarithm_counts_small_errors_as_much_as_large_ones():
    x = np.random.default_rng(3).normal(size=(2, 50)).astype(np.float32)
    error = np.random.default_rng(4).normal(size=50).astype(np.float32)
    # 20 dB apart.
    found = x + np.stack([error, 0.1 * error])

    def loss(prediction):
        return losses.reconstruction("log_mse", prediction, jnp.asarray(x)).sum()

    value = losses.log_mse(jnp.asarray(found), jnp.asarray(x))
    np.testing.assert_allclose(value, np.log(np.square(found - x).mean(axis=1)), 1e-5)
    # What the same relative step gains is the same.
    slope = (jax.grad(loss)(jnp.asarray(found)) * (found - x)).sum(axis=1)
    np.testing.assert_allclose(slope, 2.0, rtol=1e-3)
    assert np.isfinite(loss(jnp.asarray(x)))
