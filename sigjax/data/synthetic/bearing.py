"""SIMULATED vibration of a bearing, healthy and with a damaged outer race.

After Randall and Antoni, "Rolling element bearing diagnostics: a tutorial" (Mechanical
Systems and Signal Processing, 2011): the shaft's harmonics, noise coloured by the
housing's resonance, and, with damage, blows at the rate at which rollers pass the
defect, a per cent off in time, each of which makes the housing ring. Recordings differ
in speed, load, noise and where the sensor sits. If asked for, other machines knock at
random times, of healthy bearings as of damaged ones.
"""

import numpy as np

from sigjax.data.examples.example_set import ExampleSet

RATE_HZ = 8000.0
_PASSES = 3.58  # Rollers that pass the defect in a turn.
_SPEED_HZ = (24.0, 30.0)
# How often a roller passes the defect, from the slowest recording to the fastest.
PASSING_HZ = (_PASSES * _SPEED_HZ[0], _PASSES * _SPEED_HZ[1])
_SLIP = 0.01  # sd of the time between blows, relative
_RING_HZ, _DECAY_S = 2400.0, 0.0015
_KNOCK = (3.0, 8.0)  # peak of a knock, in standard deviations of the noise


def bearing_windows(
    *,
    healthy: int,
    damaged: int,
    windows: int = 32,
    samples: int = 512,
    depth: float = 1.0,
    knocks_hz: float = 0.0,
    seed: int = 0,
) -> ExampleSet:
    """Windows of recordings, one after another.

    Args:
      healthy: Recordings without damage.
      damaged: Recordings with it.
      windows: Of a recording, without overlap.
      samples: Of a window, at 8 kHz.
      depth: Peak of the blows over the standard deviation of the noise, on average.
      knocks_hz: Knocks in a second that have nothing to do with the bearing.
      seed: Of all. Depth and knocks change no other draw.

    Returns:
      `x` float32 `[n, samples, 1]` in g, SIMULATED; label 0 healthy, 1 damaged; the
      group is the recording.

    Raises:
      ValueError: There would be none.
    """
    if min(healthy + damaged, windows, samples) < 1 or min(healthy, damaged) < 0:
        raise ValueError(
            f"{healthy} healthy and {damaged} damaged recordings of {windows} windows"
            f" of {samples} samples: there must be some of each length"
        )
    waves, label = [], np.repeat([0, 1], [healthy, damaged])
    for number, broken in enumerate(label):
        rng = np.random.default_rng([seed, number])
        own = depth if broken else 0.0
        waves.append(_recording(rng, windows * samples, own, knocks_hz))
    x = np.stack(waves).astype(np.float32).reshape(-1, samples, 1)
    names = np.array(
        [f"{'healthy' if not k else 'damaged'}{i:03}" for i, k in enumerate(label)]
    )
    group = np.repeat(names, windows)
    number = np.tile(np.arange(windows), len(names)).astype(str)
    return ExampleSet(
        x=x,
        label=np.repeat(label, windows).astype(np.int32),
        group=group,
        ids=np.char.add(np.char.add(group, "@"), number),
        classes=("healthy", "damaged outer race"),
        rate_hz=RATE_HZ,
        units="g",
        origin="SIMULATED vibration of a bearing",
    )


def _recording(
    rng: np.random.Generator, samples: int, depth: float, knocks_hz: float
) -> np.ndarray:
    """Float64 `[samples]` in g."""
    seconds = np.arange(samples) / RATE_HZ
    gain, speed_hz = rng.uniform(0.7, 1.4), rng.uniform(*_SPEED_HZ)
    turns = speed_hz * seconds + 0.02 * np.cumsum(rng.normal(size=samples)) / 90
    wave = np.zeros(samples)
    for harmonic in range(1, 9):
        size = rng.uniform(0.5, 1.5) * 0.4 / harmonic
        phase = rng.uniform(0, 2 * np.pi)
        wave += size * np.cos(2 * np.pi * harmonic * turns + phase)
    noise_sd = 0.2 * rng.uniform(0.7, 1.4)
    ring = _ring(rng)
    noise = np.convolve(rng.normal(size=samples), ring)[:samples]
    noise = 0.7 * noise / noise.std() + 0.7 * rng.normal(size=samples)
    wave += noise_sd * noise
    apart = rng.spawn(1)[0]
    struck = np.zeros(samples)
    if depth:
        at = np.arange(1, seconds[-1] * speed_hz * _PASSES) / (speed_hz * _PASSES)
        at += _SLIP / (speed_hz * _PASSES) * rng.normal(size=len(at))
        place = np.clip(np.rint(at * RATE_HZ).astype(int), 0, samples - 1)
        np.add.at(struck, place, depth * rng.uniform(0.6, 1.4, len(place)))
    if knocks_hz:
        count = apart.poisson(knocks_hz * samples / RATE_HZ)
        size = apart.uniform(*_KNOCK, count)
        np.add.at(struck, apart.integers(0, samples, count), size)
    if struck.any():
        peak = np.abs(ring).max()
        wave += noise_sd * np.convolve(struck, ring / peak)[:samples]
    return gain * wave


def _ring(rng: np.random.Generator) -> np.ndarray:
    """The housing's answer to a blow."""
    seconds = np.arange(round(8 * _DECAY_S * RATE_HZ)) / RATE_HZ
    hz = _RING_HZ * rng.uniform(0.9, 1.1)
    return np.exp(-seconds / _DECAY_S) * np.sin(2 * np.pi * hz * seconds)
