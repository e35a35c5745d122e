"""Batches of machine sounds: to train on, to choose the step with, and to embed."""

import collections
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sigjax.data.clip_stream import ClipData, ClipSource, Crop, samples_of, spec_of
from sigjax.data.crops import Batch
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.machine_sound.names import ANOMALY
from sigjax.data.machine_sound.sounds import Choice, SoundSet
from sigjax.data.machine_sound.stream_config import (
    SimulatedSoundsConfig,
    SoundDataConfig,
)
from sigjax.data.segments import Segments, fitted

__all__ = [
    "Crop",
    "SimulatedSoundsConfig",
    "SoundClips",
    "SoundData",
    "SoundDataConfig",
]

# In a batch: of `Clip.domain`.
DOMAINS = {"source": 0, "target": 1, "": -1}


class SoundClips(ClipSource[SoundSet]):
    """Grain random-access source of clips, cropped or repeated to one length.

    Its elements are their indices; `plan` turns one into a crop and `read` turns crops
    into a batch. Pickles.

    Attributes:
      label: Int32 `[n]`, class of each.
    """

    def __init__(
        self, dataset: SoundSet, indices: np.ndarray, label: np.ndarray, samples: int
    ):
        """Reads nothing yet."""
        super().__init__(dataset, indices, samples)
        self.label = label

    def fixed_plan(self, row: int, seed: int) -> Crop:
        """The clip's beginning, whatever the seed."""
        del seed
        return Crop(row, 0)

    def read(self, crops: Sequence[Crop]) -> Batch:
        """Reads crops into a batch.

        Returns:
          wave: Int16 `[b, s]`; full scale is 32768.
          label: Int32 `[b]`, class.
          domain: Int32 `[b]`, 0 source, 1 target, -1 unknown.

        Raises:
          DatasetError: The stored data is missing or damaged.
        """
        rows = np.array([crop.row for crop in crops], np.int64)
        numbers = self.indices[rows]
        waves = self.dataset.read_many(numbers.tolist())
        wave = np.empty((len(crops), self.samples), np.int16)
        for row, (own, crop) in enumerate(zip(waves, crops, strict=True)):
            wave[row] = fitted(own, crop.start, self.samples)
        domains = [DOMAINS[self.dataset.clips[number].domain] for number in numbers]
        return {
            "wave": wave,
            "label": self.label[rows],
            "domain": np.array(domains, np.int32),
        }


class SoundData(ClipData[SoundClips]):
    """Batches of machine sounds; see `SoundClips.read` for what is in them.

    Trained on are normal clips of the side `"train"`, each with its class: which
    section of which machine it is of. Clips known to be anomalies and silent ones are
    left out.

    Attributes:
      dataset: Where the clips are read from.
      config: As given.
      classes: Machine and section of each class; `label` in a batch indexes it.
      class_counts: Int64 `[v]`, clips of each class that are trained on.
      validation_clips: Numbers of the clips that are held out, int64 `[n]`.
      left_out: How many clips of the side `"train"` are not used, by why.
      samples: Length of what a model sees.
    """

    dataset: SoundSet

    def __init__(self, dataset: SoundSet, config: SoundDataConfig):
        """Selects and divides the clips; reads nothing yet.

        Raises:
          DatasetError: A machine or section is not there, no clip is left to train on,
            or sections of several years would be one class.
          ValueError: A crop is shorter than a sample.
        """
        self.dataset, self.config = dataset, config
        self.reader = config
        self.samples = samples_of("clip_s", config.clip_s, dataset.rate_hz)
        self.left_out: collections.Counter[str] = collections.Counter()
        self._check_there(config.machines, config.sections)
        chosen = self._chosen()
        clips = dataset.clips
        keys = [(clips[i].machine, clips[i].section) for i in chosen]
        self.classes = tuple(sorted(set(keys)))
        self._check_years(chosen)
        self._number = {key: number for number, key in enumerate(self.classes)}
        label = np.array([self._number[key] for key in keys], np.int32)
        held = self._held_out(chosen, label)
        self.train_source, self.validation_source = (
            SoundClips(dataset, chosen[side], label[side], self.samples)
            for side in (~held, held)
        )
        self.validation_clips = chosen[held]
        counts = np.bincount(self.train_source.label, minlength=len(self.classes))
        self.class_counts = counts.astype(np.int64)

    def _check_there(self, machines: Choice, sections: Choice) -> None:
        for name, choice in (("machine", machines), ("section", sections)):
            there = {getattr(clip, name) for clip in self.dataset.clips}
            wanted = [choice] if isinstance(choice, str) else choice or ()
            absent = [value for value in wanted if value not in there]
            if absent:
                raise DatasetError(
                    f"{self.dataset.path}: no {name} {', '.join(absent)}; it has"
                    f" {', '.join(sorted(there))}"
                )

    def _chosen(self) -> np.ndarray:
        """Numbers of the clips that are trained on or held out."""
        c = self.config
        found = self.dataset.select(
            c.machines or None,
            c.sections or None,
            "train",
            c.split or None,
            year=c.year or None,
        )
        used = []
        for number in found.tolist():
            if why := self._unfit(number):
                self.left_out[why] += 1
            else:
                used.append(number)
        if not used:
            raise DatasetError(
                f"{self.dataset.path}: no clip to train on among"
                f" machines={c.machines or 'all'}, sections={c.sections or 'all'},"
                f" split={c.split or 'both'}, year={c.year or 'all'}"
                f" ({dict(self.left_out) or 'none has the side train'})"
            )
        return np.array(used, np.int64)

    def _unfit(self, number: int) -> str:
        """Why a clip is nothing to learn from; empty if it is."""
        if self.dataset.clips[number].label == ANOMALY:
            return "anomalies"
        return "silent" if self.dataset.silent[number] else ""

    def _check_years(self, chosen: np.ndarray) -> None:
        years: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
        for number in chosen:
            clip = self.dataset.clips[number]
            years[clip.machine, clip.section].add(clip.year)
        for key, several in years.items():
            if len(several) > 1:
                raise DatasetError(
                    f"{self.dataset.path}: {' '.join(key)} is another machine in each"
                    f" of {', '.join(map(str, sorted(several)))}; set data.year"
                )

    def _held_out(self, chosen: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Which clips are held out, bool `[n]`: of each class the first by hash."""
        held = np.zeros(len(chosen), bool)
        clips, c = self.dataset.clips, self.config
        if not c.validation_fraction:
            return held
        for number in range(len(self.classes)):
            own = [
                (
                    _drawn(clips[chosen[row]].path, clips[chosen[row]].start_s, c.seed),
                    row,
                )
                for row in np.flatnonzero(label == number)
                if clips[chosen[row]].domain != "target"
            ]
            count = round(len(own) * c.validation_fraction)
            # At least one, so that every class is judged, unless it is the only one.
            count = min(max(count, 1), len(own) - 1)
            for _, row in sorted(own)[: max(count, 0)]:
                held[row] = True
        return held

    @property
    def remarks(self) -> list[str]:
        """What of the set is not used, in words; empty if all of it is."""
        found = []
        if self.left_out:
            why = ", ".join(
                f"{count} {name}" for name, count in sorted(self.left_out.items())
            )
            found.append(f"clips that are not trained on: {why}")
        machines = {machine for machine, _ in self.classes}
        unknown = collections.Counter(
            (clip.machine, clip.section)
            for clip in self.dataset.clips
            if clip.side == "test" and clip.machine in machines
            if (clip.machine, clip.section) not in self._number
        )
        for (machine, section), count in sorted(unknown.items()):
            if self.config.sections and section not in self.config.sections:
                continue  # nobody asked for it
            found.append(
                f"{machine} section {section}: {count} test clips are not scored, since"
                " none of that section is trained on"
            )
        return found

    @property
    def training_clips(self) -> np.ndarray:
        """Numbers of the clips that are trained on, int64 `[n]`."""
        return self.train_source.indices

    def class_of(self, machine: str, section: str) -> int:
        """The class of a section; -1 for one that is not trained on."""
        return self._number.get((machine, section), -1)

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        b = self.config.batch_size
        return spec_of(
            {
                "wave": ((b, self.samples), np.int16),
                "label": ((b,), np.int32),
                "domain": ((b,), np.int32),
            }
        )

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        c = self.config
        return {
            "dataset": self.dataset.fingerprint,
            "classes": [" ".join(key) for key in self.classes],
            "clips": len(self.train_source),
            "split": c.split,
            "year": c.year,
            "clip_s": c.clip_s,
            "batch_size": c.batch_size,
            "validation_fraction": c.validation_fraction,
            "seed": c.seed,
        }

    def clips(
        self,
        *,
        side: Choice = None,
        machine: Choice = None,
        section: Choice = None,
        split: Choice = None,
        batch_size: int | None = None,
    ) -> tuple[np.ndarray, Segments]:
        """Whole clips in segments of `clip_s`, to embed or score.

        Args:
          side: As in `Clip`; None for all. Of those to train on, anomalies and silent
            ones are left out: fitted on, they would pass for normal ever after.
          machine: Its name, several, or None for those of the config (or all).
          section: One, several, or None for those of the config (or all).
          split: `"dev"`, `"eval"`, or None for that of the config (or both).
          batch_size: Segments in a batch; by default that of the config.

        Returns:
          Numbers of the clips in `dataset`, int64 `[n]`, and their segments. There may
          be none.

        Raises:
          DatasetError: The set has no such machine or section.
        """
        self._check_there(machine, section)
        c = self.config
        found = self.dataset.select(
            machine if machine is not None else c.machines or None,
            section if section is not None else c.sections or None,
            side,
            split if split is not None else c.split or None,
            year=c.year or None,
        )
        keep = [
            self.dataset.clips[i].side != "train" or not self._unfit(i) for i in found
        ]
        found = found[np.array(keep, bool)]
        size = batch_size or c.batch_size
        return found, Segments(
            self.dataset, found, samples=self.samples, batch_size=size
        )


def _drawn(path: str, start_s: float, seed: int) -> bytes:
    """A number that the seed gives this clip, whatever else is in the set."""
    text = f"{seed} {path} {start_s:.3f}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
