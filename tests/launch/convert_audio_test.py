"""From a checkpoint of AST to a bundle that recognises events, and its errors."""

import json

import jax
import numpy as np
import pytest

import sigjax
from launch import convert
from sigjax import export
from sigjax.convert.ast import read_ast
from sigjax.convert.torch_files import WeightsError
from sigjax.models.ast import Ast
from sigjax.signal.fbank import FbankConfig, fbank, fit_frames, normalise
from tests.convert.ast_test import SETTINGS, safetensors, state_of


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """A folder as transformers saves it: 56 frames of 36 bands, three classes."""
    folder = tmp_path_factory.mktemp("snapshot")
    state = {k: 0.1 * v for k, v in state_of("transformers").items()}
    (folder / "model.safetensors").write_bytes(safetensors(state))
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    statistics = {"mean": -6.5, "std": 5.25, "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    return folder


def test_a_snapshot_becomes_a_bundle_that_recognises_events(snapshot, tmp_path):
    output = tmp_path / "bundle"
    found = convert.convert(snapshot, "ast", output)
    weights = read_ast(snapshot)
    assert found.config == weights.config
    info = export.read_info(output)
    assert info["labels"] == ["dog", "rain", "saw"]
    assert info["source_run"]["file"] == "model.safetensors"
    assert "BSD-3-Clause" in info["source_run"]["licence"]
    model = sigjax.load(output)
    jax.tree.map(
        np.testing.assert_array_equal, model.params["backbone"], weights.params
    )
    jax.tree.map(np.testing.assert_array_equal, model.params["head"], weights.head)

    wave = 0.1 * np.random.default_rng(0).normal(size=(1, model.samples)).astype("f4")
    config = FbankConfig(n_mels=36)

    @jax.jit
    def features(wave):
        x = normalise(fit_frames(fbank(wave, config), 56), -6.5, 5.25)
        return Ast(weights.config).apply({"params": weights.params}, x)

    np.testing.assert_allclose(
        model.features(wave), features(wave), rtol=1e-4, atol=1e-5
    )
    events = model.predict(wave[0])
    assert {name for name, _ in events.top(3)} == {"dog", "rain", "saw"}
    assert events.probability["label"].sum() == pytest.approx(1, abs=1e-5)


def test_a_network_of_pictures_becomes_a_backbone_for_short_clips(tmp_path):
    file = tmp_path / "deit.safetensors"
    file.write_bytes(safetensors(state_of("deit")))
    found = convert.convert(file, "ast", tmp_path / "bundle", frames=36, bands=96)
    text = convert.report(found)
    assert "stem summed over 3 colours" in text
    assert "positions 4 x 4 -> 9 x 3" in text
    assert "ignored 4 arrays of heads: head.bias, head.weight, head_dist.bias" in text
    model = sigjax.load(tmp_path / "bundle")
    assert model.samples == 5760  # 0.36 s
    assert "features alone" in repr(model)


def test_errors_name_the_file_and_leave_no_bundle(snapshot, tmp_path):
    output = tmp_path / "bundle"
    with pytest.raises(WeightsError, match="is a folder without model.safetensors"):
        convert.convert(tmp_path, "ast", output)
    file = tmp_path / "model.safetensors"
    file.write_bytes((snapshot / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="model.safetensors: config.json is not"):
        convert.convert(file, "ast", output)
    with pytest.raises(WeightsError, match="hold no patch of 16 by 16"):
        convert.convert(snapshot, "ast", output, frames=7)
    with pytest.raises(WeightsError, match="harnet10 takes none"):
        convert.convert(file, "harnet10", output, frames=100)
    assert not output.exists()
