import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal.spec_augment import random_masks, spec_augment

AST = functools.partial(spec_augment, time_width=192, band_width=48)


def test_one_stretch_of_time_and_one_of_bands_are_hidden_in_every_example():
    x = jnp.ones((20, 1024, 128))
    gone = np.asarray(jax.jit(AST)(x, jax.random.key(0))) == 0
    frames, bands = gone.all(axis=2), gone.all(axis=1)
    np.testing.assert_array_equal(gone, frames[:, :, None] | bands[:, None, :])
    for hidden in (frames, bands):
        edges = np.abs(np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1))
        assert set(edges.sum(axis=1)) <= {0, 2}  # one stretch, or none
        assert len({tuple(row) for row in hidden}) > 10  # each has its own


def test_widths_and_places_are_uniform():
    masks = jax.jit(random_masks, static_argnums=(1, 2), static_argnames="width")
    hidden = np.asarray(masks(jax.random.key(0), 20_000, 128, width=48))
    count = hidden.sum(axis=1)
    assert set(count) == set(range(48))  # floor(48 u)
    assert np.bincount(count).min() > 0.7 * 20_000 / 48
    assert np.bincount(count).max() < 1.3 * 20_000 / 48
    middle = hidden.mean(axis=0)[40:-40]
    assert middle.std() < 0.05 * middle.mean()


def test_places_are_those_of_the_definition():
    key = jax.random.key(5)
    got = np.asarray(random_masks(key, 20, 50, width=30, masks=2))
    u1, u2 = np.asarray(jax.random.uniform(key, (2, 20, 2)), np.float32)
    expected = np.zeros((20, 50), bool)
    for row in range(20):
        for mask in range(2):
            width = np.float32(30) * u1[row, mask]
            first = int(u2[row, mask] * (np.float32(50) - width))
            expected[row, first : first + int(width)] = True
    np.testing.assert_array_equal(got, expected)


def test_value_dtype_and_widths_of_zero():
    x = jnp.ones((2, 40, 8), jnp.bfloat16)
    got = spec_augment(x, jax.random.key(0), time_width=0, band_width=0)
    np.testing.assert_array_equal(got, x)
    got = spec_augment(x, jax.random.key(0), time_width=40, band_width=0, value=-3)
    assert got.dtype == x.dtype
    assert set(np.unique(np.asarray(got, "f4"))) == {-3.0, 1.0}
    none = spec_augment(x, jax.random.key(0), time_width=40, band_width=8, masks=0)
    np.testing.assert_array_equal(none, x)


def test_a_mask_wider_than_the_spectrogram_is_refused():
    with pytest.raises(ValueError, match="192 do not fit into 100"):
        AST(jnp.ones((1, 100, 128)), jax.random.key(0))
