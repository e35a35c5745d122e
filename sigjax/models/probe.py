"""Probes: small classifiers that tell what one layer's features hold.

The MLP is the one of "Comparing Self-Supervised Learning Models Pre-Trained on Human
Speech and Animal Vocalizations for Bioacoustics Processing" (Sarkar and Magimai.-Doss),
section III: three blocks of [Linear, LayerNorm, ReLU] with 128, 64 and 32 units, and a
linear layer. Without hidden blocks it is a linear probe. With `layers` it first learns
how much each layer counts: a softmax over layers, as the probes of SUPERB have it (Yang
et al. 2021, reference 27 of the paper).

Initial weights are drawn as PyTorch draws them: the paper's are.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn import torch_init
from sigjax.typing import Array, Float

_EPSILON = 1e-5  # PyTorch's, which the paper leaves as it is.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Sizes of a probe.

    Attributes:
      classes: `v`.
      hidden: Units of each hidden block; `()` is a linear probe.
      layers: How many layers are weighted; 0 for features of one layer.
    """

    classes: int
    hidden: tuple[int, ...] = (128, 64, 32)
    layers: int = 0

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if self.classes < 2:
            raise ValueError(f"a probe tells 2 classes at least, got {self.classes}")
        if any(units < 1 for units in self.hidden):
            raise ValueError(f"hidden units must be at least 1, got {self.hidden}")
        if self.layers < 0:
            raise ValueError(f"layers must not be negative, got {self.layers}")


class Probe(nn.Module):
    """See the module docstring.

    Attributes:
      config: Sizes.
    """

    config: ProbeConfig

    @nn.compact
    def __call__(self, x: Float[Array, "*a w"]) -> Float[Array, "b v"]:
        """Class scores.

        Args:
          x: Standardised features, float32 `[b, w]`; `[b, l, w]` with
            `config.layers = l`.

        Returns:
          Float32 logits `[b, v]`.
        """
        c = self.config
        if c.layers:
            scores = self.param("layers", nn.initializers.zeros, (c.layers,))
            x = jnp.einsum("blw,l->bw", x, jax.nn.softmax(scores))
        for number, units in enumerate(c.hidden):
            x = self._linear(x, units, f"linear_{number}")
            x = nn.LayerNorm(_EPSILON, use_fast_variance=False, name=f"norm_{number}")(
                x
            )
            x = nn.relu(x)
        return self._linear(x, c.classes, "classes")

    def _linear(self, x: Array, units: int, name: str) -> Array:
        return nn.Dense(
            units,
            kernel_init=torch_init.kernel_init,
            bias_init=torch_init.bias_init(x.shape[-1]),
            precision=jax.lax.Precision.HIGHEST,
            name=name,
        )(x)
