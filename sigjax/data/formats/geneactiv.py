"""Reads the `.bin` files of GENEActiv loggers (Activinsights).

The file is text: pages of 300 samples in hexadecimal digits. It is read in passes of
a few megabytes, of which only the decoded samples and a handful of numbers per page
are kept.
"""

import binascii
import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from etils import epath

from sigjax.data.formats import geneactiv_layout as layout
from sigjax.data.formats.blocks import Samples, Stretch, Timeline, cut
from sigjax.data.formats.options import DEFAULT, ReadOptions
from sigjax.data.formats.source import Source, Stream
from sigjax.data.recording import Channel, FormatError, Recording, Segment

_PASS_BYTES = 1 << 20
_HEADER_LIMIT = 1 << 16  # real headers have 2 kB
_PAGE_LIMIT = 1 << 13  # real pages have 3.8 kB
_OVERLAP = len(layout.MARKER) - 1  # a pass may end within a marker
_SAMPLE_BYTES = 6
_PAYLOAD_BYTES = layout.PAGE_SAMPLES * _SAMPLE_BYTES
_EMPTY = bytes(_PAYLOAD_BYTES)

# A page fails for the first of these reasons that applies; the last two are pages of
# which no beginning or no end is there.
_REASONS = ("fields", "payload", "date", "empty", "marker", "truncated")
_SHORT = ("fields", "payload")
_BREAKS = ("sequence", "rate", "clock")


def recognises(source: Source) -> bool:
    """Whether a `.bin` begins like a GENEActiv header."""
    return source.kind.endswith(".bin") and (
        b"Device Identity" in source.head or b"GENEActiv" in source.head
    )


def read_geneactiv(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one GENEActiv `.bin` file.

    Samples stay 12-bit counts; `Segment.scale` and `Segment.offset_g` apply the
    calibration of the header: `(100 * count - offset) / gain` g. A page's time is that
    of its first sample. Pages that fail a check are counted in `Recording.quality` and
    leave a gap. A segment ends wherever a page does not continue the one before it:
    a sequence number that is not the next, another rate, or a clock that disagrees with
    the rate.

    Args:
      source: A path (local or in a bucket, `.gz` and `.zip` too) or the bytes of a
        file.
      name: What to call the source in `Recording.source` and in messages; the path
        unless given.
      options: Channels kept on request: `"light"` (lux, per sample), `"button"` (1
        while pressed, per sample) and `"battery"` (V, per page).

    Raises:
      FormatError: If this is not a GENEActiv file or its header lacks the calibration.
      FileNotFoundError: If there is no such file.
    """
    source = Source(source, name)
    with source.open() as stream:
        return _read(stream, source.name, options)


def _read(stream: Stream, name: str, options: ReadOptions) -> Recording:
    quality = dict.fromkeys(["blocks", "bad_blocks", "samples"], 0)
    quality |= {f"bad_{reason}": 0 for reason in _REASONS}
    quality |= {f"breaks_{reason}": 0 for reason in _BREAKS}
    begin, rest = _split_header(stream, name)
    header = layout.parse_header(begin, name)
    _count_strays(begin, quality)

    expected = None
    if stream.size is not None:
        expected = stream.size // layout.PAGE_DIGITS * layout.PAGE_SAMPLES
    counts = Samples(expected)
    wide = bool({"light", "button"} & set(options.channels))
    others = Samples(expected, columns=1, dtype=np.uint16) if wide else None
    pages = _decode(stream, rest, counts, others, quality)
    if stream.damaged:
        quality["bad_compression"] = 1
    quality["samples"] = counts.filled
    timeline = Timeline(
        time=pages.time,
        count=np.full(len(pages.time), layout.PAGE_SAMPLES),
        rate_hz=pages.rate_hz,
    )
    breaks = {
        "sequence": np.diff(pages.sequence) != 1,
        "rate": np.diff(pages.rate_hz) != 0,
        "clock": timeline.off_the_clock,
    }
    nominal = header.rate_hz
    if math.isnan(nominal) and len(pages.time):
        nominal = float(pages.rate_hz[0])
    if math.isnan(nominal):
        raise FormatError(
            f"{name}: no measurement frequency in the header, and no page is valid; "
            "copy the file from the device again"
        )
    values = others.array[:, 0] if others is not None else None
    segments = tuple(
        _segment(stretch, header, pages, counts.array, values, options)
        for stretch in cut(timeline, breaks, quality)
    )
    return Recording(
        source=name,
        device="GENEActiv",
        device_id=header.device_id,
        nominal_rate_hz=nominal,
        segments=segments,
        quality=quality,
        metadata=header.metadata,
        utc_offset_s=header.utc_offset_s,
    )


def _count_bad(quality: dict[str, int], reason: str, count: int = 1) -> None:
    quality[f"bad_{reason}"] += count
    quality["bad_blocks"] += count
    quality["blocks"] += count


def _split_header(stream: Stream, name: str) -> tuple[bytes, bytes]:
    """What stands before the first page, and what else has been read."""
    raw = stream.read(_HEADER_LIMIT)
    if not raw:
        raise FormatError(f"{name}: the file is empty")
    page = raw.find(layout.MARKER)
    # A file that was configured but never recorded has no page.
    return (raw, b"") if page < 0 else (raw[:page], raw[page:])


def _pages(
    stream: Stream, pending: bytes, quality: dict[str, int]
) -> Iterator[tuple[list[bytes], bool]]:
    """Pages in passes, each without its marker, and whether the pass is the last."""
    more = b"-"
    while more:
        more = stream.read(_PASS_BYTES)
        lead, *pages = (pending + more).split(layout.MARKER)
        _count_strays(lead, quality)
        pending = b""
        if more and not pages:
            pending = lead[-_OVERLAP:]
        elif more and len(pages[-1]) > _PAGE_LIMIT:
            pending = pages[-1][-_OVERLAP:]
        elif more:
            # The last page of a pass may go on in the next.
            pending = layout.MARKER + pages.pop()
        yield pages, not more


def _count_strays(text: bytes, quality: dict[str, int], *, known: int = 0) -> None:
    """Counts the pages, besides `known`, in text where none is announced."""
    pages = max(text.count(b"Sequence Number:") - known, 0)
    _count_bad(quality, "marker", pages)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """The good pages, all `[k]`."""

    sequence: np.ndarray
    time: np.ndarray
    rate_hz: np.ndarray
    temperature_c: np.ndarray
    battery_v: np.ndarray


def _decode(
    stream: Stream,
    pending: bytes,
    counts: Samples,
    others: Samples | None,
    quality: dict[str, int],
) -> _Table:
    tables = [np.zeros((0, 5))]
    for pages, last in _pages(stream, pending, quality):
        rows, payloads = [], []
        for number, text in enumerate(pages, start=1):
            found = _decode_page(text, quality)
            if isinstance(found, str):
                # Only the file's last page can be cut off.
                cut_off = last and number == len(pages) and found in _SHORT
                _count_bad(quality, "truncated" if cut_off else found)
                continue
            page, payload = found
            quality["blocks"] += 1
            payloads.append(payload)
            rows.append(
                (
                    page.sequence,
                    page.time,
                    page.rate_hz,
                    page.temperature_c,
                    page.battery_v,
                )
            )
        tables.append(np.array(rows, np.float64).reshape(-1, 5))
        _unpack(b"".join(payloads), counts, others)
    sequence, time, rate, temperature, battery = np.concatenate(tables).T
    return _Table(
        sequence=sequence.astype(np.int64),
        time=time,
        rate_hz=rate,
        temperature_c=temperature.astype(np.float32),
        battery_v=battery.astype(np.float32),
    )


def _decode_page(
    text: bytes, quality: dict[str, int]
) -> tuple[layout.PageHeader, bytes] | str:
    """A page's header and payload, or the reason why it is bad."""
    page = layout.parse_page(text)
    if page is None:
        _count_strays(text, quality, known=1)
        return "fields"
    end = page.length + layout.PAGE_DIGITS
    if len(text) > end + 2:
        # Something stands between this page and the next marker.
        _count_strays(text[end:], quality)
        if not text[end : end + 1].isspace():
            return "payload"
    try:
        payload = binascii.unhexlify(text[page.length : end])
    except ValueError:
        return "payload"
    if len(payload) != _PAYLOAD_BYTES:
        return "payload"
    if math.isnan(page.time):
        return "date"
    # Unused memory: no sensor reads zero on all axes for a page.
    return "empty" if payload == _EMPTY else (page, payload)


def _unpack(payloads: bytes, counts: Samples, others: Samples | None) -> None:
    """Unpacks bytes `xx xy yy zz zl lb` of each sample: 12-bit axes, light, button."""
    raw = np.frombuffer(payloads, np.uint8).reshape(-1, _SAMPLE_BYTES)
    out = counts.append(len(raw))
    wide = raw.astype(np.int16)
    # Twelve bits at the top of an int16, shifted down again, are sign-extended.
    out[:, 0] = (wide[:, 0] << 8 | wide[:, 1]) >> 4
    out[:, 1] = (wide[:, 1] << 12 | wide[:, 2] << 4) >> 4
    out[:, 2] = (wide[:, 3] << 8 | wide[:, 4]) >> 4
    if others is not None:
        others.append(len(raw))[:, 0] = (wide[:, 4] & 15) << 8 | wide[:, 5]


def _segment(
    stretch: Stretch,
    header: layout.Header,
    pages: _Table,
    counts: np.ndarray,
    others: np.ndarray | None,
    options: ReadOptions,
) -> Segment:
    start, stop, low, high = stretch.start, stretch.stop, stretch.low, stretch.high
    first = layout.PAGE_SAMPLES * np.arange(stop - start, dtype=np.float64)
    middle = first + (layout.PAGE_SAMPLES - 1) / 2.0
    channels = {}
    if "light" in options.channels and others is not None:
        known = math.isfinite(header.lux_per_count)
        lux = np.float32(header.lux_per_count if known else 1.0)
        values = (others[low:high] >> 2) * lux
        channels["light"] = Channel(values=values, unit="lux" if known else "adc")
    if "button" in options.channels and others is not None:
        pressed = (others[low:high] >> 1 & 1).astype(np.int16)
        channels["button"] = Channel(values=pressed, unit="pressed")
    if "battery" in options.channels:
        volts = pages.battery_v[start:stop]
        channels["battery"] = Channel(values=volts, unit="V", index=middle)
    return Segment(
        counts=counts[low:high],
        scale=header.scale,
        offset_g=header.offset_g,
        anchor_index=stretch.anchor_index,
        anchor_time=stretch.anchor_time,
        temperature_index=middle,
        temperature_c=pages.temperature_c[start:stop],
        channels=channels,
    )
