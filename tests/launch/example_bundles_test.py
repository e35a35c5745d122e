"""Bundles of GANs and of classifiers of examples: written by runs, used on files."""

import csv
import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

import sigjax
from configs import code_classifier, gan
from launch import export as export_command
from launch import finetune, predict, pretrain
from launch.autoencoders import classification, finetuning, use
from launch.autoencoders import export as example_export
from launch.evaluate import evaluate_run
from launch.systems import build_system, load_run
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data import synthetic
from sigjax.evals.predictions import read_predictions
from sigjax.inference.base import BundleError, SignalConfig, prepare
from sigjax.models.code_classifier import CodeClassifierConfig
from sigjax.nn.stack import Layer
from sigjax.tasks.code_classification import CodeClassificationConfig
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.train.checkpoint import latest_variables, load_params
from tests.inference import tiny


def smoke(file, variant="smoke"):
    config = file.get_config(variant)
    config.mesh.data = 1
    return config


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """The bundle of a GAN that was drawn, not trained; system and variables."""
    folder = tmp_path_factory.mktemp("gan")
    system = build_system(smoke(gan))
    task = system.make_task()
    variables = tiny.random_variables(task.model, jnp.zeros((1, 4)))
    with pytest.MonkeyPatch.context() as patch:
        name = "latest_variables"
        patch.setattr(example_export, name, lambda workdir, step: (7, variables))
        step = example_export.export_examples(system, {}, folder, folder / "bundle")
    assert step == 7
    return folder / "bundle", task, variables


def test_a_gan_s_bundle_draws_what_the_run_draws(generator):
    bundle, task, variables = generator
    model = sigjax.load(bundle)
    assert isinstance(model, export.GeneratorModel) and model.raw_shape == (2,)
    sample = jax.jit(task.sample, static_argnums=2)
    own = sample(variables, jax.random.key(5), 9)
    np.testing.assert_allclose(model.sample(9, seed=5), own, rtol=1e-6, atol=1e-7)
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    own = jax.jit(task.score)(variables, x)
    np.testing.assert_array_equal(model.score(x), own)
    assert model.info["extra"]["examples"]["source"] == "points"


class Flags(types.SimpleNamespace):
    """Values of a command's flags; `named` are those that were given."""

    def __getitem__(self, name):
        return types.SimpleNamespace(present=name in self.named)


def given_flags(bundle, output, **named):
    """In place of `absl.flags`."""
    values = {"batch_size": 0, "overwrite": False, "overlap": 0.0, **named}
    own = Flags(bundle=str(bundle), output=str(output), named=named, **values)
    return types.SimpleNamespace(FLAGS=own)


def test_a_gan_s_bundle_takes_no_files_and_says_what_it_is_for(
    generator, tmp_path, monkeypatch
):
    bundle, _, _ = generator
    wanted = r"is a generator .* sigjax.load\(.*\).sample\(16\)"
    with pytest.raises(BundleError, match=wanted):
        use.extract_codes(bundle, "x.npz", tmp_path / "out")
    monkeypatch.setattr(predict, "flags", given_flags(bundle, tmp_path / "out"))
    with pytest.raises(BundleError, match=wanted):
        predict._run(["x.wav"])
    with pytest.raises(BundleError, match="is no classifier of launch.finetune"):
        classification.predict_files(["x.npz"], bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


LABELS = ("down", "up")


def write_classifier(path, source, shape, rate_hz, preprocessing, sign=1.0):
    """Classes by the sign of the sum of the first channel."""
    size = int(np.prod(shape))
    kernel = np.zeros((*shape, 1), np.float32).reshape(size, 1)
    kernel[:: size // shape[0]] = sign / shape[0]
    head = {"kernel": np.array([[-1.0, 1.0]], np.float32), "bias": np.zeros(2)}
    layer = {"kernel": kernel, "bias": np.zeros(1, np.float32)}
    task = CodeClassificationConfig(input=ExampleInputConfig(scale=1e-3))
    export.save(
        path,
        model="code_classifier",
        params={"encoder": {"layer0": layer}, "head": head},
        model_config=CodeClassifierConfig(
            input_shape=(size,) if len(shape) > 1 else shape,
            encoder=(Layer(kind="dense", width=1),),
            classes=2,
        ),
        signal=SignalConfig(
            rate_hz=rate_hz,
            channels=shape[-1] if len(shape) > 1 else 1,
            units="",
            window_s=shape[0] / rate_hz,
            patch_s=shape[0] / rate_hz,
        ),
        preprocessing=preprocessing,
        source_run={},
        labels=LABELS,
        extra={
            "task_kind": "code_classification",
            "task": dataclasses.asdict(task),
            "examples": {"source": source, "shape": list(shape)},
        },
    )
    return path


@pytest.fixture(scope="module")
def of_sounds(tmp_path_factory):
    read = {"rate_hz": 8000, "channel": 0, "samples": 64}
    path = tmp_path_factory.mktemp("sounds") / "bundle"
    return write_classifier(path, "clips", (64,), 8000.0, read)


def write_sound(path, counts):
    soundfile.write(path, np.asarray(counts, np.int16), 8000, subtype="PCM_16")


def test_sounds_get_a_class_a_window_and_one_each(of_sounds, tmp_path):
    loud, soft = np.full(64, 4000), np.full(64, 500)
    folder = tmp_path / "sounds"
    folder.mkdir()
    write_sound(folder / "both.wav", np.concatenate([soft, -soft, -loud]))
    write_sound(folder / "short.wav", np.full(16, 2000))
    (folder / "broken.wav").write_bytes(b"no sound")
    out = tmp_path / "out"
    report = classification.predict_files([str(folder)], of_sounds, out)
    rows = rows_of(out / "both.csv")
    assert [row["label"] for row in rows] == ["up", "down", "down"]
    assert [row["start_s"] for row in rows] == ["0.000", "0.008", "0.016"]
    assert [row["end_s"] for row in rows] == ["0.008", "0.016", "0.024"]
    # Logits are -m and m of the scaled mean m.
    expected = 1 / (1 + np.exp(-2 * np.array([0.5, -0.5, -4.0])))
    up = [float(row["p_up"]) for row in rows]
    np.testing.assert_allclose(up, expected, atol=1e-5)
    likeliest = [float(row["probability"]) for row in rows]
    np.testing.assert_allclose(likeliest, np.maximum(expected, 1 - expected), atol=1e-5)
    (short,) = rows_of(out / "short.csv")
    assert (short["label"], short["end_s"]) == ("up", "0.002")
    summary = {row["name"]: row for row in rows_of(out / "summary.csv")}
    both = summary["both"]
    assert both["label"] == "down" and both["share"] == "0.66667"
    assert float(both["p_down"]) == pytest.approx(1 - expected.mean(), abs=1e-5)
    assert [row["path"].endswith("broken.wav") for row in report["refused"]] == [True]
    assert "both.wav: down 0.67 (67% of 3 windows)" in report["text"]
    assert "2 files: down 1, up 1" in report["text"]


def test_windows_overlap_where_it_is_asked_for(of_sounds, tmp_path, monkeypatch):
    write_sound(tmp_path / "a.wav", np.ones(128))
    out = tmp_path / "out"

    def starts(**named):
        monkeypatch.setattr(predict, "flags", given_flags(of_sounds, out, **named))
        predict._run([str(tmp_path / "a.wav")])
        return [row["start_s"] for row in rows_of(out / "a.csv")]

    assert starts() == ["0.000", "0.008"]
    assert starts(overlap=0.5) == ["0.000", "0.004", "0.008"]
    with pytest.raises(ValueError, match="--machine: the bundle is of a classifier of"):
        starts(machine="pump")


@pytest.fixture(scope="module")
def of_a_wrist(tmp_path_factory):
    path = tmp_path_factory.mktemp("wrist") / "bundle"
    return write_classifier(path, "windows", (60, 3), 30.0, tiny.PREPROCESSING)


def test_windows_of_one_s_own_get_a_class_each(of_a_wrist, tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 60, 3)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x, ids=list("abcde"))
    given = [str(tmp_path / "mine.npz")]
    report = classification.predict_files(given, of_a_wrist, tmp_path / "out")
    assert "mine.npz: 5 examples: classes in mine.csv" in report["text"]
    (summary,) = rows_of(tmp_path / "out" / "summary.csv")
    assert summary["label"] == "" and 0 < float(summary["p_up"]) < 1
    rows = rows_of(tmp_path / "out" / "mine.csv")
    up = x[:, :, 0].mean(axis=1) > 0
    assert [row["ids"] for row in rows] == list("abcde")
    assert [row["label"] for row in rows] == [LABELS[int(one)] for one in up]
    use.extract_codes(of_a_wrist, given[0], tmp_path / "codes")
    found = np.load(tmp_path / "codes" / "codes.npz")
    np.testing.assert_allclose(
        found["codes"][:, 0], x[:, :, 0].mean(axis=1) * 1e-3, atol=1e-7
    )
    assert found["labels"].tolist() == list(LABELS) and "score" not in found
    np.testing.assert_array_equal(found["probability"].argmax(axis=1) == 1, up)


@pytest.mark.survival  # Takes long.
def test_a_wrist_s_recording_is_prepared_as_in_training(of_a_wrist, tmp_path):
    synthetic.simulate_recordings(tmp_path / "raw", people=1, days=0.01, seed=1)
    out = tmp_path / "out"
    report = classification.predict_files([str(tmp_path / "raw")], of_a_wrist, out)
    (row,) = report["used"]
    model = sigjax.load(of_a_wrist)
    segments = prepare(row["path"], model.info).segments
    windows = [model.windows_of(segment.acceleration) for segment in segments]
    found = [model.classify(x).label for x, _ in windows]
    rows = rows_of(out / f"{row['name']}.csv")
    assert [one["label"] for one in rows] == np.concatenate(found).tolist()
    start = segments[0].start
    assert float(rows[1]["start_s"]) == pytest.approx(start + 2.0, abs=1e-3)
    assert float(rows[1]["end_s"]) == pytest.approx(start + 4.0, abs=1e-3)


@pytest.mark.survival  # Takes long.
def test_a_run_leaves_a_bundle_that_says_what_its_test_says(tmp_path):
    config = smoke(code_classifier)
    config.data.held_out = 0.1
    result = finetune.finetune(config, tmp_path / "run")
    bundle = tmp_path / "run" / "bundle"
    model = sigjax.load(bundle)
    system, _ = load_run(tmp_path / "run")
    data = system.open_data(tmp_path)
    held = data.held_out_set
    size = {"batch_size": system.data.batch_size}
    own = model.in_batches(model.probabilities, held.x, **size)
    file = tmp_path / "run" / "eval" / "test" / "predictions.parquet"
    found = read_predictions(file)
    np.testing.assert_array_equal(found.probability, own)
    assert model.labels == tuple(data.classes) == tuple(found.classes)
    extra = model.info["extra"]
    assert extra["chosen_step"] == result["chosen_step"] and "test" not in extra
    with pytest.raises(ConfigError, match="that leaves its bundle by itself"):
        export_command.export_run(tmp_path / "run", tmp_path / "other")
    told = finetuning.summary(result, tmp_path / "run")
    assert f"launch.predict FILE --bundle={bundle}" in told
    # A run from before there were bundles gets one.
    (bundle / "bundle.json").unlink()
    evaluate_run(tmp_path / "run")
    assert sigjax.load(bundle).labels == model.labels


@pytest.mark.survival  # Takes long.
def test_the_average_is_exported_where_weights_are_averaged(tmp_path):
    config = smoke(gan)
    config.optim.averaging = dict(kind="ema", decay=0.5)
    pretrain.pretrain(config, tmp_path / "run")
    assert export_command.export_run(tmp_path / "run", tmp_path / "bundle") == 3
    average = latest_variables(tmp_path / "run")[1]["params"]
    last = load_params(tmp_path / "run" / "checkpoints" / "3" / "state", "params")
    found = sigjax.load(tmp_path / "bundle").params
    for part in ("generator", "critic"):
        kernels = (p[part]["layer0"]["kernel"] for p in (found, average, last))
        own, mean, end = map(np.asarray, kernels)
        np.testing.assert_array_equal(own, mean)
        assert not np.array_equal(own, end)


@pytest.mark.survival  # Takes long.
def test_an_adversarial_autoencoder_encodes_files_and_draws(tmp_path):
    config = smoke(gan, "digits+adversarial+smoke")
    pretrain.pretrain(config, tmp_path / "run")
    export_command.export_run(tmp_path / "run", tmp_path / "bundle")
    model = sigjax.load(tmp_path / "bundle")
    assert isinstance(model, export.AutoencoderModel)
    assert model.as_raw(model.sample(3, seed=1)).shape == (3, 8, 8, 1)
    use.extract_codes(tmp_path / "bundle", "digits", tmp_path / "codes")
    codes = np.load(tmp_path / "codes" / "codes.npz")
    system, _ = load_run(tmp_path / "run")
    x = system.open_data(tmp_path).held_out_set
    own = jax.jit(system.make_task().codes)(model.variables, x.x[:64])
    places = [codes["ids"].tolist().index(name) for name in x.ids[:64]]
    np.testing.assert_allclose(codes["codes"][places], own, rtol=1e-5, atol=1e-6)
    np.savez(tmp_path / "mine.npz", x=x.x[:5])
    report = use.predict_files(
        [str(tmp_path / "mine.npz")], tmp_path / "bundle", tmp_path / "out"
    )
    assert len(report["used"]) == 1
    assert len(rows_of(tmp_path / "out" / "mine.csv")) == 5
