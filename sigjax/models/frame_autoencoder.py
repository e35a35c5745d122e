"""The autoencoder of the DCASE baselines, on a few consecutive log-mel frames.

640-128-128-128-128-8-128-128-128-128-640: each layer but the last is linear, batch norm
and ReLU, the 8-d code too. Norms have epsilon 1e-3 and keep 99 % of their running
statistics (a momentum of 0.01 in PyTorch). 267,928 parameters.

Beside it, in the layers that all autoencoders here share, one that convolves a piece of
the spectrogram, and both with a Gaussian code: VAEs.
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.models.autoencoder_layouts import Kind, Latent, autoencoder_of
from sigjax.nn.conv import precision
from sigjax.nn.norm import batch_norm
from sigjax.typing import Array, Float

_FLOAT32 = jnp.dtype("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameAutoencoderConfig:
    """Architecture; the defaults are the baseline's.

    Attributes:
      frames: Consecutive frames in a vector.
      mels: Bands of a frame.
      widths: Of the encoder's hidden layers; the decoder has them in reverse. Each
        layer of `"conv"` halves frames and bands.
      code: Width of the bottleneck.
      kind: `"dense"` layers of the whole vector, or `"conv"`: 2-D convolutions of its
        frames and bands; see `autoencoder_of`.
      latent: `"plain"` code, or `"gaussian"`: its mean and log-variance (a VAE).
    """

    frames: int = 5
    mels: int = 128
    widths: tuple[int, ...] = (128, 128, 128, 128)
    code: int = 8
    kind: Kind = "dense"
    latent: Latent = "plain"

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if min(self.frames, self.mels, self.code, *self.widths) < 1:
            raise ValueError(f"sizes must be at least 1, got {self}")

    @property
    def is_baseline(self) -> bool:
        """Whether it is a `FrameAutoencoder`; else it is `Autoencoder(network)`."""
        return self.kind == "dense" and self.latent == "plain"

    @property
    def network(self) -> AutoencoderConfig:
        """In the grammar of all autoencoders; its code has no norm and no ReLU."""
        dense = self.kind == "dense"
        return autoencoder_of(
            self.kind,
            (self.values,) if dense else (self.frames, self.mels, 1),
            widths=self.widths,
            code=self.code,
            latent=self.latent,
        )

    @property
    def values(self) -> int:
        """Values in a vector."""
        return self.frames * self.mels


class FrameAutoencoder(nn.Module):
    """Vectors of stacked frames to their reconstruction.

    Attributes:
      config: The architecture.
    """

    config: FrameAutoencoderConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b p"], train: bool = False
    ) -> Float[Array, "b p"]:
        """Reconstructs each vector by itself unless training.

        Args:
          x: Float32 `[b, frames * mels]`, frame after frame, in dB.
          train: Normalise with the statistics of this batch and update the running
            ones (`mutable=["batch_stats"]`).

        Returns:
          Float32 of the same shape.

        Raises:
          ValueError: For vectors of another length.
        """
        c = self.config
        if x.shape[-1] != c.values:
            raise ValueError(
                f"the autoencoder takes {c.frames} frames of {c.mels} bands,"
                f" {c.values} values, got {x.shape[-1]}"
            )
        widths = (*c.widths, c.code, *c.widths[::-1])
        for i, width in enumerate(widths, 1):
            x = _dense(width, x.shape[-1], f"dense{i}")(x)
            # Log-mel comes in dB, unnormalised: a large mean.
            norm = batch_norm(
                train, f"norm{i}", _FLOAT32, momentum=0.99, epsilon=1e-3, exact=True
            )
            x = nn.relu(norm(x))
        return _dense(c.values, x.shape[-1], "output")(x)


def _dense(width: int, before: int, name: str) -> nn.Dense:
    """A linear layer that starts as PyTorch's do: uniform up to 1 / sqrt(fan-in)."""
    bound = 1 / math.sqrt(before)

    def uniform(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return nn.Dense(
        width,
        kernel_init=uniform,
        bias_init=uniform,
        precision=precision(_FLOAT32),
        name=name,
    )
