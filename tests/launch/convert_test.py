"""The command from a checkpoint file to a bundle, without torch."""

import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys

import jax
import numpy as np
import pytest

import sigjax
from launch import convert
from sigjax import export
from sigjax.convert.harnet import _constants, _targets, convert_harnet
from sigjax.convert.torch_files import WeightsError, read_state_dict
from sigjax.inference.harnet import HarNetModel
from sigjax.models.harnet import HarNetConfig

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """HARNet10 with random weights and a pretext head, as a safetensors file."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, target in _targets(HarNetConfig()).items():
        spread = (2 / target.shape[0] / 5) ** 0.5 if len(target.shape) == 3 else 0.1
        arrays[name] = spread * rng.normal(size=target.shape)
        if target.path[-1] in ("scale", "var"):
            arrays[name] = 1 + np.abs(arrays[name])
    arrays |= _constants(HarNetConfig())
    arrays = {f"module.feature_extractor.{k}": v for k, v in arrays.items()}
    arrays["module.aot_h.linear1.bias"] = np.zeros(2)
    header, data = {}, io.BytesIO()
    for name, value in arrays.items():
        start = data.tell()
        data.write(value.astype("f4").tobytes())
        offsets = [start, data.tell()]
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": offsets,
        }
    text = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("weights") / "mtl_best.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data.getvalue())
    return path


def test_the_command_writes_a_bundle_of_what_is_in_the_file(file, tmp_path):
    output = tmp_path / "bundle"
    code = "import sys; sys.modules['torch'] = None; from launch import convert as c; "
    code += "from absl import app; c.define_flags(); app.run(c.main)"
    flags = [f"--from={file}", "--system=harnet10", f"--output={output}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "10,457,408 parameters" in done.stdout
    assert "ignored 1 arrays of heads: aot_h.linear1.bias" in done.stdout
    assert "academic use" in done.stdout

    info = json.loads((output / "bundle.json").read_text())
    source = info["source_run"]
    assert source["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert source["file"] == "mtl_best.safetensors"
    assert "University of Oxford" in source["licence"]
    assert info["signal"]["rate_hz"] == 30
    model = sigjax.load(output)
    assert isinstance(model, HarNetModel)
    expected = convert_harnet(read_state_dict(file))
    assert model.config == expected.config
    jax.tree.map(np.testing.assert_array_equal, model.params, expected.params)
    found = model.state["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, found, expected.batch_stats)


def test_errors_name_the_file_and_leave_no_bundle(tmp_path):
    source = GOLDEN / "harnet_tiny.pt"
    with pytest.raises(WeightsError, match="harnet_tiny.pt: this is no HARNet"):
        convert.convert(source, "harnet10", tmp_path / "bundle")
    with pytest.raises(FileNotFoundError):
        convert.convert(tmp_path / "absent.mdl", "harnet10", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_every_system_is_a_model_that_bundles_hold():
    assert set(convert.SYSTEMS) <= set(export.MODELS)
