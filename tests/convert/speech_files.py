"""Made-up speech encoders as transformers, torchaudio and fairseq would write them."""

import json
import re
import struct

import numpy as np

# Of a small network of two blocks.
SETTINGS = {
    "model_type": "hubert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "layer_norm_eps": 1e-5,
    "conv_dim": [4, 4, 6],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 32,
}


def state_of(kind="hubert", *, large=False, ctc=0, batch_norm=False, old=True):
    """Random arrays under transformers' names, of `SETTINGS`."""
    rng = np.random.default_rng(0)
    d, mlp, conv = 8, 12, "feature_extractor.conv_layers"
    shapes: dict[str, tuple[int, ...]] = {"masked_spec_embed": (d,)}

    def both(name, *shape):
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]

    for i, (c, k, before) in enumerate([(4, 10, 1), (4, 3, 4), (6, 2, 4)]):
        shapes[f"{conv}.{i}.conv.weight"] = (c, before, k)
        if large:
            shapes[f"{conv}.{i}.conv.bias"] = (c,)
        if large or i == 0:
            both(f"{conv}.{i}.layer_norm", c)
    both("feature_projection.layer_norm", 6)
    both("feature_projection.projection", d, 6)
    both("encoder.layer_norm", d)
    _positions(shapes, both, batch_norm, old)
    for i in range(2):
        block = f"encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            both(f"{block}.attention.{name}", d, d)
        both(f"{block}.layer_norm", d)
        both(f"{block}.final_layer_norm", d)
        both(f"{block}.feed_forward.intermediate_dense", mlp, d)
        both(f"{block}.feed_forward.output_dense", d, mlp)
        if kind == "wavlm":
            both(f"{block}.attention.gru_rel_pos_linear", 8, 4)
            shapes[f"{block}.attention.gru_rel_pos_const"] = (1, 2, 1, 1)
    if kind == "wavlm":
        shapes["encoder.layers.0.attention.rel_attn_embed.weight"] = (8, 2)
    state = {name: _drawn(rng, shape) for name, shape in shapes.items()}
    if ctc:
        state = {f"{kind}.{name}": value for name, value in state.items()}
        state["lm_head.weight"] = rng.normal(size=(ctc, d)).astype("f4")
        state["lm_head.bias"] = rng.normal(size=ctc).astype("f4")
    return state


def _drawn(rng, shape):
    # Vectors are positive: some are variances and scales.
    drawn = rng.uniform(0.1, 1, shape) if len(shape) == 1 else rng.normal(size=shape)
    return drawn.astype("f4")


def _positions(shapes, both, batch_norm, old):
    pos, d = "encoder.pos_conv_embed", 8
    shapes[f"{pos}.conv.bias"] = (d,)
    if batch_norm:
        shapes[f"{pos}.conv.weight"] = (d, 4, 4)
        both(f"{pos}.batch_norm", d)
        shapes[f"{pos}.batch_norm.running_mean"] = (d,)
        shapes[f"{pos}.batch_norm.running_var"] = (d,)
    else:
        start = f"{pos}.conv.parametrizations.weight.original"
        names = (
            [f"{pos}.conv.weight_{x}" for x in "gv"]
            if old
            else [f"{start}{i}" for i in range(2)]
        )
        shapes |= dict(zip(names, ((1, 1, 4), (d, 4, 4)), strict=True))


def _without_prefix(state):
    return {re.sub(r"^(wav2vec2|hubert|wavlm)\.", "", k): v for k, v in state.items()}


def as_torchaudio(state, cat=np.concatenate):
    """Transformers' names as torchaudio's; WavLM's q, k and v in one."""
    state = _without_prefix(state)
    wavlm = any(name.endswith("gru_rel_pos_const") for name in state)
    found = {}
    for name, value in state.items():
        if name == "masked_spec_embed":
            name = "mask_generator.mask_embedding"
        if name.startswith("encoder."):
            name = "encoder.transformer." + name[len("encoder.") :]
        elif name.startswith("feature_projection."):
            name = f"encoder.{name}"
        elif name.startswith("lm_head."):
            name = "aux" + name[len("lm_head") :]
        if wavlm and (m := re.match(r"(.*\.attention\.)([kqv])_proj\.(.*)$", name)):
            if m[2] == "q":
                start = m[1].replace("encoder.transformer.", "encoder.")
                parts = [state[f"{start}{x}_proj.{m[3]}"] for x in "qkv"]
                found[f"{m[1]}attention.in_proj_{m[3]}"] = cat(parts)
            continue
        if wavlm:
            name = name.replace(".attention.out_proj", ".attention.attention.out_proj")
        found[name] = value
    return found


def as_fairseq(state, prefix="", head=""):
    """Transformers' names as fairseq's."""
    state = _without_prefix(state)
    batch = any("pos_conv_embed.batch_norm" in name for name in state)
    large = any("conv_layers.1.layer_norm" in name for name in state)
    replacements = {
        "masked_spec_embed": "mask_emb",
        "encoder.pos_conv_embed.batch_norm.": "encoder.pos_conv.0.",
        "encoder.pos_conv_embed.conv.": f"encoder.pos_conv.{int(batch)}.",
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
        "feature_projection.projection.": "post_extract_proj.",
        "feature_projection.layer_norm.": "layer_norm.",
        ".feed_forward.intermediate_dense.": ".fc1.",
        ".feed_forward.output_dense.": ".fc2.",
        ".attention.gru_rel_pos_linear.": ".self_attn.grep_linear.",
        ".attention.gru_rel_pos_const": ".self_attn.grep_a",
        ".attention.rel_attn_embed.": ".self_attn.relative_attention_bias.",
        ".attention.": ".self_attn.",
        "lm_head.": f"{head}proj.",
    }
    found = {}
    for name, value in state.items():
        if m := re.match(r"(feature_extractor\.conv_layers\.\d+)\.(\w+)\.(\w+)$", name):
            place = {"conv": "0", "layer_norm": "2.1" if large else "2"}[m[2]]
            found[f"{prefix}{m[1]}.{place}.{m[3]}"] = value
            continue
        if m := re.match(r"(encoder\.layers\.\d+)\.layer_norm\.(\w+)$", name):
            found[f"{prefix}{m[1]}.self_attn_layer_norm.{m[2]}"] = value
            continue
        outside = name.startswith("lm_head.")
        for old, new in replacements.items():
            name = name.replace(old, new)
        found[name if outside else prefix + name] = value
    return found


def safetensors(arrays) -> bytes:
    """A file of float32 arrays."""
    header, data = {}, b""
    for name, value in arrays.items():
        spot = [len(data), len(data) + value.nbytes]
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": spot}
        data += value.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
