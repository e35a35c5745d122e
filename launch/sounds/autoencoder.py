"""Autoencoders of log-mel frames, as in the DCASE Task 2 baselines: config sections."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from launch.sounds.sections import ScoringConfig, kept_statistics, open_sounds
from sigjax.config import ConfigError
from sigjax.data.machine_sound.stream import SoundData, SoundDataConfig
from sigjax.models.frame_autoencoder import FrameAutoencoderConfig
from sigjax.tasks.frame_reconstruction import (
    FrameReconstruction,
    FrameReconstructionConfig,
)
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundAutoencoder:
    """An autoencoder of log-mel frames: one config section per field."""

    seed: int
    task: FrameReconstructionConfig
    data: SoundDataConfig
    model: FrameAutoencoderConfig
    scoring: ScoringConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def make_task(self, data: SoundData | None = None) -> FrameReconstruction:
        """The task, with sections checked against each other."""
        del data  # it has no classes
        try:
            return FrameReconstruction(self.model, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        rows = self.data.batch_size
        samples = round(self.data.clip_s * self.task.mel.rate_hz)
        return {
            "wave": jax.ShapeDtypeStruct((rows, samples), np.int16),
            "label": jax.ShapeDtypeStruct((rows,), np.int32),
            "domain": jax.ShapeDtypeStruct((rows,), np.int32),
        }

    def open_data(self, workdir: epath.Path) -> SoundData:
        """Opens the set, or simulates one."""
        return open_sounds(self.data, workdir, rate_hz=round(self.task.mel.rate_hz))

    def given(self, task, data: SoundData, workdir: epath.Path) -> dict[str, Any]:
        """Statistics of the input, where it is normalised; weights are drawn."""
        if not task.config.normalise:
            return {}
        return {"statistics": kept_statistics(data, self.task.mel, workdir)}

    def report(self, trainer, task: Any, workdir: epath.Path) -> None:
        """Says what to do next."""
        del trainer, task
        if jax.process_index() == 0:
            print(
                f"trained; next: python -m launch.evaluate --workdir={workdir}",
                flush=True,
            )
