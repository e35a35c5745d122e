"""Simulates what a wrist-worn accelerometer measures over days of ordinary life.

Behaviour is a schedule of spans, each of one activity. Every activity moves the
direction of gravity (posture) and adds its own movement: walking is harmonics of
the person's cadence with an arm swing at half of it, a vehicle shakes broadband at
1-12 Hz, sleep is stillness with rare turns. The device adds gain and offset errors
and noise. People differ in traits, recordings in schedule and device, and equal
parameters give equal samples. The amplitudes are plausible, not fitted to data:
use the output to exercise and test software, never to support a finding.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import signal

ACTIVITIES = (
    "sleep",
    "sit",
    "walk",
    "vehicle",
    "bicycling",
    "mixed",
    "nonwear",
)

_DAY_S = 86_400.0
_PIECE_S = 600.0  # longest stretch that is generated at once
_TURN_S = 1.5  # duration of a change of posture
_SKIN_C, _BED_C, _ROOM_C = 31.0, 33.0, 22.0
_TEMPERATURE_TAU_S = 600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """One activity from `start_s` to `end_s`, in seconds since the recording began."""

    activity: str
    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WristTruth:
    """What the simulation knows and a reader has to find out.

    Attributes:
      spans: Activities that cover the recording without gaps, in order.
      gain: `[3]`, and
      offset_g: `[3]`: the device measures `gain * acceleration + offset_g`.
    """

    spans: tuple[Span, ...]
    gain: np.ndarray
    offset_g: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class WristSimulation:
    """A recording of one person's wrist.

    Attributes:
      seed: Decides schedule, movement and device of this recording.
      person_seed: Decides the person's traits (cadence, postures, bedtime).
      days: Length of the recording.
      rate_hz: True sampling rate, which differs from a device's nominal rate.
      start: Seconds since 1970-01-01 (device-local clock) of the first sample;
        its time of day decides when the person sleeps.
      noise_g: Standard deviation of the sensor's white noise.
      gain_error: Standard deviation of the gain's error around 1.
      offset_error_g: Standard deviation of the offset.
      schedule: Use these spans instead of drawing them; they must cover the
        recording from 0 without gaps.
    """

    seed: int
    days: float
    person_seed: int = 0
    rate_hz: float = 99.2
    start: float = 1_704_708_000.0  # Monday 2024-01-08 10:00
    noise_g: float = 0.004
    gain_error: float = 0.02
    offset_error_g: float = 0.03
    schedule: tuple[Span, ...] = ()

    def __post_init__(self):
        """Checks the parameters."""
        if self.days <= 0 or self.rate_hz <= 0:
            raise ValueError(
                f"days and rate_hz must be positive, got {self.days}, {self.rate_hz}"
            )
        unknown = {span.activity for span in self.schedule} - set(ACTIVITIES)
        if unknown:
            raise ValueError(f"unknown activities {sorted(unknown)}: use {ACTIVITIES}")
        ends = [0.0, *(span.end_s for span in self.schedule)]
        starts = [*(span.start_s for span in self.schedule), ends[-1]]
        if self.schedule and (starts != ends or ends[-1] < self.days * _DAY_S):
            raise ValueError(
                "schedule must cover the recording from 0 to its end without gaps, "
                f"got spans starting at {starts[:-1]} and ending at {ends[1:]}"
            )

    @property
    def num_samples(self) -> int:
        """Number of samples in the recording."""
        return int(self.days * _DAY_S * self.rate_hz)

    def truth(self) -> WristTruth:
        """The schedule and the device's errors (cheap: makes no samples)."""
        rng = np.random.default_rng([self.seed, 1])
        spans = self.schedule or _draw_schedule(
            rng, _Traits.draw(self.person_seed), self.days, self.start
        )
        device = np.random.default_rng([self.seed, 2])
        return WristTruth(
            spans=spans,
            gain=1.0 + self.gain_error * device.standard_normal(3),
            offset_g=self.offset_error_g * device.standard_normal(3),
        )

    def chunks(self) -> Iterator[np.ndarray]:
        """Yields the samples in order, float32 `[s, 3]` in g, ten minutes at most."""
        truth, traits = self.truth(), _Traits.draw(self.person_seed)
        gain = truth.gain.astype(np.float32)
        offset = truth.offset_g.astype(np.float32)
        direction = traits.posture("sit")
        step = int(_PIECE_S * self.rate_hz)
        for number, span in enumerate(truth.spans):
            first = round(span.start_s * self.rate_hz)
            last = min(round(span.end_s * self.rate_hz), self.num_samples)
            for piece, low in enumerate(range(first, last, step)):
                rng = np.random.default_rng([self.seed, 3, number, piece])
                wrist = _Wrist(rng, traits, self.rate_hz, min(step, last - low))
                moved, direction = wrist.move(span.activity, direction, piece == 0)
                noise = rng.standard_normal(moved.shape, np.float32)
                moved += np.float32(self.noise_g) * noise
                yield moved * gain + offset

    def temperature_c(self, seconds: np.ndarray) -> np.ndarray:
        """Device temperature in degrees C at `seconds` since the recording began."""
        spans = self.truth().spans
        starts = np.array([span.start_s for span in spans])
        targets = {"nonwear": _ROOM_C, "sleep": _BED_C}
        goal = np.array([targets.get(span.activity, _SKIN_C) for span in spans])
        begin = np.empty(len(spans))
        level = _SKIN_C
        for index, span in enumerate(spans):
            begin[index] = level
            decay = np.exp(-(span.end_s - span.start_s) / _TEMPERATURE_TAU_S)
            level = goal[index] + (level - goal[index]) * decay
        at = np.clip(np.searchsorted(starts, seconds, "right") - 1, 0, None)
        decay = np.exp(-(np.asarray(seconds) - starts[at]) / _TEMPERATURE_TAU_S)
        return goal[at] + (begin[at] - goal[at]) * decay


# ------------------------------------------------------------------- a person


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Traits:
    """What stays the same over all recordings of a person."""

    cadence_hz: float
    swing_g: float
    impact_g: float
    roughness: float
    bed_hour: float
    wake_hour: float
    flip: np.ndarray  # left or right wrist, dial up or down: signs of the axes
    postures: dict[str, np.ndarray]

    @classmethod
    def draw(cls, seed: int) -> "_Traits":
        rng = np.random.default_rng([seed, 0])
        flip = rng.choice([-1.0, 1.0], 3)
        # x points along the forearm to the fingers, z out of the dial.
        typical = {
            "sit": (-0.2, 0.3, 0.9),
            "walk": (-0.95, 0.15, 0.1),
            "vehicle": (-0.5, 0.2, 0.8),
            "bicycling": (-0.6, -0.3, 0.7),
            "mixed": (-0.5, 0.3, 0.5),
        }
        postures = {
            name: _unit(flip * (np.array(mean) + 0.15 * rng.standard_normal(3)))
            for name, mean in typical.items()
        }
        return cls(
            cadence_hz=rng.uniform(1.55, 2.1),
            swing_g=rng.uniform(0.15, 0.45),
            impact_g=rng.uniform(0.12, 0.35),
            roughness=rng.uniform(0.7, 1.4),
            bed_hour=rng.uniform(22.0, 24.0),
            wake_hour=rng.uniform(6.0, 8.0),
            flip=flip,
            postures=postures,
        )

    def posture(self, activity: str) -> np.ndarray:
        return self.postures[activity]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


# One round of a waking day: how often each activity comes up, and for how long.
_ROUND = {"sit": 8, "mixed": 6, "walk": 6, "vehicle": 3, "bicycling": 2}
_MINUTES = {
    "sit": (12, 50),
    "mixed": (6, 30),
    "walk": (4, 18),
    "vehicle": (10, 35),
    "bicycling": (8, 25),
    "nonwear": (100, 200),
}
_NONWEAR_PER_ROUND = 0.4


def _draw_schedule(
    rng: np.random.Generator, traits: _Traits, days: float, start: float
) -> tuple[Span, ...]:
    """Sleeps at night; awake, draws activities from a bag that is refilled.

    A bag instead of independent draws makes rare activities appear on every day.
    """
    spans, bag, now, end = [], [], 0.0, days * _DAY_S
    while now < end:
        hour = (start + now) % _DAY_S / 3600.0
        until_wake = (traits.wake_hour - hour) % 24.0
        if until_wake < (traits.wake_hour - traits.bed_hour) % 24.0:
            activity, minutes = "sleep", 60.0 * until_wake + rng.uniform(5, 45)
        else:
            if not bag:
                bag = [name for name, times in _ROUND.items() for _ in range(times)]
                # Off the wrist once for sure, where the recording is long enough.
                if days >= 1 and (not spans or rng.random() < _NONWEAR_PER_ROUND):
                    bag.append("nonwear")
                rng.shuffle(bag)
            activity = bag.pop()
            minutes = rng.uniform(*_MINUTES[activity])
        stop = min(now + 60.0 * minutes, end)
        spans.append(Span(activity=activity, start_s=now, end_s=stop))
        now = stop
    return tuple(spans)


# ----------------------------------------------------------------- the movement


class _Wrist:
    """Movement over one piece of `length` samples, all float32 `[s, 3]` in g."""

    def __init__(
        self, rng: np.random.Generator, traits: _Traits, rate_hz: float, length: int
    ):
        self.rng, self.traits = rng, traits
        self.rate, self.length = rate_hz, length

    def move(
        self, activity: str, direction: np.ndarray, fresh: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Acceleration of the piece and the direction of gravity at its end.

        Args:
          activity: One of `ACTIVITIES`.
          direction: Unit vector of gravity before the piece.
          fresh: The activity begins here, so the posture changes to one of its own.
        """
        return getattr(self, f"_{activity}")(direction, fresh)

    def _sleep(self, direction, fresh):
        # Turns go anywhere, which is what lets calibration see all orientations.
        still, end = self._gravity(direction, fresh, 700.0, np.zeros(3), 1.0)
        seconds = np.arange(self.length, dtype=np.float32) / np.float32(self.rate)
        breathing = 0.002 * np.sin(2 * np.pi * 0.25 * seconds).astype(np.float32)
        still[:, 2] += breathing
        return self._add_bursts(still, every_s=150.0, rms=0.05, band=(0.5, 5.0)), end

    def _sit(self, direction, fresh):
        mean = self.traits.posture("sit")
        still, end = self._gravity(direction, fresh, 90.0, mean, 0.35)
        return self._add_bursts(still, every_s=25.0, rms=0.08, band=(0.5, 5.0)), end

    def _mixed(self, direction, fresh):
        mean = self.traits.posture("mixed")
        moved, end = self._gravity(direction, fresh, 8.0, mean, 0.6)
        envelope = 0.04 + 0.12 * np.abs(self._slow(period_s=6.0))
        moved += envelope[:, None] * self._band_noise(0.3, 4.0)
        return moved, end

    def _vehicle(self, direction, fresh):
        mean = self.traits.posture("vehicle")
        moved, end = self._gravity(direction, fresh, 120.0, mean, 0.2)
        speed = np.clip(0.6 + 0.5 * self._slow(period_s=40.0), 0.05, None)
        shake = np.float32(0.03 * self.traits.roughness) * self._band_noise(1.0, 12.0)
        moved += speed[:, None] * shake
        return moved, end

    def _bicycling(self, direction, fresh):
        mean = self.traits.posture("bicycling")
        moved, end = self._gravity(direction, fresh, 60.0, mean, 0.1)
        road = np.float32(0.12 * self.traits.roughness) * self._band_noise(3.0, 15.0)
        speed = np.clip(0.8 + 0.4 * self._slow(period_s=30.0), 0.2, None)
        moved += speed[:, None] * road
        pedal = self._phase(0.7 * self.traits.cadence_hz, wander=0.05)
        moved[:, 0] += np.float32(0.06) * np.sin(pedal)
        moved[:, 1] += np.float32(0.03) * np.cos(pedal)
        return moved, end

    def _walk(self, direction, fresh):
        mean = self.traits.posture("walk")
        moved, end = self._gravity(direction, fresh, 60.0, mean, 0.1)
        down = _unit(moved.mean(0)).astype(np.float32)
        ahead = _unit(np.cross(down, self.traits.flip * [0.0, 1.0, 0.0]))
        aside = np.cross(down, ahead)
        step = self._phase(self.traits.cadence_hz, wander=0.03)
        effort = np.clip(1.0 + 0.15 * self._slow(period_s=4.0), 0.3, None)
        # Impacts once per step, sharp enough for four harmonics.
        impact = np.zeros(self.length, np.float32)
        for harmonic, size in enumerate((1.0, 0.5, 0.25, 0.12), start=1):
            impact += np.float32(size) * np.cos(harmonic * (step - np.float32(0.7)))
        # The arm swings once per stride of two steps.
        swing = np.sin(step / 2)
        sway = np.float32(0.3) * np.sin(step / 2 + 1) + np.float32(0.2) * np.sin(step)
        moved += np.outer(self.traits.impact_g * effort * impact, down)
        moved += np.outer(self.traits.swing_g * effort * swing, ahead)
        moved += np.outer(self.traits.swing_g * effort * sway, aside)
        moved += np.float32(0.04) * self._band_noise(1.0, 15.0)
        return moved, end

    def _nonwear(self, direction, fresh):
        # Lies on a table: dial up, dial down or on its side, nearly level.
        axis, sign = self.rng.choice([1, 2, 2]), self.rng.choice([-1.0, 1.0])
        table = 0.03 * self.rng.standard_normal(3)
        table[axis] += sign
        return self._gravity(direction, fresh, np.inf, table, 0.0)

    def _gravity(self, direction, fresh, hold_s, mean, spread):
        """Gravity held for `hold_s` on average between smooth changes of posture."""
        turn = max(min(int(_TURN_S * self.rate), self.length // 2), 1)
        changes = self.rng.poisson(self.length / self.rate / hold_s)
        at = np.sort(self.rng.integers(0, max(self.length - turn, 1), changes))
        at = np.concatenate([[0], at]) if fresh else at
        out = np.empty((self.length, 3), np.float32)
        out[:] = direction
        blend = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, turn + 1) / turn)[:, None]
        for begin in at:
            # The next change may come before this one is done: go on from there.
            source = out[begin].astype(np.float64)
            target = _unit(mean + spread * self.rng.standard_normal(3))
            path = (1 - blend) * source + blend * target
            # Opposite directions meet in the middle: step around the origin.
            path += 0.2 * np.sin(np.pi * blend) * np.roll(target, 1)
            stop = min(begin + turn, self.length)
            out[begin:stop] = _unit(path)[: stop - begin]
            out[stop:] = target
            direction = target
        return out, out[-1].astype(np.float64)

    def _band_noise(self, low_hz, high_hz):
        """Noise of unit variance between two frequencies."""
        high_hz = min(high_hz, 0.45 * self.rate)
        low_hz = min(low_hz, 0.5 * high_hz)
        edges = (low_hz, high_hz)
        sos = np.asarray(
            signal.butter(1, edges, "bandpass", fs=self.rate, output="sos"), np.float32
        )
        noise = self.rng.standard_normal((3, self.length), np.float32)
        shaped = np.asarray(signal.sosfilt(sos, noise))
        # White noise keeps the share of its variance that the band holds.
        level = np.sqrt(0.5 * np.pi * (high_hz - low_hz) / (self.rate / 2))
        return (shaped / np.float32(level)).T

    def _slow(self, period_s):
        """Slow noise `[s]` of about unit variance, a new value each `period_s`."""
        knots = int(self.length / self.rate / period_s) + 2
        values = self.rng.standard_normal(knots)
        seconds = np.arange(self.length) / self.rate
        return np.interp(seconds, np.arange(knots) * period_s, values).astype("f4")

    def _phase(self, frequency_hz, wander):
        """Phase `[s]` of an oscillation whose frequency wanders by a share."""
        frequency = frequency_hz * (1 + wander * self._slow(period_s=5.0))
        start = self.rng.uniform(0, 4 * np.pi)
        return start + 2 * np.pi * np.cumsum(frequency, dtype=np.float64) / self.rate

    def _add_bursts(self, still, every_s, rms, band):
        """Adds short movements at random times."""
        for _ in range(self.rng.poisson(self.length / self.rate / every_s)):
            size = int(self.rng.uniform(0.8, 4.0) * self.rate)
            begin = int(self.rng.integers(0, self.length))
            size = min(size, self.length - begin)
            burst = _Wrist(self.rng, self.traits, self.rate, size)
            window = np.hanning(size + 2)[1:-1, None].astype(np.float32)
            scale = np.float32(rms * self.rng.uniform(0.5, 2.0))
            still[begin : begin + size] += scale * window * burst._band_noise(*band)
        return still
