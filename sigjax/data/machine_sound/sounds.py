"""A built set of machine sounds, opened: its clips, and their waves by number."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.data.datasets.folders import DatasetError, open_set
from sigjax.data.datasets.machine_sound import CLIP_COLUMNS, FORMAT
from sigjax.data.machine_sound.clips import Clip, read_attributes

# One value, several, or None for all.
Choice = str | Collection[str] | None


class SoundSet:
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
      machines: Names, in the order of the clips.
      simulated: Whether the clips are simulated ones.
      fingerprint: Short hash of sound and labels: equal means the same data.
      metadata: All of it, as the builder wrote it.
    """

    def __init__(self, path: epath.Path, metadata: Mapping[str, Any], source: Any):
        """Use `SoundSet.open`."""
        self.path = path
        self.metadata = metadata
        self.name = source.dataset_info.name
        self.rate_hz = int(metadata["rate_hz"])
        self.fingerprint = metadata["fingerprint"]
        self.simulated = bool(metadata["simulated"])
        table = metadata["clips"]
        self.clips = tuple(
            Clip(**dict(zip(CLIP_COLUMNS, row, strict=True)))
            for row in zip(*_columns(table), strict=True)
        )
        self.samples = np.array(table["samples"], np.int64)
        self.at_limit = np.array(table["at_limit"], np.int64)
        self.silent = np.array(table["silent"], bool)
        self.machines = tuple(dict.fromkeys(clip.machine for clip in self.clips))
        self._source = source

    @classmethod
    def open(cls, path: epath.PathLike) -> "SoundSet":
        """Opens a set through `tfds.builder_from_directory`.

        Args:
          path: Its folder, or one above it that holds no other set.

        Raises:
          DatasetError: There is no finished set, there are several, or it is none of
            ours.
        """
        found = open_set(path, "launch.build_sounds")
        about = found.metadata
        if about.get("format") != FORMAT or "file_channels" not in about:
            raise DatasetError(
                f"{found.path}: not a set of machine sounds of this version; build it"
                " with `python -m launch.build_sounds`"
            )
        return cls(found.path, about, found.source())

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

    def select(
        self,
        machine: Choice = None,
        section: Choice = None,
        side: Choice = None,
        split: Choice = None,
        *,
        domain: Choice = None,
        label: int | Collection[int] | None = None,
        year: int | Collection[int] | None = None,
    ) -> np.ndarray:
        """Numbers of the clips that are all of this, int64 `[n]`, ascending.

        Args:
          machine: Its name, several, or None for all; so for the others.
          section: As in `Clip`.
          side: As in `Clip`.
          split: As in `Clip`.
          domain: As in `Clip`.
          label: As in `Clip`.
          year: As in `Clip`.
        """
        wanted = {
            "machine": machine,
            "section": section,
            "side": side,
            "split": split,
            "domain": domain,
            "label": label,
            "year": year,
        }
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


def _columns(table: Mapping[str, list[Any]]) -> list[list[Any]]:
    columns = [table[name] for name in CLIP_COLUMNS]
    at = CLIP_COLUMNS.index("attributes")
    columns[at] = [read_attributes(text) for text in columns[at]]
    return columns
