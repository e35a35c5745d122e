"""The spectrogram of a sound of any length, and the frequencies of an anomaly map."""

import functools
import math
from typing import NamedTuple

import numpy as np

from sigjax.evals.sound_figures import Spectrogram

# The part of a map that is called its frequencies, and what is too wide to name.
_SHARE, _WIDE = 0.5, 0.35


class Strip:
    """The spectrogram of a sound of any length, in a bounded number of columns."""

    def __init__(self, rate_hz: int, most: int = 600):
        """Nothing has been heard yet.

        Args:
          rate_hz: Of the wave.
          most: Columns, at least, that a long sound is drawn with.
        """
        from sigjax.signal import mel

        config = mel.MelConfig(rate_hz=rate_hz)
        self._rate_hz, self._hop, self._most = rate_hz, config.hop, most
        self._size = config.hop * math.ceil(10 * rate_hz / config.hop)
        self._edge = 2 * config.hop  # More than half of the transform's window.
        self._band_hz, self._made = mel.mel_frequencies(config), _log_mel(rate_hz)
        self._wave, self._samples = np.zeros(self._edge, np.float32), 0
        self._columns = np.empty((0, config.n_mels), np.float32)
        self._frames, self._step = self._columns, 1

    def feed(self, wave: np.ndarray) -> None:
        """Takes float `[s]`."""
        self._samples += len(wave)
        self._wave = np.concatenate([self._wave, wave.astype(np.float32)])
        while len(self._wave) >= self._size + 2 * self._edge:
            self._add(self._block(self._wave))
            self._wave = self._wave[self._size :]

    def close(self) -> Spectrogram:
        """All that was heard.

        Raises:
          ValueError: Nothing was.
        """
        if not self._samples:
            raise ValueError("there is no sound to draw")
        left = -(-(len(self._wave) - self._edge) // self._hop)
        if left > 0:
            padded = np.pad(self._wave, (0, self._size + self._edge))
            self._add(self._block(padded)[:left])
        value = self._columns
        if len(self._frames):  # Too few for a column as wide as the others.
            value = np.concatenate([value, self._frames.mean(axis=0, keepdims=True)])
        return Spectrogram(value, self._samples / self._rate_hz, self._band_hz)

    def _block(self, wave: np.ndarray) -> np.ndarray:
        """Frames of the `size` samples behind the first edge."""
        first = self._edge // self._hop
        found = np.asarray(self._made(wave[: self._size + 2 * self._edge]))
        return found[first : first + self._size // self._hop]

    def _add(self, frames: np.ndarray) -> None:
        frames = np.concatenate([self._frames, frames])
        whole = len(frames) // self._step
        self._frames = frames[whole * self._step :]
        pooled = frames[: whole * self._step].reshape(whole, self._step, -1).mean(1)
        self._columns = np.concatenate([self._columns, pooled])
        while len(self._columns) >= 2 * self._most:
            pairs = len(self._columns) // 2
            odd = self._columns[2 * pairs :]
            self._frames = np.concatenate([np.repeat(odd, self._step, 0), self._frames])
            self._columns = self._columns[: 2 * pairs].reshape(pairs, 2, -1).mean(1)
            self._step *= 2


@functools.lru_cache(maxsize=4)
def _log_mel(rate_hz: int):
    """Log-mel of the DCASE baselines, compiled once."""
    import jax

    from sigjax.signal import mel

    config = mel.MelConfig(rate_hz=rate_hz)
    return jax.jit(functools.partial(mel.log_mel, config=config))


def spectrogram(wave: np.ndarray, rate_hz: int) -> Spectrogram:
    """Log-mel spectrogram of a short wave, float `[s]`."""
    strip = Strip(rate_hz, most=1 << 30)
    strip.feed(wave)
    return strip.close()


class Band(NamedTuple):
    """Frequencies at which a map is highest, in Hz, and their share of it."""

    low_hz: float
    high_hz: float
    share: float


def loudest_band(value: np.ndarray, frequency_hz: np.ndarray) -> Band | None:
    """The fewest neighbouring bands that hold half of a map's positive part.

    Args:
      value: `[t f]`.
      frequency_hz: `[f]`, rising.

    Returns:
      None where the map is nowhere positive, or spread over so many bands that their
      name says nothing.
    """
    share = np.clip(np.nan_to_num(value), 0, None).sum(axis=0, dtype=np.float64)
    if not share.sum() > 0:
        return None
    total = np.concatenate([[0.0], np.cumsum(share / share.sum())])
    # For each first band, the first end that holds enough.
    ends = np.searchsorted(total, total[:-1] + _SHARE - 1e-9)
    widths = np.where(ends < len(total), ends - np.arange(len(share)), len(share) + 1)
    first = int(np.argmin(widths))
    end = int(ends[first])
    if widths[first] > _WIDE * len(share):
        return None
    return Band(
        float(frequency_hz[first]),
        float(frequency_hz[end - 1]),
        float(total[end] - total[first]),
    )


def hertz(band: Band) -> str:
    """Frequencies for people: `"2.9-3.6 kHz"`."""
    low, high, unit = _round(band.low_hz), _round(band.high_hz), "Hz"
    if high >= 1000:
        low, high, unit = low / 1000, high / 1000, "kHz"
    return f"{low:g} {unit}" if low == high else f"{low:g}-{high:g} {unit}"


def _round(value: float) -> float:
    """To two digits."""
    return float(f"{value:.2g}")
