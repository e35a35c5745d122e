"""Segmentation through the commands' functions: train, evaluate, predict."""

import csv
import json

import numpy as np
import pytest
import soundfile
from etils import epath

import sigjax
from configs import segmentation
from launch import evaluate
from launch.finetune import finetune
from launch.segmentation.finetuning import summary
from launch.segmentation.prediction import predict_files, table
from launch.systems import build_system, load_run
from sigjax.config import ConfigError
from sigjax.evals.segmentation import lines
from sigjax.inference.base import BundleError

# Commands' functions on a run that is trained: most of the time is compilation.
trained = pytest.mark.survival


def smoke(sets="", **changes):
    config = segmentation.get_config("smoke")
    config.mesh.data = 1
    if sets:
        config.data.dataset, config.data.simulate = str(sets), None
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on simulated events, and its result."""
    workdir = epath.Path(tmp_path_factory.mktemp("masks"))
    return workdir, finetune(smoke(), workdir)


@trained
def test_a_result_says_what_was_trained_on_what(run):
    workdir, result = run
    assert result == json.loads((workdir / "result.json").read_text())
    assert (result["chosen_step"], result["model"]["target"]) == (3, "mask")
    assert result["dataset"]["simulated"] and result["clips"]["test"] == 4
    assert result["test"]["mixtures"] == 6
    names = {path.name for path in (workdir / "eval" / "test").iterdir()}
    assert names == {"metrics.json", "per_class.csv", "examples.png"}
    text = summary(result, workdir)
    assert "SIMULATED" in text and "boundaries within 0.04 s (2 frames)" in text
    assert finetune(smoke(), workdir) == result  # as it is there


@trained
def test_an_evaluation_is_the_same_again_and_other_sides_have_theirs(run):
    workdir, result = run
    told = evaluate.evaluate_run(workdir)
    for line in lines(result["test"]):
        assert line in told
    assert "6 mixtures" in evaluate.evaluate_run(workdir, "train")
    with pytest.raises(evaluate.EvaluationError, match="sides test, validation, train"):
        evaluate.evaluate_run(workdir, "unused")


@trained
def test_a_recording_becomes_rows_of_events_and_a_picture(run, tmp_path):
    workdir, _ = run
    model = sigjax.load(workdir / "bundle")
    data = load_run(workdir)[0].open_data(workdir)
    waves = [data.dataset.read(int(n)) for n in data.sides["test"]]
    wave = np.concatenate(waves)
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "long.wav", wave, data.rate_hz)
    soundfile.write(folder / "silent.wav", np.zeros(20000), data.rate_hz)
    (folder / "broken.wav").write_bytes(b"no sound")
    given = [str(folder)], str(workdir / "bundle"), str(tmp_path / "out")
    report = predict_files(*given)
    assert (report["used"], len(report["failed"])) == (2, 1)
    text = table(report)
    assert "silent: No event" in text and "no sound: every sample is the same" in text
    with (tmp_path / "out" / "long.csv").open() as file:
        table_of = csv.DictReader(file)
        rows, names = list(table_of), table_of.fieldnames
    record = json.loads((tmp_path / "out" / "long.json").read_text())
    assert len(rows) == len(record["events"])
    assert names == ["onset_s", "offset_s", "class", "score"]
    assert (tmp_path / "out" / "long.png").stat().st_size > 20_000
    # From a file as from an array, but for the last window, which reaches back.
    some = [e for e in model.segment(wave) if e.end_s < len(wave) / 16000 - 0.8]
    found = [(e.start_s, e.end_s, e.label) for e in some]
    told = [(float(r["onset_s"]), float(r["offset_s"]), r["class"]) for r in rows]
    assert told[: len(found)] == found
    assert predict_files(*given)["used_before"] == 2


@trained
def test_mistakes_are_named(run, tmp_path):
    sets = run[0] / "sets"
    for change, message in (
        ({"task.window_s": 0.4}, "task.window_s=0.4 and data.mixture.window_s=0.48"),
        ({"evaluation.rule.least_bands": 17}, "least_bands=17 is more than the 16"),
        ({"task.mel.rate_hz": 8000}, "is of 16000 Hz, task.mel takes 8000 Hz"),
        ({"train.select": "f1"}, "needs clips to choose the step with"),
        ({"model.kind": "fcn"}, "needs the section model.fcn"),
        ({"model.unet.padding": "valid"}, "leaves out the borders"),
    ):
        with pytest.raises((ConfigError, ValueError), match=message):
            finetune(smoke(sets, **change), tmp_path)
    with pytest.raises(BundleError, match="no bundle"):
        predict_files([str(tmp_path)], str(tmp_path), str(tmp_path / "out"))


def test_variants_change_what_they_say():
    def of(variant):
        return build_system(segmentation.get_config(variant))

    assert of("frames").task.target == "frames" and not of("frames").masks
    assert not of("no_skips").model.unet.skips and of("").model.unet.skips
    assert of("fcn8+no_skips").model.fcn.stride == 32
    assert not of("dat+no_skips").model.encoder_decoder.skips
    assert of("event").data.classes == "event"
    # One class is no rare one; of ten, true cells count more.
    weights = [of(v).task.positive_weight for v in ("event", "frames", "", "dat")]
    assert weights == [1, 1, 8, 8]
    assert of("event+frames").task.prior == of("event").task.prior
    assert {layer.kind for layer in of("stack").model.encoder_decoder.stack} == {"conv"}
    ast = of("ast").architecture(4).ast
    assert (ast.frames, ast.bands) == (201, 64)
    with pytest.raises(ValueError, match="segmentation.py:unet is unknown; variants"):
        segmentation.get_config("unet")
    seeds = [(p["seed"], p["model.unet.skips"]) for p in segmentation.sweep()]
    assert len(set(seeds)) == 6
