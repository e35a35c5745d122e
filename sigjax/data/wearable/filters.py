"""Zero-phase low-pass filtering of raw counts, a chunk at a time.

A week at 100 Hz is 60 million samples; as float64 that is 1.4 GB before a filter
has made its copies. Filtering runs over chunks that overlap by the time that the
filter's memory takes to fade, so that the result is that of one pass over the whole
segment while only one chunk is ever held in floating point.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np
from scipy import signal

# Samples on each side of a chunk that interpolation at its edge may read.
HALO = 2
_CHUNK = 1 << 18
_SETTLED = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Filtered samples `[start, stop)` of a segment, with a few neighbours.

    Attributes:
      start: First sample position of the chunk proper.
      stop: One past its last.
      first: Sample position of `values[:, 0]`; at most `start`.
      values: Float64 `[3, n]` in g: axes first, contiguous in time.
    """

    start: int
    stop: int
    first: int
    values: np.ndarray

    @property
    def core(self) -> np.ndarray:
        """Float64 `[3, stop - start]`: the values without their neighbours."""
        return self.values[:, self.start - self.first : self.stop - self.first]


@functools.lru_cache(maxsize=256)
def _design(cutoff_hz: float, order: int, rate_hz: float) -> np.ndarray:
    sos = signal.butter(order, cutoff_hz, fs=rate_hz, output="sos")
    return np.asarray(sos, np.float64)


def design_lowpass(cutoff_hz: float, order: int, rate_hz: float) -> np.ndarray:
    """Returns second-order sections of a Butterworth low-pass.

    Applied forward and backward (`lowpass`) it has no phase and its gain is squared:
    -6 dB at `cutoff_hz`.

    Args:
      cutoff_hz: Must lie below `rate_hz / 2`.
      order: Order of the one-way filter.
      rate_hz: Sampling rate of the samples to filter.
    """
    if not 0 < cutoff_hz < rate_hz / 2:
        raise ValueError(
            f"lowpass_hz={cutoff_hz} must lie between 0 and half the sampling rate, "
            f"{rate_hz / 2:.2f} Hz"
        )
    # Ten mHz is far inside what a clock drifts, and lets broken recordings of a
    # thousand segments share one design.
    return _design(cutoff_hz, order, round(rate_hz, 2))


def settling_samples(sos: np.ndarray) -> int:
    """Samples after which the filter has forgotten its input (to one part in 1e12)."""
    poles = np.concatenate([np.roots(section[3:]) for section in sos])
    slowest = np.abs(poles).max()
    return math.ceil(math.log(_SETTLED) / math.log(slowest)) if slowest > 0 else 1


def lowpass(values: np.ndarray, sos: np.ndarray) -> np.ndarray:
    """Filters forward and backward along the last axis, of any length from 1.

    Args:
      values: Float `[..., s]`.
      sos: From `design_lowpass`.

    Returns:
      Float64 `[..., s]`. Ends are extended by odd reflection, as far as the signal
      is long.
    """
    padding = min(3 * (2 * len(sos) + 1), values.shape[-1] - 1)
    return signal.sosfiltfilt(sos, values, axis=-1, padlen=padding)


def filtered_chunks(
    counts: np.ndarray,
    scale: float | np.ndarray,
    sos: np.ndarray | None,
    chunk_samples: int = _CHUNK,
    *,
    offset_g: float | np.ndarray = 0.0,
) -> Iterator[Chunk]:
    """Yields a segment's acceleration, filtered, in order.

    Args:
      counts: Int16 or float32 `[s, 3]`.
      scale: g per count, one number or `[3]`.
      sos: From `design_lowpass`, or None to leave the samples as they are.
      chunk_samples: Samples of a chunk proper.
      offset_g: Added after scaling, one number or `[3]`.

    Yields:
      Chunks that tile `[0, s)`. Their values differ from those of one pass over all
      samples by less than 1e-9 of the signal's range.
    """
    total = len(counts)
    leeway = 0 if sos is None else settling_samples(sos)
    factor, shift = (
        np.broadcast_to(np.asarray(value, np.float64), (3,))[:, None]
        for value in (scale, offset_g)
    )
    for start in range(0, total, chunk_samples):
        stop = min(start + chunk_samples, total)
        first = max(start - leeway - HALO, 0)
        last = min(stop + leeway + HALO, total)
        values = np.multiply(counts[first:last].T, factor, dtype=np.float64, order="C")
        if shift.any():
            values += shift
        if sos is not None:
            values = lowpass(values, sos)
        keep = max(start - HALO, 0)
        end = min(stop + HALO, total)
        yield Chunk(
            start=start,
            stop=stop,
            first=keep,
            values=values[:, keep - first : end - first],
        )
