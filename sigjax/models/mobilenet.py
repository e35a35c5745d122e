"""MobileNetV2 on patches of a spectrogram: the classifier of the DCASE 2021 baseline.

Sandler et al. 2018 (arXiv 1801.04381), with the widths, the padding and the norms that
Keras has, which the baseline took: `alpha` times the paper's channels, rounded to
multiples of 8; at stride 2 an even map is padded after its end alone; epsilon 1e-3 and
momentum 0.999. The one channel of a 64 x 128 patch is copied to three.

For alpha = 0.5 the layers but the head have 687,680 parameters and 18,544 running
values; Keras counts both, 706,224.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from sigjax.models.section_classifier import SectionOutput, head
from sigjax.nn.conv import Depthwise, Padding, convolution, pointwise
from sigjax.nn.norm import BatchNorm, batch_norm
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.typing import Array, Float

# Expansion, channels at alpha = 1, blocks and stride of the first: the paper's table 2.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
EMBEDDING = 1280


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV2Config:
    """Architecture.

    Attributes:
      classes: Of the head. 0 for no head: the loss brings its own.
      alpha: Width multiplier, at most 1.
      frames: Of a patch.
      mels: Bands of a patch.
      dtype: `"float32"` is full float32 on accelerators too, without TF32; `"auto"`
        computes in bfloat16 there.
    """

    classes: int
    alpha: float = 0.5
    frames: int = 64
    mels: int = 128
    dtype: ComputeDtype = "float32"

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if self.classes < 0 or not 0 < self.alpha <= 1:
            raise ValueError(f"classes must be >= 0 and alpha in (0, 1], got {self}")
        if min(self.frames, self.mels) < 32:
            raise ValueError(f"a patch needs 32 frames and bands at least, got {self}")

    @property
    def embedding(self) -> int:
        """Width of the embedding."""
        return EMBEDDING


class MobileNetV2(nn.Module):
    """Patches to embedding (the averaged map) and class scores.

    Attributes:
      config: The architecture.
    """

    config: MobileNetV2Config

    @nn.compact
    def __call__(self, x: Float[Array, "b t f"], train: bool = False) -> SectionOutput:
        """Classifies patches, each by itself unless training.

        Args:
          x: `[b, t, f]`; `t` and `f` are `config.frames` and `config.mels`.
          train: Normalise with the statistics of this batch and update the running
            ones (`mutable=["batch_stats"]`).

        Returns:
          Embedding `[b, 1280]` and logits `[b, classes]`.

        Raises:
          ValueError: For a patch of another size.
        """
        c = self.config
        if x.shape[1:] != (c.frames, c.mels):
            raise ValueError(
                f"MobileNetV2 takes patches of {c.frames} frames and {c.mels} bands,"
                f" got {tuple(x.shape[1:])}: cut the spectrogram into patches"
            )
        dtype = compute_dtype(c.dtype)
        x = jnp.repeat(x[..., None].astype(dtype), 3, axis=-1)
        first = convolution(
            _channels(32 * c.alpha), 3, "stem", dtype, stride=2, padding=_padding(x, 2)
        )
        x = _relu6(_norm(train, "stem_norm", dtype)(first(x)))
        index = 0
        for expansion, width, blocks, stride in STAGES:
            for i in range(blocks):
                index += 1
                block = _Block(
                    expansion,
                    _channels(width * c.alpha),
                    stride if i == 0 else 1,
                    name=f"block{index}",
                )
                x = block(x, train)
        x = pointwise(EMBEDDING, "last", dtype)(x)
        x = _relu6(_norm(train, "last_norm", dtype)(x))
        embedding = x.astype(jnp.float32).mean(axis=(1, 2))
        return SectionOutput(embedding, head(embedding, c.classes, 0.0, train))


class _Block(nn.Module):
    expansion: int
    width: int
    stride: int

    @nn.compact
    def __call__(self, x, train):
        dtype, h = x.dtype, x
        if self.expansion != 1:
            h = pointwise(self.expansion * x.shape[-1], "expand", dtype)(h)
            h = _relu6(_norm(train, "expand_norm", dtype)(h))
        h = Depthwise(
            stride=self.stride,
            padding=_padding(h, self.stride),
            dtype=dtype,
            name="depthwise",
        )(h)
        h = _relu6(_norm(train, "depthwise_norm", dtype)(h))
        h = pointwise(self.width, "project", dtype)(h)
        h = _norm(train, "project_norm", dtype)(h)
        return h + x if self.stride == 1 and x.shape[-1] == self.width else h


def _channels(wanted: float) -> int:
    """The nearest multiple of 8, at least 8 and never less than 90 % of `wanted`."""
    found = max(8, int(wanted + 4) // 8 * 8)
    return found + 8 if found < 0.9 * wanted else found


def _padding(x: Array, stride: int) -> Padding:
    if stride == 1:
        return ((1, 1), (1, 1))
    height, width = (size % 2 for size in x.shape[1:3])
    return ((height, 1), (width, 1))


def _norm(train: bool, name: str, dtype: jnp.dtype) -> BatchNorm:
    return batch_norm(train, name, dtype, momentum=0.999, epsilon=1e-3)


def _relu6(x: Array) -> Array:
    return jnp.clip(x, 0, 6)
