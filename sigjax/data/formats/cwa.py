"""Reads the Open Movement CWA files of Axivity AX3 and AX6 loggers.

Written from the Open Movement specification (`Docs/ax3/ax3-technical.md`).
The file is read in passes of a few megabytes: every block is checked, the blocks
that pass are decoded to int16 counts, and only then the stream is cut into
segments wherever consecutive blocks do not follow one another.
"""

import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import IO

import numpy as np
from etils import epath

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.recording import FormatError, Recording, Segment

# 1 MiB per pass keeps one pass's temporaries inside a core's cache.
_BLOCKS_PER_PASS = 2048

# A block fails for the first of these reasons that applies; 0 is a good block.
_REASONS = ("magic", "length", "checksum", "format", "count", "date")

# Blocks that do not follow their predecessor, by the first reason that applies.
_BREAKS = ("session", "sequence", "format", "clock")

# How far the time between two anchors may be from the nominal rate. Devices run up
# to 2.5 % off, and single anchors jitter by up to 15 ms in real files. 5 % + 0.1 s
# still notices one FIFO batch of 25 samples lost at 100 Hz (0.25 s). Files from
# before fractional timestamps know only the second, hence the extra second.
_CLOCK_TOLERANCE = 0.05
_CLOCK_SLACK_S = 0.1
_WHOLE_SECOND_SLACK_S = 1.0

_LOWEST_RATE_CODE = 6  # 6.25 Hz; the codes below it are not used by any device

_META = [
    "fraction",
    "session_id",
    "sequence",
    "timestamp",
    "light_scale",
    "temperature",
    "rate_code",
    "axes_bps",
    "offset",
    "count",
]
_META_DTYPE = np.dtype([(name, layout.BLOCK[name]) for name in _META])


def read_cwa(source: epath.PathLike | bytes, *, name: str = "") -> Recording:
    """Reads one CWA file: AX3 or AX6, packed or 16-bit, of 3, 6 or 9 axes.

    Blocks that fail a check are counted in `Recording.quality` and leave a gap.
    A segment ends wherever a block does not continue the one before it: another
    session, a sequence number that is not the next, another format, rate or scale,
    or a clock that disagrees with the nominal rate. Segments keep the file's order.
    Only the accelerometer's axes are returned. Times are on the device's clock,
    which is the local time of the computer that configured it.

    Args:
      source: A path (local or in a bucket) or the bytes of a file.
      name: What to call the source in `Recording.source` and in messages; the path
        unless given.

    Raises:
      FormatError: If this is not a CWA file or it ends inside its header.
      FileNotFoundError: If there is no such file.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), name or "<bytes>")
    path = epath.Path(source)
    with path.open("rb") as handle:
        return _read(handle, name or str(path))


def _read(handle: IO[bytes], name: str) -> Recording:
    size = handle.seek(0, io.SEEK_END) or handle.tell()
    handle.seek(0)
    header = _read_header(handle.read(layout.HEADER_BYTES), name)
    quality = dict.fromkeys(["blocks", "bad_blocks", "bad_header", "samples"], 0)
    quality |= {f"bad_{reason}": 0 for reason in (*_REASONS, "truncated")}
    quality |= {f"breaks_{reason}": 0 for reason in _BREAKS}
    quality["bad_header"] = int(not header.intact)

    blocks = max(size - header.data_offset, 0) // layout.BLOCK_BYTES
    # The largest that the samples can become; pages that stay unused cost nothing.
    counts = np.empty((blocks * layout.PACKED_SAMPLES, 3), np.int16)
    meta, samples = _decode_blocks(handle, counts, quality)
    if not header.intact and not len(meta):
        raise FormatError(
            f"{name}: not a CWA file: its header is damaged (expected b'MD' and length "
            f"{layout.HEADER_LENGTH}) and none of {quality['blocks']} data blocks is "
            "valid; read it with the reader of the device that wrote it"
        )
    counts = counts[:samples]
    quality["samples"] = samples
    clock = _clock(meta)
    segments = _segments(counts, meta, clock, quality)
    nominal = float(clock.rate_hz[0]) if len(meta) else header.nominal_rate_hz
    return Recording(
        source=name,
        device=header.device or _guess_device(meta),
        device_id=header.device_id,
        nominal_rate_hz=nominal,
        segments=segments,
        quality=quality,
        metadata=header.metadata,
    )


def _read_header(raw: bytes, name: str) -> layout.Header:
    if not raw:
        raise FormatError(f"{name}: the file is empty")
    if len(raw) < layout.HEADER_BYTES:
        raise FormatError(
            f"{name}: {len(raw)} bytes starting with {raw[:4]!r}: a CWA file has a "
            f"header of {layout.HEADER_BYTES} bytes starting with b'MD'; "
            "copy the file from the device again"
        )
    return layout.parse_header(raw)


def _guess_device(meta: np.ndarray) -> str:
    """The model when the header does not tell: AX6 is what stores six axes."""
    if not len(meta):
        return ""
    return "AX6" if (meta["axes_bps"] >> 4 > 3).any() else "AX3"


def _decode_blocks(
    handle: IO[bytes], counts: np.ndarray, quality: dict[str, int]
) -> tuple[np.ndarray, int]:
    """Checks and decodes all blocks.

    Args:
      handle: Stands at the first data block.
      counts: Int16 `[capacity, 3]`; its first rows receive the samples.
      quality: Receives the counts of blocks and of failures.

    Returns:
      The header fields of the good blocks `[k]` and the number of samples.
    """
    kept, position = [], 0
    size = _BLOCKS_PER_PASS * layout.BLOCK_BYTES
    while raw := _read_fully(handle, size):
        whole, rest = divmod(len(raw), layout.BLOCK_BYTES)
        quality["blocks"] += whole + bool(rest)
        quality["bad_truncated"] += bool(rest)
        quality["bad_blocks"] += bool(rest)
        blocks = np.frombuffer(raw, layout.BLOCK, count=whole)
        good = _check(blocks, quality)
        if not good.all():
            blocks = blocks[good]
        for run in _runs_of_one_format(blocks):
            decoded = int(run["count"].sum(dtype=np.int64))
            _decode_run(run, counts[position : position + decoded])
            position += decoded
        # A copy of several fields alone would still carry the payload's bytes.
        kept.append(blocks[_META].astype(_META_DTYPE))
    return np.concatenate([np.zeros(0, _META_DTYPE), *kept]), position


def _read_fully(handle: IO[bytes], size: int) -> bytes:
    """Reads `size` bytes unless the file ends; handles on buckets may return less."""
    parts = []
    while size and (part := handle.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


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
    for reason in _REASONS:
        quality[f"bad_{reason}"] += int((good & ~passed[reason]).sum())
        good &= passed[reason]
    quality["bad_blocks"] += int((~good).sum())
    return good


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
    out = out.reshape(len(blocks), count, 3)
    if int(blocks["axes_bps"][0]) & 15 == 0:
        words = np.ascontiguousarray(payload[:, : 4 * count]).view("<u4")
        _unpack(words, out)
        return
    samples = np.ascontiguousarray(payload[:, : 2 * axes * count]).view("<i2")
    samples = samples.reshape(len(blocks), count, axes)
    # Six and nine axes store the gyroscope first: gx gy gz ax ay az (mx my mz).
    first = 0 if axes == 3 else 3
    out[...] = samples[:, :, first : first + 3]


def _unpack(words: np.ndarray, out: np.ndarray) -> None:
    """Unpacks u32 `ee zzzzzzzzzz yyyyyyyyyy xxxxxxxxxx` into int16 counts of 1/256 g.

    Ten signed bits are moved to the top of an int32 and shifted down again by
    22 - e, which sign-extends and applies the exponent e at once. The largest
    magnitude, 512 << 3, fits int16.
    """
    exponent = words >> np.uint32(30)
    uniform = exponent.size and (exponent == exponent.flat[0]).all()
    if uniform:
        down = np.int32(22 - int(exponent.flat[0]))
    else:
        down = np.int32(22) - exponent.astype(np.int32)
    top = np.uint32(0xFFC00000)
    for axis, up in enumerate((22, 12, 2)):
        value = words << np.uint32(up)
        if axis:
            value &= top
        out[..., axis] = value.view(np.int32) >> down


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Clock:
    """One anchor per good block, all `[k]`.

    Attributes:
      first: Position of the block's first sample among all decoded samples.
      index: Anchor position on the same scale (can lie past the block's end).
      time: Seconds since 1970-01-01 at the anchor.
      fractional: Whether the time knows more than the second.
      rate_hz: Nominal rate.
    """

    first: np.ndarray
    index: np.ndarray
    time: np.ndarray
    fractional: np.ndarray
    rate_hz: np.ndarray


def _clock(meta: np.ndarray) -> _Clock:
    """Applies the specification's time rule to the good blocks."""
    count = meta["count"].astype(np.int64)
    first = np.cumsum(count) - count
    offset = meta["offset"].astype(np.int64)
    # Firmware from before rate codes kept the frequency where the offset is now.
    old = meta["rate_code"] == 0
    rate = np.where(old, offset, layout.rate_hz(meta["rate_code"]))
    fractional = (meta["fraction"] & 0x8000 != 0) & ~old
    fraction = np.where(
        fractional, (meta["fraction"].astype(np.int64) & 0x7FFF) << 1, 0
    )
    # The device moved the offset back by what the fraction advances, so that readers
    # that know only whole seconds stay right; undo it with the same integer rate.
    offset = np.where(old, 0, offset + ((fraction * rate.astype(np.int64)) >> 16))
    seconds, _ = layout.unpack_time(meta["timestamp"])
    return _Clock(
        first=first,
        index=(first + offset).astype(np.float64),
        time=seconds + fraction / 65536.0,
        fractional=fractional,
        rate_hz=rate,
    )


def _scale(meta: np.ndarray) -> np.ndarray:
    """g per count of each block `[k]`."""
    bits = 8 + (meta["light_scale"] >> 13).astype(np.float64)
    return np.where(meta["axes_bps"] & 15 == 0, layout.PACKED_SCALE, 0.5**bits)


def _break_points(
    meta: np.ndarray, clock: _Clock, quality: dict[str, int]
) -> np.ndarray:
    """Indices of the blocks that do not continue the block before them."""
    steps, elapsed = np.diff(clock.index), np.diff(clock.time)
    expected = steps / clock.rate_hz[1:]
    coarse = ~(clock.fractional[1:] & clock.fractional[:-1])
    slack = _CLOCK_SLACK_S + _WHOLE_SECOND_SLACK_S * coarse
    # Two whole-second anchors closer than a second can share a time; interpolation
    # needs them to increase.
    disagrees = (np.abs(elapsed - expected) > _CLOCK_TOLERANCE * expected + slack) | (
        (elapsed <= 0) | (steps <= 0)
    )
    scale = _scale(meta)
    differs = {
        "session": np.diff(meta["session_id"].astype(np.int64)) != 0,
        "sequence": np.diff(meta["sequence"].astype(np.int64)) != 1,
        "format": (np.diff(meta["axes_bps"].astype(np.int64)) != 0)
        | (np.diff(meta["rate_code"].astype(np.int64)) != 0)
        | (np.diff(clock.rate_hz) != 0)
        | (np.diff(scale) != 0),
        "clock": disagrees,
    }
    broken = np.zeros(max(len(meta) - 1, 0), bool)
    for reason in _BREAKS:
        quality[f"breaks_{reason}"] += int((differs[reason] & ~broken).sum())
        broken |= differs[reason]
    return np.flatnonzero(broken) + 1


def _segments(
    counts: np.ndarray, meta: np.ndarray, clock: _Clock, quality: dict[str, int]
) -> tuple[Segment, ...]:
    if not len(meta):
        return ()
    breaks = _break_points(meta, clock, quality)
    bounds = list(zip([0, *breaks], [*breaks, len(meta)], strict=True))
    scale = _scale(meta)
    temperature = (meta["temperature"] & 1023) * (75.0 / 256.0) - 50.0
    middle = clock.first + (meta["count"] - 1) / 2.0
    lone_rate = _measured_rates(bounds, clock)
    segments = []
    for start, stop in bounds:
        low = int(clock.first[start])
        high = int(clock.first[stop - 1]) + int(meta["count"][stop - 1])
        index = clock.index[start:stop] - low
        time = clock.time[start:stop]
        if stop - start == 1:
            # One anchor fixes no rate: take the one that the device kept elsewhere.
            nominal = float(clock.rate_hz[start])
            step = lone_rate.get(nominal, nominal)
            index = np.append(index, index[0] + float(meta["count"][start]))
            time = np.append(time, time[0] + float(meta["count"][start]) / step)
        segments.append(
            Segment(
                counts=counts[low:high],
                scale=float(scale[start]),
                anchor_index=index,
                anchor_time=time,
                temperature_index=middle[start:stop] - low,
                temperature_c=temperature[start:stop].astype(np.float32),
            )
        )
    return tuple(segments)


def _measured_rates(
    bounds: list[tuple[int, int]], clock: _Clock
) -> Mapping[float, float]:
    """The measured rate of the longest segment of each nominal rate, if any."""
    rates: dict[float, float] = {}
    for start, stop in sorted(bounds, key=lambda bound: bound[1] - bound[0]):
        last = stop - 1
        if last > start:
            steps = clock.index[last] - clock.index[start]
            span = clock.time[last] - clock.time[start]
            rates[float(clock.rate_hz[start])] = float(steps / span)
    return rates
