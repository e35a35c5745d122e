"""Snapshots that transformers writes, and the same weights under other names."""

import argparse
import collections
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

REASON = "parity needs PyTorch and transformers: see the parity extra"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

from sigjax.convert.speech import convert_speech, read_speech  # noqa: E402
from sigjax.models.speech_encoder import SpeechEncoder  # noqa: E402
from tests.convert.speech_files import as_fairseq, as_torchaudio  # noqa: E402

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
}
LARGE = {
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "layer_norm_eps": 1e-4,
}
NETWORKS = {
    "wav2vec2": ("Wav2Vec2ForCTC", {"vocab_size": 5}),
    "wavlm-large": (
        "WavLMForCTC",
        LARGE | {"vocab_size": 5, "num_buckets": 12, "max_bucket_distance": 9},
    ),
}


def network(name, kind=""):
    """One of transformers whose every weight is random, norms and biases too."""
    model, changes = NETWORKS[name]
    torch.manual_seed(0)
    kind = getattr(transformers, kind or model)
    made = kind(kind.config_class(**(SIZES | changes))).eval()
    with torch.no_grad():
        for key, value in made.named_parameters():
            spread = 0.1 if value.ndim == 1 else value[0].numel() ** -0.5
            if key.endswith("gru_rel_pos_const"):
                spread = 1.0
            value.copy_(spread * torch.randn(value.shape))
            if "norm" in key and key.endswith("weight") or "original0" in key:
                value.abs_().add_(1)
        for key, value in made.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                value.copy_(torch.rand(value.shape) + 0.5)
    return made


def check(weights, made, atol):
    """All layers of both, on one clip."""
    wave = np.random.default_rng(0).normal(size=(1, 1500)).astype("f4")
    inner = made.base_model if hasattr(made, "lm_head") else made
    with torch.no_grad():
        theirs = inner(torch.tensor(wave), output_hidden_states=True)
        logits = made(torch.tensor(wave)).logits if hasattr(made, "lm_head") else None
    module = SpeechEncoder(weights.config, "float32")
    ours = jax.jit(module.apply)({"params": weights.params}, jnp.asarray(wave))
    assert len(ours.layers) == len(theirs.hidden_states)
    for one, two in zip(ours.layers, theirs.hidden_states, strict=True):
        assert two.std() > 0.3
        np.testing.assert_allclose(one, two.numpy(), atol=atol)
    if logits is not None:
        np.testing.assert_allclose(ours.logits, logits.numpy(), atol=atol)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_snapshot_is_read_and_computes_the_same(kind, tmp_path):
    made = network(kind)
    made.save_pretrained(tmp_path)
    normal = kind == "wav2vec2"
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normal)
    extractor.save_pretrained(tmp_path)
    weights = read_speech(tmp_path)
    assert weights.config.kind == kind.split("-")[0]
    policy = "zscore" if normal else "none"
    assert weights.preprocessing == {"rate_hz": 16000, "normalise": policy}
    check(weights, made, 2e-4 if "large" in kind else 5e-5)


def test_heads_of_pretraining_are_left_out():
    found = read(network("wav2vec2", "Wav2Vec2ForPreTraining"))
    expected = read(network("wav2vec2", "Wav2Vec2Model"))
    assert found.config == expected.config and not expected.ignored
    assert len(found.ignored) == 7 and "quantizer.codevectors" in found.ignored
    got, wanted = (jax.tree.structure(x.params) for x in (found, expected))
    assert got == wanted


def read(made):
    state = {k: v.detach().numpy() for k, v in made.state_dict().items()}
    return convert_speech(state, settings=made.config.to_dict())


def old_spelling(state):
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        new = f"parametrizations.weight.{new}"
        state = {k.replace(new, old): v for k, v in state.items()}
    assert sum("weight_g" in k for k in state) == 1
    return collections.OrderedDict(state)


@pytest.mark.parametrize("spelling", ["old", "new"])
def test_a_bin_file_with_either_spelling_of_the_weight_norm(spelling, tmp_path):
    made = network("wavlm-large")
    state = made.state_dict()
    made.config.save_pretrained(tmp_path)
    file = tmp_path / "pytorch_model.bin"
    torch.save(old_spelling(state) if spelling == "old" else state, file)
    weights = read_speech(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, weights.params, read(made).params)
    kernel = made.wavlm.encoder.pos_conv_embed.conv.weight.detach().numpy()
    np.testing.assert_allclose(weights.params["pos"]["kernel"], kernel.T, rtol=1e-6)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torchaudio_and_fairseq(zipped, tmp_path):
    made = network("wavlm-large")
    expected = read(made)
    said = {"extractor_mode": "layer_norm", "max_distance": 9}
    said |= {"encoder_attention_heads": 2, "layer_norm_first": True}
    model = as_fairseq(made.state_dict(), "w2v_encoder.w2v_model.", "w2v_encoder.")
    moments = {"state": {0: {"exp_avg": torch.ones(3)}}}
    files = {
        "torchaudio": as_torchaudio(made.state_dict(), torch.cat),
        "fairseq": {
            "args": None,
            "cfg": {"model": {"w2v_args": argparse.Namespace(**said)}},
            "model": collections.OrderedDict(model),
            "last_optimizer_state": moments,
        },
    }
    arguments = {"encoder_layer_norm_first": True, "encoder_num_heads": 2}
    arguments |= {"extractor_mode": "layer_norm", "encoder_max_distance": 9}
    (tmp_path / "torchaudio.model_config.json").write_text(json.dumps(arguments))
    for layout, value in files.items():
        file = tmp_path / f"{layout}.pt"
        torch.save(value, file, _use_new_zipfile_serialization=zipped)
        found = read_speech(file)
        assert found.layout == layout
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
        eps = {"eps": expected.config.eps}  # which neither of them says
        assert dataclasses.replace(found.config, **eps) == expected.config
