import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.adversarial import critic_loss, generator_loss, squared_gradient

RNG = np.random.default_rng(0)
REAL, MADE = jnp.asarray(RNG.normal(0, 3, (2, 64)), jnp.float32)
GAMES = ("non_saturating", "min_max", "hinge")


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_losses_are_the_papers_logarithms_and_hinges():
    likelihood = -np.log(sigmoid(REAL)) - np.log(1 - sigmoid(MADE))
    for game in ("non_saturating", "min_max"):
        np.testing.assert_allclose(critic_loss(game, REAL, MADE), likelihood, rtol=2e-5)
    hinge = np.maximum(0, 1 - REAL) + np.maximum(0, 1 + MADE)
    np.testing.assert_allclose(critic_loss("hinge", REAL, MADE), hinge, rtol=1e-6)
    expected = {
        "min_max": np.log(1 - sigmoid(MADE)),
        "non_saturating": -np.log(sigmoid(MADE)),
        "hinge": -np.asarray(MADE),
    }
    for game, values in expected.items():
        np.testing.assert_allclose(generator_loss(game, MADE), values, rtol=2e-5)


def test_a_critic_that_knows_one_half_everywhere_pays_log_four():
    zeros = jnp.zeros(3)
    np.testing.assert_allclose(
        critic_loss("min_max", zeros, zeros), np.log(4), rtol=1e-6
    )


def test_min_max_is_a_game_of_zero_sum_in_what_is_made():
    critic = critic_loss("min_max", REAL, MADE) - critic_loss(
        "min_max", REAL, jnp.full(64, -jnp.inf)
    )
    np.testing.assert_allclose(critic, -generator_loss("min_max", MADE), atol=1e-5)


def test_the_non_saturating_gradient_is_that_of_min_max_but_longer_where_rejected():
    """Of each example, in the generator's parameters, not in logits alone."""
    kernel = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
    direction = jnp.asarray(RNG.normal(size=4), jnp.float32)

    def gradient(game, z):
        def loss(kernel):
            made = jnp.tanh(z @ kernel) @ direction
            return generator_loss(game, made[None])[0], made

        return jax.grad(loss, has_aux=True)(kernel)

    for z in jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32):
        own, made = gradient("non_saturating", z)
        other, _ = gradient("min_max", z)
        np.testing.assert_allclose(own, np.exp(-made) * other, rtol=1e-4, atol=1e-7)
        assert np.abs(own).max() > 1e-3


@pytest.mark.parametrize("game", GAMES)
def test_losses_stay_finite_and_slopes_have_their_signs(game):
    logits = jnp.array([-200.0, -0.5, 0.5, 200.0])
    loss, back = jax.vjp(lambda made: generator_loss(game, made), logits)
    (slope,) = back(jnp.ones(4))
    assert np.isfinite(loss).all() and (np.asarray(slope) <= 0).all()
    loss, back = jax.vjp(lambda r, m: critic_loss(game, r, m), logits, logits)
    real, made = back(jnp.ones(4))
    assert np.isfinite(loss).all()
    assert (np.asarray(real) <= 0).all() and (np.asarray(made) >= 0).all()


def test_the_penalty_is_the_squared_gradient_by_finite_differences():
    with jax.enable_x64():
        first = jnp.asarray(RNG.normal(size=(6, 5)))
        second = jnp.asarray(RNG.normal(size=5))
        x = RNG.normal(size=(4, 3, 2))

        def critic(x):
            return jnp.tanh(x.reshape(len(x), -1) @ first) @ second

        found = squared_gradient(critic, jnp.asarray(x))
        expected = np.zeros(4)
        for i in np.ndindex(3, 2):
            ahead, behind = x.copy(), x.copy()
            ahead[:, *i] += 1e-5
            behind[:, *i] -= 1e-5
            slope = (critic(jnp.asarray(ahead)) - critic(jnp.asarray(behind))) / 2e-5
            expected += np.asarray(slope) ** 2
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_such_game():
    unchecked = getattr(critic_loss, "__wrapped__", critic_loss)  # types are not
    with pytest.raises(ValueError, match="non_saturating, min_max or hinge"):
        unchecked("wasserstein", REAL, MADE)
