"""Made-up weights of every kind; whole networks are compared in tests/parity."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.convert.pickles import WeightsError
from sigjax.convert.shards import files_of
from sigjax.convert.speech import convert_speech, read_speech
from sigjax.models.speech_encoder import SpeechEncoder
from tests.convert.speech_files import (
    SETTINGS,
    as_fairseq,
    as_torchaudio,
    safetensors,
    state_of,
)

ARGUMENTS = {
    "extractor_conv_layer_config": [[4, 10, 5], [4, 3, 2], [6, 2, 2]],
    "encoder_num_heads": 2,
    "encoder_layer_norm_first": False,
    "encoder_max_distance": 9,
}
CFG = {
    "conv_feature_layers": "[(4,10,5), (4,3,2), (6,2,2)]",
    "encoder_attention_heads": 2,
    "layer_norm_first": False,
    "max_distance": 9,
}
WAVLM = {"model_type": "wavlm", "num_buckets": 8, "max_bucket_distance": 9}
LARGE = {
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}


def converted(settings=SETTINGS, extractor=None, vocabulary=None, **variant):
    return convert_speech(
        state_of(**variant),
        settings=settings,
        extractor=extractor,
        vocabulary=vocabulary,
    )


@pytest.mark.parametrize(
    ("settings", "variant"),
    [
        ({}, {}),
        (LARGE, {"large": True}),
        ({"conv_pos_batch_norm": True}, {"batch_norm": True}),
        (WAVLM, {"kind": "wavlm", "ctc": 5}),
    ],
    ids=["base", "large", "batch norm", "wavlm with a head"],
)
def test_the_tree_is_the_module_s(settings, variant):
    weights = converted(SETTINGS | settings, **variant)
    module = SpeechEncoder(weights.config)
    x = jnp.zeros((1, 200))
    expected = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    got = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), weights.params)
    assert got == jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), expected)


def test_arrays_are_turned_to_our_axes():
    state, params = state_of("wavlm"), converted(SETTINGS | WAVLM, kind="wavlm").params
    first = "encoder.layers.1.attention"
    same = np.testing.assert_array_equal
    same(params["blocks"]["1"]["k"]["kernel"].T, state[f"{first}.k_proj.weight"])
    same(params["blocks"]["1"]["up"]["kernel"].shape, (8, 12))
    kernel = state["feature_extractor.conv_layers.1.conv.weight"]  # c' c taps
    same(params["conv"]["1"]["kernel"], kernel.transpose(2, 1, 0))
    table = state["encoder.layers.0.attention.rel_attn_embed.weight"]
    same(params["relative"]["table"], table)
    constant = state[f"{first}.gru_rel_pos_const"]
    same(params["blocks"]["1"]["gate"]["constant"], constant[0, :, 0, 0])
    same(
        params["blocks"]["1"]["norm_mlp"]["scale"],
        state["encoder.layers.1.final_layer_norm.weight"],
    )


@pytest.mark.parametrize("old", [True, False])
def test_the_weight_norm_is_folded_in(old):
    state = state_of()
    gain, direction = (state[f"encoder.pos_conv_embed.conv.weight_{x}"] for x in "gv")
    kernel = converted(old=old).params["pos"]["kernel"]
    for tap in range(4):
        expected = gain[0, 0, tap] * direction[:, :, tap].T
        expected /= np.linalg.norm(direction[:, :, tap])
        np.testing.assert_allclose(kernel[tap], expected, rtol=1e-6)


def test_the_batch_norm_is_folded_in():
    settings = SETTINGS | {"conv_pos_batch_norm": True}
    folded = converted(settings, batch_norm=True).params["pos"]["batch_norm"]
    start, state = "encoder.pos_conv_embed.batch_norm.", state_of(batch_norm=True)
    x = np.random.default_rng(0).normal(size=(5, 8))
    expected = (x - state[f"{start}running_mean"]) / np.sqrt(
        state[f"{start}running_var"] + 1e-5
    ) * state[f"{start}weight"] + state[f"{start}bias"]
    np.testing.assert_allclose(
        x * folded["scale"] + folded["bias"], expected, rtol=1e-5
    )
    state[f"{start}running_var"][2] = -1
    with pytest.raises(WeightsError, match="negative variance"):
        convert_speech(state, settings=settings)


@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_other_names_give_the_same_parameters(kind):
    settings = SETTINGS | (WAVLM if kind == "wavlm" else {})
    expected = convert_speech(state_of(kind, ctc=5), settings=settings)
    for renamed, said in ((as_torchaudio, ARGUMENTS), (as_fairseq, {"cfg": CFG})):
        found = convert_speech(renamed(state_of(kind, ctc=5)), settings=said)
        assert found.config == expected.config
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)


def without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            without("encoder.layers.1.attention.q_proj.bias"),
            "no hubert of transformers: it lacks encoder.layers.1.attention.q_proj.b",
        ),
        (
            lambda s: s | {"encoder.layers.2.more": np.zeros(1)},
            "it has, unexpectedly, encoder.layers.2.more",
        ),
        (
            without("encoder.pos_conv_embed.conv.weight_g"),
            "it lacks encoder.pos_conv_embed.conv.weight_g$",
        ),
        (
            lambda s: s | {"encoder.layer_norm.bias": np.zeros(7)},
            r"layer_norm.bias has shape \(7,\), expected \(8,\)",
        ),
        (
            lambda s: s | {"masked_spec_embed": np.full(8, np.inf)},
            "masked_spec_embed holds values that are no finite numbers",
        ),
        (
            lambda s: s | {"encoder.pos_conv_embed.conv.weight_v": np.zeros((8, 4, 4))},
            "weight_v is zero at a tap",
        ),
        (lambda s: s | {"lm_head.bias": np.zeros(3)}, "unexpectedly, lm_head.bias"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(WeightsError, match=message):
        convert_speech(change(state_of()), settings=SETTINGS)


def test_errors_have_the_file_s_own_names():
    state = as_fairseq(state_of(), "w2v_encoder.w2v_model.")
    name = "w2v_encoder.w2v_model.post_extract_proj.bias"
    with pytest.raises(WeightsError, match=f"^{name} has shape"):
        convert_speech(state | {name: np.zeros(2)}, settings={"cfg": CFG})
    with pytest.raises(WeightsError, match="unexpectedly, strange.weight$"):
        convert_speech(state | {"strange.weight": np.zeros(2)}, settings={"cfg": CFG})


@pytest.mark.parametrize(
    ("extractor", "policy", "note"),
    [
        ({"do_normalize": True}, "zscore", None),
        ({"do_normalize": False}, "none", "taken as they are: .* normalise=.peak"),
        ({}, "zscore", None),
        (None, "zscore", "no preprocessor_config.json: waves are taken to be"),
    ],
)
def test_normalisation_is_as_transformers_says(extractor, policy, note):
    weights = converted(extractor=extractor)
    assert weights.preprocessing == {"rate_hz": 16000, "normalise": policy}
    assert len(weights.notes) == (note is not None)
    assert note is None or re.search(note, weights.notes[0])


def test_normalisation_is_as_fairseq_and_torchaudio_say():
    for said, policy in ((True, "zscore"), (False, "none"), (None, "none")):
        cfg = {"model": CFG, "task": {"normalize": said}}
        found = convert_speech(as_fairseq(state_of()), settings={"cfg": cfg})
        assert found.preprocessing["normalise"] == policy
    found = convert_speech(as_torchaudio(state_of()), settings=ARGUMENTS)
    assert found.preprocessing["normalise"] == "none"
    assert "assumed to be taken as they are" in found.notes[-1]


@pytest.mark.parametrize(
    "extractor", [{"sampling_rate": "16 kHz"}, {"do_normalize": "yes"}]
)
def test_a_damaged_preprocessor_config_is_named(extractor):
    with pytest.raises(WeightsError, match="preprocessor_config.json: sampling_rate"):
        converted(extractor=extractor)


def test_labels_of_a_ctc_head():
    vocabulary = {"b": 1, "<pad>": 0, "|": 2}
    weights = converted(ctc=3, vocabulary=vocabulary)
    assert weights.labels == ("<pad>", "b", "|")
    assert weights.config.ctc_classes == 3
    np.testing.assert_array_equal(
        weights.params["ctc"]["kernel"].T, state_of(ctc=3)["lm_head.weight"]
    )
    for wrong in ({"a": 0, "b": 1}, {"a": 0, "b": 1, "c": 3}, {"en": {"a": 0}}):
        weights = converted(ctc=3, vocabulary=wrong)
        assert weights.labels is None
        assert "vocab.json does not name 3 outputs" in weights.notes[-1]
    assert converted(vocabulary=vocabulary).labels is None
    assert "head of 3 tokens without names" in converted(ctc=3).notes[-1]


def test_a_snapshot_s_folder_is_read(tmp_path):
    files = {
        "config.json": SETTINGS,
        "preprocessor_config.json": {"sampling_rate": 8000, "do_normalize": True},
        "vocab.json": {"a": 0},
        "added_tokens.json": {"<s>": 1},
    }
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / "model.safetensors").write_bytes(safetensors(state_of(ctc=2)))
    weights = read_speech(tmp_path)
    assert weights.preprocessing == {"rate_hz": 8000, "normalise": "zscore"}
    assert (weights.labels, weights.notes) == (("a", "<s>"), ())
    expected = converted(ctc=2).params
    jax.tree.map(np.testing.assert_array_equal, weights.params, expected)


def test_settings_beside_a_file_have_its_name(tmp_path):
    file = tmp_path / "aves.torchaudio.safetensors"
    file.write_bytes(safetensors(as_torchaudio(state_of())))
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))  # another's
    beside = tmp_path / "aves.torchaudio.model_config.json"
    beside.write_text(json.dumps(ARGUMENTS | {"encoder_num_heads": 4}))
    weights = read_speech(file)
    assert (weights.layout, weights.config.heads) == ("torchaudio", 4)


def _divided(folder):
    """Writes a snapshot whose arrays lie in two files; returns the index."""
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    state = state_of()
    where = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(state)}
    for file in set(where.values()):
        own = {name: value for name, value in state.items() if where[name] == file}
        (folder / file).write_bytes(safetensors(own))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


def test_weights_divided_among_files_are_read_by_their_index(tmp_path):
    index = _divided(tmp_path)
    for path in (tmp_path, index):
        jax.tree.map(
            np.testing.assert_array_equal, read_speech(path).params, converted().params
        )
    parts = [tmp_path / f"part-{i}.safetensors" for i in (0, 1)]
    assert files_of(index) == [index, *parts]
    assert files_of(parts[0]) == parts[:1]


def _elsewhere(index, where):
    where["masked_spec_embed"] = "../part-0.safetensors"


def _moved(index, where):
    where["masked_spec_embed"] = "part-1.safetensors"


def _lost(index, where):
    where["more"] = "part-1.safetensors"


def _removed(index, where):
    (index.parent / "part-1.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_elsewhere, r"index.json is damaged: '\.\./part-0.safetensors' is no file"),
        (_moved, "part-0.safetensors holds what .*: masked_spec_embed$"),
        (_lost, "arrays that are not there: more of part-1.safetensors$"),
        (_removed, "files that are not there: part-1.safetensors$"),
        (lambda index, where: where.clear(), "weight_map is empty"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(change, message, tmp_path):
    index = _divided(tmp_path)
    where = json.loads(index.read_text())["weight_map"]
    change(index, where)
    index.write_text(json.dumps({"weight_map": where}))
    with pytest.raises(WeightsError, match=message):
        read_speech(tmp_path)
    index.write_text("[]")
    with pytest.raises(WeightsError, match="is damaged: no weight_map"):
        read_speech(tmp_path)
