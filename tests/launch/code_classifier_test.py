"""Classifiers that start from autoencoders: what arrives, what stays, what is refused.

Digits of scikit-learn, networks of a few numbers, a few steps.
"""

import json
import shutil

import jax
import numpy as np
import pytest

from configs import autoencoder, code_classifier
from launch import finetune, pretrain
from launch.autoencoders import finetuning
from launch.autoencoders.weights import read_weights
from launch.evaluate import evaluate_run
from launch.systems import build_system, load_run
from sigjax.config import ConfigError
from sigjax.evals.predictions import read_predictions
from sigjax.train.checkpoint import latest_variables
from sigjax.train.optim import make_optimizer
from sigjax.train.step import make_init


def _greedy():
    config = autoencoder.get_config("smoke+greedy")
    config.mesh.data = 1
    config.data.held_out = 0.1
    config.optim.weight_decay = 0.1
    config.train.steps = 2
    return config


def _classifier(**changes):
    config = code_classifier.get_config("smoke")
    config.mesh.data = 1
    config.data.held_out = 0.1
    config.train.evaluate_every = 3
    config.optim.weight_decay = 0.1
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """A run of greedy layers."""
    folder = tmp_path_factory.mktemp("greedy")
    pretrain.pretrain(_greedy(), folder)
    return folder


def _equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_each_layer_starts_from_the_last_and_leaves_it_alone(layers):
    first, second = (latest_variables(layers / f"layer{k}")[1] for k in (1, 2))
    halves = first["params"], second["params"]
    encoder, decoder = ([p[half] for p in halves] for half in ("encoder", "decoder"))
    assert _equal(*(p["layer0"] for p in encoder))
    assert _equal(*(p["layer1"] for p in decoder))
    assert not _equal(*(p["layer1"] for p in encoder))
    assert not _equal(*(p["layer0"] for p in decoder))


@pytest.mark.survival
def test_parts_go_on_where_they_were_stopped(layers, tmp_path):
    """Stopped before the second layer, the same command ends at the same numbers."""
    shutil.copytree(layers, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "layer2")
    pretrain.pretrain(_greedy(), tmp_path / "run")
    for part in ("layer1", "layer2"):
        ends = (latest_variables(run / part) for run in (layers, tmp_path / "run"))
        (step, one), (again, other) = ends
        assert step == again == 2 and _equal(one, other)


def test_the_encoder_arrives_bit_equal_and_the_head_is_new(layers, tmp_path):
    system = build_system(_classifier(**{"encoder.weights": str(layers)}))
    data = system.open_data(tmp_path)
    task = system.make_task(data)
    given = system.given(task, data, tmp_path)
    expected = latest_variables(layers / "layer2")[1]["params"]["encoder"]
    optimizer = make_optimizer(system.optim, steps_per_epoch=1, total_steps=3)
    state = jax.jit(make_init(task, optimizer))(jax.random.key(0), {}, given)
    assert _equal(state.params["encoder"], expected)
    drawn = jax.jit(task.init)(jax.random.split(jax.random.key(0))[0], {})["params"]
    assert _equal(state.params["head"], drawn["head"])
    assert not _equal(drawn["encoder"], expected)


@pytest.mark.survival
def test_a_run_leaves_figures_of_the_test_side_and_a_frozen_encoder_as_it_was(
    layers, tmp_path
):
    config = _classifier(**{"encoder.weights": str(layers), "encoder.trainable": False})
    result = finetune.finetune(config, tmp_path / "run")
    encoder = latest_variables(tmp_path / "run")[1]["params"]["encoder"]
    assert _equal(encoder, latest_variables(layers / "layer2")[1]["params"]["encoder"])
    assert (result["labels"]["shown"], result["labels"]["share"]) == (128, 0.1)
    source = result["encoder"]["source"]
    assert source == {"workdir": str(layers / "layer2"), "step": 2}
    assert not result["encoder"]["trained"] and result["chosen_step"] == 3
    found = read_predictions(tmp_path / "run" / "eval" / "test" / "predictions.parquet")
    right = (found.predicted == found.label).mean()
    assert len(found) == 180
    assert result["test"]["accuracy"]["value"] == pytest.approx(right)
    assert result["test"]["uar"] == result["test"]["balanced_accuracy"]
    system, _ = load_run(tmp_path / "run")
    held = system.open_data(tmp_path).held_out_set
    assert set(found.recording) == set(held.ids)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert "128 labels learnt from" in evaluate_run(tmp_path / "run")


def test_weights_that_do_not_fit_are_refused(layers, tmp_path):
    def refused(message, **changes):
        given = {"encoder.weights": str(layers), **changes}
        system = build_system(_classifier(**given))
        with pytest.raises(ConfigError, match=message):
            system.given(None, None, tmp_path)

    refused("neither bundle.json nor config.json", **{"encoder.weights": "nowhere"})
    wide = (dict(kind="dense", width=9, activation="relu"), dict(kind="dense", width=2))
    refused(
        "another architecture: its layer 0 .* width=8.*this config's .* width=9",
        **{"model.encoder": wide},
    )
    refused(
        "layer 1 is .* this config's none",
        **{
            "model.encoder": wide[:0]
            + (dict(kind="dense", width=8, activation="relu"),)
        },
    )
    refused("trained on input=.* make task.input equal", **{"task.input.scale": 1.0})
    refused("data.held_out is 0.1 there and 0.2 here", **{"data.held_out": 0.2})
    refused("data.seed is 0 there and 1 here", **{"data.seed": 1})
    refused("takes examples of shape", **{"model.input_shape": (8, 8)})
    with pytest.raises(ConfigError, match="trainable False: give a run"):
        build_system(_classifier(**{"encoder.trainable": False}))
    with pytest.raises(ConfigError, match="needs examples to choose the step"):
        finetuning.check(build_system(_classifier(**{"data.validation": 0.0})))


def test_a_layer_needs_the_layers_below(layers, tmp_path):
    config = autoencoder.get_config("smoke")
    config.task.depth = 2
    with pytest.raises(ConfigError, match="needs the layers below: set encoder.wei"):
        build_system(config).given(None, None, tmp_path)
    config.encoder.weights = "{parts}/layer1"
    config.data.held_out = 0.1
    found = build_system(config).given(None, None, layers / "layer2")
    assert _equal(found, latest_variables(layers / "layer1")[1])
    config.model.decoder = (*config.model.decoder[:-1], dict(kind="dense", width=64))
    with pytest.raises(ConfigError, match="this encoder, but another decoder"):
        build_system(config).given(None, None, layers / "layer2")


def test_the_last_of_the_parts_is_taken(layers, tmp_path):
    assert read_weights(str(layers), tmp_path).source["workdir"].endswith("layer2")
