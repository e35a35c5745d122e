"""Hostile bytes for the CWA reader, and hostile recordings for preparation.

Whatever a file holds, the reader returns a recording or says why it is none, counts
every block that it leaves out, and takes memory by the file's size. What it returns,
preparation turns into a recording with a status.

`SIGJAX_FUZZ_EXAMPLES=5000 python -m pytest tests/data/cwa_fuzz_test.py` tries that
many new files each time; without it the same few are tried every time.
"""

import dataclasses
import datetime
import functools
import gzip
import math
import os
import pathlib
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import hypothesis
import numpy as np
from hypothesis import strategies as st

from sigjax.data.formats import ReadOptions, read_cwa, read_recording
from sigjax.data.formats import cwa_layout as layout
from sigjax.data.recording import FormatError, Recording
from sigjax.data.synthetic import CwaDevice, Interruption, write_cwa
from sigjax.data.wearable import prepare

_EXAMPLES = int(os.environ.get("SIGJAX_FUZZ_EXAMPLES", "0"))
_T = TypeVar("_T")
_BLOCKS = 14  # in the files that attacks begin with


def _fuzz(share: float = 1.0):
    """How many files to try, and how long one may take before it counts as hanging."""
    return hypothesis.settings(
        max_examples=_EXAMPLES or int(100 * share),
        derandomize=not _EXAMPLES,
        database=None,
        deadline=datetime.timedelta(seconds=20),
        suppress_health_check=list(hypothesis.HealthCheck),
    )


_CONFIGS = {
    name: dataclasses.replace(
        prepare.PRESETS[name], min_wear_h=0.0, on_calibration_failure="keep"
    )
    for name in ("paper", "actipy")
}


# ------------------------------------------------------------------- the attacks


@functools.cache
def _sound(kind: str) -> bytes:
    """A file without fault, with a restart in its middle."""
    devices = {
        "ax3": {},
        "ax3_wide": {"packed": False},
        "ax3_whole_seconds": {"fractional": False},
        "ax6": {"model": "AX6", "packed": False, "axes": 6},
        "nine": {"model": "AX6", "packed": False, "axes": 9, "range_g": 2},
        "slow": {"nominal_rate_hz": 12.5, "rate_hz": 12.4},
    }
    device = CwaDevice(**({"start": 1.7e9 + 0.3, "rate_hz": 98.6} | devices[kind]))
    samples = _BLOCKS * device.samples_per_block
    rng = np.random.default_rng(0)
    values = np.repeat(rng.uniform(-1, 1, (samples // 40 + 1, 3)), 40, axis=0)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.cwa"
        stop = Interruption(block=_BLOCKS // 2)
        write_cwa(path, [values[:samples]], device, interruptions=[stop])
        return path.read_bytes()


_KINDS = ("ax3", "ax3_wide", "ax3_whole_seconds", "ax6", "nine", "slow")
_FIELDS = [
    name for name in layout.BLOCK.names or () if name not in ("payload", "checksum")
]
_EDGES = [0, 1, 2, 127, 128, 255, 256, 508, 1020, 0x7FFF, 0x8000, 0xFFFF, 2**31, 2**32]


_ATTACKS = ("field", "bit", "random", "noise", "splice")
_ATTACKS += ("swap", "copy", "repeat", "drop")


@st.composite
def _attacks(draw, size: int):
    """One change to a list of blocks; `size` is only a guess at how many there are."""
    kind = draw(st.sampled_from(_ATTACKS))
    places = st.integers(0, size - 1)
    return (
        kind,
        draw(places),
        draw(places),
        draw(st.sampled_from(_FIELDS)),
        draw(st.one_of(st.sampled_from(_EDGES), st.integers(0, 2**32 - 1))),
        # Behind a checksum that is right, the other checks stand alone.
        draw(st.sampled_from([True, True, True, False])),
        draw(st.sampled_from(_KINDS)),
    )


def _with_checksum(block: bytes) -> bytes:
    if len(block) < 512:
        return block
    words = np.frombuffer(block[:510], "<u2")
    return block[:510] + struct.pack("<H", -int(words.sum(dtype=np.int64)) % 65536)


def _set(block: bytes, field: str, value: int) -> bytes:
    changed = bytearray(block)
    dtype, offset = layout.BLOCK.fields[field][:2]
    raw = (value % 2**64).to_bytes(8, "little")[: dtype.itemsize]
    changed[offset : offset + dtype.itemsize] = raw
    return bytes(changed)


def _attack(blocks: list[bytes], attack) -> None:
    kind, a, b, field, value, mend, other = attack
    if not any(blocks):
        return
    a, b = a % len(blocks), b % len(blocks)
    changed = blocks[a]
    if kind == "field":
        changed = _set(changed, field, value)
    elif kind == "bit":
        flipped = bytearray(changed)
        flipped[value % len(flipped)] ^= 1 << (value >> 16) % 8
        changed = bytes(flipped)
    elif kind == "random":
        changed = b"AX" + struct.pack("<H", 508)
        changed += np.random.default_rng(value).bytes(508)
    elif kind == "splice":
        body = _sound(other)[layout.HEADER_BYTES :]
        low = b % _BLOCKS * 512
        blocks.insert(a, body[low : low + 512])
        return
    elif kind == "swap":
        blocks[a], blocks[b] = blocks[b], blocks[a]
        return
    elif kind in ("copy", "repeat"):
        blocks.insert(a if kind == "repeat" else b, changed)
        return
    elif kind == "drop":
        del blocks[a]
        return
    elif kind == "noise":
        blocks.insert(a, np.random.default_rng(value).bytes(1 + value % 700))
        return
    blocks[a] = _with_checksum(changed) if mend else changed


@st.composite
def _attacked(draw) -> bytes:
    """A file without fault after some attacks, perhaps cut off anywhere."""
    raw = _sound(draw(st.sampled_from(_KINDS)))
    header = bytearray(raw[: layout.HEADER_BYTES])
    for place, value in draw(
        st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=3)
    ):
        header[place] = value
    body = raw[layout.HEADER_BYTES :]
    blocks = [body[low : low + 512] for low in range(0, len(body), 512)]
    if draw(st.booleans()):
        order = draw(st.permutations(range(len(blocks))))
        blocks = [blocks[place] for place in order]
    for attack in draw(st.lists(_attacks(_BLOCKS), max_size=12)):
        _attack(blocks, attack)
    whole = bytes(header) + b"".join(blocks)
    if draw(st.booleans()):
        whole = whole[: draw(st.integers(0, len(whole)))]
    return whole


# ---------------------------------------------------------------- what must hold


def _traced(work: Callable[[], _T], limit: int) -> _T:
    """Does `work`, which may take `limit` bytes at once."""
    # Once more where it took too much: loading compiled loops takes memory as well,
    # but only the first time.
    for repeat in range(3):
        tracemalloc.start()
        try:
            result = work()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak <= limit:
            return result
        assert repeat < 2, f"{peak:,} bytes taken where {limit:,} should do"
    raise AssertionError("not reached")


def _good_samples(raw: bytes) -> list[int]:
    """Samples of each good block, by the specification, a block at a time."""
    found, last = [], b""
    body = raw[layout.HEADER_BYTES :]
    for low in range(0, len(body) - 511, 512):
        block = body[low : low + 512]
        magic, length, *_, stamp = struct.unpack("<2sHHIII", block[:18])
        rate, axes, offset, count = struct.unpack("<BBhH", block[24:30])
        sound = magic == b"AX" and length == 508
        sound &= rate == 0 or int(np.frombuffer(block, "<u2").sum()) % 65536 == 0
        capacity = {0x30: 120, 0x32: 80, 0x62: 40, 0x92: 26}.get(axes, 0)
        sound &= rate & 15 >= 6 or (rate == 0 and offset > 0)
        if sound and 1 <= count <= capacity and _is_date(stamp) and block != last:
            found.append(count)
            last = block
    return found


def _is_date(stamp: int) -> bool:
    try:
        datetime.datetime(
            2000 + (stamp >> 26),
            stamp >> 22 & 15,
            stamp >> 17 & 31,
            stamp >> 12 & 31,
            stamp >> 6 & 63,
            stamp & 63,
        )
    except ValueError:
        return False
    return True


def _is_sound(recording: Recording) -> None:
    """What holds for every recording that the reader returns."""
    quality = recording.quality
    not_blocks = ("bad_blocks", "bad_header", "bad_compression")
    reasons = [k for k in quality if k.startswith("bad_") and k not in not_blocks]
    assert quality["bad_blocks"] == sum(quality[k] for k in reasons)
    breaks = sum(n for k, n in quality.items() if k.startswith("breaks_"))
    assert breaks == max(len(recording.segments) - 1, 0)
    assert quality["samples"] == sum(len(s.counts) for s in recording.segments)
    assert math.isfinite(recording.nominal_rate_hz)
    for segment in recording.segments:
        assert segment.counts.dtype == np.int16
        assert len(segment.counts) > 0
        assert math.isfinite(segment.rate_hz) and segment.rate_hz > 0
        time = segment.time_at(np.arange(-1.0, len(segment.counts) + 1))
        assert np.isfinite(time).all() and (np.diff(time) >= 0).all()
        assert time[-1] > time[0]
        assert np.isfinite(segment.acceleration).all()
        assert np.isfinite(segment.temperature_c).all()
        for channel in segment.channels.values():
            assert np.isfinite(channel.values).all()
            places = segment.counts if channel.index is None else channel.index
            assert len(channel.values) == len(places)


def _read(source: bytes | pathlib.Path, size: int) -> Recording | None:
    """Reads and checks; None where the reader refused. `size`: bytes once unpacked."""
    channels = ("gyro", "magnetometer", "light", "battery")
    read = read_cwa if isinstance(source, bytes) else read_recording
    # Counts are at most 720 bytes of a block's 512, gyroscope and magnetometer twice
    # that, in dps twice again. The constant: what decompression and code itself take.
    limit = 12 * size + (1 << 20)
    options = ReadOptions(channels=channels)
    try:
        recording = _traced(lambda: read(source, options=options), limit)
    except FormatError as error:
        assert len(str(error)) > 20
        return None
    _is_sound(recording)
    return recording


def _check_against_specification(recording: Recording | None, raw: bytes) -> None:
    good = _good_samples(raw)
    if recording is None:
        assert not good
        return
    quality = recording.quality
    assert quality["blocks"] == math.ceil((len(raw) - layout.HEADER_BYTES) / 512)
    assert quality["blocks"] - quality["bad_blocks"] == len(good)
    assert quality["samples"] == sum(good)


@_fuzz()
@hypothesis.given(st.binary(max_size=4_096))
def test_random_bytes(raw):
    _check_against_specification(_read(raw, len(raw)), raw)


@_fuzz(0.5)
@hypothesis.given(st.binary(max_size=600), st.integers(0, 2**32 - 1), st.booleans())
def test_random_blocks_behind_a_sound_header(tail, seed, mend):
    body = bytearray(np.random.default_rng(seed).bytes(512 * 6))
    for low in range(0, len(body), 512):
        body[low : low + 4] = b"AX\xfc\x01"
        if mend:
            body[low : low + 512] = _with_checksum(bytes(body[low : low + 512]))
    raw = _sound("ax3")[: layout.HEADER_BYTES] + bytes(body) + tail
    _check_against_specification(_read(raw, len(raw)), raw)


@_fuzz(2)
@hypothesis.given(_attacked())
def test_attacked_files(raw):
    _check_against_specification(_read(raw, len(raw)), raw)


def test_truncation_at_every_byte_of_a_block():
    raw = _sound("ax6")
    for end in range(len(raw) - 1_100, len(raw), 37):
        _check_against_specification(_read(raw[:end], end), raw[:end])
    for end in range(0, 1_100, 37):
        _check_against_specification(_read(raw[:end], end), raw[:end])


@_fuzz(0.1)
@hypothesis.given(st.lists(_attacked(), min_size=1, max_size=4), st.integers(0, 512))
def test_memory_follows_the_size_of_long_files(raws, cut):
    """The same in a file so long that nothing constant hides what each block takes."""
    bodies = [raw[layout.HEADER_BYTES :] for raw in raws]
    body = b"".join(b[: len(b) // 512 * 512] for b in bodies)
    if not body:
        return
    header = _sound("ax3")[: layout.HEADER_BYTES]
    raw = header + body * ((1 << 19) // len(body)) + body[:cut]
    _check_against_specification(_read(raw, len(raw)), raw)


@_fuzz(0.5)
@hypothesis.given(
    _attacked(),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3),
    st.floats(0.5, 1.5),
)
def test_packed_files(raw, flips, kept):
    packed = bytearray(gzip.compress(raw, compresslevel=1))
    for place, mask in flips:
        packed[min(int(place * len(packed)), len(packed) - 1)] ^= mask
    damaged = bool(flips) or kept < 1
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.cwa.gz"
        path.write_bytes(packed[: math.ceil(kept * len(packed))])
        recording = _read(path, 2 * len(raw) + (1 << 22))
    if not damaged:
        _check_against_specification(recording, raw)


@_fuzz(1)
@hypothesis.given(_attacked(), st.sampled_from(sorted(_CONFIGS)))
def test_attacked_files_are_prepared(raw, preset):
    try:
        recording = read_cwa(raw)
    except FormatError:
        return
    # Whatever years lie between its blocks.
    prepared = _traced(
        lambda: prepare.prepare_recording(
            recording, _CONFIGS[preset], name="a", person="a"
        ),
        64 << 20,
    )
    quality = prepared.quality
    assert quality["status"] == "used" or quality["status"].startswith("dropped: ")
    assert bool(prepared.segments) == (quality["status"] == "used")
    for segment in prepared.segments:
        assert np.isfinite(segment.acceleration).all() and math.isfinite(segment.start)
    hours = quality["hours"]
    parts = ("used", "nonwear", "too_short", "dropped")
    assert math.isclose(hours["recorded"], sum(hours[part] for part in parts))
    total = sum(len(s.acceleration) for s in prepared.segments) / prepared.rate_hz
    assert math.isclose(hours["used"] * 3600, total, abs_tol=1e-6)
