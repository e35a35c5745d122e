"""Numbers of a vibration signal that nothing is learned for.

What a bearing's defect changes is told by Randall and Antoni, "Rolling element bearing
diagnostics: a tutorial" (Mechanical Systems and Signal Processing, 2011): blows excite
a resonance, so that the band of the resonance holds them (here by its kurtosis), and
the envelope of that band repeats at the rate at which rollers pass the defect.
"""

import numpy as np

from sigjax.typing import Float

_FLOOR = 1e-6  # of the envelope's spectrum, which is relative to the envelope's mean
_HARMONICS = 3
_AROUND_HZ = (20.0, 400.0)  # where the envelope's spectrum is compared with itself


def analytic(
    x: Float[np.ndarray, "*n s"], rate_hz: float, band_hz: tuple[float, float]
) -> np.ndarray:
    """The analytic signal of a band, complex128 `[..., s]`, by its spectrum.

    Its real part is the band's signal, its size the envelope.
    """
    spectrum = np.fft.fft(x, axis=-1)
    hz = np.fft.fftfreq(x.shape[-1], 1 / rate_hz)
    inside = (hz > band_hz[0]) & (hz < band_hz[1])
    return np.fft.ifft(np.where(inside, 2 * spectrum, 0), axis=-1)


def kurtosis(x: Float[np.ndarray, "*n s"]) -> np.ndarray:
    """Fourth moment over the squared second, about the mean; 3 of a Gaussian."""
    x = x - x.mean(axis=-1, keepdims=True)
    return (x**4).mean(axis=-1) / np.square(np.square(x).mean(axis=-1))


def envelope_spectrum(
    x: Float[np.ndarray, "*n s"], rate_hz: float, band_hz: tuple[float, float]
) -> np.ndarray:
    """Power of the band's envelope at each frequency, `[..., s // 2 + 1]`.

    Relative to the envelope's mean, so that it does not know how loud the signal is.
    Bin `i` is at `i * rate_hz / s` Hz; of a Hann window.
    """
    envelope = np.abs(analytic(x, rate_hz, band_hz))
    envelope = envelope / envelope.mean(axis=-1, keepdims=True) - 1
    window = np.hanning(x.shape[-1])
    return np.square(np.abs(np.fft.rfft(envelope * window, axis=-1)))


def decibels(power: np.ndarray) -> np.ndarray:
    """Of an envelope's spectrum, with a floor."""
    return 10 * np.log10(power + _FLOOR)


def passing_line(
    x: Float[np.ndarray, "*n s"],
    rate_hz: float,
    band_hz: tuple[float, float],
    passing_hz: tuple[float, float],
) -> np.ndarray:
    """How far lines of the envelope's spectrum stand out, `[...]`.

    The mean amplitude of the passing rate and its next two multiples over the median
    amplitude from 20 to 400 Hz, at the rate within `passing_hz` where that is most.

    Args:
      x: Signals of a second or more, or lines cannot be told apart.
      rate_hz: Of the samples.
      band_hz: That of the resonance, or one around it.
      passing_hz: Least and most that the shaft's speed and the bearing's size allow.
    """
    power = envelope_spectrum(x, rate_hz, band_hz)
    size = np.sqrt(power)
    step_hz = rate_hz / x.shape[-1]
    hz = np.arange(size.shape[-1]) * step_hz
    around = (hz > _AROUND_HZ[0]) & (hz < _AROUND_HZ[1])
    floor = np.median(size[..., around], axis=-1)
    near = np.maximum(size, np.maximum(np.roll(size, 1, -1), np.roll(size, -1, -1)))
    tried = np.arange(passing_hz[0], passing_hz[1], step_hz / 2)
    several = np.arange(1, _HARMONICS + 1)
    place = np.rint(np.outer(tried, several) / step_hz).astype(int)
    return near[..., place].mean(axis=-1).max(axis=-1) / floor
