"""Machine sounds through launch.pretrain: parts, statistics, weights to start from."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sigjax
from configs import asd_autoencoder, asd_sections
from launch import evaluate
from launch.export import export_sounds
from launch.pretrain import EXPECTED_ERRORS, pretrain
from launch.systems import build_system, each_machine, load_run, parts_of
from launch.wrist.evaluation import EvaluationError
from sigjax.config import ConfigError
from sigjax.data.datasets.errors import DatasetError
from sigjax.data.machine_sound.sounds import SoundSet
from sigjax.evals import dcase, submission
from sigjax.evals.ground_truth import read_truth
from sigjax.evals.sound_results import SIDES, read_results
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


@pytest.mark.survival
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


def test_the_second_stage_has_table_7():
    parts = parts_of(asd_sections.get_config("specific"))
    assert list(parts) == list(asd_sections.MACHINES)
    assert parts["valve"].task.mel.cutoff_hz == 2000.0
    assert parts["valve"].task.centre_weight == 0.01
    assert parts["slider"].task.centre_weight == 0.0
    assert all(part.data.machines == (name,) for name, part in parts.items())


def test_machine_by_machine_is_whichever_the_set_has(general):
    config = asd_autoencoder.get_config("smoke")
    parts = parts_of(each_machine(config))
    assert {n: p.data.machines for n, p in parts.items()} == {
        "fan": ("fan",),
        "valve": ("valve",),
    }
    config.data.dataset, config.data.simulate = str(general / "sets"), None
    config.data.sections = ("00",)
    found = each_machine(config)
    assert list(found.parts) == ["fan", "valve"]
    assert parts_of(found)["fan"].data.sections == ("00",)
    config.data.machines = ("valve",)
    assert list(each_machine(config).parts) == ["valve"]
    config.data.machines = ("pump",)
    with pytest.raises(ConfigError, match="no clip of pump to train on"):
        each_machine(config)
    config.data.dataset = ""
    with pytest.raises(DatasetError, match="launch.build_sounds"):
        each_machine(config)
    assert issubclass(DatasetError, EXPECTED_ERRORS)
    whole = asd_sections.get_config()
    assert each_machine(whole) is whole
    # Before the machines are known a config is its own part.
    assert list(parts_of(asd_autoencoder.get_config())) == [""]
    with pytest.raises(ConfigError, match="^each machine: "):
        build_system(asd_autoencoder.get_config())


def test_a_part_with_an_unknown_key_is_named():
    config = asd_sections.get_config("specific")
    config.parts = {"fan": {"data": {"machine": ("fan",)}}}
    with pytest.raises(ConfigError, match="parts.fan.*machine"):
        parts_of(config)


# --- evaluation ---


@pytest.fixture(scope="module")
def evaluated(general):
    """What launch.evaluate says of the classifier."""
    return evaluate.evaluate_run(general, bootstrap=10)


def test_sides_of_people_are_none_of_sounds(general):
    with pytest.raises(EvaluationError, match="--side=train is of people"):
        evaluate.evaluate_run(general, "train")


def test_an_evaluation_keeps_the_choice_apart_from_the_result(general, evaluated):
    assert "chosen on development" in evaluated and "oracle" in evaluated
    assert (general / "eval" / "choice.md").read_text().strip() in evaluated
    results = {s: read_results(general / "eval" / s) for s in SIDES}
    for side, found in results.items():
        sections = {"development": {"00"}, "evaluation": {"03"}}[side]
        assert set(found.clips.section) == sections
        assert len(found.clips) == 2 * 2 * (3 + 3)  # machines, domains, clips
        page = (general / "eval" / side / "report.html").read_text()
        assert "SIMULATED" in page and "valve" in page
        assert found.simulated and found.facts["data"] == "SIMULATED"
    with (general / "eval" / "candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48 and "mahalanobis" in rows[0]
    # The result's scores are the chosen candidate's.
    found = results["evaluation"]
    chosen = {
        row["name"]: float(row[found.chosen[row["machine"]]])
        for row in rows
        if row["machine"] == "fan"
    }
    own = found.clips.machine == "fan"
    for name, score in zip(found.clips.name[own], found.clips.score[own], strict=True):
        assert chosen[name] == score


def test_the_submission_scores_as_the_evaluation_does(general, evaluated):
    truth = general / "simulated_sounds" / "ground_truth_data"
    read = submission.read_submission(general / "eval" / "submission")
    paired = submission.pair(read, read_truth(truth, 2021), 2021)
    scores = dcase.score(paired, 2021)
    ours = read_results(general / "eval" / "evaluation").score()
    assert scores.mean()["mean"] == pytest.approx(ours.mean()["mean"], abs=1e-12)


@pytest.mark.survival
def test_an_export_scores_as_the_evaluation_did(general, evaluated, tmp_path):
    lines = export_sounds(general, tmp_path / "b")
    choice = json.loads((general / "eval" / "choice.json").read_text())
    assert set(choice) == {"fan", "valve"} and "chosen by launch.evaluate" in lines[2]
    detector = sigjax.load(tmp_path / "b")
    assert detector.simulated and detector.info["source_run"]["step"] == 2
    assert detector.machines == tuple(
        (m, s) for m in ("fan", "valve") for s in ("00", "03")
    )
    # Eight clips of each to train on, of which one was held out.
    assert set(detector.clips_seen.values()) == {8}
    dataset = SoundSet.open(general / "sets")
    with (general / "eval" / "candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = [r for r in rows if (r["machine"], r["section"]) == ("valve", "03")]
    numbers = {
        clip.path.rsplit("/", 1)[-1]: number
        for number, clip in enumerate(dataset.clips)
        if clip.machine == "valve"
    }
    waves = dataset.read_many([numbers[row["name"]] for row in own])
    for domain in ("source", "target"):
        of = [i for i, row in enumerate(own) if row["domain"] == domain]
        scores = detector.score(
            [waves[i] for i in of], machine="valve", section="03", domain=domain
        )
        expected = [float(own[i][choice["valve"]]) for i in of]
        np.testing.assert_allclose(scores.score, expected, rtol=1e-4, atol=1e-4)
    named = export_sounds(general, tmp_path / "b", "kmeans")
    assert "kmeans, as asked for" in named[2]
    with pytest.raises(ConfigError, match="no back-end 'knnn' for this run"):
        export_sounds(general, tmp_path / "b", "knnn")


@pytest.mark.survival
def test_parts_are_evaluated_together(general, tmp_path):
    config = asd_autoencoder.get_config("smoke")
    config.mesh.data, config.train.steps = 1, 1
    config.data.dataset, config.data.simulate = str(general / "sets"), None
    pretrain(config, tmp_path)
    for machine in ("fan", "valve"):
        assert load_run(tmp_path / machine)[0].data.machines == (machine,)
    with pytest.raises(ConfigError, match="fan, valve are parts"):
        load_run(tmp_path)
    evaluate.evaluate_run(tmp_path, bootstrap=0)
    found = read_results(tmp_path / "eval" / "evaluation")
    assert set(found.clips.machine) == {"fan", "valve"}
    with (tmp_path / "eval" / "candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    # The mean squared error of a clip, by the model itself.
    system, _ = load_run(tmp_path / "fan")
    data = system.open_data(tmp_path)
    (number,) = [
        i for i, c in enumerate(data.dataset.clips) if c.path.endswith(rows[0]["name"])
        and c.machine == "fan"
    ]  # fmt: skip
    task = system.make_task(data)
    wave = data.dataset.read(number)[None]
    variables = jax.device_put(latest_variables(tmp_path / "fan")[1])
    score = task.score(variables, jnp.asarray(wave))
    assert float(rows[0]["mean squared error"]) == pytest.approx(float(score[0]))
    lines = export_sounds(tmp_path, tmp_path / "bundles", "mean squared error")
    assert "mean squared error, as asked for" in lines[2]
    detector = sigjax.load(tmp_path / "bundles" / "fan")
    assert {machine for machine, _ in detector.machines} == {"fan"}
    found = detector.score(wave[0], section=rows[0]["section"])
    assert found.score[0] == pytest.approx(float(score[0]))
    with pytest.raises(ConfigError, match="no back-end 'knn' for this run"):
        export_sounds(tmp_path, tmp_path / "bundles", "knn")
