"""Architecture of a speech encoder, and how many frames it gives."""

import dataclasses
from typing import Literal, TypeVar, get_args

import numpy as np

from sigjax.typing import Array

Kind = Literal["wav2vec2", "hubert", "wavlm"]
ConvNorm = Literal["group", "layer"]
PosNorm = Literal["weight", "batch"]
NormStats = Literal["exact", "hf"]
_Count = TypeVar("_Count", int, np.ndarray, Array)

_CHOICES = {
    "kind": get_args(Kind),
    "conv_norm": get_args(ConvNorm),
    "pos_norm": get_args(PosNorm),
    "norm_stats": get_args(NormStats),
}
_SHARES = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "feature_dropout",
    "layer_drop",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechEncoderConfig:
    """Architecture; the defaults are the base size of wav2vec 2.0 and HuBERT.

    Attributes:
      kind: `"wav2vec2"` and `"hubert"` compute the same; `"wavlm"` adds a gated bias of
        relative positions to its attention.
      conv_dim: Channels of each convolution on the wave.
      conv_kernel: Taps of each.
      conv_stride: Stride of each.
      conv_bias: Whether the convolutions have biases.
      conv_norm: `"group"`, after the first convolution: each channel over time, one
        clip at a time; or `"layer"`, after every one: each frame over channels.
      width: Of the frames `d`.
      depth: Blocks.
      heads: Of the attention.
      mlp: Hidden width of the MLP.
      pre_norm: Norms before attention and MLP, and one after the last block
        (transformers: `do_stable_layer_norm`), instead of after each.
      proj_norm: Whether a norm stands before the projection; DistilHuBERT has none.
      pos_taps: Of the positional convolution.
      pos_groups: Of its channels.
      pos_norm: `"weight"`, folded into the kernel; or `"batch"`, a batch norm with
        running statistics before it, folded into a scale and a bias.
      eps: Of the layer norms after the convolutions; those within have 1e-5.
      buckets: Of relative positions, WavLM's; half of them for each direction.
      max_distance: Frames from which all positions share a bucket.
      norm_stats: What padding changes. `"exact"`: nothing; a clip in a batch gives what
        it gives alone. `"hf"`: what it changes in transformers, where statistics of
        the group norm run over padding.
      mask_embedding: Whether there is a learned vector for masked frames.
      ctc_classes: Of a head on the last frames; 0 for none.
      dropout: Share dropped in training of the embedded frames and of what each half of
        a block adds.
      attention_dropout: Of the attention's weights.
      activation_dropout: Of the MLP's hidden values.
      feature_dropout: Of the projected frames.
      layer_drop: Probability that a batch skips a block in training.
      remat: Recompute blocks in the backward pass: less memory, more time.

    Raises:
      ValueError: Sizes that do not fit together or have no meaning.
    """

    kind: Kind = "hubert"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    conv_norm: ConvNorm = "group"
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    pre_norm: bool = False
    proj_norm: bool = True
    pos_taps: int = 128
    pos_groups: int = 16
    pos_norm: PosNorm = "weight"
    eps: float = 1e-5
    buckets: int = 320
    max_distance: int = 800
    norm_stats: NormStats = "exact"
    mask_embedding: bool = False
    ctc_classes: int = 0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    feature_dropout: float = 0.0
    layer_drop: float = 0.0
    remat: bool = False

    def __post_init__(self):
        """Refuses what does not fit together."""
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, got {value!r}")
        for name in ("width", "depth", "heads", "mlp", "pos_taps", "pos_groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: {getattr(self, name)}")
        for name in ("heads", "pos_groups"):
            if self.width % getattr(self, name):
                raise ValueError(
                    f"width {self.width} is no multiple of {name}={getattr(self, name)}"
                )
        if self.ctc_classes < 0:
            raise ValueError(f"ctc_classes must be at least 0: {self.ctc_classes}")
        self._check_shares()
        self._check_convolutions()
        if self.kind == "wavlm":
            self._check_buckets()

    def _check_shares(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1): {getattr(self, name)}")

    def _check_convolutions(self) -> None:
        for name in ("conv_dim", "conv_kernel", "conv_stride"):
            values = tuple(getattr(self, name))  # out of JSON they are lists
            object.__setattr__(self, name, values)
            if not values or min(values) < 1:
                raise ValueError(f"{name} must hold numbers of at least 1: {values}")
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError(
                "conv_dim, conv_kernel and conv_stride must be of one length, got"
                f" {self.conv_dim}, {self.conv_kernel} and {self.conv_stride}"
            )

    def _check_buckets(self) -> None:
        if self.buckets < 4 or self.buckets % 2:
            raise ValueError(f"buckets must be even and at least 4: {self.buckets}")
        if self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"max_distance must lie above a quarter of {self.buckets} buckets, got"
                f" {self.max_distance}"
            )

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @property
    def hop(self) -> int:
        """Samples from one frame to the next: 320 of every published encoder."""
        return int(np.prod(self.conv_stride))

    @property
    def min_samples(self) -> int:
        """Samples that one frame sees: 400 of every published encoder."""
        samples = 1
        pairs = zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True)
        for taps, stride in pairs:
            samples = (samples - 1) * stride + taps
        return samples


def conv_frames(samples: _Count, config: SpeechEncoderConfig, convs: int) -> _Count:
    """Frames after the first `convs` convolutions; 0 of too few samples."""
    pairs = zip(config.conv_kernel[:convs], config.conv_stride[:convs], strict=True)
    for taps, stride in pairs:
        samples = (samples - taps) // stride + 1
    return max(samples, 0) if isinstance(samples, int) else samples.clip(min=0)


def frame_count(samples: _Count, config: SpeechEncoderConfig) -> _Count:
    """Frames that the encoder gives of clips of `samples` samples.

    Args:
      samples: One integer, or an array of them. Too short ones are refused of an
        integer and of NumPy's arrays; JAX's, which may be traced, give 0 frames there,
        as the empty rows that fill up a batch do.
      config: The architecture.

    Returns:
      As many integers: 49 of a second at 16 kHz.

    Raises:
      ValueError: A clip is shorter than what one frame sees.
    """
    if isinstance(samples, int):
        check_samples(samples, config)
    elif isinstance(samples, np.ndarray) and samples.size:
        check_samples(int(samples.min()), config)
    return conv_frames(samples, config, len(config.conv_dim))


def check_samples(samples: int, config: SpeechEncoderConfig) -> None:
    """Refuses clips without a frame.

    Raises:
      ValueError: `samples` are fewer than one frame sees.
    """
    if samples < config.min_samples:
        raise ValueError(
            f"a clip of {samples} samples is too short: one frame of this encoder sees"
            f" {config.min_samples} samples; pad or repeat it to at least that length"
        )
