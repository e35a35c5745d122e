"""What the CWA reader keeps beside acceleration: gyroscope, light, battery."""

import pathlib

import numpy as np
import pytest

from sigjax.data.formats import ReadOptions, read_cwa
from sigjax.data.formats import cwa_layout as layout
from sigjax.data.synthetic import CwaDevice, Interruption, write_cwa

_ALL = ReadOptions(channels=("gyro", "magnetometer", "light", "battery"))


def _write(path: pathlib.Path, samples: int = 1_000, **device) -> bytes:
    settings = {"start": 1.6e9, "rate_hz": 98.7, "model": "AX6", "packed": False}
    file = path / "a.cwa"
    rng = np.random.default_rng(0)
    acceleration = rng.uniform(-1, 1, (samples, 3)).astype(np.float32)
    write_cwa(file, [acceleration], CwaDevice(**(settings | device)))
    return file.read_bytes()


def _blocks(raw: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(raw[layout.HEADER_BYTES :]), layout.BLOCK)


def _file(raw: bytes, blocks: np.ndarray) -> bytes:
    words = blocks.view("<u2").reshape(len(blocks), 256)
    words[:, -1] = 0
    words[:, -1] = -words.sum(1, dtype=np.uint16)
    return raw[: layout.HEADER_BYTES] + blocks.tobytes()


def _set_axes(blocks: np.ndarray, axes: int) -> np.ndarray:
    """Fills the payload with known numbers; int16 `[samples, axes]`."""
    count = int(blocks["count"][0])
    size = 2 * axes * count
    rng = np.random.default_rng(1)
    values = rng.integers(-32_768, 32_768, (len(blocks), count, axes)).astype("<i2")
    raw = blocks.view(np.uint8).reshape(len(blocks), layout.BLOCK_BYTES)
    raw[:, 30 : 30 + size] = values.reshape(len(blocks), -1).view(np.uint8)
    return values.reshape(-1, axes)


# ------------------------------------------------------------------------ real files


@pytest.mark.parametrize(
    ("name", "sample", "gyro", "light", "light_first", "battery"),
    [
        (
            "ax6_testfile.cwa",
            (0.007324, 0.071289, 0.008789),
            (0.274658203125, -0.5035400390625, 15.76995849609375),
            283,
            16,
            (4.013671875, 4.01953125),
        ),
        (
            "skdh_ax6_sample.cwa",
            (-0.5185546875, -0.02392578125, -0.0771484375),
            (-66.22314453125, -27.2216796875, 104.736328125),
            259,
            75,
            (4.119140625, 4.125),
        ),
    ],
)
def test_real_gyroscope_is_that_of_actipy_and_skdh(
    real_data, name, sample, gyro, light, light_first, battery
):
    recording = read_cwa(real_data / "wrist_devices" / name, options=_ALL)
    (segment,) = recording.segments
    np.testing.assert_allclose(segment.acceleration[0], sample, atol=1e-6)
    found = segment.channels["gyro"]
    assert found.unit == "dps"
    assert found.index is None
    assert found.values.shape == segment.counts.shape
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values[0], np.array(gyro, np.float32))
    assert "magnetometer" not in segment.channels
    assert len(segment.channels["light"].values) == light
    assert segment.channels["light"].values[0] == light_first
    np.testing.assert_array_equal(segment.channels["battery"].values[:2], battery)


@pytest.mark.parametrize(
    ("name", "light", "lux_like"),
    [
        ("ax3_testfile.cwa", (283, 347, 306), 6.75946),
        ("skdh_ax3_sample.cwa", (639, 641, 663), 74.79977),
    ],
)
def test_real_light_and_battery(real_data, name, light, lux_like):
    recording = read_cwa(real_data / "wrist_devices" / name, options=_ALL)
    (segment,) = recording.segments
    assert set(segment.channels) == {"light", "battery"}  # an AX3
    found = segment.channels["light"]
    np.testing.assert_array_equal(found.values[:3], light)
    # What actipy makes of the first raw value.
    assert 10 ** (found.values[0] / 341) == pytest.approx(lux_like, rel=1e-5)
    # In the middle of each block; the battery's voltage is that of a lithium cell.
    assert found.index is not None
    count = int(len(segment.counts) / len(found.values))
    np.testing.assert_array_equal(np.diff(found.index), count)
    assert found.index[0] == (count - 1) / 2
    battery = segment.channels["battery"]
    assert battery.unit == "V"
    assert 3.5 < battery.values.min() <= battery.values.max() < 4.3


# ---------------------------------------------------------------------- written files


@pytest.mark.parametrize("axes", [3, 6, 9])
def test_axes_come_apart(tmp_path, axes):
    raw = _write(tmp_path, axes=axes)
    blocks = _blocks(raw)
    values = _set_axes(blocks, axes)
    (segment,) = read_cwa(_file(raw, blocks), options=_ALL).segments
    first = 0 if axes == 3 else 3
    np.testing.assert_array_equal(segment.counts, values[:, first : first + 3])
    assert ("gyro" in segment.channels) == (axes > 3)
    assert ("magnetometer" in segment.channels) == (axes == 9)
    if axes > 3:
        dps = values[:, :3] * np.float32(2000 / 32_768)
        np.testing.assert_allclose(segment.channels["gyro"].values, dps, rtol=1e-6)
    if axes == 9:
        magnetometer = segment.channels["magnetometer"]
        np.testing.assert_array_equal(magnetometer.values, values[:, 6:])
        assert magnetometer.unit == "adc"


@pytest.mark.parametrize(
    ("code", "full_dps"), [(0, 2_000), (2, 2_000), (3, 1_000), (4, 500), (6, 125)]
)
def test_gyroscope_range(tmp_path, code, full_dps):
    raw = _write(tmp_path, axes=6)
    blocks = _blocks(raw)
    values = _set_axes(blocks, 6)
    blocks["light_scale"] = (blocks["light_scale"] & ~np.uint16(7 << 10)) | (code << 10)
    (segment,) = read_cwa(_file(raw, blocks), options=_ALL).segments
    expected = values[:, :3] * (full_dps / 32_768)
    np.testing.assert_allclose(segment.channels["gyro"].values, expected, rtol=1e-6)


def test_light_and_battery_per_block(tmp_path):
    raw = _write(tmp_path, axes=6, samples=400)
    blocks = _blocks(raw)
    blocks["light_scale"] = (blocks["light_scale"] & 0xFC00) | np.arange(100, 110)
    blocks["battery"] = np.arange(150, 160)
    (segment,) = read_cwa(_file(raw, blocks), options=_ALL).segments
    light, battery = segment.channels["light"], segment.channels["battery"]
    np.testing.assert_array_equal(light.values, np.arange(100, 110))
    assert light.unit == "adc"
    np.testing.assert_array_equal(light.index, 19.5 + 40 * np.arange(10))
    np.testing.assert_allclose(battery.values, (np.arange(150, 160) + 512) * 6 / 1024)
    np.testing.assert_array_equal(battery.index, light.index)


def test_channels_follow_bad_blocks_and_breaks(tmp_path):
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, (2_000, 3)).astype(np.float32)
    device = CwaDevice(start=1.6e9, rate_hz=98.7, model="AX6", packed=False, axes=6)
    stop = Interruption(block=20)
    file = tmp_path / "a.cwa"
    write_cwa(file, [samples], device, interruptions=[stop])
    raw = file.read_bytes()
    blocks = _blocks(raw)
    values = _set_axes(blocks, 6).reshape(len(blocks), -1, 6)
    raw = bytearray(_file(raw, blocks))
    raw[layout.HEADER_BYTES + 5 * layout.BLOCK_BYTES + 100] ^= 1
    segments = read_cwa(bytes(raw), options=_ALL).segments
    kept = [range(0, 5), range(6, 20), range(20, len(blocks))]
    assert len(segments) == 3
    for segment, numbers in zip(segments, kept, strict=True):
        expected = values[list(numbers)].reshape(-1, 6)
        np.testing.assert_array_equal(segment.counts, expected[:, 3:])
        gyro = segment.channels["gyro"]
        np.testing.assert_allclose(
            gyro.values, expected[:, :3] * (2000 / 32_768), rtol=1e-6
        )
        battery = segment.channels["battery"]
        assert battery.index is not None
        assert len(battery.values) == len(battery.index) == len(numbers)
        assert battery.index[0] == 19.5


def test_axes_that_change_within_a_file(tmp_path):
    """Files of two settings, one after the other: each segment has its own channels."""
    six = _write(tmp_path, axes=6)
    three = _write(tmp_path, axes=3)
    recording = read_cwa(six + three[layout.HEADER_BYTES :], options=_ALL)
    first, second = recording.segments
    assert set(first.channels) == {"gyro", "light", "battery"}
    assert set(second.channels) == {"light", "battery"}
    assert len(first.channels["gyro"].values) == len(first.counts)


def test_only_what_was_asked_for(tmp_path):
    raw = _write(tmp_path, axes=9)
    (segment,) = read_cwa(raw).segments
    assert segment.channels == {}
    for name in ("gyro", "magnetometer", "light", "battery"):
        (segment,) = read_cwa(raw, options=ReadOptions(channels=(name,))).segments
        assert set(segment.channels) == {name}
    (segment,) = read_cwa(raw, options=ReadOptions(channels=("humidity",))).segments
    assert segment.channels == {}
