"""Maps of where a score comes from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from sigjax.evals.anomaly.registry import make
from sigjax.inference.base import BundleError
from sigjax.inference.sounds import map as sound_map
from sigjax.models.section_classifier import SectionOutput
from sigjax.signal.stft import stft_magnitude
from tests.inference import tiny_sounds
from tests.inference.tiny_sounds import CLIP_S, RATE_HZ, SAMPLES, hum


@pytest.fixture(scope="module")
def pump():
    return tiny_sounds.detector(tiny_sounds.classifier())


@pytest.fixture(scope="module")
def autoencoder():
    return tiny_sounds.detector(tiny_sounds.autoencoder())


def odd(seconds=CLIP_S):
    """A pump's hum with a whistle of 2 kHz in its second half."""
    wave = hum(seconds, seed=9, hz=300.0)
    t = np.arange(len(wave)) / RATE_HZ
    return wave + np.float32(0.3 * np.sin(2 * np.pi * 2000 * t) * (t > seconds / 2))


@pytest.mark.parametrize("seconds", [CLIP_S, 2.3 * CLIP_S, 0.37 * CLIP_S])
def test_a_classifier_s_map_sums_to_the_score_above_the_baseline(pump, seconds):
    """Completeness, Sundararajan et al. 2017, also of long and repeated waves."""
    wave = hum(seconds, seed=9, hz=1300.0)
    found = pump.anomaly_map(wave, steps=48, smooth=0)
    assert found.value.shape == (1 + len(wave) // 128, 16)
    assert found.value.dtype == np.float32 and found.unit == "score"
    assert found.score == pump.score(wave).score[0]
    above = found.score - found.baseline
    assert abs(above) > 1e-3  # else the law would say nothing
    # A nearest neighbour's distance has kinks, which equal steps pass by.
    assert found.value.sum() == pytest.approx(above, rel=0.02)
    smooth = pump.anomaly_map(wave, steps=48, smooth=1.5)
    assert smooth.value.sum() == pytest.approx(found.value.sum(), rel=1e-4)
    assert np.abs(np.diff(smooth.value, axis=0)).max() < (
        np.abs(np.diff(found.value, axis=0)).max()
    )


def test_the_law_is_tight_where_the_score_is_smooth(pump):
    """The mean's distance has no kinks; the network's own are few."""
    given = dict(backend="distance_to_mean", features="network")
    fitted = pump.fit(hum(6.0, hz=300.0), machine="saw", **given)
    found = fitted.anomaly_map(odd(), machine="saw", steps=150, smooth=0)
    assert found.value.sum() == pytest.approx(found.score - found.baseline, rel=2e-3)


def test_a_confidence_s_map_obeys_the_law_too(pump):
    fitted = pump.fit(hum(6.0, hz=300.0), machine="saw", backend="confidence")
    for seconds in (CLIP_S, 1.7 * CLIP_S):
        found = fitted.anomaly_map(odd(seconds), machine="saw", steps=150, smooth=0)
        above = found.score - found.baseline
        assert found.value.sum() == pytest.approx(above, rel=0.02)


def test_an_autoencoder_s_map_shows_the_squared_residuals(autoencoder):
    """Each frame and band is the mean over the vectors of 3 frames that hold it."""
    wave = odd()
    found = autoencoder.anomaly_map(wave, smooth=0)
    residual = autoencoder.network.residuals(wave[None])[0].reshape(-1, 3, 16)
    square = residual.astype(np.float64) ** 2
    assert found.unit == "dB2" and found.value.shape == (len(residual) + 2, 16)
    np.testing.assert_allclose(found.value[0], square[0, 0], rtol=1e-5)
    middle = (square[5, 2] + square[6, 1] + square[7, 0]) / 3
    np.testing.assert_allclose(found.value[7], middle, rtol=1e-5)
    counts = np.minimum(np.minimum(np.arange(32), 31 - np.arange(32)) + 1, 3)
    error = (found.value * counts[:, None]).sum() / square.size
    assert error == pytest.approx(square.mean(), rel=1e-5)


def test_a_whistle_is_found_where_it_is(autoencoder):
    """Half a second of it in two seconds, at 2 kHz."""
    wave = hum(2.0, seed=9, hz=300.0)
    t = np.arange(len(wave)) / RATE_HZ
    wave += np.float32(0.5 * np.sin(2 * np.pi * 2000 * t) * (t > 1.2) * (t < 1.7))
    difference = (
        autoencoder.anomaly_map(wave).value
        - autoencoder.anomaly_map(hum(2.0, seed=9, hz=300.0)).value
    )
    found = autoencoder.anomaly_map(wave)
    frame, band = np.unravel_index(np.abs(difference).argmax(), difference.shape)
    assert 1.15 < found.time_s[frame] < 1.75
    assert found.frequency_hz[band] == pytest.approx(2000, rel=0.15)


def test_a_map_of_the_spectrum_is_in_deviations_from_normal(pump):
    normal = hum(8.0, hz=300.0)
    fitted = pump.fit(normal, machine="saw")
    wave = hum(2.0, seed=9, hz=300.0)
    t = np.arange(len(wave)) / RATE_HZ
    found = fitted.anomaly_map(wave, machine="saw", smooth=0)
    assert found.unit == "sd2" and found.baseline == 0
    # Of normal sound they are squared standard deviations.
    assert 0.5 < found.value.mean() < 2
    wave += np.float32(0.3 * np.sin(2 * np.pi * 2000 * t) * (t > 1.2) * (t < 1.7))
    found = fitted.anomaly_map(wave, machine="saw")
    frame, band = np.unravel_index(found.value.argmax(), found.value.shape)
    assert 1.2 < found.time_s[frame] < 1.7
    assert found.frequency_hz[band] == pytest.approx(2000, rel=0.1)


def test_a_map_is_of_one_wave_and_a_path_has_steps(pump):
    with pytest.raises(BundleError, match="a map is of one wave, got 2"):
        pump.anomaly_map(np.stack([odd(), odd()]))
    with pytest.raises(BundleError, match="steps=0"):
        pump.anomaly_map(odd(), steps=0)


class Bands:
    """A "network" of waves: energies below and above a quarter of the rate."""

    def embed(self, variables, wave):
        del variables
        power = jnp.square(stft_magnitude(wave, n_fft=1024)).mean(axis=1)
        halves = jnp.stack([power[:, :256].mean(-1), power[:, 256:].mean(-1)], -1)
        return SectionOutput(jnp.log(halves + 1e-3), jnp.zeros((len(wave), 2)))


def test_a_model_of_waves_is_entered_at_its_magnitudes():
    """The wave itself at the path's end, the mean level at its beginning."""
    enter, embed = sound_map._magnitudes(Bands(), 4096)
    enter, run = jax.jit(enter), jax.jit(Bands().embed)

    def forward(variables, x, rest):
        out = embed(variables, x[None], rest)
        return {"embedding": out.embedding[0], "logits": out.logits}

    def backward(variables, x, rest, slope):
        return jax.vjp(lambda z: forward(variables, z, rest), x)[1](slope)[0]

    path = sound_map.Path(enter, jax.jit(forward), jax.jit(backward))
    rng = np.random.default_rng(0)
    wave = jnp.asarray(0.1 * rng.normal(size=4096), jnp.float32)
    level = np.asarray(stft_magnitude(wave, n_fft=1024)).mean(axis=0)
    x, baseline, rest = enter(None, wave, level)
    _, _, theirs = scipy.signal.stft(wave, nperseg=1024)
    np.testing.assert_allclose(x, np.abs(theirs).T, atol=1e-5)
    # Our mean spectra are of another scale; inner frames see no padding.
    np.testing.assert_allclose(baseline.mean(0), x.mean(0), rtol=0.35)
    embedding = path.forward(None, x, rest)["embedding"]
    np.testing.assert_allclose(embedding, run(None, wave[None]).embedding[0], rtol=1e-4)
    backend = make("distance_to_mean").fit(np.zeros((3, 2)) + [[0.5, 0.1]], [""] * 3)
    loud = 3 * wave
    value, first = sound_map.integrated(path, None, loud[None], level, backend, "", 16)
    last = backend.score(np.asarray(run(None, loud[None]).embedding))[0]
    assert value.shape == (1, 9, 513)
    assert value.sum() == pytest.approx(last - first, rel=0.02)


def test_a_segment_that_reaches_back_is_laid_where_it_is():
    value = np.ones((2, 5, 1)) * [[[1.0]], [[10.0]]]
    starts = np.array([0, 2])
    total = sound_map._on_wave(value, starts, 6, 1, mean=False)
    assert total[:, 0].tolist() == [1, 1, 11, 11, 11, 10, 10]
    mean = sound_map._on_wave(value, starts, 6, 1, mean=True)
    assert mean[2, 0] == 5.5 and mean[0, 0] == 1
    # A wave of two samples that is repeated to four.
    short = sound_map._on_wave(value[:1], starts[:1], 2, 1, mean=False)
    assert short.sum() == 5 and len(short) == 3


def test_segments_cover_the_time_axis(pump):
    found = pump.anomaly_map(odd(2.3 * CLIP_S), steps=1)
    assert found.time_s[0] == 0
    assert found.time_s[-1] == pytest.approx(2.3 * CLIP_S, abs=128 / RATE_HZ)
    assert found.frequency_hz[0] > 100 and found.frequency_hz[-1] < RATE_HZ / 2
    assert SAMPLES == pump.network.samples
