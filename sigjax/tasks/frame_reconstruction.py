"""Reconstruct a few consecutive log-mel frames: the autoencoder of the DCASE baselines.

A clip of 313 frames gives 309 vectors of 5 frames, one at each frame; each is
reconstructed alone. A clip's anomaly score is its mean squared error. Since 2023 the
baselines also score by residuals, `sigjax.evals.anomaly.selective`.

The baselines shuffle the vectors of all clips and take 512 at a time. Here a batch is
of clips; `vectors` draws some of each, so that 64 clips of 8 vectors are 512.

Other networks (`FrameAutoencoderConfig.kind`, `latent`) and denoising (`noise`) take
the same place. What they see can be normalised (`normalise`), by a collection
`statistics` as in `sigjax.tasks.section_id`; losses and scores stay in dB squared.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from sigjax.losses.variational import kl_normal
from sigjax.models.autoencoder import Autoencoder
from sigjax.models.frame_autoencoder import FrameAutoencoder, FrameAutoencoderConfig
from sigjax.signal.corruption import CorruptionConfig, corrupt, example_keys
from sigjax.signal.mel import MelConfig, frame_count, log_mel
from sigjax.tasks.sound_input import dequantised
from sigjax.typing import Array, Batch, Float, LossOutput, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameReconstructionConfig:
    """What is reconstructed.

    Attributes:
      mel: How the spectrogram is computed.
      vectors: Drawn of each clip and training step, with replacement; 0 for all.
      hop: Frames from one vector to the next. Those after the last whole vector are not
        looked at.
      normalise: Bring values to mean 0 and standard deviation 1 over the training
        clips; without, the network takes dB as they are.
      noise: What is done to the vectors in training, and undone by the network
        (Vincent et al. 2010); in units of what it takes.
      beta: Weight of the Kullback-Leibler divergence of Gaussian codes (Higgins et al.
        2017). The likelihood is a Gaussian whose standard deviation is that of the
        training clips' values; its bound is scaled so that the loss is a squared error
        in dB, and 2 / p of the divergence of a vector of p values.
    """

    mel: MelConfig
    vectors: int = 0
    hop: int = 1
    normalise: bool = False
    noise: CorruptionConfig = CorruptionConfig()
    beta: float = 1.0

    def __post_init__(self):
        """Refuses counts and weights that are none."""
        if self.vectors < 0:
            raise ValueError(f"vectors must be >= 0, got {self.vectors}")
        if self.hop < 1 or self.beta < 0:
            raise ValueError(
                f"hop must be >= 1 and beta >= 0, got {self.hop} and {self.beta}"
            )


def stack_frames(
    x: Float[Array, "b t f"], frames: int, hop: int = 1
) -> Float[Array, "b n p"]:
    """Runs of consecutive frames as one vector each, frame after frame.

    Args:
      x: `[b, t, f]`.
      frames: Of a run.
      hop: Frames from the beginning of a run to that of the next.

    Returns:
      `[b, 1 + (t - frames) // hop, frames * f]`.

    Raises:
      ValueError: There are fewer frames.
    """
    last = x.shape[1] - frames
    if last < 0:
        raise ValueError(
            f"a clip of {x.shape[1]} frames is shorter than a vector of {frames} frames"
        )
    parts = [x[:, i : i + last + 1 : hop] for i in range(frames)]
    return jnp.concatenate(parts, axis=-1)


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
        if config.hop > model.frames:
            raise ValueError(
                f"task.hop is {config.hop} and model.frames {model.frames}: frames"
                " between two vectors would never be looked at"
            )
        self.model_config, self.config = model, config
        self.model = FrameAutoencoder(model)
        if not model.is_baseline:
            self.model = Autoencoder(model.network)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        given = self._shaped(jnp.zeros((1, self.model_config.values)))
        variables = dict(self.model.init(key, given))
        if self.config.normalise:
            variables["statistics"] = {"mean": jnp.zeros(()), "std": jnp.ones(())}
        return variables

    def vector_count(self, samples: int) -> int:
        """Vectors of a clip."""
        last = frame_count(samples, self.config.mel) - self.model_config.frames
        return last // self.config.hop + 1

    def vectors(self, wave: Array) -> Float[Array, "b n p"]:
        """All vectors of clips, in dB: `[b, s]` to `[b, n, frames * mels]`."""
        x = log_mel(dequantised(wave), self.config.mel)
        return stack_frames(x, self.model_config.frames, self.config.hop)

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Mean squared error of each clip's vectors, or of those drawn, in dB squared.

        Of Gaussian codes the bound that `beta` describes; its parts are the metrics
        `error`, in dB squared, and `kl`, in nats for a vector.
        """
        c, gaussian = self.config, self.model_config.latent == "gaussian"
        noisy = c.noise.kind != "none"
        draw_key = noise_key = code_key = key
        if noisy or gaussian:
            draw_key, noise_key, code_key = jax.random.split(key, 3)
        x = self.vectors(batch["wave"])
        if c.vectors:
            shape = (len(x), c.vectors, 1)
            index = jax.random.randint(draw_key, shape, 0, x.shape[1])
            x = jnp.take_along_axis(x, index, axis=1)
        clean = self._normalised(variables, x.reshape(-1, x.shape[-1]))
        given = self._shaped(clean)
        if noisy:
            given = corrupt(given, c.noise, example_keys(given, noise_key))
        drawn: dict[str, Any] = {}
        if gaussian:
            drawn["key"] = example_keys(given, code_key)
        out, changed = self.model.apply(
            variables,
            given,
            True,
            **drawn,
            mutable=["batch_stats"],
        )
        std = variables["statistics"]["std"] if c.normalise else 1.0
        error = jnp.square(std * (clean - self._reconstruction(out, clean)))
        error = error.reshape(len(x), -1).mean(axis=1)
        if c.normalise:
            changed = {**changed, "statistics": variables["statistics"]}
        if not gaussian:
            return LossOutput(error, {}, changed)
        kl = kl_normal(out.mean, out.log_variance).reshape(len(x), -1).mean(axis=1)
        weight = 2 * c.beta / self.model_config.values * std**2
        return LossOutput(error + weight * kl, {"error": error, "kl": kl}, changed)

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
        clean = self._normalised(variables, x.reshape(-1, x.shape[-1]))
        out = self.model.apply(variables, self._shaped(clean))
        left = (clean - self._reconstruction(out, clean)).reshape(x.shape)
        return left * variables["statistics"]["std"] if self.config.normalise else left

    def score(self, variables: Mapping[str, PyTree], wave: Array) -> Float[Array, " b"]:
        """Mean squared error of each clip, float32 `[b]` in dB squared."""
        return jnp.square(self.residuals(variables, wave)).mean(axis=(1, 2))

    def _normalised(self, variables: Mapping[str, PyTree], x: Array) -> Array:
        if not self.config.normalise:
            return x
        return (x - variables["statistics"]["mean"]) / variables["statistics"]["std"]

    def _shaped(self, x: Array) -> Array:
        """Vectors `[m, p]` as the network takes them."""
        if self.model_config.is_baseline:
            return x
        return x.reshape(len(x), *self.model_config.network.input_shape)

    def _reconstruction(self, out: Any, x: Array) -> Array:
        """The network's reconstruction in the shape of vectors `[m, p]`."""
        found = out if self.model_config.is_baseline else out.reconstruction
        return found.reshape(x.shape)
