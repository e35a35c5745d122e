"""Heads that turn tokens into class scores: linear, MLP, LSTM.

Lorenzen et al. 2025 (arXiv 2502.17477), sections II.C and III.F: a linear layer, or two
LSTM layers and a linear one, over the 300 tokens of a 50-minute window; HARNet10's own
head (Yuan et al. 2024) is an MLP. What the paper leaves open, and what is chosen here:

  * The LSTM's width is not stated: 512 by default, as wide as the MLP.
  * Its direction is not stated: forwards, the plain reading. `bidirectional` is there,
    since nothing about a recording that is over forbids it.
"""

import dataclasses
from typing import Literal, cast

import flax.linen as nn
import jax.numpy as jnp

from sigjax.typing import Array, Float, Int

HeadKind = Literal["linear", "mlp", "lstm"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """What stands on the encoder. Always float32: it is small.

    Attributes:
      kind: `"linear"`; `"mlp"`, a hidden layer with ReLU before it; `"lstm"`, `layers`
        LSTM layers before it, the only kind whose scores depend on neighbours.
      classes: Number of classes; 0 until the data tell.
      hidden: Width of the MLP's or each LSTM's layer.
      layers: LSTM layers.
      bidirectional: LSTM layers that read both ways, `2 * hidden` wide together.
      dropout: Share of inputs to each layer that is dropped in training.
      standardise: Shift and scale tokens first, by the collection `statistics` (`mean`
        and `scale`, `[d]`): 0 and 1 unless they are set from training data.
    """

    kind: HeadKind
    classes: int = 0
    hidden: int = 512
    layers: int = 2
    bidirectional: bool = False
    dropout: float = 0.0
    standardise: bool = False

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if self.classes < 0:
            raise ValueError(f"classes must not be negative, got {self.classes}")
        for name in ("hidden", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")


class Head(nn.Module):
    """See the module docstring.

    Attributes:
      config: Kind and sizes.
    """

    config: HeadConfig

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b n d"],
        length: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b n v"]:
        """Class scores of every token.

        Args:
          tokens: `[b, n, d]`, any float dtype.
          length: Int `[b]`, how many tokens of each window are real; all without it.
            The rest gets scores without meaning and does not change the others.
          train: Whether inputs are dropped; needs the `dropout` key if so.

        Returns:
          Float32 logits `[b, n, v]`.
        """
        c = self.config
        x = tokens.astype(jnp.float32)
        if c.standardise:
            width = x.shape[-1]
            mean = self.variable("statistics", "mean", jnp.zeros, (width,))
            scale = self.variable("statistics", "scale", jnp.ones, (width,))
            x = (x - mean.value) / scale.value
        if c.kind == "mlp":
            x = nn.relu(nn.Dense(c.hidden, name="hidden")(self._drop(x, train)))
        elif c.kind == "lstm":
            for layer in range(c.layers):
                x = self._lstm(self._drop(x, train), length, f"lstm_{layer}")
        return nn.Dense(c.classes, name="classes")(self._drop(x, train))

    def _drop(self, x: Array, train: bool) -> Array:
        if not self.config.dropout:
            return x
        return nn.Dropout(self.config.dropout, deterministic=not train)(x)

    def _lstm(self, x: Array, length: Array | None, name: str) -> Array:
        hidden = self.config.hidden

        def layer(name: str, reverse: bool = False) -> Array:
            cell = nn.OptimizedLSTMCell(hidden, parent=None)
            read = nn.RNN(cell, reverse=reverse, keep_order=True, name=name)
            return cast(Array, read(x, seq_lengths=length))

        forwards = layer(name)
        if not self.config.bidirectional:
            return forwards
        backwards = layer(f"{name}_backwards", reverse=True)
        return jnp.concatenate([forwards, backwards], axis=-1)
