"""Evaluation of small runs and bundles, and its refusals."""

import collections
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app, flags
from etils import epath

from configs import har_wrist, mae_wrist
from launch import evaluate, finetune, runtime
from launch.systems import build_system
from launch.wrist import evaluate_pretraining, evaluation
from sigjax import export
from sigjax.evals.classification import read_predictions
from sigjax.evals.predictions import PredictionsError
from sigjax.train.checkpoint import CheckpointError

FIGURES = ("balanced_accuracy", "kappa", "macro_f1")
FILES = {
    "confusion.csv",
    "confusion.png",
    "metrics.json",
    "per_person.csv",
    "per_person.png",
    "predictions.parquet",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "har"
    config = har_wrist.get_config("smoke")
    config.mesh.data = 1
    finetune.finetune(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def result(run):
    return json.loads((run / "result.json").read_text())


def _metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def _division(folder, result):
    """The run's own sides as a file."""
    rows = [f"{p},{side}\n" for side, who in result["people"].items() for p in who]
    path = folder / "sides.csv"
    path.write_text("# of the run\nperson,side\n" + "".join(rows))
    return str(path)


def test_a_run_is_evaluated_on_its_test_people(run, result):
    said = evaluate.evaluate_run(run, points=0)
    found = _metrics(run / "eval" / "test")
    for name in FIGURES:
        assert found[name] == result["test"][name]
        value, low, high = found[name].values()
        assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in said
    assert {p.name for p in (run / "eval" / "test").iterdir()} == FILES
    people = {row["person"] for row in found["per_person"]}
    assert people == set(result["people"]["test"])
    about = found["about"]
    assert about["dataset"] == result["dataset"] and about["trained_on"] == []
    assert "SIMULATED data" in said and result["rule"] in said
    rows = read_predictions(run / "eval" / "test" / "predictions.parquet")
    assert len(rows) == found["labels"] + found["labels_missing"]


def test_people_trained_on_are_refused_unless_asked_for(run, result):
    first = result["people"]["train"][0]
    with pytest.raises(evaluate.EvaluationError, match=f"trained on: .*{first}"):
        evaluate.evaluate_run(run, "train", points=0)
    assert not (run / "eval" / "train").exists()
    said = evaluate.evaluate_run(run, "train", points=0, allow_training_people=True)
    assert "OF THESE PEOPLE WERE TRAINED ON" in said
    about = _metrics(run / "eval" / "train")["about"]
    assert about["trained_on"] == sorted(result["people"]["train"])


def test_people_who_chose_the_step_are_told_of(run):
    said = evaluate.evaluate_run(run, "validation", points=0)
    assert "THE STEP WAS CHOSEN ON 1 OF THESE PEOPLE" in said
    assert "no intervals" in said


def test_a_side_without_people_is_an_error_that_names_the_others(run):
    with pytest.raises(evaluate.EvaluationError, match=r"test \(2\), unused \(0\)"):
        evaluate.evaluate_run(run, "unused")
    with pytest.raises(evaluate.EvaluationError, match="side 'tset'"):
        evaluate.evaluate_run(run, "tset")


def test_a_bundle_has_the_figures_of_its_run(run, result, tmp_path):
    given = {"split": _division(tmp_path, result), "points": 0}
    evaluate.evaluate_bundle(run / "bundle", run / "sets", tmp_path / "out", **given)
    ours = _metrics(tmp_path / "out")
    for name in (*FIGURES, "confusion", "per_person"):
        assert ours[name] == result["test"][name]


def test_a_bundle_is_not_evaluated_on_people_it_was_trained_on(run, tmp_path):
    with pytest.raises(evaluate.EvaluationError, match="2 of these 5 people were"):
        evaluate.evaluate_bundle(run / "bundle", run / "sets", tmp_path / "out")


def test_a_scheme_of_other_classes_is_an_error_that_names_them(run, result, tmp_path):
    given = {"split": _division(tmp_path, result), "scheme": "Walmsley2020"}
    with pytest.raises(PredictionsError, match="only the model has .*sit-stand"):
        evaluate.evaluate_bundle(run / "bundle", run / "sets", tmp_path, **given)


def test_windows_that_do_not_fit_the_set_are_an_error(run, tmp_path, monkeypatch):
    model = export.load(run / "bundle")
    object.__setattr__(model.signal, "window_s", 77.0)
    monkeypatch.setattr(export, "load", lambda path: model)
    with pytest.raises(evaluate.EvaluationError, match="window_s=77"):
        evaluate.evaluate_bundle(run / "bundle", run / "sets", tmp_path)


def test_an_encoder_gives_no_classes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "load", lambda path: object())
    with pytest.raises(evaluate.EvaluationError, match="holds no classifier"):
        evaluate.evaluate_bundle(run / "bundle", run / "sets", tmp_path)


def test_embeddings_of_the_rows_shown_are_drawn(run, monkeypatch):
    drawn = {}

    def projections(path, embedding, label, classes, **rest):
        drawn.update(rest, path=path, embedding=embedding, label=label)

    monkeypatch.setattr(evaluation, "projections", projections)
    evaluate.evaluate_run(run, points=30)
    folder = run / "eval" / "test"
    rows = read_predictions(folder / "predictions.parquet")
    assert drawn["path"] == folder / "embeddings.png"
    assert len(drawn["embedding"]) == len(drawn["label"]) == 30
    assert drawn["embedding"].std(axis=0).max() > 0
    np.testing.assert_array_equal(drawn["chosen_from"], rows.label)
    classes, counts = np.unique(drawn["label"], return_counts=True)
    assert classes.tolist() == np.unique(rows.label[rows.label >= 0]).tolist()
    assert counts.max() - counts.min() <= 1
    assert "SIMULATED" in drawn["note"]


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """A run as launch.pretrain leaves it, whose parameters are those of the start."""
    config = mae_wrist.get_config("smoke")
    runtime.save_config(epath.Path(tmp_path), config)
    system = build_system(config)
    spec = system.batch_spec()
    batch = {name: jnp.zeros(x.shape, x.dtype) for name, x in spec.items()}
    variables = system.make_task().init(jax.random.key(0), batch)
    found = 7, {"params": jax.device_get(variables["params"])}
    monkeypatch.setattr(evaluate_pretraining, "latest_variables", lambda path: found)
    return tmp_path, system, variables


@pytest.mark.survival
def test_a_pretraining_run_has_figures_of_everybody_held_out(pretrained):
    workdir, system, variables = pretrained
    said = evaluate.evaluate_run(workdir)
    folder = workdir / "eval" / "validation"
    task, key = system.make_task(), jax.random.key(system.seed)
    sums, count = collections.Counter(), 0
    data = system.open_data(workdir)
    for batch in data.evaluation(shard_index=0, shard_count=1):
        weight = batch.pop("weight")
        rows = {name: jnp.asarray(column) for name, column in batch.items()}
        for name, values in jax.jit(task.evaluate)(variables, rows, key).items():
            values = np.asarray(values).reshape(len(weight), -1)
            sums[name] += values[weight > 0].sum()
        count += system.task.windows * int(weight.sum())
    expected = {name: total / count for name, total in sums.items()}
    assert _metrics(folder) == pytest.approx(expected, rel=1e-5)
    assert (folder / "reconstruction.png").read_bytes()[:4] == b"\x89PNG"
    assert f"{workdir.name}, step 7, SIMULATED data" in said
    assert f"{expected['lmm_baseline']:.4f}" in said


def test_a_run_without_checkpoint_is_an_error(tmp_path):
    runtime.save_config(epath.Path(tmp_path), mae_wrist.get_config("smoke"))
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        evaluate.evaluate_run(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "one of --workdir=RUN, --bundle=BUNDLE and --submission"),
        (["--workdir=a", "--bundle=b"], "one of --workdir=RUN, --bundle=BUNDLE"),
        (["--submission=a"], "--submission=FOLDER and --truth=FOLDER need each"),
        (["--workdir=a", "--scheme=b"], "--scheme is for --bundle"),
        (["--bundle=b", "--dataset=a"], "--bundle needs --dataset=SET and --output"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(given, message):
    values = flags.FlagValues()
    evaluate.define_flags(values)
    values(["evaluate", *given])
    with pytest.raises(app.UsageError, match=message):
        evaluate.check_flags(values)


def test_an_error_ends_the_command_with_a_reason(tmp_path):
    command = [sys.executable, "-m", "launch.evaluate", f"--workdir={tmp_path}"]
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/config.json does not exist")
