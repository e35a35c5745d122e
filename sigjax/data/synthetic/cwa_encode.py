"""Turns samples into the bytes of CWA headers and data blocks."""

import dataclasses
from collections.abc import Callable

import numpy as np

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.synthetic.cwa_device import EXPONENT, FIFO, CwaDevice

_HARDWARE = {"AX3": 0x17, "AX6": 0x64}
_GYRO_CODE = 2  # +-2000 degrees per second
_GYRO_DPS = np.float32(2000.0 / 32768.0)  # per count
_IDLE_COUNTS = (11, -22, 33)  # what axes hold that nothing is simulated for


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """Whole blocks of consecutive samples and where they stand.

    Attributes:
      samples: Float32 `[blocks * samples_per_block, 3]` in g, or 6 with the gyroscope's
        degrees per second.
      origin: Index of the first sample since power-on among all samples ever taken.
      done: Samples since then before these.
      sequence: Number of the first of these blocks.
      restarts: Number of interruptions so far that began a session.
      clock_shift_s: How far the clock has been set in total.
    """

    samples: np.ndarray
    origin: int
    done: int
    sequence: int
    restarts: int
    clock_shift_s: float


def encode_header(device: CwaDevice) -> bytes:
    """The 1024 bytes before the first data block."""
    raw = np.frombuffer(bytearray(b"\xff" * layout.HEADER_BYTES), layout.HEADER)
    header = raw[0]
    header["magic"], header["length"] = b"MD", layout.HEADER_LENGTH
    header["hardware"] = _HARDWARE[device.model]
    header["device_id"] = device.device_id & 0xFFFF
    header["upper_device_id"] = device.device_id >> 16
    header["session_id"] = device.session_id
    header["logging_start"], header["logging_end"] = 0, layout.NEVER
    header["sensor_config"] = 0 if device.axes == 3 else _GYRO_CODE
    header["rate_code"] = device.rate_code
    header["last_change"] = layout.pack_time(np.array(int(device.start) - 60))
    header["firmware"] = 50
    header["annotation"] = np.void(layout.encode_annotation(device.annotation))
    return raw.tobytes()


def encode_blocks(
    stretch: Stretch,
    device: CwaDevice,
    temperature_c: Callable[[np.ndarray], np.ndarray] | float,
) -> np.ndarray:
    """Data blocks `[k]` of a stretch, with their checksums."""
    size = device.samples_per_block
    count = len(stretch.samples) // size
    blocks = np.zeros(count, layout.BLOCK)
    first = stretch.done + size * np.arange(count)  # since power-on
    seconds = (stretch.origin + first) / device.rate_hz
    blocks["magic"], blocks["length"] = b"AX", layout.BLOCK_LENGTH
    blocks["session_id"] = device.session_id + stretch.restarts
    blocks["sequence"] = stretch.sequence + np.arange(count)
    blocks["light_scale"] = device.scale_bits << 13 | 300
    if device.model == "AX6":
        blocks["light_scale"] |= np.uint16(_GYRO_CODE << 10)
    celsius = temperature_c(seconds) if callable(temperature_c) else temperature_c
    blocks["temperature"] = np.rint((np.asarray(celsius) + 50.0) * 256.0 / 75.0)
    blocks["events"] = first == 0
    blocks["battery"] = np.clip(200 - seconds / 86_400.0 * 5, 130, 200)
    blocks["rate_code"] = device.rate_code
    blocks["axes_bps"] = device.axes << 4 | (0 if device.packed else 2)
    blocks["count"] = size
    _encode_time(blocks, stretch, first, device)
    payload = _encode_samples(stretch.samples, device)
    blocks["payload"] = payload.view(f"V{layout.PAYLOAD_BYTES}")[:, 0]
    words = blocks.view("<u2").reshape(count, -1)
    words[:, -1] = -words.sum(1, dtype=np.uint16)
    return blocks


def _encode_time(
    blocks: np.ndarray, stretch: Stretch, first: np.ndarray, device: CwaDevice
) -> None:
    """Sets timestamp, fraction and offset as a device with a FIFO does."""
    batch = FIFO[device.model]
    anchor = -(-(first + device.samples_per_block) // batch) * batch  # since power-on
    offset = anchor - first
    time = device.start + stretch.clock_shift_s
    time = time + device.seconds_at(stretch.origin + anchor)
    if not device.fractional:
        # The offset then names the sample at which the second began, to a sample.
        second = np.floor(time)
        back = np.rint((time - second) * device.rate_hz).astype(np.int64)
        blocks["timestamp"] = layout.pack_time(second)
        blocks["offset"] = offset - back
        return
    ticks = np.floor(time * 32768.0).astype(np.int64)
    fraction = ticks & 0x7FFF
    blocks["timestamp"] = layout.pack_time(ticks >> 15)
    blocks["fraction"] = 0x8000 | fraction
    nominal = int(device.nominal_rate_hz)
    blocks["offset"] = offset - ((fraction * 2 * nominal) >> 16)


def _encode_samples(samples: np.ndarray, device: CwaDevice) -> np.ndarray:
    """Payloads, uint8 `[blocks, 480]`."""
    steps = np.rint(samples[:, :3] * np.float32(device.counts_per_g))
    size = device.samples_per_block
    if device.packed:
        bits = np.clip(steps, -512, 511).astype(np.int32).view(np.uint32) & 1023
        words = bits[:, 0] | bits[:, 1] << 10 | bits[:, 2] << 20
        words |= np.uint32(EXPONENT[device.range_g] << 30)
        payload = words.astype("<u4").reshape(-1, size).view(np.uint8)
    else:
        axes = np.empty((len(steps), device.axes), "<i2")
        axes[:] = np.resize(_IDLE_COUNTS, device.axes)
        first = 0 if device.axes == 3 else 3
        axes[:, first : first + 3] = np.clip(steps, -32768, 32767)
        if first and samples.shape[1] == 6:
            axes[:, :3] = np.clip(np.rint(samples[:, 3:] / _GYRO_DPS), -32768, 32767)
        payload = axes.reshape(-1, size * device.axes).view(np.uint8)
    unused = layout.PAYLOAD_BYTES - payload.shape[1]  # nine axes leave 12 bytes over
    return np.ascontiguousarray(np.pad(payload, ((0, 0), (0, unused))))
