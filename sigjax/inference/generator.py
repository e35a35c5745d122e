"""A GAN out of its bundle: examples of latent vectors, and what its critic says."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.inference.base import BundleError
from sigjax.inference.example_model import ExampleModel, key_of, sizes
from sigjax.models.gan import GanConfig, draw_prior
from sigjax.tasks.adversarial import AdversarialConfig, Generation
from sigjax.typing import PRNGKey


class GeneratorModel(ExampleModel):
    """A trained generator and its critic, ready for use.

    What is generated is `[b, *config.output_shape]` in the units that the critic takes,
    `raw * scale + offset` or a log-mel in [0, 1]; `as_raw` gives raw units again. Of a
    log-mel `sigjax.evals.autoencoders.inversion.to_sound` makes sound, whose phases
    Griffin and Lim's algorithm finds:

        c = model.task.config.input
        wave = to_sound(model.sample(1)[0], c.mel, top_db=c.top_db)

    Attributes:
      params: Float32 parameters of both; the average, where the run averaged them.
      config: Architecture of both; `latent` is the width of what it starts from.
      task: What they were trained to do.
      signal: Rate, channels and units of the examples.
      raw_shape: Of an example.
      labels: Names of the classes of its data; it has not learnt them.
      info: The whole of `bundle.json`.
    """

    kinds = {"generation": (Generation, GanConfig, AdversarialConfig)}

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds what `info` describes.

        Raises:
          BundleError: It describes no generator.
        """
        super().__init__(params, info, state)
        self._generate = jax.jit(self.task.generate)
        self._score = jax.jit(self.task.score)

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return (
            f"GeneratorModel({count:,} parameters; generate: [batch,"
            f" {self.config.latent}] -> [batch, {sizes(self.config.output_shape)}])"
        )

    def generate(self, z: np.ndarray | jax.Array) -> jax.Array:
        """Examples of latent vectors; compiled once per number of them.

        Args:
          z: `[b, config.latent]`, draws of `config.prior` or what lies between them.

        Returns:
          Float32 `[b, *config.output_shape]`, in the model's units.

        Raises:
          BundleError: The shape does not fit.
        """
        z = jnp.asarray(z, jnp.float32)
        if z.ndim != 2 or z.shape[1] != self.config.latent:
            raise BundleError(
                f"expected latent vectors [batch, {self.config.latent}], got"
                f" {tuple(z.shape)}"
            )
        return self._generate(self._variables, z)

    def sample(self, count: int, *, seed: int | PRNGKey = 0) -> jax.Array:
        """`generate` of draws of the prior: float32 `[count, *config.output_shape]`.

        Args:
          count: How many.
          seed: Or a key; the same draws the same.

        Raises:
          BundleError: None are asked for.
        """
        if count < 1:
            raise BundleError(f"sample: count must be 1 at least, got {count}")
        keys = jax.random.split(key_of(seed), count)
        return self.generate(draw_prior(self.config.prior, keys, self.config.latent))

    def score(self, x: np.ndarray | jax.Array) -> jax.Array:
        """The critic's logits of examples, float32 `[b]`: higher looks more like data.

        Args:
          x: Raw, `[b, *raw_shape]`; what is generated goes in by `as_raw`.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._score(self._variables, self._checked(x))
