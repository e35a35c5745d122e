"""Batches of mixtures: to train on, to choose the step with, and to report on.

Clips come from a set of audio events (`launch.build_events`), whose folds or splits are
kept apart: a mixture is made of clips of one side alone, its background too. Training
mixtures are drawn anew every epoch, those held out are the same each time.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from etils import epath

from sigjax.data.audio_events.sides import divide
from sigjax.data.audio_events.simulated import simulate_set
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream_config import (
    EventDataConfig,
    SimulatedEventsConfig,
)
from sigjax.data.clip_stream import samples_of, spec_of
from sigjax.data.crops import Batch
from sigjax.data.datasets.folders import DatasetError, chosen_set
from sigjax.data.pipeline import SourceData, eval_batches, steps_per_epoch
from sigjax.data.reader_config import ReaderConfig
from sigjax.data.segmentation.mixture import MixtureConfig, mix

Side = Literal["train", "validation", "test"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureDataConfig(ReaderConfig):
    """Which clips are mixed, and how; a batch is of mixtures.

    Attributes:
      dataset: Folder of a set of audio events with one label a clip. With `simulate`,
        and if empty, one that is built under `WORKDIR/sets`.
      mixture: How mixtures are drawn.
      classes: `"set"`: events are of the set's classes; `"event"`: all are of one, and
        what is learnt is what is an event and what is background.
      mixtures: In an epoch of training.
      held_out_mixtures: On each of the sides `"validation"` and `"test"`.
      test_fold: Fold to report on; 0 to divide by splits.
      validation_fold: Fold to choose the step with; 0 for none.
      validation_fraction: Share of what is left to train on that is held out instead.
      train_splits: Splits to train on, where there is no `test_fold`.
      validation_splits: Those to choose the step with.
      test_splits: Those to report on.
      simulate: Simulate clips and build a set of them first; None for real ones.
      batch_size: Mixtures in a global batch.
      seed: Of what is held out, and of all mixtures.
      workers: Reader processes; 0 reads in threads.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready on the host.
    """

    dataset: str
    mixture: MixtureConfig
    classes: Literal["set", "event"] = "set"
    mixtures: int = 2000
    held_out_mixtures: int = 400
    test_fold: int = 0
    validation_fold: int = 0
    validation_fraction: float = 0.0
    train_splits: tuple[str, ...] = ("train",)
    validation_splits: tuple[str, ...] = ("validation",)
    test_splits: tuple[str, ...] = ("test",)
    simulate: SimulatedEventsConfig | None = None

    def __post_init__(self):
        """Refuses sizes without meaning."""
        super().__post_init__()
        if self.classes not in ("set", "event"):
            raise ValueError(f"classes must be 'set' or 'event', got {self.classes!r}")
        if min(self.mixtures, self.held_out_mixtures) < 1:
            raise ValueError(
                "mixtures and held_out_mixtures must be at least 1, got"
                f" {self.mixtures} and {self.held_out_mixtures}"
            )
        self.clips()

    def clips(self) -> EventDataConfig:
        """The same of the clips alone."""
        shared = {f.name for f in dataclasses.fields(EventDataConfig)}
        own = {f.name for f in dataclasses.fields(self)} - {"classes"}
        given = {name: getattr(self, name) for name in own & shared}
        return EventDataConfig(**given, window_s=self.mixture.window_s)


class Plan(NamedTuple):
    """A mixture to be made: everything in it follows from its seed."""

    seed: int


class MixtureSource:
    """Grain random-access source of mixtures; its elements are their numbers. Pickles.

    Attributes:
      dataset: Where clips are read from.
      clips: Int64 `[n]`, numbers of the clips that are mixed.
    """

    def __init__(
        self,
        dataset: EventSet,
        clips: np.ndarray,
        classes: Sequence[str],
        config: MixtureConfig,
        count: int,
        *,
        sources: bool,
        one_class: bool = False,
    ):
        """Reads nothing yet.

        Args:
          dataset: Where clips are read from.
          clips: Numbers of the clips; each has one of the classes, and sounds.
          classes: Names, in the order of their numbers, drawn evenly.
          config: How mixtures are drawn.
          count: Mixtures.
          sources: Whether batches hold each event alone.
          one_class: Whether all events are called 0.
        """
        self._one_class = one_class
        self.dataset, self.clips = dataset, np.asarray(clips, np.int64)
        self._config, self._count, self._sources = config, count, sources
        label = dataset.targets(self.clips, {"label": tuple(classes)})["label"]
        every = [
            (number, self.clips[label == number]) for number in range(len(classes))
        ]
        self._of_class = [(number, some) for number, some in every if len(some)]

    def __len__(self) -> int:
        """Mixtures; none if there is no clip."""
        return self._count if len(self.clips) else 0

    def __getitem__(self, index: int) -> int:
        """The element is its number."""
        return range(len(self))[index]

    def plan(self, index: int, rng: np.random.Generator) -> Plan:
        """Another mixture each time."""
        del index
        return Plan(int(rng.integers(2**63)))

    def fixed_plan(self, index: int, seed: int) -> Plan:
        """The mixture of this number and seed."""
        return Plan(int(np.random.default_rng([seed, index]).integers(2**63)))

    def read(self, plans: Sequence[Plan]) -> Batch:
        """Makes mixtures.

        Returns:
          wave: Int16 `[b, s]`; full scale is 32768.
          sources: Int16 `[b, e, s]`, each event alone, if asked for.
          label: Int32 `[b, e]`, class of each event; -1 for none.
          start: Int32 `[b, e]`, its first sample.
          stop: Int32 `[b, e]`, the sample behind its last.

        Raises:
          DatasetError: The stored data is missing or damaged.
        """
        made = [self._made(plan) for plan in plans]
        found = {
            key: np.stack([getattr(mixture, key) for mixture in made])
            for key in ("wave", "label", "start", "stop")
        }
        if self._sources:
            found["sources"] = np.stack([mixture.sources for mixture in made])
        return found

    def _made(self, plan: Plan):
        rng, c = np.random.default_rng(plan.seed), self._config
        chosen = []
        for _ in range(rng.integers(c.events[0], c.events[1] + 1)):
            # Of every class as often, however many clips it has.
            number, some = self._of_class[rng.integers(len(self._of_class))]
            chosen.append((int(some[rng.integers(len(some))]), number))
        of_clip = c.background == "clip" or (
            c.background == "both" and rng.random() < 0.5
        )
        wanted = [clip for clip, _ in chosen]
        if of_clip:
            wanted.append(int(self.clips[rng.integers(len(self.clips))]))
        waves = self.dataset.read_many(wanted) if wanted else []
        background = waves.pop() if of_clip else None
        names = (0 if self._one_class else number for _, number in chosen)
        events = list(zip(waves, names, strict=True))
        return mix(events, background, rng, c, self.dataset.rate_hz)


class MixtureData(SourceData[MixtureSource]):
    """Batches of mixtures; see `MixtureSource.read` for what is in them.

    Attributes:
      dataset: Where clips are read from.
      config: As given.
      classes: Names, in the order of their numbers.
      sides: Numbers of the clips of each side, int64 `[n]`.
      left_out: How many clips are on no side, by why.
      samples: Length of a mixture.
      test_source: Mixtures to report on.
    """

    def __init__(self, dataset: EventSet, config: MixtureDataConfig, *, sources: bool):
        """Divides the clips; reads nothing yet.

        Args:
          dataset: Of clips with one label each.
          config: See there.
          sources: Whether batches hold each event alone: `[b, e, s]`.

        Raises:
          DatasetError: There is no such fold or split, no clip to train on, or clips
            have several labels.
        """
        check_single(dataset)
        self.dataset, self.config, self.reader = dataset, config, config
        self.samples = samples_of(
            "mixture.window_s", config.mixture.window_s, dataset.rate_hz
        )
        found = divide(dataset, config.clips())
        self._names = tuple(found.classes["label"])
        self.classes = self._names if config.classes == "set" else ("event",)
        self.left_out = dict(found.left_out)
        self.sides: dict[Side, np.ndarray] = {}
        for side in ("train", "validation", "test"):
            clips = getattr(found, side)
            silent = dataset.silent[clips]
            if silent.any():
                self.left_out[f"silent ({side})"] = int(silent.sum())
            self.sides[side] = clips[~silent]
        self._with_sources = sources
        self.train_source = self._source("train", config.mixtures)
        self.validation_source = self._source("validation", config.held_out_mixtures)
        self.test_source = self._source("test", config.held_out_mixtures)

    def _source(self, side: Side, count: int) -> MixtureSource:
        return MixtureSource(
            self.dataset,
            self.sides[side],
            self._names,
            self.config.mixture,
            count,
            sources=self._with_sources,
            one_class=self.config.classes == "event",
        )

    @property
    def rate_hz(self) -> int:
        """Sampling rate."""
        return self.dataset.rate_hz

    @property
    def simulated(self) -> bool:
        """Whether the clips are simulated."""
        return self.dataset.simulated

    @property
    def steps_per_epoch(self) -> int:
        """Batches of `config.mixtures`."""
        return steps_per_epoch(self.train_source, self.config.batch_size)

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        b, e = self.config.batch_size, self.config.mixture.events[1]
        shapes: dict[str, Any] = {
            "wave": ((b, self.samples), np.int16),
            **{key: ((b, e), np.int32) for key in ("label", "start", "stop")},
        }
        if self._with_sources:
            shapes["sources"] = ((b, e, self.samples), np.int16)
        return spec_of(shapes)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        c = self.config
        return {
            "dataset": self.dataset.fingerprint,
            "classes": _digest(self.classes),
            "drawn_classes": _digest(self._names),
            **{f"{side}_clips": _digest(i.tolist()) for side, i in self.sides.items()},
            "mixture": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(c.mixture).items()
            },
            "mixtures": c.mixtures,
            "batch_size": c.batch_size,
            "seed": c.seed,
        }

    @property
    def remarks(self) -> list[str]:
        """What of the set is not used, in words; empty if nothing is."""
        if not self.left_out:
            return []
        told = [f"{count} {why}" for why, count in sorted(self.left_out.items())]
        return [f"clips that are not used: {', '.join(told)}"]

    def mixtures(
        self, side: Side, *, batch_size: int | None = None
    ) -> Iterator[Mapping[str, np.ndarray]]:
        """The fixed mixtures of a side, once; with `weight`, see `eval_batches`.

        Args:
          side: `"train"` gives as many of training clips as are held out.
          batch_size: By default the config's.

        Raises:
          DatasetError: There is no clip on that side.
        """
        source = self._source(side, self.config.held_out_mixtures)
        if not len(source):
            there = ", ".join(f"{name} ({len(n)})" for name, n in self.sides.items())
            raise DatasetError(f"no clip is on the side {side!r}; clips: {there}")
        return eval_batches(
            source,
            batch_size=batch_size or self.config.batch_size,
            seed=self.config.seed,
            read_threads=self.config.read_threads,
            prefetch_batches=self.config.prefetch_batches,
        )


def check_single(dataset: EventSet) -> None:
    """Refuses sets that no mixtures can be made of.

    Raises:
      DatasetError: Clips have several labels.
    """
    if dataset.kind != "single":
        raise DatasetError(
            f"{dataset.path} is of the kind {dataset.kind!r}: mixtures need clips"
            " with one label each, of which it is known what sounds"
        )


def open_mixtures(
    config: MixtureDataConfig,
    workdir: epath.PathLike,
    *,
    sources: bool,
    build: bool = True,
) -> MixtureData:
    """Opens a config's data; simulates the clips first if it says so.

    Args:
      config: As of `MixtureData`.
      workdir: `WORKDIR/simulated_events` gets simulated files, `WORKDIR/sets` (or
        `config.dataset`) the set of them.
      sources: As of `MixtureData`.
      build: Whether to simulate what is not there; of several processes one alone may.

    Raises:
      DatasetError: There is no set, or it does not fit; see `MixtureData`.
    """
    if config.simulate is not None and build:
        simulate_set(config.clips(), workdir)
    folder = chosen_set(
        config.dataset,
        workdir,
        simulated=config.simulate is not None,
        build_with="launch.build_events",
    )
    return MixtureData(EventSet.open(folder), config, sources=sources)


def _digest(values: Sequence[Any]) -> str:
    text = json.dumps(list(values))
    return f"{len(values)}:{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
