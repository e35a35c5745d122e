"""Batches for training and evaluation, through Grain.

A stream of batches is a function of its seed alone. Process count, threads and worker
processes change who reads, not what is read, and a run resumes by its step number: no
iterator state is saved, so it may resume with other numbers of processes or workers.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any, Generic, Protocol, TypeVar

import grain
import numpy as np
from absl import flags

from sigjax.data.crops import Batch
from sigjax.data.reader_config import ReaderConfig

Plan = TypeVar("Plan")


class Source(Protocol[Plan]):
    """What batches are made from: choosing an example is apart from reading it.

    `crops.CropSource` (random crops of recordings) and `windows.LabelledWindows` are
    such sources. They pickle. An element is its own index; `plan` turns one into what
    is to be read, and `read` reads a whole batch at once.
    """

    def __len__(self) -> int:
        """Examples of an epoch."""
        ...

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        ...

    def plan(self, index: int, rng: np.random.Generator, /) -> Plan:
        """Chooses what to read, for training."""
        ...

    def fixed_plan(self, index: int, seed: int, /) -> Plan:
        """Chooses what to read, the same each time, for evaluation."""
        ...

    def read(self, plans: Sequence[Plan], /) -> Batch:
        """Reads a batch."""
        ...


def train_batches(
    source: Source[Plan],
    *,
    batch_size: int,
    seed: int,
    shard_index: int = 0,
    shard_count: int = 1,
    start_step: int = 0,
    workers: int = 0,
    read_threads: int = 2,
    prefetch_batches: int = 2,
    weights: np.ndarray | None = None,
) -> grain.DatasetIterator[Batch]:
    """Endless batches: every example once per epoch, shuffled, planned anew each time.

    Batches run across the ends of epochs, so nothing is left out. With weights examples
    are drawn with replacement instead.

    Args:
      source: Of examples: recordings to crop, or labelled windows.
      batch_size: Global, over all processes.
      seed: In [0, 2**32).
      shard_index: Which process this is; it yields rows `shard_index::shard_count` of
        each global batch.
      shard_count: Number of processes.
      start_step: Batches to skip: a run that made this many steps continues here.
      workers: Reader processes. With 0, threads read; TensorStore decodes without
        the interpreter's lock, so more processes mostly add copying.
      read_threads: Batches that are read at once (per worker).
      prefetch_batches: Batches that are kept ready (per worker). A batch of eight
        days at 30 Hz takes 124 MB.
      weights: How often each example is drawn, as of `train_crops`.

    Returns:
      Iterator of batches as of `source.read`, `batch_size // shard_count` rows.

    Raises:
      ValueError: The numbers do not fit together.
    """
    rows = _local_rows(batch_size, shard_index, shard_count)
    if start_step < 0:
        raise ValueError(f"start_step {start_step} is negative")
    # Sharded before batching: a global batch then holds the same examples however many
    # processes share it.
    plans = train_crops(source, seed=seed, weights=weights)[shard_index::shard_count]
    batches = plans.batch(rows, drop_remainder=True, batch_fn=list).map(source.read)
    dataset = _in_background(
        batches[start_step:], read_threads=read_threads, prefetch=prefetch_batches
    )
    if workers:
        dataset = _in_workers(dataset, workers)
    return iter(dataset)


def train_crops(
    source: Source[Plan], *, seed: int, weights: np.ndarray | None = None
) -> grain.MapDataset[Plan]:
    """Endless plans in the order in which `train_batches` reads them.

    Row `r` of global batch `k` is plan `k * batch_size + r`: this tells afterwards
    what a run saw at a step, without reading any data.

    Args:
      source: Of examples.
      seed: In [0, 2**32).
      weights: Float `[n]`, not negative: each row is drawn anew, with replacement, in
        proportion to them. None for every example once an epoch.

    Raises:
      ValueError: Weights are not those of the examples, or all are 0.
    """
    order: _Shuffle | _Draw
    if weights is None:
        order = _Shuffle(seed=seed, length=len(source))
    else:
        order = _Draw(seed, weights, len(source))
    indices = grain.MapDataset.source(source).repeat(None).map_with_index(order)
    return indices.seed(seed).random_map(source.plan)


def eval_batches(
    source: Source[Plan],
    *,
    batch_size: int,
    seed: int,
    shard_index: int = 0,
    shard_count: int = 1,
    read_threads: int = 2,
    prefetch_batches: int = 2,
) -> grain.DatasetIterator[Batch]:
    """One pass: every example once, its plan fixed by the seed and its name.

    The last batch is filled up with examples seen before, of weight 0, so that all
    batches have one shape and nothing is dropped.

    Args:
      source: Of examples: recordings to crop, or labelled windows.
      batch_size: Global, over all processes.
      seed: Another seed, other plans.
      shard_index: Which process this is, as in `train_batches`.
      shard_count: Number of processes; all yield the same number of batches.
      read_threads: Batches that are read at once.
      prefetch_batches: Batches that are kept ready.

    Returns:
      Iterator of batches as of `source.read`, and `weight`: float32 `[b]`, 1 for
      a row that counts (or what `source.read` gives it), 0 for one that fills up.

    Raises:
      ValueError: The numbers do not fit together.
    """
    rows = _local_rows(batch_size, shard_index, shard_count)
    count = len(source)

    def plan(position: int) -> tuple[Plan, float]:
        return source.fixed_plan(position % count, seed), float(position < count)

    def read(planned: list[tuple[Plan, float]]) -> Batch:
        plans, weights = zip(*planned, strict=True)
        batch, weight = source.read(plans), np.array(weights, np.float32)
        # Of a source whose examples count differently.
        return {**batch, "weight": weight * batch.get("weight", np.float32(1))}

    positions = range(batch_size * steps_per_epoch(source, batch_size))
    plans = grain.MapDataset.source(positions).map(plan)[shard_index::shard_count]
    batches = plans.batch(rows, drop_remainder=True, batch_fn=list).map(read)
    return iter(
        _in_background(batches, read_threads=read_threads, prefetch=prefetch_batches)
    )


Examples = TypeVar("Examples", bound=Source[Any])


class SourceData(Generic[Examples]):
    """What the data of all systems have in common: batches of two sources.

    Attributes:
      train_source: Examples to train on.
      validation_source: Those held out; None, or empty, if there are none.
      reader: How batches are read.
      train_weights: How often each training example is drawn, with replacement, float
        `[n]`; None for once an epoch.
    """

    train_source: Examples
    validation_source: Examples | None
    reader: ReaderConfig
    train_weights: np.ndarray | None = None

    def train(
        self, *, start_step: int, shard_index: int, shard_count: int
    ) -> Iterator[Mapping[str, np.ndarray]]:
        """Endless training batches from `start_step` on; see `train_batches`."""
        c = self.reader
        return train_batches(
            self.train_source,
            batch_size=c.batch_size,
            seed=c.seed,
            shard_index=shard_index,
            shard_count=shard_count,
            start_step=start_step,
            workers=c.workers,
            read_threads=c.read_threads,
            prefetch_batches=c.prefetch_batches,
            weights=self.train_weights,
        )

    def evaluation(
        self, *, shard_index: int, shard_count: int
    ) -> Iterator[Mapping[str, np.ndarray]]:
        """What is held out, once; nothing if nothing is. See `eval_batches`."""
        c, source = self.reader, self.validation_source
        if source is None or not len(source):
            return iter(())
        return eval_batches(
            source,
            batch_size=c.batch_size,
            seed=c.seed,
            shard_index=shard_index,
            shard_count=shard_count,
            read_threads=c.read_threads,
            prefetch_batches=c.prefetch_batches,
        )


def steps_per_epoch(source: Sized, batch_size: int) -> int:
    """Batches until every example was seen, rounded up."""
    return math.ceil(len(source) / batch_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shuffle:
    """Another order each epoch.

    Grain's `shuffle` walks a cipher of 2**16 states, which for a source of 30
    recordings takes a millisecond for each, more than reading a short crop.
    """

    seed: int
    length: int

    def __call__(self, position: int, _: int) -> int:
        epoch, index = divmod(position, self.length)
        return int(_order(self.seed, epoch, self.length)[index])


class _Draw:
    """An example by its weight, drawn for each position alone: nothing to resume."""

    def __init__(self, seed: int, weights: np.ndarray, length: int):
        weights = np.asarray(weights, np.float64)
        if (
            weights.shape != (length,)
            or not (np.isfinite(weights) & (weights >= 0)).all()
        ):
            raise ValueError(
                f"weights are {length} finite numbers that are not negative, got"
                f" {list(weights.shape)}"
            )
        if not weights.sum() > 0:
            raise ValueError("weights are all 0: no example would ever be drawn")
        self._seed, self._last = seed, length - 1
        self._bounds = np.cumsum(weights) / weights.sum()

    def __call__(self, position: int, _: int) -> int:
        share = np.random.default_rng([self._seed, 1, position]).random()
        found = int(np.searchsorted(self._bounds, share, side="right"))
        return min(found, self._last)  # rounding may end the last bound below 1


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


def _local_rows(batch_size: int, shard_index: int, shard_count: int) -> int:
    if not 0 <= shard_index < shard_count:
        raise ValueError(f"shard_index {shard_index} is not in [0, {shard_count})")
    if batch_size < 1 or batch_size % shard_count:
        raise ValueError(
            f"batch_size {batch_size} does not divide over {shard_count} processes;"
            f" choose a multiple of {shard_count}"
        )
    return batch_size // shard_count


def _in_background(
    batches: grain.MapDataset, *, read_threads: int, prefetch: int
) -> grain.IterDataset:
    # Grain's default would keep 500 batches ready.
    options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=prefetch)
    return batches.to_iter_dataset(options)


def _in_workers(dataset: grain.IterDataset, workers: int) -> grain.IterDataset:
    # Workers inherit absl's flags, and a program without absl.app never parsed any.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    options = grain.MultiprocessingOptions(num_workers=workers)
    return dataset.mp_prefetch(options)
