import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal import patches
from sigjax.signal.masking import index_to_mask, masked_count, random_masked_index


def test_a_day_holds_32_windows_of_50_minutes_evenly_spaced():
    day, window = 24 * 3600 * 30, 50 * 60 * 30
    starts = patches.window_starts(day, window, 32)
    assert len(starts) == 32
    assert starts[0] == 0
    assert starts[-1] == day - window
    strides = np.diff(starts)
    assert strides.max() - strides.min() <= 1
    assert strides.mean() / 30 / 60 == pytest.approx(44.839, abs=1e-3)


def test_one_window_starts_at_the_beginning():
    assert patches.window_starts(100, 60, 1) == (0,)


def test_a_window_longer_than_the_crop_is_refused():
    with pytest.raises(ValueError, match="does not fit a crop of 10 samples"):
        patches.window_starts(10, 11, 2)


def test_windows_are_slices_of_the_signal():
    x = np.arange(2 * 50 * 3, dtype=np.int16).reshape(2, 50, 3)
    cut = patches.cut_windows(jnp.asarray(x), window=20, count=4)
    assert cut.dtype == jnp.int16
    for w, start in enumerate((0, 10, 20, 30)):
        np.testing.assert_array_equal(cut[:, w], x[:, start : start + 20])


def test_patches_are_channel_major_and_invertible():
    x = np.random.default_rng(0).normal(size=(2, 12, 3)).astype(np.float32)
    found = np.asarray(patches.patchify(jnp.asarray(x), 4))
    assert found.shape == (2, 3, 12)
    np.testing.assert_array_equal(found[1, 2, 4:8], x[1, 8:12, 1])
    np.testing.assert_array_equal(patches.unpatchify(jnp.asarray(found), 3), x)


def test_patches_must_divide_the_window():
    with pytest.raises(ValueError, match="does not divide into patches of 5"):
        patches.patchify(jnp.zeros((1, 12, 3)), 5)


def test_counts_are_scaled_per_recording():
    counts = jnp.array([[[1, 2, 3]], [[4, 5, -6]]], jnp.int16)
    found = patches.dequantise(counts, jnp.array([0.5, 0.25]))
    np.testing.assert_array_equal(found[1, 0], [1.0, 1.25, -1.5])


@pytest.mark.parametrize("tokens", [5, 6, 300])
@pytest.mark.parametrize("rate", [0.3, 0.6, 0.75, 0.9])
def test_exactly_the_rounded_share_is_masked(tokens, rate):
    count = masked_count(tokens, rate)
    assert count == round(rate * tokens)
    keys = jax.random.split(jax.random.key(1), 50)
    index = jax.vmap(lambda k: random_masked_index(k, tokens, count))(keys)
    assert (np.diff(index, axis=1) > 0).all()
    assert index.min() >= 0 and index.max() < tokens
    mask = index_to_mask(index, tokens)
    np.testing.assert_array_equal(mask.sum(axis=1), count)


def test_every_position_is_masked_equally_often():
    keys = jax.random.split(jax.random.key(2), 4000)
    index = jax.vmap(lambda k: random_masked_index(k, 20, 12))(keys)
    share = np.asarray(index_to_mask(index, 20)).mean(axis=0)
    # Binomial sd .0077: five of them.
    np.testing.assert_allclose(share, 0.6, atol=0.039)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.99, 1.0])
def test_a_mask_that_hides_all_or_nothing_is_refused(rate):
    with pytest.raises(ValueError, match="at least one visible"):
        masked_count(10, rate)
