"""The clock of tables that give every row a time.

Such times jitter, since a phone or watch stamps what it is handed: rows come in
batches, several share a time, some are late. So the clock is known at anchors about a
second apart, each the mean of the rows around it; rows that all share times (stamped
to the second, or batch by batch) take the first row of a time instead.

Let p be the sample period. A step of more than 1 s and more than 5 p is a gap and
begins a new segment. A step back of more than 5 p is a clock that was set back and
does so too. 5 p is four lost samples and more than the jitter of real watches (4 p).
A step between 5 p and 1 s stays inside its segment, with an anchor on either side so
that nothing is stretched over it: there rows were lost, unless those that follow it
catch up, which their mean tells. So it is where a row of the file could not be used.
"""

import dataclasses

import numpy as np

from sigjax.data.formats import wall_clock
from sigjax.data.formats.wall_clock import Piece

_GAP_S = 1.0
_GAP_PERIODS = 5.0
_ANCHOR_S = 1.0
_LAG_ROWS = 256
_SHORTEST_S = 1e-6  # A sample period; doubles of 1.7e9 s tell 0.2 us apart.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock:
    """What is known once all rows were seen.

    Attributes:
      pieces: Stretches of rows without a gap, in file order.
      rate_hz: Rows per second over all pieces; None if no time passed in any.
      breaks_gap: Pieces that begin after a gap.
      breaks_set_back: Pieces that begin earlier than the one before them ended.
      short_gaps: Steps of more than 5 sample periods inside pieces.
    """

    pieces: tuple[Piece, ...]
    rate_hz: float | None
    breaks_gap: int
    breaks_set_back: int
    short_gaps: int


class RowClock:
    """Collects the times of rows."""

    def __init__(self, rate_hz: float):
        """Starts empty; `rate_hz` is 0 where it is to be measured."""
        self._period = 1 / rate_hz if rate_hz else 0.0
        self._gap_s = self._jitter_s = np.inf
        self._shared = False
        self._per_anchor = 0
        self._held = np.zeros(0), np.zeros(0, np.int64)
        self._rows, self._last, self._position = 0, np.nan, -1
        self._short_gaps = 0
        self._breaks: list[np.ndarray] = []
        self._edges: list[np.ndarray] = []
        self._anchors: list[np.ndarray] = []

    def add(self, time: np.ndarray, position: np.ndarray) -> None:
        """Adds the next rows.

        Args:
          time: Float64 `[n]` seconds, finite.
          position: Int64 `[n]`, their numbers in the file: where one is missing a row
            could not be used, though its time passed.
        """
        time = np.concatenate([self._held[0], time])
        position = np.concatenate([self._held[1], position])
        if not np.isfinite(self._jitter_s):
            self._settle(time, position)
        # The rows of an anchor wait for the next block, so that no mean is of a few.
        ready = len(time) - self._per_anchor
        ready = ready if ready >= self._per_anchor else 0
        self._held = time[ready:], position[ready:]
        self._take(time[:ready], position[:ready])

    def _take(self, time: np.ndarray, position: np.ndarray) -> None:
        if not len(time):
            return
        step = np.diff(time, prepend=self._last)
        broken = (step > self._gap_s) | (step < -self._jitter_s)
        broken[0] |= self._rows == 0
        hole = (np.abs(step) > self._jitter_s) & ~broken
        if self._shared:
            self._add_first_of_each(time, step, broken)
        else:
            self._short_gaps += int(hole.sum())
            hole |= (np.diff(position, prepend=self._position) != 1) & ~broken
            self._add_means(time, broken, hole)
        at = np.flatnonzero(broken)
        self._breaks.append(at + self._rows)
        before = np.where(at > 0, time[at - 1], self._last)
        self._edges.append(np.stack([before, time[at]], axis=1))
        self._rows += len(time)
        self._last, self._position = float(time[-1]), int(position[-1])

    def _settle(self, time: np.ndarray, position: np.ndarray) -> None:
        """Measures period and jitter in the first rows."""
        step = np.diff(time)
        forward = step[step > _SHORTEST_S]
        if not len(forward):
            return
        usual = float(np.median(forward))
        self._shared = bool((step == 0).mean() > 0.5)
        if self._shared:
            steps = step[(step >= 0) & (step <= max(_GAP_S, 3 * usual))]
        else:
            # Over many rows, where jitter is small; the median leaves out gaps.
            lag = max(min(_LAG_ROWS, len(step) // 2), 1)
            whole = position[lag:] - position[:-lag] == lag
            steps = ((time[lag:] - time[:-lag]) / lag)[whole]
        if len(steps):
            measured = np.mean(steps) if self._shared else np.median(steps)
            self._period = max(float(measured), _SHORTEST_S)
        elif not self._period:
            self._period = usual
        self._jitter_s = _GAP_PERIODS * self._period
        self._gap_s = max(_GAP_S, self._jitter_s)
        self._per_anchor = max(round(_ANCHOR_S / self._period), 1)
        if self._shared:
            self._gap_s = max(self._gap_s, 1.5 * usual)

    def _add_means(
        self, time: np.ndarray, broken: np.ndarray, hole: np.ndarray
    ) -> None:
        # Runs without a break, each cut into equal parts of about a second.
        cut = broken | hole
        cut[0] = True
        run = np.flatnonzero(cut)
        length = np.diff(run, append=len(time))
        parts = np.maximum(length // max(self._per_anchor, 1), 1)
        within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        start = within * np.repeat(length, parts) // np.repeat(parts, parts)
        start += np.repeat(run, parts)
        count = np.diff(start, append=len(time))
        # Sums of small numbers: a mean of 1.7e9 s would lose digits.
        mean_time = time[start] + np.add.reduceat(time - time[0], start) / count
        mean_time -= time[start] - time[0]
        mean_row = self._rows + start + (count - 1) / 2
        # Either side of a hole or break from the means: single rows are often late.
        after = np.flatnonzero((hole | broken)[start])
        before = after[after > 0] - 1
        half = (count - 1) / 2 * self._period
        rows = np.concatenate(
            [mean_row, self._rows + start[before + 1] - 1, self._rows + start[after]]
        )
        times = np.concatenate(
            [
                mean_time,
                mean_time[before] + half[before],
                mean_time[after] - half[after],
            ]
        )
        order = np.argsort(rows, kind="stable")
        self._anchors.append(np.stack([rows[order], times[order]], axis=1))

    def _add_first_of_each(
        self, time: np.ndarray, step: np.ndarray, broken: np.ndarray
    ) -> None:
        new = np.flatnonzero(broken | (step != 0))
        second = np.floor(time[new] / _ANCHOR_S)
        kept = new[broken[new] | (np.diff(second, prepend=np.nan) != 0)]
        rows = (self._rows + kept).astype(float)
        self._anchors.append(np.stack([rows, time[kept]], axis=1))

    def finish(self, tz: str = "") -> Clock | None:
        """Returns the clock, or None if it has no rate: no time passed.

        Args:
          tz: Zone in whose wall-clock time the rows are, to be turned into UTC.
        """
        self._take(*self._held)
        if not self._rows:
            return Clock(
                pieces=(), rate_hz=None, breaks_gap=0, breaks_set_back=0, short_gaps=0
            )
        if not self._period:
            return None
        pieces = self._pieces()
        if tz:
            pieces = wall_clock.to_utc(pieces, tz)
            pieces = wall_clock.join(pieces, -self._jitter_s, self._gap_s)
        spans = [
            (p.anchor_row[-1] - p.anchor_row[0], p.anchor_time[-1] - p.anchor_time[0])
            for p in pieces
            if len(p.anchor_row) > 1
        ]
        rows, seconds = (sum(column) for column in zip((0.0, 0.0), *spans, strict=True))
        steps = [b.first - a.last for a, b in zip(pieces, pieces[1:], strict=False)]
        return Clock(
            pieces=tuple(self._complete(piece) for piece in pieces),
            rate_hz=float(rows / seconds) if rows else 1 / self._period,
            breaks_gap=sum(step > 0 for step in steps),
            breaks_set_back=sum(step <= 0 for step in steps),
            short_gaps=self._short_gaps,
        )

    def _pieces(self) -> list[Piece]:
        starts = np.concatenate(self._breaks)
        edges = np.concatenate(self._edges)
        lasts = np.append(edges[1:, 0], self._last)
        anchors = np.concatenate(self._anchors)
        cuts = np.searchsorted(anchors[:, 0], starts)
        pieces = []
        for number, (start, low) in enumerate(zip(starts, cuts, strict=True)):
            inside = number + 1 < len(starts)
            stop = int(starts[number + 1]) if inside else self._rows
            part = anchors[low : cuts[number + 1] if inside else None]
            row, time = part[:, 0] - start, part[:, 1]
            # Late rows must not turn the clock back.
            highest = np.maximum.accumulate(time)
            kept = np.ones(len(row), bool)
            kept[1:] = (np.diff(highest) > 0) & (np.diff(row) > 0)
            pieces.append(
                Piece(
                    start=int(start),
                    rows=stop - int(start),
                    first=float(edges[number, 1]),
                    last=float(lasts[number]),
                    anchor_row=row[kept],
                    anchor_time=time[kept],
                )
            )
        return pieces

    def _complete(self, piece: Piece) -> Piece:
        """Gives a piece of less than two anchors the recording's rate."""
        if len(piece.anchor_row) > 1:
            return piece
        rows = np.array([0.0, piece.rows])
        time = piece.first + rows * self._period
        return dataclasses.replace(piece, anchor_row=rows, anchor_time=time)
