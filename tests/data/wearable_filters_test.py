"""The low-pass: its response, and that cutting into chunks changes nothing."""

import numpy as np
import pytest
from scipy import signal

from sigjax.data.wearable import filters


def _filtered(counts, scale, sos, *args, **kwargs):
    chunks = filters.filtered_chunks(counts, scale, sos, *args, **kwargs)
    return np.concatenate([chunk.core for chunk in chunks], axis=1)


def _in_one_pass(acceleration, order, rate_hz):
    """SciPy's own filter over all of `[s, 3]`, `[3, s]`: its design and its padding."""
    sos = signal.butter(order, 15, fs=rate_hz, output="sos")
    padding = 3 * (order + 1)
    if len(acceleration) > padding:
        return signal.sosfiltfilt(sos, acceleration, axis=0).T
    shorter = len(acceleration) - 1
    return signal.sosfiltfilt(sos, acceleration, axis=0, padlen=shorter).T


def _impulse_response(cutoff_hz, order, rate_hz, samples=4001):
    impulse = np.zeros((samples, 3), np.float32)
    impulse[samples // 2] = 1
    sos = filters.design_lowpass(cutoff_hz, order, rate_hz)
    return _filtered(impulse, 1.0, sos)[0]


@pytest.mark.parametrize(("cutoff_hz", "rate_hz"), [(15.0, 99.2), (20.0, 100.0)])
def test_zero_phase_with_6_db_at_cutoff(cutoff_hz, rate_hz):
    response = _impulse_response(cutoff_hz, 8, rate_hz)
    np.testing.assert_allclose(response, response[::-1], atol=1e-9)

    time = np.arange(len(response)) / rate_hz

    def gain_db(hz):
        return 20 * np.log10(abs(response @ np.exp(-2j * np.pi * hz * time)))

    assert gain_db(cutoff_hz) == pytest.approx(-6.02, abs=0.02)
    assert gain_db(0) == pytest.approx(0, abs=1e-6)
    assert gain_db(cutoff_hz / 2) > -0.1
    assert gain_db(1.5 * cutoff_hz) < -60


@pytest.mark.parametrize("rate_hz", [32.0, 99.2, 200.0])
@pytest.mark.parametrize("samples", [4097, 10_000, 12_345])
def test_chunks_equal_one_pass(rate_hz, samples):
    counts = np.random.default_rng(0).integers(-2048, 2048, (samples, 3)).astype("i2")
    sos = filters.design_lowpass(15, 8, rate_hz)
    whole = _in_one_pass(counts / 256, 8, rate_hz)
    chunks = list(filters.filtered_chunks(counts, 1 / 256, sos, chunk_samples=4096))
    assert [c.start for c in chunks] == list(range(0, samples, 4096))
    np.testing.assert_allclose(
        np.concatenate([c.core for c in chunks], axis=1), whole, atol=1e-9
    )
    for chunk in chunks:
        assert chunk.first == max(chunk.start - filters.HALO, 0)
        end = min(chunk.stop + filters.HALO, samples)
        np.testing.assert_allclose(chunk.values, whole[:, chunk.first : end], atol=1e-9)


@pytest.mark.parametrize("order", range(1, 11))
@pytest.mark.parametrize("cutoff_hz", [0.1, 15.0, 49.0])
def test_design_equals_scipy(order, cutoff_hz):
    ours = filters.design_lowpass(cutoff_hz, order, 99.2)
    scipys = signal.butter(order, cutoff_hz, fs=99.2, output="sos")
    hz = np.linspace(0, 49.5, 500)
    responses = (signal.freqz_sos(sos, hz, fs=99.2)[1] for sos in (ours, scipys))
    np.testing.assert_allclose(*responses, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("samples", [1, 2, 27, 28, 345, 346, 347, 66_000])
def test_equals_scipy_at_any_length(samples, order):
    rng = np.random.default_rng(samples)
    counts = rng.integers(-512, 512, (samples, 3)).astype(np.int16)
    scale, offset_g = np.array([1 / 256, 0.01, 1.0]), np.array([0.0, -0.5, 3.0])
    sos = filters.design_lowpass(15, order, 99.2)
    expected = _in_one_pass(counts * scale + offset_g, order, 99.2)
    got = _filtered(counts, scale, sos, offset_g=offset_g)
    np.testing.assert_allclose(got, expected, atol=1e-9 * 512)


@pytest.mark.parametrize("samples", [40, 66_000])
def test_types_and_memory_layouts_of_counts(samples):
    rng = np.random.default_rng(0)
    sos = filters.design_lowpass(15, 8, 100)
    counts = rng.integers(-512, 512, (samples, 3)).astype(np.int16)
    expected = _in_one_pass(counts / 256, 8, 100)
    wide = np.zeros((2 * samples, 6), np.int16)
    wide[::2, 1:4] = counts
    readonly = counts.copy()
    readonly.flags.writeable = False
    for some in (counts.astype(np.float32), wide[::2, 1:4], readonly):
        np.testing.assert_allclose(_filtered(some, 1 / 256, sos), expected, atol=1e-9)


@pytest.mark.parametrize("samples", [1, 2, 3, 26, 27, 28])
def test_segments_shorter_than_the_padding(samples):
    counts = np.full((samples, 3), 256, np.int16)
    sos = filters.design_lowpass(15, 8, 100)
    (chunk,) = filters.filtered_chunks(counts, 1 / 256, sos)
    np.testing.assert_allclose(chunk.core, np.ones((3, samples)), atol=1e-9)


def test_without_a_filter_samples_pass_unchanged():
    counts = np.arange(30, dtype=np.int16).reshape(10, 3)
    chunks = list(filters.filtered_chunks(counts, 0.5, None, chunk_samples=4))
    np.testing.assert_array_equal(
        np.concatenate([c.core for c in chunks], axis=1), counts.T * 0.5
    )


def test_cutoff_beyond_half_the_rate_is_an_error():
    with pytest.raises(ValueError, match="half the sampling rate"):
        filters.design_lowpass(15, 8, 30)
