"""The Dice loss by its formula, and where it must vanish."""

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.segmentation import dice


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


def test_its_gradient_raises_what_is_missing_and_lowers_what_is_false():
    target = jnp.zeros((1, 4, 2)).at[0, :2, 0].set(1.0)
    slope = jax.grad(lambda z: dice(z, target).sum())(jnp.zeros((1, 4, 2)))
    np.testing.assert_array_equal(np.sign(slope), np.where(target > 0, -1, 1))
