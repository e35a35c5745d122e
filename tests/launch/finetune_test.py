"""Finetuning through the command's own function, and what a run leaves behind."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sigjax
from configs import har_wrist, mae_wrist
from launch.finetune import finetune
from launch.pretrain import pretrain
from launch.wrist import encoders
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.evals.predictions import read_predictions
from sigjax.models.harnet import HarNet, HarNetConfig
from sigjax.train.checkpoint import latest_params
from tests.launch.finetune_runs import frozen_config, scratch_config

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A run with a frozen encoder, and its result."""
    workdir = tmp_path_factory.mktemp("frozen")
    return workdir, finetune(frozen_config(), workdir)


@pytest.fixture(scope="module")
def sets(frozen):
    """The simulated set, built once."""
    return str(frozen[0] / "sets")


def on(sets, config):
    config.data.dataset, config.data.simulate = sets, None
    return config


@pytest.fixture(scope="module")
def scratch(tmp_path_factory, sets):
    """A run from scratch."""
    workdir = tmp_path_factory.mktemp("scratch")
    return workdir, finetune(on(sets, scratch_config()), workdir)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A masked autoencoder of the same patches."""
    workdir = tmp_path_factory.mktemp("pretrained")
    config = mae_wrist.get_config("smoke")
    config.mesh.data, config.train.steps = 1, 1
    pretrain(config, workdir)
    return workdir


def test_a_result_says_what_was_chosen_how_and_on_whom(frozen):
    workdir, result = frozen
    assert result == json.loads((workdir / "result.json").read_text())
    assert result["last_step"] == 4
    assert result["chosen_step"] in (2, 4)
    assert result["selected_on"] == "validation people"
    assert "highest balanced_accuracy of the 1 validation people" in result["rule"]
    assert result["dataset"]["simulated"] is True
    people = [set(result["people"][s]) for s in ("train", "validation", "test")]
    assert [len(p) for p in people] == [2, 1, 2]
    assert len(set.union(*people)) == 5
    assert sum(result["class_counts"]) == result["windows"]["train"]["labels_used"]
    assert result["test"]["people"] == 2


def test_the_chosen_step_is_the_best_of_the_log(frozen):
    workdir, result = frozen
    text = (workdir / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    scores = {s["step"]: s.get("val_balanced_accuracy", -1.0) for s in lines}
    assert set(scores) == {1, 2, 3, 4}
    assert result["chosen_step"] == max(scores, key=lambda s: scores[s])
    assert result["validation"]["balanced_accuracy"] == max(scores.values())


@pytest.mark.parametrize("run", ["frozen", "scratch"])
def test_the_bundle_repeats_the_predictions(run, request):
    workdir, result = request.getfixturevalue(run)
    model = sigjax.load(workdir / "bundle")
    assert model.labels == tuple(har_wrist.SIX)
    saved = read_predictions(workdir / "eval" / "test" / "predictions.parquet")
    label = np.flatnonzero(saved.label >= 0)
    recalls = [
        (saved.predicted[label] == c)[saved.label[label] == c].mean()
        for c in np.unique(saved.label[label])
    ]
    value = result["test"]["balanced_accuracy"]["value"]
    assert value == pytest.approx(np.mean(recalls))
    assert set(saved.person) == set(result["people"]["test"])
    x = np.random.default_rng(0).normal(0, 0.3, (1, 9000, 3)).astype(np.float32)
    logits = np.asarray(model.logits(x))
    assert logits.shape == (1, 30, 6)
    assert np.isfinite(logits).all()


def test_the_same_command_again_changes_nothing(frozen):
    workdir, result = frozen
    watched = ["result.json", "bundle/bundle.json", "eval/test/predictions.parquet"]
    before = [(workdir / name).stat().st_mtime_ns for name in watched]
    assert finetune(frozen_config(), workdir) == result
    assert [(workdir / name).stat().st_mtime_ns for name in watched] == before


@pytest.mark.parametrize(
    ("run", "config"), [("frozen", frozen_config), ("scratch", scratch_config)]
)
def test_a_stopped_run_ends_as_a_whole_one(run, config, request, sets, tmp_path):
    workdir, result = request.getfixturevalue(run)
    for name in ("checkpoints", "best", "encoder", "tokens"):
        if (workdir / name).exists():
            shutil.copytree(workdir / name, tmp_path / name)
    # As if it had been killed after the checkpoint of step 2.
    shutil.rmtree(tmp_path / "checkpoints" / "4")
    for newer in (tmp_path / "best" / "checkpoints").glob("4"):
        shutil.rmtree(newer)
    again = finetune(on(sets, config()), tmp_path)
    assert again["chosen_step"] == result["chosen_step"]
    for path in ("", "best"):
        one, other = (latest_params(where / path) for where in (workdir, tmp_path))
        assert one[0] == other[0]
        jax.tree.map(np.testing.assert_array_equal, one[1], other[1])
    assert again["test"] == result["test"]


@pytest.mark.survival
def test_four_devices_train_as_one(frozen, scratch, sets, tmp_path):
    four = "--xla_force_host_platform_device_count=4"
    env = os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {four}"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.launch.finetune_devices", str(tmp_path), sets],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, (workdir, _) in (("frozen", frozen), ("scratch", scratch)):
        one, four = latest_params(workdir)[1], latest_params(tmp_path / name)[1]
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, four
        )


def test_a_pretrained_encoder_is_used_and_left_as_it_is(pretrained, sets, tmp_path):
    config = on(sets, frozen_config(**{"train.steps": 1, "train.evaluate_every": 1}))
    config.encoder.weights = str(pretrained)
    result = finetune(config, tmp_path / "run")
    _, trained = latest_params(pretrained)
    used = sigjax.load(tmp_path / "run" / "bundle").params["encoder"]
    assert set(used) == set(trained) - {"head"}
    for name in used:
        jax.tree.map(np.testing.assert_array_equal, used[name], trained[name])
    assert result["encoder"]["source"]["workdir"] == str(pretrained)
    # A bundle of the result gives the same encoder to the next run.
    config.encoder.weights = str(tmp_path / "run" / "bundle")
    found = encoders.load_encoder(_section(config))
    jax.tree.map(np.testing.assert_array_equal, dict(found.params), dict(used))
    config.encoder.trainable = True
    finetune(config, tmp_path / "both")
    moved = sigjax.load(tmp_path / "both" / "bundle").params["encoder"]
    assert np.abs(moved["embed"]["kernel"] - used["embed"]["kernel"]).max() > 0


def _section(config):
    from launch.systems import build_system

    return build_system(config).encoder


def harnet_bundle(folder):
    """Random weights of a small HARNet, as launch.convert would write them."""
    config = HarNetConfig(
        samples=150,
        widths=(4, 6, 8),
        blocks=(1, 0, 0),
        factors=(5, 5, 6),
        orders=(1, 1, 0),
    )
    variables = HarNet(config).init(jax.random.key(3), jnp.zeros((1, 150, 3)))
    export.save(
        folder,
        model="harnet10",
        params=variables["params"],
        state={"batch_stats": variables["batch_stats"]},
        model_config=config,
        signal=export.SignalConfig(
            rate_hz=30.0, channels=3, units="g", window_s=5.0, patch_s=5.0
        ),
        preprocessing={"rate_hz": 30.0},
        source_run={},
    )
    return variables


@pytest.mark.survival
@pytest.mark.parametrize("trainable", [False, True])
def test_converted_weights_carry_a_classifier(trainable, sets, tmp_path):
    given = harnet_bundle(tmp_path / "harnet")
    config = on(sets, har_wrist.get_config("smoke"))
    config.mesh.data, config.train.steps = 1, 1
    config.head.kind = "mlp"
    config.encoder.kind, config.encoder.mae = "harnet10", None
    config.encoder.weights = str(tmp_path / "harnet")
    config.encoder.trainable = trainable
    result = finetune(config, tmp_path / "run")
    assert result["encoder"]["trained"] is trainable
    model = sigjax.load(tmp_path / "run" / "bundle")
    assert model.config.context is False
    # A frozen encoder keeps weights and running statistics; a trained one moves both.
    before = given["batch_stats"], given["params"]
    after = model.state["batch_stats"]["encoder"], model.params["encoder"]
    for old, new in zip(before, after, strict=True):
        same = jax.tree.map(np.array_equal, dict(old), dict(new))
        assert all(jax.tree.leaves(same)) is not trainable


def test_standardised_tokens_and_views_reach_the_bundle(sets, tmp_path):
    changes = {"head.standardise": True, "encoder.views": 2}
    changes |= {"task.augmentation": "rotate", "train.steps": 1}
    finetune(on(sets, frozen_config(**changes)), tmp_path)
    model = sigjax.load(tmp_path / "bundle")
    statistics = model.state["statistics"]["head"]
    assert np.abs(statistics["mean"]).max() > 0
    assert np.asarray(statistics["scale"]).min() > 0
    shapes = [
        np.load(p, mmap_mode="r").shape for p in tmp_path.glob("tokens/train/*/*.npy")
    ]
    assert sum(rows for rows, _ in shapes) % 2 == 0


MISTAKES = [
    ({"encoder.weights": ""}, "encoder.weights is empty"),
    ({"encoder.weights": "nowhere"}, "neither bundle.json nor config.json"),
    ({"task.rate_hz": 20.0}, "task.rate_hz=20 but .* was built with 30"),
    ({"task.classes": ("sleep", "awake")}, "task.classes are sleep, awake; the scheme"),
    ({"data.validation_fraction": 0.0}, "needs people to choose the step"),
    ({"encoder.views": 3}, "set both or neither"),
    ({"data.scheme": "Wiletts2018"}, "no label scheme 'Wiletts2018'; it has"),
    ({"system": "wrist_mae"}, "this config is for python -m launch.pretrain"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=lambda x: str(x)[:40])
def test_a_mistake_is_named(change, message, sets, tmp_path):
    config = on(sets, frozen_config(**change))
    with pytest.raises((ConfigError, DatasetError), match=message):
        finetune(config, tmp_path)


def test_a_config_of_the_other_command_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is for python -m launch.pretrain"):
        finetune(mae_wrist.get_config("smoke"), tmp_path)
    with pytest.raises(ConfigError, match="is for python -m launch.finetune"):
        pretrain(frozen_config(), tmp_path)


def test_weights_of_another_rate_or_axes_are_refused(pretrained, sets, tmp_path):
    file = tmp_path / "config.json"
    for key, value, message in (
        ("rate_hz", 15.0, "rate_hz=15.0, the task 30.0"),
        ("patch_s", 2.0, "patch_s=2.0, the task 5.0"),
    ):
        saved = json.loads((pretrained / "config.json").read_text())
        saved["config"]["task"][key] = value
        file.write_text(json.dumps(saved))
        shutil.copytree(
            pretrained / "checkpoints", tmp_path / "checkpoints", dirs_exist_ok=True
        )
        config = on(sets, frozen_config(**{"encoder.weights": str(tmp_path)}))
        with pytest.raises(ConfigError, match=message):
            finetune(config, tmp_path / "run")


def test_a_run_keeps_to_its_encoder(frozen, pretrained):
    config = frozen_config(**{"encoder.weights": str(pretrained)})
    with pytest.raises(ConfigError, match="was started with the encoder"):
        finetune(config, frozen[0])
