"""Windows of labelled sets, as a source of the same batches as crops of recordings.

Which windows there are, and what they are labelled, follows from the set's metadata
alone; reading starts when a batch is asked for.
"""

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sigjax.data.crops import Batch
from sigjax.data.datasets.builder import DatasetError
from sigjax.data.labelled import LabelledSegment, LabelledSet
from sigjax.data.wearable.labels import MISSING

# Decoded records are copied into the batch in groups, so that they are never all in
# memory beside it.
_RECORDS_AT_ONCE = 320
_COUNTS = (
    "windows_unlabelled",
    "segments",
    "segments_too_short",
    "labels",
    "labels_missing",
    "labels_not_in_scheme",
    "labels_impure",
    "labels_cut",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """What is cut out of a set.

    Attributes:
      scheme: Label scheme.
      window_s: Length of a window, seconds: a whole number of records.
      stride_s: From one window to the next: a whole number of records. `window_s`
        for windows that do not overlap.
      pad: Also take the rest of a stretch that fills no window, with zeros after its
        end. Otherwise that rest, and any shorter stretch, is left out (and told).
      min_purity: A label counts if at least this share of its raw samples has it; 1
        leaves out all that are mixed.
      unlabelled: Keep windows in which no label counts.
      in_memory: Keep what was read, 6 bytes per sample (2.3 GB for all of Capture-24)
        in each reader process: windows that overlap are then decoded once and not ten
        times.
    """

    scheme: str
    window_s: float
    stride_s: float
    pad: bool = False
    min_purity: float = 0.0
    unlabelled: bool = False
    in_memory: bool = False


class Window(NamedTuple):
    """A plan: which window to read.

    Attributes:
      index: Into the source.
      seed: For what the device draws for this example (such as augmentation).
    """

    index: int
    seed: int


class LabelledWindows:
    """Grain random-access source of windows that never cross the end of a stretch.

    Its elements are indices of windows, in the order of people, recordings and time.
    Pickles.

    Attributes:
      dataset: Where they are read from.
      people: Whose windows these are; `person` in a batch is an index into it.
      classes: Names of the label scheme; `label` in a batch is an index into it.
      class_counts: Int64 `[v]`, label windows of each class, each counted once however
        many windows it is in.
      segment: Int32 `[w]`, the stretch of each window, index into `dataset.segments`.
      first: Int32 `[w]`, its first record, counted in that stretch.
      summary: What is in and what is left out: `windows`, `windows_unlabelled` (left
        out unless asked for), `segments`, `segments_too_short`, `hours`,
        `hours_outside_windows`; of all label windows of these people, `labels`, those
        `labels_missing` (no annotation), `labels_not_in_scheme`, `labels_impure`,
        `labels_cut` (by the end of the stretch) and `labels_used`.
      samples: Length of a window.
    """

    def __init__(
        self, dataset: LabelledSet, people: Sequence[str], config: WindowConfig
    ):
        """Lays windows over all stretches of `people`.

        Raises:
          DatasetError: A person is not in the set, the scheme is unknown, or there is
            no window.
          ValueError: Lengths are no whole numbers of records.
        """
        unknown = sorted(set(people) - set(dataset.people))
        if unknown:
            raise DatasetError(f"{dataset.path}: not in the set: {', '.join(unknown)}")
        self.dataset, self.people, self.config = dataset, tuple(people), config
        self._records = _whole(config.window_s, dataset.record_s, "window_s")
        self._stride = _whole(config.stride_s, dataset.record_s, "stride_s")
        self.samples = self._records * dataset.record_samples
        self._label_samples = round(dataset.label_s * dataset.rate_hz)
        self._scheme = dataset.scheme(config.scheme)
        self.classes = self._scheme.classes
        self._kept: dict[int, tuple[np.ndarray, float]] = {}
        self._lay()
        if not len(self):
            raise DatasetError(
                f"{dataset.path}: no window of {config.window_s:g} s with a label of"
                f" {config.scheme!r} among {len(self.people)} people: {self.summary}"
            )

    def _lay(self) -> None:
        count: collections.Counter[str] = collections.Counter()
        used = np.zeros(len(self.classes), np.int64)
        segments, firsts, covered, total = [], [], 0, 0
        wanted = set(self.people)
        for number, segment in enumerate(self.dataset.segments):
            if segment.person not in wanted:
                continue
            starts = self._starts(segment)
            label = self._labels(segment, count)
            used += np.bincount(label[label >= 0], minlength=len(used))
            there = np.concatenate([[0], np.cumsum(label >= 0)])
            per_record = self.dataset.record_samples // self._label_samples
            begin = starts * per_record
            end = np.minimum(begin + self._records * per_record, len(label))
            empty = there[end] == there[np.minimum(begin, len(label))]
            count["windows_unlabelled"] += int(empty.sum())
            count["segments_too_short"] += not len(starts)
            count["segments"] += 1
            covered += self._covered(segment, starts)
            total += segment.samples
            keep = starts if self.config.unlabelled else starts[~empty]
            segments.append(np.full(len(keep), number, np.int32))
            firsts.append(keep.astype(np.int32))
        hour = 3600 * self.dataset.rate_hz
        self.segment = np.concatenate([np.zeros(0, np.int32), *segments])
        self.first = np.concatenate([np.zeros(0, np.int32), *firsts])
        self.class_counts = used
        self.summary = {
            "windows": len(self.first),
            **{key: int(count[key]) for key in _COUNTS},
            "labels_used": int(used.sum()),
            "hours": round(total / hour, 3),
            "hours_outside_windows": round((total - covered) / hour, 3),
        }

    def _starts(self, segment: LabelledSegment) -> np.ndarray:
        """First records of the windows of a stretch."""
        stride = self._stride * self.dataset.record_samples
        beyond = segment.samples - self.samples
        count = beyond // stride + 1 if beyond >= 0 else 0
        if self.config.pad and (count == 0 or beyond % stride):
            last = count * stride
            # With a stride beyond the window, the rest may lie between windows.
            count += last < segment.samples
        return np.arange(count) * self._stride

    def _covered(self, segment: LabelledSegment, starts: np.ndarray) -> int:
        step = min(self._stride, self._records) * self.dataset.record_samples
        if not len(starts):
            return 0
        last = int(starts[-1]) * self.dataset.record_samples
        end = min(last + self.samples, segment.samples)
        return (len(starts) - 1) * step + end - last

    def _labels(
        self, segment: LabelledSegment, count: collections.Counter[str] | None = None
    ) -> np.ndarray:
        """Class of each label window of a stretch, int16, -1 where none counts."""
        found = segment.labels
        label = self._scheme.table[found.code]
        impure = (label >= 0) & (found.purity < self.config.min_purity)
        cut = (np.arange(len(label)) + 1) * self._label_samples > segment.samples
        if count is not None:
            missing = found.code == MISSING
            count["labels"] += len(label)
            count["labels_missing"] += int(missing.sum())
            count["labels_not_in_scheme"] += int(((label < 0) & ~missing).sum())
            count["labels_impure"] += int(impure.sum())
            count["labels_cut"] += int((cut & (label >= 0) & ~impure).sum())
        return np.where(impure | cut, MISSING, label).astype(np.int16)

    def __len__(self) -> int:
        """Windows."""
        return len(self.first)

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        return range(len(self))[index]

    def plan(self, index: int, rng: np.random.Generator) -> Window:
        """The window, with a seed for what is drawn for it."""
        return Window(index, int(rng.integers(2**32)))

    def fixed_plan(self, index: int, seed: int) -> Window:
        """The window, with the seed that it always has, whatever else is in the set."""
        segment = self.dataset.segments[self.segment[index]]
        name = f"{segment.recording}:{segment.segment}:{self.first[index]}".encode()
        digest = hashlib.blake2b(name, digest_size=8).digest()
        rng = np.random.default_rng([seed, int.from_bytes(digest, "little")])
        return self.plan(index, rng)

    def start(self, index: int) -> float:
        """Seconds since 1970-01-01 of a window's first sample, on its device's clock.

        Not in the batches: devices have no float64, and float32 is off by minutes.
        """
        segment = self.dataset.segments[self.segment[index]]
        return segment.start + float(self.first[index]) * self.dataset.record_s

    def read(self, plans: Sequence[Window]) -> Batch:
        """Reads windows into a batch.

        Returns:
          counts: Int16 `[b, s, 3]`; zeros beyond the end of a stretch.
          scale: Float32 `[b]`, g per count.
          valid: Int32 `[b]`, how many of the `s` samples are real.
          label: Int32 `[b, n]`, class of each label window; -1 where none counts.
          seed: Uint32 `[b]`.
          person: Int32 `[b]`, index into `people`.
          window: Int32 `[b]`, index of the window; see `start`.

        Raises:
          DatasetError: Records are missing or damaged.
        """
        size = self.dataset.record_samples
        segments = [self.dataset.segments[self.segment[p.index]] for p in plans]
        counts = np.zeros((len(plans), self._records, size, 3), np.int16)
        scale = np.zeros(len(plans), np.float32)
        labels = self.samples // self._label_samples
        label = np.full((len(plans), labels), MISSING, np.int32)
        valid = np.zeros(len(plans), np.int32)
        wanted = []
        for row, (plan, segment) in enumerate(zip(plans, segments, strict=True)):
            first = int(self.first[plan.index])
            stop = min(first + self._records, segment.records)
            wanted += [(row, i, segment.first + first + i) for i in range(stop - first)]
            valid[row] = min(self.samples, segment.samples - first * size)
            begin = first * size // self._label_samples
            found = self._class_of(int(self.segment[plan.index]))[begin:][:labels]
            label[row, : len(found)] = found
        for at in range(0, len(wanted), _RECORDS_AT_ONCE):
            some = wanted[at : at + _RECORDS_AT_ONCE]
            records = self._fetch([index for _, _, index in some])
            for (row, place, _), record in zip(some, records, strict=True):
                counts[row, place], scale[row] = record
        number = {person: index for index, person in enumerate(self.people)}
        return {
            "counts": counts.reshape(len(plans), self.samples, 3),
            "scale": scale,
            "valid": valid,
            "label": label,
            "seed": np.array([plan.seed for plan in plans], np.uint32),
            "person": np.array([number[s.person] for s in segments], np.int32),
            "window": np.array([plan.index for plan in plans], np.int32),
        }

    def _fetch(self, indices: list[int]) -> list[tuple[np.ndarray, float]]:
        """Counts and scale of records."""
        kept = self._kept
        missing = sorted({index for index in indices if index not in kept})
        found = {}
        if missing:
            for index, record in zip(missing, self.dataset.read(missing), strict=True):
                found[index] = record["counts"], float(record["scale"])
            if self.config.in_memory:
                kept.update(found)
        return [found[i] if i in found else kept[i] for i in indices]

    def __getstate__(self) -> dict[str, Any]:
        """All but what was read."""
        return {**vars(self), "_kept": {}}

    @functools.cached_property
    def _classes_of_segments(self) -> dict[int, np.ndarray]:
        wanted = np.unique(self.segment).tolist()
        return {n: self._labels(self.dataset.segments[n]) for n in wanted}

    def _class_of(self, segment: int) -> np.ndarray:
        return self._classes_of_segments[segment]


def _whole(seconds: float, record_s: float, name: str) -> int:
    count = seconds / record_s
    if count < 1 or abs(count - round(count)) > 1e-6:
        raise ValueError(
            f"{name}={seconds:g} is not a whole number of the set's records of"
            f" {record_s:g} s; choose a multiple or build the set with other records"
        )
    return round(count)
