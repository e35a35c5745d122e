"""Faults that machines of several types share. Each does nothing where it is absent.

How a damaged bearing or tooth sounds follows Randall and Antoni, "Rolling element
bearing diagnostics: a tutorial" (Mechanical Systems and Signal Processing, 2011): a
blow each time that the defect is passed, a per cent off in time, which makes the
structure ring.
"""

import numpy as np

from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.machine_stage import Stage

_SLIP = 0.01  # sd of the time between blows, relative


def impacts(
    stage: Stage, turns: np.ndarray, per_turn: float, loose: signals.Resonances
) -> None:
    """Blows at a defect's rate, `per_turn` in a turn, that make the structure ring."""
    effect = stage.clip.effect("impacts")
    if effect is None:
        return
    at_s = _crossings(stage, turns * per_turn)
    steps = np.diff(at_s, prepend=at_s[:1])
    at_s = at_s + _SLIP * steps * stage.rng.standard_normal(len(at_s))
    size = 1 + 0.15 * stage.rng.standard_normal(len(at_s))
    wave = stage.grid.blows(at_s, size)
    stage.add_fault(wave, effect, loose.response(stage.grid))


def imbalance(stage: Stage, turns: np.ndarray) -> None:
    """The whole sound swells once a turn, and the body is shaken once a turn."""
    depth = stage.clip.effect("imbalance")
    if depth is None:
        return
    once = np.cos(2 * np.pi * (turns % 1.0)).astype(np.float32)
    level = float(np.sqrt(np.mean(stage.body**2)))
    stage.body *= 1 + np.float32(depth) * once
    stage.air *= 1 + np.float32(depth) * once
    # Harmonics of the turn: nothing shakes as a pure sine.
    table = signals.waveform(stage.rng, 1 / np.arange(1, 7) ** 0.7)
    stage.body += np.float32(depth * level) * signals.play(table, turns)


def rattle(stage: Stage, turns: np.ndarray, loose: signals.Resonances) -> None:
    """Something loose knocks irregularly, about once or twice a turn, in spells."""
    effect = stage.clip.effect("rattle")
    if effect is None:
        return
    at_s = _crossings(stage, turns * 2)
    at_s = at_s[stage.rng.random(len(at_s)) < 0.6]
    size = stage.rng.lognormal(0.0, 0.6, len(at_s))
    at_s = at_s + stage.rng.uniform(0, 0.004, len(at_s))
    wave = stage.grid.blows(at_s, size) * stage.spans()
    stage.add_fault(wave, effect, loose.response(stage.grid))


def rubbing(
    stage: Stage, turns: np.ndarray, band_hz: tuple[float, float], where: float = 0.0
) -> None:
    """Two parts touch in a quarter of each turn: gated noise in a band."""
    effect = stage.clip.effect("rubbing")
    if effect is None:
        return
    gate = np.cos(2 * np.pi * ((turns - where) % 1.0)).astype(np.float32)
    gate = np.maximum(gate - np.float32(0.5), 0)
    noise = stage.grid.noise(stage.rng, stage.grid.band(*band_hz))
    stage.add_fault(noise * gate * stage.spans(), effect)


def clogging(stage: Stage) -> None:
    """Less flows: high frequencies go first."""
    stage.tilt_db += stage.clip.effect("clogging") or 0.0


def leak(stage: Stage, band_hz: tuple[float, float]) -> None:
    """A steady hiss."""
    effect = stage.clip.effect("leak")
    if effect is None:
        return
    noise = stage.grid.noise(stage.rng, stage.grid.band(*band_hz))
    stage.add_fault(noise * stage.spans(), effect)


def squeal(stage: Stage, hz: float) -> None:
    """What a belt does while it slips. That the speed falls is in `stage.speed`."""
    effect = stage.clip.effect("slip")
    if effect is None:
        return
    table = signals.waveform(stage.rng, (1.0, 0.6, 0.35, 0.15))
    wander = 1 + np.float32(0.02) * stage.grid.slow(stage.rng, 0.05)
    wave = stage.tone(table, stage.grid.cycles(hz * wander, 0.0))
    # The further it slips the louder it is.
    stage.add_fault(wave * stage.spans(), -27.0 + 90.0 * effect)


def _crossings(stage: Stage, turns: np.ndarray) -> np.ndarray:
    """When growing `turns` `[size]` pass whole numbers, seconds."""
    whole = np.arange(np.ceil(turns[0]), np.floor(turns[-1]) + 1)
    return np.interp(whole, turns, stage.grid.seconds)
