import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal.mixup import mix, mixed_target

WAVE = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5)).astype("f4"))
_mix = jax.jit(mix, static_argnames=("probability", "alpha"))


def test_every_example_is_itself_and_another_by_its_share():
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 5)).astype("f4"))
    label = jnp.arange(2000)  # who it is
    mixed = _mix(jax.random.key(0), wave, label, probability=0.5, alpha=10)
    share, other = np.asarray(mixed.share), np.asarray(mixed.other)
    assert sorted(other) == list(range(2000))
    expected = share[:, None] * wave + (1 - share[:, None]) * wave[other]
    np.testing.assert_allclose(mixed.wave, expected, rtol=1e-5, atol=1e-6)
    assert (share == 1).mean() == pytest.approx(0.5, abs=0.05)
    drawn = share[share < 1]  # of Beta(10, 10)
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert drawn.var() == pytest.approx(1 / (4 * 21), rel=0.2)


def test_targets_of_several_labels_are_mixed_like_the_waves():
    target = (np.random.default_rng(1).random((8, 4)) < 0.5).astype("f4")
    key = jax.random.key(0)
    several = _mix(key, WAVE, jnp.asarray(target), probability=1, alpha=1)
    single = _mix(key, WAVE, jnp.arange(8), probability=1, alpha=1)
    np.testing.assert_array_equal(several.wave, single.wave)
    np.testing.assert_array_equal(several.other, target[np.asarray(single.other)])
    got = mixed_target(jnp.asarray(target), several.other, several.share)
    share = np.asarray(several.share)[:, None]
    expected = share * target + (1 - share) * target[np.asarray(single.other)]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_an_alpha_of_1_is_uniform():
    share = _mix(jax.random.key(0), WAVE, jnp.arange(8), probability=1, alpha=1).share
    keys = jax.random.split(jax.random.key(0), 3)
    np.testing.assert_array_equal(share, jax.random.uniform(keys[1], (8,)))


def test_keys_decide_and_no_probability_changes_nothing():
    label = jnp.arange(8)
    first, again, third = (
        _mix(jax.random.key(seed), WAVE, label, probability=1, alpha=1).wave
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, third)
    none = _mix(jax.random.key(0), WAVE, label, probability=0, alpha=1)
    np.testing.assert_array_equal(none.wave, WAVE)
    np.testing.assert_array_equal(none.share, 1)
