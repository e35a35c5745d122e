"""What streams of clips have in common, whatever is known of the clips."""

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from sigjax.data.clip_set import ClipSet
from sigjax.data.pipeline import Source, SourceData, steps_per_epoch


class Crop(NamedTuple):
    """A plan: which samples of which clip to read.

    Attributes:
      row: Index into `ClipSource.indices`.
      start: First sample.
    """

    row: int
    start: int


Dataset = TypeVar("Dataset", bound=ClipSet)


class ClipSource(Generic[Dataset]):
    """Clips to be cut to one length; its elements are their indices.

    Attributes:
      dataset: Where they are read from.
      indices: Int64 `[n]`, number in `dataset` of each.
      samples: Length of a crop.
    """

    def __init__(self, dataset: Dataset, indices: np.ndarray, samples: int):
        """Reads nothing yet."""
        self.dataset, self.indices, self.samples = dataset, indices, samples

    def __len__(self) -> int:
        """How many there are."""
        return len(self.indices)

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        return range(len(self.indices))[index]

    def plan(self, row: int, rng: np.random.Generator) -> Crop:
        """Draws a crop, uniformly over every place where it fits in the clip."""
        beyond = int(self.dataset.samples[self.indices[row]]) - self.samples
        return Crop(row, int(rng.integers(beyond + 1)) if beyond > 0 else 0)


Examples = TypeVar("Examples", bound=Source[Any])


class ClipData(SourceData[Examples]):
    """Batches of crops of clips.

    Attributes:
      dataset: Where the clips are read from.
      samples: Length of what a model sees.
    """

    dataset: ClipSet
    samples: int

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
        """Batches until every training clip was seen, or could have been."""
        return steps_per_epoch(self.train_source, self.reader.batch_size)


def samples_of(name: str, length_s: float, rate_hz: int) -> int:
    """Samples of a length in seconds.

    Raises:
      ValueError: It is less than one; the message names it.
    """
    samples = round(length_s * rate_hz)
    if samples < 1:
        raise ValueError(f"{name} {length_s} is less than a sample at {rate_hz} Hz")
    return samples


def spec_of(
    shapes: Mapping[str, tuple[tuple[int, ...], Any]],
) -> dict[str, np.ndarray]:
    """Arrays of shapes and dtypes that take no memory."""
    return {
        key: np.broadcast_to(np.zeros((), dtype), shape)
        for key, (shape, dtype) in shapes.items()
    }
