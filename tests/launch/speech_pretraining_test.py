"""The smoke variant of a speech encoder's pre-training, and its bundle."""

import json
import shutil

import numpy as np
import pytest

import sigjax
from configs import speech_encoder
from launch import pretrain
from launch.speech.clusters import ClusterConfig, fit
from sigjax.config import ConfigError


def smoke_config():
    config = speech_encoder.get_config("smoke")
    config.mesh.data = 1
    return config


# Two whole trainings of an encoder, one of them stopped.
pytestmark = pytest.mark.survival


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("speech")
    pretrain.pretrain(smoke_config(), workdir)
    return workdir


def test_a_run_ends_with_a_bundle_of_every_layer(run):
    model = sigjax.load(run / "bundle")
    waves = [np.random.default_rng(0).normal(size=n) for n in (700, 5000)]
    found = model.embed([wave.astype(np.float32) for wave in waves])
    assert found.shape == (2, 2, 32) and np.isfinite(found).all()
    assert model.normalise == "peak" and model.config.dropout == 0
    assert model.info["source_run"]["step"] == 3
    assert model.info["extra"]["clusters"]["simulated"]
    metrics = json.loads((run / "eval" / "validation" / "metrics.json").read_text())
    named = {"masked_accuracy", "copied_accuracy", "most_frequent", "unigram_loss"}
    assert named < set(metrics) and metrics["chance"] == 0.2


def test_a_stopped_run_goes_on_exactly(run, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    shutil.rmtree(other / "checkpoints" / "3")
    shutil.rmtree(other / "bundle")
    pretrain.pretrain(smoke_config(), other)
    expected = sigjax.load(run / "bundle").params
    found = sigjax.load(other / "bundle").params
    np.testing.assert_array_equal(found["mask"], expected["mask"])
    kernel = expected["blocks"]["0"]["up"]["kernel"]
    np.testing.assert_array_equal(found["blocks"]["0"]["up"]["kernel"], kernel)


def test_clusters_of_other_settings_are_refused(run):
    config = smoke_config()
    config.task.clusters = 6
    with (
        pytest.warns(UserWarning, match="task.clusters 5 -> 6"),
        pytest.raises(ConfigError, match="fitted with other settings"),
    ):
        pretrain.pretrain(config, run)


def test_a_teacher_that_is_none_is_refused(run, tmp_path):
    config = speech_encoder.get_config("smoke+second")
    with pytest.raises(ConfigError, match="earlier encoder is needed"):
        pretrain.pretrain(config, tmp_path)
    config.clusters.teacher = str(run / "bundle")
    config.data.normalise = "zscore"
    with pytest.raises(ConfigError, match="takes normalise='peak'"):
        pretrain.pretrain(config, tmp_path)


def test_clusters_find_what_is_apart_and_refuse_what_is_not():
    rng = np.random.default_rng(0)
    place = np.array([[0, 0, 5], [100, 0, 5], [0, 0.1, 5]], np.float32)
    frames = np.repeat(place, 50, axis=0)
    frames[:, :2] += rng.normal(size=(150, 2)) * [0.5, 1e-3]
    found, told = fit(frames, 3, ClusterConfig(starts=3, batch_frames=150))
    assert found["centre"].shape == (3, 3) and told["empty"] == 0
    assert told["largest"] == pytest.approx(1 / 3) and told["unexplained"] < 0.01
    assert found["scale"][2] == 0  # it never changes
    with pytest.raises(ConfigError, match="have 150 frames"):
        fit(frames, 151, ClusterConfig())
    with pytest.raises(ConfigError, match="all alike"):
        fit(np.ones((10, 3), np.float32), 2, ClusterConfig())
