"""Zero-phase low-pass filtering of raw counts, a chunk at a time.

A week at 100 Hz is 60 million samples; as float64 that is 1.4 GB before a filter
has made its copies. Filtering runs over chunks that overlap by the time that the
filter's memory takes to fade, so that the result is that of one pass over the whole
segment while only one chunk is ever held in floating point.

A recursive filter cannot start on a sample before it has finished the last one, which
leaves most of a core idle. So a chunk is cut once more, into pieces that overlap in the
same way, and all axes of all pieces advance together, a sample at a time: independent
numbers that fill the core's vector registers.

SciPy has the same filter (`butter`, `sosfiltfilt`), and the tests compare with it.
Importing `scipy.signal` would cost every worker 80 MB and as much time as it takes to
filter a week.
"""

import cmath
import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from sigjax.data.compiled import compiled

# Samples on each side of a chunk that interpolation at its edge may read.
HALO = 2
# Eight pieces of 4096 samples, all in a core's second-level cache.
_CHUNK = 1 << 15
_SETTLED = 1e-12
# Pieces that are filtered side by side: 24 float64 fill three AVX-512 registers.
_PIECES = 8
_LANES = 3 * _PIECES


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
    # The poles of an analogue Butterworth filter lie evenly on a half circle; the
    # bilinear transform, its cut-off bent to stay in place, takes them inside the
    # unit circle (Oppenheim & Schafer, Discrete-Time Signal Processing, ch. 7).
    radius = math.tan(math.pi * cutoff_hz / rate_hz)
    sections = []
    for k in range((order + 1) // 2):
        s = radius * cmath.exp(1j * math.pi * (0.5 + (2 * k + 1) / (2 * order)))
        z = (1 + s) / (1 - s)
        alone = 2 * k + 1 == order  # the real pole of an odd order
        a1, a2 = (-z.real, 0.0) if alone else (-2 * z.real, abs(z) ** 2)
        zeros = np.array([1.0, 1.0, 0.0] if alone else [1.0, 2.0, 1.0])
        gain = (1 + a1 + a2) / zeros.sum()
        sections.append([*(gain * zeros), 1.0, a1, a2])
    return np.array(sections)


def design_lowpass(cutoff_hz: float, order: int, rate_hz: float) -> np.ndarray:
    """Returns second-order sections of a Butterworth low-pass, float64 `[n, 6]`.

    Rows are `b0 b1 b2 1 a1 a2`, as SciPy has them, each of gain 1 at 0 Hz.
    Applied forward and backward it has no phase and its gain is squared:
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


@compiled
def _load(counts, scale, shift, firsts, lanes):
    """Fills `lanes` with stretches of a segment, in g.

    Args:
      counts: `[s, 3]`; beyond its ends it continues by odd reflection.
      scale: Float64 `[3]`, g per count.
      shift: Float64 `[3]`, added after scaling.
      firsts: Int64 `[_PIECES]`, where each stretch begins, perhaps before sample 0.
      lanes: Receives float64 `[n, _LANES]`; lane `3 * piece + axis`.
    """
    last = len(counts) - 1
    for step in range(len(lanes)):
        for piece in range(_PIECES):
            i, lane = firsts[piece] + step, 3 * piece
            if 0 <= i <= last:
                for axis in range(3):
                    lanes[step, lane + axis] = (
                        counts[i, axis] * scale[axis] + shift[axis]
                    )
            else:
                end = 0 if i < 0 else last
                for axis in range(3):
                    value = 2.0 * counts[end, axis] - counts[2 * end - i, axis]
                    lanes[step, lane + axis] = value * scale[axis] + shift[axis]


@compiled
def _filter(lanes, sos):
    """Filters `lanes` `[n, _LANES]` forward, then backward, in place.

    Transposed direct form II. Each pass starts in the state that a constant signal
    would have left behind, which sections of gain 1 all pass on unchanged.
    """
    state = np.empty((len(sos), 2, _LANES))
    for direction in (1, -1):
        first = 0 if direction == 1 else len(lanes) - 1
        for s in range(len(sos)):
            for lane in range(_LANES):
                state[s, 0, lane] = (1.0 - sos[s, 0]) * lanes[first, lane]
                state[s, 1, lane] = (sos[s, 2] - sos[s, 5]) * lanes[first, lane]
        for step in range(len(lanes)):
            x = lanes[first + direction * step]
            for s in range(len(sos)):
                b0, b1, b2 = sos[s, 0], sos[s, 1], sos[s, 2]
                a1, a2 = sos[s, 4], sos[s, 5]
                # The compiler turns this into a few vector instructions as long as
                # it stands here and works in place: look at the time after a change.
                for lane in range(_LANES):
                    value = x[lane]
                    filtered = b0 * value + state[s, 0, lane]
                    state[s, 0, lane] = b1 * value - a1 * filtered + state[s, 1, lane]
                    state[s, 1, lane] = b2 * value - a2 * filtered
                    x[lane] = filtered


class _Lowpass:
    """Filters any part of one segment as if all of it had been filtered at once."""

    def __init__(
        self, counts: np.ndarray, scale: np.ndarray, shift: np.ndarray, sos: np.ndarray
    ):
        self._signal = np.ascontiguousarray(counts), scale, shift
        self._sos = sos
        self._leeway = settling_samples(sos)
        # What scipy.signal.sosfiltfilt adds, as far as the signal can be reflected.
        order = 2 * len(sos) - int((sos[:, 5] == 0).sum())
        padding = min(3 * (order + 1), len(counts) - 1)
        self._begin, self._end = -padding, len(counts) + padding
        self._lanes = np.empty((0, _LANES))

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Float64 `[3, stop - start]`: the filtered samples `[start, stop)`."""
        share = -(-(stop - start) // _PIECES)
        # All pieces are of one length; the outer ones move inward to where the
        # signal begins and ends, as a single pass over it would.
        steps = min(share + 2 * self._leeway, self._end - self._begin)
        wanted = start + share * np.arange(_PIECES)
        firsts = np.clip(wanted - self._leeway, self._begin, self._end - steps)
        if len(self._lanes) != steps:
            self._lanes = np.empty((steps, _LANES))
        _load(*self._signal, firsts, self._lanes)
        _filter(self._lanes, self._sos)
        out = np.empty((3, stop - start))
        for piece, first in enumerate(firsts):
            low, high = wanted[piece], min(wanted[piece] + share, stop)
            if low < high:
                part = self._lanes[low - first : high - first, 3 * piece :][:, :3]
                out[:, low - start : high - start] = part.T
        return out


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
      samples (`scipy.signal.sosfiltfilt`, whose odd reflection at both ends is
      shortened where the segment is) by less than 1e-9 of the signal's range.
    """
    total = len(counts)
    factor, shift = (
        np.broadcast_to(np.asarray(value, np.float64), (3,)).copy()
        for value in (scale, offset_g)
    )
    lowpass = None if sos is None else _Lowpass(counts, factor, shift, sos)
    for start in range(0, total, chunk_samples):
        stop = min(start + chunk_samples, total)
        first, last = max(start - HALO, 0), min(stop + HALO, total)
        if lowpass is not None:
            values = lowpass(first, last)
        else:
            values = np.multiply(counts[first:last].T, factor[:, None], order="C")
            values += shift[:, None]
        yield Chunk(start=start, stop=stop, first=first, values=values)
