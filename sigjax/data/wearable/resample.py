"""Raw segments on a drifting device clock to stretches on one uniform grid.

The grid is common to a whole recording: its points are the times `k / rate_hz` for
integer `k`, counted from 1970-01-01 on the device's own clock, so that every whole
second is a grid point. A segment fills the points between its first and last sample;
each point's sample position comes from the segment's piecewise-linear clock. Nothing
is stretched across a gap.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from sigjax.data import recording as rec
from sigjax.data.compiled import compiled
from sigjax.data.wearable import filters

# Clocks are doubles of about 1.7e9 s, good to 0.2 us: points this close to a
# sample (in grid steps) are that sample.
_EPSILON = 1e-4
# Readers extrapolate a segment's ends, so neighbours may overlap a little. A larger
# step back in time is a clock that was set, and starts a new stretch.
_MAX_OVERLAP_S = 1.0

ChunkSink = Callable[[rec.Segment, filters.Chunk], None]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """The part of a run that one raw segment fills: grid points `[first, stop)`."""

    segment: rec.Segment
    first: int
    stop: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """Neighbouring pieces without a gap, or with gaps short enough to bridge."""

    pieces: tuple[Piece, ...]

    @property
    def first(self) -> int:
        """Grid index of the first point."""
        return self.pieces[0].first

    @property
    def stop(self) -> int:
        """One past the grid index of the last point."""
        return self.pieces[-1].stop

    @property
    def bridged(self) -> int:
        """Grid points that no segment covers."""
        return self.stop - self.first - sum(p.stop - p.first for p in self.pieces)


def index_at(segment: rec.Segment, time: np.ndarray) -> np.ndarray:
    """Sample positions (float64) at `time`: the inverse of `Segment.time_at`."""
    time = np.asarray(time, np.float64)
    index = np.interp(time, segment.anchor_time, segment.anchor_index)
    rate = segment.rate_hz
    first, last = segment.anchor_time[0], segment.anchor_time[-1]
    before, after = time < first, time > last
    if before.any():
        index[before] = segment.anchor_index[0] + (time[before] - first) * rate
    if after.any():
        index[after] = segment.anchor_index[-1] + (time[after] - last) * rate
    return index


def usable(segment: rec.Segment, nominal_rate_hz: float) -> bool:
    """Whether a segment has samples, and a clock within a factor 2 of nominal."""
    times = segment.anchor_time
    if (
        len(segment.counts) == 0
        or len(times) < 2
        or not np.isfinite(segment.scale).all()
    ):
        return False
    if not (np.isfinite(times).all() and np.all(np.diff(times) > 0)):
        return False
    return nominal_rate_hz / 2 < segment.rate_hz < nominal_rate_hz * 2


def plan_runs(
    segments: Sequence[rec.Segment], *, rate_hz: float, max_gap_s: float
) -> tuple[list[Run], dict[str, int]]:
    """Lays segments on the grid and joins neighbours.

    Args:
      segments: Usable ones, in file order.
      rate_hz: Of the grid.
      max_gap_s: Neighbours at most this far apart become one run; the points
        between them are to be bridged. 0 joins only where no grid point is missing.

    Returns:
      Runs in file order, and the counts `gaps_bridged`, `gaps_kept` (forward in
      time, too long to bridge), `clock_set_back`, `overlaps_trimmed` (the later
      segment's points that an earlier one already has) and `below_one_sample`
      (segments that fall between two grid points).
    """
    counts = {
        "gaps_bridged": 0,
        "gaps_kept": 0,
        "clock_set_back": 0,
        "overlaps_trimmed": 0,
        "below_one_sample": 0,
    }
    runs: list[list[Piece]] = []
    for segment in segments:
        first = math.ceil(segment.start * rate_hz - _EPSILON)
        stop = math.floor(segment.end * rate_hz + _EPSILON) + 1
        gap = first - runs[-1][-1].stop if runs else None
        if gap is not None and -_MAX_OVERLAP_S * rate_hz <= gap < 0:
            counts["overlaps_trimmed"] += 1
            first, gap = first - gap, 0
        if stop <= first:
            counts["below_one_sample"] += 1
            continue
        piece = Piece(segment=segment, first=first, stop=stop)
        if gap is not None and 0 <= gap <= max_gap_s * rate_hz:
            counts["gaps_bridged"] += gap > 0
            runs[-1].append(piece)
            continue
        if gap is not None:
            counts["clock_set_back" if gap < 0 else "gaps_kept"] += 1
        runs.append([piece])
    return [Run(pieces=tuple(pieces)) for pieces in runs], counts


@compiled
def _nearest(values, position, out):
    last = values.shape[1] - 1
    for i in range(len(position)):
        nearest = int(np.floor(min(max(position[i], 0.0), last) + 0.5))
        for axis in range(len(values)):
            out[i, axis] = values[axis, nearest]


@compiled
def _linear(values, position, out):
    last = values.shape[1] - 1
    for i in range(len(position)):
        clipped = min(max(position[i], 0.0), last)
        left = int(clipped)
        u = clipped - left
        right = min(left + 1, last)
        for axis in range(len(values)):
            a, b = values[axis, left], values[axis, right]
            out[i, axis] = a + u * (b - a)


@compiled
def _cubic(values, position, out):
    last = values.shape[1] - 1
    for i in range(len(position)):
        clipped = min(max(position[i], 0.0), last)
        left = int(clipped)
        u = clipped - left
        before, right, after = (
            max(left - 1, 0),
            min(left + 1, last),
            min(left + 2, last),
        )
        for axis in range(len(values)):
            a, b = values[axis, left], values[axis, right]
            slope_a = (b - values[axis, before]) / 2
            slope_b = (values[axis, after] - a) / 2
            quadratic = 3 * (b - a) - 2 * slope_a - slope_b
            cubic = 2 * (a - b) + slope_a + slope_b
            out[i, axis] = a + u * (slope_a + u * (quadratic + u * cubic))


_INTERPOLATIONS = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}


def interpolate(
    values: np.ndarray, position: np.ndarray, method: str, out: np.ndarray
) -> None:
    """Evaluates a sampled signal between its samples.

    Args:
      values: Float64 `[c, s]`.
      position: Float64 `[n]` sample positions, clipped to `[0, s - 1]`.
      method: `"nearest"` (ties to the later sample), `"linear"`, or `"cubic"` (a
        Catmull-Rom spline through four samples: less loss of amplitude when the
        rates are close, as for 32 Hz to 30 Hz).
      out: Receives float32 `[n, c]`.
    """
    if method not in _INTERPOLATIONS:
        raise ValueError(
            f"interpolation={method!r} is not one of {tuple(_INTERPOLATIONS)}"
        )
    _INTERPOLATIONS[method](values, position, out)


def _render_piece(
    piece: Piece,
    out: np.ndarray,
    *,
    rate_hz: float,
    method: str,
    sos: np.ndarray | None,
    sink: ChunkSink | None,
) -> None:
    """Filters and resamples one piece into `out`, float32 `[stop - first, 3]`."""
    segment = piece.segment
    total = len(segment.counts)
    done = piece.first
    for chunk in filters.filtered_chunks(
        segment.counts, segment.scale, sos, offset_g=segment.offset_g
    ):
        if sink is not None:
            sink(segment, chunk)
        stop = piece.stop
        if chunk.stop < total:
            end = float(segment.time_at(np.array([float(chunk.stop)]))[0])
            stop = min(stop, math.ceil(end * rate_hz - _EPSILON))
        if stop <= done:
            continue
        position = index_at(segment, np.arange(done, stop) / rate_hz) - chunk.first
        target = out[done - piece.first : stop - piece.first]
        interpolate(chunk.values, position, method, target)
        done = stop


def render(
    run: Run,
    *,
    rate_hz: float,
    method: str,
    lowpass_hz: float | None,
    lowpass_order: int,
    sink: ChunkSink | None = None,
) -> np.ndarray:
    """Filters and resamples a run.

    Every segment is filtered on its own, before interpolation: the low-pass is also
    what keeps the coarser grid free of aliases. Bridged points lie on the straight
    line between the samples either side (`"nearest"`: repeat the closer one).

    Args:
      run: What to render.
      rate_hz: Of the grid.
      method: See `interpolate`.
      lowpass_hz: Cut-off, or None. A segment sampled too slowly for it (at or below
        twice the cut-off) has nothing to remove and passes unfiltered.
      lowpass_order: Order of the one-way Butterworth filter.
      sink: Sees each filtered chunk at the device's own rate.

    Returns:
      Float32 `[stop - first, 3]` in g, as the device measured (not calibrated).
    """
    out = np.empty((run.stop - run.first, 3), np.float32)
    previous = None
    for piece in run.pieces:
        sos = None
        if lowpass_hz is not None and piece.segment.rate_hz > 2 * lowpass_hz:
            sos = filters.design_lowpass(
                lowpass_hz, lowpass_order, piece.segment.rate_hz
            )
        start, stop = piece.first - run.first, piece.stop - run.first
        _render_piece(
            piece, out[start:stop], rate_hz=rate_hz, method=method, sos=sos, sink=sink
        )
        if previous is not None and previous < start:
            ends = np.array(out[[previous - 1, start]].T, np.float64, order="C")
            fraction = np.arange(1, start - previous + 1) / (start - previous + 1)
            method_between = "nearest" if method == "nearest" else "linear"
            interpolate(ends, fraction, method_between, out[previous:start])
        previous = stop
    return out
