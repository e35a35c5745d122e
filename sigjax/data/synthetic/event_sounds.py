"""Sounds of simulated audio events: a few seconds each, of classes that can be heard.

Each source (as an upload to a library of sounds) has traits of its own, such as a pitch
or a rhythm, which its takes share.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import signal

from sigjax.data.synthetic.machine_plan import generator
from sigjax.data.synthetic.machine_signals import Grid, Resonances

# A sound is made of times `[s]` in seconds, the traits and what differs in a take.
_Make = Callable[[np.ndarray, np.random.Generator, np.random.Generator], np.ndarray]


def _beeps(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    hz, period = own.uniform(700, 2400), own.uniform(0.25, 0.6)
    on = (t + take.uniform(0, period)) % period < own.uniform(0.3, 0.6) * period
    return np.sin(2 * np.pi * hz * t) * _soft(on, t)


def _chirps(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    low, high = own.uniform(1500, 2200), own.uniform(3000, 5000)
    period = own.uniform(0.2, 0.45)
    place = ((t + take.uniform(0, period)) % period) / period
    phase = 2 * np.pi * period * (low * place + (high - low) * place**2 / 2)
    return np.sin(phase) * np.sin(np.pi * np.minimum(place / 0.6, 1)) ** 2


def _siren(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    middle, width = own.uniform(600, 900), own.uniform(150, 350)
    turn_hz = own.uniform(0.4, 1.2)
    phase = 2 * np.pi * middle * t
    phase -= width / turn_hz * np.cos(2 * np.pi * (turn_hz * t + take.uniform()))
    return np.sin(phase) + 0.3 * np.sin(2 * phase)


def _ticks(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    period, start = own.uniform(0.25, 0.5), take.uniform(0, 0.25)
    after = (t - start) % period
    ring = np.sin(2 * np.pi * own.uniform(2500, 5000) * after)
    return ring * np.exp(-after / own.uniform(0.002, 0.006))


def _knocks(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    hz, decay = own.uniform(90, 260), own.uniform(0.02, 0.05)
    at = np.cumsum(take.uniform(0.12, 0.4, 2 + int(4 * t[-1])))
    wave = np.zeros(len(t))
    for start in at[at < t[-1]]:
        after = np.maximum(t - start, 0)
        wave += (t >= start) * np.sin(2 * np.pi * hz * after) * np.exp(-after / decay)
    return wave


def _bell(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    hz, decay = own.uniform(400, 1100), own.uniform(0.3, 1.0)
    size = take.uniform(0.5, 1, 5)
    partials = (1.0, 2.02, 2.76, 4.07, 5.43)
    wave = sum(
        g * np.sin(2 * np.pi * hz * p * t) * np.exp(-t * p**0.5 / decay)
        for g, p in zip(size, partials, strict=True)
    )
    return np.asarray(wave)


def _engine(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    hz = own.uniform(35, 80) * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * t + take.uniform()))
    phase = 2 * np.pi * np.cumsum(hz) * (t[1] - t[0])
    sizes = own.uniform(0.3, 1, 14) / np.arange(1, 15) ** 0.5
    return sum(a * np.sin(k * phase) for k, a in enumerate(sizes, 1))


def _rain(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    wave = 0.35 * _noise(t, take, own.uniform(800, 1500), 7000)
    drops = np.zeros(len(t))
    drops[take.integers(0, len(t), int(own.uniform(30, 80) * t[-1]) + 1)] = 1
    tail = np.exp(-np.arange(200) / 30) * np.sin(np.arange(200) * own.uniform(0.8, 1.6))
    return wave + 2 * signal.fftconvolve(drops, tail)[: len(t)]


def _hiss(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    wave = _noise(t, take, own.uniform(3500, 5000), 7900)
    return wave * (1 + 0.5 * np.sin(2 * np.pi * own.uniform(0.3, 1) * t))


def _rumble(t: np.ndarray, own: np.random.Generator, take: np.random.Generator):
    wave = _noise(t, take, 30, own.uniform(120, 220))
    return wave * (1 + 0.6 * np.sin(2 * np.pi * own.uniform(0.3, 1) * t))


SOUNDS: dict[str, _Make] = {
    "beeps": _beeps,
    "rain": _rain,
    "knocks": _knocks,
    "siren": _siren,
    "clock tick": _ticks,
    "engine": _engine,
    "bell": _bell,
    "hiss": _hiss,
    "chirps": _chirps,
    "rumble": _rumble,
}
# What is done, as a force in time; and to what, as how it resonates: modes, between
# which frequencies, and how long they ring.
VERBS = ("hit", "rub", "pour", "shake")
NOUNS: dict[str, tuple[int, tuple[float, float], tuple[float, float]]] = {
    "pan": (9, (400, 6500), (60, 160)),
    "board": (4, (120, 900), (4, 9)),
    "glass": (5, (2200, 7000), (90, 200)),
    "bag": (6, (900, 5000), (2, 4)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Take:
    """One sound of a source.

    Attributes:
      seed: Of the simulation.
      source: Number of the source, whose traits it has.
      take: Number of the take.
      rate_hz: Sampling rate.
      duration_s: Length.
    """

    seed: int
    source: int
    take: int
    rate_hz: int
    duration_s: float

    def sound(self, label: str) -> np.ndarray:
        """The sound of a class, float64 `[s]`, of rms 1 and with soft ends."""
        t = np.arange(round(self.duration_s * self.rate_hz)) / self.rate_hz
        own = generator(self.seed, label, self.source)
        wave = SOUNDS[label](
            t, own, generator(self.seed, label, self.source, self.take)
        )
        return _faded(wave, self.rate_hz)

    def action(self, verb: str, noun: str) -> np.ndarray:
        """The sound of a verb on a noun, float64 `[s]`, of rms 1 and with soft ends."""
        samples = round(self.duration_s * self.rate_hz)
        grid = Grid(rate_hz=self.rate_hz, samples=samples)
        rng = generator(self.seed, verb, noun, self.source, self.take)
        modes, between_hz, quality = NOUNS[noun]
        # One body for each noun, whatever is done to it.
        body = Resonances.draw(
            generator(self.seed, noun), modes=modes, between_hz=between_hz,
            quality=quality, direct=0.02,
        )  # fmt: skip
        force = grid.forward(_force(verb, grid, rng))
        return _faded(
            grid.clip(grid.back(force * body.response(grid))).astype(float),
            self.rate_hz,
        )


def _force(verb: str, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    seconds = grid.seconds
    if verb == "hit":
        at = np.cumsum(rng.uniform(0.2, 0.6, 2 + int(4 * seconds[-1])))
        return grid.blows(at, rng.uniform(3, 8, len(at)))
    noise = rng.standard_normal(grid.size).astype(np.float32)
    if verb == "rub":
        turn = np.abs(np.sin(np.pi * rng.uniform(1.2, 2.5) * seconds))
        return (noise * turn).astype(np.float32)
    if verb == "pour":
        return noise
    at = np.sort(rng.uniform(0, seconds[-1], int(45 * seconds[-1]) + 1))
    shaken = 0.2 + np.abs(np.sin(np.pi * rng.uniform(3, 5) * at))
    return grid.blows(at, 5 * shaken)


def background(rng: np.random.Generator, samples: int, rate_hz: int) -> np.ndarray:
    """Noise of a room, float64 `[s]`, of rms 1: falling by some dB an octave."""
    grid = Grid(rate_hz=rate_hz, samples=samples)
    slope = rng.uniform(-6, -2)
    points = [(hz, slope * np.log2(hz / 60)) for hz in (60, 250, 1000, 4000, 8000)]
    return grid.clip(grid.noise(rng, grid.shape(points))).astype(float)


def _noise(
    t: np.ndarray, rng: np.random.Generator, low_hz: float, high_hz: float
) -> np.ndarray:
    rate_hz = round(1 / (t[1] - t[0]))
    high_hz = min(high_hz, 0.49 * rate_hz)
    sos = signal.butter(4, (low_hz, high_hz), "bandpass", fs=rate_hz, output="sos")
    wave = np.asarray(signal.sosfilt(sos, rng.standard_normal(len(t))))
    return wave / np.sqrt(np.mean(wave**2))


def _soft(on: np.ndarray, t: np.ndarray) -> np.ndarray:
    """On and off without a click: over 5 ms."""
    width = max(1, round(0.005 / (t[1] - t[0])))
    return np.convolve(on.astype(float), np.full(width, 1 / width), "same")


def _faded(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    edge = min(round(0.01 * rate_hz), len(wave) // 2)
    ramp = np.ones(len(wave))
    ramp[:edge] = np.linspace(0, 1, edge)
    ramp[len(wave) - edge :] = np.linspace(1, 0, edge)
    wave = np.asarray(wave) * ramp
    return wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)
