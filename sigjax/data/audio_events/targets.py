"""What clips are, by number: kept small, and made into arrays a batch at a time.

AudioSet has 2 million clips and 527 classes: 4 GB as rows of 0 and 1, and 16 MB as the
numbers of the classes that sound.
"""

from collections.abc import Sequence

import numpy as np

from sigjax.data.audio_events.clips import Classes, EventClip

# A clip that has no class of a head.
MISSING = -1


class Targets:
    """Classes of clips by head. Pickles.

    Attributes:
      classes: Names by head that are numbered.
      multi_label: Whether a clip has any number of labels.
    """

    def __init__(
        self, clips: Sequence[EventClip], classes: Classes, *, multi_label: bool
    ):
        """Numbers the classes of clips.

        Args:
          clips: Whose.
          classes: Names by head; others count as none.
          multi_label: Whether a clip has any number of labels.
        """
        self.classes, self.multi_label = classes, multi_label
        self._count = len(clips)
        # Numbers of all clips' classes, and where those of each clip begin.
        self._flat: dict[str, np.ndarray] = {}
        self._first: dict[str, np.ndarray] = {}
        for head, names in classes.items():
            number = {name: index for index, name in enumerate(names)}
            own = [
                [number[name] for name in clip.named(head) if name in number]
                for clip in clips
            ]
            if not multi_label:
                own = [found or [MISSING] for found in own]
            lengths = np.array([len(found) for found in own], np.int64)
            self._first[head] = np.concatenate([[0], np.cumsum(lengths)])
            flat = [value for found in own for value in found]
            self._flat[head] = np.array(flat, np.int32)

    def __len__(self) -> int:
        """Clips."""
        return self._count

    def take(self, rows: np.ndarray | Sequence[int]) -> dict[str, np.ndarray]:
        """Arrays of some clips.

        Args:
          rows: Int `[n]`, indices of the clips.

        Returns:
          By head int32 `[n]`, -1 for none; of several labels float32 `[n, v]`, 1 for
          each class of the clip.
        """
        rows = np.asarray(rows, np.int64)
        found: dict[str, np.ndarray] = {}
        for head, names in self.classes.items():
            flat, first = self._flat[head], self._first[head]
            if not self.multi_label:
                found[head] = flat[rows]
                continue
            value = np.zeros((len(rows), len(names)), np.float32)
            for to, row in enumerate(rows):
                value[to, flat[first[row] : first[row + 1]]] = 1
            found[head] = value
        return found

    def counts(self) -> dict[str, np.ndarray]:
        """Clips of each class, by head int64 `[v]`."""
        return {
            head: np.bincount(flat[flat != MISSING], minlength=len(self.classes[head]))
            for head, flat in self._flat.items()
        }

    def balanced_weights(self) -> np.ndarray:
        """Sampling weights of clips: of each class one through its clips, summed.

        As AST (Gong et al. 2021) draws AudioSet, whose recipe adds 0.01 to each count.
        Clips without a class are taken for one of their own.

        Returns:
          Float64 `[n]`, of the sum 1.
        """
        total = np.zeros(len(self))
        for head, counts in self.counts().items():
            flat, lengths = self._flat[head], np.diff(self._first[head])
            row = np.repeat(np.arange(len(self)), lengths)
            known = flat != MISSING
            each = 1 / (counts + 0.01)
            own = np.bincount(row[known], each[flat[known]], minlength=len(self))
            empty = own == 0
            total += own + empty / (empty.sum() + 0.01)
        return total / total.sum()
