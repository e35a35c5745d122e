"""Collects features of whole calls, and writes them to their folder part by part."""

import collections
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from sigjax.data.calls.batches import CallBatch
from sigjax.evals.layer_features import FeatureFolder, Job, Part
from sigjax.inference.speech_encoder import ChunkMerger
from sigjax.models.speech_encoder import Moments

_PART_BYTES = 64 << 20


class Clip(NamedTuple):
    """A call that is to be computed.

    Attributes:
      key: By which its features are known.
      seconds: Its length.
    """

    key: str
    seconds: float


class PartWriter:
    """Takes batches' moments and writes features of what is complete.

    Attributes:
      clips: Calls that are done with, so far.
      seconds: Of sound in them.
    """

    def __init__(
        self,
        folder: FeatureFolder,
        job: Job,
        clips: Mapping[int, Clip],
        *,
        ddof: int,
        part_s: float,
        process: int,
        told: Callable[[int, float], None],
    ):
        """Writes nothing yet.

        Args:
          folder: Where parts go.
          job: Whose.
          clips: By number; others are known already and pass unseen.
          ddof: See `sigjax.models.speech_encoder.functionals`.
          part_s: Seconds after which a part is written.
          process: Whose parts they are.
          told: Called after every batch with `clips` and `seconds`.
        """
        self._folder, self._job, self._process = folder, job, process
        self._waiting, self._part_s, self._told = dict(clips), part_s, told
        self._merger = ChunkMerger(ddof)
        self._remarks: dict[int, list[str]] = collections.defaultdict(list)
        self.clips, self.seconds = 0, 0.0
        self._clear()

    def _clear(self) -> None:
        self._keys: list[str] = []
        self._told_of: list[list[str]] = []
        self._features: list[np.ndarray] = []
        self._left_out: dict[str, str] = {}
        self._bytes, self._since = 0, time.perf_counter()

    def take(
        self, batch: CallBatch, moments: Moments, number: Mapping[str, int]
    ) -> None:
        """Takes in a batch.

        Args:
          batch: As it was read.
          moments: Of its rows.
          number: Of calls, by id.
        """
        for name, what in batch.remarks:
            if name in number:
                self._remarks[number[name]].append(what)
        for name, reason in batch.left_out:
            if name in number:
                self._leave(number[name], reason)
        done = self._merger.add(batch.row, batch.chunk, batch.chunks, moments)
        for row, features in done:
            if row in self._waiting:
                self._keep(row, features)
        self._told(self.clips, self.seconds)
        waited_s = time.perf_counter() - self._since
        if self._bytes >= _PART_BYTES or waited_s >= self._part_s:
            self.write()

    def _keep(self, row: int, features: np.ndarray) -> None:
        if not np.isfinite(features).all():
            self._leave(row, "its features are not finite")
            return
        clip = self._pop(row)
        self._keys.append(clip.key)
        self._told_of.append(self._remarks.pop(row, []))
        self._features.append(features)
        self._bytes += features.nbytes

    def _leave(self, row: int, reason: str) -> None:
        if row in self._waiting:
            self._left_out[self._pop(row).key] = reason

    def _pop(self, row: int) -> Clip:
        clip = self._waiting.pop(row)
        self.clips += 1
        self.seconds += clip.seconds
        return clip

    def lose(self) -> None:
        """Leaves out calls that have not come, as when a file changes meanwhile."""
        for row in list(self._waiting):
            self._leave(row, "could not be read to its end")

    def write(self) -> None:
        """Writes what has come since the last part."""
        if not self._keys and not self._left_out:
            return
        part = Part(self._keys, np.array(self._features), self._told_of, self._left_out)
        self._folder.add(self._job, part, self._process)
        self._clear()
