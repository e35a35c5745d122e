import librosa
import numpy as np
import pytest
import scipy.signal

from sigjax.signal import filters


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"f_min_hz": 200.0},
        {"f_min_hz": 1000.0},
        {"f_min_hz": 2000.0, "f_max_hz": 7000.0},
        {"rate_hz": 44100, "n_fft": 2048, "n_mels": 64},
        {"rate_hz": 22050.5, "n_fft": 801, "n_mels": 40},
        {"scale": "htk"},
        {"scale": "htk", "f_min_hz": 50.0, "norm": "none"},
        {"norm": "none"},
    ],
)
def test_mel_weights_are_those_of_librosa(options):
    options = {"rate_hz": 16000, "n_fft": 1024, "n_mels": 128} | options
    got = filters.mel_weights(**options)
    expected = librosa.filters.mel(
        sr=options["rate_hz"],
        n_fft=options["n_fft"],
        n_mels=options["n_mels"],
        fmin=options.get("f_min_hz", 0.0),
        fmax=options.get("f_max_hz"),
        htk=options.get("scale") == "htk",
        norm=None if options.get("norm") == "none" else "slaney",
    )
    assert got.shape == (options["n_fft"] // 2 + 1, options["n_mels"])
    np.testing.assert_allclose(got.T, expected, rtol=1e-6, atol=1e-7)
    # 1e-7 is little of values near 0.01; what is zero is zero in both.
    np.testing.assert_array_equal(got.T.astype(np.float32) > 1e-9, expected > 1e-9)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_and_back(scale):
    hz = np.array([0.0, 10.0, 440.0, 999.9, 1000.0, 1000.1, 5000.0, 22050.0])
    mel = filters.hz_to_mel(hz, scale)
    assert (np.diff(mel) > 0).all()
    np.testing.assert_allclose(filters.mel_to_hz(mel, scale), hz, rtol=1e-12, atol=1e-9)


def test_known_points_of_the_scales():
    # Slaney: 15 mel at 1 kHz, 27 steps more at 6.4 kHz. HTK: 1000 mel at 1 kHz.
    np.testing.assert_allclose(filters.hz_to_mel([1000, 6400]), [15, 42], rtol=1e-12)
    np.testing.assert_allclose(filters.hz_to_mel(1000, "htk"), 1000, rtol=2e-5)


def test_slaney_bands_have_equal_areas():
    weights = filters.mel_weights(rate_hz=16000, n_fft=2**15, n_mels=20)
    np.testing.assert_allclose(weights.sum(axis=0) * 16000 / 2**15, 1, rtol=1e-3)


def test_bands_without_bins_are_told():
    with pytest.warns(UserWarning, match="of 128 mel bands hold no bin"):
        filters.mel_weights(rate_hz=16000, n_fft=256, n_mels=128)


@pytest.mark.parametrize("ends", [(-1.0, None), (4000.0, 4000.0), (0.0, 8001.0)])
def test_bands_beyond_the_spectrum_are_refused(ends):
    with pytest.raises(ValueError, match="at most half the rate, 8000 Hz"):
        filters.mel_weights(
            rate_hz=16000, n_fft=512, n_mels=20, f_min_hz=ends[0], f_max_hz=ends[1]
        )


@pytest.mark.parametrize("order", [1, 2, 4, 7])
@pytest.mark.parametrize("cutoff_hz", [20.0, 1000.0, 7000.0])
def test_butterworth_is_that_of_scipy(order, cutoff_hz):
    frequency_hz = filters.bin_frequencies(1024, 16000)
    sections = scipy.signal.butter(order, cutoff_hz, "high", fs=16000, output="sos")
    expected = np.abs(scipy.signal.sosfreqz(sections, frequency_hz, fs=16000)[1])
    got = filters.butterworth_gain(frequency_hz, cutoff_hz, 16000, order)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-12)
    assert got[0] == 0 and got[-1] == 1


def test_butterworth_at_its_cut_off_and_without_one():
    np.testing.assert_allclose(
        filters.butterworth_gain(np.array([3000.0]), 3000.0, 16000, 5), 0.5**0.5
    )
    frequency_hz = filters.bin_frequencies(64, 16000)
    np.testing.assert_array_equal(
        filters.butterworth_gain(frequency_hz, 0.0, 16000, 4), 1
    )


def test_a_mask_keeps_the_bin_of_its_cut_off():
    frequency_hz = filters.bin_frequencies(16, 16000)
    np.testing.assert_array_equal(
        filters.mask_gain(frequency_hz, 2000.0), [0, 0, 1, 1, 1, 1, 1, 1, 1]
    )
