"""A classifier on an autoencoder's code: encoder and a linear layer.

The encoder is `sigjax.models.autoencoder.Autoencoder`'s, with the same names of
parameters: what an autoencoder has learnt can be put in its place.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn import torch_init
from sigjax.nn.stack import Layer, Shape, Stack, stack_shapes
from sigjax.typing import Array, Float

_FLOAT32 = jnp.dtype("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeClassifierConfig:
    """Architecture.

    Attributes:
      input_shape: Of an example: `(d,)`, `(s, c)` or `(h, w, c)`.
      encoder: From the input to the code.
      classes: How many; 0 in a config that leaves it to the data.
      code: `"gaussian"`: the encoder is a variational autoencoder's, whose mean is
        classified.
    """

    input_shape: tuple[int, ...]
    encoder: tuple[Layer, ...]
    classes: int = 0
    code: Literal["plain", "gaussian"] = "plain"

    def __post_init__(self):
        """Refuses networks whose sizes do not meet; the message names the layer."""
        if not self.encoder:
            raise ValueError("a classifier needs layers in its encoder")
        if self.classes < 0 or self.classes == 1:
            raise ValueError(f"classes must be 2 at least, got {self.classes}")
        last = stack_shapes(self.encoder, self.input_shape)[-1]
        if self.code == "gaussian" and (len(last) != 1 or last[0] % 2):
            raise ValueError(
                "the encoder of a gaussian code ends in a vector of even length, mean"
                f" and log-variance, but this one makes {last}"
            )

    @property
    def code_shape(self) -> Shape:
        """Of an example's code, without the batch."""
        last = stack_shapes(self.encoder, self.input_shape)[-1]
        return (last[0] // 2,) if self.code == "gaussian" else last


class CodeClassifier(nn.Module):
    """Examples to class scores. Parameters: `encoder` (`layer0`, ...) and `head`.

    Attributes:
      config: The architecture.
      dtype: What it computes in.
    """

    config: CodeClassifierConfig
    dtype: jnp.dtype = _FLOAT32

    def setup(self):
        """Encoder and head; the head starts as PyTorch's linear layers do."""
        self.encoder = Stack(self.config.encoder, self.dtype)
        fan_in = 1
        for size in self.config.code_shape:
            fan_in *= size
        self.head = torch_init.dense(self.config.classes, fan_in, self.dtype, "head")

    def encode(self, x: Float[Array, "b *a"], train: bool = False) -> Array:
        """The code, float32 `[b, *code_shape]`; the mean if it is gaussian.

        Raises:
          ValueError: Another shape.
        """
        if x.shape[1:] != self.config.input_shape:
            raise ValueError(
                f"an example has shape {self.config.input_shape}, got {x.shape[1:]}"
            )
        code = self.encoder(x, train).x.astype(jnp.float32)
        return jnp.split(code, 2, axis=-1)[0] if self.config.code != "plain" else code

    def __call__(
        self, x: Float[Array, "b *a"], train: bool = False, frozen: bool = False
    ) -> Float[Array, "b v"]:
        """Float32 logits.

        Args:
          x: `[b, *input_shape]`.
          train: See `Stack`.
          frozen: The encoder runs as it is used (running statistics, no dropout), and
            no gradient reaches it.
        """
        code = self.encode(x, train and not frozen)
        if frozen:
            code = jax.lax.stop_gradient(code)
        return self.head(code.reshape(len(code), -1)).astype(jnp.float32)
