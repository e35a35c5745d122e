"""FCN-32s, 16s and 8s: fully convolutional (Long et al. 2015, arXiv 1411.4038).

Five stages of convolutions, each with a pooling to half the size, then two wide
convolutions and scores of each class at a 32nd of the size. Scores are enlarged by
transposed convolutions that begin as bilinear interpolation:

  stride 32   scores x 32
  stride 16   (scores x 2 + scores of the 4th pooling) x 16
  stride 8    ((scores x 2 + scores of the 4th) x 2 + scores of the 3rd) x 8

The doublings are trained, the last enlargement is fixed, and all scores begin at zero,
as in the paper. There, 100 zeros are put around the map and the result is cut at an
offset; here convolutions keep a map's size, an odd map's last row or column is pooled
alone, and an enlarged map begins where its input does, so that every place of the
result belongs to the place of the input over which it stands. Any size will do.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.conv_block import BlockNorm, ConvBlock, Scores, halved
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.transposed_conv import transposed_convolution
from sigjax.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class FcnConfig:
    """Architecture; the defaults are VGG-16's stages, as in the paper.

    Attributes:
      classes: Scores at every place.
      stride: Of the finest scores: 32, 16 or 8.
      widths: Channels of the five stages.
      convolutions: Of each stage.
      wide: Channels of the two convolutions behind them.
      wide_taps: Size of the first one's kernel; the second is 1x1.
      dropout: Behind each of the two.
      norm: After every convolution of a stage; the paper has none.
      dtype: `"float32"` is full float32 on accelerators too, without TF32; `"auto"`
        computes in bfloat16 there.
    """

    classes: int
    stride: Literal[32, 16, 8] = 8
    widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512)
    convolutions: tuple[int, int, int, int, int] = (2, 2, 3, 3, 3)
    wide: int = 4096
    wide_taps: int = 7
    dropout: float = 0.5
    norm: BlockNorm = "none"
    dtype: ComputeDtype = "float32"

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if self.stride not in (32, 16, 8):
            raise ValueError(f"stride must be 32, 16 or 8, got {self.stride}")
        counts = (self.classes, self.wide, *self.widths, *self.convolutions)
        if min(counts) < 1 or self.wide_taps % 2 == 0:
            raise ValueError(f"sizes must be at least 1 and wide_taps odd: {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")


class Fcn(nn.Module):
    """Maps to scores of classes; see the module docstring.

    Parameters: `stage1` to `stage5`, `wide1`, `wide2`, `scores`, and of the finer ones
    `scores4`, `double4`, `scores3`, `double3`.

    Attributes:
      config: The architecture.
    """

    config: FcnConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t f c"], train: bool = False
    ) -> Float[Array, "b t f v"]:
        """Scores of maps of any size, each by itself unless batch norm is training.

        Args:
          x: `[b, t, f, c]`.
          train: Batch norm takes this batch's statistics and updates the running ones
            (`mutable=["batch_stats"]`); drop (`rngs={"dropout": ...}`).

        Returns:
          Float32 logits `[b, t, f, classes]`.
        """
        c, dtype = self.config, compute_dtype(self.config.dtype)
        size, pooled, x = x.shape[1:3], [], x.astype(dtype)
        for stage, (width, count) in enumerate(
            zip(c.widths, c.convolutions, strict=True), 1
        ):
            block = ConvBlock(
                width, count, norm=c.norm, dtype=dtype, name=f"stage{stage}"
            )
            x = halved(block(x, train))
            pooled.append(x)
        for number, taps in enumerate((c.wide_taps, 1), 1):
            x = ConvBlock(
                c.wide, 1, taps, norm="none", dtype=dtype, name=f"wide{number}"
            )(x, train)
            x = nn.Dropout(c.dropout, deterministic=not train)(x)
        found, step = Scores(c.classes, zero=True, name="scores")(x), 32
        while step > c.stride:
            step //= 2
            level = 4 if step == 16 else 3
            finer = pooled[level - 1]
            own = Scores(c.classes, zero=True, name=f"scores{level}")(finer)
            kernel = self.param(
                f"double{level}", lambda key: jnp.asarray(_kernel(2, c.classes))
            )
            found = enlarged(found, kernel, 2, own.shape[1:3]) + own
        return enlarged(found, _kernel(step, c.classes), step, size)


def bilinear(factor: int) -> np.ndarray:
    """Weights of a transposed convolution that interpolates linearly, `[2 factor]`.

    Float32; a triangle over the centre. Between centres its shifted copies sum to 1.

    Args:
      factor: How many times larger, even or 1.
    """
    place = np.arange(2 * factor) + 0.5 - factor
    return (1 - np.abs(place) / factor).astype(np.float32)


def _kernel(factor: int, classes: int) -> np.ndarray:
    """`[2 factor, 2 factor, v, v]`: every class by itself."""
    one = bilinear(factor)
    square = np.multiply.outer(one, one)[..., None, None]
    return square * np.eye(classes, dtype=np.float32)


def enlarged(
    x: Float[Array, "b i j v"],
    kernel: Float[Array, "k l v w"] | np.ndarray,
    factor: int,
    size: tuple[int, ...],
) -> Float[Array, "b t f v"]:
    """A map enlarged by a transposed convolution, cut to a size at its end.

    At the border the map's outermost values go on, so that a constant stays one.

    Args:
      x: `[b, i, j, v]`.
      kernel: `[2 factor, 2 factor, v, v]`.
      factor: How many times larger.
      size: Of the result, at most `factor` times that of `x`.

    Returns:
      `[b, *size, v]`.
    """
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    # Value n of a map stands over its `factor` values of the larger one.
    found = transposed_convolution(
        x, jnp.asarray(kernel, x.dtype), stride=factor, padding=factor + factor // 2
    )
    return jax.lax.slice(found, (0, 0, 0, 0), (len(x), *size, found.shape[-1]))
