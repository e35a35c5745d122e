"""Simulated sounds, wrist windows and machines, where none are given."""

import io

import numpy as np
from etils import epath

from sigjax.train.writer import replace_file

# Part of what cells are known by: raise it when other values come out.
FORMAT = 1
# As configs/papers/p004.py asks for them.
SOUND_SAMPLES, SOUND_HZ = 5040, 8000
WRIST_SAMPLES, WRIST_HZ = 60, 30
MACHINE_SAMPLES, MACHINE_HZ = 16000, 16000
_GROUPS = ("a", "b", "c", "d", "e", "f")


def held_out(name: str) -> tuple[str, ...]:
    """Groups of simulated examples that are held out."""
    return ("f", "g") if name == "machines" else ("e", "f")


def write(folder: epath.Path, name: str, count: int) -> tuple[str, str]:
    """Writes `FOLDER/simulated-NAME-COUNT.npz` unless it is there.

    Returns:
      Its path, and what it is.
    """
    made = {"sounds": sounds, "wrist": wrist, "machines": machines}[name]
    path = folder / f"simulated-{name}-{count}-{FORMAT}.npz"
    x, label, group, text = made(count)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        np.savez(data, x=x, label=label, group=group)
        replace_file(path, data.getvalue())
    return str(path), text


def _people(count: int) -> np.ndarray:
    return np.array([_GROUPS[place % len(_GROUPS)] for place in range(count)])


def sounds(count: int):
    """Int16 `[n, s]`: chirps of ten kinds by six speakers with pitches of their own."""
    rng = np.random.default_rng(0)
    label = (np.arange(count) // len(_GROUPS) % 10).astype(np.int32)
    t = np.arange(SOUND_SAMPLES) / SOUND_HZ
    x = np.empty((count, SOUND_SAMPLES), np.int16)
    for place in range(count):
        pitch = 150 + 40 * (place % len(_GROUPS)) + rng.normal(0, 4)
        glide = pitch * (1 + 0.1 * (label[place] - 5) * t)
        phase = 2 * np.pi * np.cumsum(glide) / SOUND_HZ
        wave = sum(
            np.sin(k * phase) / (1 + abs(k - 1 - label[place])) for k in range(1, 11)
        )
        swell = np.exp(-(((t - 0.25) / rng.uniform(0.08, 0.16)) ** 2))
        wave = wave * swell + 1e-3 * rng.normal(size=len(t))
        x[place] = np.round(20000 * wave / np.abs(wave).max())
    return x, label, _people(count), "sounds: chirps of ten kinds by six speakers"


def wrist(count: int):
    """Float32 `[n, s, 3]` in g: rest, walking and gestures of six people."""
    rng = np.random.default_rng(1)
    label = (np.arange(count) // len(_GROUPS) % 3).astype(np.int32)
    t = np.arange(WRIST_SAMPLES) / WRIST_HZ
    x = np.empty((count, WRIST_SAMPLES, 3), np.float32)
    for place in range(count):
        down = rng.normal(size=3)
        x[place] = down / np.linalg.norm(down)
        rate = 1.6 + 0.1 * (place % len(_GROUPS))
        turn = 2 * np.pi * (rate * t + rng.random())
        if label[place] == 1:
            steps = np.stack([np.sin(turn), np.sin(2 * turn), np.cos(turn)], axis=1)
            x[place] += 0.25 * steps * rng.uniform(0.5, 1.5, 3)
        if label[place] == 2:
            move = np.exp(-(((t - rng.uniform(1, 2)) / 0.3) ** 2))
            x[place] += move[:, None] * rng.normal(0, 0.6, 3)
        x[place] += rng.normal(0, 0.004, (WRIST_SAMPLES, 3))
    return x, label, _people(count), "wrist windows: rest, walking and gestures"


def machines(count: int):
    """Int16 `[n, s]`: a hum with harmonics; group g has a rattle besides."""
    rng = np.random.default_rng(2)
    t = np.arange(MACHINE_SAMPLES) / MACHINE_HZ
    x = np.empty((count, MACHINE_SAMPLES), np.int16)
    label = np.zeros(count, np.int32)
    group = _people(count)
    label[count - count // 4 :], group[count - count // 4 :] = 1, "g"
    for place in range(count):
        turn = 2 * np.pi * (100 + 3 * (place % len(_GROUPS))) * t
        wave = sum(np.sin(k * turn + rng.random()) / k for k in range(1, 9))
        wave = wave + 0.2 * rng.normal(size=len(t))
        if label[place]:
            wave = wave + 0.4 * np.sin(23.5 * turn) * (np.sin(turn / 7) > 0.8)
        x[place] = np.round(9000 * wave / np.abs(wave).max())
    return x, label, group, "a machine's hum, with a rattle or without"
