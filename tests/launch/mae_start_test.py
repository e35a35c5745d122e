"""Classifiers of windows that start from a masked autoencoder.

Windows of noise, a network of a few numbers, a step or two.
"""

import json

import jax
import numpy as np
import pytest

import sigjax
from configs import autoencoder, code_classifier, mae_windows
from launch import pretrain
from launch.autoencoders import masked
from launch.autoencoders.masked_weights import read_masked
from launch.evaluate import evaluate_run
from launch.export import export_run
from launch.systems import build_system, load_run
from sigjax.config import ConfigError
from sigjax.train.checkpoint import latest_variables
from sigjax.train.optim import make_optimizer
from sigjax.train.step import make_init

NETWORK = {"patch_size": 9, "width": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8}


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """Thirty windows of 0.4 s of six people."""
    path = tmp_path_factory.mktemp("windows") / "windows.npz"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 12, 3)).astype(np.float32)
    label, group = np.arange(30) % 3, [f"p{i % 6}" for i in range(30)]
    np.savez(path, x=x, label=label, group=group, rate_hz=30.0, units="g")
    return path


def _data(config, path):
    config.mesh.data = 1
    config.data.source, config.data.path = "arrays", str(path)
    config.data.held_out, config.data.held_out_groups = 0.0, ("p0",)
    config.data.batch_size = 8
    return config


def _mae(path):
    config = _data(mae_windows.get_config("smoke"), path)
    config.task.input_shape = (12, 3)
    config.model.update(NETWORK)
    config.train.steps = 2
    return config


def _classifier(path, weights="", **changes):
    config = _data(code_classifier.get_config("wrist+mae"), path)
    config.model.input_shape = (12, 3)
    config.model.mae.update(NETWORK)
    config.encoder.weights = str(weights)
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def run(windows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mae") / "run"
    with pytest.MonkeyPatch.context() as patch:  # its own test draws
        patch.setattr(masked.ExampleMae, "report", lambda *given: None)
        pretrain.pretrain(_mae(windows), folder)
    return folder


@pytest.fixture(scope="module")
def bundle(run):
    assert export_run(run, run / "bundle") == 2
    return run / "bundle"


def _equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_the_encoder_arrives_bit_equal_without_what_reconstructs(
    run, bundle, windows, tmp_path
):
    trained = latest_variables(run)[1]["params"]
    own = {name: v for name, v in trained.items() if name != "head"}
    system = build_system(_classifier(windows, run))
    data = system.open_data(tmp_path)
    task = system.make_task(data)
    given = system.given(task, data, tmp_path)
    optimizer = make_optimizer(system.optim, steps_per_epoch=1, total_steps=3)
    state = jax.jit(make_init(task, optimizer))(jax.random.key(0), {}, given)
    assert _equal(state.params["encoder"], own)
    drawn = jax.jit(task.init)(jax.random.split(jax.random.key(0))[0], {})["params"]
    assert _equal(state.params["head"], drawn["head"])
    assert not _equal(drawn["encoder"], own)
    # A bundle holds the same, whoever reads it.
    system = build_system(_classifier(windows, bundle))
    assert _equal(system.given(task, data, tmp_path)["params"]["encoder"], own)
    x = data.held_out_set.x
    tokens = np.asarray(sigjax.load(bundle).apply(x))
    assert tokens.shape == (5, 4, 8)
    code = jax.jit(task.codes)({"params": state.params}, x)
    np.testing.assert_allclose(code, tokens.mean(axis=1), atol=1e-5)


@pytest.mark.survival
def test_the_evaluation_is_of_who_was_held_out(run, windows):
    text = evaluate_run(run)
    where = run / "eval" / "validation"
    found = json.loads((where / "metrics.json").read_text())
    assert (found["step"], found["examples"]) == (2, 5)
    assert "held-out examples" in text and "reconstruction.png" in text
    assert (where / "reconstruction.png").stat().st_size > 5000
    system = load_run(run)[0]
    task, held = system.make_task(), system.open_data(run).held_out_set
    assert set(held.group) == {"p0"}
    own = jax.jit(task.evaluate)(
        latest_variables(run)[1], {"x": held.x}, jax.random.key(masked._SEED)
    )
    assert found["lmm"] == pytest.approx(float(own["lmm"].mean()), rel=1e-4)


def test_weights_that_do_not_fit_are_refused(run, bundle, windows, tmp_path):
    def refused(message, weights=run, variant=None, **changes):
        system = build_system(_classifier(windows, weights, **changes))
        data = system.open_data(tmp_path)
        with pytest.raises(ConfigError, match=message):
            system.given(None, data, tmp_path)

    refused("set model.mae.mlp_dim=8", **{"model.mae.mlp_dim": 16})
    refused("held_out_groups is .* there", **{"data.held_out_groups": ("p1",)})
    refused("neither bundle.json nor config.json", "nowhere")
    # How it is computed may differ.
    config = _classifier(windows, run, **{"model.mae.attention": "auto"})
    assert build_system(config).given(None, None, tmp_path)["params"]
    slower = tmp_path / "slower.npz"
    with np.load(windows) as file:
        np.savez(slower, **{**file, "rate_hz": 20.0})
    system = build_system(_classifier(slower, bundle))
    with pytest.raises(ConfigError, match=r"rate_hz=30.0, but .* have 20.0"):
        system.given(None, system.open_data(tmp_path), tmp_path)
    with pytest.raises(ConfigError, match="takes values in their units"):
        wrong = {"task.input.scale": 2.0}
        build_system(_classifier(windows, **wrong)).make_task()


def test_runs_of_something_else_are_refused(run, windows, tmp_path):
    other = tmp_path / "ae"
    other.mkdir()
    config = autoencoder.get_config("smoke")
    told = {"config": config.to_dict()}
    (other / "config.json").write_text(json.dumps(told, default=str))
    with pytest.raises(ConfigError, match="ExampleAutoencoder, no masked autoencoder"):
        read_masked(str(other), tmp_path)
    system = build_system(code_classifier.get_config("smoke"))
    object.__setattr__(system.encoder, "weights", str(run))
    with pytest.raises(ConfigError, match="run of ExampleMae, no autoencoder"):
        system.given(None, None, tmp_path)


def test_signals_without_a_rate_have_no_bundle(run, windows, monkeypatch, tmp_path):
    real = masked.ExampleMae.open_data

    def opened(system, workdir):
        data = real(system, workdir)
        data.train_set = data.train_set._replace(rate_hz=0.0)
        return data

    monkeypatch.setattr(masked.ExampleMae, "open_data", opened)
    with pytest.raises(ConfigError, match="put rate_hz into the .npz"):
        export_run(run, tmp_path / "bundle")
