"""Batches of audio events: to train on, to choose the step with, and to report on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from sigjax.data.audio_events.clips import Classes
from sigjax.data.audio_events.sides import divide
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream_config import (
    EventDataConfig,
    SimulatedEventsConfig,
)
from sigjax.data.audio_events.targets import Targets
from sigjax.data.clip_stream import ClipData, ClipSource, Crop, samples_of, spec_of
from sigjax.data.crops import Batch
from sigjax.data.segments import Segments, Short, fitted, window_starts

__all__ = [
    "EventData",
    "EventDataConfig",
    "EventWindows",
    "SimulatedEventsConfig",
]

Side = Literal["train", "validation", "test"]


class EventWindows(ClipSource[EventSet]):
    """Grain random-access source of windows of clips.

    Its elements are their indices; `plan` turns one into a window and `read` turns
    windows into a batch. Pickles.

    Attributes:
      targets: What each is.
      short: What becomes of shorter clips.
      starts: Int64 `[n]`, where each begins in an evaluation.
      share: Float32 `[n]`, how much each counts in an evaluation; None where all count
        alike.
    """

    def __init__(
        self,
        dataset: EventSet,
        indices: np.ndarray,
        classes: Classes,
        *,
        samples: int,
        short: Short = "pad",
        hop: int | None = None,
    ):
        """Reads nothing yet.

        Args:
          dataset: Where they are read from.
          indices: Numbers of the clips.
          classes: Names by head that are numbered.
          samples: Length of a window.
          short: What becomes of shorter clips.
          hop: Samples from one window of a clip to the next, whose windows then count
            for the clip in equal parts; None for one window of each clip, in its
            middle.
        """
        self.short: Short = short
        indices = np.asarray(indices, np.int64)
        lengths = dataset.samples[indices]
        self.share = None
        if hop is None:
            self.starts = np.maximum(lengths - samples, 0) // 2
        else:
            counts, self.starts = window_starts(lengths, samples, hop)
            indices = np.repeat(indices, counts)
            self.share = np.repeat(1 / counts, counts).astype(np.float32)
        super().__init__(dataset, indices, samples)
        self.targets = Targets(
            [dataset.clips[index] for index in indices],
            classes,
            multi_label=dataset.multi_label,
        )

    def fixed_plan(self, row: int, seed: int) -> Crop:
        """The window of this number, whatever the seed."""
        del seed
        return Crop(row, int(self.starts[row]))

    def read(self, windows: Sequence[Crop]) -> Batch:
        """Reads windows into a batch.

        Returns:
          wave: Int16 `[b, s]`; full scale is 32768.
          valid: Int32 `[b]`, samples that are sound, from the beginning; then zeros.
          clip: Int32 `[b]`, the clip's number in the set.
          label: Int32 `[b]`, class, of a set of single labels; -1 for none.
          target: Float32 `[b, v]`, 1 for each class, of one of several labels.
          verb: Int32 `[b]`, class, of one of verbs and nouns; so is `noun`.
          weight: Float32 `[b]`, of windows that slide: the parts of a clip are 1.

        Raises:
          DatasetError: The stored data is missing or damaged.
        """
        rows = np.array([window.row for window in windows], np.int64)
        numbers = self.indices[rows]
        own, place = np.unique(numbers, return_inverse=True)
        waves = self.dataset.read_many(own.tolist())
        wave = np.empty((len(windows), self.samples), np.int16)
        valid = np.full(len(windows), self.samples, np.int32)
        for to, (at, window) in enumerate(zip(place, windows, strict=True)):
            wave[to] = fitted(waves[at], window.start, self.samples, self.short)
            if self.short == "pad":
                valid[to] = min(self.samples, len(waves[at]) - window.start)
        found = {
            "wave": wave,
            "valid": valid,
            "clip": numbers.astype(np.int32),
            **self.targets.take(rows),
        }
        if self.share is not None:
            found["weight"] = self.share[rows]
        return found


class EventData(ClipData[EventWindows]):
    """Batches of audio events; see `EventWindows.read` for what is in them.

    Attributes:
      dataset: Where the clips are read from.
      config: As given.
      classes: Names by head that are numbered: `"label"`, `"target"`, or `"verb"` and
        `"noun"`; the keys of a batch that are to be predicted.
      class_counts: By head int64 `[v]`, clips of each class that are trained on.
      sides: Numbers of the clips on each side, int64 `[n]`.
      left_out: How many clips are on no side, by why.
      samples: Length of what a model sees.
    """

    dataset: EventSet

    def __init__(self, dataset: EventSet, config: EventDataConfig):
        """Divides the clips; reads nothing yet.

        Raises:
          DatasetError: There is no such fold or split, or no clip to train on.
          ValueError: A window is shorter than a sample.
        """
        self.dataset, self.config = dataset, config
        self.reader = config
        self.samples = samples_of("window_s", config.window_s, dataset.rate_hz)
        found = divide(dataset, config)
        self.classes, self.left_out = found.classes, found.left_out
        self._shared = found.shared
        self.sides: dict[Side, np.ndarray] = {
            "train": found.train,
            "validation": found.validation,
            "test": found.test,
        }
        self.train_source = self._windows(found.train, None)
        sliding = config.validation_windows == "sliding"
        self.validation_source = self._windows(
            found.validation, self._hop(None) if sliding else None
        )
        self.class_counts = self.train_source.targets.counts()
        if config.sampling == "balanced":
            self.train_weights = self.train_source.targets.balanced_weights()

    def _windows(self, indices: np.ndarray, hop: int | None) -> EventWindows:
        return EventWindows(
            self.dataset,
            indices,
            self.classes,
            samples=self.samples,
            short=self.config.short,
            hop=hop,
        )

    def _hop(self, hop_s: float | None) -> int:
        hop_s = self.config.hop_s if hop_s is None else hop_s
        return round(hop_s * self.dataset.rate_hz) or self.samples

    @property
    def multi_label(self) -> bool:
        """Whether a clip has any number of labels."""
        return self.dataset.multi_label

    @property
    def remarks(self) -> list[str]:
        """What of the set is not used or doubtful, in words; empty if nothing is."""
        found = []
        if self.left_out:
            told = [f"{count} {why}" for why, count in sorted(self.left_out.items())]
            found.append(f"clips that are not used: {', '.join(told)}")
        for head, counts in self.class_counts.items():
            names = [
                n for n, c in zip(self.classes[head], counts, strict=True) if not c
            ]
            if names:
                some = ", ".join(names[:3]) + (", ..." if names[3:] else "")
                found.append(f"{len(names)} classes without a training clip: {some}")
        wanted: dict[Side, tuple[str, ...]] = {
            "validation": self.config.validation_splits,
            "test": self.config.test_splits,
        }
        for side, names in wanted.items():
            if names and not self.config.test_fold and not len(self.sides[side]):
                found.append(
                    f"no clip is on the side {side!r}: the set has no split"
                    f" {' or '.join(map(repr, names))}, but"
                    f" {', '.join(self.dataset.splits)}"
                )
        if self._shared:
            found.append(
                f"{self._shared} sources have clips to train on and clips to report on,"
                " as the set divides them"
            )
        return found

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        b = self.config.batch_size
        heads = self.train_source.targets.take([])
        return spec_of(
            {
                "wave": ((b, self.samples), np.int16),
                "valid": ((b,), np.int32),
                "clip": ((b,), np.int32),
                **{h: ((b, *v.shape[1:]), v.dtype) for h, v in heads.items()},
            }
        )

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        c = self.config
        return {
            "dataset": self.dataset.fingerprint,
            "classes": {head: _digest(names) for head, names in self.classes.items()},
            **{f"{side}_clips": _digest(i.tolist()) for side, i in self.sides.items()},
            "window_s": c.window_s,
            "short": c.short,
            "sampling": c.sampling,
            "batch_size": c.batch_size,
            "seed": c.seed,
        }

    def targets(self, indices: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """What clips are, by head, numbered as `classes`; see `EventSet.targets`."""
        return self.dataset.targets(indices, self.classes)

    def windows(
        self,
        side: Side,
        *,
        hop_s: float | None = None,
        batch_size: int | None = None,
    ) -> Segments:
        """Whole clips in windows that cover them, to predict and average.

        `Segments.mean` averages what was predicted of windows over those of each clip;
        `targets(windows.indices)` is the truth of the clips.

        Args:
          side: `"train"`, `"validation"` or `"test"`.
          hop_s: From one window to the next; 0 for windows that do not overlap, None
            for the config's.
          batch_size: Windows in a batch; by default that of the config.

        Raises:
          ValueError: The hop is longer than a window.
        """
        return Segments(
            self.dataset,
            self.sides[side],
            samples=self.samples,
            batch_size=batch_size or self.config.batch_size,
            hop=self._hop(hop_s),
            short=self.config.short,
        )


def _digest(values: Sequence[Any]) -> str:
    text = json.dumps(list(values))
    return f"{len(values)}:{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
