"""From log-mel spectrograms back to sound: least squares, then Griffin and Lim.

Bands are turned into magnitudes of the spectrum by non-negative least squares, phases
are found by the algorithm of Griffin and Lim (1984) in its accelerated form (Perraudin,
Balazs and Søndergaard 2013), as in librosa. The level of a clip is no part of a
spectrogram that is relative to its peak: sounds are scaled to a peak of their own.
"""

import functools

import numpy as np
from scipy import optimize

from sigjax.signal.mel import MelConfig, mel_filters

_TINY = float(np.finfo(np.float32).tiny)


def decibels(values: np.ndarray, top_db: float) -> np.ndarray:
    """A model's input in [0, 1] as decibels below the clip's peak, `[-top_db, 0]`."""
    return (np.clip(np.asarray(values, np.float64), 0, 1) - 1) * top_db


def magnitudes(bands_db: np.ndarray, config: MelConfig) -> np.ndarray:
    """Magnitudes of the spectrum that has these mel bands, by least squares.

    Args:
      bands_db: `[t, f]` in dB.
      config: How the bands were computed.

    Returns:
      Float64 `[t, n_fft // 2 + 1]`, 0 or more.

    Raises:
      ValueError: There are other bands than the config's.
    """
    weights = np.asarray(mel_filters(config), np.float64).T
    if np.ndim(bands_db) != 2 or np.shape(bands_db)[1] != len(weights):
        raise ValueError(
            f"bands are [t, {len(weights)}] by the config, not {np.shape(bands_db)}"
        )
    wanted = 10.0 ** (np.asarray(bands_db, np.float64) * config.power / 20)
    found = np.stack([_least_squares(weights, frame) for frame in wanted])
    return found ** (1 / config.power)


def _least_squares(weights: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Float64 `[k]`, 0 or more, from a frame `[f]`."""
    start = np.maximum(_inverse(weights.tobytes(), weights.shape) @ frame, 0)
    # Loud frames and soft ones to the same relative precision.
    scale = max(float(frame.max()), _TINY)

    def loss(x):
        left = weights @ x - frame / scale
        return 0.5 * float(left @ left), weights.T @ left

    found = optimize.minimize(
        loss,
        start / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * weights.shape[1],
    )
    return np.maximum(found.x, 0) * scale


@functools.lru_cache(maxsize=4)
def _inverse(weights: bytes, shape: tuple[int, int]) -> np.ndarray:
    return np.linalg.pinv(np.frombuffer(weights).reshape(shape))


def stft(wave: np.ndarray, *, n_fft: int, hop: int) -> np.ndarray:
    """Complex128 `[t, n_fft // 2 + 1]`: periodic Hann window, centred, zeros beyond."""
    padded = np.pad(np.asarray(wave, np.float64), n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.fft.rfft(frames * _hann(n_fft), axis=-1)


def istft(spectrum: np.ndarray, *, n_fft: int, hop: int, samples: int) -> np.ndarray:
    """Float64 `[samples]`: the sound whose spectrum is nearest, in squares.

    Frames are overlapped with the window they were cut with, over the sum of its
    squares (Griffin and Lim 1984, Eq. 6).

    Raises:
      ValueError: There are fewer frames than the samples need.
    """
    needed = 1 + samples // hop
    if len(spectrum) < needed:
        raise ValueError(f"{samples} samples need {needed} frames, not {len(spectrum)}")
    window = _hann(n_fft)
    frames = np.fft.irfft(spectrum, n_fft, axis=-1) * window
    length = n_fft + hop * (len(frames) - 1)
    wave = np.zeros(max(length, samples + n_fft))
    weight = np.zeros_like(wave)
    for place, frame in enumerate(frames):
        part = slice(place * hop, place * hop + n_fft)
        wave[part] += frame
        weight[part] += window**2
    heard = weight > _TINY
    wave[heard] /= weight[heard]
    return wave[n_fft // 2 : n_fft // 2 + samples]


def _hann(n_fft: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def griffin_lim(
    magnitude: np.ndarray,
    *,
    n_fft: int,
    hop: int,
    samples: int,
    rounds: int = 32,
    momentum: float = 0.99,
    seed: int | None = 0,
) -> np.ndarray:
    """A sound whose spectrum has these magnitudes, as nearly as phases can be found.

    Args:
      magnitude: Float `[t, n_fft // 2 + 1]`, 0 or more.
      n_fft: Length of window and FFT.
      hop: Samples from frame to frame.
      samples: Length of the sound.
      rounds: Iterations.
      momentum: 0 is the algorithm of 1984.
      seed: Of the first phases; None for zeros.

    Returns:
      Float64 `[samples]`.

    Raises:
      ValueError: The spectrum is not of that FFT, negative, or too short.
    """
    magnitude = np.asarray(magnitude, np.float64)
    if magnitude.ndim != 2 or magnitude.shape[1] != n_fft // 2 + 1:
        raise ValueError(
            f"an FFT of {n_fft} has magnitudes [t, {n_fft // 2 + 1}], not"
            f" {magnitude.shape}"
        )
    if (magnitude < 0).any():
        raise ValueError("magnitudes are 0 or more")
    phase = np.ones(magnitude.shape, np.complex128)
    if seed is not None:
        turn = np.random.default_rng(seed).random(magnitude.shape)
        phase = np.exp(2j * np.pi * turn)
    before = np.zeros_like(phase)
    sizes = {"n_fft": n_fft, "hop": hop}
    for _ in range(rounds):
        wave = istft(magnitude * phase, samples=samples, **sizes)
        rebuilt = _fit(stft(wave, **sizes), len(magnitude))
        phase = rebuilt - momentum / (1 + momentum) * before
        phase /= np.abs(phase) + _TINY
        before = rebuilt
    return istft(magnitude * phase, samples=samples, **sizes)


def _fit(spectrum: np.ndarray, frames: int) -> np.ndarray:
    missing = frames - len(spectrum)
    return np.pad(spectrum, ((0, max(missing, 0)), (0, 0)))[:frames]


def to_sound(
    values: np.ndarray,
    config: MelConfig,
    *,
    top_db: float,
    samples: int = 0,
    rounds: int = 60,
    seed: int = 0,
    peak: float = 0.5,
) -> np.ndarray:
    """Sound of a log-mel input in [0, 1], such as a decoder gives.

    Args:
      values: `[t, f]` or `[t, f, 1]`; 1 is the clip's peak, 0 is `top_db` below it.
        What lies beyond is cut off.
      config: How the input was computed.
      top_db: Range of the input in dB.
      samples: Length of the sound; 0 for `hop * (t - 1)`.
      rounds: Of `griffin_lim`.
      seed: Likewise.
      peak: Of the sound, in units of full scale.

    Returns:
      Float32 `[samples]`.

    Raises:
      ValueError: Shapes do not fit the config.
    """
    values = np.asarray(values)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    magnitude = magnitudes(decibels(values, top_db), config)
    # What is at the bottom of the range is silence, not a carpet of noise.
    magnitude[values.max(axis=1) <= 0] = 0
    wave = griffin_lim(
        magnitude,
        n_fft=config.n_fft,
        hop=config.hop,
        samples=samples or config.hop * (len(values) - 1),
        rounds=rounds,
        seed=seed,
    )
    largest = float(np.abs(wave).max(initial=0))
    return (wave * (peak / largest if largest else 0)).astype(np.float32)
