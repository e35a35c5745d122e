"""The smoke variant through the command's own function, and what it leaves behind."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sigjax
from configs import mae_wrist
from launch import pretrain
from launch.export import export_run
from launch.systems import load_run
from sigjax.config import ConfigError
from sigjax.data.recording import FormatError
from sigjax.export import BundleError


def smoke_config():
    config = mae_wrist.get_config("smoke")
    config.mesh.data = 1
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("smoke")
    pretrain.pretrain(smoke_config(), workdir)
    return workdir


def test_a_run_leaves_config_checkpoints_metrics_events_and_figure(run):
    saved = json.loads((run / "config.json").read_text())
    assert saved["config"]["system"] == "wrist_mae"
    assert "jax" in saved["versions"]
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"2", "3"}
    lines = [json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        named = {"loss", "lmm", "grad_norm", "examples_per_s", "step_time_s"}
        assert named | {"input_wait_s"} <= set(line)
    assert "val_lmm_baseline" in lines[-1]
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = [(e.step, e.value) for e in events.Scalars("loss")]
    assert logged == [(s["step"], pytest.approx(s["loss"])) for s in lines]
    evaluated = run / "eval" / "validation"
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert metrics["loss"] == lines[-1]["val_loss"]
    assert (evaluated / "reconstruction.png").read_bytes()[:4] == b"\x89PNG"


def test_simulated_data_say_so(run):
    note = (run / "simulated" / "SIMULATED.txt").read_text()
    assert "SIMULATED" in note
    assert sorted(p.name for p in (run / "simulated").glob("*.cwa"))[0] == "P001.cwa"


def test_the_same_command_after_the_end_changes_nothing(run):
    before = (run / "metrics.jsonl").read_text()
    pretrain.pretrain(smoke_config(), run)
    assert (run / "metrics.jsonl").read_text() == before


def test_a_changed_config_is_said_and_the_old_one_kept(run, tmp_path):
    config = smoke_config()
    config.train.log_every = 2
    with pytest.warns(UserWarning, match="train.log_every 1 -> 2"):
        pretrain.pretrain(config, run)
    before = json.loads((run / "config.before.json").read_text())
    assert before["config"]["train"]["log_every"] == 1


def test_a_saved_config_builds_the_same_system(run):
    system, _ = load_run(run)
    assert system.model.width == smoke_config().model.width
    assert system.mesh.rules[0][1] == (None, "fsdp", "tensor")


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle")
    assert export_run(run, path) == 3
    return path


def test_a_bundle_embeds_arrays_and_raw_files_alike(bundle, run):
    model = sigjax.load(bundle)
    assert "at 30 Hz -> [batch, samples / 150, 32]" in repr(model)
    x = np.random.default_rng(0).normal(size=(2, 600, 3)).astype(np.float32)
    out = np.asarray(model.apply(x))
    assert out.shape == (2, 4, 32)
    assert np.isfinite(out).all()
    raw = run / "simulated" / "P001.cwa"
    (stretch,) = model.embed(raw)
    assert stretch.tokens.shape[1] == 32
    # Half an hour in tokens of 5 s, on the device's clock.
    assert 350 <= len(stretch.tokens) <= 363
    assert np.diff(stretch.time) == pytest.approx(5.0)


def test_windows_of_a_long_signal_are_embedded_each_on_its_own(bundle):
    model = sigjax.load(bundle)
    x = np.random.default_rng(1).normal(size=(1800 * 2 + 700, 3)).astype(np.float32)
    (found,) = model.embed(x, batch_size=2)
    assert found.tokens.shape == (28, 32)  # 100 samples are less than a patch
    windows = [x[:1800], x[1800:3600], x[4200 - 1800 : 4200]]
    apart = np.asarray(model.apply(np.stack(windows)))
    np.testing.assert_allclose(found.tokens[:12], apart[0], atol=1e-5)
    np.testing.assert_allclose(found.tokens[12:24], apart[1], atol=1e-5)
    np.testing.assert_allclose(found.tokens[24:], apart[2, 8:], atol=1e-5)


def test_bundle_parameters_are_the_runs_and_restore_with_orbax_alone(bundle, run):
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        params = checkpointer.restore(bundle / "params")
    from sigjax.train.checkpoint import latest_params

    step, trained = latest_params(run)
    assert step == 3
    np.testing.assert_array_equal(params["embed"]["kernel"], trained["embed"]["kernel"])
    info = json.loads((bundle / "bundle.json").read_text())
    assert info["model"] == "mae"
    assert info["signal"]["units"] == "g"
    assert info["preprocessing"]["lowpass_hz"] == 15.0
    assert info["source_run"]["step"] == 3


def test_what_does_not_fit_a_bundle_is_refused(bundle, tmp_path):
    model = sigjax.load(bundle)
    with pytest.raises(BundleError, match="samples a multiple of 150"):
        model.apply(np.zeros((1, 100, 3)))
    with pytest.raises(BundleError, match="longest stretch has 100 samples"):
        model.embed(np.zeros((100, 3), np.float32))
    bad = tmp_path / "bad.cwa"
    bad.write_bytes(b"no recording")
    with pytest.raises(FormatError):
        model.embed(bad)
    with pytest.raises(BundleError, match="bundle.json is missing"):
        sigjax.load(tmp_path)
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="damaged"):
        sigjax.load(tmp_path)
    (tmp_path / "bundle.json").write_text('{"format": 99}')
    with pytest.raises(BundleError, match="has format 99"):
        sigjax.load(tmp_path)


def test_exporting_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="directory of a launch.pretrain or"):
        export_run(tmp_path, tmp_path / "bundle")


def test_sweep_points_override_the_config():
    config = smoke_config()
    file = str(pathlib.Path(mae_wrist.__file__))
    pretrain.apply_sweep(config, f"{file}:smoke", 0)
    assert (config.loss.lmm, config.loss.mse) == (0.0, 1.0)
    with pytest.raises(ConfigError, match="--sweep_index=999"):
        pretrain.apply_sweep(config, file, 999)


def test_bundle_parameters_restore_on_another_device_count(bundle):
    code = (
        "import jax, numpy as np, orbax.checkpoint as ocp\n"
        "assert jax.device_count() == 4\n"
        f"params = ocp.StandardCheckpointer().restore({str(bundle / 'params')!r})\n"
        "print(float(np.abs(params['embed']['kernel']).sum()))\n"
    )
    four = "--xla_force_host_platform_device_count=4"
    env = os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {four}"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    kernel = np.abs(np.asarray(sigjax.load(bundle).params["embed"]["kernel"]))
    assert float(done.stdout) == pytest.approx(float(kernel.sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.batch_size", 0, "batch_size must be at least 1, got 0"),
        ("data.seed", -1, "seed in"),
        ("data.validation_fraction", 0.99, "leaves nobody to train on"),
        ("model.patch_size", 900, "model.patch_size=900 but a patch"),
        ("loss.n_fft", 512, "loss.n_fft=512 is longer than a patch"),
        ("task.mask_rate", 1.0, "at least one visible"),
    ],
)
def test_a_value_that_does_not_fit_is_a_config_error(key, value, message, run):
    config = smoke_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ConfigError, match=message):
        pretrain.pretrain(config, run)
