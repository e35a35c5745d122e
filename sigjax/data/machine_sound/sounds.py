"""A built set of machine sounds, opened: its clips, and their waves by number."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from etils import epath

from sigjax.data.clip_set import Choice, ClipSet, open_clips
from sigjax.data.datasets.machine_sound import CLIP_COLUMNS, FORMAT
from sigjax.data.machine_sound.clips import Clip, read_attributes

__all__ = ["Choice", "SoundSet"]


class SoundSet(ClipSet[Clip]):
    """A finished set of machine sounds; see `ClipSet`.

    Attributes:
      machines: Names, in the order of the clips.
    """

    def __init__(self, path: epath.Path, metadata: Mapping[str, Any], source: Any):
        """Use `SoundSet.open`."""
        columns = zip(*_columns(metadata["clips"]), strict=True)
        clips = [Clip(**dict(zip(CLIP_COLUMNS, row, strict=True))) for row in columns]
        super().__init__(path, metadata, source, clips)
        self.machines = tuple(dict.fromkeys(clip.machine for clip in self.clips))

    @classmethod
    def open(cls, path: epath.PathLike) -> "SoundSet":
        """Opens a set through `tfds.builder_from_directory`.

        Args:
          path: Its folder, or one above it that holds no other set.

        Raises:
          DatasetError: As in `open_clips`.
        """
        found = open_clips(
            path,
            what="machine sounds",
            build_with="launch.build_sounds",
            format=FORMAT,
            key="file_channels",
        )
        return cls(found.path, found.metadata, found.source())

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
        return self.where(
            machine=machine,
            section=section,
            side=side,
            split=split,
            domain=domain,
            label=label,
            year=year,
        )


def _columns(table: Mapping[str, list[Any]]) -> list[list[Any]]:
    columns = [table[name] for name in CLIP_COLUMNS]
    at = CLIP_COLUMNS.index("attributes")
    columns[at] = [read_attributes(text) for text in columns[at]]
    return columns
