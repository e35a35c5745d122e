"""What denoising gains in decibels, by networks and by filters that need no training.

The bars are the two filters that everybody has at hand (`scipy.signal.wiener`, which
estimates the noise from the signal itself, and `scipy.signal.medfilt`), each with the
window that gains most on training signals at the same signal-to-noise ratio, and the
best filter that is linear and stationary: Wiener's, from mean spectra of training
signals and of noise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import signal

from sigjax.signal.corruption import snr_gain_db

Kind = Literal["wiener", "median", "stationary"]
# Of samples, odd; a window of one is the noisy signal itself.
WINDOWS = (1, 3, 5, 7, 9, 13, 17, 25, 33)


def _signals(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim == 2:
        x = x[..., None]
    if x.ndim != 3:
        raise ValueError(f"signals are [n, s] or [n, s, c], not {x.shape}")
    return x


def wiener(noisy: np.ndarray, window: int) -> np.ndarray:
    """`scipy.signal.wiener` along time, of each channel alone.

    The mean of each channel is kept aside meanwhile: the filter sees zeros beyond the
    ends. Where a window is constant it stays as it is.
    """
    return _each(noisy, lambda x: _scipy_wiener(x, window))


def _scipy_wiener(x: np.ndarray, window: int) -> np.ndarray:
    if window == 1 or not x.any():
        return x
    with np.errstate(divide="ignore", invalid="ignore"):
        found = signal.wiener(x, window)
    return np.where(np.isfinite(found), found, x)


def median(noisy: np.ndarray, window: int) -> np.ndarray:
    """`scipy.signal.medfilt` along time, of each channel alone, its mean kept aside."""
    return _each(noisy, lambda x: signal.medfilt(x, window))


def _each(noisy: np.ndarray, do: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    x = _signals(noisy)
    mean = x.mean(axis=1, keepdims=True)
    rows = (x - mean).transpose(0, 2, 1)
    done = np.stack([np.stack([do(channel) for channel in own]) for own in rows])
    return (done.transpose(0, 2, 1) + mean).reshape(np.shape(noisy))


class Filter(NamedTuple):
    """A filter as training signals choose it.

    Attributes:
      name: Such as `"median, 5 samples"`.
      apply: Noisy signals to estimates of the same shape.
      gain_db: On the training signals.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]
    gain_db: float


def gains_db(clean: np.ndarray, noisy: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Float64 `[n]`: `sigjax.signal.corruption.snr_gain_db` of each signal.

    Raises:
      ValueError: Shapes differ.
    """
    if not np.shape(clean) == np.shape(noisy) == np.shape(estimate):
        raise ValueError(
            f"clean signals {np.shape(clean)}, noisy ones {np.shape(noisy)} and"
            f" estimates {np.shape(estimate)} differ"
        )
    signals = (jnp.asarray(x, jnp.float32) for x in (clean, noisy, estimate))
    found = snr_gain_db(*signals)
    return np.asarray(found, np.float64)


def choose(
    kind: Kind,
    clean: np.ndarray,
    noisy: np.ndarray,
    *,
    windows: Sequence[int] = WINDOWS,
) -> Filter:
    """The filter of its kind that gains most on training signals.

    Args:
      kind: Of filter.
      clean: `[n, s, c]` or `[n, s]`.
      noisy: Likewise, at the ratio that is to be denoised.
      windows: In samples, odd; those longer than a signal are left out. A window of one
        does nothing: a filter need not harm.

    Raises:
      ValueError: The kind is unknown, or a window is even.
    """
    if kind == "stationary":
        gains = stationary_gains(clean, noisy)
        found = apply_gains(noisy, gains)
        gained_db = float(gains_db(clean, noisy, found).mean())
        name = "Wiener, training spectra"
        return Filter(name, lambda x: apply_gains(x, gains), gained_db)
    known: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "wiener": wiener,
        "median": median,
    }
    if kind not in known:
        raise ValueError(f"no filter is named {kind!r}; there are {(*known,)}")
    odd = [w for w in windows if w % 2 == 0 or w < 1]
    if odd:
        raise ValueError(f"windows are odd numbers of samples, got {odd}")
    fits = [w for w in windows if w <= np.shape(clean)[1]]
    gained = {
        w: float(gains_db(clean, noisy, known[kind](noisy, w)).mean()) for w in fits
    }
    best = max(gained, key=gained.__getitem__)
    shown = {"wiener": "Wiener", "median": "median"}[kind]
    return Filter(
        f"{shown}, {best} samples", lambda x: known[kind](x, best), gained[best]
    )


def stationary_gains(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Gain of each frequency and channel: power of the signal over that of both.

    Args:
      clean: `[n, s, c]` or `[n, s]`, training signals.
      noisy: Likewise; noise is what differs.

    Returns:
      Float64 `[1 + s // 2, c]` in [0, 1].
    """
    clean, noisy = _signals(clean), _signals(noisy)
    moving = clean - clean.mean(axis=1, keepdims=True)
    wanted = (np.abs(np.fft.rfft(moving, axis=1)) ** 2).mean(axis=0)
    noise = (np.abs(np.fft.rfft(noisy - clean, axis=1)) ** 2).mean(axis=0)
    return wanted / np.maximum(wanted + noise, np.finfo(np.float64).tiny)


def apply_gains(noisy: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Noisy signals with the gains put on their spectra; means stay."""
    x = _signals(noisy)
    mean = x.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(x - mean, axis=1) * gains
    found = np.fft.irfft(spectrum, x.shape[1], axis=1) + mean
    return found.reshape(np.shape(noisy))
