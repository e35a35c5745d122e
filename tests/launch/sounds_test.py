"""Machine sounds through launch.pretrain: parts, statistics, weights to start from."""

import json

import jax
import numpy as np
import pytest

from configs import asd_autoencoder, asd_sections
from launch.pretrain import pretrain
from launch.systems import load_run, parts_of
from sigjax.config import ConfigError
from sigjax.train.checkpoint import latest_variables


def smoke(sets=None):
    config = asd_sections.get_config("smoke")
    config.mesh.data, config.train.steps = 1, 2
    if sets is not None:
        config.data.dataset, config.data.simulate = sets, None
    return config


@pytest.fixture(scope="module")
def general(tmp_path_factory):
    """A classifier of two machines' sections."""
    workdir = tmp_path_factory.mktemp("general")
    pretrain(smoke(), workdir)
    return workdir


def test_a_run_keeps_the_statistics_of_its_input(general):
    saved = json.loads((general / "input_statistics.json").read_text())
    assert -156 < saved["mean"] < 0 < saved["std"]
    step, variables = latest_variables(general)
    assert step == 2
    kept = {k: float(v) for k, v in variables["statistics"].items()}
    assert kept == pytest.approx(saved)
    system, _ = load_run(general)
    assert system.make_task(system.open_data(general)).classes == 4


def test_a_machine_starts_from_the_general_classifier(general, tmp_path):
    config = smoke(str(general / "sets"))
    config.data.machines = ("fan",)
    config.train.steps, config.optim.learning_rate = 1, 1e-30
    config.start.weights = str(general)
    pretrain(config, tmp_path)
    before, after = (latest_variables(w)[1] for w in (general, tmp_path))
    ours, given = (v["params"]["model"] for v in (after, before))
    head = ours.pop("head"), given.pop("head")
    assert head[0]["kernel"].shape != head[1]["kernel"].shape  # two sections, not four
    for own, other in zip(jax.tree.leaves(ours), jax.tree.leaves(given), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-20)  # a step of 1e-30
    assert not (tmp_path / "input_statistics.json").exists()  # the weights' own
    np.testing.assert_array_equal(
        after["statistics"]["std"], before["statistics"]["std"]
    )


def test_weights_of_another_high_pass_are_refused(general, tmp_path):
    config = smoke(str(general / "sets"))
    config.start.weights, config.task.mel.cutoff_hz = str(general), 500.0
    with pytest.raises(ConfigError, match="trained on task.mel=.*of the same"):
        pretrain(config, tmp_path)


def test_one_section_is_nothing_to_tell_apart(general, tmp_path):
    config = smoke(str(general / "sets"))
    config.data.machines, config.data.sections = ("fan",), ("00",)
    with pytest.raises(ConfigError, match="one section.*asd_autoencoder"):
        pretrain(config, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task.clip_s", 1.0, "task.clip_s=1 and data.clip_s=2"),
        ("scoring.backends", ("knnn",), "no back-end 'knnn'"),
        ("model.kind", "mobilenet", "needs the section model.mobilenet"),
    ],
)
def test_a_mistake_is_named_before_anything_is_simulated(key, value, message, tmp_path):
    config = smoke()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ConfigError, match=message):
        pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_rate_is_refused(general, tmp_path):
    config = smoke(str(general / "sets"))
    config.task.mel.rate_hz, config.task.clip_s = 8000, 2.0
    config.model.dual_block.frames = 32
    with pytest.raises(ConfigError, match="16000 Hz, the config of 8000 Hz"):
        pretrain(config, tmp_path)


def test_parts_are_runs_of_their_own(general, tmp_path):
    config = asd_autoencoder.get_config("smoke")
    config.mesh.data, config.train.steps = 1, 1
    config.data.dataset, config.data.simulate = str(general / "sets"), None
    pretrain(config, tmp_path)
    for machine in ("fan", "valve"):
        system, _ = load_run(tmp_path / machine)
        assert system.data.machines == (machine,)
        assert latest_variables(tmp_path / machine)[0] == 1
    with pytest.raises(ConfigError, match="fan, valve are parts"):
        load_run(tmp_path)


def test_the_second_stage_has_table_7():
    parts = parts_of(asd_sections.get_config("specific"))
    assert list(parts) == list(asd_sections.MACHINES)
    assert parts["valve"].task.mel.cutoff_hz == 2000.0
    assert parts["valve"].task.centre_weight == 0.01
    assert parts["slider"].task.centre_weight == 0.0
    assert all(part.data.machines == (name,) for name, part in parts.items())


def test_a_part_with_an_unknown_key_is_named():
    config = asd_sections.get_config("specific")
    config.parts = {"fan": {"data": {"machine": ("fan",)}}}
    with pytest.raises(ConfigError, match="parts.fan.*machine"):
        parts_of(config)
