"""Real AX3 and AX6 files, sample for sample against what other readers give.

The figures were taken from actipy 3.8.3 (`read_device` with every step off) and from
scikit-digital-health 0.17.18 (gyroscope). Both agree with each other where neither is
known to be wrong; a checksum over all samples stands for them here.
"""

import dataclasses
import gzip
import zlib

import numpy as np
import pytest

from sigjax.data.formats import ReadOptions, read_cwa, read_recording
from sigjax.data.formats import cwa_layout as layout
from sigjax.data.wearable import prepare

_BAD = (0, 13, 14, 142, 143, 144)
_TWIN = "ax3_testfile_corrupt_blocks_0_13_14_142_143_144.cwa"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Golden:
    """What actipy gives for a file.

    Attributes:
      crc: CRC-32 of its float32 [s, 3] in g.
      start_ms: Time of its first sample.
      every: Milliseconds since then of every 2000th sample.
      total_ms: Sum of all samples' milliseconds since then.
    """

    name: str
    samples: int
    crc: int
    count_sum: tuple[int, int, int]
    start_ms: int
    every: tuple[int, ...]
    total_ms: int


_GOLDEN = (
    Golden(
        name="ax3_testfile.cwa",
        samples=17_400,
        crc=229308405,
        count_sum=(3463800, 567664, 1300236),
        start_ms=1551178506000,
        every=(0, 20213, 40446, 60670, 80906, 101136, 121360, 141596, 161826),
        total_ms=1530864891,
    ),
    Golden(
        name=_TWIN,
        samples=16_680,
        crc=254231328,
        count_sum=(3317732, 560348, 1264608),
        start_ms=1551178507210,
        every=(0, 22646, 42876, 63110, 83336, 103566, 123800, 144026, 164256),
        total_ms=1443839512,
    ),
    Golden(
        name="ax6_testfile.cwa",
        samples=11_320,
        crc=2576951742,
        count_sum=(375323, 4888361, 1708711),
        start_ms=1577135046690,
        every=(0, 20190, 40380, 60580, 80770, 100970),
        total_ms=646839137,
    ),
    Golden(
        name="skdh_ax3_sample.cwa",
        samples=58_800,
        crc=550801344,
        count_sum=(-4303908, -13339692, 3020824),
        start_ms=1581498217480,
        every=(0, 10136, 20273, 30405, 40536, 50668, 60795, 70926, 81058, 91190)
        + (101326, 111458, 121594, 131733, 141873, 152009, 162151, 172293, 182435)
        + (192576, 202723, 212864, 223011, 233158, 243304, 253451, 263601, 273750)
        + (283901, 294053),
        total_ms=8761157245,
    ),
    Golden(
        name="skdh_ax6_sample.cwa",
        samples=10_360,
        crc=1461033184,
        count_sum=(6877796, -5523140, 2305934),
        start_ms=1572339786300,
        every=(0, 20310, 40640, 60960, 81290, 101620),
        total_ms=545206201,
    ),
)


@pytest.fixture
def devices(real_data):
    return real_data / "wrist_devices"


def _crc(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def _samples(recording):
    """All counts, accelerations and times of a recording, in file order."""
    parts = recording.segments
    return (
        np.concatenate([s.counts for s in parts]),
        np.concatenate([s.acceleration for s in parts]),
        np.concatenate([s.time_at(np.arange(len(s.counts))) for s in parts]),
    )


@pytest.mark.parametrize("golden", _GOLDEN, ids=[g.name for g in _GOLDEN])
def test_every_sample_equals_actipys_bit_for_bit(devices, golden):
    counts, acceleration, _ = _samples(read_recording(devices / golden.name))
    assert acceleration.shape == (golden.samples, 3)
    assert acceleration.dtype == np.float32
    assert tuple(counts.sum(0, dtype=np.int64)) == golden.count_sum
    assert _crc(acceleration) == golden.crc


@pytest.mark.parametrize("golden", _GOLDEN, ids=[g.name for g in _GOLDEN])
def test_times_agree_with_actipys_within_what_it_rounds_away(devices, golden):
    time = _samples(read_recording(devices / golden.name))[2]
    found = time[::2000] * 1e3 - golden.start_ms
    away = np.abs(found - golden.every)
    # actipy moves anchors to whole samples and truncates to milliseconds; before the
    # first anchor it runs at the nominal rate.
    assert away[0] <= 28
    assert away[1:].max() <= 11
    mean = (time * 1e3 - golden.start_ms).mean() - golden.total_ms / golden.samples
    assert abs(mean) <= 11


@pytest.mark.parametrize(
    ("name", "crc"),
    [("ax6_testfile.cwa", 1840172743), ("skdh_ax6_sample.cwa", 2034223670)],
)
def test_gyroscope_equals_skdhs_bit_for_bit(devices, name, crc):
    recording = read_recording(devices / name, ReadOptions(channels=("gyro",)))
    (segment,) = recording.segments
    gyroscope = segment.channels["gyro"]
    assert gyroscope.unit == "dps"
    assert gyroscope.values.dtype == np.float32
    assert _crc(gyroscope.values) == crc


def test_the_corrupt_twin_loses_its_bad_blocks_and_nothing_else(devices):
    clean_raw = (devices / "ax3_testfile.cwa").read_bytes()
    twin_raw = (devices / _TWIN).read_bytes()
    clean, twin = read_cwa(clean_raw), read_cwa(twin_raw)
    assert twin.quality["blocks"] == clean.quality["blocks"] == 145
    assert twin.quality["bad_blocks"] == len(_BAD)
    assert clean.quality["bad_blocks"] == 0
    # Which ones: replaced one at a time by the clean file's, each is one fewer.
    for block in _BAD:
        low = layout.HEADER_BYTES + block * layout.BLOCK_BYTES
        high = low + layout.BLOCK_BYTES
        healed = read_cwa(twin_raw[:low] + clean_raw[low:high] + twin_raw[high:])
        assert healed.quality["bad_blocks"] == len(_BAD) - 1
    kept = np.delete(np.arange(17_400).reshape(145, 120), _BAD, axis=0).ravel()
    counts, acceleration, time = _samples(twin)
    clean_counts, clean_acceleration, clean_time = _samples(clean)
    np.testing.assert_array_equal(counts, clean_counts[kept])
    np.testing.assert_array_equal(acceleration, clean_acceleration[kept])
    # Anchors in bad blocks are lost with them, so beside these times are
    # interpolated from further away; away from them nothing moves.
    assert np.abs(time - clean_time[kept]).max() < 2e-3
    assert np.median(np.abs(time - clean_time[kept])) == 0


@pytest.mark.parametrize("name", ["ax3_testfile.cwa", "ax6_testfile.cwa"])
def test_packed_files_are_the_same(devices, tmp_path, name):
    raw = (devices / name).read_bytes()
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(raw))
    packed, plain = read_recording(path), read_cwa(raw)
    for ours, theirs in zip(_samples(packed), _samples(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert dict(packed.quality) == dict(plain.quality)


# ---------------------------------------------------- restarts of real recordings


def _later(raw: bytes, seconds: int) -> bytes:
    """The data blocks of a file, taken `seconds` later, as a device writes them."""
    blocks = np.frombuffer(bytearray(raw[layout.HEADER_BYTES :]), layout.BLOCK)
    since, _ = layout.unpack_time(blocks["timestamp"])
    blocks["timestamp"] = layout.pack_time(since + seconds)
    words = blocks.view("<u2").reshape(len(blocks), -1)
    words[:, -1] = 0
    words[:, -1] = -words.sum(1, dtype=np.uint16)
    return blocks.tobytes()


@pytest.mark.parametrize("name", ["ax3_testfile.cwa", "ax6_testfile.cwa"])
@pytest.mark.parametrize("pause_s", [3, 600, 86_400 * 3])
def test_a_device_that_starts_again_gives_two_segments_and_the_gap(
    devices, name, pause_s
):
    raw = (devices / name).read_bytes()
    (whole,) = read_cwa(raw).segments
    shift = int(np.ceil(whole.end - whole.start)) + pause_s
    recording = read_cwa(raw + _later(raw, shift))
    first, second = recording.segments
    assert recording.quality["bad_blocks"] == 0
    assert recording.quality["breaks_restart"] == 1
    for segment in (first, second):
        np.testing.assert_array_equal(segment.counts, whole.counts)
        np.testing.assert_array_equal(segment.anchor_index, whole.anchor_index)
    np.testing.assert_array_equal(first.anchor_time, whole.anchor_time)
    np.testing.assert_array_equal(second.anchor_time, whole.anchor_time + shift)
    gap = second.start - first.end
    assert gap == pytest.approx(shift - (whole.end - whole.start), abs=1e-6)


def test_a_clock_set_back_between_them_keeps_both_in_file_order(devices):
    raw = (devices / "ax3_testfile.cwa").read_bytes()
    (whole,) = read_cwa(raw).segments
    recording = read_cwa(raw + _later(raw, -3600))
    first, second = recording.segments
    assert (first.start, second.start) == (whole.start, whole.start - 3600)
    np.testing.assert_array_equal(second.counts, whole.counts)


def test_two_recordings_of_different_rates_in_one_file(devices):
    """What is left on a device that was configured anew without being cleared."""
    raw = [
        (devices / name).read_bytes()
        for name in ("ax3_testfile.cwa", "skdh_ax3_sample.cwa")
    ]
    alone = [read_cwa(one).segments[0] for one in raw]
    recording = read_cwa(raw[0] + raw[1][layout.HEADER_BYTES :])
    assert len(recording.segments) == 2
    assert recording.quality["bad_blocks"] == 0
    for segment, expected in zip(recording.segments, alone, strict=True):
        np.testing.assert_array_equal(segment.counts, expected.counts)
        np.testing.assert_array_equal(segment.anchor_time, expected.anchor_time)
        assert segment.rate_hz == expected.rate_hz
    # A year between them costs no memory.
    config = dataclasses.replace(
        prepare.PRESETS["paper"], calibration="none", nonwear_min=None, min_wear_h=0.0
    )
    prepared = prepare.prepare_recording(recording, config, name="a", person="a")
    lengths = [len(segment.acceleration) / 30 for segment in prepared.segments]
    spans = [segment.end - segment.start for segment in alone]
    assert lengths == pytest.approx(spans, abs=0.1)
    assert prepared.quality["gaps_kept"] == 1
