"""Finds the records of an ActiGraph `log.bin` and checks them.

A record is the byte 1Eh, its type, a time in seconds, the size of its payload, the
payload and a checksum. Reading goes from record to record as long as the checksums
hold, many at once; after one that does not hold, it looks for the next that does.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from sigjax.data.formats import gt3x_layout as layout
from sigjax.data.formats.source import Stream

_PASS_BYTES = 1 << 20
_SEPARATOR = bytes([layout.SEPARATOR])
# After damage, only records up to this size are looked for: a second of samples has
# less than 1 kB, and larger records would be found in noise.
_MOST_AFTER_DAMAGE = 1 << 13
_DAY_S = 86_400
_FIRST_STEP = 8  # records at once after damage; doubles as long as all are sound

REASONS = ("checksum", "separator", "truncated")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Sound records of one pass, in file order.

    Attributes:
      data: Uint8, the bytes that the records lie in.
      offset: Int64 `[k]`, where each begins.
      size: Int64 `[k]`, of its payload.
      kind: Uint8 `[k]`, its type.
      time: Int64 `[k]`, its timestamp.
    """

    data: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    kind: np.ndarray
    time: np.ndarray

    def payload(self, index: int) -> bytes:
        """Of one record."""
        start = int(self.offset[index]) + layout.HEADER_BYTES
        return self.data[start : start + int(self.size[index])].tobytes()

    def payloads(self, offset: np.ndarray, size: int) -> np.ndarray:
        """Uint8 `[k, size]` of the records at `offset` `[k]`, all of one size."""
        return _rows(self.data, offset + layout.HEADER_BYTES, size)


def _rows(data: np.ndarray, offset: np.ndarray, size: int) -> np.ndarray:
    if not len(offset) or not size:
        return np.zeros((len(offset), size), np.uint8)
    return np.lib.stride_tricks.sliding_window_view(data, size)[offset]


def read_records(
    stream: Stream, near: int, quality: dict[str, int]
) -> Iterator[Records]:
    """Reads all sound records.

    Args:
      stream: The bytes of `log.bin`.
      near: Seconds since 1970-01-01 at which the recording was to start; helps to tell
        records from noise where its beginning is damaged.
      quality: `bad_<reason>`, `bad_blocks` and `blocks` receive what fails: one for
        every record whose checksum is wrong, for every stretch of bytes in which no
        record begins, and for a record that the end cuts off.
    """
    text, step, lost, more = b"", 1 << 30, False, b"-"
    while more:
        more = stream.read(_PASS_BYTES)
        text += more
        data, at, found = np.frombuffer(text, np.uint8), 0, []
        while True:
            if not lost:
                at, offsets, sound = _walk(text, data, at, step)
                found.append(offsets)
                near = _time(text, int(offsets[-1])) if len(offsets) else near
                if sound and len(offsets) == step:
                    step = 2 * step
                    continue
                start = _skip_zeros(text, at)
                if start != at and text[start : start + 1] == _SEPARATOR:
                    at = start
                    continue
                at = start
                if at == len(text) or (more and _incomplete(text, at)):
                    break
                _count_bad(text, at, quality)
                step = _FIRST_STEP
            at, lost = _next_sound(text, data, at, lost, bool(more), near)
            if lost:
                break
        yield _records(data, np.concatenate(found) if found else _NONE)
        text = text[at:]


_NONE = np.zeros(0, np.int64)


def _records(data: np.ndarray, offset: np.ndarray) -> Records:
    header = _rows(data, offset, layout.HEADER_BYTES)
    return Records(
        data=data,
        offset=offset,
        size=np.ascontiguousarray(header[:, 6:8]).view("<u2")[:, 0].astype(np.int64),
        kind=header[:, 1],
        time=np.ascontiguousarray(header[:, 2:6]).view("<u4")[:, 0].astype(np.int64),
    )


def _walk(
    text: bytes, data: np.ndarray, at: int, most: int
) -> tuple[int, np.ndarray, bool]:
    """Goes along at most `most` records.

    Returns:
      Where it stopped, where sound records begin, and whether all on the way are
      sound.
    """
    offsets, sizes, end = [], [], len(text) - layout.RECORD_BYTES
    while at <= end and len(offsets) < most and text[at] == layout.SEPARATOR:
        size = text[at + 6] | text[at + 7] << 8
        if at + size > end:
            break
        offsets.append(at)
        sizes.append(size)
        at += size + layout.RECORD_BYTES
    starts, lengths = np.array(offsets, np.int64), np.array(sizes, np.int64)
    bad = np.zeros(len(starts), bool)
    for size in np.unique(lengths).tolist():
        same = np.flatnonzero(lengths == size)
        rows = _rows(data, starts[same], size + layout.RECORD_BYTES)
        # The checksum is the complement of all bytes before it.
        bad[same] = np.bitwise_xor.reduce(rows, axis=1) != 0xFF
    if not bad.any():
        return at, starts, True
    first = int(bad.argmax())
    return int(starts[first]), starts[:first], False


def _skip_zeros(text: bytes, at: int) -> int:
    """Where zeros end: devices leave some between records now and then."""
    while at < len(text) and text[at] == 0:
        piece = text[at : at + 4096]
        at += len(piece) - len(piece.lstrip(b"\0"))
    return at


def _incomplete(text: bytes, at: int) -> bool:
    """Whether a record begins here and goes on beyond what has been read."""
    if text[at] != layout.SEPARATOR:
        return False
    if len(text) - at < layout.RECORD_BYTES:
        return True
    return at + layout.RECORD_BYTES + _size(text, at) > len(text)


def _size(text: bytes, at: int) -> int:
    return text[at + 6] | text[at + 7] << 8


def _time(text: bytes, at: int) -> int:
    return int.from_bytes(text[at + 2 : at + 6], "little")


def _count_bad(text: bytes, at: int, quality: dict[str, int]) -> None:
    reason = "checksum" if text[at] == layout.SEPARATOR else "separator"
    if _incomplete(text, at):
        reason = "truncated"
    for key in (f"bad_{reason}", "bad_blocks", "blocks"):
        quality[key] += 1


def _next_sound(
    text: bytes, data: np.ndarray, at: int, searching: bool, more: bool, near: int
) -> tuple[int, bool]:
    """Looks for a sound record after damage at `at`.

    Args:
      text: What has been read.
      data: The same.
      at: Where the record that is not sound begins, or where to look on.
      searching: Whether this continues a search.
      more: Whether more can be read.
      near: Timestamp of the last sound record.

    Returns:
      Where the next sound record begins and False, or from where to look on and True.
    """
    if not searching and not _incomplete(text, at) and text[at] == layout.SEPARATOR:
        # Its header may be right, and damage in its payload.
        after = at + layout.RECORD_BYTES + _size(text, at)
        if after == len(text) or _sound(text, data, after, near):
            return after, False
    at += not searching
    while (at := text.find(_SEPARATOR, at)) >= 0:
        if _incomplete(text, at):
            near = len(text) - at < layout.RECORD_BYTES
            if more and (near or _size(text, at) <= _MOST_AFTER_DAMAGE):
                return at, True
        elif _sound(text, data, at, near):
            return at, False
        at += 1
    return len(text), True


def _sound(text: bytes, data: np.ndarray, at: int, near: int) -> bool:
    """Whether a record is here whose checksum is right, and not by chance.

    One in 256 is by chance, so its time must be that of the records before, or another
    record (or none) must follow.
    """
    if at >= len(text) or text[at] != layout.SEPARATOR or _incomplete(text, at):
        return False
    after = at + layout.RECORD_BYTES + _size(text, at)
    if after - at > _MOST_AFTER_DAMAGE:
        return False
    followed = after == len(text) or text[after] in (layout.SEPARATOR, 0)
    if not followed and abs(_time(text, at) - near) > _DAY_S:
        return False
    return int(np.bitwise_xor.reduce(data[at:after])) == 0xFF
