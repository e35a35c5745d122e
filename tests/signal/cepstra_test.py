"""Cepstra and deltas against SciPy and a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from sigjax.signal.cepstra import CepstraConfig, cepstra, cosines, deltas
from sigjax.signal.fbank import fbank, valid_frames


def test_the_cosine_transform_is_scipys():
    x = np.random.default_rng(0).normal(size=(4, 23)).astype(np.float32)
    expected = scipy.fft.dct(x, norm="ortho")[:, :13]
    np.testing.assert_allclose(x @ cosines(23, 13), expected, atol=1e-5)


def test_deltas_are_a_regression_with_repeated_ends():
    x = np.random.default_rng(1).normal(size=(1, 7, 2)).astype(np.float32)
    found = np.asarray(deltas(jnp.asarray(x), jnp.array([5])))
    own = np.pad(x[0, :5], ((2, 2), (0, 0)), mode="edge")
    for t in range(5):
        slopes = np.polyfit(np.arange(-2, 3), own[t : t + 5], 1)[0]
        np.testing.assert_allclose(found[0, t], slopes, atol=1e-5)


def test_a_padded_clip_has_the_cepstra_that_it_has_alone():
    config = CepstraConfig()
    x = np.random.default_rng(2).normal(size=(1, 1600)).astype(np.float32)
    count = jnp.array([1600])
    described = jax.jit(cepstra, static_argnums=2)
    alone = described(jnp.asarray(x), count, config)
    padded = described(jnp.asarray(np.pad(x, ((0, 0), (0, 800)))), count, config)
    frames = int(valid_frames(count, config.fbank)[0])
    assert alone.shape == (1, frames, config.values) and config.values == 39
    np.testing.assert_allclose(padded[:, :frames], alone, atol=1e-4)
    bank = np.asarray(fbank(jnp.asarray(x), config.fbank)).astype(np.float64)
    expected = scipy.fft.dct(bank, norm="ortho")[..., :13]
    np.testing.assert_allclose(alone[..., :13], expected, atol=1e-3)


def test_more_coefficients_than_bands_are_refused():
    with pytest.raises(ValueError, match="n_mels = 23"):
        CepstraConfig(coefficients=24)
