"""Damages data blocks the way that flash memory and interrupted copies do."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from sigjax.data.formats import cwa_layout as layout

DAMAGE = ("byte", "bit", "zeroed", "erased", "foreign", "undated", "repeated")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Damage:
    """What is wrong with one data block.

    Attributes:
      block: Its number in the file.
      kind: `"byte"` or `"bit"` flips one in the samples; `"zeroed"` and `"erased"`
        blocks hold only 0x00 or 0xff; `"foreign"` ones are of another format;
        `"undated"` ones have a time that does not exist behind a checksum that is
        right; `"repeated"` ones hold the block before once more instead of their own.
    """

    block: int
    kind: str = "byte"

    def __post_init__(self):
        """Checks the kind."""
        if self.kind not in DAMAGE:
            raise ValueError(f"damage {self.kind!r}: one of {DAMAGE}")
        if self.block < (self.kind == "repeated"):
            raise ValueError(f"no block to do {self.kind!r} to: {self.block}")


def apply(raw: np.ndarray, number: int, before: bytes, damage: Iterable[Damage]):
    """Damages blocks in place.

    Args:
      raw: Uint8 `[k, 512]`.
      number: Of the first of them in the file.
      before: The block before them.
      damage: All of the file's.
    """
    for one in sorted(damage, key=lambda one: one.block):
        row = one.block - number
        if not 0 <= row < len(raw):
            continue
        if one.kind == "byte":
            raw[row, 100] ^= 0x55
        elif one.kind == "bit":
            # Spread over the payload, the same for the same block.
            at = one.block * 7919 % layout.PAYLOAD_BYTES
            raw[row, 30 + at] ^= 1 << one.block % 8
        elif one.kind == "zeroed":
            raw[row] = 0
        elif one.kind == "erased":
            raw[row] = 0xFF
        elif one.kind == "foreign":
            raw[row] = np.resize(np.frombuffer(b"RIFF....WAVEfmt ", np.uint8), 512)
        elif one.kind == "undated":
            _restamp(raw[row])
        else:
            raw[row] = raw[row - 1] if row else np.frombuffer(before, np.uint8)


def _restamp(block: np.ndarray) -> None:
    """Sets the 31st of February behind a checksum that is right."""
    fields = block.view(layout.BLOCK)
    fields["timestamp"] = 24 << 26 | 2 << 22 | 31 << 17
    words = block.view("<u2")
    words[-1] = 0
    words[-1:] = -words.sum(dtype=np.uint16, keepdims=True)
