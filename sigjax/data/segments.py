"""Whole clips as windows of equal length, batch by batch."""

import concurrent.futures
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

# What becomes of a clip that is shorter than a window: it is repeated, or zeros follow.
Short = Literal["tile", "pad"]


class Waves(Protocol):
    """Clips by number: a `ClipSet`, or what is as one."""

    samples: np.ndarray

    def read_many(self, indices: Sequence[int], /) -> list[np.ndarray]:
        """Waves, int16 `[s]` each."""
        ...


class SegmentBatch(NamedTuple):
    """Some segments.

    Attributes:
      wave: Int16 `[b, s]`; full scale is 32768.
      row: Int32 `[b]`, which clip each is of: index into `Segments.indices`.
      weight: Float32 `[b]`, 1 for a segment, 0 for a row that fills up the last batch.
      valid: Int32 `[b]`, samples of each that are sound, from its beginning; the rest
        is zeros.
    """

    wave: np.ndarray
    row: np.ndarray
    weight: np.ndarray
    valid: np.ndarray


def fitted(
    wave: np.ndarray, start: int, samples: int, short: Short = "tile"
) -> np.ndarray:
    """Samples `start` and on, as many as `samples`, of a wave that may be shorter.

    Args:
      wave: `[t]`, not empty.
      start: First sample.
      samples: Length of what is returned.
      short: What a wave that ends before is filled up with.
    """
    own = wave[start : start + samples]
    if len(own) == samples:
        return own
    if short == "tile":
        return np.resize(own, samples)
    return np.pad(own, (0, samples - len(own)))


def window_starts(
    lengths: np.ndarray, samples: int, hop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the windows begin that cover clips, the last of each reaching back.

    Args:
      lengths: Int `[n]`, samples of each clip.
      samples: Length of a window.
      hop: From one window to the next, at most `samples`.

    Returns:
      Int64 `[n]`, windows of each clip, at least one, and int64 `[m]`, the first sample
      of each window, clip after clip.

    Raises:
      ValueError: The hop is none, or windows would leave gaps.
    """
    if not 1 <= hop <= samples:
        raise ValueError(
            f"a hop of {hop} samples is not in [1, {samples}]: windows of {samples}"
            " samples would not cover a clip"
        )
    beyond = np.maximum(np.asarray(lengths, np.int64) - samples, 0)
    counts = 1 - (-beyond // hop)
    first = np.cumsum(counts) - counts
    place = np.arange(counts.sum()) - np.repeat(first, counts)
    return counts, np.minimum(place * hop, np.repeat(beyond, counts))


class Segments:
    """Clips, each in as few segments as cover it: 1 + ceil((T - segment) / hop).

    A clip of several segments ends with one that reaches back, so that it is full; a
    shorter clip is repeated or filled up.

    Attributes:
      dataset: Where they are read from.
      indices: Int64 `[n]`, numbers of the clips.
      counts: Int64 `[n]`, segments of each.
      starts: Int64 `[m]`, first sample of each segment in its clip.
      samples: Length of a segment.
      batch_size: Segments in a batch; the last one is filled up.
    """

    def __init__(
        self,
        dataset: Waves,
        indices: np.ndarray,
        *,
        samples: int,
        batch_size: int,
        hop: int | None = None,
        short: Short = "tile",
    ):
        """Plans; reads nothing yet.

        Args:
          dataset: Where they are read from.
          indices: Int `[n]`, numbers of the clips.
          samples: Length of a segment.
          batch_size: Segments in a batch.
          hop: Samples from one segment to the next; by default they do not overlap.
          short: What becomes of shorter clips.

        Raises:
          ValueError: The hop is longer than a segment or less than a sample.
        """
        self.dataset, self.indices = dataset, np.asarray(indices, np.int64)
        self.samples, self.batch_size = samples, batch_size
        self.short: Short = short
        lengths = dataset.samples[self.indices]
        hop = samples if hop is None else hop
        self.counts, self.starts = window_starts(lengths, samples, hop)
        self._row = np.repeat(np.arange(len(self.indices)), self.counts)

    def __len__(self) -> int:
        """Batches."""
        return -(-len(self._row) // self.batch_size)

    def __iter__(self) -> Iterator[SegmentBatch]:
        """Reads all batches, the next one in the background."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            following = pool.submit(self._batch, 0) if len(self) else None
            for number in range(len(self)):
                assert following is not None
                batch = following.result()
                if number + 1 < len(self):
                    following = pool.submit(self._batch, number + 1)
                yield batch

    def _batch(self, number: int) -> SegmentBatch:
        here = slice(number * self.batch_size, (number + 1) * self.batch_size)
        rows, starts = self._row[here], self.starts[here]
        own, place = np.unique(rows, return_inverse=True)
        waves = self.dataset.read_many(self.indices[own].tolist())
        wave = np.empty((self.batch_size, self.samples), np.int16)
        valid = np.full(self.batch_size, self.samples, np.int32)
        for to, (at, start) in enumerate(zip(place, starts, strict=True)):
            wave[to] = fitted(waves[at], int(start), self.samples, self.short)
            if self.short == "pad":
                valid[to] = min(self.samples, len(waves[at]) - int(start))
        # A last batch of the same shape compiles nothing anew.
        wave[len(rows) :], valid[len(rows) :] = wave[0], valid[0]
        filled = self.batch_size - len(rows)
        return SegmentBatch(
            wave=wave,
            row=np.pad(rows, (0, filled)).astype(np.int32),
            weight=np.pad(np.ones(len(rows), np.float32), (0, filled)),
            valid=valid,
        )

    def rows(self) -> np.ndarray:
        """Which clip each segment is of, int64 `[m]`: index into `indices`."""
        return self._row

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means over the segments of each clip.

        Args:
          values: `[m, ...]` of all segments in their order, without those that fill
            up the last batch.

        Returns:
          Float64 `[n, ...]`.

        Raises:
          ValueError: There are not as many values as segments.
        """
        if len(values) != len(self._row):
            raise ValueError(
                f"{len(values)} values for {len(self._row)} segments; leave out rows of"
                " weight 0"
            )
        total = np.zeros((len(self.indices), *np.shape(values)[1:]))
        np.add.at(total, self._row, values)
        shape = (-1,) + (1,) * (total.ndim - 1)
        return total / self.counts.reshape(shape)
