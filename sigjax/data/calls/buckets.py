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
      ratio: From one bucket's width to the next; with 1.25 no call, if it is as long as
        the narrowest bucket is wide, is padded by more than a quarter of its length.
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

    The widest come first, so that memory that does not suffice shows at once. All
    batches of a bucket have one shape.

    Args:
      samples: Int `[n]`, length of each call; 0 for one that is left out.
      config: Shapes.
      rows: Numbers of the calls to read: those of this process, or not yet read; by
        default all.
    """
    lengths = np.asarray(samples, np.int64)
    units = _units(lengths, config)
    bucket = np.searchsorted(np.array(config.widths), units["samples"])
    used, bucket = np.unique(bucket, return_inverse=True)
    # No wider than need be, as for clips that are all of one length. Of all calls, for
    # shapes not to depend on which of them are still to be read.
    longest = np.zeros(len(used), np.int64)
    np.maximum.at(longest, bucket, units["samples"])
    widths = np.minimum(-(-longest // 16) * 16, np.array(config.widths)[used])
    widths = np.maximum(widths, config.first)
    if rows is not None:
        kept = np.isin(units["row"], np.asarray(rows))
        units, bucket = units[kept], bucket[kept]
    found: list[BatchPlan] = []
    for at in reversed(np.unique(bucket).tolist()):
        own, width = units[bucket == at], int(widths[at])
        size = _rows(len(own), width, config)
        starts = range(0, len(own), size)
        found += [_planned(own[n : n + size], size, width) for n in starts]
    return tuple(found)


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


def _units(lengths: np.ndarray, config: BucketConfig) -> np.ndarray:
    """Chunks of calls, in the order of the calls."""
    whole = np.flatnonzero((lengths > 0) & (lengths <= config.longest))
    units = np.zeros(len(whole), _UNIT)
    units["row"], units["chunks"], units["samples"] = whole, 1, lengths[whole]
    chunks = []
    for row in np.flatnonzero(lengths > config.longest).tolist():
        starts = chunk_starts(int(lengths[row]), config)
        ends = np.append(starts[1:], lengths[row])
        for chunk, (start, end) in enumerate(zip(starts, ends, strict=True)):
            chunks.append((row, chunk, len(starts), start, end - start))
    units = np.concatenate([units, np.array(chunks, _UNIT)])
    return units[np.lexsort((units["chunk"], units["row"]))]


def _rows(units: int, width: int, config: BucketConfig) -> int:
    """Rows of a bucket's batches: equally many in each, so that few are filled up."""
    whole = config.multiple
    most = max(1, min(config.budget // width, config.most_rows) // whole) * whole
    batches = -(-units // most)
    return -(-units // (batches * whole)) * whole


def _planned(units: np.ndarray, size: int, width: int) -> BatchPlan:
    filled = np.zeros(size, _UNIT)
    filled["row"] = -1
    filled[: len(units)] = units
    columns = {name: filled[name].copy() for name in _UNIT.names or ()}
    return BatchPlan(width=width, **columns)
