"""Checks the data blocks of a CWA file and decodes their samples to integer counts.

The file is read in passes of a few megabytes; what fails a check is counted and left
out, and only the blocks' small header fields are kept beside the samples.
"""

from collections.abc import Iterator

import numpy as np

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.formats.blocks import Samples
from sigjax.data.formats.source import Stream

# 1 MiB per pass keeps one pass's temporaries inside a core's cache.
_BLOCKS_PER_PASS = 2048
_SHARED_BYTES = 1 << 24  # more than all arrays of a pass; see below

# A block fails for the first of these reasons that applies; 0 is a good block.
REASONS = ("magic", "length", "checksum", "format", "count", "date")

_LOWEST_RATE_CODE = 6  # 6.25 Hz; the codes below it are not used by any device

_META = [
    "fraction",
    "session_id",
    "sequence",
    "timestamp",
    "light_scale",
    "temperature",
    "battery",
    "rate_code",
    "axes_bps",
    "offset",
    "count",
]
_META_DTYPE = np.dtype([(name, layout.BLOCK[name]) for name in _META])


def decode_blocks(
    stream: Stream,
    samples: Samples,
    others: Samples | None,
    quality: dict[str, int],
) -> np.ndarray:
    """Checks and decodes all blocks.

    Args:
      stream: Stands at the first data block.
      samples: Receives the acceleration.
      others: Receives gyroscope and magnetometer, zero where there is none.
      quality: Receives the counts of blocks and of failures.

    Returns:
      The header fields of the good blocks `[k]`.
    """
    if stream.size is None or stream.size > _SHARED_BYTES:
        _let_passes_share_memory()
    kept, last = [], b""
    size = _BLOCKS_PER_PASS * layout.BLOCK_BYTES
    while raw := stream.read(size):
        whole, rest = divmod(len(raw), layout.BLOCK_BYTES)
        quality["blocks"] += whole + bool(rest)
        quality["bad_truncated"] += bool(rest)
        quality["bad_blocks"] += bool(rest)
        blocks = np.frombuffer(raw, layout.BLOCK, count=whole)
        good = _check(blocks, quality)
        if not good.all():
            blocks = blocks[good]
        repeated = _repeats(blocks, last)
        if repeated.any():
            quality["bad_repeated"] += int(repeated.sum())
            quality["bad_blocks"] += int(repeated.sum())
            blocks = blocks[~repeated]
        last = blocks[-1:].tobytes() or last
        for run in _runs_of_one_format(blocks):
            decoded = int(run["count"].sum(dtype=np.int64))
            _decode_run(run, samples.append(decoded))
            if others is not None:
                _decode_others(run, others.append(decoded))
        # A copy of several fields alone would still carry the payload's bytes.
        kept.append(blocks[_META].astype(_META_DTYPE))
    return np.concatenate([np.zeros(0, _META_DTYPE), *kept])


def _let_passes_share_memory() -> None:
    """Halves the time of the first file that a process reads, where glibc allocates.

    It returns every array above 128 KiB to the system as soon as that is freed, which
    clears all pages anew for the next pass, until it has seen a larger one freed: from
    then on it keeps what is smaller than that.
    """
    np.empty(_SHARED_BYTES, np.uint8)


def _check(blocks: np.ndarray, quality: dict[str, int]) -> np.ndarray:
    """Returns which blocks are good `[k]` and counts the others by reason."""
    words = blocks.view(np.uint8).reshape(-1, layout.BLOCK_BYTES).view("<u2")
    # Blocks without a rate code come from firmware that wrote no checksum either.
    old = blocks["rate_code"] == 0
    axes, bps = blocks["axes_bps"] >> 4, blocks["axes_bps"] & 15
    known_rate = (blocks["rate_code"] & 15) >= _LOWEST_RATE_CODE
    known_rate |= old & (blocks["offset"] > 0)
    packed = (bps == 0) & (axes == 3)
    known_format = packed | ((bps == 2) & np.isin(axes, (3, 6, 9)))
    capacity = _capacity(axes, packed)
    _, real_date = layout.unpack_time(blocks["timestamp"])
    passed = {
        "magic": blocks["magic"] == b"AX",
        "length": blocks["length"] == layout.BLOCK_LENGTH,
        "checksum": old | (words.sum(1, dtype=np.uint16) == 0),
        "format": known_format & known_rate,
        "count": (blocks["count"] > 0) & (blocks["count"] <= capacity),
        "date": real_date,
    }
    good = np.ones(len(blocks), bool)
    for reason in REASONS:
        quality[f"bad_{reason}"] += int((good & ~passed[reason]).sum())
        good &= passed[reason]
    quality["bad_blocks"] += int((~good).sum())
    return good


def _repeats(blocks: np.ndarray, before: bytes) -> np.ndarray:
    """Which blocks `[k]` hold once more what the block before them holds.

    Flash memory that writes a sector twice does that: samples must not count twice.
    """
    raw = blocks.view(np.uint8).reshape(-1, layout.BLOCK_BYTES)
    repeated = np.zeros(len(blocks), bool)
    repeated[:1] = blocks[:1].tobytes() == before
    # Their numbers differ nearly always, and are quick to compare.
    rows = np.flatnonzero(np.diff(blocks["sequence"]) == 0) + 1
    repeated[rows] = (raw[rows] == raw[rows - 1]).all(axis=1)
    return repeated


def _capacity(axes: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Samples that fit in a block's payload."""
    width = np.where(packed, 4, 2 * np.maximum(axes.astype(np.int64), 1))
    return layout.PAYLOAD_BYTES // width


def _runs_of_one_format(blocks: np.ndarray) -> Iterator[np.ndarray]:
    """Splits blocks `[k]` where axes, packing or sample count change."""
    key = blocks["axes_bps"].astype(np.int32) << 16 | blocks["count"]
    edges = np.flatnonzero(np.diff(key)) + 1
    for start, stop in zip([0, *edges], [*edges, len(blocks)], strict=True):
        if stop > start:
            yield blocks[start:stop]


def _decode_run(blocks: np.ndarray, out: np.ndarray) -> None:
    """Decodes blocks `[k]` of one format into `out` int16 `[k * count, 3]`."""
    count, axes = int(blocks["count"][0]), int(blocks["axes_bps"][0]) >> 4
    raw = blocks.view(np.uint8).reshape(-1, layout.BLOCK_BYTES)
    payload = raw[:, 30 : 30 + layout.PAYLOAD_BYTES]
    if int(blocks["axes_bps"][0]) & 15 == 0:
        words = np.ascontiguousarray(payload[:, : 4 * count]).view("<u4")
        _unpack(words.reshape(-1), out)
        return
    samples = np.ascontiguousarray(payload[:, : 2 * axes * count]).view("<i2")
    samples = samples.reshape(-1, axes)
    # Six and nine axes store the gyroscope first: gx gy gz ax ay az (mx my mz).
    first = 0 if axes == 3 else 3
    out[...] = samples[:, first : first + 3]


def _decode_others(blocks: np.ndarray, out: np.ndarray) -> None:
    """Decodes gyroscope, magnetometer of blocks `[k]` into int16 `[k * count, 6]`."""
    out[:] = 0
    count, axes = int(blocks["count"][0]), int(blocks["axes_bps"][0]) >> 4
    if axes == 3:
        return
    raw = blocks.view(np.uint8).reshape(-1, layout.BLOCK_BYTES)
    payload = raw[:, 30 : 30 + 2 * axes * count]
    samples = np.ascontiguousarray(payload).view("<i2").reshape(-1, axes)
    out[:, :3] = samples[:, :3]
    out[:, 3 : axes - 3] = samples[:, 6:]


def _unpack(words: np.ndarray, out: np.ndarray) -> None:
    """Unpacks u32 `ee zzzzzzzzzz yyyyyyyyyy xxxxxxxxxx` `[s]` into counts of 1/256 g.

    Each axis is ten bits with a sign, times 2^e: at most 512 << 3, which fits int16
    `[s, 3]`. Its bits go to the top of 16, where the sign of an int16 is; shifting
    them down again by 6 - e extends the sign and applies the exponent at once.
    """
    exponent = words >> 30
    # A device keeps its range, so nearly always one shift does for all.
    uniform = (exponent == exponent[:1]).all()
    down = np.int16(6) - (exponent[:1] if uniform else exponent).astype(np.int16)
    for axis, shifted in enumerate((words << 6, words >> 4, words >> 14)):
        top = shifted.astype(np.uint16)
        top &= 0xFFC0
        np.right_shift(top.view(np.int16), down, out=out[:, axis])
