"""Windows of a sound as it comes, each of which a detector scores."""

import math
from typing import NamedTuple

import numpy as np

from sigjax.data.pcm_stream import CLIPPED, DAMAGED, Block

# Of a window: a shorter rest at the end is not worth one that is nearly the last again.
REST = 0.05


class Window(NamedTuple):
    """A stretch of sound.

    Attributes:
      start_s: Where it begins, seconds from the first sample.
      end_s: Where it ends.
      wave: Float32 `[s]`; damaged samples are 0.
      damaged: Share of its samples that are no numbers.
      clipped: Share of its samples at full scale.
    """

    start_s: float
    end_s: float
    wave: np.ndarray
    damaged: float
    clipped: float

    @property
    def constant(self) -> bool:
        """Whether every sample is the same: not even the noise of a microphone."""
        return bool(np.ptp(self.wave) == 0)


class Rolling:
    """Cuts blocks into windows of equal length that begin every hop.

    The end of a sound is in a last window that reaches back, so that it is full, but
    for a rest of less than 5 % of a window. Of a sound shorter than a window there is
    one, as short as the sound.
    """

    def __init__(
        self,
        *,
        rate_hz: int,
        source_hz: int,
        window_s: float,
        hop_s: float,
        rest: float = REST,
    ):
        """Nothing has come yet.

        Args:
          rate_hz: Of the waves.
          source_hz: Of the marks.
          window_s: Length of a window.
          hop_s: From the beginning of one to that of the next; with more than
            `window_s` there is sound that no window holds.
          rest: Share of a window that what is left at the end must have to be worth
            one more.

        Raises:
          ValueError: A window or hop is shorter than a sample.
        """
        self._window, self._hop = round(window_s * rate_hz), round(hop_s * rate_hz)
        if min(self._window, self._hop) < 1:
            raise ValueError(
                f"a window of {window_s:g} s every {hop_s:g} s: both must be longer"
            )
        self._rate_hz, self._source_hz, self._rest = rate_hz, source_hz, rest
        self._wave, self._first = np.empty(0, np.float32), 0
        self._marks, self._first_mark = np.empty(0, np.uint8), 0
        self._next, self._covered = 0, 0

    @property
    def heard_s(self) -> float:
        """Seconds that have come."""
        return (self._first + len(self._wave)) / self._rate_hz

    def push(self, block: Block) -> list[Window]:
        """Takes a block; returns the windows that it completes."""
        self._wave = np.concatenate([self._wave, block.wave])
        self._marks = np.concatenate([self._marks, block.marks])
        heard, found = self._first + len(self._wave), []
        while self._next + self._window <= heard:
            found.append(self._cut(self._next, self._next + self._window))
            self._next += self._hop
        self._forget(min(self._next, heard - self._window))
        return found

    def close(self, block: Block) -> list[Window]:
        """Takes the last block; returns the windows that are left."""
        found = self.push(block)
        heard = self._first + len(self._wave)
        rest = heard - self._covered
        if rest and (rest >= self._rest * self._window or not self._covered):
            found.append(self._cut(max(0, heard - self._window), heard))
        return found

    def _cut(self, first: int, end: int) -> Window:
        self._covered = max(self._covered, end)
        ratio = self._source_hz / self._rate_hz
        marks = self._marks[
            math.floor(first * ratio) - self._first_mark : math.ceil(end * ratio)
            - self._first_mark
        ]
        count = max(len(marks), 1)
        return Window(
            start_s=first / self._rate_hz,
            end_s=end / self._rate_hz,
            wave=self._wave[first - self._first : end - self._first],
            damaged=float(np.count_nonzero(marks & DAMAGED)) / count,
            clipped=float(np.count_nonzero(marks & CLIPPED)) / count,
        )

    def _forget(self, before: int) -> None:
        """Drops what no window will hold."""
        if before <= self._first:
            return
        self._wave = self._wave[before - self._first :].copy()
        self._first = before
        mark = math.floor(before * self._source_hz / self._rate_hz)
        mark = min(mark, self._first_mark + len(self._marks))
        self._marks = self._marks[mark - self._first_mark :].copy()
        self._first_mark = mark
