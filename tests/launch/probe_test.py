"""`launch.probe`: simulated people, encoders of every kind, features without one."""

import json

import numpy as np
import pytest

from configs import har_probe, mae_wrist
from launch import pretrain
from launch.wrist import probing as probe
from sigjax.config import ConfigError
from sigjax.evals.classification import read_predictions, score


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("probe")


@pytest.fixture(scope="module")
def run(folder):
    """A pre-training of three steps, on other simulated people."""
    pretrain.pretrain(mae_wrist.get_config("smoke"), folder / "pretrained")
    return folder / "pretrained"


@pytest.fixture(scope="module")
def labelled(folder):
    """Where the simulated set is, built by the first probe."""
    probe.run_probe(config(), folder / "first")
    return folder / "first"


def config(**changes):
    given = har_probe.get_config("smoke")
    given.update_from_flattened_dict(changes)
    return given


def on_set(labelled, **changes):
    return config(
        **{"data.simulate": None, "data.dataset": str(labelled / "sets"), **changes}
    )


def test_an_untrained_encoder_leaves_a_whole_evaluation(labelled):
    found = json.loads((labelled / "result.json").read_text())
    where = labelled / "eval" / "test"
    predictions = read_predictions(where / "predictions.parquet")
    assert found["test"]["labels"] == (predictions.label >= 0).sum() > 0
    assert found["test"]["people"] == found["people"]["test"] > 0
    assert score(predictions)["kappa"] == found["test"]["kappa"]
    assert found["dataset"]["simulated"]
    assert found["reconstruction"] == {}
    assert (where / "confusion.png").exists()


def test_a_pretrained_encoder_tells_how_it_reconstructs_the_tested(
    labelled, run, folder
):
    given = on_set(labelled, **{"encoder.weights": str(run)})
    found = probe.run_probe(given, folder / "trained", False)
    told = found["reconstruction"]
    assert told["windows"] > 0
    names = {"lmm", "lmm_baseline", "mse", "mse_baseline"}
    assert names <= set(told)
    assert all(np.isfinite(told[name]) and told[name] > 0 for name in names)
    assert "LMM" in probe.summary(found, folder)


@pytest.mark.parametrize(
    ("features", "width"),
    [("position", 47), ("hand_made", 83), ("mean_sd", 6), ("log_spectrum", 3 * 16)],
)
def test_features_need_no_encoder_and_are_of_the_same_rows(
    labelled, folder, features, width
):
    given = on_set(labelled, **{"probe.features": features})
    found = probe.run_probe(given, folder / features, False)
    assert found["width"] == width
    first = json.loads((labelled / "result.json").read_text())
    assert found["test"]["labels"] == first["test"]["labels"]


def test_what_cannot_be_probed_is_an_error(labelled, folder):
    with pytest.raises(ConfigError, match="encoder.weights is empty"):
        given = on_set(labelled, **{"encoder.weights": ""})
        probe.run_probe(given, folder / "none", False)
    with pytest.raises(ConfigError, match="nobody"):
        given = on_set(labelled, **{"data.test_fraction": 0.0})
        probe.run_probe(given, folder / "nobody", False)
