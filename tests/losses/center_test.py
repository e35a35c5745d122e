import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.center import center_loss, update_centres

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype(np.float32)
CENTRES = RNG.normal(size=(4, 3)).astype(np.float32)
LABEL = np.array([2, 0, 2, 2, 1], np.int32)


def moved(weight, rate=0.5, x=X, label=LABEL):
    update = jax.jit(update_centres, static_argnums=4)
    return np.asarray(update(CENTRES, x, label, weight, rate))


def test_the_loss_is_half_the_squared_distance_to_the_own_centre():
    found = center_loss(jnp.asarray(X), jnp.asarray(CENTRES), jnp.asarray(LABEL))
    expected = [
        0.5 * ((x - CENTRES[y]) ** 2).sum() for x, y in zip(X, LABEL, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    gradient = jax.grad(
        lambda x: center_loss(x, jnp.asarray(CENTRES), jnp.asarray(LABEL)).sum()
    )(jnp.asarray(X))
    np.testing.assert_allclose(gradient, X - CENTRES[LABEL], rtol=1e-5)


def test_centres_move_by_the_equation_and_those_without_examples_stay():
    found = moved(np.ones(5, np.float32))
    for j in range(4):
        own = X[LABEL == j]
        step = sum((CENTRES[j] - x for x in own), np.zeros(3)) / (1 + len(own))
        np.testing.assert_allclose(found[j], CENTRES[j] - 0.5 * step, atol=1e-6)
    np.testing.assert_array_equal(found[3], CENTRES[3])


def test_a_share_of_an_example_counts_as_that_share():
    whole = moved(np.array([1, 1, 0, 1, 1], np.float32))
    alone = moved(
        np.ones(4, np.float32), x=np.delete(X, 2, 0), label=np.delete(LABEL, 2)
    )
    np.testing.assert_allclose(whole, alone, rtol=1e-6)
    # Two halves of an example are one.
    halves = moved(
        np.array([0.5, 0.5, 1, 1, 1, 1], np.float32),
        x=np.concatenate([X[:1], X]),
        label=np.concatenate([LABEL[:1], LABEL]),
    )
    np.testing.assert_allclose(halves, moved(np.ones(5, np.float32)), atol=1e-6)


def test_embeddings_learn_nothing_from_the_update():
    def total(x):
        return update_centres(
            jnp.asarray(CENTRES), x, jnp.asarray(LABEL), jnp.ones(5), 0.5
        ).sum()

    assert not np.asarray(jax.jit(jax.grad(total))(X)).any()
