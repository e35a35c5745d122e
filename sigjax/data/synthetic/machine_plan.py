"""What is decided about a clip before its sound is made: this is what is true of it."""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

SHIFTS = ("speed", "noise", "load", "microphone")
NOISES = "ABCDEF"  # rooms of machine_room
ATTRIBUTES = ("spd", "load", "noise", "mic")
_SPEEDS = (0.95, 1.0, 1.05)
_OTHER_SPEEDS = (0.80, 1.24)
_LOADS = (0.9, 1.1)
_OTHER_LOADS = (0.35, 2.2)
_SPEED_JITTER = 0.004
_LEVEL_JITTER_DB = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how a section's machine stands, and what its target domain is.

    Attributes:
      shift: What is other in the target domain, one of `SHIFTS`.
      rooms: Background of the source and of the target domain, letters of `NOISES`.
      microphones: Of the source and of the target domain, two numbers.
      speeds: Relative speeds of the source and of the target domain.
      loads: Relative loads of the source and of the target domain.
      snr_db: Machine at nominal speed over background; less in another room.
      level_dbfs: About which the level of the clips lies.
    """

    shift: str
    rooms: tuple[str, str]
    microphones: tuple[int, int]
    speeds: tuple[tuple[float, ...], tuple[float, ...]]
    loads: tuple[tuple[float, ...], tuple[float, ...]]
    snr_db: tuple[float, float]
    level_dbfs: float

    @classmethod
    def draw(
        cls, rng: np.random.Generator, shift: str, snr_db: float, level_dbfs: float
    ) -> "Place":
        """The place of a section; `shift` is given so that all kinds come up."""
        here, there = (str(r) for r in rng.choice(list(NOISES), 2, replace=False))
        first, second = (int(m) for m in rng.choice(np.arange(1, 9), 2, replace=False))
        speed = float(rng.choice(_OTHER_SPEEDS))
        load = float(rng.choice(_OTHER_LOADS))
        snr_db += float(rng.uniform(-2, 2))
        return cls(
            shift=shift,
            rooms=(here, there if shift == "noise" else here),
            microphones=(first, second if shift == "microphone" else first),
            speeds=(_SPEEDS, (speed,) if shift == "speed" else _SPEEDS),
            loads=(_LOADS, (load,) if shift == "load" else _LOADS),
            snr_db=(snr_db, snr_db - (6.0 if shift == "noise" else 0.0)),
            level_dbfs=level_dbfs + float(rng.uniform(-3, 3)),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """How a machine runs in one clip, and how it is recorded.

    Attributes:
      speed: Relative to the section's nominal speed.
      setting: What the speed was set to; a machine is never quite at it.
      load: Relative to the section's nominal load.
      room: Background, a letter of `NOISES`.
      microphone: Which.
      snr_db: Machine at nominal speed and load over background.
      level_dbfs: Root mean square of the clip.
      start: Turns that the machine has made when the clip begins, in [0, 1).
      knocks_s: When something elsewhere in the room is struck.
    """

    speed: float
    setting: float
    load: float
    room: str
    microphone: int
    snr_db: float
    level_dbfs: float
    start: float
    knocks_s: tuple[float, ...]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, place: Place, domain: str, clip_s: float
    ) -> "Setting":
        """A clip of a domain. Nothing here depends on whether it is an anomaly."""
        at = 1 if domain == "target" else 0
        setting = float(rng.choice(place.speeds[at]))
        knocks = rng.poisson(0.06 * clip_s)
        return cls(
            speed=setting * (1 + _SPEED_JITTER * float(rng.standard_normal())),
            setting=setting,
            load=float(rng.choice(place.loads[at])),
            room=place.rooms[at],
            microphone=place.microphones[at],
            snr_db=place.snr_db[at] + float(rng.uniform(-2, 2)),
            level_dbfs=place.level_dbfs
            + float(rng.uniform(-_LEVEL_JITTER_DB, _LEVEL_JITTER_DB)),
            start=float(rng.random()),
            knocks_s=tuple(sorted(float(t) for t in rng.uniform(0, clip_s, knocks))),
        )

    def attributes(self) -> dict[str, str]:
        """What names and attribute files of the real sets would tell."""
        speed, load = f"{100 * self.setting:.0f}", f"{100 * self.load:.0f}"
        values = (speed, load, self.room, str(self.microphone))
        return dict(zip(ATTRIBUTES, values, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of anomaly of a machine: what it does at strengths 0 and 1.

    Attributes:
      unit: Of the effect: `relative_db` (the fault's sound over the machine's own),
        `speed_drop`, `depth` (of modulation), `tilt_db` (per octave), `share` (of
        strokes or clicks).
      weakest: Effect at strength 0.
      strongest: Effect at strength 1.
      comes: `always`, `at times` (spells of it), or `either`.
    """

    unit: str
    weakest: float
    strongest: float
    comes: str = "always"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anomaly:
    """What is wrong in one clip.

    Attributes:
      kind: A key of the machine's faults.
      strength: 0 to 1, uniform over clips.
      unit: Of the effect, see `Fault`.
      effect: The strength in that unit.
      spans_s: When it is there, seconds from the clip's beginning.
    """

    kind: str
    strength: float
    unit: str
    effect: float
    spans_s: tuple[tuple[float, float], ...]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, kind: str, fault: Fault, clip_s: float
    ) -> "Anomaly":
        """An anomaly of a kind: how strong, and when."""
        strength = float(rng.random())
        comes = fault.comes
        if comes == "either":
            comes = "always" if rng.random() < 0.5 else "at times"
        spans = ((0.0, clip_s),)
        if comes == "at times":
            spans = _spells(rng, clip_s)
        return cls(
            kind=kind,
            strength=strength,
            unit=fault.unit,
            effect=fault.weakest + strength * (fault.strongest - fault.weakest),
            spans_s=spans,
        )


def _spells(rng: np.random.Generator, clip_s: float) -> tuple[tuple[float, float], ...]:
    """One to four stretches of a clip that do not touch, each in its share of it."""
    number = int(rng.integers(1, 5))
    share = clip_s / number
    spans = []
    for place in range(number):
        length = share * float(rng.uniform(0.3, 0.8))
        start = share * place + float(rng.uniform(0.05, 0.95)) * (share - length)
        spans.append((start, start + length))
    return tuple(spans)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip before it is heard.

    Attributes:
      words: From which all that is drawn for it comes.
      setting: How the machine runs.
      anomaly: What is wrong, or None.
      events: Times that the machine's pattern fixes, by name, seconds.
    """

    words: tuple[int, ...]
    setting: Setting
    anomaly: Anomaly | None
    events: Mapping[str, Sequence[float]]

    def rng(self, stream: str) -> np.random.Generator:
        """Random numbers for one purpose; the same at each call."""
        return generator(*self.words, stream)

    def effect(self, kind: str) -> float | None:
        """The effect of an anomaly of this kind; None where there is none."""
        if self.anomaly is None or self.anomaly.kind != kind:
            return None
        return self.anomaly.effect


def generator(*words: int | str) -> np.random.Generator:
    """Random numbers of their own for each sequence of words."""
    return np.random.default_rng(
        [word if isinstance(word, int) else zlib.crc32(word.encode()) for word in words]
    )
