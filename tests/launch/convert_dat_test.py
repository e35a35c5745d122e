"""A checkpoint of DAT becomes a bundle of the same numbers."""

import jax
import numpy as np
import pytest

import sigjax
from launch import convert
from sigjax import export
from sigjax.convert.dat import convert_dat
from sigjax.convert.torch_files import WeightsError
from tests.convert.ast_test import safetensors
from tests.nn.dat_golden import state_of


def test_a_checkpoint_becomes_a_bundle_and_comes_back(tmp_path):
    state = {name: a.astype("f4") for name, a in state_of("v1 network").items()}
    file = tmp_path / "dat.safetensors"
    file.write_bytes(safetensors(state))
    found = convert.convert(file, "dat", tmp_path / "bundle", frames=48, bands=32)
    text = convert.report(found)
    assert "stem summed over 3 colours" in text
    assert "position tables of stage 3: 3 x 3 -> 3 x 5, bicubic" in text
    assert "cls_head.weight" in text
    weights = convert_dat(state, frames=48, bands=32)
    assert found.config == weights.config
    assert (
        "Apache-2.0" in export.read_info(tmp_path / "bundle")["source_run"]["licence"]
    )
    model = sigjax.load(tmp_path / "bundle")
    jax.tree.map(
        np.testing.assert_array_equal, model.params["backbone"], weights.params
    )

    broken = {name: a for name, a in state.items() if name != "cls_norm.norm.bias"}
    file.write_bytes(safetensors(broken))
    with pytest.raises(WeightsError, match="dat.safetensors: .* lacks cls_norm.norm.b"):
        convert.convert(file, "dat", tmp_path / "other")
    assert not (tmp_path / "other").exists()
