"""Spectrograms of sounds of any length, and the frequencies of a map."""

import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.evals.sound_strip import Strip, hertz, loudest_band, spectrogram
from sigjax.signal.mel import MelConfig, log_mel

RATE_HZ = 4000
RNG = np.random.default_rng(0)


def test_a_sound_in_parts_has_the_spectrogram_of_the_whole():
    wave = RNG.normal(0, 0.1, 37 * RATE_HZ + 1234).astype(np.float32)
    strip, at = Strip(RATE_HZ, most=1000), 0
    for size in (1, 100_000, 20_000, len(wave)):
        strip.feed(wave[at : at + size])
        at += size
    found = strip.close()
    whole = np.asarray(log_mel(jnp.asarray(wave), MelConfig(rate_hz=RATE_HZ)))
    frames = -(-len(wave) // 512)
    assert found.value.shape == (frames, 128)
    np.testing.assert_allclose(found.value, whole[:frames], atol=2e-3)
    assert found.duration_s == len(wave) / RATE_HZ


def test_a_long_sound_has_few_columns_that_are_means():
    wave = RNG.normal(0, 0.1, 100 * RATE_HZ).astype(np.float32)
    strip = Strip(RATE_HZ, most=50)
    for first in range(0, len(wave), 7000):
        strip.feed(wave[first : first + 7000])
    found = strip.close().value
    whole = np.asarray(log_mel(jnp.asarray(wave), MelConfig(rate_hz=RATE_HZ)))
    assert 50 <= len(found) < 100
    step = strip._step
    frames = -(-len(wave) // 512)
    expected = [
        whole[i : min(i + step, frames)].mean(0) for i in range(0, frames, step)
    ]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_moment_has_a_spectrogram_and_silence_of_nothing_has_none():
    assert spectrogram(RNG.normal(0, 0.1, 300), RATE_HZ).value.shape == (1, 128)
    with pytest.raises(ValueError, match="no sound"):
        Strip(RATE_HZ).close()


def test_the_loudest_band_is_the_narrowest_with_half_of_the_map():
    hz = np.linspace(100, 1000, 10)
    value = np.zeros((4, 10))
    value[:, 2], value[:, 6], value[:, 7], value[:, 9] = 2.0, 3.0, 3.0, -50.0
    band = loudest_band(value, hz)
    assert band is not None
    assert (band.low_hz, band.high_hz) == (pytest.approx(700), pytest.approx(800))
    assert band.share == pytest.approx(6 / 8)
    assert hertz(band) == "700-800 Hz"
    assert loudest_band(np.ones((4, 10)), hz) is None
    assert loudest_band(-np.ones((4, 10)), hz) is None
    one = loudest_band(np.eye(10)[3:4], hz * 10)
    assert one is not None and hertz(one) == "4 kHz"
