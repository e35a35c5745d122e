"""Wrist recordings as a training stream and a held-out split by person."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sigjax.data.crops import CropConfig, CropSource
from sigjax.data.pipeline import SourceData, steps_per_epoch
from sigjax.data.reader_config import ReaderConfig
from sigjax.data.splits import person_split, share_of, split_people
from sigjax.data.store import Entry, Store


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Simulated people, for trying things out without data.

    Attributes:
      people: How many.
      days: Length of each recording.
      seed: Another seed, other people.
    """

    people: int
    days: float
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class WristDataConfig(ReaderConfig):
    """Which recordings, how they are divided and what is cut from them.

    Attributes:
      store: Folder or URL of a prepared store (`launch.prepare`). With `simulate`, and
        if empty, `WORKDIR/store`.
      crop_s: Contiguous stretch drawn from each recording and epoch, in seconds.
      batch_size: Crops in a global batch.
      validation_fraction: Share of people held out; 0 holds out nobody.
      train_fraction: Share of the other people who are trained on, at least one.
        Smaller shares are part of larger ones, and an epoch keeps its steps.
      without: People who are not read at all, such as those whom a classifier will be
        tested on: sides of fixed divisions, `"sp_sw_har_5_folds:fold1"`, several
        separated by commas; see `splits.person_split`.
      seed: Of the split, the order and the crops.
      simulate: Simulate raw device files and prepare them first; None for real data.
      cache_mb: Memory for decoded hours, MB, in each reader process. Short crops of a
        store that fits (0.65 MB per hour at 30 Hz) are read several times faster.
      workers: Reader processes; 0 reads in threads, which is faster on most machines.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready on the host.
    """

    store: str
    crop_s: float
    validation_fraction: float
    without: str = ""
    simulate: SimulationConfig | None = None
    train_fraction: float = 1.0
    cache_mb: int = 0

    def __post_init__(self):
        """Refuses sizes without meaning."""
        super().__post_init__()
        if not 0 < self.train_fraction <= 1 or self.cache_mb < 0:
            raise ValueError(
                "train_fraction must be in (0, 1] and cache_mb >= 0, got"
                f" {self.train_fraction} and {self.cache_mb}"
            )
        if not self.crop_s > 0:
            raise ValueError(f"crop_s must be positive, got {self.crop_s}")


class WristData(SourceData[CropSource]):
    """Batches of crops: `counts`, `scale`, `seed` and `recording`; see `CropSource`.

    Attributes:
      store: The opened store.
      train_source: Recordings to train on.
      validation_source: Recordings of other people, or None.
      steps_per_epoch: Steps after which every recording was seen; the same whatever
        the `train_fraction`.
    """

    def __init__(self, store: Store, config: WristDataConfig):
        """Splits by person and keeps what a crop fits in.

        Raises:
          sigjax.data.store.StoreError: If no recording is long enough.
          ValueError: If the split leaves a side empty, or those to be left out are
            not there.
        """
        self.store = store
        self._config = self.reader = config
        crop = CropConfig(crop_s=config.crop_s)
        train, held_out = split_people(
            _without(store, config.without),
            validation_fraction=config.validation_fraction,
            seed=config.seed,
        )
        self.train_source = CropSource(store, train, crop)
        # Of all training people: a share of them is trained on for as many steps.
        self.steps_per_epoch = steps_per_epoch(self.train_source, config.batch_size)
        if config.train_fraction < 1:
            used = share_of(
                {entry.person for entry in train},
                fraction=config.train_fraction,
                seed=config.seed,
            )
            fewer = [entry for entry in train if entry.person in used]
            self.train_source = CropSource(store, fewer, crop)
        self.validation_source = CropSource(store, held_out, crop) if held_out else None

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        b, s = self._config.batch_size, self.train_source.samples
        return batch_spec(batch_size=b, samples=s)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        c = self._config
        return {
            "store": self.store.fingerprint,
            "batch_size": c.batch_size,
            "crop_s": c.crop_s,
            "seed": c.seed,
            "validation_fraction": c.validation_fraction,
            **({"without": c.without} if c.without else {}),
            **({"train_fraction": c.train_fraction} if c.train_fraction < 1 else {}),
        }


def _without(store: Store, sides: str) -> tuple[Entry, ...]:
    """Recordings of all people but those on these sides of divisions."""
    away: set[str] = set()
    for name in filter(None, (side.strip() for side in sides.split(","))):
        division, _, side = name.rpartition(":")
        people = person_split(division).get(side) if division else None
        if people is None:
            raise ValueError(
                f"without={name!r} is no side of a division: give DIVISION:SIDE, such"
                " as sp_sw_har_5_folds:fold1"
            )
        away |= {*people}
    kept = tuple(entry for entry in store.entries if entry.person not in away)
    if sides and len(kept) == len(store.entries):
        raise ValueError(
            f"without={sides!r}: nobody of them is in {store.path}; are people named"
            " as in that division (launch.prepare --person_regex)?"
        )
    return kept


def batch_spec(*, batch_size: int, samples: int) -> Mapping[str, np.ndarray]:
    """Shape and dtype of every entry of a batch, as arrays that take no memory."""

    def empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.broadcast_to(np.zeros((), dtype), shape)

    return {
        "counts": empty((batch_size, samples, 3), np.int16),
        "scale": empty((batch_size,), np.float32),
        "seed": empty((batch_size,), np.uint32),
        "recording": empty((batch_size,), np.int32),
    }
