"""Tokens of a frozen encoder on disk: made once, then read many times.

    PATH/KEY/part-00000.npy      rows [r, d] of whole items, one after the other
    PATH/KEY/part-00001.partial  one that is being written; it is only ever added to
    PATH/KEY/table.json          written last: it exists = the table is complete

KEY is a hash of all that the tokens depend on, so tokens of another encoder are never
taken for these. Parts do not depend on how many processes write, nor on how many items
they embed at once, so a run that was stopped continues with any number of them.
"""

import hashlib
import io
import json
import math
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import grain
import numpy as np

from sigjax.data.crops import Batch
from sigjax.data.token_items import Items
from sigjax.data.windows import LabelledWindows

Kept = Literal["float16", "float32"]
_LAYOUT = 1
_PART_BYTES = 256 * 2**20
# More parts let more processes share the work.
_MOST_PARTS_OF_SMALL = 16
_FEW_ITEMS = 32
_DONE = "table.json"


class TokenError(ValueError):
    """Tokens cannot be written or read; the message says which, why and what to do."""


class Block(NamedTuple):
    """Some items to embed at once.

    Attributes:
      part: In which file their tokens belong.
      items: Which they are.
      batch: As of `LabelledWindows.read`, and `view`: int32 `[b]`. Filled up with its
        last item, so that all have one shape.
    """

    part: int
    items: range
    batch: Batch


class TokenTable:
    """Tokens of windows, being written or complete. Pickles.

    Attributes:
      path: Folder of the table itself.
      width: Width `d` of a token.
      dtype: As kept.
      views: How many views there are.
      total: Tokens of one view.
      fingerprint: Short hash of all that the tokens depend on.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        items: Items,
        *,
        width: int,
        dtype: Kept = "float16",
        batch_size: int,
        key: Mapping[str, Any],
    ):
        """Begins a table or continues the one that is there.

        Args:
          path: Folder of tables, on a disk that all processes share.
          items: What is embedded.
          width: Width of a token.
          dtype: As what tokens are kept.
          batch_size: Items in a block; changes no more of the tokens than rounding.
          key: JSON-able: which encoder, and how it is run.

        Raises:
          ValueError: Sizes have no meaning.
        """
        if width < 1 or batch_size < 1 or dtype not in ("float16", "float32"):
            raise ValueError(
                "width and batch_size must be at least 1 and dtype float16 or"
                f" float32, got {width}, {batch_size} and {dtype!r}"
            )
        if "://" in os.fspath(path):
            raise ValueError(f"{path}: tokens are read from a disk, not from a URL")
        self.width, self.dtype = width, np.dtype(dtype)
        self.views, self.total = items.views, items.total
        self._items, self._batch_size = items, batch_size
        self._described = {
            "layout": _LAYOUT,
            "width": width,
            "dtype": dtype,
            **items.described(),
            "key": json.loads(json.dumps(dict(key))),
        }
        text = json.dumps(self._described, sort_keys=True)
        self.fingerprint = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.path = pathlib.Path(path).expanduser().absolute() / self.fingerprint
        self._begin = np.concatenate([[0], np.cumsum(np.tile(items.rows, items.views))])
        large = math.ceil(self._begin[-1] * self._row_bytes / _PART_BYTES)
        small = min(_MOST_PARTS_OF_SMALL, math.ceil(len(items) / _FEW_ITEMS))
        self._per_part = math.ceil(len(items) / max(large, small))
        edges = [*range(0, len(items), self._per_part), len(items)]
        self._part_begin = self._begin[edges]
        self._open: dict[int, np.ndarray] = {}
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def _row_bytes(self) -> int:
        return self.width * self.dtype.itemsize

    @property
    def batch_size(self) -> int:
        """Items in a block."""
        return self._batch_size

    @property
    def complete(self) -> bool:
        """Whether all tokens are there."""
        return (self.path / _DONE).exists()

    @property
    def parts(self) -> int:
        """How many files there are."""
        return len(self._part_begin) - 1

    def missing(self, part: int) -> range:
        """Items of a part that are yet to be embedded."""
        start = part * self._per_part
        stop = min(start + self._per_part, len(self._items))
        if self._file(part).exists():
            return range(stop, stop)
        partial = self._partial(part)
        size = partial.stat().st_size if partial.exists() else 0
        size = max(0, size - len(self._header(part)))
        rows = self._part_begin[part] + size // self._row_bytes
        done = int(np.searchsorted(self._begin, rows, side="right")) - 1
        # Whole blocks alone, so that a block is embedded as it would be without a
        # stop; and never all: the file would have been renamed.
        done = min(done, stop - 1)
        return range(done - (done - start) % self._batch_size, stop)

    def blocks(
        self, *, shard_index: int = 0, shard_count: int = 1, read_threads: int = 2
    ) -> Iterator[Block]:
        """What is yet to be embedded; each block's tokens must be given to `write`.

        Args:
          shard_index: Which process this is; it writes parts
            `shard_index::shard_count`.
          shard_count: Number of processes.
          read_threads: Batches that are read at once.
        """
        if self.complete:
            return
        wanted = []
        for part in range(shard_index, self.parts, shard_count):
            items = self.missing(part)
            self._cut(part, items.start)
            wanted += [
                (part, range(at, min(at + self._batch_size, items.stop)))
                for at in range(items.start, items.stop, self._batch_size)
            ]
        if not wanted:
            return
        options = grain.ReadOptions(
            num_threads=read_threads, prefetch_buffer_size=read_threads
        )
        found = grain.MapDataset.source(wanted).map(self._read)
        yield from found.to_iter_dataset(options)

    def _read(self, wanted: tuple[int, range]) -> Block:
        part, items = wanted
        padded = [*items, *[items[-1]] * (self._batch_size - len(items))]
        batch = self._items.source.read([self._items.plan(item) for item in padded])
        views = np.array([self._items.view(item) for item in padded], np.int32)
        return Block(part, items, {**batch, "view": views})

    def write(self, block: Block, tokens: np.ndarray) -> None:
        """Adds a block's tokens to its part; blocks come in their order.

        Args:
          block: As of `blocks`.
          tokens: Float `[b, n, d]`; what is padding is left out.

        Raises:
          TokenError: Tokens are not finite as they are kept.
          ValueError: They are of another shape, or the block is not the next one.
        """
        if tokens.ndim != 3 or tokens.shape[2] != self.width:
            raise ValueError(
                f"expected tokens [b, n, {self.width}], got {tokens.shape}"
            )
        if self.missing(block.part).start != block.items.start:
            raise ValueError(
                f"items {block.items} of part {block.part} are out of turn"
            )
        with np.errstate(over="ignore"):
            kept = np.asarray(tokens).astype(self.dtype)
        rows = []
        for item, row in zip(block.items, kept, strict=False):
            here = row[: self._begin[item + 1] - self._begin[item]]
            if not np.isfinite(here).all():
                raise TokenError(
                    f"tokens of {self._items.name(item)} are not finite as"
                    f" {self.dtype}; keep them as float32, or check the encoder"
                )
            rows.append(here)
        partial = self._partial(block.part)
        with partial.open("ab") as file:
            if not file.tell():
                file.write(self._header(block.part))
            file.write(np.concatenate(rows).tobytes())
        if self._begin[block.items.stop] == self._part_begin[block.part + 1]:
            partial.replace(self._file(block.part))

    def _cut(self, part: int, item: int) -> None:
        """Cuts off what a stopped run wrote of a block it did not complete."""
        partial = self._partial(part)
        rows = int(self._begin[item] - self._part_begin[part])
        if partial.exists():
            size = len(self._header(part)) + rows * self._row_bytes
            os.truncate(partial, size if rows else 0)

    def _header(self, part: int) -> bytes:
        """What a NumPy file of the whole part begins with."""
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": self._shape(part)}
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, header)
        return file.getvalue()

    def _shape(self, part: int) -> tuple[int, int]:
        begin, stop = self._part_begin[part : part + 2].tolist()
        return stop - begin, self.width

    def finish(self, *, clean: bool = True) -> None:
        """Notes that the table is complete; after all processes are done.

        Args:
          clean: Remove tables of other keys beside it: one process alone may.

        Raises:
          TokenError: Items are missing.
        """
        left = sum(len(self.missing(part)) for part in range(self.parts))
        if left:
            raise TokenError(
                f"{self.path}: {left} of {len(self._items)} items are not embedded;"
                " run again to continue"
            )
        partial = self.path / f"{_DONE}.{os.getpid()}.tmp"
        partial.write_text(json.dumps(self._described, indent=1) + "\n")
        partial.replace(self.path / _DONE)
        if clean:
            for other in self.path.parent.iterdir():
                # Folders that are not ours stay.
                if other != self.path and any(other.glob("part-?????.*")):
                    shutil.rmtree(other)

    def holds(self, windows: LabelledWindows) -> bool:
        """Whether its tokens are of these windows."""
        own = self._items.asked
        return (
            own.dataset.fingerprint == windows.dataset.fingerprint
            and own.labels == windows.labels
            and np.array_equal(own.segment, windows.segment)
            and np.array_equal(own.first, windows.first)
        )

    def window(self, index: int, *, view: int = 0) -> np.ndarray:
        """Tokens of a window that are real, `[length, d]`, as they are kept.

        Raises:
          TokenError: A file is missing or damaged.
        """
        if not 0 <= view < self.views:
            raise ValueError(f"view {view} is not in [0, {self.views})")
        at = view * self.total + int(self._items.first_row[index])
        end = at + int(self._items.asked.lengths[index])
        found = []
        while at < end or not found:
            part = int(np.searchsorted(self._part_begin, at, side="right")) - 1
            part = min(part, self.parts - 1)
            begin, stop = self._part_begin[part : part + 2].tolist()
            found.append(self._part(part)[at - begin : min(end, stop) - begin])
            at = stop
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _part(self, part: int) -> np.ndarray:
        found = self._open.get(part)
        if found is None:
            try:
                found = np.load(self._file(part), mmap_mode="r")
                if found.shape != self._shape(part) or found.dtype != self.dtype:
                    raise ValueError(f"holds {found.dtype} {found.shape}")
            except (OSError, ValueError) as error:
                raise TokenError(
                    f"{self._file(part)}: {error}; delete {self.path} and run again"
                ) from error
            # A plain array: slices of a `memmap` are twice as slow.
            found = self._open[part] = found.view(np.ndarray)
        return found

    def _file(self, part: int) -> pathlib.Path:
        return self.path / f"part-{part:05d}.npy"

    def _partial(self, part: int) -> pathlib.Path:
        return self.path / f"part-{part:05d}.partial"

    def __getstate__(self) -> dict[str, Any]:
        """All but open files."""
        return {**vars(self), "_open": {}}
