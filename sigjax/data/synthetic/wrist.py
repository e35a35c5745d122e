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

from sigjax.data.synthetic.movement import Movement
from sigjax.data.synthetic.people import Traits
from sigjax.data.synthetic.schedule import ACTIVITIES, DAY_S, Span, draw_schedule

__all__ = ["ACTIVITIES", "REFERENCE_C", "Span", "WristSimulation", "WristTruth"]

_PIECE_S = 600.0  # longest stretch that is generated at once
_SKIN_C, _BED_C, _ROOM_C = 31.0, 33.0, 22.0
_TEMPERATURE_TAU_S = 600.0
_GYRO_NOISE_DPS = 0.1
REFERENCE_C = 25.0  # devices' errors are those at this temperature


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WristTruth:
    """What the simulation knows and a reader has to find out.

    Attributes:
      spans: Activities that cover the recording without gaps, in order.
      gain: `[3]`, and
      offset_g: `[3]`, and
      temp_coeff_g_per_c: `[3]`: the device measures `gain * acceleration + offset_g +
        temp_coeff_g_per_c * (temperature_c - REFERENCE_C)`.
    """

    spans: tuple[Span, ...]
    gain: np.ndarray
    offset_g: np.ndarray
    temp_coeff_g_per_c: np.ndarray


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
      temp_error_g_per_c: Standard deviation of the offset's change with temperature.
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
    temp_error_g_per_c: float = 0.0
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
        if self.schedule and (starts != ends or ends[-1] < self.days * DAY_S):
            raise ValueError(
                "schedule must cover the recording from 0 to its end without gaps, "
                f"got spans starting at {starts[:-1]} and ending at {ends[1:]}"
            )

    @property
    def num_samples(self) -> int:
        """Number of samples in the recording."""
        return int(self.days * DAY_S * self.rate_hz)

    def truth(self) -> WristTruth:
        """The schedule and the device's errors (cheap: makes no samples)."""
        rng = np.random.default_rng([self.seed, 1])
        spans = self.schedule or draw_schedule(
            rng, Traits.draw(self.person_seed), self.days, self.start
        )
        device = np.random.default_rng([self.seed, 2])
        return WristTruth(
            spans=spans,
            gain=1.0 + self.gain_error * device.standard_normal(3),
            offset_g=self.offset_error_g * device.standard_normal(3),
            temp_coeff_g_per_c=self.temp_error_g_per_c * device.standard_normal(3),
        )

    def chunks(self, gyroscope: bool = False) -> Iterator[np.ndarray]:
        """Yields the samples in order, ten minutes at most at a time.

        Args:
          gyroscope: Add the rates at which the wrist turns. Only turns that move
            gravity are known, so the rate about the vertical is 0.

        Yields:
          Float32 `[s, 3]` in g, or `[s, 6]` with degrees per second in the last three.
        """
        truth, traits = self.truth(), Traits.draw(self.person_seed)
        gain = truth.gain.astype(np.float32)
        direction = traits.posture("sit")
        step = int(_PIECE_S * self.rate_hz)
        for number, span in enumerate(truth.spans):
            first = round(span.start_s * self.rate_hz)
            last = min(round(span.end_s * self.rate_hz), self.num_samples)
            for piece, low in enumerate(range(first, last, step)):
                place = (number, piece)
                rng = np.random.default_rng([self.seed, 3, *place])
                wrist = Movement(rng, traits, self.rate_hz, min(step, last - low))
                before = direction
                moved, direction = wrist.move(span.activity, direction, piece == 0)
                noise = rng.standard_normal(moved.shape, np.float32)
                moved += np.float32(self.noise_g) * noise
                moved = moved * gain + self._offset(truth, low, len(moved))
                if gyroscope:
                    rng = np.random.default_rng([self.seed, 6, *place])
                    turning = wrist.turning_dps(before)
                    turning += _GYRO_NOISE_DPS * rng.standard_normal(turning.shape)
                    moved = np.concatenate([moved, turning.astype(np.float32)], 1)
                yield moved

    def _offset(self, truth: WristTruth, first: int, length: int) -> np.ndarray:
        """Float32 `[3]`, or `[length, 3]` where it follows the temperature."""
        offset = truth.offset_g.astype(np.float32)
        if not self.temp_error_g_per_c:
            return offset
        celsius = self.temperature_c((first + np.arange(length)) / self.rate_hz)
        extra = np.outer(celsius - REFERENCE_C, truth.temp_coeff_g_per_c)
        return offset + extra.astype(np.float32)

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
