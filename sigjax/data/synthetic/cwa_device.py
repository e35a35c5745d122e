"""Simulated Axivity loggers: models, ranges, rates."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.synthetic.clock import SampleClock

FIFO = {"AX3": 25, "AX6": 1}  # samples that leave the sensor together
EXPONENT = {16: 3, 8: 2, 4: 1, 2: 0}  # of packed samples, by range
SCALE_BITS = {16: 3, 8: 4, 4: 5, 2: 6}  # AX6: counts per g are 2 ** (8 + bits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CwaDevice:
    """A logger and how it was configured.

    Attributes:
      start: Seconds since 1970-01-01 (device-local) of the first sample.
      rate_hz: True sampling rate; with a `clock`, that of the chunks' own time.
      nominal_rate_hz: Configured rate, 3200 over a power of two.
      model: `"AX3"` or `"AX6"`.
      packed: Exponent-packed samples (three axes only) instead of int16.
      axes: 3, 6 (gyroscope first) or 9.
      range_g: 2, 4, 8 or 16.
      fractional: Timestamps know fractions of a second.
      clock: When each sample is taken, if not at `rate_hz` throughout.
      annotation: Header keys, such as `{"_sc": "P001"}` for the subject's code.
    """

    start: float
    rate_hz: float
    nominal_rate_hz: float = 100.0
    model: str = "AX3"
    packed: bool = True
    axes: int = 3
    range_g: int = 8
    fractional: bool = True
    device_id: int = 12345
    session_id: int = 1
    clock: SampleClock | None = None
    annotation: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Checks the parameters."""
        if self.model not in FIFO or self.range_g not in EXPONENT:
            raise ValueError(
                f"model must be one of {list(FIFO)} and range_g one of "
                f"{list(EXPONENT)}, got {self.model!r} and {self.range_g}"
            )
        if self.axes not in (3, 6, 9) or (self.packed and self.axes != 3):
            raise ValueError(
                f"axes must be 3, 6 or 9, and 3 when packed, got {self.axes}"
            )
        if layout.rate_hz(self.rate_code) != self.nominal_rate_hz:
            raise ValueError(
                f"nominal_rate_hz must be 3200 / 2**k from 6.25 to 3200, "
                f"got {self.nominal_rate_hz}"
            )

    def seconds_at(self, index: np.ndarray) -> np.ndarray:
        """Float64 seconds since sample 0 at sample positions `index`."""
        if self.clock is None:
            return index / self.rate_hz
        return self.clock.seconds_at(index)

    @property
    def rate_code(self) -> int:
        """Header and block code of range and nominal rate."""
        low = 15 - round(np.log2(3200.0 / self.nominal_rate_hz))
        high = {16: 0, 8: 1, 4: 2, 2: 3}[self.range_g]
        return high << 6 | (min(max(low, 6), 15))

    @property
    def samples_per_block(self) -> int:
        """Samples that fill a data block."""
        width = 4 if self.packed else 2 * self.axes
        return layout.PAYLOAD_BYTES // width

    @property
    def counts_per_g(self) -> float:
        """Stored integer steps per g (before the exponent of packed samples)."""
        if self.packed:
            return 256.0 / 2 ** EXPONENT[self.range_g]
        return 256.0 * 2**self.scale_bits

    @property
    def scale_bits(self) -> int:
        """Top three bits of the light field; AX3 devices leave them 0."""
        return SCALE_BITS[self.range_g] if self.model == "AX6" else 0
