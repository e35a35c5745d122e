"""Griffin-Lim and mel inversion against librosa, and sounds that come back."""

import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from sigjax.evals.autoencoders import inversion
from sigjax.signal.mel import MelConfig, log_mel

SIZES = {"n_fft": 128, "hop": 32}
CONFIG = MelConfig(rate_hz=4000, n_mels=24, **SIZES)


def sound(n=1024):
    t = np.arange(n) / 4000
    chirp = np.sin(2 * np.pi * (200 * t + 400 * t**2))
    return 0.3 * np.exp(-(((t - 0.12) / 0.07) ** 2)) * chirp


@pytest.mark.survival
def test_spectra_are_librosas_and_come_back():
    wave = sound()
    found = inversion.stft(wave, **SIZES)
    expected = librosa.stft(wave, n_fft=128, hop_length=32, pad_mode="constant")
    np.testing.assert_allclose(found, expected.T, atol=1e-10)
    again = inversion.istft(found, samples=len(wave), **SIZES)
    np.testing.assert_allclose(again, wave, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_is_librosas(momentum):
    wave = sound()
    magnitude = np.abs(inversion.stft(wave, **SIZES))
    found = inversion.griffin_lim(
        magnitude, samples=len(wave), rounds=8, momentum=momentum, seed=None, **SIZES
    )
    expected = librosa.griffinlim(
        magnitude.T,
        n_iter=8,
        hop_length=32,
        n_fft=128,
        length=len(wave),
        pad_mode="constant",
        momentum=momentum,
        init=None,
        dtype=np.float64,
    )
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_bands_of_the_magnitudes_are_the_bands_given():
    wave = sound()
    bands = np.asarray(log_mel(jnp.asarray(wave, jnp.float32), CONFIG))
    bands = np.maximum(bands, bands.max() - 60)
    found = inversion.magnitudes(bands, CONFIG)
    assert found.shape == (33, 65) and (found >= 0).all()
    weights = librosa.filters.mel(sr=4000, n_fft=128, n_mels=24)
    power, wanted = found**2 @ weights.T, 10 ** (bands / 10)
    assert np.linalg.norm(power - wanted) < 0.02 * np.linalg.norm(wanted)
    theirs = librosa.feature.inverse.mel_to_stft(
        wanted.T, sr=4000, n_fft=128, power=2.0
    )
    error = np.linalg.norm(power - wanted)
    assert error <= 1.01 * np.linalg.norm(theirs.T**2 @ weights.T - wanted) + 1e-9


def test_a_models_input_becomes_a_sound_of_that_input():
    wave = sound()
    top_db = 60.0

    def values_of(x):
        bands = np.asarray(log_mel(jnp.asarray(x, jnp.float32), CONFIG))
        return np.clip(1 + (bands - bands.max()) / top_db, 0, 1)

    wanted = values_of(wave)
    found = inversion.to_sound(wanted[..., None], CONFIG, top_db=top_db, rounds=20)
    assert found.dtype == np.float32 and len(found) == 32 * 32
    assert np.abs(found).max() == pytest.approx(0.5)
    assert np.abs(values_of(found) - wanted).mean() < 0.05
    again = inversion.to_sound(wanted, CONFIG, top_db=top_db, rounds=20)
    np.testing.assert_array_equal(again, found)


def test_silence_is_silent():
    found = inversion.to_sound(np.zeros((9, 24)), CONFIG, top_db=80, rounds=2)
    assert found.shape == (256,) and not found.any()


def test_mistakes_are_told():
    with pytest.raises(ValueError, match=r"\[t, 24\] by the config, not \(4, 8\)"):
        inversion.magnitudes(np.zeros((4, 8)), CONFIG)
    with pytest.raises(ValueError, match=r"magnitudes \[t, 65\], not \(4, 64\)"):
        inversion.griffin_lim(np.zeros((4, 64)), samples=64, **SIZES)
    with pytest.raises(ValueError, match="0 or more"):
        inversion.griffin_lim(np.full((4, 65), -1.0), samples=64, **SIZES)
    with pytest.raises(ValueError, match="320 samples need 11 frames, not 4"):
        inversion.istft(np.zeros((4, 65)), samples=320, **SIZES)
