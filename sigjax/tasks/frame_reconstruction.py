"""Reconstruct a few consecutive log-mel frames: the autoencoder of the DCASE baselines.

A clip of 313 frames gives 309 vectors of 5 frames, one at each frame; each is
reconstructed alone. A clip's anomaly score is its mean squared error. Since 2023 the
baselines also score by residuals, `sigjax.evals.anomaly.selective`.

The baselines shuffle the vectors of all clips and take 512 at a time. Here a batch is
of clips; `vectors` draws some of each, so that 64 clips of 8 vectors are 512.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from sigjax.models.frame_autoencoder import FrameAutoencoder, FrameAutoencoderConfig
from sigjax.signal.mel import MelConfig, frame_count, log_mel
from sigjax.tasks.sound_input import dequantised
from sigjax.typing import Array, Batch, Float, LossOutput, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameReconstructionConfig:
    """What is reconstructed.

    Attributes:
      mel: How the spectrogram is computed; its values are not normalised.
      vectors: Drawn of each clip and training step, with replacement; 0 for all.
    """

    mel: MelConfig
    vectors: int = 0

    def __post_init__(self):
        """Refuses a count that is none."""
        if self.vectors < 0:
            raise ValueError(f"vectors must be >= 0, got {self.vectors}")


def stack_frames(x: Float[Array, "b t f"], frames: int) -> Float[Array, "b n p"]:
    """Every run of consecutive frames as one vector, frame after frame.

    Args:
      x: `[b, t, f]`.
      frames: Of a run.

    Returns:
      `[b, t - frames + 1, frames * f]`.

    Raises:
      ValueError: There are fewer frames.
    """
    count = x.shape[1] - frames + 1
    if count < 1:
        raise ValueError(
            f"a clip of {x.shape[1]} frames is shorter than a vector of {frames} frames"
        )
    return jnp.concatenate([x[:, i : i + count] for i in range(frames)], axis=-1)


class FrameReconstruction:
    """Task: an autoencoder on stacked frames.

    Batches hold `wave` int16 `[b, s]`; other keys are not looked at. Clips may be of
    any length that has a vector.
    """

    def __init__(
        self, model: FrameAutoencoderConfig, config: FrameReconstructionConfig
    ):
        """Checks that the spectrogram has the bands that the model takes."""
        if model.mels != config.mel.n_mels:
            raise ValueError(
                f"model.mels is {model.mels}, task.mel.n_mels {config.mel.n_mels}"
            )
        self.model_config, self.config = model, config
        self.model = FrameAutoencoder(model)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        return self.model.init(key, jnp.zeros((1, self.model_config.values)))

    def vector_count(self, samples: int) -> int:
        """Vectors of a clip."""
        return frame_count(samples, self.config.mel) - self.model_config.frames + 1

    def vectors(self, wave: Array) -> Float[Array, "b n p"]:
        """All vectors of clips, in dB: `[b, s]` to `[b, n, frames * mels]`."""
        x = log_mel(dequantised(wave), self.config.mel)
        return stack_frames(x, self.model_config.frames)

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Mean squared error of each clip's vectors, or of those drawn."""
        x = self.vectors(batch["wave"])
        if self.config.vectors:
            shape = (len(x), self.config.vectors, 1)
            index = jax.random.randint(key, shape, 0, x.shape[1])
            x = jnp.take_along_axis(x, index, axis=1)
        flat = x.reshape(-1, x.shape[-1])
        found, changed = self.model.apply(
            variables, flat, True, mutable=["batch_stats"]
        )
        error = jnp.square(flat - found).reshape(len(x), -1).mean(axis=1)
        return LossOutput(error, {}, changed)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Loss `[b]`: the score."""
        return {"loss": self.score(variables, batch["wave"])}

    def residuals(
        self, variables: Mapping[str, PyTree], wave: Array
    ) -> Float[Array, "b n p"]:
        """What the reconstruction leaves of each vector; a pure function, to be jitted.

        Args:
          variables: As trained.
          wave: Int16 `[b, s]`, or float32 in units of full scale.

        Returns:
          Float32 `[b, n, frames * mels]` in dB. For selective Mahalanobis each frame is
          a row of its own: `.reshape(b, -1, mels)`.
        """
        x = self.vectors(wave)
        found = self.model.apply(variables, x.reshape(-1, x.shape[-1]))
        assert isinstance(found, jax.Array)
        return x - found.reshape(x.shape)

    def score(self, variables: Mapping[str, PyTree], wave: Array) -> Float[Array, " b"]:
        """Mean squared error of each clip, float32 `[b]` in dB squared."""
        return jnp.square(self.residuals(variables, wave)).mean(axis=(1, 2))
