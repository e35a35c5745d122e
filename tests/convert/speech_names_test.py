"""One network under the names of transformers, torchaudio and fairseq."""

import numpy as np
import pytest

from sigjax.convert.pickles import WeightsError
from sigjax.convert.speech_names import layers_of, named
from tests.convert.speech_files import as_fairseq, as_torchaudio, state_of

VARIANTS = {
    "hubert": {},
    "large": {"large": True},
    "ctc": {"kind": "wav2vec2", "ctc": 5},
    "wavlm": {"kind": "wavlm"},
    "batch norm": {"batch_norm": True},
}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_three_name_the_same_arrays(variant, old):
    settings = VARIANTS[variant]
    expected = state_of(**{**settings, "ctc": 0})
    if "ctc" in settings:
        with_head = state_of(**settings)
        expected = {k.removeprefix("wav2vec2."): v for k, v in with_head.items()}
    state = state_of(**settings, old=old)
    assert named(state).layout == "transformers"
    same(named(state).arrays, expected)
    for layout, renamed in (("torchaudio", as_torchaudio), ("fairseq", as_fairseq)):
        theirs = renamed(state)
        assert theirs.keys() != state.keys()
        found = named(theirs)
        assert (found.layout, found.ignored) == (layout, ())
        same(found.arrays, expected)
        assert set(found.theirs.values()) == theirs.keys()


def test_fine_tuned_networks_keep_the_encoder_a_level_below():
    expected = named(state_of("wav2vec2", ctc=5)).arrays
    state = state_of("wav2vec2", ctc=5)
    same(
        named(as_fairseq(state, "w2v_encoder.w2v_model.", "w2v_encoder.")).arrays,
        expected,
    )
    below = {f"wav2vec2.{k}": v for k, v in as_torchaudio(state_of()).items()}
    below["mask_generator.mask_embedding"] = below.pop(
        "wav2vec2.mask_generator.mask_embedding"
    )
    same(named(below).arrays, state_of())


@pytest.mark.parametrize(
    ("names", "renamed"),
    [
        (("quantizer.codevectors", "project_hid.weight", "project_q.bias"), dict),
        (("classifier.bias", "projector.weight", "layer_weights"), dict),
        (("quantizer.vars", "final_proj.weight", "label_embs_concat"), as_fairseq),
        (("logit_generator.label_embeddings",), as_torchaudio),
        (("encoder.pos_conv_embed.batch_norm.num_batches_tracked",), dict),
    ],
)
def test_heads_are_left_out_and_told(names, renamed):
    extra = {name: np.zeros(1, "f4") for name in names}
    found = named(renamed(state_of()) | extra)
    assert found.ignored == tuple(sorted(names))
    same(found.arrays, state_of())


def test_what_is_unknown_keeps_its_name():
    found = named(state_of("hubert", ctc=3) | {"other.weight": np.zeros(2)})
    assert "other.weight" in found.arrays and not found.ignored
    # Not a head by its place: the encoder's own.
    found = named(state_of() | {"feature_extractor.conv_layers.0.more": np.zeros(2)})
    assert "feature_extractor.conv_layers.0.more" in found.arrays


def test_other_state_dicts_are_refused():
    with pytest.raises(WeightsError, match="no speech encoder: .* it holds a, b$"):
        named({"a": np.zeros(1), "b": np.zeros(1)})
    twice = state_of() | {f"teacher.{k}": v for k, v in state_of().items()}
    with pytest.raises(WeightsError, match="several encoders, under '' and 'teacher.'"):
        named(twice)
    both = state_of(old=True) | state_of(old=False)
    with pytest.raises(WeightsError, match=r"both .*conv.weight_g and .*original0"):
        named(both)
    state = as_torchaudio(state_of("wavlm"))
    name = "encoder.transformer.layers.1.attention.attention.in_proj_bias"
    state[name] = state[name][:-1]
    with pytest.raises(WeightsError, match=r"shape \(23,\), no three equal parts"):
        named(state)


def test_layers_are_counted():
    assert layers_of(state_of(), "conv") == 3
    assert layers_of(state_of(), "layer") == 2
    assert layers_of(["encoder.norm"], "layer") == 0
