"""Toys that run in circles: ToyCar, ToyTrain."""

from collections.abc import Sequence

import numpy as np

from sigjax.data.synthetic import machine_faults as faults
from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.machine_plan import Clip, Fault, Setting
from sigjax.data.synthetic.machine_stage import Machine, Stage, passes


class ToyCar(Machine):
    """A motor and a gear that whine, slower in the bends, and wheels that roll."""

    faults = {
        "impacts": Fault(unit="relative_db", weakest=-24, strongest=-7),
        "imbalance": Fault(unit="depth", weakest=0.3, strongest=1.1),
        "rubbing": Fault(unit="relative_db", weakest=-24, strongest=-8, comes="either"),
        "voltage_drop": Fault(
            unit="speed_drop", weakest=0.01, strongest=0.1, comes="either"
        ),
        "slip": Fault(
            unit="speed_drop", weakest=0.03, strongest=0.18, comes="at times"
        ),
    }
    snr_db = 6.0

    def __init__(self, rng: np.random.Generator):
        """A car and its track."""
        self.lap_hz = rng.uniform(0.2, 0.4)
        self.bend = rng.uniform(0.03, 0.1)
        self.wheel_hz = rng.uniform(9, 17)
        self.ratio = rng.uniform(5, 9)
        self.pinion_teeth = int(rng.integers(8, 13))
        self.whine = rng.uniform(0.5, 1.3)
        self.roll = rng.uniform(0.4, 0.9)
        self.roll_hz = rng.uniform(500, 2000)
        self.squeal_hz = rng.uniform(1200, 2600)
        self.rub_hz = (rng.uniform(1800, 3000), rng.uniform(5000, 7500))
        self.body = signals.Resonances.draw(rng, modes=8, between_hz=(200, 6500))
        self.loose = signals.Resonances.draw(
            rng, modes=2, between_hz=(1200, 5500), quality=(8, 25), direct=0
        )
        motor = 0.4 / np.arange(1, 25) ** 1.0
        motor[5::6] = (1.0, 0.6, 0.4, 0.25)  # three poles, two brushes
        self._motor = signals.waveform(rng, motor / np.linalg.norm(motor))
        self._gear = signals.waveform(rng, (1.0, 0.6, 0.4, 0.2))

    def rates(self, setting: Setting) -> dict[str, float]:
        """Laps, wheels, motor, teeth that mesh, and a damaged tooth of the wheel."""
        wheel = self.wheel_hz * setting.speed
        motor = wheel * self.ratio
        return {
            "lap": self.lap_hz * setting.speed,
            "wheel": wheel,
            "motor": motor,
            "mesh": motor * self.pinion_teeth,
            "defect": wheel,
        }

    def sound(self, stage: Stage) -> None:
        """All follows the speed, which the bends slow down."""
        grid, load = stage.grid, stage.clip.setting.load
        lap = stage.turns(self.lap_hz)
        bends = np.cos(4 * np.pi * (lap % 1.0)).astype(np.float32)
        fast = stage.speed * (1 + np.float32(self.bend) * bends)
        wheel = grid.cycles(self.wheel_hz * fast, stage.clip.setting.start)
        motor = stage.tone(self._motor, wheel * self.ratio)
        gear = stage.tone(self._gear, wheel * self.ratio * self.pinion_teeth)
        stage.body += np.float32(0.8 * load**0.5) * fast * motor
        stage.body += np.float32(self.whine * load**0.7) * fast**2 * gear
        noise = grid.noise(
            stage.rng,
            grid.shape([(80, -8), (self.roll_hz, 0), (4000, -10), (8000, -20)]),
        )
        stage.body += np.float32(self.roll) * fast**1.5 * noise
        faults.imbalance(stage, wheel)
        faults.impacts(stage, wheel, 1.0, self.loose)
        faults.rubbing(stage, wheel, self.rub_hz)
        faults.squeal(stage, self.squeal_hz)


class ToyTrain(Machine):
    """A train on a ring of rails: joints that clack under two bogies, a slow motor."""

    faults = {
        "impacts": Fault(unit="relative_db", weakest=-20, strongest=-5),
        "looseness": Fault(unit="relative_db", weakest=3, strongest=12),
        "rattle": Fault(unit="relative_db", weakest=-24, strongest=-8, comes="either"),
        "rubbing": Fault(unit="relative_db", weakest=-24, strongest=-9),
        "voltage_drop": Fault(
            unit="speed_drop", weakest=0.02, strongest=0.14, comes="either"
        ),
    }
    snr_db = 6.0
    level_dbfs = -40.0

    def __init__(self, rng: np.random.Generator):
        """A train and its track."""
        self.joints = int(rng.integers(6, 13))
        self.lap_hz = rng.uniform(0.15, 0.3)
        self.bogie = rng.uniform(0.12, 0.35)  # between axles, share of a rail
        self.wheel_hz = rng.uniform(4, 8)
        self.motor_hz = rng.uniform(40, 90)
        self.whine = rng.uniform(0.4, 1.0)
        self.roll = rng.uniform(0.4, 0.9)
        self.roll_hz = rng.uniform(300, 1200)
        self.clack = rng.uniform(1.5, 4.0)
        self.joint_sizes = tuple(float(s) for s in rng.uniform(0.5, 1.5, self.joints))
        self.loose_joint = int(rng.integers(self.joints))
        self.rub_hz = (rng.uniform(1500, 2500), rng.uniform(4500, 7000))
        self.body = signals.Resonances.draw(rng, modes=8, between_hz=(150, 5500))
        self.loose = signals.Resonances.draw(
            rng, modes=2, between_hz=(900, 4500), quality=(6, 20), direct=0
        )
        order = np.arange(1, 61)
        motor = np.exp(-order / 14) / order ** rng.uniform(0.3, 0.7)
        self._motor = signals.waveform(rng, motor / np.linalg.norm(motor))

    def rates(self, setting: Setting) -> dict[str, float]:
        """Laps, joints, wheels, motor, and a flat wheel."""
        lap = self.lap_hz * setting.speed
        return {
            "lap": lap,
            "joint": lap * self.joints,
            "wheel": self.wheel_hz * setting.speed,
            "motor": self.motor_hz * setting.speed,
            "defect": self.wheel_hz * setting.speed,
        }

    def events(self, clip: Clip, clip_s: float) -> dict[str, Sequence[float]]:
        """When which joint clacks under the first axle."""
        found = [
            (float(at), joint)
            for joint in range(self.joints)
            for at in passes(clip, self.lap_hz, clip_s, joint / self.joints)
        ]
        found.sort()
        joints = [joint for _, joint in found]
        # In a short clip the train may not come by there.
        loose = self.loose_joint if self.loose_joint in joints else joints[0]
        return {
            "clack_s": [at for at, _ in found],
            "joint": joints,
            "loose_joint": [loose],
        }

    def sound(self, stage: Stage) -> None:
        """Motor and rolling noise by the speed, clacks by joint and load."""
        grid, clip = stage.grid, stage.clip
        fast = stage.speed
        lap = stage.turns(self.lap_hz)
        motor = stage.tone(self._motor, stage.turns(self.motor_hz))
        noise = grid.noise(
            stage.rng,
            grid.shape([(60, -8), (self.roll_hz, 0), (3000, -8), (8000, -20)]),
        )
        load = clip.setting.load**0.5
        stage.body += np.float32(self.whine * load) * fast * motor
        stage.body += np.float32(self.roll) * fast**1.5 * noise
        at_s = np.array(clip.events["clack_s"])
        joint = np.array(clip.events["joint"], int)
        sizes = np.array(self.joint_sizes)[joint]
        looseness = clip.effect("looseness")
        if looseness is not None:
            sizes[joint == clip.events["loose_joint"][0]] *= 10 ** (looseness / 20)
        sizes = 6 * self.clack * load * sizes * clip.setting.speed
        sizes = sizes * stage.rng.lognormal(0, 0.3)  # how the rails were laid out
        sizes = sizes * (1 + 0.1 * stage.rng.standard_normal(len(sizes)))
        # The second axle follows by a share of a rail.
        after_s = self.bogie / self.rates(clip.setting)["joint"]
        stage.body += grid.blows(at_s, sizes)
        stage.body += grid.blows(at_s + after_s, 0.8 * sizes)
        wheel = stage.turns(self.wheel_hz)
        faults.impacts(stage, wheel, 1.0, self.loose)
        faults.rattle(stage, wheel * 2, self.loose)
        faults.rubbing(stage, lap, self.rub_hz)
