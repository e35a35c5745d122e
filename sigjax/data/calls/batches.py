"""Reads planned batches of calls, the next ones in the background."""

import collections
import concurrent.futures
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data.calls.buckets import BatchPlan
from sigjax.data.calls.manifest import Call
from sigjax.data.calls.reading import ReadingConfig, Survey, Wave, read_call
from sigjax.data.clips import LeftOut

_AHEAD = 2


class CallBatch(NamedTuple):
    """A batch of calls, or of chunks of them.

    Attributes:
      wave: Float32 `[b, s]`, zeros behind each stretch.
      samples: Int32 `[b]`, how many are real. Rows that are none hold zeros, and as
        many samples as there are in a row.
      row: Int32 `[b]`, number of the call; -1 for a row that fills up the batch, or
        whose call could not be read.
      chunk: Int32 `[b]`, which chunk of the call, from 0.
      chunks: Int32 `[b]`, how many the call has.
      left_out: Calls of this batch that could not be read, by id; of a call in chunks,
        only with the first.
      remarks: Id of a call, and what is worth a remark, as for `left_out`.
    """

    wave: np.ndarray
    samples: np.ndarray
    row: np.ndarray
    chunk: np.ndarray
    chunks: np.ndarray
    left_out: tuple[LeftOut, ...]
    remarks: tuple[tuple[str, str], ...]


class CallBatches:
    """Batches of a plan, in its order.

    Attributes:
      plans: Of all batches.
    """

    def __init__(
        self,
        root: epath.PathLike,
        calls: Sequence[Call],
        survey: Survey,
        config: ReadingConfig,
        plans: Sequence[BatchPlan],
        *,
        threads: int = 2,
    ):
        """Reads nothing yet.

        Args:
          root: What the paths are relative to.
          calls: Of a manifest.
          survey: Of the same calls, with the same `config`.
          config: How they are read.
          plans: Of `buckets.plan` for `survey.samples`; a part of them, to go on.
          threads: Calls that are read at once.
        """
        self.plans = tuple(plans)
        self._root, self._calls, self._survey = epath.Path(root), calls, survey
        self._config, self._threads = config, threads

    def __len__(self) -> int:
        """Batches."""
        return len(self.plans)

    def __iter__(self) -> Iterator[CallBatch]:
        """Reads all batches; two are read ahead of the one that is asked for."""
        waves: dict[int, concurrent.futures.Future[Wave]] = {}
        wanted: collections.deque[set[int]] = collections.deque()
        waiting = iter(self.plans)
        with concurrent.futures.ThreadPoolExecutor(self._threads) as pool:
            try:
                for plan in self.plans:
                    while len(wanted) <= _AHEAD and (following := next(waiting, None)):
                        rows = [row for row in following.row.tolist() if row >= 0]
                        wanted.append(set(rows))
                        for row in rows:
                            if row not in waves:
                                waves[row] = pool.submit(self._read, row)
                    yield self._batch(plan, waves)
                    # A long call is kept while its chunks follow each other.
                    for row in wanted.popleft() - set().union(*wanted):
                        del waves[row]
            finally:
                for task in waves.values():
                    task.cancel()

    def _read(self, row: int) -> Wave:
        samples = int(self._survey.samples[row])
        return read_call(self._root, self._calls[row], samples, self._config)

    def _batch(
        self, plan: BatchPlan, waves: dict[int, concurrent.futures.Future[Wave]]
    ) -> CallBatch:
        wave = np.zeros((len(plan.row), plan.width), np.float32)
        samples, row = plan.samples.copy(), plan.row.copy()
        left_out, remarks = [], []
        for at, number in enumerate(plan.row.tolist()):
            if number < 0:
                continue
            found, name = waves[number].result(), self._calls[number].id
            if plan.chunk[at] == 0:
                remarks += [(name, what) for what in found.remarks]
            if found.reason:
                if plan.chunk[at] == 0:
                    left_out.append(LeftOut(name, found.reason))
                row[at] = -1
                continue
            start = int(plan.start[at])
            own = found.wave[start : start + int(samples[at])]
            wave[at, : len(own)] = own
        samples[row < 0] = plan.width
        return CallBatch(
            wave=wave,
            samples=samples,
            row=row,
            chunk=plan.chunk,
            chunks=plan.chunks,
            left_out=tuple(left_out),
            remarks=tuple(remarks),
        )
