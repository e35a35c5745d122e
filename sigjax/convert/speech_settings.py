"""The architecture of a speech encoder, from what stands beside or in its file.

transformers writes `config.json`; AVES comes with `.model_config.json`, the arguments
of torchaudio's `wav2vec2_model`; fairseq keeps its settings in the checkpoint. What
they leave open, the arrays' shapes say; what the shapes cannot say either is as in the
published base models, and a note tells so.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from sigjax.convert.audio import beside, weights_file
from sigjax.convert.pickles import Record, WeightsError
from sigjax.convert.speech_names import Layout, Named, layers_of
from sigjax.models.speech_encoder import SpeechEncoderConfig

# Of every published encoder: taps and strides of the convolutions on the wave.
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
_HEAD = 64  # width of an attention head in every published encoder
_KINDS = ("wav2vec2", "hubert", "wavlm")
_LAYERS = 64  # more are no encoder, whatever a file says

# Our field, and what each calls it.
_TRANSFORMERS = {
    "conv_dim": "conv_dim",
    "conv_kernel": "conv_kernel",
    "conv_stride": "conv_stride",
    "conv_bias": "conv_bias",
    "conv_norm": "feat_extract_norm",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
    "pre_norm": "do_stable_layer_norm",
    "proj_norm": "feat_proj_layer_norm",
    "pos_taps": "num_conv_pos_embeddings",
    "pos_groups": "num_conv_pos_embedding_groups",
    "pos_norm": "conv_pos_batch_norm",
    "eps": "layer_norm_eps",
    "buckets": "num_buckets",
    "max_distance": "max_bucket_distance",
}
_TORCHAUDIO = {
    "conv_norm": "extractor_mode",
    "conv_bias": "extractor_conv_bias",
    "width": "encoder_embed_dim",
    "depth": "encoder_num_layers",
    "heads": "encoder_num_heads",
    "mlp": "encoder_ff_interm_features",
    "pre_norm": "encoder_layer_norm_first",
    "pos_taps": "encoder_pos_conv_kernel",
    "pos_groups": "encoder_pos_conv_groups",
    "buckets": "encoder_num_buckets",
    "max_distance": "encoder_max_distance",
}
_FAIRSEQ = {
    "conv_norm": "extractor_mode",
    "conv_bias": "conv_bias",
    "width": "encoder_embed_dim",
    "depth": "encoder_layers",
    "heads": "encoder_attention_heads",
    "mlp": "encoder_ffn_embed_dim",
    "pre_norm": "layer_norm_first",
    "pos_taps": "conv_pos",
    "pos_groups": "conv_pos_groups",
    "pos_norm": "conv_pos_batch_norm",
    "buckets": "num_buckets",
    "max_distance": "max_distance",
}
_FIELDS: Mapping[Layout, Mapping[str, str]] = {
    "transformers": _TRANSFORMERS,
    "torchaudio": _TORCHAUDIO,
    "fairseq": _FAIRSEQ,
}
# Of the convolutions, three numbers each, and of activations.
_CONVOLUTIONS = ("extractor_conv_layer_config", "conv_feature_layers")
_ACTIVATIONS = ("hidden_act", "feat_extract_activation", "activation_fn")
_CONV_NORMS = {"group": "group", "group_norm": "group", "default": "group"} | {
    "layer": "layer",
    "layer_norm": "layer",
}


class Described(NamedTuple):
    """An architecture, and what had to be assumed of it.

    Attributes:
      config: The architecture.
      notes: Assumptions, for people.
    """

    config: SpeechEncoderConfig
    notes: tuple[str, ...]


def settings_beside(path: epath.PathLike) -> dict[str, Any] | None:
    """`config.json`, or the `.model_config.json` of the file's own name.

    Raises:
      WeightsError: It is damaged.
    """
    file = weights_file(path)
    own = beside(path, f"{file.stem}.model_config.json")
    return own if own is not None else beside(path, "config.json")


def described(found: Named, settings: Mapping[str, Any] | None) -> Described:
    """The architecture of an encoder.

    Args:
      found: Its arrays.
      settings: `config.json`, torchaudio's arguments, or fairseq's `cfg` and `args`;
        None if there are none.

    Raises:
      WeightsError: The settings are of another network, or leave open what has no
        usual value.
    """
    if found.layout == "transformers" and settings is None:
        raise WeightsError("config.json is not beside it: fetch it, too")
    places = list(_places(settings or {}))
    _refuse(places)
    fields = _of_shapes(found.arrays)
    given = {}
    for ours, theirs in _FIELDS[found.layout].items():
        value = _looked_up(places, theirs)
        if value is not None:
            given[ours] = _value(ours, theirs, value)
    for name in _CONVOLUTIONS:
        value = _looked_up(places, name)
        if value is not None and found.layout != "transformers":
            given |= _convolutions(name, value)
    fields |= given
    kind = _kind(found, places)
    notes = _assume(fields, kind)
    if kind != "wavlm":
        fields.pop("buckets", None)
        fields.pop("max_distance", None)
    try:
        return Described(SpeechEncoderConfig(kind=kind, **fields), notes)
    except ValueError as error:
        raise WeightsError(f"its settings do not fit together: {error}") from None


def normalised_by(settings: Mapping[str, Any] | None) -> bool | None:
    """Whether waves had zero mean and unit variance in training, as fairseq says."""
    value = _looked_up(list(_places(settings or {})), "normalize")
    return value if isinstance(value, bool) else None


def _places(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where to look a setting up, the nearest to the encoder first.

    Fine-tuned networks of fairseq hold the settings of the encoder within their own,
    as `w2v_args`; older files hold all in `args`.
    """
    if not ("cfg" in settings or "args" in settings):
        yield settings
        return
    tops = [_inner(settings.get(name)) for name in ("cfg", "args")]
    for top in tops:
        model = _inner(top.get("model"))
        for outer in (model, top):
            within = _inner(outer.get("w2v_args"))
            for name in ("model", "task"):
                yield _inner(within.get(name))
            yield within
        yield model
        yield _inner(top.get("task"))
        yield top


def _inner(value: Any) -> Mapping[str, Any]:
    """The entries of a group of settings; none of what is no group."""
    value = _plain(value)
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any) -> Any:
    """What omegaconf's nodes and fairseq's enumerations stand for."""
    for _ in range(4):
        if not isinstance(value, Record):
            break
        if "_content" in value:
            value = value["_content"]
        elif "_val" in value:
            value = value["_val"]
        elif isinstance(value.get("arguments"), tuple) and len(value["arguments"]) == 1:
            value = value["arguments"][0]
        else:
            break
    return value


def _looked_up(places: list[Mapping[str, Any]], name: str) -> Any:
    for place in places:
        value = _plain(place.get(name))
        # omegaconf's way to say that a value stands elsewhere, or nowhere.
        if isinstance(value, str) and value.startswith(("${", "???")):
            continue
        if value is not None:
            return value
    return None


def _refuse(places: list[Mapping[str, Any]]) -> None:
    """Networks that are named like these encoders and compute something else."""
    kind = _looked_up(places, "model_type")
    if kind is not None and not _is(kind, *_KINDS):
        raise WeightsError(
            f"config.json is of the model type {_show(kind)}; these are read:"
            f" {', '.join(_KINDS)}"
        )
    for name in _ACTIVATIONS:
        value = _looked_up(places, name)
        if value is not None and not _is(value, "gelu"):
            raise WeightsError(f"{name} {_show(value)} is not supported: only gelu")
    layers = _looked_up(places, "layer_type")
    if layers is not None and not _is(layers, "transformer"):
        raise WeightsError(f"blocks of the type {_show(layers)} are not supported")
    if _looked_up(places, "adapter_attn_dim") is not None:
        raise WeightsError("adapters inside the blocks (adapter_attn_dim) are not read")


def _is(value: Any, *names: str) -> bool:
    return isinstance(value, str) and value in names


def _show(value: Any) -> str:
    # Not repr of anything: that of nested shared lists is endless.
    short = value is None or isinstance(value, str | int | float)
    return repr(value)[:80] if short else f"a {type(value).__name__}"


def _of_shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the shapes say; a part that is missing says nothing."""

    def shape(name: str, axes: int) -> tuple[int, ...] | None:
        found = arrays.get(name)
        return found.shape if found is not None and found.ndim == axes else None

    fields: dict[str, Any] = {}
    conv = "feature_extractor.conv_layers"
    count = min(layers_of(arrays, "conv"), _LAYERS)
    kernels = [shape(f"{conv}.{i}.conv.weight", 3) for i in range(count)]
    if kernels and all(kernels):
        fields["conv_dim"] = tuple(k[0] for k in kernels if k)
        fields["conv_kernel"] = tuple(k[2] for k in kernels if k)
    fields["conv_bias"] = f"{conv}.0.conv.bias" in arrays
    layered = count > 1 and f"{conv}.1.layer_norm.weight" in arrays
    fields["conv_norm"] = "layer" if layered else "group"
    if dense := shape("feature_projection.projection.weight", 2):
        fields["width"] = dense[0]
    fields["proj_norm"] = "feature_projection.layer_norm.weight" in arrays
    fields["depth"] = min(layers_of(arrays, "layer"), _LAYERS)
    if up := shape("encoder.layers.0.feed_forward.intermediate_dense.weight", 2):
        fields["mlp"] = up[0]
    pos = "encoder.pos_conv_embed"
    batch = f"{pos}.batch_norm.running_mean" in arrays
    fields["pos_norm"] = "batch" if batch else "weight"
    for name in ("weight_v", "weight"):
        if (kernel := shape(f"{pos}.conv.{name}", 3)) and kernel[1]:
            fields["pos_taps"] = kernel[2]
            fields["pos_groups"] = max(1, kernel[0] // kernel[1])
    if table := shape("encoder.layers.0.attention.rel_attn_embed.weight", 2):
        fields["buckets"], fields["heads"] = table
    fields["mask_embedding"] = "masked_spec_embed" in arrays
    if head := shape("lm_head.weight", 2):
        fields["ctc_classes"] = head[0]
    return fields


def _value(ours: str, theirs: str, value: Any) -> Any:
    """A setting as the field of ours that it stands for."""
    fields = SpeechEncoderConfig.__dataclass_fields__
    if ours == "conv_norm":
        if not _is(value, *_CONV_NORMS):
            raise WeightsError(f"{theirs} {_show(value)} is not known")
        return _CONV_NORMS[value]
    kind = bool if ours == "pos_norm" else type(fields[ours].default)
    if kind is tuple:
        ok = isinstance(value, list | tuple) and all(type(n) is int for n in value)
        value = tuple(value) if ok else value
    elif kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise WeightsError(f"{theirs} is {_show(value)}, expected {kind.__name__}")
    if ours == "pos_norm":
        return "batch" if value else "weight"
    if ours == "depth" and value > _LAYERS:
        raise WeightsError(f"{theirs} is {value}: no encoder has so many blocks")
    return value


def _convolutions(name: str, value: Any) -> dict[str, Any]:
    """Channels, taps and strides, which fairseq writes as a Python expression."""
    rows: Any = value
    if isinstance(value, str):
        try:
            rows = _listed(ast.parse(value[:2000], mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            rows = ()
    rows = rows if isinstance(rows, list | tuple) else ()
    if not 0 < len(rows) <= _LAYERS or not all(
        isinstance(row, list | tuple)
        and len(row) == 3
        and all(type(n) is int for n in row)
        for row in rows
    ):
        raise WeightsError(
            f"{name} is {_show(value)}, expected (channels, taps, stride) of each"
            " convolution"
        )
    dims, kernels, strides = zip(*rows, strict=True)
    return {"conv_dim": dims, "conv_kernel": kernels, "conv_stride": strides}


def _listed(node: ast.expr) -> Any:
    """`[(512,10,5)] + [(512,3,2)] * 4` without running it.

    Raises:
      ValueError: It holds anything but numbers, tuples, lists, + and *.
    """
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [_listed(part) for part in parts]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _listed(left), _listed(right)
            if isinstance(first, list) and isinstance(second, list):
                return first + second
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            rows, times = _listed(left), _listed(right)
            if isinstance(rows, list) and type(times) is int and times <= _LAYERS:
                if len(rows) <= _LAYERS:
                    return rows * times
    raise ValueError("no list of tuples")


def _kind(found: Named, places: list[Mapping[str, Any]]) -> Any:
    """Which of the three; the names tell WavLM, the settings or the heads the rest."""
    if any(name.endswith("gru_rel_pos_const") for name in found.arrays):
        return "wavlm"
    said = _looked_up(places, "model_type") or _looked_up(places, "_name")
    said = said or _looked_up(places, "arch")
    if isinstance(said, str):
        # fairseq's names: hubert, hubert_ctc, wav2vec2, wav2vec_ctc.
        for start, kind in (("hubert", "hubert"), ("wav2vec", "wav2vec2")):
            if said.startswith(start):
                return kind
    quantised = any("quantizer." in name for name in found.ignored)
    return "wav2vec2" if quantised else "hubert"


def _assume(fields: dict[str, Any], kind: str) -> tuple[str, ...]:
    """Fills in what nothing says; returns what was filled in."""
    notes = []
    if "conv_stride" not in fields:
        if fields.get("conv_kernel", _KERNELS) != _KERNELS:
            raise WeightsError(
                f"nothing says the strides of convolutions of {fields['conv_kernel']}"
                " taps: its settings must be beside it (config.json, or"
                " NAME.model_config.json for NAME.pt)"
            )
        fields["conv_stride"] = _STRIDES
        notes.append(f"strides {_STRIDES}")
    if "heads" not in fields and "width" in fields:
        fields["heads"] = max(1, fields["width"] // _HEAD)
        notes.append(f"{fields['heads']} heads")
    if "pre_norm" not in fields:
        fields["pre_norm"] = fields["conv_norm"] == "layer"
        notes.append(f"norms {'before' if fields['pre_norm'] else 'after'} attention")
    if kind == "wavlm" and "max_distance" not in fields:
        notes.append(f"max_distance {SpeechEncoderConfig.max_distance}")
    return (f"assumed, as nothing says it: {', '.join(notes)}",) if notes else ()
