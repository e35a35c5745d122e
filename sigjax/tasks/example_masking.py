"""Masked modelling of examples that are windows already: hide patches of each.

Lorenzen et al. 2025 (arXiv 2502.17477), section II.C-D, as in
`sigjax.tasks.masked_modelling`, whose windows are cut from recordings of hours. Here an
example is a window, so that what learns from few labels can be pre-trained on the very
windows whose labels are hidden.
"""

import dataclasses

import jax

from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.code_classifier import patch_samples
from sigjax.models.mae import MaeConfig
from sigjax.signal.corruption import example_keys
from sigjax.signal.masking import random_masked_index
from sigjax.signal.patches import patchify
from sigjax.tasks.example_input import ExampleInputConfig, example_input
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig
from sigjax.typing import Array, Batch, Float, Int, PRNGKey


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleMaskingConfig:
    """How an example becomes patches.

    Attributes:
      input_shape: Of an example: `(s, c)`.
      mask_rate: Share of patches hidden: exactly `round(mask_rate * patches)`.
      input: What the model is given: values as they are, in the signal's units.
    """

    input_shape: tuple[int, ...]
    mask_rate: float
    input: ExampleInputConfig = ExampleInputConfig()

    def __post_init__(self):
        """Refuses inputs in other units than the loss's: its floor is in g."""
        if self.input != ExampleInputConfig():
            raise ValueError(
                "a masked autoencoder takes values in their units: leave input.kind"
                f" 'values', scale 1, offset 0; got {self.input}"
            )


class ExampleMasking(MaskedModelling):
    """Task: reconstruct the masked patches of every example.

    Batches hold `x` `[b, s, c]` in the signal's units. An example's mask depends on the
    step's key and on what it holds, not on its place in the batch.
    """

    def __init__(
        self,
        model: MaeConfig,
        loss: SpectralLossConfig,
        config: ExampleMaskingConfig,
    ):
        """Checks that the three sections fit together.

        Raises:
          ValueError: Naming the keys that do not.
        """
        patch = patch_samples(model, config.input_shape)
        length, channels = config.input_shape
        super().__init__(
            model,
            loss,
            # Seconds are samples here: examples need no rate.
            MaskedModellingConfig(
                rate_hz=1.0,
                channels=channels,
                window_s=float(length),
                windows=1,
                patch_s=float(patch),
                mask_rate=config.mask_rate,
            ),
        )
        self.example_config = config

    def windows(self, batch: Batch) -> Float[Array, "b n p"]:
        """Patches of every example."""
        return patchify(self._input(batch), self.config.patch_samples)

    def mask(self, batch: Batch, key: PRNGKey) -> Int[Array, "b m"]:
        """Masked positions of every example, ascending."""
        keys = example_keys(self._input(batch), key)
        tokens, count = self.config.tokens, self.masked
        return jax.vmap(lambda k: random_masked_index(k, tokens, count))(keys)

    def _input(self, batch: Batch) -> Float[Array, "b s c"]:
        own = self.example_config
        return example_input(batch["x"], own.input, own.input_shape)


__all__ = ["ExampleMasking", "ExampleMaskingConfig"]
