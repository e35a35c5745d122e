"""Records a machine: its room, a microphone, a level, 16 bits."""

import dataclasses
import functools

import numpy as np

from sigjax.data.synthetic import machine_plan as plan
from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.machine_rotating import Fan, Gearbox, Pump
from sigjax.data.synthetic.machine_stage import Machine, Stage
from sigjax.data.synthetic.machine_strokes import Slider, Valve
from sigjax.data.synthetic.machine_toys import ToyCar, ToyTrain

MACHINES: dict[str, type[Machine]] = {
    "fan": Fan,
    "gearbox": Gearbox,
    "pump": Pump,
    "slider": Slider,
    "valve": Valve,
    "ToyCar": ToyCar,
    "ToyTrain": ToyTrain,
}
MIN_CLIP_S = 2.0  # in which every pattern comes at least once
# Level of the rooms' noise in dB at frequencies in Hz.
_ROOMS = {
    "A": ((60, 0), (250, -6), (1000, -14), (4000, -24), (8000, -32)),
    "B": ((60, -8), (400, 0), (900, -3), (2500, -14), (8000, -28)),
    "C": ((60, -4), (150, 0), (600, -16), (2000, -12), (5000, -18), (8000, -30)),
    "D": ((60, -10), (500, -8), (1500, 0), (3500, -6), (8000, -18)),
    "E": ((60, -2), (200, -8), (700, 0), (1100, -10), (4000, -14), (8000, -24)),
    "F": ((60, -12), (300, -10), (1000, -6), (3000, 0), (6000, -5), (8000, -12)),
}
_OCTAVES_HZ = (60, 125, 250, 500, 1000, 2000, 4000, 8000)
_SELF_NOISE = 0.004  # of the microphone, relative to the machine
_FULL_SCALE = 0.98


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """One machine at its place.

    Attributes:
      type: A key of `MACHINES`.
      name: Two digits.
      machine: With its traits.
      place: Where it stands, and its domains.
    """

    type: str
    name: str
    machine: Machine
    place: plan.Place

    def clip(
        self, words: tuple[int, ...], *, domain: str, kind: str | None, clip_s: float
    ) -> plan.Clip:
        """Decides a clip.

        Args:
          words: Of which all randomness of the clip comes.
          domain: "source" or "target".
          kind: Of its anomaly; None for a normal clip.
          clip_s: Its length.
        """
        setting = plan.Setting.draw(
            plan.generator(*words, "setting"), self.place, domain, clip_s
        )
        anomaly = None
        if kind is not None:
            anomaly = plan.Anomaly.draw(
                plan.generator(*words, "anomaly"),
                kind,
                self.machine.faults[kind],
                clip_s,
            )
        clip = plan.Clip(words=words, setting=setting, anomaly=anomaly, events={})
        return dataclasses.replace(clip, events=self.machine.events(clip, clip_s))


@functools.lru_cache(maxsize=64)
def section(seed: int, machine: str, name: str) -> Section:
    """The machine and the place of a section, two digits.

    What its target domain is goes round with the section, so that all comes up.
    """
    kind = MACHINES[machine]
    rng = plan.generator(seed, machine, int(name), "section")
    turn = (list(MACHINES).index(machine) + int(name)) % len(plan.SHIFTS)
    place = plan.Place.draw(rng, plan.SHIFTS[turn], kind.snr_db, kind.level_dbfs)
    return Section(type=machine, name=name, machine=kind(rng), place=place)


def record(section: Section, clip: plan.Clip, grid: signals.Grid) -> np.ndarray:
    """The sound of a clip, int16 `[samples]`.

    Its root mean square is the setting's level whatever is wrong with the machine.
    Where a peak would then pass full scale the whole clip is made quieter.
    """
    stage = Stage(grid, clip)
    section.machine.sound(stage)
    total = stage.radiated(_body(section, grid))
    total = total + _background(section, clip, grid)
    total = total * _microphone(clip.setting.microphone, grid)
    wave = grid.clip(grid.back(total))
    # Accumulated in float64: the mean of squares of a long clip.
    level = np.sqrt(np.mean(np.square(wave, dtype=np.float64)))
    wave = wave * (10 ** (clip.setting.level_dbfs / 20) / level)
    wave = wave * min(1.0, _FULL_SCALE / float(np.abs(wave).max()))
    return np.rint(wave * 32767).astype(np.int16)


def _background(section: Section, clip: plan.Clip, grid: signals.Grid) -> np.ndarray:
    """Spectrum complex64 `[bins]` of the room: noise, knocks elsewhere."""
    rng, setting = clip.rng("room"), clip.setting
    level = _reference(section, grid) * 10 ** (-setting.snr_db / 20)
    # A room is not the same at all hours.
    hours = rng.normal(0, 1.2, len(_OCTAVES_HZ))
    shape = _room(setting.room, grid) * grid.shape(
        tuple(zip(_OCTAVES_HZ, hours, strict=True))
    )
    total = np.float32(level) * grid.noise_spectrum(rng, shape)
    if setting.knocks_s:
        at_s = np.array(setting.knocks_s)
        knock = signals.Resonances.draw(
            rng, modes=4, between_hz=(150, 5000), quality=(6, 25), direct=0.05
        )
        blows = grid.forward(grid.blows(at_s, rng.lognormal(0, 0.5, len(at_s))))
        blows = blows * knock.response(grid)
        loud = level * 10 ** (rng.uniform(-20, -8) / 20) * len(at_s) ** 0.5
        total = total + np.float32(loud / max(grid.rms(blows), 1e-30)) * blows
    floor = np.ones(len(grid.hz), np.float32)
    own = _SELF_NOISE * _reference(section, grid)
    return total + np.float32(own) * grid.noise_spectrum(rng, floor)


# What depends on a section alone is made once: a command goes section by section.
@functools.lru_cache(maxsize=4)
def _body(section: Section, grid: signals.Grid) -> np.ndarray:
    return section.machine.body.response(grid)


@functools.lru_cache(maxsize=8)
def _room(room: str, grid: signals.Grid) -> np.ndarray:
    return grid.shape(_ROOMS[room])


@functools.lru_cache(maxsize=8)
def _microphone(number: int, grid: signals.Grid) -> np.ndarray:
    """Response float32 `[bins]`: a few dB up and down, weak at both ends."""
    rng = plan.generator("microphone", number)
    level_db = rng.normal(0, 2.5, len(_OCTAVES_HZ)) + np.array(
        [-3, 0, 0, 0, 0, 0, 0, -3]
    )
    ends = ((15.0, -30.0), *zip(_OCTAVES_HZ, level_db, strict=True))
    return grid.shape(ends)


@functools.lru_cache(maxsize=4)
def _reference(section: Section, grid: signals.Grid) -> float:
    """Root mean square of the machine at nominal speed and load, nothing wrong."""
    setting = plan.Setting(
        speed=1.0,
        setting=1.0,
        load=1.0,
        room="A",
        microphone=1,
        snr_db=0.0,
        level_dbfs=0.0,
        start=0.0,
        knocks_s=(),
    )
    clip = plan.Clip(words=(0,), setting=setting, anomaly=None, events={})
    clip_s = grid.samples / grid.rate_hz
    events = section.machine.events(clip, clip_s)
    stage = Stage(grid, dataclasses.replace(clip, events=events))
    section.machine.sound(stage)
    return grid.rms(stage.radiated(_body(section, grid)))
