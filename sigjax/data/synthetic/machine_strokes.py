"""Machines that go to and fro or switch: slider, valve."""

from collections.abc import Sequence

import numpy as np

from sigjax.data.synthetic import machine_faults as faults
from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.machine_plan import Clip, Fault, Setting
from sigjax.data.synthetic.machine_stage import Machine, Stage, passes

_POINTS = 2048


class Slider(Machine):
    """A carriage on a rail: strokes with a tone that follows its speed, and knocks."""

    faults = {
        "rattle": Fault(unit="relative_db", weakest=-18, strongest=-4, comes="either"),
        "rubbing": Fault(unit="relative_db", weakest=-24, strongest=-8),
        "slip": Fault(unit="speed_drop", weakest=0.03, strongest=0.2, comes="at times"),
        "voltage_drop": Fault(unit="speed_drop", weakest=0.015, strongest=0.1),
    }
    snr_db = 6.0

    def __init__(self, rng: np.random.Generator):
        """A rail, a screw and a motor."""
        self.stroke_hz = rng.uniform(0.4, 0.9)  # there and back
        self.tone_hz = rng.uniform(180, 650)  # at full speed
        self.ramp = rng.uniform(0.04, 0.12)
        self.rest = rng.uniform(0.02, 0.08)
        self.tone = rng.uniform(0.4, 1.0)
        self.back = rng.uniform(0.7, 1.2)  # loudness of the way back
        self.knock = rng.uniform(1.5, 4.0)
        self.rub_hz = (rng.uniform(1500, 3000), rng.uniform(5000, 7000))
        self.rub_at = rng.random()
        self.squeal_hz = rng.uniform(900, 1900)
        self.rail_hz = rng.uniform(900, 3500)
        self.body = signals.Resonances.draw(rng, modes=8, between_hz=(200, 6500))
        self.loose = signals.Resonances.draw(
            rng, modes=3, between_hz=(900, 5000), quality=(8, 20), direct=0
        )
        sizes = 1 / np.arange(1, 9) ** rng.uniform(0.6, 1.2)
        self._screw = signals.waveform(rng, sizes / np.linalg.norm(sizes))

    def rates(self, setting: Setting) -> dict[str, float]:
        """Strokes, and the tone of the screw at full speed."""
        return {
            "stroke": self.stroke_hz * setting.speed,
            "tone": self.tone_hz * setting.speed,
        }

    def events(self, clip: Clip, clip_s: float) -> dict[str, Sequence[float]]:
        """When the carriage comes to a stop at either end."""
        stops = [
            passes(clip, self.stroke_hz, clip_s, where)
            for where in (0.5 - self.rest, 1 - self.rest)
        ]
        return {"stop_s": sorted(float(s) for s in np.concatenate(stops))}

    def _profile(self) -> np.ndarray:
        """Speed float32 over a stroke there and back, -1 to 1."""
        way = 0.5 - self.rest
        at = [0, self.ramp, way - self.ramp, way, 0.5]
        level = [0.0, 1.0, 1.0, 0.0, 0.0]
        half = np.interp(np.arange(_POINTS // 2) / _POINTS, at, level)
        return np.concatenate([half, -half]).astype(np.float32)

    def sound(self, stage: Stage) -> None:
        """Tone and rolling noise by the carriage's speed, knocks where it stops."""
        grid, setting = stage.grid, stage.clip.setting
        stroke = stage.turns(self.stroke_hz)
        moving = signals.play(self._profile(), stroke)
        fast = np.abs(moving) * stage.speed
        side = np.where(moving < 0, np.float32(self.back), np.float32(1.0))
        screw = stage.tone(self._screw, grid.cycles(self.tone_hz * fast, setting.start))
        noise = grid.noise(
            stage.rng,
            grid.shape([(100, -16), (self.rail_hz, 0), (5000, -6), (8000, -16)]),
        )
        force = side * np.float32(setting.load**0.5)
        stage.body += np.float32(1.2 * self.tone) * force * fast * screw
        stage.body += np.float32(0.8) * side * fast**1.5 * noise
        stops = np.array(stage.clip.events["stop_s"])
        size = self.knock * setting.load**0.5 * setting.speed
        size = size * stage.rng.lognormal(0, 0.35)  # grease, dirt, adjustment
        size = size * (1 + 0.1 * stage.rng.standard_normal(len(stops)))
        stage.body += grid.blows(stops, 8 * size)
        stage.air += np.float32(0.05) * stage.mains()
        faults.rattle(stage, stroke * 15, self.loose)
        faults.rubbing(stage, stroke, self.rub_hz, self.rub_at)
        faults.squeal(stage, self.squeal_hz)


class Valve(Machine):
    """A solenoid that opens and closes: sparse clicks in a pattern, air in between."""

    faults = {
        "missing_clicks": Fault(unit="share", weakest=0.12, strongest=0.55),
        "rattle": Fault(unit="relative_db", weakest=-18, strongest=-4),
        "leak": Fault(unit="relative_db", weakest=-16, strongest=-5, comes="either"),
        "voltage_drop": Fault(unit="delay_s", weakest=0.015, strongest=0.09),
    }
    snr_db = 4.0
    level_dbfs = -38.0  # clicks stand far above the level

    def __init__(self, rng: np.random.Generator):
        """A valve and the rhythm that it is driven in."""
        self.cycle_hz = rng.uniform(0.8, 2.0)
        self.open_share = rng.uniform(0.25, 0.6)
        self.close_size = rng.uniform(0.4, 0.9)
        self.hiss = rng.uniform(0.05, 0.25)
        self.burst_s = rng.uniform(0.0015, 0.005)
        self.air_hz = rng.uniform(1500, 4500)
        self.leak_hz = (rng.uniform(2500, 4000), rng.uniform(6000, 7500))
        self.body = signals.Resonances.draw(
            rng, modes=7, between_hz=(500, 7200), quality=(10, 45)
        )
        self.loose = self.body

    def rates(self, setting: Setting) -> dict[str, float]:
        """Cycles of opening and closing."""
        return {"cycle": self.cycle_hz * setting.speed}

    def events(self, clip: Clip, clip_s: float) -> dict[str, Sequence[float]]:
        """When it opens and closes, what of that is missing, and what bounces."""
        rng = clip.rng("events")
        times, missing, bounces = {}, [], []
        share = clip.effect("missing_clicks")
        delay_s = clip.effect("voltage_drop") or 0.0
        for name, where in (("open_s", 0.0), ("close_s", self.open_share)):
            at_s = passes(clip, self.cycle_hz, clip_s, where)
            at_s = at_s + 0.002 * rng.standard_normal(len(at_s))
            if name == "open_s":
                # A weak coil takes its time, not always the same.
                late = delay_s * rng.uniform(0.5, 1.5, len(at_s))
                at_s = at_s + late
            gone = rng.random(len(at_s)) < (share or 0.0)
            if share and len(at_s) and not gone.any():
                gone[rng.integers(len(at_s))] = True
            missing += at_s[gone].tolist()
            times[name] = at_s[~gone].tolist()
            if clip.effect("rattle") is not None:
                for after in (0.018, 0.034):
                    bounces += (at_s + after * rng.uniform(0.8, 1.3)).tolist()
        return times | {"missing_s": sorted(missing), "bounce_s": sorted(bounces)}

    def sound(self, stage: Stage) -> None:
        """Clicks as short bursts on the body; a hiss while it is open."""
        grid, clip = stage.grid, stage.clip
        weak = 1 - 6 * (clip.effect("voltage_drop") or 0.0)
        dull = stage.rng.lognormal(0, 0.2)
        events = {name: np.array(at_s) for name, at_s in clip.events.items()}
        clicks = self._blows(stage, events["open_s"], dull * weak)
        clicks += self._blows(stage, events["close_s"], dull * self.close_size)
        bounce = clip.effect("rattle")
        if bounce is not None:
            size = dull * 10 ** (bounce / 20)
            clicks += self._blows(stage, events["bounce_s"], size)
        # A burst: a blow with a little noise behind it, the same each time.
        tail = np.zeros(grid.size, np.float32)
        length = min(round(8 * self.burst_s * grid.rate_hz), grid.size)
        at_s = np.arange(length) / grid.rate_hz
        shape = np.random.default_rng(7).standard_normal(length)
        tail[:length] = shape * np.exp(-at_s / self.burst_s)
        tail[0] += 3.0
        spectrum = grid.forward(clicks) * grid.forward(tail)
        stage.body += grid.back(spectrum)
        is_open = self._open(stage, events["open_s"], events["close_s"])
        air = grid.noise(
            stage.rng,
            grid.shape([(200, -20), (self.air_hz, 0), (8000, -10)]),
        )
        load = np.float32(clip.setting.load**0.7)
        stage.air += (
            np.float32(self.hiss * stage.rng.lognormal(0, 0.3))
            * load
            * (0.3 + is_open)
            * air
        )
        stage.air += np.float32(0.02) * stage.mains()
        faults.leak(stage, self.leak_hz)

    def _open(
        self, stage: Stage, opens_s: np.ndarray, closes_s: np.ndarray
    ) -> np.ndarray:
        """1 from an opening to the next closing, float32 `[size]`.

        What does not open lets nothing through; what does not close goes on.
        """
        seconds = stage.grid.seconds
        change = np.concatenate([opens_s, closes_s])
        value = np.concatenate([np.ones(len(opens_s)), np.zeros(len(closes_s))])
        order = np.argsort(change)
        change, value = change[order], value[order]
        before = 1.0 - value[0] if len(value) else 0.0
        place = np.searchsorted(change, seconds, side="right")
        return np.append(before, value)[place].astype(np.float32)

    def _blows(self, stage: Stage, at_s: np.ndarray, size: float) -> np.ndarray:
        sizes = size * (1 + 0.08 * stage.rng.standard_normal(len(at_s)))
        return stage.grid.blows(at_s, 6.0 * sizes)
