"""Non-wear: rest too long for a wrist."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from sigjax.data.wearable import stationary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """A time during which the device was not worn.

    Attributes:
      start: Seconds since 1970-01-01.
      end: Likewise, exclusive.
      run_first: The run it starts in (a clock that was set back can show the same
        time twice).
      run_last: The run it ends in.
    """

    start: float
    end: float
    run_first: int
    run_last: int


def nonwear_spans(
    blocks: stationary.Blocks,
    windows: stationary.Windows,
    sd: np.ndarray,
    run_times: Sequence[tuple[float, float]],
    *,
    stationary_sd_g: float,
    nonwear_min: float,
    count_last_window: bool,
) -> list[Span]:
    """Finds stationary periods of more than `nonwear_min` minutes.

    A period is what stationary windows cover between them, so a device that lies
    still for an hour has a period of an hour whether windows move or tumble. A block
    without any sample ends it.

    Args:
      blocks: What the windows are made of.
      windows: All of the recording's.
      sd: Float `[w, 3]`, their standard deviations in g once calibrated.
      run_times: First and last-plus-one time of each run; a period that reaches
        past the recording's ends is cut there.
      stationary_sd_g: A window is stationary if sd is below this on all axes.
      nonwear_min: Periods must be strictly longer.
      count_last_window: False measures, and drops, from the start of the first
        window to the start of the last only, as actipy does.
    """
    still = (sd < stationary_sd_g).all(axis=1)
    change = np.zeros(len(blocks.index) + 1, np.int64)
    np.add.at(change, windows.row[still], 1)
    np.add.at(change, windows.row[still] + windows.blocks, -1)
    covered = np.cumsum(change[:-1]) > 0
    joined = covered[1:] & covered[:-1] & blocks.consecutive
    first = np.flatnonzero(covered & ~np.concatenate([[False], joined])[: len(covered)])
    last = np.flatnonzero(covered & ~np.concatenate([joined, [False]])[: len(covered)])
    spans = []
    for i, j in zip(first, last, strict=True):
        run_first, run_last = int(blocks.run_first[i]), int(blocks.run_last[j])
        start = blocks.origin + float(blocks.index[i]) * blocks.hop_s
        stop = float(blocks.index[j] + 1)
        if not count_last_window:
            stop -= windows.blocks
        end = blocks.origin + stop * blocks.hop_s
        start = max(start, run_times[run_first][0])
        end = min(end, run_times[run_last][1])
        # A microsecond: what doubles of 1.7e9 s can tell apart.
        if end - start > nonwear_min * 60 + 1e-6:
            spans.append(
                Span(start=start, end=end, run_first=run_first, run_last=run_last)
            )
    return spans


def worn(
    first: int, stop: int, run: int, spans: Sequence[Span], rate_hz: float
) -> list[tuple[int, int]]:
    """Returns what remains of a run's grid points `[first, stop)`, as such pairs."""
    kept, cursor = [], first
    for span in spans:
        if not span.run_first <= run <= span.run_last:
            continue
        begin = first
        if run == span.run_first:
            begin = int(np.ceil(span.start * rate_hz - 1e-4))
        end = stop
        if run == span.run_last:
            end = int(np.ceil(span.end * rate_hz - 1e-4))
        begin, end = max(begin, cursor), min(end, stop)
        if begin > cursor:
            kept.append((cursor, begin))
        cursor = max(cursor, end)
    if cursor < stop:
        kept.append((cursor, stop))
    return kept
