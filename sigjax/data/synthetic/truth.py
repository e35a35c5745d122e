"""What a simulated file truly holds, in memory and as JSON beside it."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from sigjax.data.synthetic.clock import SampleClock
from sigjax.data.synthetic.damage import Damage
from sigjax.data.synthetic.schedule import Span


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredRun:
    """Consecutive samples in a file.

    Attributes:
      block: Number of the first one's data block in the file.
      first: Position of the first among all samples ever taken.
      samples: How many.
      clock_shift_s: How far the clock had been set by then.
    """

    block: int
    first: int
    samples: int
    clock_shift_s: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RecordingTruth:
    """What a reader has to find out about a file.

    Times are seconds since `start` on a clock that nobody set; sample positions count
    every sample that the sensor took, stored or lost.

    Attributes:
      start: Seconds since 1970-01-01 (device-local) of sample 0.
      spans: Activities that cover the recording without gaps, in order.
      gain: `[3]`, and
      offset_g: `[3]`, and
      temp_coeff_g_per_c: `[3]`: see `WristTruth`.
      clock: When each sample was taken.
      samples_per_block: In the file.
      runs: What was stored, in file order.
      damage: Blocks that were damaged afterwards.
      truncated_bytes: Missing at the end of the file.
      simulation: The parameters that gave these samples.
    """

    start: float
    spans: tuple[Span, ...]
    gain: np.ndarray
    offset_g: np.ndarray
    temp_coeff_g_per_c: np.ndarray
    clock: SampleClock
    samples_per_block: int
    runs: tuple[StoredRun, ...]
    damage: tuple[Damage, ...] = ()
    truncated_bytes: int = 0
    simulation: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def blocks(self) -> int:
        """Data blocks in the file, the bad ones included."""
        return sum(run.samples for run in self.runs) // self.samples_per_block

    @property
    def bad_blocks(self) -> frozenset[int]:
        """Numbers of the blocks whose samples are lost."""
        cut = -(-self.truncated_bytes // 512)
        return frozenset(
            {one.block for one in self.damage if one.block < self.blocks}
            | set(range(self.blocks - cut, self.blocks))
        )

    def intact(self) -> tuple[np.ndarray, np.ndarray]:
        """What is left to be read, in file order.

        Returns:
          Int64 `[n]` sample positions and float64 `[n]`, seconds since 1970-01-01 on
          the device's clock as it was then set.
        """
        size, bad = self.samples_per_block, self.bad_blocks
        index, time = [np.zeros(0, np.int64)], [np.zeros(0)]
        for run in self.runs:
            position = run.first + np.arange(run.samples)
            block = run.block + np.arange(run.samples) // size
            position = position[~np.isin(block, list(bad))]
            index.append(position)
            seconds = self.clock.seconds_at(position)
            time.append(self.start + run.clock_shift_s + seconds)
        return np.concatenate(index), np.concatenate(time)

    def hours(self, *activities: str) -> float:
        """Hours of these activities in `spans`, whether stored or not."""
        spans = [s for s in self.spans if s.activity in activities]
        return sum(s.end_s - s.start_s for s in spans) / 3600

    def save(self, path: epath.PathLike) -> None:
        """Writes JSON."""
        described = {
            "simulation": dict(self.simulation),
            "gain": self.gain.tolist(),
            "offset_g": self.offset_g.tolist(),
            "temp_coeff_g_per_c": self.temp_coeff_g_per_c.tolist(),
            "start": self.start,
            "samples_per_block": self.samples_per_block,
            "runs": [dataclasses.asdict(run) for run in self.runs],
            "damage": [dataclasses.asdict(one) for one in self.damage],
            "truncated_bytes": self.truncated_bytes,
            "clock": {
                "index": self.clock.index.tolist(),
                "seconds": self.clock.seconds.tolist(),
            },
            "spans": [dataclasses.asdict(span) for span in self.spans],
        }
        epath.Path(path).write_text(json.dumps(described, indent=1))

    @classmethod
    def load(cls, path: epath.PathLike) -> "RecordingTruth":
        """Reads what `save` wrote."""
        found = json.loads(epath.Path(path).read_text())
        clock = {key: np.array(knots) for key, knots in found.pop("clock").items()}
        errors = ("gain", "offset_g", "temp_coeff_g_per_c")
        return cls(
            spans=tuple(Span(**span) for span in found.pop("spans")),
            clock=SampleClock(**clock),
            runs=tuple(StoredRun(**run) for run in found.pop("runs")),
            damage=tuple(Damage(**one) for one in found.pop("damage")),
            **{key: np.array(found.pop(key)) for key in errors},
            **found,
        )
