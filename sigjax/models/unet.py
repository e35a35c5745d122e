"""U-Net on maps of any size (Ronneberger et al. 2015, arXiv 1505.04597).

Every level of the way down is a block of convolutions and a pooling to half the size;
every level of the way up doubles the map, puts the block's output of the same level
beside it (the skip) and is a block again. Scores of each class stand at every place.

  sizes    with `padding="same"` a map of any size keeps it: where it is odd, the last
           row or column is pooled alone, and what doubling adds there is cut off.
           `"valid"` is the paper's: convolutions take their borders off, skips are cut
           to the middle, 572 x 572 becomes 388 x 388; maps that are odd at a pooling
           are refused.
  skips    False is the ablation: the way up sees the coarsest map alone.

The paper's network (`UNetConfig(classes=2, padding="valid", norm="none")` on one
channel) has 31,030,658 parameters, of which without skips 3,133,440 are missing.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.conv_block import (
    BlockNorm,
    BlockPadding,
    ConvBlock,
    Doubled,
    Scores,
    centred,
    halved,
)
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Architecture; the defaults are the paper's widths, with padding and batch norm.

    Attributes:
      classes: Scores at every place.
      widths: Channels of each level, finest first; the last is the coarsest map, so
        there is one pooling less than widths.
      convolutions: Of every block.
      taps: Of their kernels.
      skips: Whether the way up sees the way down.
      up: How maps are doubled; see `sigjax.nn.conv_block.Doubled`.
      padding: See the module docstring.
      norm: After every convolution of a block.
      dropout: Of the coarsest map.
      dtype: `"float32"` is full float32 on accelerators too, without TF32; `"auto"`
        computes in bfloat16 there.
    """

    classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    convolutions: int = 2
    taps: int = 3
    skips: bool = True
    up: Literal["transposed", "nearest"] = "transposed"
    padding: BlockPadding = "same"
    norm: BlockNorm = "batch"
    dropout: float = 0.0
    dtype: ComputeDtype = "float32"

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if self.classes < 1 or not self.widths or min(self.widths) < 1:
            raise ValueError(f"classes and widths must be at least 1, got {self}")
        if self.convolutions < 1 or self.taps < 1 or self.taps % 2 == 0:
            raise ValueError(
                "convolutions must be at least 1 and taps odd, got"
                f" {self.convolutions} and {self.taps}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")


class UNet(nn.Module):
    """Maps to scores of classes; see the module docstring.

    Parameters: `down1`, `down2`, ... (finest first), `bottom`, `double1`, `up1`, ... of
    the same levels, and `scores`.

    Attributes:
      config: The architecture.
    """

    config: UNetConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t f c"], train: bool = False
    ) -> Float[Array, "b i j v"]:
        """Scores of maps, each by itself unless batch norm is training.

        Args:
          x: `[b, t, f, c]`, of any size with `padding="same"`.
          train: Batch norm takes this batch's statistics and updates the running ones
            (`mutable=["batch_stats"]`); drop (`rngs={"dropout": ...}`).

        Returns:
          Float32 logits `[b, t, f, classes]`; smaller maps with `padding="valid"`.

        Raises:
          ValueError: A map is too small for `padding="valid"`, or odd at a pooling.
        """
        c, dtype = self.config, compute_dtype(self.config.dtype)
        settings = (c.convolutions, c.taps, c.padding, c.norm, dtype)
        skips, x = [], x.astype(dtype)
        for level, width in enumerate(c.widths[:-1], 1):
            self._check(x, level)
            x = ConvBlock(width, *settings, name=f"down{level}")(x, train)
            skips.append(x)
            self._check_even(x, level)
            x = halved(x)
        self._check(x, len(c.widths))
        x = ConvBlock(c.widths[-1], *settings, name="bottom")(x, train)
        x = nn.Dropout(c.dropout, deterministic=not train)(x)
        for level in range(len(skips), 0, -1):
            skip, width = skips.pop(), c.widths[level - 1]
            x = Doubled(width, c.up, dtype, name=f"double{level}")(x)
            if c.padding == "same":
                x = x[:, : skip.shape[1], : skip.shape[2]]
            if c.skips:
                x = jnp.concatenate([centred(skip, x.shape[1:3]), x], axis=-1)
            self._check(x, level)
            x = ConvBlock(width, *settings, name=f"up{level}")(x, train)
        return Scores(c.classes, name="scores")(x)

    def _check(self, x: Array, level: int) -> None:
        c = self.config
        least = c.convolutions * (c.taps - 1) + 1
        if c.padding == "valid" and min(x.shape[1:3]) < least:
            raise ValueError(
                f"level {level} of the U-Net gets a map of {x.shape[1:3]}, its"
                f" convolutions without padding need {least}: give larger maps, fewer"
                " widths, or padding='same'"
            )

    def _check_even(self, x: Array, level: int) -> None:
        if self.config.padding == "valid" and any(n % 2 for n in x.shape[1:3]):
            raise ValueError(
                f"level {level} of the U-Net pools an odd map of {x.shape[1:3]}: choose"
                " an input size for which all are even, or padding='same'"
            )
