"""Losses of masks by their formulas, and where they must vanish."""

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.events import binary_cross_entropy
from sigjax.losses.segmentation import dice, weighted_cross_entropy


def test_it_is_the_formula():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    target = (rng.random((2, 5, 4, 3)) < 0.4).astype(np.float32)
    given = jnp.asarray(logits), jnp.asarray(target)
    p = 1 / (1 + np.exp(-logits))
    both, total = (p * target).sum((1, 2)), (p + target).sum((1, 2))
    wanted = (1 - (2 * both + 1.0) / (total + 1.0)).mean(axis=-1)
    np.testing.assert_allclose(dice(*given), wanted, rtol=1e-5)
    # Of frames, too.
    np.testing.assert_allclose(
        dice(*(x.reshape(2, 20, 3) for x in given)), wanted, rtol=1e-5
    )


def test_what_is_right_costs_nothing_even_if_nothing_is_there():
    target = jnp.zeros((2, 6, 6, 2)).at[0, :3, :, 0].set(1.0)
    sure = jnp.where(target > 0, 40.0, -40.0)
    np.testing.assert_allclose(dice(sure, target), 0.0, atol=1e-6)
    assert (dice(-sure, target) > 0.4).all()


def test_weighted_cross_entropy_is_the_formula_and_plain_with_a_weight_of_1():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, 5, 4, 3)).astype(np.float32)
    target = (rng.random((2, 5, 4, 3)) < 0.4).astype(np.float32)
    p = 1 / (1 + np.exp(-logits.astype(float)))
    each = -6.0 * target * np.log(p) - (1 - target) * np.log(1 - p)
    given = jnp.asarray(logits), jnp.asarray(target)
    found = weighted_cross_entropy(*given, 6.0)
    np.testing.assert_allclose(found, each.mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(
        weighted_cross_entropy(*given),
        binary_cross_entropy(*(x.reshape(2, -1) for x in given)),
        rtol=1e-6,
    )
    far = jnp.asarray([[[200.0, -200.0]]])
    right = weighted_cross_entropy(far, jnp.asarray([[[1.0, 0.0]]]), 6.0)
    np.testing.assert_allclose(right, 0.0, atol=1e-6)
    wrong = weighted_cross_entropy(far, jnp.asarray([[[0.0, 1.0]]]), 6.0)
    np.testing.assert_allclose(wrong, (200 + 6 * 200) / 2)


def test_it_is_least_where_odds_are_so_many_times_the_datas():
    """A fiftieth of the places is true, and nothing tells which."""
    target = jnp.zeros((1, 50, 1)).at[0, 0].set(1.0)

    def slope(p):
        logit = jnp.full((1, 50, 1), np.log(p / (1 - p)), jnp.float32)
        return jax.grad(lambda z: weighted_cross_entropy(z, target, 8.0).sum())(logit)

    assert abs(slope(8 / (8 + 49)).sum()) < 1e-6
    assert slope(0.02).sum() < -1e-2 and slope(0.3).sum() > 1e-2


def test_its_gradient_raises_what_is_missing_and_lowers_what_is_false():
    target = jnp.zeros((1, 4, 2)).at[0, :2, 0].set(1.0)
    slope = jax.grad(lambda z: dice(z, target).sum())(jnp.zeros((1, 4, 2)))
    np.testing.assert_array_equal(np.sign(slope), np.where(target > 0, -1, 1))
