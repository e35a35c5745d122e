"""Weights of speech encoders as variables of `sigjax.models.speech_encoder`.

What is read, told apart by the names inside (`sigjax.convert.speech_names`):

  transformers   the folder of a snapshot of wav2vec 2.0, HuBERT or WavLM: config.json,
                 preprocessor_config.json, model.safetensors or pytorch_model.bin, and
                 vocab.json where it was fine-tuned for speech recognition
  torchaudio     a .pt of `torchaudio.models.wav2vec2`: AVES' is
                 aves-base-bio.torchaudio.pt with aves-base-bio.torchaudio
                 .model_config.json beside it
  fairseq        a .pt with the settings in it: AVES' aves-base-bio.pt, the original
                 HuBERT and wav2vec 2.0, Microsoft's WavLM

The weight norm of the positional convolution is folded into its kernel, the batch norm
into a scale and a bias. A CTC head stays; heads of pre-training and of other tasks are
left out, and named.

How waves are to be normalised (`sigjax.data.calls.reading.NORMALISE`) is read, too:
transformers says it in preprocessor_config.json, and without that file does
`"zscore"`; fairseq in its settings; torchaudio's base models take waves as they are.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from sigjax.convert.audio import beside, check_names, checked, weights_file
from sigjax.convert.pickles import WeightsError
from sigjax.convert.speech_names import Layout, Named, State, named
from sigjax.convert.speech_settings import described, normalised_by, settings_beside
from sigjax.convert.torch_files import read_with_settings
from sigjax.models.speech_encoder import SpeechEncoderConfig

_RATE_HZ = 16000
_BATCH_NORM_EPS = 1e-5  # torch's
_NORM = {"weight": "scale", "bias": "bias"}
_DENSE = {"weight": "kernel", "bias": "bias"}
_BLOCK = {
    "attention.q_proj": "q",
    "attention.k_proj": "k",
    "attention.v_proj": "v",
    "attention.out_proj": "out",
    "layer_norm": "norm_attention",
    "final_layer_norm": "norm_mlp",
    "feed_forward.intermediate_dense": "up",
    "feed_forward.output_dense": "down",
}
_POS = "encoder.pos_conv_embed"


class SpeechWeights(NamedTuple):
    """A converted encoder.

    Attributes:
      config: Its architecture.
      params: Float32 parameters, nested.
      preprocessing: What it takes in, fields of `sigjax.data.calls.reading`'s
        `ReadingConfig`: `rate_hz`, and how to `normalise` a clip.
      labels: Tokens of the CTC head in output order, or None.
      layout: Whose names the file had.
      ignored: Names of arrays that were left out.
      notes: What was assumed or folded, for people.
    """

    config: SpeechEncoderConfig
    params: dict[str, Any]
    preprocessing: Mapping[str, Any]
    labels: tuple[str, ...] | None
    layout: Layout
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


def read_speech(path: epath.PathLike) -> SpeechWeights:
    """Reads the folder of a snapshot, or a file of weights; see `convert_speech`.

    Raises:
      WeightsError: It cannot be read, or is of another network.
      FileNotFoundError: If there is no such file.
    """
    state, within = read_with_settings(weights_file(path))
    fairseq = named(state).layout == "fairseq"
    return convert_speech(
        state,
        settings=within if fairseq else settings_beside(path),
        extractor=beside(path, "preprocessor_config.json"),
        vocabulary=_vocabulary(path),
    )


def convert_speech(
    state: State,
    *,
    settings: Mapping[str, Any] | None = None,
    extractor: Mapping[str, Any] | None = None,
    vocabulary: Mapping[str, Any] | None = None,
) -> SpeechWeights:
    """Sorts a state dict's arrays into our parameters.

    Args:
      state: Arrays by name, as `read_with_settings` gives them.
      settings: `config.json` of transformers, which must be given; the arguments of
        torchaudio's model; or fairseq's `cfg` and `args`.
      extractor: `preprocessor_config.json` of transformers.
      vocabulary: `vocab.json` of transformers, indices by token.

    Raises:
      WeightsError: Names are missing or unknown, an array has another shape or holds
        what is no finite number, or the settings do not fit; the message says which.
    """
    found = named(state)
    config, notes = described(found, settings)
    targets = _targets(config)
    spelling = _spelling(found)
    expected = list(targets) + spelling
    seen = [n if n in expected else found.theirs[n] for n in found.arrays]
    check_names(f"{config.kind} of {found.layout}", seen, expected)
    params: dict[str, Any] = {}
    for name, (path, shape) in targets.items():
        value = checked(found.theirs[name], found.arrays[name], shape)
        _put(params, path, _turned(path, value))
    kernel = _pos_kernel(found, config, spelling)
    _put(params, ("pos", "kernel"), np.ascontiguousarray(kernel.T))
    if config.pos_norm == "batch":
        _put(params, ("pos", "batch_norm"), _batch_norm(found, config))
    preprocessing, said = _preprocessing(found, settings, extractor)
    labels, remark = _labels(config, vocabulary)
    return SpeechWeights(
        config=config,
        params=params,
        preprocessing=preprocessing,
        labels=labels,
        layout=found.layout,
        ignored=found.ignored,
        notes=tuple(note for note in (*notes, said, remark) if note),
    )


Target = tuple[tuple[str, ...], tuple[int, ...]]


def _targets(config: SpeechEncoderConfig) -> dict[str, Target]:
    """Where each array goes, and its shape in the state dict."""
    c, d = config, config.width
    found: dict[str, Target] = {}

    def norm(name: str, width: int, *path: str) -> None:
        for theirs, ours in _NORM.items():
            found[f"{name}.{theirs}"] = ((*path, ours), (width,))

    def dense(name: str, before: int, after: int, *path: str) -> None:
        found[f"{name}.weight"] = ((*path, "kernel"), (after, before))
        found[f"{name}.bias"] = ((*path, "bias"), (after,))

    _add_convolutions(found, c, norm)
    before = c.conv_dim[-1]
    if c.proj_norm:
        norm("feature_projection.layer_norm", before, "proj", "norm")
    dense("feature_projection.projection", before, d, "proj", "dense")
    found[f"{_POS}.conv.bias"] = (("pos", "bias"), (d,))
    norm("encoder.layer_norm", d, "norm")
    for i in range(c.depth):
        _add_block(found, c, i, norm, dense)
    if c.mask_embedding:
        found["masked_spec_embed"] = (("mask",), (d,))
    if c.ctc_classes:
        dense("lm_head", d, c.ctc_classes, "ctc")
    return found


def _add_convolutions(found: dict[str, Target], c: SpeechEncoderConfig, norm) -> None:
    before = 1
    sizes = zip(c.conv_dim, c.conv_kernel, strict=True)
    for i, (channels, taps) in enumerate(sizes):
        name, path = f"feature_extractor.conv_layers.{i}", ("conv", str(i))
        shape = (channels, before, taps)
        found[f"{name}.conv.weight"] = ((*path, "kernel"), shape)
        if c.conv_bias:
            found[f"{name}.conv.bias"] = ((*path, "bias"), (channels,))
        if i == 0 or c.conv_norm == "layer":
            norm(f"{name}.layer_norm", channels, *path, "norm")
        before = channels


def _add_block(
    found: dict[str, Target], c: SpeechEncoderConfig, i: int, norm, dense
) -> None:
    name, path = f"encoder.layers.{i}", ("blocks", str(i))
    widths = {"up": (c.width, c.mlp), "down": (c.mlp, c.width)}
    for theirs, ours in _BLOCK.items():
        if ours.startswith("norm"):
            norm(f"{name}.{theirs}", c.width, *path, ours)
        else:
            sizes = widths.get(ours, (c.width, c.width))
            dense(f"{name}.{theirs}", *sizes, *path, ours)
    if c.kind != "wavlm":
        return
    inside = f"{name}.attention"
    dense(f"{inside}.gru_rel_pos_linear", c.head_dim, 8, *path, "gate")
    constant = (*path, "gate", "constant")
    found[f"{inside}.gru_rel_pos_const"] = (constant, (1, c.heads, 1, 1))
    if i == 0:  # the table of the first block is everybody's
        table = f"{inside}.rel_attn_embed.weight"
        found[table] = (("relative", "table"), (c.buckets, c.heads))


def _turned(path: tuple[str, ...], value: np.ndarray) -> np.ndarray:
    """From PyTorch's axes (out, in, taps) to ours (taps, in, out)."""
    if path[-1] == "table":
        return value
    if path[-1] == "constant":
        return value.reshape(-1)
    return np.ascontiguousarray(value.T)


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _spelling(found: Named) -> list[str]:
    """Names of the positional convolution's kernel and batch norm, as they are here."""
    normed = any(name.startswith(f"{_POS}.conv.weight_") for name in found.arrays)
    tails = ("weight_g", "weight_v") if normed else ("weight",)
    names = [f"{_POS}.conv.{tail}" for tail in tails]
    if any(name.startswith(f"{_POS}.batch_norm.") for name in found.arrays):
        tails = ("weight", "bias", "running_mean", "running_var")
        names += [f"{_POS}.batch_norm.{tail}" for tail in tails]
    return names


def _pos_kernel(
    found: Named, config: SpeechEncoderConfig, spelling: list[str]
) -> np.ndarray:
    """The positional convolution's kernel [d, d / groups, taps], its norm folded in."""
    shape = (config.width, config.width // config.pos_groups, config.pos_taps)
    if f"{_POS}.conv.weight" in spelling:
        name = f"{_POS}.conv.weight"
        return checked(found.theirs[name], found.arrays[name], shape)
    parts = []
    for tail, size in (("weight_g", (1, 1, config.pos_taps)), ("weight_v", shape)):
        name = f"{_POS}.conv.{tail}"
        value = checked(found.theirs[name], found.arrays[name], size)
        parts.append(value.astype(np.float64))
    gain, direction = parts
    # One norm for each tap: torch's weight_norm with dim=2.
    length = np.sqrt(np.square(direction).sum(axis=(0, 1), keepdims=True))
    if not length.all():
        raise WeightsError(f"{found.theirs[name]} is zero at a tap: no weight norm")
    return (gain / length * direction).astype(np.float32)


def _batch_norm(found: Named, config: SpeechEncoderConfig) -> dict[str, np.ndarray]:
    def array(tail: str) -> np.ndarray:
        name = f"{_POS}.batch_norm.{tail}"
        value = checked(found.theirs[name], found.arrays[name], (config.width,))
        return value.astype(np.float64)

    variance = array("running_var")
    if variance.min() < 0:
        raise WeightsError(f"{_POS}.batch_norm has a negative variance")
    scale = array("weight") / np.sqrt(variance + _BATCH_NORM_EPS)
    bias = array("bias") - array("running_mean") * scale
    return {"scale": scale.astype(np.float32), "bias": bias.astype(np.float32)}


def _preprocessing(
    found: Named,
    settings: Mapping[str, Any] | None,
    extractor: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], str]:
    """What it takes in; and a remark where that had to be assumed."""
    rate_hz = _RATE_HZ
    said: Any = None
    if found.layout == "transformers" and extractor is not None:
        rate_hz = extractor.get("sampling_rate", _RATE_HZ)
        # The library's default, where the file does not say.
        said = extractor.get("do_normalize", True)
        if type(rate_hz) is not int or rate_hz < 1 or not isinstance(said, bool):
            raise WeightsError(
                "preprocessor_config.json: sampling_rate must be a whole number of Hz"
                f" and do_normalize true or false, got {rate_hz!r:.40} and {said!r:.40}"
            )
    elif found.layout == "fairseq":
        said = normalised_by(settings)
    assumed = said is None
    if assumed:
        said = found.layout == "transformers"
    policy = "zscore" if said else "none"
    note = ""
    if assumed and said:
        note = "no preprocessor_config.json: waves are taken to be normalised (zscore)"
    elif not said:
        note = (
            f"waves are {'assumed to be ' if assumed else ''}taken as they are: for"
            ' quiet or uneven recordings choose normalise="peak"'
        )
    return {"rate_hz": rate_hz, "normalise": policy}, note


def _vocabulary(path: epath.PathLike) -> dict[str, Any] | None:
    """Indices by token, with those that were added later."""
    found = beside(path, "vocab.json")
    if found is None:
        return None
    return found | (beside(path, "added_tokens.json") or {})


def _labels(
    config: SpeechEncoderConfig, vocabulary: Mapping[str, Any] | None
) -> tuple[tuple[str, ...] | None, str]:
    """Tokens in output order; None and a remark if they are not those of the head."""
    if not config.ctc_classes:
        return None, ""
    if vocabulary is None:
        return None, f"a CTC head of {config.ctc_classes} tokens without names"
    every = range(config.ctc_classes)
    pairs = [(i, token) for token, i in vocabulary.items() if type(i) is int]
    if len(pairs) < len(vocabulary) or sorted(i for i, _ in pairs) != list(every):
        return None, (
            f"tokens without names: vocab.json does not name {len(every)} outputs of"
            f" the CTC head, each once: {json.dumps(dict(vocabulary))[:60]}..."
        )
    return tuple(token for _, token in sorted(pairs)), ""
