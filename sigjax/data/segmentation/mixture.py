"""One mixture: events cut out of clips, placed on a background, each known apart.

An event is a stretch of a clip's active part (`active_parts`), with short fades, at a
random place and signal-to-noise ratio; the background is coloured noise or the steady
quiet part of another clip, between its events. The parts are rounded to int16 before
they are added, so the mixture is their sum exactly, and what is not an event is the
mixture without it. (Scaper, Salamon et al. 2017, makes soundscapes in this way.)
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

BLOCK_S = 0.01  # in which levels are taken
_FLOOR_DB = -75.0  # below it there is no sound, relative to full scale
_PEAK = 0.9  # largest sample of a mixture, relative to full scale
_STEADY_DB = 4.0  # spread of the levels of a background that is cut from a clip
_QUIET_S = 0.25  # it is at least so long


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """How mixtures are drawn; every range is uniform.

    Attributes:
      window_s: Length of a mixture.
      events: Fewest and most events in one; 0 gives mixtures of background alone.
      event_s: Shortest and longest event. A longest length is drawn for each: of a
        longer active part a random stretch of it is taken, so that sounds that never
        end are no longer than others. A part below the shortest is no event.
      snr_db: Least and greatest ratio of an event's mean power to the background's.
      background: `"noise"`: Gaussian, its power falling with frequency by an exponent
        from 0 to 2; `"clip"`: a steady quiet stretch of another clip, or noise where
        that has none; `"both"`: either, evenly.
      background_db: Its root mean square, relative to full scale.
      depth_db: A clip is active where its level is less than this below its highest.
      gap_s: Shorter pauses do not end an active part.
      fade_s: Of an event's beginning and end, a raised cosine.
    """

    window_s: float
    events: tuple[int, int] = (0, 3)
    event_s: tuple[float, float] = (0.1, 1.5)
    snr_db: tuple[float, float] = (5.0, 25.0)
    background: Literal["noise", "clip", "both"] = "both"
    background_db: float = -50.0
    depth_db: float = 25.0
    gap_s: float = 0.1
    fade_s: float = 0.005

    def __post_init__(self):
        """Refuses ranges that are none."""
        for name in ("events", "event_s", "snr_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be rising, got {low} and {high}")
        if self.events[0] < 0 or self.events[1] < 1:
            raise ValueError(f"events must be at least 0 and 1, got {self.events}")
        if not 0 < self.event_s[0] <= self.event_s[1] <= self.window_s:
            raise ValueError(
                f"event_s {self.event_s} must be above 0 and at most window_s"
                f" {self.window_s:g}"
            )
        if not 2 * self.fade_s <= self.event_s[0] or self.fade_s < 0:
            raise ValueError(
                f"fade_s {self.fade_s:g} does not fit twice into the shortest event,"
                f" {self.event_s[0]:g} s"
            )
        if not -90 <= self.background_db <= -20 or not 0 < self.depth_db <= 80:
            raise ValueError(
                "background_db must be in [-90, -20] and depth_db in (0, 80], got"
                f" {self.background_db:g} and {self.depth_db:g}"
            )
        if self.background not in ("noise", "clip", "both") or self.gap_s < 0:
            raise ValueError(f"background or gap_s has no meaning: {self}")


class Mixture(NamedTuple):
    """A mixture of `s` samples and its `e` events; rows without an event are blank.

    Attributes:
      wave: Int16 `[s]`; full scale is 32768.
      sources: Int16 `[e, s]`, each event alone, in its place.
      label: Int32 `[e]`, class; -1 for no event.
      start: Int32 `[e]`, first sample of each.
      stop: Int32 `[e]`, sample behind its last; both 0 for no event.
    """

    wave: np.ndarray
    sources: np.ndarray
    label: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def levels_db(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Level of each 10 ms of a wave, float64 `[n]`, in dB relative to full scale.

    Args:
      wave: Int16 `[s]`. What is left at its end is no block of its own.
      rate_hz: Its sampling rate.
    """
    size = max(1, round(BLOCK_S * rate_hz))
    blocks = wave[: len(wave) // size * size].reshape(-1, size) / 32768.0
    return 10 * np.log10(np.maximum(np.square(blocks).mean(axis=1), 1e-12))


def active_parts(
    wave: np.ndarray, rate_hz: int, *, depth_db: float, gap_s: float, least_s: float
) -> list[tuple[int, int]]:
    """Where a clip sounds: stretches near its highest level.

    Args:
      wave: Int16 `[s]`.
      rate_hz: Its sampling rate.
      depth_db: A block of 10 ms is active at a level less than this below the highest
        block's, and above -75 dB of full scale.
      gap_s: Shorter pauses are part of a stretch.
      least_s: Shorter stretches are left out.

    Returns:
      First sample of each and the one behind its last, in order; none of silence.
    """
    level = levels_db(wave, rate_hz)
    if not len(level):
        return []
    active = level > max(level.max() - depth_db, _FLOOR_DB)
    size = max(1, round(BLOCK_S * rate_hz))
    found: list[list[int]] = []
    for first, stop in _runs(active):
        if found and (first - found[-1][1]) * BLOCK_S < gap_s:
            found[-1][1] = stop
        else:
            found.append([first, stop])
    return [
        (first * size, stop * size)
        for first, stop in found
        if (stop - first) * BLOCK_S >= least_s - 1e-9
    ]


def quiet_part(
    wave: np.ndarray, rate_hz: int, *, depth_db: float
) -> tuple[int, int] | None:
    """The longest steady stretch of a clip between its active parts.

    Args:
      wave: Int16 `[s]`.
      rate_hz: Its sampling rate.
      depth_db: See `active_parts`.

    Returns:
      Its first sample and the one behind its last; None if no stretch of 0.25 s that
      is not silent has levels that spread by less than 4 dB (standard deviation).
    """
    level = levels_db(wave, rate_hz)
    if not len(level):
        return None
    quiet = (level <= level.max() - depth_db) & (level > _FLOOR_DB)
    size = max(1, round(BLOCK_S * rate_hz))
    runs = sorted(_runs(quiet), key=lambda run: run[0] - run[1])
    for first, stop in runs:
        if (stop - first) * BLOCK_S < _QUIET_S:
            break
        if level[first:stop].std() < _STEADY_DB:
            return first * size, stop * size
    return None


def mix(
    events: Sequence[tuple[np.ndarray, int]],
    background: np.ndarray | None,
    rng: np.random.Generator,
    config: MixtureConfig,
    rate_hz: int,
) -> Mixture:
    """Places events on a background.

    Args:
      events: Wave int16 `[t]` of a clip and its class, at most `config.events[1]` of
        them. A clip without an active part gives no event.
      background: Wave int16 of the clip whose quiet part is the background, as far as
        it has one; None for noise.
      rng: Draws all that is left open.
      config: How.
      rate_hz: Of all waves.
    """
    samples, most = round(config.window_s * rate_hz), config.events[1]
    bed = _background(background, samples, rng, config, rate_hz)
    sources = np.zeros((most, samples))
    label, start, stop = (np.zeros(most, np.int32) for _ in range(3))
    label[:] = -1
    row = 0
    for wave, name in events:
        # Drawn in any case, so that one clip does not change what others get.
        place, snr, *cut = rng.random(5)
        part = _event(wave, cut, config, rate_hz)
        if part is None:
            continue
        low, high = config.snr_db
        wanted_db = config.background_db + low + snr * (high - low)
        part *= 10 ** (wanted_db / 20) / np.sqrt(np.square(part).mean())
        first = int(place * (samples - len(part) + 1))
        sources[row, first : first + len(part)] = part
        label[row], start[row], stop[row] = name, first, first + len(part)
        row += 1
    largest = np.abs(np.vstack([bed, sources])).sum(axis=0).max()
    gain = 32768 * min(1.0, _PEAK / max(largest, 1e-12))
    whole = np.rint(sources * gain).astype(np.int16)
    wave = np.rint(bed * gain).astype(np.int16) + whole.sum(axis=0, dtype=np.int16)
    return Mixture(wave, whole, label, start, stop)


def _event(
    wave: np.ndarray, cut: Sequence[float], config: MixtureConfig, rate_hz: int
) -> np.ndarray | None:
    """A stretch of a clip with its fades, float `[t]`; None if it never sounds."""
    parts = active_parts(
        wave,
        rate_hz,
        depth_db=config.depth_db,
        gap_s=config.gap_s,
        least_s=config.event_s[0],
    )
    if not parts:
        return None
    which, length, at = cut
    first, stop = parts[int(which * len(parts))]
    shortest, most = config.event_s
    longest = round((shortest + length * (most - shortest)) * rate_hz)
    first += int(at * max(stop - first - longest + 1, 1))
    found = wave[first : min(stop, first + longest)] / 32768.0
    fade = round(config.fade_s * rate_hz)
    if fade:
        ramp = np.square(np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade))
        found[:fade] *= ramp
        found[-fade:] *= ramp[::-1]
    return found


def _background(
    wave: np.ndarray | None,
    samples: int,
    rng: np.random.Generator,
    config: MixtureConfig,
    rate_hz: int,
) -> np.ndarray:
    """Float `[samples]` of the wanted level."""
    part = None
    if wave is not None:
        part = quiet_part(wave, rate_hz, depth_db=config.depth_db)
    if wave is None or part is None:
        found = _noise(samples, rng)
    else:
        found = _repeated(wave[slice(*part)] / 32768.0, samples, rng)
    found -= found.mean()
    level = np.sqrt(np.square(found).mean())
    return found * (10 ** (config.background_db / 20) / max(level, 1e-12))


def _noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    slope = rng.uniform(0, 2)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** (-slope / 2)
    return np.fft.irfft(spectrum, samples)


def _repeated(part: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A stretch made longer: turned copies, overlapping by half.

    Sine windows keep the power of copies that have nothing to do with each other.
    """
    half = len(part) // 2
    part = part[: 2 * half]
    window = np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))
    count = samples // half + 2
    found = np.zeros((count + 1) * half)
    for at in range(count):
        grain = np.roll(part, rng.integers(2 * half))
        found[at * half : (at + 2) * half] += window * grain
    return found[half : half + samples]


def _runs(true: np.ndarray) -> list[tuple[int, int]]:
    """Firsts and stops of the runs of a bool array."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
