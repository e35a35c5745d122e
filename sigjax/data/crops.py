"""Random crops of stored recordings: choosing them is apart from reading them.

A crop is first only a plan of four numbers. Plans are shuffled, split over processes
and batched; then one read decodes a whole batch into place. So no crop is ever copied
into its batch, and which crops a batch holds does not depend on who reads it.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sigjax.data.store import Entry, Store, StoreError

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CropConfig:
    """What is cut out of a recording.

    Attributes:
      crop_s: Length in seconds.
    """

    crop_s: float


class Crop(NamedTuple):
    """A plan: which samples to read.

    Attributes:
      recording: Index into `CropSource.entries`.
      segment: Index into its segments.
      start: First sample.
      seed: For what the device draws for this example (such as its mask), so that it
        depends neither on the example's place in the batch nor on the process count.
    """

    recording: int
    segment: int
    start: int
    seed: int


class CropSource:
    """Grain random-access source of the recordings that a crop fits in.

    Its elements are indices into `entries`; `plan` turns one into a crop and `read`
    turns crops into a batch. Pickles.

    Attributes:
      store: Where the recordings are.
      entries: Recordings with at least one segment that is long enough.
      too_short: Names of the others.
      samples: Length of a crop.
    """

    def __init__(self, store: Store, entries: Sequence[Entry], config: CropConfig):
        """Selects from `entries`, which belong to `store`.

        Raises:
          StoreError: A crop fits in no recording.
          ValueError: A crop is shorter than a sample.
        """
        self.store = store
        self.samples = round(config.crop_s * store.rate_hz)
        if self.samples < 1:
            raise ValueError(
                f"crop_s {config.crop_s} is less than one sample at {store.rate_hz} Hz"
            )
        longest = {
            entry.name: max((segment.samples for segment in entry.segments), default=0)
            for entry in entries
        }
        self.entries = tuple(e for e in entries if longest[e.name] >= self.samples)
        self.too_short = tuple(
            entry.name for entry in entries if longest[entry.name] < self.samples
        )
        if not self.entries:
            most_s = max(longest.values(), default=0) / store.rate_hz
            raise StoreError(
                f"{store.path}: none of {len(longest)} recordings holds a crop of"
                f" {config.crop_s} s; the longest stretch of wear is {most_s} s."
                " Choose a shorter crop_s or prepare longer recordings."
            )
        if self.too_short:
            logging.getLogger(__name__).warning(
                "%s: %d of %d recordings are not used, they hold no %g s of wear on"
                " end: %s%s",
                store.path,
                len(self.too_short),
                len(longest),
                config.crop_s,
                ", ".join(self.too_short[:5]),
                ", ..." if len(self.too_short) > 5 else "",
            )

    def __len__(self) -> int:
        """Recordings, hence crops in an epoch."""
        return len(self.entries)

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        return range(len(self.entries))[index]

    def plan(self, recording: int, rng: np.random.Generator) -> Crop:
        """Draws a crop, uniformly over every place where it fits in the recording."""
        segments = self.entries[recording].segments
        places = [max(0, s.samples - self.samples + 1) for s in segments]
        start = int(rng.integers(sum(places)))
        segment = 0
        while start >= places[segment]:
            start -= places[segment]
            segment += 1
        return Crop(recording, segment, start, int(rng.integers(2**32)))

    def fixed_plan(self, recording: int, seed: int) -> Crop:
        """Draws the crop that this seed always gives, whatever else is in the store."""
        name = self.entries[recording].name.encode()
        digest = hashlib.blake2b(name, digest_size=8).digest()
        rng = np.random.default_rng([seed, int.from_bytes(digest, "little")])
        return self.plan(recording, rng)

    def read(self, crops: Sequence[Crop]) -> Batch:
        """Reads crops into a batch.

        Returns:
          counts: Int16 `[b, s, 3]`.
          scale: Float32 `[b]`, g per count.
          seed: Uint32 `[b]`.
          recording: Int32 `[b]`, index into `entries`.

        Raises:
          StoreError: The stored data is missing or damaged.
        """
        wanted = [(self.entries[crop.recording], crop) for crop in crops]
        stretches = [(entry, crop.segment, crop.start) for entry, crop in wanted]
        scales = [entry.segments[crop.segment].scale for entry, crop in wanted]
        return {
            "counts": self.store.read_batch(stretches, self.samples),
            "scale": np.array(scales, np.float32),
            "seed": np.array([crop.seed for crop in crops], np.uint32),
            "recording": np.array([crop.recording for crop in crops], np.int32),
        }
