"""Writes valid CWA files of simulated accelerometers, with faults on request.

Follows the Open Movement specification (`Docs/ax3/ax3-technical.md`) and what real
AX3 and AX6 files show: an AX3 notes the time when a batch of 25 samples leaves the
sensor's FIFO, so a block's anchor lies 0 to 24 samples past its end.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from etils import epath

from sigjax.data.formats import cwa_layout as layout

_FIFO = {"AX3": 25, "AX6": 1}
_HARDWARE = {"AX3": 0x17, "AX6": 0x64}
_EXPONENT = {16: 3, 8: 2, 4: 1, 2: 0}
_SCALE_BITS = {16: 3, 8: 4, 4: 5, 2: 6}  # AX6: counts per g are 2 ** (8 + bits)
_GYRO_CODE = 2  # +-2000 degrees per second
_IDLE_COUNTS = (11, -22, 33)  # what the axes beyond the accelerometer hold


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interruption:
    """A stop of the recording before data block `block`.

    Attributes:
      block: Number of the first block after the stop, counted over the file.
      lost_s: Samples of this many seconds are not in the file.
      clock_shift_s: The clock is set by this much (negative: set back).
      restart_sequence: Block numbers start again at 0, as after plugging in.
      new_session: The session number increases.
    """

    block: int
    lost_s: float = 0.0
    clock_shift_s: float = 0.0
    restart_sequence: bool = True
    new_session: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class CwaDevice:
    """A logger and how it was configured.

    Attributes:
      start: Seconds since 1970-01-01 (device-local) of the first sample.
      rate_hz: True sampling rate.
      nominal_rate_hz: Configured rate, 3200 over a power of two.
      model: `"AX3"` or `"AX6"`.
      packed: Exponent-packed samples (three axes only) instead of int16.
      axes: 3, 6 (gyroscope first) or 9.
      range_g: 2, 4, 8 or 16.
      fractional: Timestamps know fractions of a second.
      annotation: Header keys, such as `{"_sc": "P001"}` for the subject's code.
    """

    start: float
    rate_hz: float
    nominal_rate_hz: float = 100.0
    model: str = "AX3"
    packed: bool = True
    axes: int = 3
    range_g: int = 8
    fractional: bool = True
    device_id: int = 12345
    session_id: int = 1
    annotation: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Checks the parameters."""
        if self.model not in _FIFO or self.range_g not in _EXPONENT:
            raise ValueError(
                f"model must be one of {list(_FIFO)} and range_g one of "
                f"{list(_EXPONENT)}, got {self.model!r} and {self.range_g}"
            )
        if self.axes not in (3, 6, 9) or (self.packed and self.axes != 3):
            raise ValueError(
                f"axes must be 3, 6 or 9, and 3 when packed, got {self.axes}"
            )
        if layout.rate_hz(self.rate_code) != self.nominal_rate_hz:
            raise ValueError(
                f"nominal_rate_hz must be 3200 / 2**k from 6.25 to 3200, "
                f"got {self.nominal_rate_hz}"
            )

    @property
    def rate_code(self) -> int:
        """Header and block code of range and nominal rate."""
        low = 15 - round(np.log2(3200.0 / self.nominal_rate_hz))
        high = {16: 0, 8: 1, 4: 2, 2: 3}[self.range_g]
        return high << 6 | (min(max(low, 6), 15))

    @property
    def samples_per_block(self) -> int:
        """Samples that fill a data block."""
        width = 4 if self.packed else 2 * self.axes
        return layout.PAYLOAD_BYTES // width

    @property
    def counts_per_g(self) -> float:
        """Stored integer steps per g (before the exponent of packed samples)."""
        if self.packed:
            return 256.0 / 2 ** _EXPONENT[self.range_g]
        return 256.0 * 2**self.scale_bits

    @property
    def scale_bits(self) -> int:
        """Top three bits of the light field; AX3 devices leave them 0."""
        return _SCALE_BITS[self.range_g] if self.model == "AX6" else 0


def write_cwa(
    path: epath.PathLike,
    chunks: Iterable[np.ndarray],
    device: CwaDevice,
    *,
    temperature_c: Callable[[np.ndarray], np.ndarray] | float = 25.0,
    bad_blocks: Sequence[int] = (),
    interruptions: Sequence[Interruption] = (),
    truncated_bytes: int = 0,
) -> int:
    """Writes a CWA file under a temporary name and renames it when it is complete.

    Args:
      path: Where to.
      chunks: Acceleration `[s, 3]` in g, as measured; sample i of all chunks is
        taken at `device.start + i / device.rate_hz`. Samples that do not fill the
        last block are left out, as a device leaves them out.
      device: The logger.
      temperature_c: Degrees C, or a function of seconds since the start.
      bad_blocks: Blocks in which a byte is wrong, so that the checksum fails.
      interruptions: In order of their blocks.
      truncated_bytes: Bytes that are missing at the end of the file.

    Returns:
      The number of samples in the blocks written, bad ones included.
    """
    path = epath.Path(path)
    partial = path.with_name(path.name + ".tmp")
    samples, number = 0, 0
    with partial.open("wb") as handle:
        handle.write(_header(device))
        for stretch in _stretches(chunks, device, interruptions):
            blocks = _encode(stretch, device, temperature_c)
            raw = blocks.view(np.uint8).reshape(-1, layout.BLOCK_BYTES)
            for bad in bad_blocks:
                if 0 <= bad - number < len(raw):
                    raw[bad - number, 100] ^= 0x55
            samples += len(stretch.samples)
            number += len(raw)
            handle.write(raw.tobytes())
    if truncated_bytes:
        partial.write_bytes(partial.read_bytes()[:-truncated_bytes])
    partial.replace(path)
    return samples


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Stretch:
    """Whole blocks of consecutive samples and where they stand.

    Attributes:
      samples: Float32 `[blocks * samples_per_block, 3]`.
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


def _stretches(
    chunks: Iterable[np.ndarray],
    device: CwaDevice,
    interruptions: Sequence[Interruption],
) -> Iterator[_Stretch]:
    """Regroups samples into whole blocks and leaves out what interruptions lose."""
    size, waiting = device.samples_per_block, list(interruptions)
    pending = np.zeros((0, 3), np.float32)
    block = origin = done = sequence = restarts = skip = 0
    shift = 0.0
    for chunk in chunks:
        pending = np.concatenate([pending, chunk])
        while True:
            dropped = min(skip, len(pending))
            pending, skip = pending[dropped:], skip - dropped
            ready = len(pending) // size
            if waiting:
                ready = min(ready, waiting[0].block - block)
            if ready:
                yield _Stretch(
                    samples=pending[: ready * size],
                    origin=origin,
                    done=done,
                    sequence=sequence,
                    restarts=restarts,
                    clock_shift_s=shift,
                )
                pending = pending[ready * size :]
                block, sequence = block + ready, sequence + ready
                done += ready * size
            if not waiting or waiting[0].block != block:
                break
            stop = waiting.pop(0)
            skip = round(stop.lost_s * device.rate_hz)
            origin, done = origin + done + skip, 0
            sequence = 0 if stop.restart_sequence else sequence
            restarts += stop.new_session
            shift += stop.clock_shift_s


def _header(device: CwaDevice) -> bytes:
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


def _encode(
    stretch: _Stretch,
    device: CwaDevice,
    temperature_c: Callable[[np.ndarray], np.ndarray] | float,
) -> np.ndarray:
    """Data blocks `[k]` of a stretch."""
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
    blocks: np.ndarray, stretch: _Stretch, first: np.ndarray, device: CwaDevice
) -> None:
    """Sets timestamp, fraction and offset as a device with a FIFO does."""
    batch = _FIFO[device.model]
    anchor = -(-(first + device.samples_per_block) // batch) * batch  # since power-on
    offset = anchor - first
    time = device.start + stretch.clock_shift_s
    time = time + (stretch.origin + anchor) / device.rate_hz
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
    steps = np.rint(samples * np.float32(device.counts_per_g))
    size = device.samples_per_block
    if device.packed:
        bits = np.clip(steps, -512, 511).astype(np.int32).view(np.uint32) & 1023
        words = bits[:, 0] | bits[:, 1] << 10 | bits[:, 2] << 20
        words |= np.uint32(_EXPONENT[device.range_g] << 30)
        payload = words.astype("<u4").reshape(-1, size).view(np.uint8)
    else:
        axes = np.empty((len(steps), device.axes), "<i2")
        axes[:] = np.resize(_IDLE_COUNTS, device.axes)
        first = 0 if device.axes == 3 else 3
        axes[:, first : first + 3] = np.clip(steps, -32768, 32767)
        payload = axes.reshape(-1, size * device.axes).view(np.uint8)
    unused = layout.PAYLOAD_BYTES - payload.shape[1]  # nine axes leave 12 bytes over
    return np.ascontiguousarray(np.pad(payload, ((0, 0), (0, unused))))
