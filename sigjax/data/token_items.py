"""Which windows a frozen encoder embeds, and where the tokens of each are then."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from sigjax.data.windows import LabelledWindows, Window


class Items:
    """What is embedded: windows, each in several views.

    With an encoder that sees a whole window (`context`), each window is embedded. With
    one that sees each patch alone, stretches are, end to end: windows that overlap then
    share their tokens.

    Attributes:
      asked: Windows whose tokens are asked for.
      source: Windows that are embedded.
      rows: Int64 `[i]`, tokens of each item: its label windows that are real.
      first_row: Int64 `[w]`, where the tokens of each window asked for begin.
      total: Tokens of one view.
      views: How many views there are.
    """

    def __init__(
        self, windows: LabelledWindows, *, context: bool, views: int = 1, seed: int = 0
    ):
        """Lays out the tokens of `windows`.

        Args:
          windows: Whose tokens are asked for.
          context: Whether a token depends on other patches than its own.
          views: How often each is embedded, with another seed for its augmentation.
          seed: Of those seeds.

        Raises:
          ValueError: There is no view, or nothing to embed.
        """
        if views < 1:
            raise ValueError(f"views must be at least 1, got {views}")
        self.views, self._seed, self._context = views, seed, context
        self.asked = self.source = windows
        asked = np.ones(len(windows), bool)
        if not context:
            config = dataclasses.replace(
                windows.config,
                stride_s=windows.config.window_s,
                tail="pad",
                unlabelled=True,
            )
            self.source = LabelledWindows(windows.dataset, windows.people, config)
            asked = np.isin(self.source.segment, windows.segment)
        rows = np.where(asked, self.source.lengths, 0).astype(np.int64)
        begin = np.concatenate([[0], np.cumsum(rows)])
        self._index = np.flatnonzero(rows)
        self.rows, self.total = rows[self._index], int(begin[-1])
        if not self.total:
            raise ValueError("no window has a whole label window: nothing to embed")
        if context:
            self.first_row = begin[:-1]
        else:
            segments, first = np.unique(self.source.segment, return_index=True)
            at = np.searchsorted(segments, windows.segment)
            self.first_row = begin[first[at]] + windows.first

    def __len__(self) -> int:
        """Items of all views."""
        return len(self._index) * self.views

    def name(self, item: int) -> str:
        """Of the window or stretch, for its seed and for errors."""
        index = self._index[item % len(self._index)]
        segment = self.source.dataset.segments[self.source.segment[index]]
        name = f"{segment.recording}:{segment.segment}"
        # One seed for a whole stretch whose tokens are shared: in no window may the
        # augmentation change halfway.
        return f"{name}:{self.source.first[index]}" if self._context else name

    def plan(self, item: int) -> Window:
        """What is read for an item; its seed depends on its name and view alone."""
        digest = hashlib.blake2b(self.name(item).encode(), digest_size=8).digest()
        key = [self._seed, self.view(item), int.from_bytes(digest, "little")]
        seed = int(np.random.default_rng(key).integers(2**32))
        return Window(int(self._index[item % len(self._index)]), seed)

    def view(self, item: int) -> int:
        """Which view an item is of."""
        return item // len(self._index)

    def described(self) -> dict[str, Any]:
        """What the rows depend on, besides the encoder."""
        names = "\n".join(
            f"{self.name(item)} {self.source.first[index]} {self.rows[item]}"
            for item, index in enumerate(self._index)
        )
        return {
            "dataset": self.source.dataset.fingerprint,
            "window_s": self.source.config.window_s,
            "context": self._context,
            "views": self.views,
            "seed": self._seed,
            "items": len(self),
            "names": hashlib.blake2b(names.encode(), digest_size=8).hexdigest(),
        }
