"""From a manifest of calls to a folder of features of every layer of an encoder.

Moments are taken on the devices and chunks of long calls put together, so that no frame
leaves them. What is done is on disk every half minute. A run that was stopped computes
the rest in the same batches as it would have, and comes to the same bits.
"""

import collections
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from launch.calls.encoder import Encoder, memory_told
from launch.calls.part_writer import Clip, PartWriter
from sigjax.data.calls.batches import CallBatch, CallBatches
from sigjax.data.calls.buckets import (
    BatchPlan,
    BucketConfig,
    padding_share,
    plan,
    shard_rows,
)
from sigjax.data.calls.manifest import COLUMNS, Call, CallManifest
from sigjax.data.calls.reading import ReadingConfig, Survey, survey
from sigjax.data.clips import LeftOut, ManifestError
from sigjax.evals.layer_features import FeatureFolder, Job, digest_of
from sigjax.models.speech_encoder import Moments

# Of a remark that concerns many, as many ids as `features.json` holds.
_NAMED = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How features are computed.

    Attributes:
      reading: How calls become waves.
      buckets: Shapes of batches.
      ddof: See `sigjax.models.speech_encoder.functionals`.
      threads: Calls that are read at once.
      part_s: Seconds after which what is done is written.
    """

    reading: ReadingConfig
    buckets: BucketConfig
    ddof: int = 0
    threads: int = 4
    part_s: float = 30.0

    def features_depend_on(self, encoder: Encoder) -> dict[str, Any]:
        """All that features depend on besides the sound: encoder, reading, chunks."""
        return {
            "encoder": encoder.fingerprint,
            "architecture": dataclasses.asdict(encoder.config),
            "dtype": encoder.dtype,
            "reading": dataclasses.asdict(self.reading),
            "chunks": {
                name: getattr(self.buckets, name)
                for name in ("longest", "chunk", "least")
            },
            "layers": list(encoder.layers),
            "ddof": self.ddof,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """What one process computed.

    Attributes:
      clips: Calls, of all that were to be computed.
      seconds: Of sound in them.
      elapsed_s: From the first batch to the last, with compilation.
      read_s: Of these, waiting for sound to be read.
      shapes: Programs that were compiled.
      padding: Share of all samples that is padding.
    """

    clips: int = 0
    seconds: float = 0.0
    elapsed_s: float = 0.0
    read_s: float = 0.0
    shapes: int = 0
    padding: float = 0.0

    def rates(self) -> dict[str, float]:
        """Clips and seconds of sound per second."""
        elapsed = self.elapsed_s or float("nan")
        return {
            "clips_per_s": self.clips / elapsed,
            "real_time_factor": self.seconds / elapsed,
        }


class Extraction:
    """A manifest's calls on their way into a folder of features.

    Attributes:
      manifest: The calls.
      survey: What their files' headers say.
      folder: Where features go.
      job: What there is to compute.
    """

    def __init__(
        self,
        encoder: Encoder,
        manifest: CallManifest,
        folder: epath.PathLike,
        settings: Settings,
        *,
        processes: int = 1,
        progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    ):
        """Reads the files' headers and finds out what is new; computes nothing.

        Raises:
          FeaturesError: The folder's features were made otherwise.
          ManifestError: No call can be read, or one is short where that is an error.
        """
        self.manifest, self._encoder, self._settings = manifest, encoder, settings
        self._processes = processes
        self.survey = survey(
            manifest.root,
            manifest.calls,
            settings.reading,
            threads=settings.threads,
            progress=progress,
        )
        if not len(self.survey.usable):
            first = self.survey.left_out[0]
            raise ManifestError(
                f"{manifest.root}: none of {len(manifest.calls)} calls can be read;"
                f" {first.path}: {first.reason}"
            )
        self.keys = call_keys(manifest, self.survey)
        self.folder = FeatureFolder(
            folder,
            settings.features_depend_on(encoder),
            encoder.layers,
            2 * encoder.config.width,
        )
        known = list(dict.fromkeys(self.keys[row] for row in self.survey.usable))
        shapes = dataclasses.asdict(settings.buckets) | {"processes": processes}
        self.job: Job = self.folder.job(known, shapes)
        # Stretches that are there twice are computed once.
        first_of = {self.keys[row]: row for row in reversed(self.survey.usable)}
        self._rows = np.array([first_of[key] for key in self.job.keys], np.int64)
        self.waiting = sum(not self._settled(row) for row in self._rows.tolist())

    def _settled(self, row: int) -> bool:
        key = self.keys[row]
        return key in self.folder or key in self.folder.left_out(self.job)

    def begin(self) -> None:
        """Writes down what there is to compute; one process does it."""
        if self.waiting:
            self.folder.begin(self.job)

    def share(self, process: int) -> tuple[int, float]:
        """Calls that a process has still to compute, and seconds of sound in them."""
        _, own = self.plans(process)
        return len(own), float(self.survey.seconds[own].sum())

    def plans(self, process: int) -> tuple[list[BatchPlan], np.ndarray]:
        """Batches that a process has still to compute, and its calls."""
        samples = np.zeros_like(self.survey.samples)
        samples[self._rows] = self.survey.samples[self._rows]
        own = shard_rows(samples, process, self._processes)
        own = own[samples[own] > 0]
        settled = {-1, *(row for row in own.tolist() if self._settled(row))}
        batches = plan(samples, self._settings.buckets, rows=own)
        todo = [b for b in batches if not settled.issuperset(b.row.tolist())]
        return todo, np.array([r for r in own.tolist() if r not in settled], np.int64)

    def compute(
        self,
        process: int = 0,
        told: Callable[[int, float], None] = lambda clips, seconds: None,
    ) -> Done:
        """Computes what a process has to, and writes it down part by part.

        Args:
          process: Which.
          told: Called after every batch with calls and seconds of sound that are done.
        """
        plans, own = self.plans(process)
        if not len(own):
            return Done()
        writer = PartWriter(
            self.folder,
            self.job,
            {
                row: Clip(self.keys[row], float(self.survey.seconds[row]))
                for row in own.tolist()
            },
            ddof=self._settings.ddof,
            part_s=self._settings.part_s,
            process=process,
            told=told,
        )
        number = {self.manifest.calls[row].id: row for row in own.tolist()}
        started, read_s = time.perf_counter(), 0.0
        try:
            with memory_told():
                for batch, moments, waited_s in self._run(plans):
                    read_s += waited_s
                    writer.take(batch, moments, number)
            writer.lose()
        finally:
            # What was computed before an error is worth keeping.
            writer.write()
        return Done(
            clips=writer.clips,
            seconds=writer.seconds,
            elapsed_s=time.perf_counter() - started,
            read_s=read_s,
            shapes=len({(len(p.row), p.width) for p in plans}),
            padding=padding_share(plans),
        )

    def _run(
        self, plans: Sequence[BatchPlan]
    ) -> Iterator[tuple[CallBatch, Moments, float]]:
        """Batches with their moments, and how long each was waited for."""
        batches = iter(
            CallBatches(
                self.manifest.root,
                self.manifest.calls,
                self.survey,
                self._settings.reading,
                plans,
                threads=self._settings.threads,
            )
        )
        # An accelerator gets its next batch before the one before is fetched.
        ahead = int(self._encoder.devices[0].platform != "cpu")
        running: collections.deque[tuple[CallBatch, Moments, float]]
        running = collections.deque()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            if batch is not None:
                waited_s = time.perf_counter() - began
                moments = self._encoder.moments(batch.wave, batch.samples)
                running.append((batch, moments, waited_s))
            if not running:
                return
            if batch is None or len(running) > ahead:
                yield running.popleft()

    def publish(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Puts together what all processes computed; one process does it.

        Args:
          run: What is told of this run in `features.json`.

        Returns:
          What `features.json` holds.

        Raises:
          ManifestError: No call could be read.
        """
        self.folder.refresh()
        unread = self.folder.left_out(self.job)
        left_out, rows = list(self.survey.left_out), []
        for row in self.survey.usable.tolist():
            key = self.keys[row]
            if key in self.folder:
                rows.append(row)
            else:
                reason = unread.get(key, "was not computed")
                left_out.append(LeftOut(self.manifest.calls[row].id, reason))
        if not rows:
            raise ManifestError(
                f"{self.manifest.root}: none of {len(left_out)} calls can be read;"
                f" {left_out[0].path}: {left_out[0].reason}"
            )
        info = {
            "classes": list(self.manifest.classes),
            "functionals": ["mean", "standard deviation"],
            "seconds": float(self.survey.seconds[rows].sum()),
            "left_out": [{"id": item.path, "reason": item.reason} for item in left_out],
            "remarks": self._remarks(rows),
            **run,
        }
        self.folder.publish(self._table(rows), info)
        return info | {"clips": len(rows)}

    def _table(self, rows: Sequence[int]) -> pa.Table:
        calls = [self.manifest.calls[row] for row in rows]
        columns: dict[str, Any] = {name: _column(calls, name) for name in COLUMNS}
        columns["seconds"] = self.survey.seconds[rows]
        columns["samples"] = self.survey.samples[rows]
        columns["key"] = [self.keys[row] for row in rows]
        return pa.table(columns)

    def _remarks(self, rows: Sequence[int]) -> dict[str, dict[str, Any]]:
        """Calls that headers or samples say something of, by what that is."""
        names = {self.manifest.calls[row].id for row in rows}
        found: dict[str, list[str]] = {
            what: [name for name in ids if name in names]
            for what, ids in self.survey.remarks.items()
        }
        for row in rows:
            for what in self.folder.remarks(self.keys[row]):
                found.setdefault(what, []).append(self.manifest.calls[row].id)
        return {
            what: {"clips": len(ids), "ids": ids[:_NAMED]}
            for what, ids in sorted(found.items())
            if ids
        }


def call_keys(manifest: CallManifest, found: Survey) -> dict[int, str]:
    """What tells stretches of sound apart, by the number of the call.

    Paths are relative to the manifest's root: features are found again where a folder
    moved with its times. Labels, splits and groups are none of it.

    Raises:
      FileNotFoundError: A file has gone.
    """
    root = pathlib.Path(epath.Path(manifest.root))
    files: dict[str, tuple[int, int]] = {}
    keys = {}
    for row in found.usable.tolist():
        call = manifest.calls[row]
        if call.path not in files:
            stat = (root / call.path).stat()
            files[call.path] = (stat.st_size, stat.st_mtime_ns)
        keys[row] = digest_of([call.path, call.start_s, call.end_s, *files[call.path]])
    return keys


def _column(calls: Sequence[Call], name: str) -> pa.Array:
    times = {"start": "start_s", "end": "end_s"}
    kind = pa.float64() if name in times else pa.string()
    return pa.array([getattr(call, times.get(name, name)) for call in calls], kind)
