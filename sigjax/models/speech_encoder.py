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
  pos/batch_norm           scale, bias [d] with `pos_norm="batch"`, statistics folded in
  norm                     scale, bias [d]: before block 0, or, with `pre_norm`, the last
  blocks/{i}/{q,k,v,out}   kernel [d, d], bias [d]; heads are slices of d
  blocks/{i}/norm_attention, blocks/{i}/norm_mlp   scale, bias [d]
  blocks/{i}/up            kernel [d, mlp], bias [mlp]
  blocks/{i}/down          kernel [mlp, d], bias [d]
  blocks/{i}/gate          kernel [d / heads, 8], bias [8], constant [heads]: WavLM
  relative/table           [buckets, heads]: WavLM
  mask                     [d] with `mask_embedding`
  ctc                      kernel [d, v], bias [v] with `ctc_classes`
"""

from typing import Any, Literal, get_args

from sigjax.nn.speech.config import (
    Kind,
    SpeechEncoderConfig,
    check_samples,
    frame_count,
)

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
    fields = {"kind": kind} | _SIZES[size]
    if size == "large" and kind != "wavlm":
        fields["conv_bias"] = True
    return SpeechEncoderConfig(**(fields | changes))


__all__ = [
    "Kind",
    "Size",
    "SpeechEncoderConfig",
    "check_samples",
    "frame_count",
    "speech_size",
]
