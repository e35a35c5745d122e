"""Audio events through the commands' functions: train, evaluate, predict."""

import csv
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
import soundfile
from etils import epath

import sigjax
from configs import audio_events
from launch import evaluate
from launch.audio_events import prediction, settings
from launch.audio_events.encoders import model_of
from launch.audio_events.finetuning import summary
from launch.audio_events.prediction import predict_files, table
from launch.finetune import finetune
from launch.systems import build_system, load_run
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.evals.audio_events import read_event_predictions
from sigjax.inference.base import BundleError
from sigjax.models.dat import Dat, DatConfig
from sigjax.train.checkpoint import latest_params
from sigjax.train.optim import make_optimizer
from sigjax.train.step import InitialValuesError, make_init

RATE_HZ, WINDOW = 16000, 8000


def smoke(sets="", **changes):
    """The smoke config with a transformer that compiles at once."""
    config = audio_events.get_config("smoke")
    config.mesh.data = 1
    config.encoder.kind, config.encoder.dat = "ast", None
    config.encoder.ast = dict(
        patch=16, stride_t=16, stride_f=16, width=8, depth=1, heads=2, mlp=8
    )
    config.train.checkpoint_every = 1
    if sets:
        config.data.dataset, config.data.simulate = str(sets), None
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run from scratch on simulated events, and its result."""
    workdir = epath.Path(tmp_path_factory.mktemp("events"))
    return workdir, finetune(smoke(), workdir)


@pytest.fixture(scope="module")
def model(run):
    return sigjax.load(run[0] / "bundle")


def test_a_result_says_what_was_trained_on_what(run):
    workdir, result = run
    assert result == json.loads((workdir / "result.json").read_text())
    assert result["last_step"] == 3 and result["chosen_step"] in (1, 2, 3)
    clips = result["clips"]
    assert sum(clips.values()) == 24 and min(clips.values()) > 2
    assert f"highest top1 of the {clips['validation']} validation" in result["rule"]
    assert result["weights"] == "exponential moving average, decay 0.99"
    assert result["dataset"]["simulated"] is True
    assert set(result["test"]["figures"]) == {"top1", "balanced_accuracy"}
    text = summary(result, workdir)
    assert "SIMULATED" in text and "top1" in text and "launch.predict" in text


def test_the_bundle_repeats_the_evaluation(run, model):
    """Also: it is the averaged weights that are exported and evaluated."""
    workdir, result = run
    said = read_event_predictions(workdir / "eval" / "test" / "predictions.parquet")
    step, params = latest_params(workdir / "best")
    assert step == result["chosen_step"]
    jax.tree.map(np.testing.assert_array_equal, dict(params), dict(model.params))
    system, _ = load_run(workdir)
    data = system.open_data(workdir)
    waves = data.dataset.read_many(data.sides["test"].tolist())
    found = list(model.predict_all(waves))
    mean = np.stack([clip.probability["label"] for clip in found])
    np.testing.assert_allclose(mean, said.probability["label"], atol=1e-5)
    right = (said.probability["label"].argmax(axis=-1) == said.truth["label"]).mean()
    assert result["test"]["figures"]["top1"]["value"] == pytest.approx(right)


def test_a_stopped_run_ends_as_a_whole_one_and_a_finished_one_stays(run, tmp_path):
    workdir, result = run
    before = os.stat(workdir / "bundle" / "bundle.json").st_mtime_ns
    for name in ("checkpoints", "best", "sets"):
        shutil.copytree(workdir / name, tmp_path / name)
    for newer in (2, 3):  # as if it had been killed after step 1
        for folder in (tmp_path / "checkpoints", tmp_path / "best" / "checkpoints"):
            shutil.rmtree(folder / str(newer), ignore_errors=True)
    again = finetune(smoke(tmp_path / "sets"), tmp_path)
    assert (again["chosen_step"], again["test"]) == (
        result["chosen_step"], result["test"],
    )  # fmt: skip
    one, other = (latest_params(where)[1] for where in (workdir, tmp_path))
    jax.tree.map(np.testing.assert_array_equal, dict(one), dict(other))
    assert finetune(smoke(), workdir) == result
    assert os.stat(workdir / "bundle" / "bundle.json").st_mtime_ns == before


def system_on(sets, workdir, **changes):
    system = build_system(smoke(sets, **changes))
    return system, system.open_data(epath.Path(workdir))


def test_weights_of_a_bundle_are_where_training_starts(run, model, tmp_path):
    sets = run[0] / "sets"
    changes = {"encoder.weights": str(run[0]), "encoder.keep_head": True}
    found = model_of(*system_on(sets, tmp_path, **changes))
    assert set(found.given["params"]) == {"backbone", "head"}
    theirs = model.params["backbone"]
    jax.tree.map(
        np.testing.assert_array_equal, found.given["params"]["backbone"], theirs
    )
    assert found.source["bundle"].endswith("bundle") and not found.notes
    # Twice as many frames: positions are resized, the rest stays.
    longer = {"task.frames": 96, "encoder.weights": str(run[0] / "bundle")}
    longer |= {"encoder.ast.width": 64}  # The architecture is the weights'.
    found = model_of(*system_on(sets, tmp_path, **longer))
    assert set(found.given["params"]) == {"backbone"}
    assert found.given["params"]["backbone"]["positions"].shape == (2, 6, 8)
    assert found.model.ast.width == 8 and found.model.ast.frames == 96
    assert "resized" in found.notes[0]


def test_converted_weights_fit_the_task_and_the_ablation(run, tmp_path):
    """A deformable backbone of larger maps, as launch.convert writes it."""
    smallest = audio_events.get_config("smoke").encoder.dat.to_dict()
    theirs = DatConfig(**(smallest | {"adaptor_strength": 0.0, "convention": "v1"}))
    x = jax.ShapeDtypeStruct((1, 128, 64), np.float32)
    shapes = jax.eval_shape(Dat(theirs).init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda s: np.full(s.shape, 0.5, s.dtype), shapes)
    export.save(
        tmp_path / "dat",
        model="dat",
        params={"backbone": params},
        model_config=theirs,
        signal=export.SignalConfig(
            rate_hz=16000.0, channels=1, units="", window_s=1.28, patch_s=0.01
        ),
        preprocessing={"fbank": {"n_mels": 64}, "frames": 128, "mean": 0.0, "std": 1.0},
        source_run={"system": "dat"},
    )
    config = smoke(run[0] / "sets", **{"encoder.weights": str(tmp_path / "dat")})
    config.encoder.kind, config.encoder.dat = "dat", smallest | {"deformable": False}
    system = build_system(config)
    found = model_of(system, system.open_data(epath.Path(tmp_path)))
    model = found.model.dat
    assert (model.convention, model.deformable, model.adaptor_strength) == (
        "v1", False, 0.005,
    )  # fmt: skip
    assert found.notes == (
        "left out of the weights: offsets",
        "tables of positions resized to the task's size: 1",
        "from random weights: adaptor",
    )
    state = jax.eval_shape(
        make_init(system.make_task(found.model), make_optimizer(
            system.optim, steps_per_epoch=1, total_steps=1
        )),
        jax.random.key(0), system.batch_spec(), found.given,
    )  # fmt: skip
    table = found.given["params"]["backbone"]["stage2_block1"]["attention"]["table"]
    placed = state.params["backbone"]["stage2_block1"]["attention"]["table"]
    assert table.shape == placed.shape == (2, 7, 11)
    np.testing.assert_allclose(table, 0.5, rtol=1e-5)


MISTAKES = [
    ({"encoder.weights": "nowhere"}, "holds no bundle: give one of launch.convert"),
    ({"encoder.keep_head": True}, "keep_head needs encoder.weights"),
    ({"task.target": "multi"}, "kind 'single' .* but task.target='multi'"),
    ({"task.window_s": 0.4}, "task.window_s=0.4 and data.window_s=0.5"),
    ({"data.validation_fold": 0}, "needs clips to choose the step with"),
    ({"task.fbank.rate_hz": 8000.0}, "is of 16000 Hz, task.fbank takes 8000 Hz"),
    ({"optim.multipliers": (("hed", 2.0),)}, "'hed' is found in the name of no"),
    ({"data.dataset": "nowhere"}, "nowhere"),
    ({"system": "har_wrist"}, "config"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=lambda x: str(x)[:40])
def test_a_mistake_is_named(change, message, run, tmp_path):
    with pytest.raises((ConfigError, DatasetError, ValueError), match=message):
        finetune(smoke(run[0] / "sets", **change), tmp_path)


def test_weights_of_another_kind_are_refused(run, tmp_path):
    config = smoke(run[0] / "sets", **{"encoder.weights": str(run[0])})
    config.encoder.kind = "dat"
    config.encoder.dat = audio_events.get_config("smoke").encoder.dat
    with pytest.raises(ConfigError, match="kind='dat' but .* weights of AstConfig"):
        finetune(config, tmp_path)
    assert issubclass(InitialValuesError, ValueError)


def test_evaluating_runs_and_bundles(run, tmp_path, monkeypatch):
    workdir, result = run
    text = evaluate.evaluate_run(workdir, "validation", bootstrap=20)
    assert f"{result['clips']['validation']} clips" in text
    assert (workdir / "eval/validation/metrics.json").exists()
    with pytest.raises(evaluate.EvaluationError, match="sides test, validation"):
        evaluate.evaluate_run(workdir, "unused")
    found = evaluate.evaluate_bundle(
        workdir / "bundle", workdir / "sets", tmp_path / "all", bootstrap=20
    )
    assert "24 clips" in found
    with pytest.raises(ConfigError, match="no split evening: it has"):
        evaluate.evaluate_bundle(
            workdir / "bundle", workdir / "sets", tmp_path, split="evening"
        )


@pytest.fixture(scope="module")
def raw(tmp_path_factory, run):
    """A folder of recordings, good ones and others."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    long = 0.2 * rng.normal(size=int(2.3 * RATE_HZ)).astype(np.float32)
    long[WINDOW : 2 * WINDOW] = 0  # The second of five windows.
    soundfile.write(folder / "long.wav", np.clip(long, -1, 1), RATE_HZ)
    clip = next(pathlib.Path(run[0] / "simulated_events").rglob("*.wav"))
    shutil.copy(clip, folder / "clip.wav")
    stereo = np.stack([long[:4000]] * 2, axis=1)
    soundfile.write(folder / "low.flac", stereo, 8000)
    soundfile.write(folder / "short.wav", long[:100], RATE_HZ)
    (folder / "no.wav").write_text("Dear")
    (folder / "song.mp3").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module", autouse=True)
def loaded_once(request):
    """What is compiled serves all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            prediction, "open_model", lambda path: request.getfixturevalue("model")
        )
        yield


@pytest.fixture(scope="module")
def predicted(raw, run, tmp_path_factory):
    output = tmp_path_factory.mktemp("predictions")
    asked = settings.Settings(top=2, event_threshold=0.01)
    return predict_files([str(raw)], run[0] / "bundle", output, asked), output


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_file_is_accounted_for(predicted, raw):
    report, output = predicted
    counts = report["found"], report["used"], report["not_done"]
    assert counts == (5, 3, 0), report["failed"]
    failed = {pathlib.Path(path).name: why for path, why in report["failed"]}
    assert set(failed) == {"no.wav", "short.wav"}
    assert "less than a frame of 400" in failed["short.wav"]
    assert "convert it" in report["unsupported"][0][1]
    rows = rows_of(output / "summary.csv")
    assert [row["recording"] for row in rows] == ["clip", "long", "low"]
    assert rows[1]["windows"] == "5" and rows[1]["scored"] == "4"
    assert "every sample is the same (1)" in rows[1]["remarks"]
    text = table(report)
    assert "recorded at 8,000 Hz" in text and "2 channels: channel 0" in text


def test_windows_and_events_of_a_recording(predicted, model, raw):
    _, output = predicted
    rows = rows_of(output / "long.csv")
    names = model.classes["label"]
    assert [float(row["start_s"]) for row in rows] == [0, 0.5, 1.0, 1.5, 1.8]
    assert float(rows[-1]["end_s"]) == 2.3
    assert rows[1]["label"] == rows[1]["probability"] == ""
    wave, _ = soundfile.read(raw / "long.wav", dtype="float32")
    said = model.predict(wave)
    for place in (0, 2, 3, 4):
        got = [float(rows[place][f"p_{name}"]) for name in names]
        np.testing.assert_allclose(got, said.windows["label"][place], atol=2e-5)
        assert rows[place]["label"] == names[int(np.argmax(got))]
    events = rows_of(output / "long_events.csv")
    best = [rows[i]["label"] for i in (0, 2, 3, 4)]
    assert {event["label"] for event in events} == set(best)
    # Silence ends what was heard before it.
    assert float(events[0]["start_s"]) == 0 and float(events[0]["end_s"]) == 0.5
    assert sum(float(e["end_s"]) - float(e["start_s"]) for e in events) == (
        pytest.approx(1.8)
    )
    for name in ("long.png", "clip.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")


def test_run_again_nothing_is_done_anew(predicted, raw, run):
    report, output = predicted
    before = (output / "long.csv").stat().st_mtime_ns
    asked = settings.Settings(top=2, event_threshold=0.01)
    again = predict_files([str(raw)], run[0] / "bundle", output, asked)
    assert again["used_before"] == 3
    assert (output / "long.csv").stat().st_mtime_ns == before


def test_waves_that_cannot_be_heard_are_refused(model):
    wave = np.zeros(WINDOW, np.float32)
    for bad, message in (
        (np.zeros((WINDOW, 2)), "expected one channel"),
        (wave[:399], "shorter than a frame of 400"),
        (np.full(WINDOW, np.nan), "no finite numbers"),
        (wave.astype(np.int32), "int16 or floating"),
    ):
        with pytest.raises(BundleError, match=message):
            model.predict(bad)
    with pytest.raises(BundleError, match="hop_s"):
        model.predict(wave, hop_s=0.6)
    with pytest.raises(BundleError, match=r"expected \[batch, 8000\]"):
        model.logits(wave[None, :-1])


def test_other_rates_and_short_waves(model):
    rng = np.random.default_rng(1)
    wave = rng.integers(-9000, 9000, 5000).astype(np.int16)
    found = model.predict(wave)
    assert found.windows["label"].shape == (1, 3)
    assert found.end_s[0] == pytest.approx(5000 / RATE_HZ)
    top = found.top(2)
    assert len(top) == 2 and top[0][1] >= top[1][1]
    assert top[0][0] in str(found)
    half = model.predict(wave, rate_hz=8000)
    assert half.start_s.tolist() == [0.0, 0.125]
    padded = np.pad(wave / 32768, (0, WINDOW - 5000)).astype(np.float32)[None]
    exact = model.probabilities(padded, np.array([5000]))["label"]
    np.testing.assert_allclose(found.windows["label"], exact, atol=1e-6)
    assert model.features(padded).shape == (1, 8)
    assert "3 labels" in repr(model)
