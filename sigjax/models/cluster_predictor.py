"""A speech encoder that predicts the cluster of every frame (HuBERT's pre-training).

Hsu et al. 2021 (arXiv 2106.07447), Eq. 3: the last frames, projected, are compared with
a learned code of each cluster; logits are cosines over a temperature. The encoder is
what is kept afterwards.

Parameters: `encoder/...` (`sigjax.models.speech_encoder`), `head/project` (kernel
[d, p], bias [p]) and `head/codes` [v, p].
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sigjax.losses.masked_prediction import cosine_logits
from sigjax.models.speech_encoder import SpeechEncoder, SpeechEncoderConfig
from sigjax.nn.precision import ComputeDtype
from sigjax.typing import Array, Bool, Float, Int


class Prediction(NamedTuple):
    """What is predicted of a batch.

    Attributes:
      logits: Float32 `[b, t, v]`.
      cnn: `[b, t, c]`, what the convolutions make of the wave.
      frames: Int32 `[b]`, frames that are no padding.
    """

    logits: Array
    cnn: Array
    frames: Array


class ClusterPredictor(nn.Module):
    """Waves to logits of clusters.

    Attributes:
      config: Of the encoder.
      clusters: How many there are.
      code_width: Of their codes.
      temperature: By which cosines are divided.
      dtype: See `SpeechEncoder`.
    """

    config: SpeechEncoderConfig
    clusters: int
    code_width: int = 256
    temperature: float = 0.1
    dtype: ComputeDtype = "auto"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b s"],
        samples: Int[Array, " b"],
        *,
        mask: Bool[Array, "b t"],
        deterministic: bool = True,
    ) -> Prediction:
        """Predicts all frames' clusters; arguments are `SpeechEncoder`'s."""
        encoder = SpeechEncoder(self.config, self.dtype, name="encoder")
        found = encoder(x, samples, mask=mask, deterministic=deterministic)
        logits = _Head(self.clusters, self.code_width, self.temperature, name="head")(
            found.last
        )
        return Prediction(logits, found.cnn, found.frames)


class _Head(nn.Module):
    clusters: int
    width: int
    temperature: float

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t v"]:
        x = nn.Dense(self.width, dtype=x.dtype, name="project")(x)
        codes = self.param(
            "codes", nn.initializers.uniform(1.0), (self.clusters, self.width)
        )
        return cosine_logits(x, jnp.asarray(codes), self.temperature)
