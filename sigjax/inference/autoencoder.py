"""An autoencoder out of its bundle: codes, reconstructions, scores, samples."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.inference.base import BundleError
from sigjax.inference.example_model import ExampleModel, key_of, sizes
from sigjax.inference.overlap import overlap_add
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.models.gan import AdversarialAutoencoderConfig
from sigjax.tasks.adversarial import (
    AdversarialAutoencoding,
    AdversarialAutoencodingConfig,
)
from sigjax.tasks.example_input import example_input
from sigjax.tasks.layerwise import reconstruction_task
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig
from sigjax.typing import PRNGKey

# What a bundle says of its task: `extra["task_kind"]`.
KINDS: Mapping[str, tuple[Any, Any, Any]] = {
    "reconstruction": (reconstruction_task, AutoencoderConfig, ReconstructionConfig),
    "adversarial": (
        AdversarialAutoencoding,
        AdversarialAutoencoderConfig,
        AdversarialAutoencodingConfig,
    ),
}


class AutoencoderModel(ExampleModel):
    """A trained autoencoder, ready for use.

    Examples go in raw, as the run read them: `[b, *raw_shape]` in `signal.units`.
    Images are grey levels, windows of a wrist g, sounds int16 counts of 32768, or,
    where the model takes a spectrogram, floats of full scale 1. Whatever comes out of
    the decoder is `[b, *config.input_shape]` in the units that the model takes,
    `raw * scale + offset` or a log-mel in [0, 1]; `denoise` gives raw units again.

    Attributes:
      params: Float32 parameters.
      config: Architecture.
      task: What it was trained to do.
      signal: Rate, channels and units of what it takes in.
      raw_shape: Of an example.
      labels: Names of the classes of its data; it has not learnt them.
      info: The whole of `bundle.json`.
    """

    kinds = KINDS

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds what `info` describes.

        Raises:
          BundleError: It describes no autoencoder.
        """
        super().__init__(params, info, state)
        self._reconstruct = jax.jit(self.task.reconstruct)
        self._encode = jax.jit(self.task.codes)
        self._generate = jax.jit(self.task.generate)
        self._score = jax.jit(self._scored)

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        into = f"[batch, {sizes(self.config.code_shape)}]"
        return self._described("encode", into)

    @property
    def denoises(self) -> bool:
        """Whether it was trained to undo a corruption."""
        noise = getattr(self.task.config, "noise", None)
        return noise is not None and noise.kind != "none"

    def apply(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Reconstructions, from the mean of a gaussian code; compiled once per shape.

        Args:
          x: `[b, *raw_shape]`.

        Returns:
          Float32 `[b, *config.input_shape]`, in the model's units.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._reconstruct(self._variables, self._checked(x))

    def as_taken(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Examples in the model's units, float32 `[b, *config.input_shape]`.

        Raises:
          BundleError: The shape does not fit.
        """
        own = self.task.config.input
        return example_input(self._checked(x), own, self.config.input_shape)

    def encode(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Codes, float32 `[b, *config.code_shape]`, of `[b, *raw_shape]`.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._encode(self._variables, self._checked(x))

    def decode(self, z: np.ndarray | jax.Array) -> jax.Array:
        """Examples of codes, float32 `[b, *config.input_shape]` in the model's units.

        Args:
          z: `[b, *config.code_shape]`; between two codes lie interpolations.

        Raises:
          BundleError: The shape does not fit, or the decoder unpools: it then needs
            what the encoder pooled.
        """
        z = jnp.asarray(z, jnp.float32)
        if z.shape[1:] != self.config.code_shape:
            raise BundleError(
                f"expected codes [batch, {sizes(self.config.code_shape)}], got"
                f" {tuple(z.shape)}"
            )
        if any(layer.kind == "max_unpool" for layer in self.config.decoder_layers):
            raise BundleError(
                "this decoder puts values where the encoder's maxima were: codes alone"
                " do not say where; use apply"
            )
        return self._generate(self._variables, z)

    def score(self, x: np.ndarray | jax.Array) -> jax.Array:
        """How unlike the training examples each is, float32 `[b]`: higher is odder.

        The loss of the reconstruction, of a gaussian code the negative bound in nats,
        of an adversarial autoencoder the mean squared error.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._score(self._variables, self._checked(x))

    def _scored(self, variables, x):
        if isinstance(self.task, Reconstruction):
            return self.task.score(variables, x)
        own = example_input(x, self.task.config.input, self.config.input_shape)
        off = own - self.task.reconstruct(variables, x)
        return jnp.square(off).reshape(len(x), -1).mean(axis=1)

    def sample(self, count: int, *, seed: int | PRNGKey = 0) -> jax.Array:
        """Draws of the prior, decoded: float32 `[count, *config.input_shape]`.

        Args:
          count: How many.
          seed: Or a key.

        Raises:
          BundleError: It has no prior: only a gaussian code has, and an adversarial
            autoencoder.
        """
        key = key_of(seed)
        if isinstance(self.task, AdversarialAutoencoding):
            return self.task.sample(self._variables, key, count)
        if self.config.code != "gaussian":
            raise BundleError(
                "a plain code has no distribution to draw from; train the variant 'vae'"
                " of configs/autoencoder.py, or 'adversarial' of configs/gan.py"
            )
        return self.decode(jax.random.normal(key, (count, *self.config.code_shape)))

    def denoise(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Reconstructions in raw units, float32 `[b, *raw_shape]`.

        Any autoencoder of values has them; only one that `denoises` was trained to.

        Raises:
          BundleError: The shape does not fit, or the model takes a log-mel, which
            cannot be made sound again.
        """
        if self.task.config.input.kind != "values":
            raise BundleError(
                "this model takes log-mels, of which phases are gone: apply gives the"
                " denoised log-mel, but no sound can be made of it"
            )
        return self.as_raw(self.apply(x))

    def denoise_signal(
        self, x: np.ndarray, *, overlap: float = 0.5, batch_size: int = 64
    ) -> np.ndarray:
        """Denoises a signal of any length: windows that overlap, weighted and added.

        Args:
          x: `[s]` or `[s, c]`, as the model's windows; at least one window long.
          overlap: Share of a window that the next one covers too, in [0, 1).
          batch_size: Windows at once.

        Returns:
          Float32, shaped as `x`, in raw units. Where windows overlap, each counts by
          a Hann window: there are no seams.

        Raises:
          BundleError: The model takes no windows of signals, or the signal is too
            short.
        """
        windows, starts = self.windows_of(x, overlap)
        parts = self.in_batches(self.denoise, windows, batch_size=batch_size)
        return overlap_add(parts, starts, len(x))
