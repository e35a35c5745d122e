"""Calls of unequal length as batches of few shapes: length buckets, chunks, shards.

A plan is a function of the lengths alone: a run that was stopped goes on where it was,
and shapes are compiled once for each bucket. Encoders that ignore padding give the same
features whatever batch a call is in.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class BucketConfig:
    """Shapes of batches. Lengths are in samples.

    Attributes:
      budget: Samples of a batch, at most, if that is a call at least.
      multiple: Rows of a batch are a multiple of it: of the devices that share them.
      first: Width of the narrowest bucket.
      ratio: From one bucket's width to the next: a call that is alone in filling up its
        row is padded by less than this share.
      longest: Longer calls are read in chunks.
      chunk: Length of a chunk; 18.75 s, as in the paper's code.
      least: A shorter tail is a part of the chunk before it.
      most_rows: Of a batch.
    """

    budget: int = 960_000
    multiple: int = 1
    first: int = 720
    ratio: float = 1.25
    longest: int = 480_000
    chunk: int = 300_000
    least: int = 400
    most_rows: int = 512

    def __post_init__(self):
        """Refuses what does not fit together."""
        if self.multiple < 1 or self.most_rows < self.multiple or self.budget < 1:
            raise ValueError(
                f"multiple {self.multiple}, most_rows {self.most_rows} and budget"
                f" {self.budget} must be at least 1, rows no fewer than their multiple"
            )
        if self.ratio < 1.05:
            raise ValueError(f"ratio {self.ratio} must be at least 1.05")
        if not self.least <= self.first <= self.chunk <= self.longest - self.least:
            raise ValueError(
                f"least {self.least}, first {self.first}, chunk {self.chunk} and"
                f" longest {self.longest} must ascend"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all buckets, ascending."""
        found = [self.first]
        # Chunks fill up their rows, but for one that takes a tail.
        stops = (self.chunk, self.longest)
        while found[-1] < self.longest:
            grown = max(found[-1] + 16, int(found[-1] * self.ratio) // 16 * 16)
            following = [stop for stop in stops if found[-1] < stop < grown]
            found.append(min([grown, *following, self.longest]))
        return tuple(found)


class BatchPlan(NamedTuple):
    """What a batch holds: stretches of calls, padded to one width.

    Attributes:
      width: Samples of a row.
      row: Int32 `[b]`, number of the call; -1 for a row that fills up the batch.
      chunk: Int32 `[b]`, which chunk of the call, from 0.
      chunks: Int32 `[b]`, how many the call has.
      start: Int64 `[b]`, where the stretch begins in the call.
      samples: Int32 `[b]`, its length; 0 for a row that fills up the batch.
    """

    width: int
    row: np.ndarray
    chunk: np.ndarray
    chunks: np.ndarray
    start: np.ndarray
    samples: np.ndarray


def chunk_starts(samples: int, config: BucketConfig) -> np.ndarray:
    """Where the chunks of a call begin, int64, the first at 0."""
    if samples <= config.longest:
        return np.zeros(1, np.int64)
    starts = np.arange(0, samples, config.chunk, dtype=np.int64)
    if len(starts) > 1 and samples - starts[-1] < config.least:
        starts = starts[:-1]
    return starts


def plan(
    samples: Sequence[int] | np.ndarray,
    config: BucketConfig,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
) -> tuple[BatchPlan, ...]:
    """Batches in which each call is read once, the widest first.

    The widest come first, so that memory that does not suffice shows at once. The last
    rows of a bucket move to the next wider one where that costs less than to fill up a
    batch.

    Args:
      samples: Int `[n]`, length of each call; 0 for one that is left out.
      config: Shapes.
      rows: Numbers of the calls to read: those of this process, or not yet read; by
        default all.
    """
    lengths = np.asarray(samples, np.int64)
    chosen = np.arange(len(lengths)) if rows is None else np.unique(rows)
    units = _units(lengths, chosen[lengths[chosen] > 0], config)
    widths = np.array(config.widths)
    bucket = np.searchsorted(widths, units["samples"])
    used = np.unique(bucket).tolist()
    found: list[BatchPlan] = []
    carried = units[:0]
    for at, number in enumerate(used):
        own = np.concatenate([units[bucket == number], carried])
        width = int(widths[number])
        size = _rows(len(own), width, config)
        left = len(own) % size
        carried = own[:0]
        if left and at + 1 < len(used):
            wider = int(widths[used[at + 1]])
            if left * wider < size * width:
                own, carried = own[: len(own) - left], own[len(own) - left :]
        batches = [own[n : n + size] for n in range(0, len(own), size)]
        found += [_planned(part, size, width) for part in reversed(batches)]
    return tuple(reversed(found))


def shard_rows(
    samples: Sequence[int] | np.ndarray, index: int, count: int
) -> np.ndarray:
    """Calls of one of several processes, int64, ascending; about equally long in all.

    All chunks of a call are one process's.

    Args:
      samples: Int `[n]`, length of each call.
      index: Which process.
      count: How many there are.

    Raises:
      ValueError: The index is out of range.
    """
    if not 0 <= index < count:
        raise ValueError(f"index {index} is not in [0, {count})")
    order = np.argsort(-np.asarray(samples, np.int64), kind="stable")
    # There and back, as teams are chosen: the longest does not always go to the first.
    place = np.arange(len(order)) % (2 * count)
    return np.sort(order[(place == index) | (place == 2 * count - 1 - index)])


def padding_share(batches: Sequence[BatchPlan]) -> float:
    """Share of all samples of batches that is padding."""
    total = sum(batch.width * len(batch.row) for batch in batches)
    real = sum(int(batch.samples.sum()) for batch in batches)
    return 1 - real / total if total else 0.0


_UNIT = np.dtype(
    [
        ("row", np.int32),
        ("chunk", np.int32),
        ("chunks", np.int32),
        ("start", np.int64),
        ("samples", np.int32),
    ]
)


def _units(lengths: np.ndarray, rows: np.ndarray, config: BucketConfig) -> np.ndarray:
    """Chunks of calls in their order."""
    found = []
    for row in rows.tolist():
        starts = chunk_starts(int(lengths[row]), config)
        ends = np.append(starts[1:], lengths[row])
        for chunk, (start, end) in enumerate(zip(starts, ends, strict=True)):
            found.append((row, chunk, len(starts), start, end - start))
    return np.array(found, _UNIT)


def _rows(units: int, width: int, config: BucketConfig) -> int:
    """Rows of a bucket's batches: no more than a power of two that holds its units."""
    enough = 1 << max(0, units - 1).bit_length()
    size = min(config.budget // width, config.most_rows, enough)
    return max(1, size // config.multiple) * config.multiple


def _planned(units: np.ndarray, size: int, width: int) -> BatchPlan:
    filled = np.zeros(size, _UNIT)
    filled["row"] = -1
    filled[: len(units)] = units
    columns = {name: filled[name].copy() for name in _UNIT.names or ()}
    return BatchPlan(width=width, **columns)
