"""Windows of labelled sets, as a source of the same batches as crops of recordings.

Which windows there are, and what they are labelled, follows from the set's metadata
alone; reading starts when a batch is asked for.
"""

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from sigjax.data.crops import Batch
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.labelled import LabelledSegment, LabelledSet
from sigjax.data.wearable.labels import MISSING

Tail = Literal["drop", "pad", "reach_back"]
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
      tail: What becomes of the rest of a stretch that fills no window, and of a
        stretch that is shorter than one. `"drop"` leaves it out (and tells). `"pad"`
        takes it, with zeros after its end. `"reach_back"` takes a last window that
        ends with the last whole label window, so that it is full; a stretch shorter
        than a window is padded. Where windows do not overlap otherwise, the labels
        that an earlier window has are -1 in the last one: each label is in exactly
        one window.
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
    tail: Tail = "drop"
    min_purity: float = 0.0
    unlabelled: bool = False
    in_memory: bool = False

    def __post_init__(self):
        """Refuses a tail that is none."""
        if self.tail not in get_args(Tail):
            raise ValueError(
                f"tail must be one of {', '.join(get_args(Tail))}, got {self.tail!r}"
            )


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
      first: Int32 `[w]`, its first label window, counted in that stretch.
      seen: Int32 `[w]`, how many of its first label windows are left to the window
        before it; not 0 only for a last window that reaches back.
      summary: What is in and what is left out: `windows`, `windows_unlabelled` (left
        out unless asked for), `segments`, `segments_too_short`, `hours`,
        `hours_outside_windows`; of all label windows of these people, `labels`, those
        `labels_missing` (no annotation), `labels_not_in_scheme`, `labels_impure`,
        `labels_cut` (by the end of the stretch) and `labels_used`.
      samples: Length of a window.
      labels: Label windows in a window, `n`.
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
        records = _whole(config.window_s, dataset.record_s, "window_s")
        stride = _whole(config.stride_s, dataset.record_s, "stride_s")
        self.samples = records * dataset.record_samples
        self._label_samples = round(dataset.label_s * dataset.rate_hz)
        self.labels = self.samples // self._label_samples
        self._stride = stride * dataset.record_samples // self._label_samples
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
        segments, firsts, seens, covered, total = [], [], [], 0, 0
        wanted = set(self.people)
        for number, segment in enumerate(self.dataset.segments):
            if segment.person not in wanted:
                continue
            starts = self._starts(segment)
            seen = self._seen(starts)
            label = self._labels(segment, count)
            used += np.bincount(label[label >= 0], minlength=len(used))
            there = np.concatenate([[0], np.cumsum(label >= 0)])
            begin, end = starts + seen, starts + self.labels
            empty = there[np.minimum(end, len(label))] == there[begin]
            count["windows_unlabelled"] += int(empty.sum())
            count["segments_too_short"] += not len(starts)
            count["segments"] += 1
            covered += self._covered(segment, starts)
            total += segment.samples
            keep = slice(None) if self.config.unlabelled else ~empty
            segments.append(np.full(len(starts[keep]), number, np.int32))
            firsts.append(starts[keep].astype(np.int32))
            seens.append(seen[keep].astype(np.int32))
        hour = 3600 * self.dataset.rate_hz
        self.segment = np.concatenate([np.zeros(0, np.int32), *segments])
        self.first = np.concatenate([np.zeros(0, np.int32), *firsts])
        self.seen = np.concatenate([np.zeros(0, np.int32), *seens])
        self.class_counts = used
        self.summary = {
            "windows": len(self.first),
            **{key: int(count[key]) for key in _COUNTS},
            "labels_used": int(used.sum()),
            "hours": round(total / hour, 3),
            "hours_outside_windows": round((total - covered) / hour, 3),
        }

    def _starts(self, segment: LabelledSegment) -> np.ndarray:
        """First label windows of the windows of a stretch, int64 `[w]`."""
        whole = segment.samples // self._label_samples
        beyond = whole - self.labels
        starts = np.arange(beyond // self._stride + 1 if beyond >= 0 else 0)
        starts = starts * self._stride
        following = len(starts) * self._stride
        if self.config.tail == "pad":
            step = self._stride * self._label_samples
            rest = (segment.samples - self.samples) % step if len(starts) else 1
            # With a stride beyond the window, the rest may lie between windows.
            if rest and following * self._label_samples < segment.samples:
                starts = np.append(starts, following)
        elif self.config.tail == "reach_back" and whole:
            if not len(starts):
                starts = np.array([0])
            elif starts[-1] < beyond:
                starts = np.append(starts, beyond)
        return starts

    def _seen(self, starts: np.ndarray) -> np.ndarray:
        """Label windows at the start of each window that belong to the one before."""
        if self.config.tail != "reach_back" or self._stride < self.labels:
            return np.zeros_like(starts)
        overlap = np.maximum(self.labels - np.diff(starts), 0)
        return np.concatenate([np.zeros(min(len(starts), 1), np.int64), overlap])

    def _covered(self, segment: LabelledSegment, starts: np.ndarray) -> int:
        """Samples of a stretch that are in any window."""
        begin = starts * self._label_samples
        end = np.minimum(begin + self.samples, segment.samples)
        before = np.concatenate([[0], end[:-1]])[: len(end)]
        return int(np.sum(end - np.maximum(begin, before)))

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
        return segment.start + float(self.first[index]) * self.dataset.label_s

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Int32 `[w]`, how many of a window's label windows are real and whole."""
        samples = np.array([s.samples for s in self.dataset.segments], np.int64)
        whole = samples[self.segment] // self._label_samples - self.first
        return np.minimum(whole, self.labels).astype(np.int32)

    def labels_of(self, index: int) -> np.ndarray:
        """Class of each label window of a window, int16 `[n]`; -1 where none counts."""
        first = int(self.first[index])
        found = self._classes_of_segments[int(self.segment[index])]
        label = np.full(self.labels, MISSING, np.int16)
        label[: len(found) - first] = found[first : first + self.labels]
        label[: self.seen[index]] = MISSING
        return label

    def person(self, index: int) -> int:
        """Whose window it is, index into `people`."""
        segment = self.dataset.segments[self.segment[index]]
        return self._numbers[segment.person]

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
        counts = np.zeros((len(plans), self.samples, 3), np.int16)
        scale = np.zeros(len(plans), np.float32)
        label = np.zeros((len(plans), self.labels), np.int32)
        valid = np.zeros(len(plans), np.int32)
        wanted = []
        for row, (plan, segment) in enumerate(zip(plans, segments, strict=True)):
            begin = int(self.first[plan.index]) * self._label_samples
            valid[row] = min(self.samples, segment.samples - begin)
            # A window that reaches back begins and ends within records.
            touched = range(begin // size, -(-(begin + int(valid[row])) // size))
            wanted += [(row, i * size - begin, segment.first + i) for i in touched]
            label[row] = self.labels_of(plan.index)
        for at in range(0, len(wanted), _RECORDS_AT_ONCE):
            some = wanted[at : at + _RECORDS_AT_ONCE]
            records = self._fetch([index for _, _, index in some])
            for (row, place, _), (samples, each) in zip(some, records, strict=True):
                inside = slice(max(place, 0), place + size)
                room = counts[row, inside]
                room[:] = samples[max(-place, 0) :][: len(room)]
                scale[row] = each
        return {
            "counts": counts,
            "scale": scale,
            "valid": valid,
            "label": label,
            "seed": np.array([plan.seed for plan in plans], np.uint32),
            "person": np.array([self.person(p.index) for p in plans], np.int32),
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
    def _numbers(self) -> dict[str, int]:
        return {person: index for index, person in enumerate(self.people)}

    @functools.cached_property
    def _classes_of_segments(self) -> dict[int, np.ndarray]:
        wanted = np.unique(self.segment).tolist()
        return {n: self._labels(self.dataset.segments[n]) for n in wanted}


def _whole(seconds: float, record_s: float, name: str) -> int:
    count = seconds / record_s
    if count < 1 or abs(count - round(count)) > 1e-6:
        raise ValueError(
            f"{name}={seconds:g} is not a whole number of the set's records of"
            f" {record_s:g} s; choose a multiple or build the set with other records"
        )
    return round(count)
