"""A classifier on an autoencoder's code: encoder and a linear layer.

The encoder is `sigjax.models.autoencoder.Autoencoder`'s or `sigjax.models.mae.Mae`'s,
with the same names of parameters: what an autoencoder has learnt can be put in its
place. The code of a masked autoencoder is the mean of its tokens, as in
`sigjax.models.window_classifier`; nothing is masked.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.models.mae import Mae, MaeConfig
from sigjax.nn import torch_init
from sigjax.nn.stack import Layer, Shape, Stack, stack_shapes
from sigjax.signal.patches import patchify
from sigjax.typing import Array, Float

_FLOAT32 = jnp.dtype("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeClassifierConfig:
    """Architecture: exactly one encoder, and how many classes.

    Attributes:
      input_shape: Of an example: `(d,)`, `(s, c)` or `(h, w, c)`.
      encoder: From the input to the code.
      mae: The encoder, if it is a masked autoencoder's, of `(s, c)`.
      classes: How many; 0 in a config that leaves it to the data.
      code: `"gaussian"`: the encoder is a variational autoencoder's, whose mean is
        classified.
    """

    input_shape: tuple[int, ...]
    encoder: tuple[Layer, ...] = ()
    mae: MaeConfig | None = None
    classes: int = 0
    code: Literal["plain", "gaussian"] = "plain"

    def __post_init__(self):
        """Refuses networks whose sizes do not meet; the message names the layer."""
        if bool(self.encoder) == (self.mae is not None):
            raise ValueError(
                "a classifier needs one encoder: layers in encoder, or mae with encoder"
                " empty"
            )
        if self.classes < 0 or self.classes == 1:
            raise ValueError(f"classes must be 2 at least, got {self.classes}")
        if self.mae is not None:
            patch_samples(self.mae, self.input_shape)
            if self.code != "plain":
                raise ValueError("a masked autoencoder has no gaussian code")
            return
        last = stack_shapes(self.encoder, self.input_shape)[-1]
        if self.code == "gaussian" and (len(last) != 1 or last[0] % 2):
            raise ValueError(
                "the encoder of a gaussian code ends in a vector of even length, mean"
                f" and log-variance, but this one makes {last}"
            )

    @property
    def code_shape(self) -> Shape:
        """Of an example's code, without the batch."""
        if self.mae is not None:
            return (self.mae.width,)
        last = stack_shapes(self.encoder, self.input_shape)[-1]
        return (last[0] // 2,) if self.code == "gaussian" else last


def patch_samples(model: MaeConfig, shape: Shape) -> int:
    """Samples of a patch of examples `shape`, `(s, c)`.

    Raises:
      ValueError: They are no signals, or not a whole number of patches long.
    """
    length, channels = shape if len(shape) == 2 else (0, 1)
    found = model.patch_size // channels
    if not length or model.patch_size % channels or length % found:
        raise ValueError(
            "a masked autoencoder takes examples (samples, channels) of a whole number"
            f" of patches; patches of {model.patch_size} values do not divide {shape}:"
            " change patch_size"
        )
    return found


class CodeClassifier(nn.Module):
    """Examples to class scores. Parameters: `encoder` and `head`.

    Of a stack `encoder` holds `layer0`, ..., of a masked autoencoder `embed`, `encoder`
    and `mask_token`.

    Attributes:
      config: The architecture.
      dtype: What it computes in.
    """

    config: CodeClassifierConfig
    dtype: jnp.dtype = _FLOAT32

    def setup(self):
        """Encoder and head; the head starts as PyTorch's linear layers do."""
        if self.config.mae is not None:
            self.encoder = Mae(self.config.mae)
        else:
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
        if self.config.mae is not None:
            assert isinstance(self.encoder, Mae)
            samples = patch_samples(self.config.mae, self.config.input_shape)
            tokens = self.encoder.encode(patchify(x, samples))
            return tokens.astype(jnp.float32).mean(axis=1)
        assert isinstance(self.encoder, Stack)
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
