"""A built set of clips, opened: their waves by number, and what is known of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from etils import epath

from sigjax.data.clips import Stretch
from sigjax.data.datasets.folders import DatasetError, Opened, open_set

ClipType = TypeVar("ClipType", bound=Stretch)


class ClipSet(Generic[ClipType]):
    """A finished set: a random-access source of waves. Pickles.

    Attributes:
      path: Its folder.
      name: Of the set.
      rate_hz: Sampling rate of all clips.
      clips: In the order of the records.
      samples: Int64 `[n]`, length of each.
      at_limit: Int64 `[n]`, samples of each at the ends of the 16-bit range: what
        clipped in recording, or lay beyond it.
      silent: Bool `[n]`, whether all samples of a clip are alike.
      simulated: Whether the clips are simulated ones.
      fingerprint: Short hash of sound and labels: equal means the same data.
      metadata: All of it, as the builder wrote it.
    """

    def __init__(
        self,
        path: epath.Path,
        metadata: Mapping[str, Any],
        source: Any,
        clips: Sequence[ClipType],
    ):
        """Use `open` of the kind of set that it is."""
        self.path = path
        self.metadata = metadata
        self.name = source.dataset_info.name
        self.rate_hz = int(metadata["rate_hz"])
        self.fingerprint = metadata["fingerprint"]
        self.simulated = bool(metadata["simulated"])
        self.clips = tuple(clips)
        table = metadata["clips"]
        self.samples = np.array(table["samples"], np.int64)
        self.at_limit = np.array(table["at_limit"], np.int64)
        self.silent = np.array(table["silent"], bool)
        self._source = source

    def __len__(self) -> int:
        """Clips."""
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        """As `read`."""
        return self.read(index)

    def read(self, index: int) -> np.ndarray:
        """A clip's wave, int16 `[s]`; full scale is 32768.

        Raises:
          DatasetError: It is missing or damaged.
        """
        return self.read_many([index])[0]

    def read_many(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Waves of clips, int16 `[s]` each.

        Raises:
          DatasetError: One is missing or damaged.
        """
        indices = [int(index) for index in indices]
        try:
            records = self._source.__getitems__(indices)
        except Exception as error:  # ArrayRecord raises no type of its own.
            raise DatasetError(
                f"{self.path}: cannot read clips {indices[:5]}: {error}. Build the set"
                " again."
            ) from error
        return [record["wave"] for record in records]

    def seconds(self, index: int) -> float:
        """Length of a clip."""
        return float(self.samples[index]) / self.rate_hz

    def where(self, **wanted: Any) -> np.ndarray:
        """Numbers of the clips whose fields are all as asked, int64 `[n]`, ascending.

        Args:
          **wanted: Of each field one value, several, or None for all.
        """
        sets = {
            name: {value} if isinstance(value, (str, int)) else set(value)
            for name, value in wanted.items()
            if value is not None
        }
        found = [
            index
            for index, clip in enumerate(self.clips)
            if all(getattr(clip, name) in values for name, values in sets.items())
        ]
        return np.array(found, np.int64)


def open_clips(
    path: epath.PathLike, *, what: str, build_with: str, format: int, key: str
) -> Opened:
    """Opens a set of clips of one kind through `tfds.builder_from_directory`.

    Args:
      path: Its folder, or one above it that holds no other set.
      what: The kind in words, for messages.
      build_with: The command that builds such sets.
      format: Of the metadata.
      key: What the metadata of this kind alone have.

    Raises:
      DatasetError: There is no finished set, there are several, or it is of another
        kind or format.
    """
    found = open_set(path, build_with)
    if found.metadata.get("format") != format or key not in found.metadata:
        raise DatasetError(
            f"{found.path}: not a set of {what} of this version; build it with"
            f" `python -m {build_with}`"
        )
    return found


# One value, several, or None for all.
Choice = str | Collection[str] | None
