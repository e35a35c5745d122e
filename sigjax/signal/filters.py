"""Filters as weights on spectral bins, by NumPy: mel bands and high-passes.

Mel bands are triangles whose corners are spaced evenly on a mel scale: Slaney's
(Auditory Toolbox, 1998: linear below 1 kHz, logarithmic above) or HTK's
(2595 log10(1 + f / 700)). Values are those of `librosa.filters.mel`.

High-passes act on the spectrum, as a gain for each bin. Applied to a spectrogram they
cost nothing (they are folded into the mel weights), and they shift no onset in time.
"""

import warnings
from typing import Literal

import numpy as np

Scale = Literal["slaney", "htk"]
Norm = Literal["slaney", "none"]

_LINEAR_HZ = 200 / 3  # Hz per mel below the corner
_CORNER_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27


def bin_frequencies(n_fft: int, rate_hz: float | int) -> np.ndarray:
    """Float64 `[n_fft // 2 + 1]`: frequencies of the FFT's bins in Hz."""
    return np.arange(n_fft // 2 + 1) * (rate_hz / n_fft)


def hz_to_mel(hz, scale: Scale = "slaney") -> np.ndarray:
    """Float64, of the shape of `hz`: where frequencies lie on the mel scale."""
    hz = np.asarray(hz, np.float64)
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    above = np.log(np.maximum(hz, _CORNER_HZ) / _CORNER_HZ) / _LOG_STEP
    return np.asarray(np.minimum(hz, _CORNER_HZ) / _LINEAR_HZ + above)


def mel_to_hz(mel, scale: Scale = "slaney") -> np.ndarray:
    """Float64, of the shape of `mel`: the inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    corner = _CORNER_HZ / _LINEAR_HZ
    above = np.exp(_LOG_STEP * (np.maximum(mel, corner) - corner))
    return np.asarray(np.minimum(mel, corner) * _LINEAR_HZ * above)


def mel_corners(
    n_mels: int, f_min_hz: float | int, f_max_hz: float | int, scale: Scale = "slaney"
) -> np.ndarray:
    """Float64 `[n_mels + 2]` in Hz: band i rises from i to i + 1 and falls to i + 2."""
    ends = hz_to_mel([f_min_hz, f_max_hz], scale)
    return mel_to_hz(np.linspace(ends[0], ends[1], n_mels + 2), scale)


def mel_weights(
    *,
    rate_hz: float | int,
    n_fft: int,
    n_mels: int,
    f_min_hz: float | int = 0.0,
    f_max_hz: float | int | None = None,
    scale: Scale = "slaney",
    norm: Norm = "slaney",
) -> np.ndarray:
    """Triangular mel bands on the bins of an FFT.

    Args:
      rate_hz: Sampling rate.
      n_fft: FFT length in samples.
      n_mels: Number of bands.
      f_min_hz: Where the first band begins.
      f_max_hz: Where the last band ends; half the rate by default.
      scale: On which the bands are even.
      norm: `"slaney"` gives every triangle the same area over frequency, `"none"` the
        height 1.

    Returns:
      Float64 `[n_fft // 2 + 1, n_mels]`. Warns of bands so narrow that no bin lies in
      them: they would be constant.

    Raises:
      ValueError: The band from `f_min_hz` to `f_max_hz` is empty or beyond half the
        rate.
    """
    f_max_hz = rate_hz / 2 if f_max_hz is None else f_max_hz
    if not 0 <= f_min_hz < f_max_hz <= rate_hz / 2:
        raise ValueError(
            f"mel bands from {f_min_hz:g} to {f_max_hz:g} Hz: they must rise from 0 or"
            f" more to at most half the rate, {rate_hz / 2:g} Hz"
        )
    corners = mel_corners(n_mels, f_min_hz, f_max_hz, scale)
    steps = np.diff(corners)
    past = bin_frequencies(n_fft, rate_hz)[:, None] - corners
    rising, falling = past[:, :-2] / steps[:-1], -past[:, 2:] / steps[1:]
    weights = np.maximum(0, np.minimum(rising, falling))
    empty = np.flatnonzero(weights.max(axis=0) == 0)
    if len(empty):
        warnings.warn(
            f"{len(empty)} of {n_mels} mel bands hold no bin of an FFT of {n_fft} at"
            f" {rate_hz:g} Hz and are constant (the first is number {empty[0]}): take"
            " fewer bands or a longer FFT",
            stacklevel=2,
        )
    if norm == "slaney":
        weights *= 2 / (corners[2:] - corners[:-2])
    return weights


def mask_gain(frequency_hz: np.ndarray, cutoff_hz: float | int) -> np.ndarray:
    """Float64, as `frequency_hz`: 0 below the cut-off, 1 from it on."""
    return (np.asarray(frequency_hz) >= cutoff_hz).astype(np.float64)


def butterworth_gain(
    frequency_hz: np.ndarray, cutoff_hz: float | int, rate_hz: float | int, order: int
) -> np.ndarray:
    """Amplitude gain of a digital Butterworth high-pass, by the bilinear transform.

    It is |H(f)| of `scipy.signal.butter(order, cutoff_hz, "high", fs=rate_hz)`:
    1 / sqrt(1 + (tan(pi cutoff / rate) / tan(pi f / rate)) ** (2 order)).

    Args:
      frequency_hz: Up to half the rate.
      cutoff_hz: Where the gain is 1 / sqrt(2) (-3 dB); 0 passes everything.
      rate_hz: Sampling rate.
      order: Slope: 6 dB per octave each.

    Returns:
      Float64, as `frequency_hz`.
    """
    frequency_hz = np.asarray(frequency_hz, np.float64)
    if cutoff_hz == 0:
        return np.ones_like(frequency_hz)
    warped = np.tan(np.pi * np.minimum(frequency_hz / rate_hz, 0.5))
    ratio = (warped / np.tan(np.pi * cutoff_hz / rate_hz)) ** order
    return ratio / np.hypot(1, ratio)
