"""Where a machine makes its sound: force on the body, pressure in the air, faults."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.machine_plan import Clip, Fault, Setting

_WANDER = 0.002  # of speeds, relative
_TIMBRE_DB = 0.25  # sd of the tilt of normal clips, per octave
_BENDS_S = 0.15  # in which a speed falls and comes back
_LOAD_TILT_DB = 0.8  # per octave, for each doubling of the load
_FROM_S = -1.0  # speeds are drawn from here on, whatever a grid begins with
_HUM = signals.waveform(np.random.default_rng(0), (1.0, 0.4, 0.1))


class Stage:
    """Collects what a machine does in one clip.

    Attributes:
      grid: Samples.
      clip: What was decided before.
      rng: For all that needs no truth.
      speed: Relative to the nominal speed, float32 `[size]`, with its faults.
      body: Force on the body, float32 `[size]`; its resonances make it sound.
      air: Pressure float32 `[size]` that needs no body.
      tilt_db: Per octave, about 1 kHz, of all that the machine radiates.
    """

    def __init__(self, grid: signals.Grid, clip: Clip):
        """An empty stage."""
        self.grid, self.clip = grid, clip
        self.rng = clip.rng("sound")
        self.speed = speed(clip, grid.seconds)
        self.body = np.zeros(grid.size, np.float32)
        self.air = np.zeros(grid.size, np.float32)
        # Temperature, wear, a lid: no two normal clips have quite the same timbre.
        self.tilt_db = _TIMBRE_DB * float(self.rng.standard_normal())
        # What is pressed harder is stiffer, and stiff contacts excite higher modes.
        self.tilt_db += _LOAD_TILT_DB * float(np.log2(clip.setting.load))
        self.faults: list[tuple[np.ndarray, float]] = []

    def turns(self, hz: float) -> np.ndarray:
        """Turns float64 `[size]` of what turns `hz` times a second at nominal speed."""
        return self.grid.cycles(hz * self.speed, self.clip.setting.start)

    def tone(self, table: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """A waveform once per turn, float32 `[size]`; none of it beyond Nyquist."""
        fastest = max(float(np.diff(turns[::64]).max()) / 64, 1e-9)
        return signals.play(signals.limited(table, int(0.49 / fastest)), turns)

    def mains(self) -> np.ndarray:
        """Hum at twice the mains frequency, which no load changes, float32 `[size]`."""
        turns = 100.0 * self.grid.seconds + self.clip.setting.start
        return signals.play(_HUM, turns)

    def spans(self, edge_s: float = 0.1) -> np.ndarray:
        """1 while the clip's anomaly is there, else 0; float32 `[size]`."""
        anomaly = self.clip.anomaly
        return self.grid.window(anomaly.spans_s if anomaly else (), edge_s)

    def add_fault(
        self, wave: np.ndarray, relative_db: float, response: np.ndarray | None = None
    ) -> None:
        """Adds a fault's sound at a level over the machine's own.

        Args:
          wave: float32 `[size]`. While the anomaly is there its level is the one asked.
          relative_db: Of its rms over that of the machine's sound without it.
          response: Complex64 `[bins]`: its way to the air. By default none.
        """
        spectrum = self.grid.forward(wave)
        if response is not None:
            spectrum = spectrum * response
        level = self.grid.rms(spectrum)
        if level == 0:
            return
        anomaly = self.clip.anomaly
        there = 1.0
        if anomaly is not None:
            there = sum(end - start for start, end in anomaly.spans_s)
            there /= self.grid.samples / self.grid.rate_hz
        scale = 10 ** (relative_db / 20) * min(there, 1.0) ** 0.5 / level
        self.faults.append((spectrum, scale))

    def radiated(self, response: np.ndarray) -> np.ndarray:
        """Spectrum complex64 `[bins]` of all that reaches the microphone from here."""
        grid = self.grid
        spectrum = grid.forward(self.body) * response + grid.forward(self.air)
        octave = np.log2(np.maximum(grid.hz, 50.0) / np.float32(1000))
        spectrum = spectrum * np.float32(10) ** (np.float32(self.tilt_db / 20) * octave)
        level = grid.rms(spectrum)
        total = spectrum
        for sound, scale in self.faults:
            total = total + np.float32(scale * level) * sound
        return total


def speed(clip: Clip, seconds: np.ndarray) -> np.ndarray:
    """Relative speed float32 `[s]` at `seconds` of a clip: setting, wander, faults."""
    rng = clip.rng("speed")
    period_s = 0.7
    knots_s = np.arange(_FROM_S, seconds[-1] + 2 * period_s, period_s)
    wander = 1 + _WANDER * rng.standard_normal(len(knots_s))
    curve = clip.setting.speed * np.interp(seconds, knots_s, wander)
    anomaly = clip.anomaly
    if anomaly is not None and anomaly.unit == "speed_drop":
        for start, end in anomaly.spans_s:
            whole = start <= 0 and end >= seconds[-1]
            ramp = [start, start + _BENDS_S, end - _BENDS_S, end]
            drop = 1.0 if whole else np.interp(seconds, ramp, [0.0, 1.0, 1.0, 0.0])
            curve = curve * (1 - anomaly.effect * drop)
    return curve.astype(np.float32)


def passes(clip: Clip, hz: float, clip_s: float, where: float = 0.0) -> np.ndarray:
    """When what turns at `hz` at nominal speed passes `where` in [0, 1), seconds `[n]`.

    Before there are samples; agrees with `Stage.turns` to a millisecond.
    """
    step_s = 0.001
    seconds = np.arange(_FROM_S, clip_s, step_s)
    turns = np.cumsum(hz * speed(clip, seconds), dtype=np.float64) * step_s
    turns += clip.setting.start - np.interp(0.0, seconds, turns) - where
    whole = np.arange(np.ceil(turns[0]), np.floor(turns[-1]) + 1)
    found = np.interp(whole, turns, seconds)
    return found[(found >= 0) & (found < clip_s)]


class Machine(abc.ABC):
    """One machine, the traits of which are drawn once: a section.

    Attributes:
      faults: What can be wrong with a machine of this type.
      snr_db: About how far such a machine is over its background.
      level_dbfs: About which level its clips have.
      body: Resonances of its structure.
      loose: Resonances of what blows of a fault excite.
    """

    faults: ClassVar[Mapping[str, Fault]]
    snr_db: ClassVar[float]
    level_dbfs: ClassVar[float] = -32.0
    body: signals.Resonances
    loose: signals.Resonances

    @abc.abstractmethod
    def __init__(self, rng: np.random.Generator):
        """Draws the traits."""

    @abc.abstractmethod
    def sound(self, stage: Stage) -> None:
        """Makes the sound of a clip, with what is wrong in it."""

    def events(self, clip: Clip, clip_s: float) -> dict[str, Sequence[float]]:
        """Times that belong to the truth, by name, seconds."""
        del clip, clip_s
        return {}

    @abc.abstractmethod
    def rates(self, setting: Setting) -> dict[str, float]:
        """What repeats how often in Hz at a setting's speed, by name."""

    def traits(self) -> dict[str, Any]:
        """The traits, for the truth."""
        return {
            name: value
            for name, value in vars(self).items()
            if isinstance(value, int | float | tuple | list)
        } | {
            f"{name}_hz": [round(float(hz), 1) for hz in value.hz]
            for name, value in vars(self).items()
            if isinstance(value, signals.Resonances)
        }
