"""Autoencoders on principal components, from a config to a bundle."""

import json

import numpy as np
import pytest

import sigjax
from configs import autoencoder, code_classifier
from launch import evaluate, export, pretrain
from launch.systems import build_system
from sigjax.config import ConfigError
from sigjax.evals.autoencoders import linear


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that cannot learn: what it does is what it started from."""
    config = autoencoder.get_config("smoke")
    config.mesh.data = 1
    config.model.base, config.optim.learning_rate = "principal", 0.0
    last = {**config.model.decoder[-1], "activation": "identity"}
    config.model.decoder = (*config.model.decoder[:-1], last)
    workdir = tmp_path_factory.mktemp("base") / "run"
    pretrain.pretrain(config, workdir)
    return workdir


def test_a_run_that_learns_nothing_is_pca_up_to_its_bundle(run, tmp_path):
    evaluate.evaluate_run(run)
    text = (run / "eval" / "validation" / "metrics.json").read_text()
    found = json.loads(text)
    assert found["mse"] == pytest.approx(found["pca_mse"], rel=1e-4)
    assert found["purity"] == pytest.approx(found["pca_purity"], abs=0.05)
    export.export_run(run, tmp_path / "bundle")
    model = sigjax.load(tmp_path / "bundle")
    data = build_system(autoencoder.get_config("smoke")).open_data(run)
    train, held = (s.x / 8.0 - 1 for s in (data.train_set, data.held_out_set))
    expected = linear.fit_pca(train, 2).reconstruct(held)
    made = model.apply(data.held_out_set.x)
    np.testing.assert_allclose(made, expected.reshape(-1, 64), atol=1e-4)


def test_a_classifier_does_not_start_from_it(run, tmp_path):
    config = code_classifier.get_config("smoke")
    config.encoder.weights = str(run)
    with pytest.raises(ConfigError, match="train one with model.base='none'"):
        build_system(config).weights(tmp_path)


def test_spectrograms_are_on_components_and_starts_of_classifiers_are_not():
    def base(variant):
        return autoencoder.get_config(variant).model.base

    assert base("fsdd") == base("fsdd+vae") == base("fsdd+deep") == "principal"
    assert base("fsdd+overcomplete") == base("digits+linear") == "mean"
    for variant in ("", "digits", "fsdd+initial", "fsdd+greedy", "fsdd+contractive"):
        assert base(variant) == "none", variant
