"""Speech encoders against those of transformers, on random weights."""

import jax
import numpy as np
import pytest

REASON = "parity needs PyTorch and transformers: see the parity extra"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

from sigjax.models.speech_encoder import (  # noqa: E402
    SpeechEncoder,
    SpeechEncoderConfig,
)

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "conv_dim": (16,) * 7,
    "num_buckets": 16,
    "max_bucket_distance": 20,
}
STABLE = {"do_stable_layer_norm": True}
LAYER = {"feat_extract_norm": "layer", "conv_bias": True}
VARIANTS = {
    "wav2vec2": ("Wav2Vec2", {}),
    "wav2vec2-large": ("Wav2Vec2", STABLE | LAYER),
    "hubert": ("Hubert", {"num_conv_pos_embeddings": 15, "layer_norm_eps": 1e-3}),
    "hubert-large": ("Hubert", STABLE | LAYER),
    "distilhubert": ("Hubert", {"feat_proj_layer_norm": False}),
    "mhubert": ("Hubert", {"conv_pos_batch_norm": True}),
    "wavlm": ("WavLM", {}),
    "wavlm-large": ("WavLM", STABLE | LAYER | {"conv_bias": False}),
}
SAMPLES = np.array([9000, 4321, 700])


def network(name):
    """One of transformers whose every weight is random, norms and biases too."""
    family, changes = VARIANTS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**(SIZES | changes))
    made = getattr(transformers, f"{family}Model")(config).eval()
    with torch.no_grad():
        for key, value in [*made.named_parameters(), *made.named_buffers()]:
            if not value.is_floating_point():
                continue
            spread = 0.2 if value.ndim == 1 else max(value[0].numel(), 4) ** -0.5
            value.copy_(spread * torch.randn(value.shape))
            if key.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape))
            if "norm" in key and key.endswith("weight") or key.endswith("original0"):
                value += 1
    return made


def config_of(made):
    c = made.config
    return SpeechEncoderConfig(
        kind=c.model_type,
        conv_dim=tuple(c.conv_dim),
        conv_bias=c.conv_bias,
        conv_norm=c.feat_extract_norm,
        width=c.hidden_size,
        depth=c.num_hidden_layers,
        heads=c.num_attention_heads,
        mlp=c.intermediate_size,
        pre_norm=c.do_stable_layer_norm,
        proj_norm=getattr(c, "feat_proj_layer_norm", True),
        pos_taps=c.num_conv_pos_embeddings,
        pos_groups=c.num_conv_pos_embedding_groups,
        pos_norm="batch" if getattr(c, "conv_pos_batch_norm", False) else "weight",
        eps=c.layer_norm_eps,
        buckets=getattr(c, "num_buckets", 320),
        max_distance=getattr(c, "max_bucket_distance", 800),
        norm_stats="hf",
        mask_embedding=True,
    )


def params_of(made):
    """Our tree, written down here a second time: the converter has tests of its own."""
    state = {k: v.detach().numpy() for k, v in made.state_dict().items()}

    def pair(name, weight="kernel"):
        value = state[f"{name}.weight"]
        value = value.T if value.ndim < 3 else value.transpose(2, 1, 0)
        bias = {"bias": state[f"{name}.bias"]} if f"{name}.bias" in state else {}
        return {weight: value} | bias

    def norm(name):
        return pair(name, "scale")

    tree = {"conv": {}, "blocks": {}, "proj": {}, "norm": norm("encoder.layer_norm")}
    for i in range(7):
        name = f"feature_extractor.conv_layers.{i}"
        tree["conv"][str(i)] = pair(f"{name}.conv")
        if f"{name}.layer_norm.weight" in state:
            tree["conv"][str(i)]["norm"] = norm(f"{name}.layer_norm")
    tree["proj"]["dense"] = pair("feature_projection.projection")
    if "feature_projection.layer_norm.weight" in state:
        tree["proj"]["norm"] = norm("feature_projection.layer_norm")
    pos = "encoder.pos_conv_embed"
    state[f"{pos}.conv.weight"] = (
        made.encoder.pos_conv_embed.conv.weight.detach().numpy()
    )
    tree["pos"] = pair(f"{pos}.conv")
    if f"{pos}.batch_norm.weight" in state:
        mean, var, scale, bias = (
            state[f"{pos}.batch_norm.{k}"]
            for k in ("running_mean", "running_var", "weight", "bias")
        )
        scale = scale / np.sqrt(var + 1e-5)
        tree["pos"]["batch_norm"] = {"scale": scale, "bias": bias - mean * scale}
    for i in range(made.config.num_hidden_layers):
        name = f"encoder.layers.{i}"
        block = {k: pair(f"{name}.attention.{k}_proj") for k in ("q", "k", "v", "out")}
        block["norm_attention"] = norm(f"{name}.layer_norm")
        block["norm_mlp"] = norm(f"{name}.final_layer_norm")
        block["up"] = pair(f"{name}.feed_forward.intermediate_dense")
        block["down"] = pair(f"{name}.feed_forward.output_dense")
        if made.config.model_type == "wavlm":
            block["gate"] = pair(f"{name}.attention.gru_rel_pos_linear")
            constant = state[f"{name}.attention.gru_rel_pos_const"]
            block["gate"]["constant"] = constant.ravel()
        tree["blocks"][str(i)] = block
    if made.config.model_type == "wavlm":
        table = state["encoder.layers.0.attention.rel_attn_embed.weight"]
        tree["relative"] = {"table": table}
    return jax.tree.map(np.asarray, tree | {"mask": state["masked_spec_embed"]})


def waves():
    random = np.random.default_rng(0)
    x = random.normal(size=(len(SAMPLES), SAMPLES.max())).astype("f4")
    return x * (np.arange(x.shape[1]) < SAMPLES[:, None])


def theirs(made, x, attention_mask=None, frame_mask=None):
    """All hidden states and the last one, as torch gives them."""
    with torch.no_grad():
        found = made(
            torch.tensor(x),
            attention_mask=None
            if attention_mask is None
            else torch.tensor(attention_mask),
            mask_time_indices=None if frame_mask is None else torch.tensor(frame_mask),
            output_hidden_states=True,
        )
    return [h.numpy() for h in (*found.hidden_states, found.last_hidden_state)]


def compare(ours, expected, made, own=None):
    stable = made.config.do_stable_layer_norm
    assert len(ours.layers) == made.config.num_hidden_layers + 1
    for i, (a, b) in enumerate(zip((*ours.layers, ours.last), expected, strict=True)):
        a, b = (a, b) if own is None else (np.asarray(a)[own], b[own])
        assert b.std() > 0.3
        np.testing.assert_allclose(a, b, atol=2e-4 if stable else 5e-5, err_msg=str(i))


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("name", VARIANTS)
def test_all_hidden_states_are_those_of_transformers(name):
    """Without a mask, with one, and with frames masked."""
    made, x = network(name), waves()
    model, params = SpeechEncoder(config_of(made)), params_of(made)
    init = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    shapes = jax.tree.map(np.shape, params)
    assert shapes == jax.tree.map(lambda leaf: leaf.shape, init)
    frame_mask = np.random.default_rng(1).random((len(x), 27)) < 0.3
    attended = (np.arange(x.shape[1]) < SAMPLES[:, None]).astype(int)

    @jax.jit
    def encode(params, x, samples, mask):
        return model.apply({"params": params}, x, samples, mask=mask)

    whole = np.full(len(x), x.shape[1])
    compare(encode(params, x, whole, frame_mask * False), theirs(made, x), made)
    found = encode(params, x, SAMPLES, frame_mask)
    np.testing.assert_array_equal(found.frames, [27, 13, 1])
    own = np.arange(27) < np.asarray(found.frames)[:, None]
    compare(found, theirs(made, x, attended, frame_mask), made, own)
