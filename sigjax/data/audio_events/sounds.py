"""A built set of audio events, opened: its clips, their classes and their waves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.data.audio_events.clips import COLUMNS, Classes, EventClip, Kind
from sigjax.data.audio_events.targets import MISSING, Targets
from sigjax.data.clip_set import ClipSet, open_clips
from sigjax.data.datasets.audio_events import FORMAT

__all__ = ["MISSING", "EventSet"]


class EventSet(ClipSet[EventClip]):
    """A finished set of audio events; see `ClipSet`.

    Attributes:
      kind: `"single"`, `"multi"` or `"verb_noun"`; see `clips`.
      classes: Names by head, in the order of their numbers: `"label"`, `"target"`, or
        `"verb"` and `"noun"`.
      splits: Names, in the order of the clips.
      folds: Those of the cross-validation, ascending; none if there is none.
    """

    def __init__(self, path: epath.Path, metadata: Mapping[str, Any], source: Any):
        """Use `EventSet.open`."""
        columns = [metadata["clips"][name] for name in COLUMNS]
        rows = (
            dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)
        )
        clips = [EventClip(**{**row, "labels": tuple(row["labels"])}) for row in rows]
        super().__init__(path, metadata, source, clips)
        self.kind: Kind = metadata["kind"]
        self.classes: Classes = {
            head: tuple(names) for head, names in metadata["classes"].items()
        }
        self.splits = tuple(dict.fromkeys(clip.split for clip in self.clips))
        self.folds = tuple(sorted({clip.fold for clip in self.clips} - {0}))

    @classmethod
    def open(cls, path: epath.PathLike) -> "EventSet":
        """Opens a set through `tfds.builder_from_directory`.

        Args:
          path: Its folder, or one above it that holds no other set.

        Raises:
          DatasetError: As in `open_clips`.
        """
        found = open_clips(
            path,
            what="audio events",
            build_with="launch.build_events",
            format=FORMAT,
            key="kind",
        )
        return cls(found.path, found.metadata, found.source())

    @property
    def multi_label(self) -> bool:
        """Whether a clip has any number of labels."""
        return self.kind == "multi"

    def targets(
        self, indices: Sequence[int] | np.ndarray, classes: Classes | None = None
    ) -> dict[str, np.ndarray]:
        """What clips are, by head.

        Args:
          indices: Numbers of the clips, `n`.
          classes: Names by head that are numbered; by default those of the set. Others
            count as none.

        Returns:
          `label`, or `verb` and `noun`: int32 `[n]`, -1 for none; or `target`: float32
          `[n, v]`, 1 for each class of the clip.
        """
        clips = [self.clips[index] for index in indices]
        found = Targets(clips, classes or self.classes, multi_label=self.multi_label)
        return found.take(range(len(clips)))
