"""Reads the Open Movement CWA files of Axivity AX3 and AX6 loggers.

Written from the Open Movement specification (`Docs/ax3/ax3-technical.md`).
The file is read in passes of a few megabytes: every block is checked, the blocks
that pass are decoded to int16 counts, and only then the stream is cut into
segments wherever consecutive blocks do not follow one another.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.formats.blocks import Samples
from sigjax.data.formats.cwa_blocks import REASONS, decode_blocks
from sigjax.data.formats.options import DEFAULT, ReadOptions
from sigjax.data.formats.source import Source, Stream
from sigjax.data.recording import Channel, FormatError, Recording, Segment

# Blocks that do not follow their predecessor, by the first reason that applies.
_BREAKS = ("session", "restart", "sequence", "format", "clock")

# How far the time between two anchors may be from the nominal rate. Devices run up
# to 2.5 % off, and single anchors jitter by up to 15 ms in real files. 5 % + 0.1 s
# still notices one FIFO batch of 25 samples lost at 100 Hz (0.25 s). Files from
# before fractional timestamps know only the second, hence the extra second.
_CLOCK_TOLERANCE = 0.05
_CLOCK_SLACK_S = 0.1
_WHOLE_SECOND_SLACK_S = 1.0


def recognises(source: Source) -> bool:
    """Whether a file is called like a CWA file; a damaged one is still one."""
    return source.kind.endswith(".cwa")


def read_cwa(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one CWA file: AX3 or AX6, packed or 16-bit, of 3, 6 or 9 axes.

    Blocks that fail a check are counted in `Recording.quality` and leave a gap.
    A segment ends wherever a block does not continue the one before it: another
    session, a sequence number that is not the next, another format, rate or scale,
    or a clock that disagrees with the nominal rate. Segments keep the file's order.
    Times are on the device's clock, which is the local time of the computer that
    configured it.

    Args:
      source: A path (local or in a bucket, `.gz` and `.zip` too) or the bytes of a
        file.
      name: What to call the source in `Recording.source` and in messages; the path
        unless given.
      options: Channels kept on request: `"gyro"` (dps, per sample), `"magnetometer"`
        (raw counts, per sample), `"light"` (raw converter counts, per block) and
        `"battery"` (V, per block).

    Raises:
      FormatError: If this is not a CWA file or it ends inside its header.
      FileNotFoundError: If there is no such file.
    """
    source = Source(source, name)
    with source.open() as stream:
        return _read(stream, source.name, options)


def _read(stream: Stream, name: str, options: ReadOptions) -> Recording:
    header = _read_header(stream.read(layout.HEADER_BYTES), name)
    quality = dict.fromkeys(["blocks", "bad_blocks", "bad_header", "samples"], 0)
    quality |= {f"bad_{reason}": 0 for reason in (*REASONS, "repeated", "truncated")}
    quality |= {f"breaks_{reason}": 0 for reason in _BREAKS}
    quality["bad_header"] = int(not header.intact)
    # The header's length field may announce more than 1024 bytes.
    stream.read(header.data_offset - layout.HEADER_BYTES)

    wide = bool({"gyro", "magnetometer"} & set(options.channels))
    expected = None
    if stream.size is not None:
        blocks = max(stream.size - header.data_offset, 0) // layout.BLOCK_BYTES
        expected = blocks * layout.PACKED_SAMPLES
    samples = Samples(expected)
    # Gyroscope and magnetometer: as wide as they come, only if asked for.
    others = Samples(expected, columns=6) if wide else None
    meta = decode_blocks(stream, samples, others, quality)
    if not header.intact and not len(meta):
        raise FormatError(
            f"{name}: not a CWA file: its header is damaged (expected b'MD' and length "
            f"{layout.HEADER_LENGTH}) and none of {quality['blocks']} data blocks is "
            "valid; read it with the reader of the device that wrote it"
        )
    if stream.damaged:
        quality["bad_compression"] = 1
    quality["samples"] = samples.filled
    clock = _clock(meta)
    extra = _Extra(
        meta=meta,
        values=others.array if others is not None else None,
        wanted=options.channels,
    )
    segments = _segments(samples.array, meta, clock, quality, extra)
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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Extra:
    """What is kept beside acceleration.

    Attributes:
      meta: Header fields of the good blocks `[k]`.
      values: Int16 `[s, 6]` gyroscope and magnetometer of all samples, or None.
      wanted: Names of channels.
    """

    meta: np.ndarray
    values: np.ndarray | None
    wanted: Sequence[str]

    def of(self, start: int, stop: int, low: int, high: int) -> dict[str, Channel]:
        """Channels of a segment: blocks `[start, stop)`, samples `[low, high)`."""
        meta, found = self.meta[start:stop], {}
        count = meta["count"].astype(np.int64)
        middle = np.cumsum(count) - (count + 1) / 2.0
        axes = meta["axes_bps"][0] >> 4
        if "gyro" in self.wanted and axes >= 6 and self.values is not None:
            code = (meta["light_scale"] >> 10) & 7
            # Code 0: +-2000 degrees per second, as devices that write no code have.
            dps = np.where(code == 0, 2000.0, 8000.0 / 2.0**code) / 32768.0
            scale = np.repeat(dps, count).astype(np.float32)[:, None]
            found["gyro"] = Channel(
                values=self.values[low:high, :3] * scale, unit="dps"
            )
        if "magnetometer" in self.wanted and axes == 9 and self.values is not None:
            found["magnetometer"] = Channel(
                values=self.values[low:high, 3:], unit="adc"
            )
        if "light" in self.wanted:
            raw = (meta["light_scale"] & 1023).astype(np.float32)
            found["light"] = Channel(values=raw, unit="adc", index=middle)
        if "battery" in self.wanted:
            # The firmware stores its 10-bit reading less 512. The specification speaks
            # of half of that, which would be 5 V and more from a 4.2 V battery.
            volts = (meta["battery"] + 512.0) * (6.0 / 1024.0)
            volts = volts.astype(np.float32)
            found["battery"] = Channel(values=volts, unit="V", index=middle)
        return found


def _guess_device(meta: np.ndarray) -> str:
    """The model when the header does not tell: AX6 is what stores six axes."""
    if not len(meta):
        return ""
    return "AX6" if (meta["axes_bps"] >> 4 > 3).any() else "AX3"


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
        # The device numbers its blocks from 0 again when it is plugged in.
        "restart": np.diff(meta["sequence"].astype(np.int64)) < 0,
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
    counts: np.ndarray,
    meta: np.ndarray,
    clock: _Clock,
    quality: dict[str, int],
    extra: _Extra,
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
                channels=extra.of(start, stop, low, high),
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
