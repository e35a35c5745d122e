"""What speech encoders' arrays are called: transformers', torchaudio's, fairseq's.

All become transformers' names without their prefix, with weight norm's old spelling:

  here                                   torchaudio              fairseq
  feature_extractor.conv_layers.I.conv   same                    ...conv_layers.I.0
  ...conv_layers.I.layer_norm            same                    ...I.2, or ...I.2.1
  feature_projection.layer_norm          encoder.feature_...     layer_norm
  feature_projection.projection          encoder.feature_...     post_extract_proj
  encoder.pos_conv_embed.conv            encoder.transformer...  encoder.pos_conv.0
  encoder.pos_conv_embed.batch_norm                              encoder.pos_conv.0
    (the convolution is then                                     encoder.pos_conv.1)
  encoder.layers.I.attention.q_proj      encoder.transformer...  ...self_attn.q_proj
  encoder.layers.I.layer_norm            likewise                self_attn_layer_norm
  ...feed_forward.intermediate_dense     likewise                fc1
  ...feed_forward.output_dense           likewise                fc2
  ...attention.gru_rel_pos_linear        likewise                self_attn.grep_linear
  ...attention.gru_rel_pos_const         likewise                self_attn.grep_a
  ...attention.rel_attn_embed            likewise                relative_attention_bias
  masked_spec_embed                      mask_generator...       mask_emb
  lm_head                                aux                     proj

torchaudio's WavLM holds queries, keys and values in one matrix: it is cut in three.
Heads of pre-training and of other tasks are left out, and named.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from sigjax.convert.pickles import WeightsError

Layout = Literal["transformers", "torchaudio", "fairseq"]
State = Mapping[str, np.ndarray]

# The first convolution, which every encoder has: what stands before is the prefix.
_FIRST = {
    "conv.weight": "feature_extractor.conv_layers.0.conv.weight",
    "0.weight": "feature_extractor.conv_layers.0.0.weight",
}
# Beside the encoder, in the order of the docstring; nothing here changes its layers.
_HEADS: Mapping[Layout, tuple[str, ...]] = {
    "transformers": (
        *("quantizer.", "project_q.", "project_hid.", "dropout_features."),
        *("projector.", "classifier.", "layer_weights", "tdnn.", "feature_extractor."),
        *("objective.", "adapter.", "final_proj.", "label_embs_concat"),
    ),
    "torchaudio": ("logit_generator.", "mask_generator."),
    "fairseq": (
        *("quantizer.", "input_quantizer.", "project_q.", "project_inp."),
        *("final_proj.", "target_glu.", "label_embs_concat", "layer_norm_for_extract."),
    ),
}
_CTC: Mapping[Layout, str] = {
    "transformers": "lm_head.",
    "torchaudio": "aux.",
    "fairseq": "proj.",
}
# What one says, what we say; the first that matches decides.
_FAIRSEQ = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.", r"{conv}\1.conv."),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?", r"{conv}\1.layer_norm."),
    (r"layer_norm\.", "feature_projection.layer_norm."),
    (r"post_extract_proj\.", "feature_projection.projection."),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.", r"{layer}\1.layer_norm."),
    (r"encoder\.layers\.(\d+)\.fc1\.", r"{layer}\1.feed_forward.intermediate_dense."),
    (r"encoder\.layers\.(\d+)\.fc2\.", r"{layer}\1.feed_forward.output_dense."),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.grep_linear\.",
        r"{layer}\1.attention.gru_rel_pos_linear.",
    ),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.grep_a$",
        r"{layer}\1.attention.gru_rel_pos_const",
    ),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.relative_attention_bias\.",
        r"{layer}\1.attention.rel_attn_embed.",
    ),
    (r"encoder\.layers\.(\d+)\.self_attn\.", r"{layer}\1.attention."),
    (r"mask_emb$", "masked_spec_embed"),
)
_TORCHAUDIO = (
    (r"encoder\.feature_projection\.", "feature_projection."),
    (
        r"encoder\.transformer\.layers\.(\d+)\.attention\.attention\.out_proj\.",
        r"{layer}\1.attention.out_proj.",
    ),
    (r"encoder\.transformer\.", "encoder."),
)
_PARTS = {"conv": "feature_extractor.conv_layers.", "layer": "encoder.layers."}
_WEIGHT_NORM = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
_FUSED = re.compile(
    r"encoder\.layers\.(\d+)\.attention\.attention\.in_proj_(weight|bias)"
)
_COUNTER = "num_batches_tracked"


class Named(NamedTuple):
    """A state dict under the names above.

    Attributes:
      layout: Whose names it had.
      arrays: By name: the encoder's, and `lm_head.weight` and `.bias` of a CTC head.
      theirs: The names in the file, by ours.
      ignored: Names in the file of what was left out.
    """

    layout: Layout
    arrays: dict[str, np.ndarray]
    theirs: dict[str, str]
    ignored: tuple[str, ...]


def named(state: State) -> Named:
    """A state dict of any of the three under our names.

    Args:
      state: Arrays by name, as `read_state_dict` gives them.

    Raises:
      WeightsError: It is none of them, or has two arrays for one place.
    """
    layout, prefix = _layout_of(state)
    arrays: dict[str, np.ndarray] = {}
    theirs: dict[str, str] = {}
    ignored = []
    for name, value in state.items():
        ours = _ours(name, layout, prefix, state)
        if ours is None:
            ignored.append(name)
            continue
        for part, array in _split(ours, value):
            if part in arrays:
                raise WeightsError(f"it has both {theirs[part]} and {name}")
            arrays[part], theirs[part] = array, name
    return Named(layout, arrays, theirs, tuple(sorted(ignored)))


def layers_of(names: Iterable[str], part: Literal["conv", "layer"]) -> int:
    """How many convolutions or blocks there are, by our names."""
    pattern = re.compile(re.escape(_PARTS[part]) + r"(\d{1,4})\.")
    found = (pattern.match(name) for name in names)
    return 1 + max((int(m[1]) for m in found if m), default=-1)


def _layout_of(state: State) -> tuple[Layout, str]:
    """Whose names they are, and what stands before those of the encoder."""
    found = [
        (end, name.removesuffix(whole))
        for name in state
        for end, whole in _FIRST.items()
        if name.endswith(whole)
    ]
    if len(found) != 1:
        several = " and ".join(repr(prefix) for _, prefix in found)
        raise WeightsError(
            f"it holds several encoders, under {several}"
            if found
            else "this is no speech encoder: it lacks the first convolution,"
            f" {' or '.join(_FIRST.values())}; it holds {_some(state)}"
        )
    ((end, prefix),) = found
    if end == "0.weight":
        return "fairseq", prefix
    inside = f"{prefix}encoder.transformer."
    theirs = any(name.startswith(inside) for name in state)
    return ("torchaudio" if theirs else "transformers"), prefix


def _ours(name: str, layout: Layout, prefix: str, state: State) -> str | None:
    """Our name; None for what is left out; the whole name where it is unknown."""
    if name.endswith(_COUNTER):
        return None
    # Fine-tuning puts its head beside the encoder, or a level above it.
    above = prefix[: prefix.rstrip(".").rfind(".") + 1]
    for start in dict.fromkeys((prefix, above, "")):
        if name == f"{start}mask_generator.mask_embedding":
            return "masked_spec_embed"
        rest = name.removeprefix(start)
        inside = start == prefix and name.startswith(prefix)
        if not name.startswith(start):
            continue
        if rest.startswith(_CTC[layout]):
            return f"lm_head.{rest.removeprefix(_CTC[layout])}"
        heads = [h for h in _HEADS[layout] if h != "feature_extractor." or not inside]
        if rest.startswith(tuple(heads)):
            return None
    if not name.startswith(prefix):
        return name
    return _renamed(name.removeprefix(prefix), layout, prefix, state)


def _renamed(name: str, layout: Layout, prefix: str, state: State) -> str:
    if layout == "fairseq" and name.startswith("encoder.pos_conv."):
        norm = f"{prefix}encoder.pos_conv.0.running_mean" in state
        parts = ("batch_norm", "conv") if norm else ("conv",)
        for i, part in enumerate(parts):
            start = f"encoder.pos_conv.{i}."
            if name.startswith(start):
                name = f"encoder.pos_conv_embed.{part}.{name.removeprefix(start)}"
    rules = {"fairseq": _FAIRSEQ, "torchaudio": _TORCHAUDIO}.get(layout, ())
    for pattern, ours in rules:
        changed, count = re.subn(f"^{pattern}", ours.format(**_PARTS), name, count=1)
        if count:
            name = changed
            break
    for new, old in _WEIGHT_NORM.items():
        if name.endswith(f".{new}"):
            name = name.removesuffix(new) + old
    return name


def _split(name: str, value: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """An array, or the three of `torch.nn.MultiheadAttention`'s one."""
    fused = _FUSED.fullmatch(name)
    if fused is None:
        return [(name, value)]
    if value.ndim == 0 or len(value) % 3:
        raise WeightsError(f"{name} has shape {value.shape}, no three equal parts")
    start = f"encoder.layers.{fused[1]}.attention."
    parts = np.split(value, 3)
    return [
        (f"{start}{x}_proj.{fused[2]}", part)
        for x, part in zip("qkv", parts, strict=True)
    ]


def _some(state: State, most: int = 6) -> str:
    more = f" and {len(state) - most} more" if len(state) > most else ""
    return ", ".join(name[:80] for name in list(state)[:most]) + more
