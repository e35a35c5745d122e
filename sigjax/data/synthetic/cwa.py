"""Writes valid CWA files of simulated accelerometers, with faults on request.

Follows the Open Movement specification (`Docs/ax3/ax3-technical.md`) and what real
AX3 and AX6 files show: an AX3 notes the time when a batch of 25 samples leaves the
sensor's FIFO, so a block's anchor lies 0 to 24 samples past its end.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from etils import epath

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.synthetic import damage as dmg
from sigjax.data.synthetic.cwa_device import CwaDevice
from sigjax.data.synthetic.cwa_encode import Stretch, encode_blocks, encode_header
from sigjax.data.synthetic.truth import StoredRun

__all__ = ["CwaDevice", "Interruption", "stored_runs", "write_cwa"]


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


def write_cwa(
    path: epath.PathLike,
    chunks: Iterable[np.ndarray],
    device: CwaDevice,
    *,
    temperature_c: Callable[[np.ndarray], np.ndarray] | float = 25.0,
    bad_blocks: Sequence[int] = (),
    damage: Sequence[dmg.Damage] = (),
    interruptions: Sequence[Interruption] = (),
    truncated_bytes: int = 0,
) -> int:
    """Writes a CWA file under a temporary name and renames it when it is complete.

    Args:
      path: Where to.
      chunks: Acceleration `[s, 3]` in g, as measured, or `[s, 6]` with degrees per
        second for devices with a gyroscope; sample i of all chunks is taken at
        `device.start + device.seconds_at(i)`. Samples that do not fill the last
        block are left out, as a device leaves them out.
      device: The logger.
      temperature_c: Degrees C, or a function of seconds since the start.
      bad_blocks: Blocks in which a byte is wrong, so that the checksum fails.
      damage: What else is wrong with blocks.
      interruptions: In order of their blocks.
      truncated_bytes: Bytes that are missing at the end of the file.

    Returns:
      The number of samples in the blocks written, bad ones included.
    """
    path = epath.Path(path)
    partial = path.with_name(path.name + ".tmp")
    samples, number, before = 0, 0, b""
    damage = [*(dmg.Damage(block=bad) for bad in bad_blocks), *damage]
    with partial.open("wb") as handle:
        handle.write(encode_header(device))
        for stretch in _stretches(chunks, device, interruptions):
            blocks = encode_blocks(stretch, device, temperature_c)
            raw = blocks.view(np.uint8).reshape(-1, layout.BLOCK_BYTES)
            dmg.apply(raw, number, before, damage)
            samples += len(stretch.samples)
            number += len(raw)
            before = raw[-1].tobytes()
            handle.write(raw.tobytes())
    if truncated_bytes:
        partial.write_bytes(partial.read_bytes()[:-truncated_bytes])
    partial.replace(path)
    return samples


def stored_runs(
    samples: int, device: CwaDevice, interruptions: Sequence[Interruption] = ()
) -> tuple[StoredRun, ...]:
    """Where `write_cwa` puts the first `samples` samples of its chunks."""
    size = device.samples_per_block
    runs, first, block, shift = [], 0, 0, 0.0
    for stop in [*interruptions, None]:
        ready = max(samples - first, 0) // size
        if stop is not None:
            ready = min(ready, stop.block - block)
        if ready > 0:
            run = StoredRun(
                block=block, first=first, samples=ready * size, clock_shift_s=shift
            )
            runs.append(run)
        block += ready
        if stop is None or block != stop.block:
            break
        first += ready * size + round(stop.lost_s * device.rate_hz)
        shift += stop.clock_shift_s
    return tuple(runs)


def _stretches(
    chunks: Iterable[np.ndarray],
    device: CwaDevice,
    interruptions: Sequence[Interruption],
) -> Iterator[Stretch]:
    """Regroups samples into whole blocks and leaves out what interruptions lose."""
    size, waiting = device.samples_per_block, list(interruptions)
    pending: np.ndarray | None = None
    block = origin = done = sequence = restarts = skip = 0
    shift = 0.0
    for chunk in chunks:
        pending = chunk if pending is None else np.concatenate([pending, chunk])
        while True:
            dropped = min(skip, len(pending))
            pending, skip = pending[dropped:], skip - dropped
            ready = len(pending) // size
            if waiting:
                ready = min(ready, waiting[0].block - block)
            if ready:
                yield Stretch(
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
