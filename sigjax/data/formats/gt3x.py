"""Reads the `.gt3x` files of ActiGraph loggers.

A `.gt3x` file is a zip archive. `info.txt` describes the device; the samples lie in
`log.bin`, one record per second with its time and a checksum, or, from devices with
firmware up to 2.5.0 (NHANES 2011-2014), in `activity.bin`, without either.
"""

import dataclasses
import math
import zlib
from collections.abc import Sequence

import numpy as np
from etils import epath

from sigjax.data.formats import gt3x_layout as layout
from sigjax.data.formats.blocks import Samples, Stretch, Timeline, cut
from sigjax.data.formats.gt3x_archive import Archive
from sigjax.data.formats.gt3x_records import REASONS, Records, read_records
from sigjax.data.formats.options import DEFAULT, ReadOptions
from sigjax.data.formats.source import Source
from sigjax.data.recording import Channel, FormatError, Recording, Segment

_EARLIEST = 946_684_800  # 2000-01-01
# Sleep begins and ends within whole seconds; its event may come a little late.
_SLEEP_SLACK_S = 5
_PASS_BYTES = 9 << 16  # nine bytes are two samples


def recognises(source: Source) -> bool:
    """Whether a file is called like a `.gt3x` file."""
    return source.kind.endswith(".gt3x")


def read_gt3x(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one ActiGraph `.gt3x` file, of old or new firmware.

    Axes come in the order x y z. A record's time is that of its first sample, known to
    the second; records whose checksum fails are counted in `Recording.quality` and
    leave a gap. A device in idle sleep mode writes nothing, which leaves a gap, too
    (`breaks_idle_sleep`); other tools fill it with the last sample or with zeros.
    `breaks_clock` counts every other place where a record does not start when the one
    before it ends.

    Times are on the clock of the computer that configured the device (`TimeZone` in
    `info.txt` is its offset), or in UTC where the file says so.

    Args:
      source: A path (local or in a bucket, `.gz` and `.zip` too) or the bytes of a
        file.
      name: What to call the source in `Recording.source` and in messages; the path
        unless given.
      options: Channels kept on request: `"light"` (lux) and `"battery"` (V; not in old
        firmware's files), each at the device's own times.

    Raises:
      FormatError: If this is no such archive or it does not tell the sampling rate,
        the scale or (old firmware) the start.
      FileNotFoundError: If there is no such file.
    """
    source = Source(source, name)
    with source.open_seekable() as raw:
        archive = Archive(raw, source.name)
        info = layout.parse_info(archive.read("info.txt"), source.name)
        if archive.has("log.bin"):
            return _read_log(archive, info, options)
        return _read_activity(archive, info, options)


# ------------------------------------------------------------------- new firmware


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """Values between the samples: times `[m]` and float32 values `[m]`."""

    time: np.ndarray
    value: np.ndarray
    unit: str


class _Log:
    """Collects what the records of `log.bin` hold."""

    def __init__(self, expected: int):
        self.samples = Samples(expected)
        self.time: list[np.ndarray] = []
        self.count: list[np.ndarray] = []
        self.sleep: list[int] = []
        self.utc = False
        self.counts_per_g = math.nan
        self._side: dict[int, list[np.ndarray]] = {layout.LUX: [], layout.BATTERY: []}

    def add(self, records: Records, quality: dict[str, int]) -> None:
        """Takes the records of one pass."""
        for kind in self._side:
            same = (records.kind == kind) & (records.size == 2)
            values = records.payloads(records.offset[same], 2).view("<u2")
            self._side[kind].append(np.column_stack([records.time[same], values]))
        for index in np.flatnonzero(records.kind == layout.EVENT).tolist():
            if records.payload(index) == layout.SLEEP:
                self.sleep.append(int(records.time[index]))
        for index in np.flatnonzero(records.kind == layout.PARAMETERS).tolist():
            scale = layout.counts_per_g(records.payload(index))
            self.counts_per_g = self.counts_per_g if math.isnan(scale) else scale
        for index in np.flatnonzero(records.kind == layout.METADATA).tolist():
            self.utc = self.utc or layout.uses_utc(records.payload(index))
        self._add_activity(records, quality)

    def _add_activity(self, records: Records, quality: dict[str, int]) -> None:
        activity = np.isin(records.kind, (layout.ACTIVITY, layout.ACTIVITY2))
        # One byte: the device was plugged in. None: it slept.
        index = np.flatnonzero(activity & (records.size > 1))
        count = _samples(records.kind[index], records.size[index])
        good = count > 0
        _count_bad(quality, "size", int((~good).sum()))
        old = good & (records.time[index] < _EARLIEST)
        _count_bad(quality, "date", int(old.sum()))
        index, count = index[good & ~old], count[good & ~old]
        # Runs of one type and size; all but one record of a recording, usually.
        key = records.kind[index].astype(np.int64) << 32 | records.size[index]
        edges = (np.flatnonzero(np.diff(key)) + 1).tolist()
        for start, stop in zip([0, *edges], [*edges, len(index)], strict=True):
            if stop > start:
                self._decode(records, index[start:stop], int(count[start]), quality)

    def _decode(
        self, records: Records, index: np.ndarray, count: int, quality: dict[str, int]
    ) -> None:
        size = int(records.size[index[0]])
        raw = records.payloads(records.offset[index], size)
        # No sensor reads zero on all axes for a second: what a sleeping device writes.
        alive = raw.any(axis=1)
        if not alive.all():
            _count_bad(quality, "empty", int((~alive).sum()))
            raw, index = raw[alive], index[alive]
        quality["blocks"] += len(index)
        self.time.append(records.time[index])
        self.count.append(np.full(len(index), count))
        out = self.samples.append(len(index) * count).reshape(len(index), count, 3)
        if len(index) and records.kind[index[0]] == layout.ACTIVITY2:
            out[...] = np.ascontiguousarray(raw).view("<i2").reshape(out.shape)
        else:
            layout.unpack(raw, out)

    def side(self, kind: int, unit: str, scale: float) -> _Side:
        """Light or battery."""
        time, value = np.concatenate([np.zeros((0, 2), np.int64), *self._side[kind]]).T
        return _Side(time=time, value=(value * scale).astype(np.float32), unit=unit)


def _samples(kind: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Samples in records `[k]`; -1 where the size does not fit."""
    # An odd number of 12-bit samples leaves the last four bits unused.
    packed, rest = np.divmod(2 * size, 9)
    packed = np.where(rest <= 1, packed, -1)
    wide = np.where(size % 6 == 0, size // 6, -1)
    return np.where(kind == layout.ACTIVITY, packed, wide)


def _count_bad(quality: dict[str, int], reason: str, count: int) -> None:
    for key in (f"bad_{reason}", "bad_blocks", "blocks"):
        quality[key] += count


def _read_log(archive: Archive, info: layout.Info, options: ReadOptions) -> Recording:
    quality = dict.fromkeys(["blocks", "bad_blocks", "samples"], 0)
    quality |= {f"bad_{reason}": 0 for reason in (*REASONS, "size", "date", "empty")}
    quality |= {"breaks_idle_sleep": 0, "breaks_clock": 0}
    log = _Log(expected=archive.size("log.bin") * 2 // 9)
    with archive.open("log.bin") as stream:
        start = 0 if math.isnan(info.start) else int(info.start)
        for records in read_records(stream, start, quality):
            log.add(records, quality)
        if stream.damaged:
            quality["bad_compression"] = 1
    quality["samples"] = log.samples.filled
    scale = info.counts_per_g if math.isnan(log.counts_per_g) else log.counts_per_g
    if math.isnan(scale):
        raise FormatError(
            f"{archive.name}: neither info.txt nor log.bin tells the scale, and "
            f"{info.serial!r} is no known kind of serial number"
        )
    if info.rotated:
        layout.unrotate(log.samples.array)
    time = np.concatenate([np.zeros(0), *log.time]).astype(np.float64)
    timeline = Timeline(
        time=time,
        count=np.concatenate([np.zeros(0, np.int64), *log.count]),
        rate_hz=np.full(len(time), info.rate_hz),
    )
    broken = timeline.off_the_clock
    breaks = {"idle_sleep": broken & _asleep(time, log.sleep), "clock": broken}
    sides = {
        "light": log.side(layout.LUX, "lux", 1.0),
        "battery": log.side(layout.BATTERY, "V", 1e-3),
    }
    segments = []
    for stretch in cut(timeline, breaks, quality):
        channels = {
            name: _channel(sides[name], stretch)
            for name in options.channels
            if name in sides
        }
        counts = log.samples.array[stretch.low : stretch.high]
        segments.append(_segment(stretch, counts, scale, channels))
    return _recording(archive, info, segments, quality, utc=log.utc)


def _asleep(time: np.ndarray, sleep: Sequence[int]) -> np.ndarray:
    """Whether the device went to sleep between blocks `[:-1]` and `[1:]`."""
    events = np.sort(np.array(sleep, np.float64))
    before = np.searchsorted(events, time[:-1] - _SLEEP_SLACK_S, side="left")
    after = np.searchsorted(events, time[1:], side="right")
    return after > before


def _channel(side: _Side, stretch: Stretch) -> Channel:
    """The values within a stretch, at the sample positions of their times."""
    time = stretch.anchor_time
    inside = (side.time >= time[0]) & (side.time <= time[-1])
    moments = side.time[inside].astype(np.float64)
    index = np.interp(moments, time, stretch.anchor_index)
    order = np.argsort(index, kind="stable")
    return Channel(values=side.value[inside][order], unit=side.unit, index=index[order])


def _segment(
    stretch: Stretch, counts: np.ndarray, scale: float, channels: dict[str, Channel]
) -> Segment:
    return Segment(
        counts=counts,
        scale=1.0 / scale,
        anchor_index=stretch.anchor_index,
        anchor_time=stretch.anchor_time,
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
        channels=channels,
    )


def _recording(
    archive: Archive,
    info: layout.Info,
    segments: Sequence[Segment],
    quality: dict[str, int],
    *,
    utc: bool,
) -> Recording:
    return Recording(
        source=archive.name,
        device=info.device,
        device_id=info.serial,
        nominal_rate_hz=info.rate_hz,
        segments=tuple(segments),
        quality=quality,
        metadata=dict(info.metadata) | ({"clock": "utc"} if utc else {}),
        utc_offset_s=0.0 if utc else info.utc_offset_s,
    )


# ------------------------------------------------------------------- old firmware


def _read_activity(
    archive: Archive, info: layout.Info, options: ReadOptions
) -> Recording:
    """Reads samples that have no clock but the start and the rate."""
    if math.isnan(info.start) or math.isnan(info.counts_per_g):
        raise FormatError(
            f"{archive.name}: info.txt names no start, or {info.serial!r} is no known "
            "kind of serial number; download the recording again"
        )
    reasons = ("bad_truncated", "bad_empty", "breaks_idle_sleep")
    quality = dict.fromkeys(["blocks", "bad_blocks", "samples", *reasons], 0)
    counts = _unpack_activity(archive, quality)
    awake = _awake(counts, int(info.rate_hz))
    quality["samples"] = sum(high - low for low, high in awake)
    empty = len(counts) - quality["samples"]
    quality["blocks"] += len(counts)
    quality["bad_empty"] = empty
    quality["bad_blocks"] += empty
    quality["breaks_idle_sleep"] = max(len(awake) - 1, 0)
    light = None
    if "light" in options.channels and archive.has("lux.bin"):
        with archive.open("lux.bin") as stream:
            lux = layout.old_lux(stream.read(2 * len(counts)), info.serial)
        light = _Side(
            time=info.start + np.arange(len(lux), dtype=np.float64),
            value=lux,
            unit="lux",
        )
    segments = []
    for low, high in awake:
        index = np.array([0.0, high - low])
        stretch = Stretch(
            start=0,
            stop=1,
            low=low,
            high=high,
            anchor_index=index,
            anchor_time=info.start + (low + index) / info.rate_hz,
        )
        channels = {} if light is None else {"light": _channel(light, stretch)}
        segments.append(
            _segment(stretch, counts[low:high], info.counts_per_g, channels)
        )
    return _recording(archive, info, segments, quality, utc=False)


def _awake(counts: np.ndarray, second: int) -> list[tuple[int, int]]:
    """Stretches without a second of zeros, which a sleeping device writes.

    Zeros at the end may be fewer: they fill the last page of the device's memory.
    """
    zero = ~counts.any(axis=1)
    edges = np.flatnonzero(np.diff(zero, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    asleep = (stops - starts >= second) | (stops == len(counts))
    lows = [0, *stops[asleep].tolist()]
    highs = [*starts[asleep].tolist(), len(counts)]
    return [(a, b) for a, b in zip(lows, highs, strict=True) if b > a]


def _unpack_activity(archive: Archive, quality: dict[str, int]) -> np.ndarray:
    checksum, tail = 0, b""
    with archive.open("activity.bin") as stream:
        samples = Samples(archive.size("activity.bin") * 2 // 9)
        while raw := stream.read(_PASS_BYTES):
            checksum = zlib.crc32(raw, checksum)
            count = 2 * len(raw) // 9
            packed = np.frombuffer(raw, np.uint8)[None]
            layout.unpack(packed, samples.append(count)[None])
            tail = raw[(9 * count + 1) // 2 :]
        if stream.damaged or checksum != archive.checksum("activity.bin"):
            quality["bad_compression"] = 1
    if any(tail):
        _count_bad(quality, "truncated", 1)
    return samples.array
