"""The CWA reader: facts about real files, and simulated files with a known truth."""

import io
import pathlib
from typing import Any

import numpy as np
import pytest

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.formats import read_cwa
from sigjax.data.recording import FormatError, Recording
from sigjax.data.synthetic import CwaDevice, Interruption, write_cwa

_START = 1_551_178_505.25
_RATE = 98.7


def _acceleration(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.5, 1.5, (samples, 3)).astype(np.float32)


def _stored(
    acceleration: np.ndarray, device: CwaDevice, path: pathlib.Path, **faults
) -> bytes:
    file = path / "a.cwa"
    write_cwa(file, np.array_split(acceleration, 7), device, **faults)
    return file.read_bytes()


def _ax3(*, rate_hz: float = _RATE, **changes: Any) -> CwaDevice:
    return CwaDevice(start=_START, rate_hz=rate_hz, **changes)


def _blocks(raw: bytes) -> np.ndarray:
    """A writable view of the data blocks of a file that has been made mutable."""
    return np.frombuffer(bytearray(raw[layout.HEADER_BYTES :]), layout.BLOCK)


def _file(raw: bytes, blocks: np.ndarray, *, checksums: bool = True) -> bytes:
    words = blocks.view("<u2").reshape(len(blocks), 256)
    if checksums:
        words[:, -1] = 0
        words[:, -1] = -words.sum(1, dtype=np.uint16)
    return raw[: layout.HEADER_BYTES] + blocks.tobytes()


def _times(recording: Recording) -> np.ndarray:
    return np.concatenate(
        [s.time_at(np.arange(len(s.counts))) for s in recording.segments]
    )


# ------------------------------------------------------------------ real files


def _read_real(real_data: pathlib.Path, name: str) -> Recording:
    return read_cwa(real_data / "wrist_devices" / name)


@pytest.mark.parametrize(
    ("name", "device", "samples", "rate_hz", "nominal_hz"),
    [
        ("ax3_testfile.cwa", "AX3", 17_400, 98.86, 100.0),
        ("ax6_testfile.cwa", "AX6", 11_320, 99.04, 100.0),
        ("skdh_ax3_sample.cwa", "AX3", 58_800, 197.24, 200.0),
        ("skdh_ax6_sample.cwa", "AX6", 10_360, 98.41, 100.0),
    ],
)
def test_real_files_are_one_segment_at_the_measured_rate(
    real_data, name, device, samples, rate_hz, nominal_hz
):
    recording = _read_real(real_data, name)
    assert recording.device == device
    assert recording.nominal_rate_hz == nominal_hz
    assert [len(s.counts) for s in recording.segments] == [samples]
    assert recording.quality["bad_blocks"] == 0
    assert recording.segments[0].rate_hz == pytest.approx(rate_hz, abs=0.01)
    # A wrist at rest measures 1 g: the scale is right.
    norm = np.linalg.norm(recording.segments[0].acceleration, axis=1)
    assert np.median(norm) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("name", "sample", "start", "end", "slack_s"),
    [
        (
            "ax3_testfile.cwa",
            (0.328125, 0.984375, 0.203125),
            "2019-02-26T10:55:06.000",
            "2019-02-26T10:58:01.979",
            0.028,  # that reader ignores fractional time in extrapolated blocks
        ),
        (
            "ax6_testfile.cwa",
            (0.007324, 0.071289, 0.008789),
            "2019-12-23T21:04:06.690",
            "2019-12-23T21:06:00.980",
            0.011,
        ),
    ],
)
def test_real_first_sample_and_times_agree_with_actipy(
    real_data, name, sample, start, end, slack_s
):
    segment = _read_real(real_data, name).segments[0]
    np.testing.assert_allclose(segment.acceleration[0], sample, atol=1e-6)
    for found, expected in [(segment.start, start), (segment.end, end)]:
        expected = np.datetime64(expected, "ms").astype(np.int64) / 1e3
        assert found == pytest.approx(expected, abs=slack_s)


def test_real_corrupt_blocks_are_counted_and_leave_gaps(real_data):
    whole = _read_real(real_data, "ax3_testfile.cwa").segments[0]
    corrupt = _read_real(
        real_data, "ax3_testfile_corrupt_blocks_0_13_14_142_143_144.cwa"
    )
    assert corrupt.quality["bad_blocks"] == corrupt.quality["bad_checksum"] == 6
    assert corrupt.quality["breaks_sequence"] == 1
    before, after = corrupt.segments
    assert len(before.counts) + len(after.counts) == 16_680
    # Every sample that is left has the value and the time it had.
    kept = [(before, 120), (after, 15 * 120)]
    for segment, first in kept:
        index = np.arange(len(segment.counts))
        np.testing.assert_array_equal(segment.counts, whole.counts[index + first])
        moved = np.abs(segment.time_at(index) - whole.time_at(index + first))
        assert moved.max() < 2e-3
    assert after.start - before.end == pytest.approx(241 / whole.rate_hz, abs=2e-3)


def test_real_header_fields(real_data):
    ax6 = _read_real(real_data, "ax6_testfile.cwa")
    assert ax6.device_id == "6011834"
    assert ax6.metadata["subject_code"] == "993"
    assert ax6.metadata["logging_start"] == "2019-12-23T21:04:00"
    ax3 = _read_real(real_data, "ax3_testfile.cwa")
    assert ax3.metadata["position"] == "right wrist"
    # Raw 258: 258 * 75 / 256 - 50.
    assert ax3.segments[0].temperature_c[0] == pytest.approx(25.586, abs=1e-3)
    sample = _read_real(real_data, "skdh_ax3_sample.cwa")
    assert sample.metadata["logging_end"] == "never"


# ------------------------------------------------------- values and times, known


@pytest.mark.parametrize(
    ("device", "step_g"),
    [
        (_ax3(), 1 / 64),
        (_ax3(range_g=2), 1 / 256),
        (_ax3(range_g=4), 1 / 128),
        (_ax3(range_g=16), 1 / 32),
        (_ax3(packed=False), 1 / 256),
        (_ax3(nominal_rate_hz=12.5, rate_hz=12.4), 1 / 64),
        (_ax3(nominal_rate_hz=200.0, rate_hz=196.1), 1 / 64),
        (_ax3(model="AX6", packed=False, range_g=8), 1 / 4096),
        (_ax3(model="AX6", packed=False, range_g=16, axes=6), 1 / 2048),
        (_ax3(model="AX6", packed=False, range_g=2, axes=9), 1 / 16384),
    ],
)
def test_round_trip_is_exact_in_value_and_right_in_time(tmp_path, device, step_g):
    truth = _acceleration(5_000)
    recording = read_cwa(_stored(truth, device, tmp_path))
    (segment,) = recording.segments
    whole = 5_000 // device.samples_per_block * device.samples_per_block
    assert segment.counts.shape == (whole, 3)
    assert segment.counts.dtype == np.int16
    expected = np.rint(truth[:whole] / step_g) * step_g
    np.testing.assert_allclose(segment.acceleration, expected, atol=1e-7)
    assert recording.nominal_rate_hz == device.nominal_rate_hz
    assert recording.device == device.model
    expected = device.start + np.arange(whole) / device.rate_hz
    error = np.abs(_times(recording) - expected).max()
    assert error < 1e-3, f"times are off by {error * 1e3:.3f} ms"


def test_largest_exponent_fits_int16(tmp_path):
    truth = np.tile(np.array([15.96875, -16.0, 0.03125], np.float32), (120, 1))
    recording = read_cwa(_stored(truth, _ax3(range_g=16), tmp_path))
    np.testing.assert_array_equal(recording.segments[0].counts[0], [4088, -4096, 8])


def test_blocks_of_differing_exponents(tmp_path):
    raw = _stored(_acceleration(480), _ax3(), tmp_path)
    blocks = _blocks(raw)
    words = blocks.view(np.uint8).reshape(-1, 512)[:, 30:510].view("<u4")
    words[1] = np.uint32(0 << 30 | 5 << 20 | 6 << 10 | (-7 & 1023))
    words[2, ::2] = np.uint32(3 << 30 | (-511 & 1023) << 20 | 511 << 10 | 1)
    counts = read_cwa(_file(raw, blocks)).segments[0].counts
    np.testing.assert_array_equal(counts[130], [-7, 6, 5])
    np.testing.assert_array_equal(counts[240], [8, 4088, -4088])


def test_whole_second_timestamps_of_old_firmware(tmp_path):
    truth = _acceleration(12_000)
    raw = _stored(truth, _ax3(fractional=False), tmp_path)
    recording = read_cwa(raw)
    expected = _START + np.arange(12_000) / _RATE
    (segment,) = recording.segments
    # The offset names the second's sample to the nearest one.
    assert np.abs(_times(recording) - expected).max() < 1.6 / _RATE
    assert segment.rate_hz == pytest.approx(_RATE, rel=1e-3)


def test_oldest_firmware_has_frequency_and_no_checksum(tmp_path):
    raw = _stored(_acceleration(1_200), _ax3(fractional=False), tmp_path)
    blocks = _blocks(raw)
    blocks["rate_code"], blocks["offset"], blocks["checksum"] = 0, 100, 7
    blocks["timestamp"] = layout.pack_time(
        1_551_178_505 + (np.arange(10) * 1.2).astype(int)
    )
    recording = read_cwa(_file(raw, blocks, checksums=False))
    assert recording.quality["bad_blocks"] == 0
    assert recording.nominal_rate_hz == 100.0
    (segment,) = recording.segments
    assert segment.start == 1_551_178_505.0


def test_a_lone_block_takes_the_rate_of_the_rest(tmp_path):
    raw = _stored(_acceleration(2_400), _ax3(), tmp_path, bad_blocks=[1, 3])
    recording = read_cwa(raw)
    assert [len(s.counts) for s in recording.segments] == [120, 120, 16 * 120]
    lone = recording.segments[1]
    assert lone.rate_hz == pytest.approx(_RATE, abs=0.01)
    assert lone.start == pytest.approx(_START + 240 / _RATE, abs=1e-3)


def test_a_lone_block_alone_takes_the_nominal_rate(tmp_path):
    raw = _stored(_acceleration(120), _ax3(), tmp_path)
    (segment,) = read_cwa(raw).segments
    assert segment.rate_hz == pytest.approx(100.0)


# --------------------------------------------------------------- damaged blocks


@pytest.mark.parametrize(
    ("field", "value", "reason", "checksums"),
    [
        ("magic", b"XX", "magic", True),
        ("length", 509, "length", True),
        ("temperature", 1, "checksum", False),
        ("axes_bps", 0x31, "format", True),
        ("axes_bps", 0x60, "format", True),
        ("axes_bps", 0x00, "format", True),
        ("rate_code", 0x41, "format", True),
        ("count", 0, "count", True),
        ("count", 121, "count", True),
        ("timestamp", 0, "date", True),
        ("timestamp", 19 << 26 | 2 << 22 | 30 << 17, "date", True),
    ],
)
@pytest.mark.parametrize("block", [0, 4, 9])
def test_a_bad_block_is_counted_and_the_rest_keeps_its_time(
    tmp_path, field, value, reason, checksums, block
):
    truth = _acceleration(1_200)
    raw = _stored(truth, _ax3(), tmp_path)
    blocks = _blocks(raw)
    blocks[field][block] = value
    recording = read_cwa(_file(raw, blocks, checksums=checksums))
    assert recording.quality["blocks"] == 10
    assert recording.quality["bad_blocks"] == 1
    assert recording.quality[f"bad_{reason}"] == 1
    kept = np.delete(np.arange(1_200), np.arange(120) + 120 * block)
    found = np.concatenate([s.acceleration for s in recording.segments])
    np.testing.assert_allclose(found, np.rint(truth[kept] * 64) / 64)
    expected = _START + kept / _RATE
    assert np.abs(_times(recording) - expected).max() < 2e-3


def test_truncated_tail_is_counted(tmp_path):
    raw = _stored(_acceleration(1_200), _ax3(), tmp_path, truncated_bytes=100)
    recording = read_cwa(raw)
    assert recording.quality["blocks"] == 10
    assert recording.quality["bad_truncated"] == recording.quality["bad_blocks"] == 1
    assert recording.quality["samples"] == 1_080


def test_all_blocks_bad_leaves_no_segments(tmp_path):
    raw = _stored(_acceleration(600), _ax3(), tmp_path, bad_blocks=range(5))
    recording = read_cwa(raw)
    assert recording.segments == ()
    assert recording.quality["bad_checksum"] == recording.quality["blocks"] == 5
    assert recording.nominal_rate_hz == 100.0


def test_header_only_file_was_configured_but_never_recorded(tmp_path):
    recording = read_cwa(_stored(_acceleration(0), _ax3(), tmp_path))
    assert recording.segments == ()
    assert recording.quality["blocks"] == 0
    assert recording.device_id == "12345"


# ---------------------------------------------------------------------- breaks


def test_lost_samples_after_a_restart_are_a_gap(tmp_path):
    truth = _acceleration(20_000)
    stop = Interruption(block=50, lost_s=40.0)
    recording = read_cwa(_stored(truth, _ax3(), tmp_path, interruptions=[stop]))
    assert recording.quality["breaks_restart"] == 1
    first, second = recording.segments
    lost = round(40.0 * _RATE)
    kept = np.concatenate([np.arange(6_000), np.arange(6_000 + lost, 20_000)])
    kept = kept[: recording.quality["samples"]]
    found = np.concatenate([first.acceleration, second.acceleration])
    np.testing.assert_allclose(found, np.rint(truth[kept] * 64) / 64)
    assert np.abs(_times(recording) - (_START + kept / _RATE)).max() < 1e-3
    assert second.start - first.end == pytest.approx((lost + 1) / _RATE, abs=1e-3)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Interruption(block=20, new_session=True), "session"),
        (Interruption(block=20), "restart"),
        (Interruption(block=20, lost_s=0.5, restart_sequence=False), "clock"),
        (Interruption(block=20, clock_shift_s=1.0, restart_sequence=False), "clock"),
        (Interruption(block=20, clock_shift_s=-3600, restart_sequence=False), "clock"),
    ],
)
def test_each_kind_of_break(tmp_path, stop, reason):
    raw = _stored(_acceleration(6_000), _ax3(), tmp_path, interruptions=[stop])
    recording = read_cwa(raw)
    assert len(recording.segments) == 2
    breaks = {k: v for k, v in recording.quality.items() if k.startswith("breaks_")}
    assert {k for k, v in breaks.items() if v} == {f"breaks_{reason}"}
    first, second = recording.segments
    assert len(first.counts) == 2_400
    shift = stop.lost_s + stop.clock_shift_s + 1 / _RATE
    assert second.start - first.end == pytest.approx(shift, abs=0.02)
    for segment in recording.segments:
        assert segment.rate_hz == pytest.approx(_RATE, abs=0.01)


def test_clock_set_back_keeps_every_sample_in_file_order(tmp_path):
    truth = _acceleration(6_000)
    stop = Interruption(block=30, lost_s=5.0, clock_shift_s=-3_600.0, new_session=True)
    recording = read_cwa(_stored(truth, _ax3(), tmp_path, interruptions=[stop]))
    first, second = recording.segments
    assert second.start < first.start
    np.testing.assert_allclose(
        second.acceleration[0], np.rint(truth[3_600 + round(5 * _RATE)] * 64) / 64
    )


def test_rate_and_scale_changes_break(tmp_path):
    slow, fast = (
        _stored(_acceleration(600), _ax3(rate_hz=r, nominal_rate_hz=r), tmp_path)
        for r in (50.0, 100.0)
    )
    blocks = np.concatenate([_blocks(slow), _blocks(fast)])
    blocks["sequence"] = np.arange(len(blocks))
    recording = read_cwa(_file(slow, blocks))
    assert recording.quality["breaks_format"] == 1
    rates = [segment.rate_hz for segment in recording.segments]
    assert rates == pytest.approx([50.0, 100.0], abs=0.01)


def test_interleaved_formats_decode_each_by_its_own(tmp_path):
    packed = _stored(_acceleration(480, 1), _ax3(range_g=2), tmp_path)
    wide = _stored(_acceleration(320, 2), _ax3(packed=False), tmp_path)
    blocks = np.stack([_blocks(packed), _blocks(wide)], 1).reshape(-1)
    recording = read_cwa(_file(packed, blocks))
    assert [len(s.counts) for s in recording.segments] == [120, 80] * 4
    for place, (seed, size) in enumerate([(1, 120), (2, 80)]):
        found = np.concatenate([s.acceleration for s in recording.segments[place::2]])
        expected = np.rint(_acceleration(4 * size, seed) * 256) / 256
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("nominal_hz", "rate_hz"), [(100.0, 97.5), (100.0, 102.5), (12.5, 12.19)]
)
def test_steady_drift_does_not_break(tmp_path, nominal_hz, rate_hz):
    device = _ax3(rate_hz=rate_hz, nominal_rate_hz=nominal_hz)
    (segment,) = read_cwa(_stored(_acceleration(12_000), device, tmp_path)).segments
    assert segment.rate_hz == pytest.approx(rate_hz, abs=0.01)


def test_a_change_of_range_alone_breaks(tmp_path):
    raw = _stored(_acceleration(1_200), _ax3(), tmp_path)
    blocks = _blocks(raw)
    blocks["rate_code"][5:] = _ax3(range_g=4).rate_code
    recording = read_cwa(_file(raw, blocks))
    assert [len(s.counts) for s in recording.segments] == [600, 600]
    assert recording.quality["breaks_format"] == 1


def test_a_change_of_scale_breaks_and_each_segment_has_its_own(tmp_path):
    device = _ax3(model="AX6", packed=False)
    raw = _stored(_acceleration(800), device, tmp_path)
    blocks = _blocks(raw)
    blocks["light_scale"][5:] = 3 << 13
    recording = read_cwa(_file(raw, blocks))
    assert recording.quality["breaks_format"] == 1
    assert [s.scale for s in recording.segments] == [1 / 4096, 1 / 2048]


def test_a_change_of_the_oldest_firmwares_frequency_breaks(tmp_path):
    raw = _stored(_acceleration(1_200), _ax3(fractional=False), tmp_path)
    blocks = _blocks(raw)
    blocks["rate_code"], blocks["offset"] = 0, np.repeat([100, 50], 5)
    steps = np.repeat([1.2, 2.4], 5)
    seconds = 1_551_178_505 + np.cumsum(steps).astype(int)
    blocks["timestamp"] = layout.pack_time(seconds)
    recording = read_cwa(_file(raw, blocks))
    assert recording.quality["breaks_format"] == 1
    rates = [segment.rate_hz for segment in recording.segments]
    assert rates == pytest.approx([100.0, 50.0], rel=0.2)


# ------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"MD" + bytes(100), "102 bytes"),
        (np.random.default_rng(0).bytes(5_000), "not a CWA file"),
        (b"time,x,y,z\n" * 1_000, "not a CWA file"),
    ],
)
def test_what_is_no_cwa_file_says_so(tmp_path, raw, message):
    path = tmp_path / "odd.cwa"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=message) as error:
        read_cwa(path)
    assert "odd.cwa" in str(error.value)


def test_damaged_header_with_good_blocks_is_read_and_counted(tmp_path):
    raw = _stored(_acceleration(1_200), _ax3(), tmp_path)
    recording = read_cwa(b"\0" * 64 + raw[64:])
    assert recording.quality["bad_header"] == 1
    assert recording.quality["samples"] == 1_200
    assert recording.nominal_rate_hz == 100.0
    assert (recording.device, recording.device_id) == ("AX3", "")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_cwa(tmp_path / "none.cwa")


def test_a_handle_that_returns_less_than_asked_for(tmp_path, monkeypatch):
    raw = _stored(_acceleration(2_400), _ax3(), tmp_path)

    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1_500) if size > 1_024 else size)

    monkeypatch.setattr(io, "BytesIO", Slow)
    assert read_cwa(raw).quality["samples"] == 2_400


def test_pack_time_inverts_unpack_time():
    times = np.array([946_684_800, 951_782_399, 1_709_210_096, 2_966_371_199])
    found, valid = layout.unpack_time(layout.pack_time(times))
    np.testing.assert_array_equal(found, times)
    assert valid.all()
