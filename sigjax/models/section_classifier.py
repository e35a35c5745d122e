"""Section classifier: inverted residuals with a second, linear branch.

Table 1 of "Self-supervised Anomalous Sound Detection for Machine Condition Monitoring".
Of a 10-s clip's log-mel, 313 frames of 128 bands, for k classes:

  operator             t   c    n  s   map (frames x bands)
  conv 3x3             -   64   -  2   157 x 64
  conv 3x3             -   64   -  1   157 x 64
  dual block           2   128  2  2   79 x 32
  dual block           4   128  2  2   40 x 16
  dual block           4   128  2  2   20 x 8
  conv 1x1             -   512  -  1   20 x 8
  GDConv, linear       -   512  -  1   1 x 1
  conv 1x1, linear     -   128  -  1   the embedding
  dropout, conv 1x1    -   k    -  1   the logits

All but the last are without bias and followed by batch norm, and by a PReLU with a
slope per channel unless linear. The paper names the dual block's parts and draws one;
here it is

  main     1x1 to t times the input's channels, norm, PReLU; depthwise 3x3 with the
           stride, norm, PReLU; 1x1 to c, norm
  linear   "dwpw": depthwise 3x3 with the stride, norm; 1x1 to c, norm
           "full": the main branch again, with weights of its own, without PReLU
           "none": nothing; the block is MobileFaceNet's

and their sum, plus the input where the stride is 1 and the channels agree. A branch
that expands without activation adds rank to nothing: "dwpw" is the default, "full"
its literal alternative. With t times the input i channels, h = t i, a block has

  main     i h + 9 h + h c + 2 h + 2 h + 2 c (norms) + 2 h (PReLU)
  dwpw     9 i + 2 i + i c + 2 c
  full     i h + 9 h + h c + 2 h + 2 h + 2 c

parameters, the whole network for k = 6: 906,822 without linear branch, 1,006,214 with
"dwpw" and 1,554,374 with "full".
"""

import dataclasses
from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.conv import (
    Depthwise,
    GlobalDepthwise,
    convolution,
    pointwise,
    precision,
)
from sigjax.nn.norm import batch_norm
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.prelu import PRelu
from sigjax.typing import Array, Float

LinearBranch = Literal["none", "dwpw", "full"]


class SectionOutput(NamedTuple):
    """What a classifier of sections returns.

    Attributes:
      embedding: Float32 `[b, d]`.
      logits: Float32 `[b, v]`; `[b, 0]` of a model without head.
    """

    embedding: Array
    logits: Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionClassifierConfig:
    """Architecture; the defaults are Table 1 on clips of 10 s.

    Attributes:
      classes: Of the head. 0 for no head: the loss brings its own.
      frames: Of the input; GDConv's kernel covers the map that they come to.
      mels: Bands of the input.
      embedding: Width of the embedding.
      stem: Channels of the two first convolutions.
      expansion: By how much the blocks of each stage widen their input.
      channels: Of the blocks.
      blocks: Of each stage; the first of a stage halves the map.
      wide: Channels of GDConv.
      linear_branch: See the module docstring.
      dropout: Of the embedding, before the head.
      depthwise_stem: The second convolution is a depthwise one, as MobileFaceNet's.
      dtype: `"float32"` is full float32 on accelerators too, without TF32; `"auto"`
        computes in bfloat16 there.
    """

    classes: int
    frames: int = 313
    mels: int = 128
    embedding: int = 128
    stem: int = 64
    expansion: tuple[int, ...] = (2, 4, 4)
    channels: int = 128
    blocks: tuple[int, ...] = (2, 2, 2)
    wide: int = 512
    linear_branch: LinearBranch = "dwpw"
    dropout: float = 0.2
    depthwise_stem: bool = False
    dtype: ComputeDtype = "float32"

    def __post_init__(self):
        """Refuses stages that do not fit together and sizes without meaning."""
        if len(self.expansion) != len(self.blocks):
            raise ValueError(
                "expansion and blocks need one entry per stage, got"
                f" {len(self.expansion)} and {len(self.blocks)}"
            )
        for name in ("frames", "mels", "embedding", "stem", "channels", "wide"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {self}")
        if self.classes < 0 or min(*self.expansion, *self.blocks) < 1:
            raise ValueError(f"classes, expansion or blocks out of range: {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")


class SectionClassifier(nn.Module):
    """Log-mel spectrogram to embedding and class scores; see the module docstring.

    Parameters are float32; running means and variances are in `batch_stats`.

    Attributes:
      config: The architecture.
    """

    config: SectionClassifierConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b t f"], train: bool = False) -> SectionOutput:
        """Classifies spectrograms, each by itself unless training.

        Args:
          x: `[b, t, f]`, normalised; `t` and `f` are `config.frames` and `mels`.
          train: Normalise with the statistics of this batch, update the running ones
            (`mutable=["batch_stats"]`) and drop (`rngs={"dropout": ...}`).

        Returns:
          Embedding `[b, config.embedding]` before dropout, and logits `[b, classes]`.

        Raises:
          ValueError: For a spectrogram of another size.
        """
        c = self.config
        if x.shape[1:] != (c.frames, c.mels):
            raise ValueError(
                f"the classifier takes {c.frames} frames of {c.mels} bands, got"
                f" {tuple(x.shape[1:])}: crop or tile the clip, or set model.frames"
            )
        dtype = compute_dtype(c.dtype)
        x = x[..., None].astype(dtype)
        x = convolution(c.stem, 3, "stem1", dtype, stride=2)(x)
        x = PRelu(name="stem1_prelu")(batch_norm(train, "stem1_norm", dtype)(x))
        if c.depthwise_stem:
            x = Depthwise(dtype=dtype, name="stem2")(x)
        else:
            x = convolution(c.stem, 3, "stem2", dtype)(x)
        x = PRelu(name="stem2_prelu")(batch_norm(train, "stem2_norm", dtype)(x))
        for i, (expansion, blocks) in enumerate(
            zip(c.expansion, c.blocks, strict=True), 1
        ):
            for j in range(1, blocks + 1):
                stride = 2 if j == 1 else 1
                block = _DualBlock(c, expansion, stride, name=f"stage{i}_block{j}")
                x = block(x, train)
        x = pointwise(c.wide, "wide", dtype)(x)
        x = PRelu(name="wide_prelu")(batch_norm(train, "wide_norm", dtype)(x))
        x = GlobalDepthwise(dtype=dtype, name="global")(x)
        x = batch_norm(train, "global_norm", dtype)(x)
        x = pointwise(c.embedding, "embedding", dtype)(x)
        embedding = batch_norm(train, "embedding_norm", jnp.dtype("float32"))(x)
        return SectionOutput(embedding, head(embedding, c.classes, c.dropout, train))


def head(
    embedding: Float[Array, "b d"], classes: int, dropout: float, train: bool
) -> Float[Array, "b v"]:
    """Dropout and a linear layer named `head`, of the module that calls it.

    Args:
      embedding: Float32 `[b, d]`.
      classes: 0 for no layer.
      dropout: Share of values that training drops.
      train: Whether to drop.

    Returns:
      Float32 `[b, classes]`.
    """
    if not classes:
        return jnp.zeros((len(embedding), 0), jnp.float32)
    x = nn.Dropout(dropout, deterministic=not train)(embedding)
    dtype = jnp.dtype("float32")
    return nn.Dense(classes, precision=precision(dtype), name="head")(x)


class _DualBlock(nn.Module):
    config: SectionClassifierConfig
    expansion: int
    stride: int

    @nn.compact
    def __call__(self, x, train):
        c, dtype = self.config, x.dtype
        hidden = self.expansion * x.shape[-1]
        out = _expanded(x, c.channels, hidden, self.stride, train, "main", PRelu)
        if c.linear_branch == "full":
            linear = _expanded(x, c.channels, hidden, self.stride, train, "linear")
            out = out + linear
        elif c.linear_branch == "dwpw":
            h = Depthwise(stride=self.stride, dtype=dtype, name="linear_depthwise")(x)
            h = batch_norm(train, "linear_depthwise_norm", dtype)(h)
            h = pointwise(c.channels, "linear_project", dtype)(h)
            out = out + batch_norm(train, "linear_project_norm", dtype)(h)
        if self.stride == 1 and x.shape[-1] == c.channels:
            out = out + x
        return out


def _expanded(x, width, hidden, stride, train, branch, activation=None):
    """An inverted residual's three layers, each with its norm."""

    def layer(module, part, active):
        h = batch_norm(train, f"{branch}_{part}_norm", x.dtype)(module)
        if active and activation is not None:
            h = activation(name=f"{branch}_{part}_prelu")(h)
        return h

    h = layer(pointwise(hidden, f"{branch}_expand", x.dtype)(x), "expand", True)
    depthwise = Depthwise(stride=stride, dtype=x.dtype, name=f"{branch}_depthwise")
    h = layer(depthwise(h), "depthwise", True)
    return layer(pointwise(width, f"{branch}_project", x.dtype)(h), "project", False)
