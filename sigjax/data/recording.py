"""What a device file holds once it is read: recordings made of segments on one clock.

Two stages share the words. A *reader* (`sigjax.data.formats`) returns a
`Recording` of raw `Segment`s: integer counts as the device stored them, on the
clock that the device kept. *Preparation* (`sigjax.data.wearable`) returns a
`PreparedRecording` of `WearSegment`s: calibrated acceleration on a uniform grid.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
    """Something else that the device recorded beside acceleration.

    Attributes:
      values: `[m]` or `[m, k]`, in `unit`; int16 codes where `unit` is `"label"`.
      unit: Such as `"dps"`, `"lux"`, `"V"`, `"adc"` (raw converter counts).
      index: Float64 `[m]` sample positions of the values in their segment; None if
        there is one value per sample.
    """

    values: np.ndarray
    unit: str
    index: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A gap-free stretch of raw samples and the clock they were taken on.

    Device clocks are known only at anchors (one per block, about a second apart).
    Between anchors time is interpolated piecewise-linearly; before the first and
    after the last it is extrapolated at the segment's measured rate.

    Attributes:
      counts: `[s, 3]`, acceleration as stored, x y z: int16, or float32 where the
        file holds text.
      scale: g per count: one number, or `[3]` for devices that carry a calibration.
      anchor_index: Float64 `[k]`, strictly increasing sample positions. They may
        lie outside `[0, s)`: an anchor can belong to a sample of the next block.
      anchor_time: Float64 `[k]`, seconds since 1970-01-01 at those positions.
      temperature: Degrees C at `temperature_index`, or empty arrays.
      temperature_index: Float64 `[m]` sample positions of `temperature`.
      temperature_c: Float32 `[m]`.
      offset_g: Added after scaling, in g: one number or `[3]`.
      channels: What else was asked for and is in the file, by name (`"gyro"`,
        `"magnetometer"`, `"light"`, `"battery"`, `"label"`...).
    """

    counts: np.ndarray
    scale: float | np.ndarray
    anchor_index: np.ndarray
    anchor_time: np.ndarray
    temperature_index: np.ndarray
    temperature_c: np.ndarray
    offset_g: float | np.ndarray = 0.0
    channels: Mapping[str, Channel] = dataclasses.field(default_factory=dict)

    @property
    def rate_hz(self) -> float:
        """Measured sampling rate: samples per second between outer anchors."""
        span = self.anchor_time[-1] - self.anchor_time[0]
        return float((self.anchor_index[-1] - self.anchor_index[0]) / span)

    def time_at(self, index: np.ndarray) -> np.ndarray:
        """Seconds since 1970-01-01 at (fractional) sample positions `index`."""
        index = np.asarray(index, np.float64)
        time = np.interp(index, self.anchor_index, self.anchor_time)
        rate = self.rate_hz
        first, last = self.anchor_index[0], self.anchor_index[-1]
        time = np.where(
            index < first, self.anchor_time[0] + (index - first) / rate, time
        )
        return np.where(
            index > last, self.anchor_time[-1] + (index - last) / rate, time
        )

    @property
    def start(self) -> float:
        """Seconds since 1970-01-01 of the first sample (device-local clock)."""
        return float(self.time_at(np.zeros(1))[0])

    @property
    def end(self) -> float:
        """Seconds since 1970-01-01 of the last sample."""
        return float(self.time_at(np.array([len(self.counts) - 1.0]))[0])

    @property
    def acceleration(self) -> np.ndarray:
        """Float32 `[s, 3]` in g."""
        scaled = self.counts * np.asarray(self.scale, np.float32)
        return (scaled + np.asarray(self.offset_g, np.float32)).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One device file.

    Attributes:
      source: The path it was read from.
      device: Model, such as `"AX3"`, `"AX6"` or `"E4"`.
      device_id: Serial number as text (`""` when the file names none).
      nominal_rate_hz: The rate the device was configured for.
      segments: In file order (a clock that was set back shows as a later segment
        that starts earlier).
      quality: Counts of everything that was not used as is: `blocks`,
        `bad_blocks` and one `bad_<reason>` per kind of failure, `breaks_<reason>`
        per kind of segment break, all integers.
      metadata: What else the header says (subject code, logging start, firmware).
        `metadata["clock"]` is `"utc"`, or `"device-local"` for a clock that was set to
        some local time and never follows daylight saving.
      utc_offset_s: Its clock minus UTC, constant over the recording: 0 for a UTC
        clock; None for a local clock whose time zone the file does not name.
    """

    source: str
    device: str
    device_id: str
    nominal_rate_hz: float
    segments: tuple[Segment, ...]
    quality: Mapping[str, int]
    metadata: Mapping[str, Any]
    utc_offset_s: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WearSegment:
    """A contiguous stretch of wear on a uniform grid.

    Attributes:
      start: Seconds since 1970-01-01 of sample 0 (device-local clock).
      acceleration: Float32 `[s, 3]` in g.
    """

    start: float
    acceleration: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PreparedRecording:
    """A recording after filtering, resampling, calibration and non-wear removal.

    Attributes:
      name: Unique within a store, usable as a file name.
      person: Whose wrist; splits never separate two recordings of one person.
      rate_hz: The uniform rate of every segment.
      segments: Stretches of wear that are long enough, in time order.
      quality: JSON-able figures: the reader's counts, calibration errors before
        and after, hours recorded, worn, dropped and why.
    """

    name: str
    person: str
    source: str
    device: str
    device_id: str
    rate_hz: float
    segments: tuple[WearSegment, ...]
    quality: Mapping[str, Any]


class FormatError(ValueError):
    """A file cannot be read at all; the message says which, where and why."""
