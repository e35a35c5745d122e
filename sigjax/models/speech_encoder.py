"""Speech encoders: wav2vec 2.0, HuBERT, WavLM, and AVES, which is a HuBERT.

wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477), HuBERT (Hsu et al. 2021, arXiv
2106.07447), WavLM (Chen et al. 2022, arXiv 2110.13900), AVES (Hagiwara 2023, arXiv
2210.14493). At 16 kHz:

  wave [b s] -> 7 convolutions, a frame of 400 samples every 320: `cnn` [b t 512]
  -> norm, linear layer: `proj` [b t d]
  -> plus GELU of a grouped convolution over 128 frames (, norm): layer 0
  -> blocks of attention and MLP: layers 1 .. L

Norms stand after each half of a block, or, with `pre_norm`, before each; then one more
follows the last block: `last` is its output, and layer L what goes in.

WavLM adds to the logits of attention `gate[i] table[bucket(j - i)]`: the table belongs
to all blocks, the gate is each block's own, of its query.

Padding never shows (`norm_stats="exact"`): a clip in a batch of longer ones gives the
frames that it gives alone, to rounding. For that the group norm takes its statistics
of each clip's own frames, padded frames are zero where a convolution would see them,
and attention leaves them out. Zeros instead of the wave's true end are what public code
computes with; `norm_stats="hf"` repeats transformers, to compare.

Parameters are float32:

  conv/{i}/kernel          [taps, c, c']   conv/{i}/bias [c'] with `conv_bias`
  conv/{i}/norm            scale, bias [c']: of 0 (`"group"`) or every i (`"layer"`)
  proj/norm                scale, bias [c] with `proj_norm`
  proj/dense               kernel [c, d], bias [d]
  pos/kernel               [pos_taps, d / pos_groups, d], the weight norm folded in
  pos/bias                 [d]
  pos/batch_norm           scale, bias [d] with `pos_norm="batch"`: statistics folded in
  norm                     scale, bias [d]: before block 0; with `pre_norm` at the end
  blocks/{i}/{q,k,v,out}   kernel [d, d], bias [d]; heads are slices of d
  blocks/{i}/norm_attention, blocks/{i}/norm_mlp   scale, bias [d]
  blocks/{i}/up            kernel [d, mlp], bias [mlp]
  blocks/{i}/down          kernel [mlp, d], bias [d]
  blocks/{i}/gate          kernel [d / heads, 8], bias [8], constant [heads]: WavLM
  relative/table           [buckets, heads]: WavLM
  mask                     [d] with `mask_embedding`
  ctc                      kernel [d, v], bias [v] with `ctc_classes`
"""

from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn.attention import AttentionKind, valid_tokens
from sigjax.nn.layer_norm import LayerNorm
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.speech.attention import position_bias
from sigjax.nn.speech.block import SpeechBlock, dense
from sigjax.nn.speech.config import (
    Kind,
    SpeechEncoderConfig,
    check_samples,
    conv_frames,
    frame_count,
)
from sigjax.nn.speech.convolutions import PositionConvolution, WaveConvolutions
from sigjax.nn.speech.moments import Moments, frame_moments, functionals, merge
from sigjax.nn.staging import written_out
from sigjax.typing import Array, Bool, Float, Int

Size = Literal["base", "large", "nano"]

_LARGE: dict[str, Any] = {"width": 1024, "depth": 24, "heads": 16, "mlp": 4096}
_SIZES: dict[str, dict[str, Any]] = {
    "base": {},
    "large": _LARGE | {"conv_norm": "layer", "pre_norm": True},
    "nano": {
        "conv_dim": (64,) * 7,
        "width": 128,
        "depth": 4,
        "heads": 4,
        "mlp": 512,
        "pos_taps": 32,
    },
}


def speech_size(kind: Kind, size: Size, **changes: Any) -> SpeechEncoderConfig:
    """The configuration of a kind and a size, with fields changed.

    `"large"` is the one with layer norms throughout (`wav2vec2-large-lv60`,
    `hubert-large-ll60k`, `wavlm-large`); `"nano"` is nobody's, for trials on a CPU.

    Raises:
      ValueError: There is no such kind or size.
    """
    for name, known in ((kind, get_args(Kind)), (size, get_args(Size))):
        if name not in known:
            raise ValueError(f"no encoder {name!r}: there are {', '.join(known)}")
    fields: dict[str, Any] = {"kind": kind} | _SIZES[size]
    if size == "large" and kind != "wavlm":
        fields["conv_bias"] = True
    return SpeechEncoderConfig(**(fields | changes))


class SpeechEncoderOutput(NamedTuple):
    """What an encoder makes of waves; frames beyond `frames` mean nothing.

    Attributes:
      cnn: `[b, t, c]` after the convolutions on the wave.
      proj: `[b, t, d]` after the projection; masked frames hold the learned vector.
      layers: `depth + 1` of `[b, t, d]`: what goes into block 0, and what every block
        gives.
      last: `[b, t, d]`, layer L, after the last norm with `pre_norm`.
      frames: Int32 `[b]`, frames that are no padding.
      logits: `[b, t, v]` of the head on `last`, float32; None without one.
    """

    cnn: Array
    proj: Array
    layers: tuple[Array, ...]
    last: Array
    frames: Array
    logits: Array | None


class SpeechEncoder(nn.Module):
    """Waves to frames of all layers; see the module docstring.

    Attributes:
      config: The architecture.
      dtype: `"auto"` computes in bfloat16 on accelerators, float32 on CPU; `"float32"`
        is full float32 everywhere, without TF32. Frames have it.
      attention: Attention kernel (`sigjax.nn.attention.attention_kind`).
    """

    config: SpeechEncoderConfig
    dtype: ComputeDtype = "auto"
    attention: AttentionKind = "auto"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b s"],
        samples: Int[Array, "b"] | None = None,
        *,
        mask: Bool[Array, "b t"] | None = None,
        deterministic: bool = True,
    ) -> SpeechEncoderOutput:
        """Encodes waves at 16 kHz.

        Args:
          x: Float32 `[b, s]`, normalised as the weights want it, padded with zeros.
          samples: Int `[b]`, how many samples are no padding; all without it. Rows of
            fewer than `config.min_samples` have no frames.
          mask: Bool `[b, t]`, which projected frames become the learned vector.
          deterministic: Whether nothing is dropped; else it needs the keys `dropout`
            and `layer_drop` of what is dropped.

        Raises:
          ValueError: `s` is less than one frame sees, or a mask without
            `config.mask_embedding`.
        """
        c, dtype = self.config, compute_dtype(self.dtype)
        check_samples(x.shape[1], c)
        exact = c.norm_stats == "exact"
        cnn = WaveConvolutions(c, dtype, name="conv")(x, samples if exact else None)
        proj = _Projection(c, dtype, name="proj")(cnn)
        if c.feature_dropout:
            proj = nn.Dropout(c.feature_dropout, deterministic=deterministic)(proj)
        if c.mask_embedding:
            learned = self.param("mask", nn.initializers.uniform(1.0), (c.width,))
            if mask is not None:
                learned = jnp.asarray(learned).astype(dtype)
                proj = jnp.where(mask[..., None], learned, proj)
        elif mask is not None:
            raise ValueError("a mask needs an encoder with mask_embedding=True")
        count, own = jnp.full(len(x), proj.shape[1], jnp.int32), None
        if samples is not None:
            count = conv_frames(jnp.asarray(samples, jnp.int32), c, len(c.conv_dim))
            own = valid_tokens(proj.shape[1], count)
        layers = self._blocks(proj, own, None if own is None else count, deterministic)
        last, logits = layers[-1], None
        if c.pre_norm:
            last = LayerNorm(c.eps, dtype, name="norm")(last)
        if c.ctc_classes:
            logits = dense(c.ctc_classes, dtype, "ctc")(last).astype(jnp.float32)
        return SpeechEncoderOutput(cnn, proj, layers, last, count, logits)

    def _blocks(
        self,
        x: Array,
        own: Array | None,
        length: Array | None,
        deterministic: bool,
    ) -> tuple[Array, ...]:
        c, dtype = self.config, x.dtype
        if own is not None:
            x = jnp.where(own[..., None], x, 0)
        x = x + PositionConvolution(c, dtype, name="pos")(x, own)
        if not c.pre_norm:
            x = LayerNorm(c.eps, dtype, name="norm")(x)
        if c.dropout:
            x = nn.Dropout(c.dropout, deterministic=deterministic)(x)
        bias = _Relative(c, name="relative")(x.shape[1]) if c.kind == "wavlm" else None
        return _Blocks(c, dtype, self.attention, deterministic, name="blocks")(
            x, length, bias
        )

    def layer_moments(
        self,
        x: Float[Array, "b s"],
        samples: Int[Array, "b"] | None = None,
        *,
        proj: bool = False,
    ) -> Moments:
        """Means and sums of squares over each clip's own frames, of every layer.

        Frames are dropped as soon as they are summed. Parts of a long clip are put
        together by `merge`; `functionals` gives the features.

        Args:
          x: Float32 `[b, s]`, as of `__call__`.
          samples: Int `[b]`, as of `__call__`.
          proj: Whether the projected frames come before layer 0.

        Returns:
          Of `[b, depth + 1, d]`, or one layer more with `proj`.
        """
        found = self(x, samples)
        own = None
        if samples is not None:
            own = valid_tokens(found.proj.shape[1], found.frames)
        layers = (found.proj,) * proj + found.layers
        parts = [frame_moments(layer, own) for layer in layers]
        mean, m2 = (jnp.stack(part, axis=1) for part in zip(*parts, strict=True))
        return Moments(found.frames.astype(jnp.float32), mean, m2)


class _Projection(nn.Module):
    config: SpeechEncoderConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t d"]:
        c = self.config
        if c.proj_norm:
            x = LayerNorm(c.eps, self.dtype, name="norm")(x)
        return dense(c.width, self.dtype, "dense")(x)


class _Relative(nn.Module):
    config: SpeechEncoderConfig

    @nn.compact
    def __call__(self, frames: int) -> Float[Array, "h t t"]:
        c = self.config
        init = nn.initializers.normal(1.0)
        table = jnp.asarray(self.param("table", init, (c.buckets, c.heads)))
        # Written out, or every block would look all of it up again.
        return written_out(
            lambda table: position_bias(table, frames, c.max_distance),
            table,
            unknown=table,
        )


class _Blocks(nn.Module):
    config: SpeechEncoderConfig
    dtype: jnp.dtype
    attention: AttentionKind
    deterministic: bool

    @nn.compact
    def __call__(
        self, x: Array, length: Array | None, bias: Array | None
    ) -> tuple[Array, ...]:
        c = self.config
        block = nn.remat(SpeechBlock) if c.remat else SpeechBlock
        layers = [x]
        for i in range(c.depth):
            made = block(
                c, self.dtype, self.attention, self.deterministic, name=str(i)
            )(x, length, bias)
            if c.layer_drop and not self.deterministic:
                keep = jax.random.bernoulli(
                    self.make_rng("layer_drop"), 1 - c.layer_drop
                )
                made = jnp.where(keep, made, x)
            x = made
            layers.append(x)
        return tuple(layers)


__all__ = [
    "Kind",
    "Moments",
    "Size",
    "SpeechEncoder",
    "SpeechEncoderConfig",
    "SpeechEncoderOutput",
    "check_samples",
    "frame_count",
    "functionals",
    "merge",
    "speech_size",
]
