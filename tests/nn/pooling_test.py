import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.pooling import max_pool, max_unpool

# Shape without the batch, window, stride, padding.
GRID = [
    ((6, 2), 2, 2, 0),
    ((7, 2), 3, 2, 1),
    ((6, 6, 2), 2, 2, 0),
    ((5, 7, 2), (2, 3), (1, 2), (0, 1)),
    ((7, 7, 1), 2, 3, 0),
]


pool = jax.jit(max_pool, static_argnums=(1, 2, 3))


def flat(x):
    return np.asarray(x).reshape(x.shape[0], -1, x.shape[-1])


@pytest.mark.parametrize(("shape", "window", "stride", "padding"), GRID)
def test_maxima_stand_where_the_indices_say(shape, window, stride, padding):
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    x = jnp.asarray(x)
    pooled = pool(x, window, stride, padding)
    taken = np.take_along_axis(flat(x), flat(pooled.indices), axis=1)
    np.testing.assert_array_equal(taken, flat(pooled.values))
    dims = (1, *pooled.window, 1)
    pads = ((0, 0), *((p, p) for p in pooled.padding), (0, 0))
    steps = (1, *pooled.stride, 1)
    want = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, dims, steps, pads)
    np.testing.assert_array_equal(pooled.values, want)


@pytest.mark.parametrize(("shape", "window", "stride", "padding"), GRID)
def test_unpooling_keeps_the_maxima_and_zeros_the_rest(shape, window, stride, padding):
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    x = jnp.asarray(x)
    pooled = pool(x, window, stride, padding)
    back = jax.jit(max_unpool)(pooled.values, pooled)
    want = np.zeros_like(flat(x))
    np.put_along_axis(want, flat(pooled.indices), flat(pooled.values), axis=1)
    assert back.shape == x.shape
    np.testing.assert_array_equal(flat(back), want)


def test_gradients_go_to_the_maxima_alone():
    x = jnp.array([3.0, 3.0, 1.0, 2.0])[None, :, None]  # the first of equal maxima
    weights = jnp.array([[5.0], [7.0]])
    g = jax.jit(jax.grad(lambda x: (max_pool(x, 2, 2).values * weights).sum()))
    np.testing.assert_array_equal(g(x)[0, :, 0], [5.0, 0.0, 0.0, 7.0])


def test_of_two_windows_with_one_maximum_the_later_wins():
    pooled = pool(jnp.array([1.0, 9.0, 2.0])[None, :, None], 2, 1, 0)
    np.testing.assert_array_equal(pooled.indices[0, :, 0], [1, 1])

    def first(values):
        return max_unpool(values, pooled)[0, :, 0]

    values = jnp.array([4.0, 5.0])[None, :, None]
    np.testing.assert_array_equal(jax.jit(first)(values), [0.0, 5.0, 0.0])
    g = jax.jit(jax.grad(lambda v: first(v).sum()))(values)
    np.testing.assert_array_equal(g[0, :, 0], [0.0, 1.0])


def test_it_passes_through_jit():
    pooled = pool(jnp.arange(12.0).reshape(1, 6, 2), 2, 2, 0)
    assert (pooled.shape, pooled.window) == ((6,), (2,))
    np.testing.assert_array_equal(
        jax.jit(max_unpool)(pooled.values, pooled)[0, 1], [2.0, 3.0]
    )


def test_what_is_not_a_number_stays_seen():
    values = pool(jnp.array([1.0, jnp.nan, 3.0, 2.0])[None, :, None], 2, 2, 0).values
    np.testing.assert_array_equal(values[0, :, 0], [np.nan, 3.0])


def test_what_does_not_fit_is_refused():
    x = jnp.zeros((1, 4, 2))
    with pytest.raises(ValueError, match="more than half"):
        max_pool(x, 2, 2, 2)
    with pytest.raises(ValueError, match="does not fit"):
        max_pool(x, 5, 1)
    with pytest.raises(ValueError, match="at least 1"):
        max_pool(x, 2, 0)
    with pytest.raises(ValueError, match=r"got shape \(4, 2\)"):
        max_pool(x[0], 2, 2)
    pooled = pool(x, 2, 2, 0)
    with pytest.raises(ValueError, match="what was pooled has"):
        max_unpool(x, pooled)
