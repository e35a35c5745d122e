"""Mean and standard deviation of short windows: what calibration and non-wear see.

Windows are sums of equal blocks. Blocks as long as a window give tumbling windows,
shorter ones give a moving window that advances a block at a time; either way a week
of samples is read once and only the blocks' sums are kept.
"""

import dataclasses
import math

import numpy as np

from sigjax.data import recording as rec
from sigjax.data.compiled import compiled
from sigjax.data.wearable import filters, resample


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Sums over the blocks that hold at least one sample, in the order recorded.

    Attributes:
      index: Int64 `[n]`; block `i` is the time `[origin + i * hop_s, ... + hop_s)`.
      count: Int64 `[n]` samples.
      total: Float64 `[n, 3]` sum of acceleration.
      square: Float64 `[n, 3]` sum of its square.
      run_first: Int64 `[n]`, the run of the block's first sample.
      run_last: Int64 `[n]`, the run of its last (another one where a gap ended
        inside the block).
      origin: Seconds since 1970-01-01.
      hop_s: Length of a block.
    """

    index: np.ndarray
    count: np.ndarray
    total: np.ndarray
    square: np.ndarray
    run_first: np.ndarray
    run_last: np.ndarray
    origin: float
    hop_s: float

    @property
    def consecutive(self) -> np.ndarray:
        """Bool `[n - 1]`: whether a block is followed by the very next one."""
        return np.diff(self.index) == 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Statistics of every window that lies on consecutive blocks.

    Attributes:
      row: Int64 `[w]`, the position in `Blocks` of a window's first block.
      blocks: Blocks in a window.
      index: Int64 `[w]`, that block's index.
      mean: Float64 `[w, 3]` in g.
      sd: Float64 `[w, 3]` in g, with one degree of freedom less than samples;
        infinite where a window has a single sample.
      origin: Seconds since 1970-01-01, start of block 0.
      hop_s: Length of a block.
    """

    row: np.ndarray
    blocks: int
    index: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    origin: float
    hop_s: float

    @property
    def centre(self) -> np.ndarray:
        """Float64 `[w]`, seconds since 1970-01-01 at the middle of each window."""
        return self.origin + (self.index + self.blocks / 2) * self.hop_s


_ROW = np.dtype(
    [
        ("index", np.int64),
        ("count", np.int64),
        ("total", np.float64, 3),
        ("square", np.float64, 3),
        ("run_first", np.int64),
        ("run_last", np.int64),
    ]
)


@compiled
def _block_sums(values, starts):
    """Sums `[n, 3]` of `values` `[3, s]`, and of their squares, from start to start."""
    total, square = np.zeros((len(starts), 3)), np.zeros((len(starts), 3))
    for block in range(len(starts)):
        last = block + 1 == len(starts)
        stop = values.shape[1] if last else starts[block + 1]
        for axis in range(3):
            sum_x = sum_xx = 0.0
            for i in range(starts[block], stop):
                x = np.float64(values[axis, i])
                sum_x += x
                sum_xx += x * x
            total[block, axis], square[block, axis] = sum_x, sum_xx
    return total, square


class BlockSums:
    """Accumulates `Blocks` while samples stream past in the order recorded."""

    def __init__(self, *, origin: float, hop_s: float):
        """Starts with block 0 at `origin`; set `run` before each run's samples."""
        self._origin = origin
        self._hop_s = hop_s
        self._rows = np.zeros(0, _ROW)
        self._filled = 0
        self.run = 0

    def add_chunk(self, segment: rec.Segment, chunk: filters.Chunk) -> None:
        """Adds samples at the device's own rate (a sink of `resample.render`)."""
        ends = segment.time_at(np.array([chunk.start, chunk.stop - 1.0]))
        first, last = self._block_of(ends)
        edges = self._origin + np.arange(first + 1, last + 1) * self._hop_s
        position = np.ceil(resample.index_at(segment, edges) - 1e-6)
        self._add(chunk.core, first, position.astype(np.int64) - chunk.start)

    def add_grid(self, values: np.ndarray, first: int, rate_hz: float) -> None:
        """Adds float `[s, 3]` samples on the grid, the first at index `first`."""
        size = 1 << 20
        for start in range(0, len(values), size):
            part = values[start : start + size].T
            grid = first + start
            ends = np.array([grid, grid + part.shape[1] - 1]) / rate_hz
            block, last = self._block_of(ends)
            edges = self._origin + np.arange(block + 1, last + 1) * self._hop_s
            position = np.ceil(edges * rate_hz - 1e-4).astype(np.int64)
            self._add(part, block, position - grid)

    def _block_of(self, time: np.ndarray) -> np.ndarray:
        return np.floor((time - self._origin) / self._hop_s + 1e-7).astype(np.int64)

    def _add(self, values: np.ndarray, first: int, edges: np.ndarray) -> None:
        starts = np.concatenate([[0], np.clip(edges, 0, values.shape[1])])
        count = np.diff(np.append(starts, values.shape[1]))
        filled = count > 0
        starts = starts[filled]
        rows = np.empty(len(starts), _ROW)
        rows["index"] = first + np.flatnonzero(filled)
        rows["count"] = count[filled]
        rows["total"], rows["square"] = _block_sums(values, starts)
        rows["run_first"] = rows["run_last"] = self.run
        self._append(rows)

    def _append(self, rows: np.ndarray) -> None:
        """Adds rows, the first of which may go on with the last block so far."""
        last = self._rows[self._filled - 1 : self._filled]
        if len(last) and len(rows) and last["index"] == rows["index"][0]:
            for name in ("count", "total", "square"):
                last[name] += rows[name][:1]
            last["run_last"] = rows["run_last"][0]
            rows = rows[1:]
        del last
        start, self._filled = self._filled, self._filled + len(rows)
        if self._filled > len(self._rows):
            # Moves pages instead of copying: a week's rows are 45 MB.
            size = max(len(self._rows) * 9 // 8, self._filled)
            self._rows.resize(size, refcheck=False)
        self._rows[start : self._filled] = rows

    def finish(self) -> Blocks:
        """Returns the blocks, and starts anew."""
        rows = self._rows[: self._filled]
        # What was handed out must not move.
        self._rows, self._filled = np.zeros(0, _ROW), 0
        return Blocks(
            **{name: rows[name] for name in _ROW.names or ()},
            origin=self._origin,
            hop_s=self._hop_s,
        )


@compiled
def _statistics(row, size, count, total, square):
    """Mean and sd `[w, 3]` over the `size` blocks from each of `row` on."""
    mean, sd = np.empty((len(row), 3)), np.empty((len(row), 3))
    for window in range(len(row)):
        for axis in range(3):
            # Each sum anew: differences of a running total over a week would lose
            # the digits that a constant window's sd is made of.
            samples, sum_x, sum_xx = 0, 0.0, 0.0
            for block in range(row[window], row[window] + size):
                samples += count[block]
                sum_x += total[block, axis]
                sum_xx += square[block, axis]
            x = sum_x / samples
            spread = max(sum_xx - samples * x * x, 0.0)
            mean[window, axis] = x
            sd[window, axis] = (
                math.sqrt(spread / (samples - 1)) if samples > 1 else np.inf
            )
    return mean, sd


def windows(blocks: Blocks, window_s: float) -> Windows:
    """Returns the statistics of windows of `window_s`, one per block where it fits.

    Args:
      blocks: From `BlockSums.finish`.
      window_s: A whole multiple of the blocks' length.
    """
    size = round(window_s / blocks.hop_s)
    if size < 1 or abs(size * blocks.hop_s - window_s) > 1e-9:
        raise ValueError(
            f"window_s={window_s} is not a whole multiple of hop_s={blocks.hop_s}"
        )
    places = max(len(blocks.index) - size + 1, 0)
    broken = np.concatenate([[0], np.cumsum(~blocks.consecutive)])
    row = np.flatnonzero(broken[size - 1 :][:places] == broken[:places])

    mean, sd = _statistics(row, size, blocks.count, blocks.total, blocks.square)
    return Windows(
        row=row,
        blocks=size,
        index=blocks.index[row],
        mean=mean,
        sd=sd,
        origin=blocks.origin,
        hop_s=blocks.hop_s,
    )
