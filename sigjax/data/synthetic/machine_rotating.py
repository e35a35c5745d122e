"""Machines that turn steadily: fan, pump, gearbox."""

import numpy as np

from sigjax.data.synthetic import machine_faults as faults
from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.machine_plan import Fault, Setting
from sigjax.data.synthetic.machine_stage import Machine, Stage


class Fan(Machine):
    """Blades chop the air: tones at the blade-pass rate over the noise of the flow."""

    faults = {
        "impacts": Fault(unit="relative_db", weakest=-27, strongest=-9),
        "imbalance": Fault(unit="depth", weakest=0.25, strongest=0.9),
        "clogging": Fault(unit="tilt_db", weakest=-0.3, strongest=-1.8),
        "rubbing": Fault(unit="relative_db", weakest=-28, strongest=-11),
    }
    snr_db = 6.0

    def __init__(self, rng: np.random.Generator):
        """A fan of some size and speed."""
        self.shaft_hz = rng.uniform(17, 32)
        self.blades = int(rng.integers(4, 10))
        self.defect_per_turn = float(rng.choice([3.05, 3.57, 4.45, 5.4]))
        self.swirl_hz = rng.uniform(500, 2500)
        self.chop = rng.uniform(0.15, 0.5)
        self.tone = rng.uniform(0.4, 1.2)
        self.hum = rng.uniform(0.05, 0.3)
        self.rub_hz = (rng.uniform(1500, 2500), rng.uniform(4500, 7000))
        self.body = signals.Resonances.draw(rng, modes=6, between_hz=(80, 4000))
        self.loose = signals.Resonances.draw(
            rng, modes=2, between_hz=(2000, 6500), quality=(15, 40), direct=0
        )
        # No two blades are alike: tones at every turn, not at every blade alone.
        count = self.blades * 12
        order = np.arange(1, count + 1)
        sizes = 0.06 * rng.random(count) / order**0.3
        sizes[self.blades - 1 :: self.blades] = 1 / np.arange(1, 13) ** 0.9
        self._pulse = signals.waveform(rng, sizes / np.linalg.norm(sizes))

    def rates(self, setting: Setting) -> dict[str, float]:
        """Turns, blades that pass, and a defect of the bearing."""
        shaft = self.shaft_hz * setting.speed
        return {
            "shaft": shaft,
            "blade_pass": shaft * self.blades,
            "defect": shaft * self.defect_per_turn,
        }

    def sound(self, stage: Stage) -> None:
        """Tones by the load, flow noise by speed to the power of 2.5."""
        grid, load = stage.grid, stage.clip.setting.load
        turns = stage.turns(self.shaft_hz)
        pulse = stage.tone(self._pulse, turns)
        flow = grid.noise(
            stage.rng,
            grid.shape(
                [
                    (60, -12),
                    (200, 0),
                    (self.swirl_hz, 2),
                    (1.6 * self.swirl_hz, -5),
                    (8000, -26),
                ]
            ),
        )
        force = stage.speed**2.5
        stage.air += force * flow * (1 + np.float32(self.chop) * pulse)
        stage.body += np.float32(self.tone * load**0.5) * force * pulse
        stage.air += np.float32(self.hum) * stage.mains()
        faults.imbalance(stage, turns)
        faults.clogging(stage)
        faults.impacts(stage, turns, self.defect_per_turn, self.loose)
        faults.rubbing(stage, turns, self.rub_hz)


class Pump(Machine):
    """Vanes press a liquid: pulsations, in tones and in the noise of the flow."""

    faults = {
        "impacts": Fault(unit="relative_db", weakest=-27, strongest=-9),
        "imbalance": Fault(unit="depth", weakest=0.3, strongest=1.0),
        "clogging": Fault(unit="tilt_db", weakest=-0.3, strongest=-1.8),
        "leak": Fault(unit="relative_db", weakest=-24, strongest=-9, comes="either"),
    }
    snr_db = 5.0

    def __init__(self, rng: np.random.Generator):
        """A pump with some vanes, and a slow stroke of what it feeds."""
        self.shaft_hz = rng.uniform(22, 49)
        self.vanes = int(rng.integers(5, 9))
        self.stroke_hz = rng.uniform(1.5, 6.0)
        self.stroke_depth = rng.uniform(0.1, 0.5)
        self.defect_per_turn = float(rng.choice([3.05, 3.57, 4.45, 5.4]))
        self.flow_hz = rng.uniform(700, 3000)
        self.pulsation = rng.uniform(0.3, 0.8)
        self.tone = rng.uniform(0.6, 1.6)
        self.leak_hz = (rng.uniform(3000, 4000), rng.uniform(6000, 7500))
        self.body = signals.Resonances.draw(rng, modes=7, between_hz=(120, 5000))
        self.loose = signals.Resonances.draw(
            rng, modes=2, between_hz=(1800, 6000), quality=(12, 30), direct=0
        )
        sizes = 1 / np.arange(1, 13) ** rng.uniform(0.5, 1.2)
        self._pulse = signals.waveform(rng, sizes / np.linalg.norm(sizes))
        self._stroke = signals.waveform(rng, (1.0, 0.3, 0.15))

    def rates(self, setting: Setting) -> dict[str, float]:
        """Turns, vanes that pass, strokes, and a defect of the bearing."""
        shaft = self.shaft_hz * setting.speed
        return {
            "shaft": shaft,
            "vane_pass": shaft * self.vanes,
            "stroke": self.stroke_hz * setting.speed,
            "defect": shaft * self.defect_per_turn,
        }

    def sound(self, stage: Stage) -> None:
        """Pulsations by the load, and a flow that they and the strokes modulate."""
        grid, load = stage.grid, stage.clip.setting.load
        turns = stage.turns(self.shaft_hz)
        pulse = stage.tone(self._pulse, turns * self.vanes)
        stroke = signals.play(self._stroke, stage.turns(self.stroke_hz))
        flow = grid.noise(
            stage.rng,
            grid.shape(
                [(100, -14), (400, -3), (self.flow_hz, 0), (5000, -12), (8000, -22)]
            ),
        )
        force = stage.speed**2 * (1 + np.float32(self.stroke_depth) * stroke)
        stage.air += (
            force * flow * (1 + np.float32(self.pulsation * load**0.5) * pulse) * 0.7
        )
        stage.body += np.float32(self.tone * load**0.7) * force * pulse
        stage.air += np.float32(0.1) * stage.mains()
        faults.imbalance(stage, turns)
        faults.clogging(stage)
        faults.impacts(stage, turns, self.defect_per_turn, self.loose)
        faults.leak(stage, self.leak_hz)


class Gearbox(Machine):
    """Teeth mesh: tones at the mesh rate, with side bands of both shafts."""

    faults = {
        "impacts": Fault(unit="relative_db", weakest=-27, strongest=-9),
        "imbalance": Fault(unit="depth", weakest=0.3, strongest=1.1),
        "rattle": Fault(unit="relative_db", weakest=-20, strongest=-5, comes="either"),
        "voltage_drop": Fault(
            unit="speed_drop", weakest=0.01, strongest=0.07, comes="either"
        ),
    }
    snr_db = 7.0

    def __init__(self, rng: np.random.Generator):
        """A pair of wheels and a motor."""
        self.shaft_hz = rng.uniform(14, 26)
        self.teeth = int(rng.integers(17, 34))
        self.wheel_teeth = int(rng.integers(35, 80))
        self.modulation = (rng.uniform(0.08, 0.3), rng.uniform(0.05, 0.2))
        self.floor = rng.uniform(0.3, 0.7)
        self.floor_hz = rng.uniform(600, 2500)
        self.body = signals.Resonances.draw(rng, modes=9, between_hz=(250, 7000))
        self.loose = signals.Resonances.draw(
            rng, modes=3, between_hz=(1500, 6500), quality=(12, 35), direct=0
        )
        sizes = 1 / np.arange(1, 11) ** rng.uniform(0.4, 1.0)
        self._mesh = signals.waveform(rng, sizes / np.linalg.norm(sizes))
        self._once = signals.waveform(rng, (1.0, 0.5, 0.25))

    def rates(self, setting: Setting) -> dict[str, float]:
        """Turns of both shafts, teeth that mesh, and a damaged tooth: once a turn."""
        shaft = self.shaft_hz * setting.speed
        return {
            "shaft": shaft,
            "wheel": shaft * self.teeth / self.wheel_teeth,
            "mesh": shaft * self.teeth,
            "defect": shaft,
        }

    def sound(self, stage: Stage) -> None:
        """Mesh tones by the load; their side bands grow with imbalance."""
        grid, load = stage.grid, stage.clip.setting.load
        turns = stage.turns(self.shaft_hz)
        first = signals.play(self._once, turns)
        second = signals.play(self._once, turns * self.teeth / self.wheel_teeth)
        one, two = self.modulation
        swell = 1 + np.float32(one) * first + np.float32(two) * second
        # The mesh also comes early and late: side bands of the phase.
        mesh = stage.tone(self._mesh, turns * self.teeth + 0.3 * one * first)
        force = stage.speed**1.5
        stage.body += np.float32(1.5 * load**0.6) * force * swell * mesh
        floor = grid.noise(
            stage.rng,
            grid.shape([(80, -10), (self.floor_hz, 0), (4000, -8), (8000, -18)]),
        )
        stage.body += np.float32(self.floor) * force * floor
        stage.air += np.float32(0.12) * stage.mains()
        faults.imbalance(stage, turns)
        faults.impacts(stage, turns, 1.0, self.loose)
        faults.rattle(stage, turns, self.loose)
