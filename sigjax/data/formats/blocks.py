"""What readers of files made of blocks share: growing arrays, cutting into segments."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

# How far the time between two blocks may be from what the samples between them take
# at the nominal rate. Devices run up to 2.5 % off; a break smaller than this cannot be
# told from that.
CLOCK_TOLERANCE = 0.05
CLOCK_SLACK_S = 0.1


class Samples:
    """Rows `[s, columns]` that grow as blocks are decoded.

    Attributes:
      filled: Rows so far.
    """

    def __init__(
        self, expected: int | None, columns: int = 3, dtype: npt.DTypeLike = np.int16
    ):
        """`expected`: the most that can come; its pages cost nothing until written."""
        self._rows = np.empty((expected or 0, columns), dtype)
        self.filled = 0

    def append(self, count: int) -> np.ndarray:
        """Room for `count` more rows."""
        start, self.filled = self.filled, self.filled + count
        if self.filled > len(self._rows):
            # Moves pages instead of copying, so growing never holds two arrays. An
            # eighth at a time, because NumPy writes zeros to all of what is new.
            rows = max(len(self._rows) * 9 // 8, self.filled, 1 << 20)
            self._rows.resize((rows, self._rows.shape[1]), refcheck=False)
        return self._rows[start : self.filled]

    @property
    def array(self) -> np.ndarray:
        """The rows so far, without room for more."""
        if self.filled < len(self._rows):
            self._rows.resize((self.filled, self._rows.shape[1]), refcheck=False)
        return self._rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Good blocks in file order, each with the time of its first sample; all `[k]`.

    Attributes:
      time: Seconds since 1970-01-01 of the first sample.
      count: Samples in the block.
      rate_hz: Nominal rate.
    """

    time: np.ndarray
    count: np.ndarray
    rate_hz: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """Position of each block's first sample among all samples."""
        return np.cumsum(self.count) - self.count

    @property
    def off_the_clock(self) -> np.ndarray:
        """Whether a block `[1:]` starts when its predecessor's samples do not end."""
        elapsed = np.diff(self.time)
        expected = self.count[:-1] / self.rate_hz[:-1]
        slack = CLOCK_TOLERANCE * expected + CLOCK_SLACK_S
        return (np.abs(elapsed - expected) > slack) | (elapsed <= 0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """Blocks `[start, stop)` that follow one another, samples `[low, high)`.

    `anchor_index` and `anchor_time` are those of `Segment`.
    """

    start: int
    stop: int
    low: int
    high: int
    anchor_index: np.ndarray
    anchor_time: np.ndarray


def cut(
    timeline: Timeline, breaks: Mapping[str, np.ndarray], quality: dict[str, int]
) -> list[Stretch]:
    """Cuts a timeline wherever a block does not continue the one before it.

    Args:
      timeline: The good blocks.
      breaks: By reason, whether block `[1:]` does not continue block `[:-1]`.
      quality: `breaks_<reason>` receive the counts; a break counts for the first
        reason that applies.
    """
    blocks = len(timeline.time)
    broken = np.zeros(max(blocks - 1, 0), bool)
    for reason, differs in breaks.items():
        quality[f"breaks_{reason}"] += int((differs & ~broken).sum())
        broken |= differs
    if not blocks:
        return []
    edges = np.flatnonzero(broken) + 1
    bounds = list(zip([0, *edges.tolist()], [*edges.tolist(), blocks], strict=True))
    first = timeline.first
    rates = _measured_rates(timeline, first, bounds)
    stretches = []
    for start, stop in bounds:
        low = int(first[start])
        index = (first[start:stop] - low).astype(np.float64)
        time = timeline.time[start:stop]
        if stop - start == 1:
            # One anchor fixes no rate: take the one that the device kept elsewhere.
            count, nominal = (
                float(timeline.count[start]),
                float(timeline.rate_hz[start]),
            )
            index = np.append(index, count)
            time = np.append(time, time[0] + count / rates.get(nominal, nominal))
        stretches.append(
            Stretch(
                start=start,
                stop=stop,
                low=low,
                high=int(first[stop - 1] + timeline.count[stop - 1]),
                anchor_index=index,
                anchor_time=time,
            )
        )
    return stretches


def _measured_rates(
    timeline: Timeline, first: np.ndarray, bounds: list[tuple[int, int]]
) -> dict[float, float]:
    """The measured rate of the longest stretch of each nominal rate, if any."""
    rates: dict[float, float] = {}
    for start, stop in sorted(bounds, key=lambda bound: bound[1] - bound[0]):
        last = stop - 1
        if last > start:
            span = timeline.time[last] - timeline.time[start]
            steps = first[last] - first[start]
            rates[float(timeline.rate_hz[start])] = float(steps / span)
    return rates
