"""Parts of a machine's sound: rotation, harmonics, shaped noise, blows, resonances."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from scipy import fft

_LEAD_S = 0.25  # before a clip: what rings past its end comes round to here
_TABLE = 8192  # points of a waveform's period
_KNOT_HZ = 100.0  # at which speeds are drawn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Samples of a clip, and a lead before them that is cut off at the end.

    Attributes:
      rate_hz: Sampling rate.
      samples: Of the clip, without the lead.
    """

    rate_hz: int
    samples: int

    @functools.cached_property
    def size(self) -> int:
        """Samples with the lead; a length of which transforms are fast."""
        found = fft.next_fast_len(
            self.samples + round(_LEAD_S * self.rate_hz), real=True
        )
        assert found is not None
        return int(found)

    @functools.cached_property
    def seconds(self) -> np.ndarray:
        """Time of each sample, float64 `[size]`; 0 is where the clip begins."""
        return (np.arange(self.size) - (self.size - self.samples)) / self.rate_hz

    @functools.cached_property
    def hz(self) -> np.ndarray:
        """Frequency of each bin, float32 `[bins]`."""
        return fft.rfftfreq(self.size, 1 / self.rate_hz).astype(np.float32)

    def forward(self, wave: np.ndarray) -> np.ndarray:
        """Spectrum complex64 `[bins]` of a wave float32 `[size]`."""
        return np.asarray(fft.rfft(wave))

    def back(self, spectrum: np.ndarray) -> np.ndarray:
        """Wave float32 `[size]` of a spectrum complex64 `[bins]`."""
        return np.asarray(fft.irfft(spectrum, self.size))

    def clip(self, wave: np.ndarray) -> np.ndarray:
        """The clip `[samples]` of a wave `[size]`."""
        return wave[self.size - self.samples :]

    def rms(self, spectrum: np.ndarray) -> float:
        """Root mean square of the wave that a spectrum `[bins]` has (Parseval)."""
        parts = np.asarray(spectrum).view(np.float32)
        return float(np.sqrt(2 * np.dot(parts, parts))) / self.size

    def shape(self, points: Sequence[tuple[float, float]]) -> np.ndarray:
        """Amplitude response float32 `[bins]` through (hz, dB), straight in octaves."""
        at, level_db = np.array(points, float).T
        octave = np.log2(np.maximum(self.hz, 10.0))
        return 10 ** (np.interp(octave, np.log2(at), level_db) / 20).astype(np.float32)

    def band(self, low_hz: float, high_hz: float) -> np.ndarray:
        """A band with soft edges, float32 `[bins]`."""
        with np.errstate(divide="ignore"):
            rise = 1 / (1 + (low_hz / self.hz) ** 6)
        return (rise / (1 + (self.hz / high_hz) ** 6)).astype(np.float32)

    def noise_spectrum(
        self, rng: np.random.Generator, response: np.ndarray
    ) -> np.ndarray:
        """Spectrum complex64 `[bins]` of noise of unit rms behind a response."""
        parts = rng.standard_normal(2 * len(response), np.float32)
        spectrum = parts.view(np.complex64) * response
        spectrum[0] = 0
        return spectrum * np.float32(1 / self.rms(spectrum))

    def noise(self, rng: np.random.Generator, response: np.ndarray) -> np.ndarray:
        """Noise float32 `[size]` of unit rms behind a response `[bins]`."""
        return self.back(self.noise_spectrum(rng, response))

    def blows(self, at_s: np.ndarray, size: np.ndarray | float = 1.0) -> np.ndarray:
        """Impulses float32 `[size]` at any times, each shared by two samples."""
        place = (np.asarray(at_s) - self.seconds[0]) * self.rate_hz
        sizes = np.broadcast_to(size, place.shape)
        inside = (place >= 0) & (place < self.size - 1)
        place, sizes = place[inside], sizes[inside]
        first = place.astype(int)
        share = place - first
        wave = np.bincount(first, sizes * (1 - share), self.size)
        wave += np.bincount(first + 1, sizes * share, self.size)
        return wave.astype(np.float32)

    def window(
        self, spans_s: Sequence[tuple[float, float]], edge_s: float = 0.1
    ) -> np.ndarray:
        """1 within spans and 0 outside, float32 `[size]`, with straight edges."""
        if not spans_s:
            return np.zeros(self.size, np.float32)
        found = [
            np.interp(
                self.seconds,
                [
                    start - edge_s / 2,
                    start + edge_s / 2,
                    end - edge_s / 2,
                    end + edge_s,
                ],
                [0.0, 1.0, 1.0, 0.0],
            )
            for start, end in spans_s
        ]
        return np.max(found, axis=0).astype(np.float32)

    def slow(self, rng: np.random.Generator, period_s: float) -> np.ndarray:
        """Slow noise float32 `[size]` of about unit variance."""
        knots = int(self.size / self.rate_hz / period_s) + 2
        values = rng.standard_normal(knots)
        at = self.seconds[0] + np.arange(knots) * period_s
        return np.interp(self.seconds, at, values).astype(np.float32)

    def cycles(self, hz: np.ndarray, start: float) -> np.ndarray:
        """Turns float64 `[size]` made at frequencies `[size]`; `start` at time 0."""
        turns = np.cumsum(hz, dtype=np.float64) / self.rate_hz
        return turns - turns[self.size - self.samples] + start


def waveform(
    rng: np.random.Generator, sizes: Sequence[float] | np.ndarray
) -> np.ndarray:
    """One period float32 of harmonics 1, 2, ... with sizes and random phases.

    Its rms is that of the sizes: the root of half their sum of squares.
    """
    spectrum = np.zeros(_TABLE // 2 + 1, complex)
    phase = rng.uniform(0, 2 * np.pi, len(sizes))
    spectrum[1 : len(sizes) + 1] = np.array(sizes) * np.exp(1j * phase)
    return np.asarray(fft.irfft(spectrum * _TABLE / 2, _TABLE), np.float32)


def limited(table: np.ndarray, harmonics: int) -> np.ndarray:
    """A waveform's period `[points]` with its lowest harmonics only."""
    spectrum = np.asarray(fft.rfft(table))
    spectrum[harmonics + 1 :] = 0
    return np.asarray(fft.irfft(spectrum, len(table)), np.float32)


def play(table: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """A periodic waveform `[points]` read at `cycles` `[s]`, float32 `[s]`.

    Between points it is straight: 80 dB under a fortieth harmonic.
    """
    place = (cycles % 1.0) * len(table)
    first = place.astype(np.int32)
    share = (place - first).astype(np.float32)
    closed = np.append(table, table[0])
    # The remainder may round up to a whole period.
    first = np.minimum(first, len(table) - 1)
    low = closed[first]
    return low + share * (closed[first + 1] - low)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Resonances:
    """What a structure makes of a force: damped modes beside a direct path.

    Attributes:
      hz: Mode frequencies, float64 `[m]`.
      quality: Quality factors Q, float64 `[m]`; a mode rings for Q / (pi hz) seconds.
      gain: Of each mode at its peak, float64 `[m]`.
      direct: Gain of the direct path.
    """

    hz: np.ndarray
    quality: np.ndarray
    gain: np.ndarray
    direct: float = 0.0

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        modes: int,
        between_hz: tuple[float, float],
        quality: tuple[float, float] = (8.0, 30.0),
        direct: float = 0.15,
    ) -> "Resonances":
        """Modes spread evenly in octaves, each somewhere in its share of them."""
        low, high = np.log2(between_hz)
        place = (np.arange(modes) + rng.uniform(0.05, 0.95, modes)) / modes
        return cls(
            hz=2 ** (low + (high - low) * place),
            quality=rng.uniform(*quality, modes),
            gain=10 ** (rng.uniform(-10, 6, modes) / 20) * rng.choice([-1, 1], modes),
            direct=direct,
        )

    def response(self, grid: Grid) -> np.ndarray:
        """Transfer function complex64 `[bins]` of second-order band passes."""
        total = np.full(len(grid.hz), self.direct, np.complex64)
        hz = np.maximum(grid.hz, 1.0)
        for mode_hz, quality, gain in zip(
            self.hz, self.quality, self.gain, strict=True
        ):
            if mode_hz < 0.48 * grid.rate_hz:
                away = np.float32(quality) * (hz / mode_hz - mode_hz / hz)
                total += np.float32(gain) / (1 + 1j * away)
        return total.astype(np.complex64)
