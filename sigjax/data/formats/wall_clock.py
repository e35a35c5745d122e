"""Times of a clock on the wall, which follows daylight saving, turned into UTC."""

import dataclasses
import datetime
import math
import zoneinfo
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_DAY_S = 86_400


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Rows of a table that follow one another without a gap.

    Attributes:
      start: Row number in the table.
      rows: How many.
      first: Time of the first row, seconds since 1970-01-01.
      last: Of the last row.
      anchor_row: Float64 `[k]` positions from `start`, strictly increasing.
      anchor_time: Float64 `[k]`, strictly increasing.
    """

    start: int
    rows: int
    first: float
    last: float
    anchor_row: np.ndarray
    anchor_time: np.ndarray


class Change(NamedTuple):
    """A moment at which a zone's clocks are changed.

    Attributes:
      utc: When, in seconds since 1970-01-01.
      before: Wall-clock time minus UTC before it, in seconds.
      after: And after it.
    """

    utc: float
    before: float
    after: float

    @property
    def repeats(self) -> bool:
        """Whether clocks go back, so that wall-clock times come twice."""
        return self.after < self.before

    @property
    def shown(self) -> tuple[float, float]:
        """The wall-clock times `[low, high)` that come twice, or never."""
        return (
            self.utc + min(self.before, self.after),
            self.utc + max(self.before, self.after),
        )


def offset_s(utc: float, tz: str) -> float:
    """Wall-clock time minus UTC of a zone, at an instant."""
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    moment += datetime.timedelta(seconds=math.floor(utc))
    offset = moment.astimezone(zoneinfo.ZoneInfo(tz)).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def changes(tz: str, low: float, high: float) -> list[Change]:
    """The changes of a zone's clocks between two instants."""
    found = []
    before = offset_s(low, tz)
    day = math.floor(low)
    while day < high:
        left, right = day, day + _DAY_S
        after = offset_s(right, tz)
        if after != before:
            while right - left > 1:
                middle = (left + right) // 2
                if offset_s(middle, tz) == before:
                    left = middle
                else:
                    right = middle
            found.append(Change(float(right), before, after))
        before, day = after, day + _DAY_S
    return found


def to_utc(pieces: Sequence[Piece], tz: str) -> list[Piece]:
    """Turns wall-clock times of a zone into UTC.

    A time that came twice in autumn is its first occurrence, unless the rows before
    it have already passed that, or the rows after it lead on into the time that
    followed its second. Rows that carry on through the hour that a zone skips or
    repeats, as a clock without daylight saving would, are cut there.

    Args:
      pieces: In file order, on the wall clock.
      tz: IANA name.
    """
    if not pieces:
        return []
    low = min(piece.first for piece in pieces) - 2 * _DAY_S
    high = max(piece.last for piece in pieces) + 2 * _DAY_S
    known = changes(tz, low, high)
    offsets = np.array([offset_s(low, tz), *(change.after for change in known)])
    turned: list[Piece] = []
    for piece in pieces:
        before = turned[-1].last if turned else -np.inf
        # Where the offset changes, on the wall: after the doubtful times, unless
        # those are the second of two.
        switches = []
        for change in known:
            from_time, to_time = change.shown
            second = change.repeats and from_time <= piece.first < to_time
            second = second and (
                piece.last >= to_time or piece.first - change.before < before
            )
            switches.append(from_time if second else to_time)
        turned += _shift(piece, np.array(switches), offsets)
    return turned


def _shift(piece: Piece, switches: np.ndarray, offsets: np.ndarray) -> list[Piece]:
    """Subtracts offsets that change at `switches`, and cuts there."""
    inside = (switches > piece.first) & (switches <= piece.last)
    rows = np.interp(switches[inside], *_clock(piece))
    cuts = np.clip(np.ceil(rows), 1, piece.rows - 1).astype(int)
    parts = []
    bounds = [0, *np.unique(cuts).tolist(), piece.rows]
    for begin, stop in zip(bounds, bounds[1:], strict=False):
        first, last = _time_at(piece, begin), _time_at(piece, stop - 1)
        offset = offsets[np.searchsorted(switches, first, side="right")]
        kept = (piece.anchor_row >= begin) & (piece.anchor_row < stop)
        row, time = piece.anchor_row[kept], piece.anchor_time[kept]
        if begin > 0 and (not len(row) or row[0] > begin):
            row, time = np.append(begin, row), np.append(first, time)
        parts.append(
            Piece(
                start=piece.start + begin,
                rows=stop - begin,
                first=first - offset,
                last=last - offset,
                anchor_row=row - begin,
                anchor_time=time - offset,
            )
        )
    return parts


def _clock(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """Times and rows of a piece's anchors and ends."""
    inside = (piece.anchor_row > 0) & (piece.anchor_row < piece.rows - 1)
    time = np.concatenate([[piece.first], piece.anchor_time[inside], [piece.last]])
    row = np.concatenate([[0.0], piece.anchor_row[inside], [piece.rows - 1.0]])
    return np.maximum.accumulate(time), row


def _time_at(piece: Piece, row: int) -> float:
    time, rows = _clock(piece)
    return float(np.interp(row, rows, time))


def join(pieces: Sequence[Piece], earliest_s: float, latest_s: float) -> list[Piece]:
    """Joins neighbours whose step in time is from `earliest_s` to `latest_s`."""
    joined: list[Piece] = []
    for piece in pieces:
        if not joined or not earliest_s <= piece.first - joined[-1].last <= latest_s:
            joined.append(piece)
            continue
        left = joined[-1]
        row = np.append(left.anchor_row, piece.anchor_row + left.rows)
        time = np.append(left.anchor_time, piece.anchor_time)
        kept = np.ones(len(row), bool)
        kept[1:] = np.diff(np.maximum.accumulate(time)) > 0
        joined[-1] = dataclasses.replace(
            left,
            rows=left.rows + piece.rows,
            last=piece.last,
            anchor_row=row[kept],
            anchor_time=time[kept],
        )
    return joined
