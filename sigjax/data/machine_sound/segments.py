"""Whole clips as segments of equal length, batch by batch."""

import concurrent.futures
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sigjax.data.machine_sound.sounds import SoundSet


class SegmentBatch(NamedTuple):
    """Some segments.

    Attributes:
      wave: Int16 `[b, s]`; full scale is 32768.
      row: Int32 `[b]`, which clip each is of: index into `Segments.indices`.
      weight: Float32 `[b]`, 1 for a segment, 0 for a row that fills up the last batch.
    """

    wave: np.ndarray
    row: np.ndarray
    weight: np.ndarray


def fitted(wave: np.ndarray, start: int, samples: int) -> np.ndarray:
    """Samples `start` and on, as many as `samples`; a shorter wave is repeated.

    Args:
      wave: `[t]`, not empty.
      start: First sample.
      samples: Length of what is returned.
    """
    if len(wave) - start >= samples:
        return wave[start : start + samples]
    return np.resize(wave[start:], samples)


class Segments:
    """Clips, each in as few segments as cover it: B = ceil(T / segment).

    A clip of several segments ends with one that reaches back, so that it is full; a
    shorter clip is repeated.

    Attributes:
      dataset: Where they are read from.
      indices: Int64 `[n]`, numbers of the clips.
      counts: Int64 `[n]`, segments of each.
      samples: Length of a segment.
      batch_size: Segments in a batch; the last one is filled up.
    """

    def __init__(
        self, dataset: SoundSet, indices: np.ndarray, *, samples: int, batch_size: int
    ):
        """Plans; reads nothing yet."""
        self.dataset, self.indices = dataset, np.asarray(indices, np.int64)
        self.samples, self.batch_size = samples, batch_size
        lengths = dataset.samples[self.indices]
        self.counts = np.maximum(1, -(-lengths // samples))
        self._row = np.repeat(np.arange(len(self.indices)), self.counts)
        first = np.cumsum(self.counts) - self.counts
        place = np.arange(len(self._row)) - np.repeat(first, self.counts)
        last = np.maximum(0, np.repeat(lengths, self.counts) - samples)
        self._start = np.minimum(place * samples, last)

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
        rows, starts = self._row[here], self._start[here]
        own, place = np.unique(rows, return_inverse=True)
        waves = self.dataset.read_many(self.indices[own].tolist())
        wave = np.empty((self.batch_size, self.samples), np.int16)
        for to, (at, start) in enumerate(zip(place, starts, strict=True)):
            wave[to] = fitted(waves[at], int(start), self.samples)
        # A last batch of the same shape compiles nothing anew.
        wave[len(rows) :] = wave[0]
        filled = self.batch_size - len(rows)
        return SegmentBatch(
            wave=wave,
            row=np.pad(rows, (0, filled)).astype(np.int32),
            weight=np.pad(np.ones(len(rows), np.float32), (0, filled)),
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
