"""Ratios in decibels, filters against SciPy's, and a fair choice of their windows."""

import numpy as np
import pytest
from scipy import signal

from sigjax.evals.autoencoders import denoising


def waves(n=6, s=128, seed=0):
    """Sines of many pitches on an offset, two channels."""
    rng = np.random.default_rng(seed)
    turns = rng.uniform(2, 6, size=(n, 1, 2)) * np.linspace(0, 1, s)[None, :, None]
    return 3 + np.sin(2 * np.pi * turns)


def gain_db(*signals):
    return denoising.gains_db(*signals).mean()


def noised(clean, level_db, seed=0):
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    axes = tuple(range(1, clean.ndim))
    power = clean.var(axis=1, keepdims=True).mean(axis=axes, keepdims=True)
    return clean + noise * np.sqrt(power / 10 ** (level_db / 10))


def test_filters_are_scipys_about_the_mean_of_each_channel():
    noisy = noised(waves(), 5.0)
    own = noisy[3, :, 1]
    mean = own.mean()
    expected = signal.wiener(own - mean, 7) + mean
    np.testing.assert_allclose(denoising.wiener(noisy, 7)[3, :, 1], expected)
    expected = signal.medfilt(own - mean, 5) + mean
    np.testing.assert_allclose(denoising.median(noisy, 5)[3, :, 1], expected)
    one = noisy[..., 0]
    np.testing.assert_allclose(
        denoising.median(one, 5), denoising.median(noisy, 5)[..., 0]
    )
    flat = np.ones((1, 16))
    np.testing.assert_array_equal(denoising.wiener(flat, 5), flat)


@pytest.mark.parametrize("kind", ["wiener", "median"])
def test_the_window_is_the_one_that_gains_most_on_training_signals(kind):
    clean = waves()
    noisy = noised(clean, 0.0)
    found = denoising.choose(kind, clean, noisy)
    apply = getattr(denoising, kind)
    gained = {w: gain_db(clean, noisy, apply(noisy, w)) for w in denoising.WINDOWS}
    best = max(gained.values())
    assert found.gain_db == best > 3
    np.testing.assert_allclose(gain_db(clean, noisy, found.apply(noisy)), best)
    assert f", {max(gained, key=gained.get)} samples" in found.name


def test_a_filter_that_only_harms_is_left_out():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(8, 64))  # As white as the noise, and 40 dB above it.
    noisy = noised(clean, 40.0)
    found = denoising.choose("median", clean, noisy)
    assert found.name == "median, 1 samples" and abs(found.gain_db) < 1e-3


def test_stationary_gains_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    clean = np.cumsum(rng.normal(size=(800, 32)), axis=1)  # All frequencies, unevenly.
    noisy = clean + rng.normal(size=clean.shape)
    gains = denoising.stationary_gains(clean, noisy)
    assert ((gains >= 0) & (gains <= 1)).all()
    x, y = (
        np.fft.rfft(v - clean.mean(axis=1)[:, None], axis=1) for v in (clean, noisy)
    )
    best = (x * y.conj()).real.sum(axis=0) / (np.abs(y) ** 2).sum(axis=0)
    np.testing.assert_allclose(gains[1:, 0], best[1:], atol=0.06)
    assert np.ptp(best[1:]) > 0.5


def test_the_stationary_filter_is_of_training_signals_and_serves_others():
    clean = waves(40)
    noisy = noised(clean, 0.0)
    found = denoising.choose("stationary", clean, noisy)
    gains = denoising.stationary_gains(clean, noisy)
    np.testing.assert_allclose(found.apply(noisy), denoising.apply_gains(noisy, gains))
    new = waves(40, seed=3)
    assert gain_db(new, noised(new, 0.0, 9), found.apply(noised(new, 0.0, 9))) > 5


def test_gains_are_differences_of_ratios():
    clean, zero = waves(3), np.zeros((3, 128, 2))
    noisy = noised(clean, 3.0)
    found = denoising.gains_db(clean, noisy, 0.1 * noisy + 0.9 * clean)
    np.testing.assert_allclose(found, 20, atol=1e-3)
    np.testing.assert_array_equal(denoising.gains_db(zero, zero, zero), 0)


def test_mistakes_are_told():
    clean = waves()
    with pytest.raises(ValueError, match="differ"):
        denoising.gains_db(clean, clean, clean[:, :5])
    with pytest.raises(ValueError, match=r"odd numbers of samples, got \[4\]"):
        denoising.choose("median", clean, clean, windows=(3, 4))
    with pytest.raises(ValueError, match="no filter is named 'kalman'"):
        denoising.choose("kalman", clean, clean)
    with pytest.raises(ValueError, match="not \\(3,\\)"):
        denoising.median(np.zeros(3), 3)
