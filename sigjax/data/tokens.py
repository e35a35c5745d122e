"""Windows of tokens that a frozen encoder has made, to train a head on.

    items = Items(windows, context=model.context, views=1, seed=0)
    table = TokenTable(path, items, width=d, batch_size=32, key={"encoder": ...})
    for block in table.blocks(shard_index=i, shard_count=n):
        table.write(block, np.asarray(encode(block.batch)))     # [b, n, d]
    table.finish()                                              # after all processes
    source = TokenWindows(table, windows)

A table that is complete has no blocks; one that was stopped has those that are missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sigjax.data.crops import Batch
from sigjax.data.har import HarData
from sigjax.data.pipeline import SourceData
from sigjax.data.token_items import Items
from sigjax.data.token_table import Block, TokenError, TokenTable
from sigjax.data.windows import LabelledWindows

__all__ = [
    "Block",
    "Items",
    "TokenData",
    "TokenError",
    "TokenTable",
    "TokenWindow",
    "TokenWindows",
    "token_spec",
]


class TokenWindow(NamedTuple):
    """A plan: which tokens to read.

    Attributes:
      index: Of the window.
      view: Which of its views.
      seed: For what the device draws for this example.
    """

    index: int
    view: int
    seed: int


class TokenWindows:
    """Grain random-access source of the windows of a `LabelledWindows`, as tokens.

    Its elements are indices of those windows. Pickles.

    Attributes:
      table: Where the tokens are.
      windows: Whose tokens.
      people: As of `windows`.
      classes: As of `windows`.
      class_counts: As of `windows`.
    """

    def __init__(self, table: TokenTable, windows: LabelledWindows):
        """Reads nothing yet.

        Raises:
          TokenError: The table is not complete, or not of these windows.
        """
        if not table.complete:
            raise TokenError(f"{table.path}: not complete; write its blocks first")
        if not table.holds(windows):
            raise TokenError(f"{table.path}: its tokens are of other windows")
        self.table, self.windows = table, windows
        self.people, self.classes = windows.people, windows.classes
        self.class_counts = windows.class_counts

    def __len__(self) -> int:
        """Windows."""
        return len(self.windows)

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        return range(len(self))[index]

    def plan(self, index: int, rng: np.random.Generator) -> TokenWindow:
        """One of the window's views, with a seed for what is drawn for it."""
        # The seed first: it is then that of the window itself.
        seed = self.windows.plan(index, rng).seed
        return TokenWindow(index, int(rng.integers(self.table.views)), seed)

    def fixed_plan(self, index: int, seed: int) -> TokenWindow:
        """The first view, with the seed that the window always has."""
        return TokenWindow(index, 0, self.windows.fixed_plan(index, seed).seed)

    def start(self, index: int) -> float:
        """As of `LabelledWindows.start`."""
        return self.windows.start(index)

    def read(self, plans: Sequence[TokenWindow]) -> Batch:
        """Reads tokens into a batch.

        Returns:
          tokens: Float16 or float32 `[b, n, d]`, as the table keeps them; zeros beyond
            the end of a stretch.
          length: Int32 `[b]`, how many of the `n` are real.
          label: Int32 `[b, n]`, class of each label window; -1 where none counts.
          seed: Uint32 `[b]`.
          person: Int32 `[b]`, index into `people`.
          window: Int32 `[b]`, index of the window.

        Raises:
          TokenError: A file of the table is missing or damaged.
        """
        windows, table = self.windows, self.table
        b, n = len(plans), windows.labels
        tokens = np.zeros((b, n, table.width), table.dtype)
        index = np.array([plan.index for plan in plans], np.int32)
        length = windows.lengths[index]
        for row, plan in enumerate(plans):
            found = table.window(plan.index, view=plan.view)
            tokens[row, : len(found)] = found
        labels = [windows.labels_of(i) for i in index.tolist()]
        return {
            "tokens": tokens,
            "length": length,
            "label": np.array(labels, np.int32).reshape(b, n),
            "seed": np.array([plan.seed for plan in plans], np.uint32),
            "person": np.array([windows.person(i) for i in index.tolist()], np.int32),
            "window": index,
        }


class TokenData(SourceData[TokenWindows]):
    """Batches of tokens for a head, divided as a `HarData` divides people."""

    def __init__(
        self, data: HarData, train: TokenWindows, validation: TokenWindows | None = None
    ):
        """Takes the tokens of the people of `data`.

        Args:
          data: Who is on which side, and how batches are made.
          train: Tokens of its training windows.
          validation: Tokens of its validation windows; None if there is nobody.

        Raises:
          ValueError: They are of other people.
        """
        held = data.people["validation"]
        found = validation.people if validation is not None else ()
        if train.people != data.people["train"] or found != held:
            raise ValueError("tokens are of other people than the data's division")
        self.data, self.reader = data, data.config
        self.train_source, self.validation_source = train, validation

    @property
    def steps_per_epoch(self) -> int:
        """As of `data`: the same for any share of the training people."""
        return self.data.steps_per_epoch

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        return token_spec(
            batch_size=self.data.config.batch_size,
            labels=self.train_source.windows.labels,
            width=self.train_source.table.width,
            dtype=self.train_source.table.dtype,
        )

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        held = self.validation_source
        return {
            **self.data.fingerprint,
            "train_tokens": self.train_source.table.fingerprint,
            "validation_tokens": "" if held is None else held.table.fingerprint,
        }


def token_spec(
    *, batch_size: int, labels: int, width: int, dtype: Any = np.float16
) -> Mapping[str, np.ndarray]:
    """Shape and dtype of every entry of a batch, as arrays that take no memory."""

    def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.broadcast_to(np.zeros((), dtype), shape)

    return {
        "tokens": empty((batch_size, labels, width), dtype),
        "length": empty((batch_size,), np.int32),
        "label": empty((batch_size, labels), np.int32),
        "seed": empty((batch_size,), np.uint32),
        "person": empty((batch_size,), np.int32),
        "window": empty((batch_size,), np.int32),
    }
