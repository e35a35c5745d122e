"""When a sensor whose rate wanders takes its samples."""

import dataclasses
from collections.abc import Callable

import numpy as np

_KNOT_S = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SampleClock:
    """Sample positions and their times, straight between the knots and beyond them.

    Attributes:
      index: Float64 `[k]`, k >= 2, increasing sample positions.
      seconds: Float64 `[k]` since sample 0.
    """

    index: np.ndarray
    seconds: np.ndarray

    def __post_init__(self):
        """Checks that time goes forward."""
        if len(self.index) < 2 or len(self.index) != len(self.seconds):
            raise ValueError(
                "a clock needs as many sample positions as times, at least 2, got "
                f"{len(self.index)} and {len(self.seconds)}"
            )
        if (np.diff(self.index) <= 0).any() or (np.diff(self.seconds) <= 0).any():
            raise ValueError("a clock's sample positions and times must increase")

    @classmethod
    def steady(cls, rate_hz: float) -> "SampleClock":
        """A sensor that keeps its rate."""
        return cls(index=np.array([0.0, rate_hz]), seconds=np.array([0.0, 1.0]))

    @classmethod
    def drifting(
        cls,
        rate_hz: float,
        duration_s: float,
        temperature_c: Callable[[np.ndarray], np.ndarray],
        *,
        per_c: float,
        reference_c: float = 25.0,
    ) -> "SampleClock":
        """A sensor whose oscillator follows its temperature.

        Args:
          rate_hz: At `reference_c`.
          duration_s: How long.
          temperature_c: Degrees C at seconds since the start.
          per_c: Relative change of the rate per degree C.
          reference_c: Degrees C.
        """
        steps = int(np.ceil(duration_s / _KNOT_S)) + 1
        middle = (np.arange(steps) + 0.5) * _KNOT_S
        warm = np.asarray(temperature_c(middle)) - reference_c
        elapsed = _KNOT_S / (1.0 + per_c * warm)
        return cls(
            index=np.arange(steps + 1) * (_KNOT_S * rate_hz),
            seconds=np.concatenate([[0.0], np.cumsum(elapsed)]),
        )

    def seconds_at(self, index: np.ndarray) -> np.ndarray:
        """Float64 seconds since sample 0 at sample positions `index`."""
        index = np.asarray(index, np.float64)
        knot = np.clip(np.searchsorted(self.index, index) - 1, 0, len(self.index) - 2)
        slope = np.diff(self.seconds) / np.diff(self.index)
        return self.seconds[knot] + (index - self.index[knot]) * slope[knot]
