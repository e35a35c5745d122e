"""Autoencoders and GANs of examples, from a config to a denoised file."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile

import sigjax
from configs import autoencoder, gan
from launch import evaluate, export, pretrain
from launch.autoencoders import use
from launch.autoencoders.batches import over
from launch.systems import build_system
from sigjax.config import ConfigError
from sigjax.data.examples.stream import ExampleError
from sigjax.inference.base import BundleError
from sigjax.train.checkpoint import latest_params
from tests.data.examples import tiny_examples


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def smoke(file=autoencoder, variant="smoke"):
    config = file.get_config(variant)
    config.mesh.data = 1
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("autoencoder") / "run"
    pretrain.pretrain(smoke(), workdir)
    return workdir


def metrics_of(workdir):
    return json.loads((workdir / "eval" / "validation" / "metrics.json").read_text())


def test_a_run_leaves_figures_and_says_what_is_next(run, capsys):
    folder = run / "eval" / "validation"
    assert {"reconstruction.png", "codes.png"} <= {p.name for p in folder.iterdir()}
    assert metrics_of(run)["mse"] > 0


def test_a_stopped_run_goes_on_exactly(run, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    shutil.rmtree(other / "checkpoints" / "3")
    pretrain.pretrain(smoke(), other)
    expected, found = (latest_params(path)[1]["encoder"] for path in (run, other))
    for name in expected:
        for part, value in expected[name].items():
            np.testing.assert_array_equal(found[name][part], value)


def test_evaluation_puts_components_beside_the_codes(run):
    text = evaluate.evaluate_run(run)
    found = metrics_of(run)
    assert found["examples"] == 36 and found["code_size"] == 2 and found["values"] == 64
    # Three steps teach nothing: two components are far better.
    assert found["pca_mse"] < found["clean_mse"] == pytest.approx(found["mse"])
    assert 0 < found["pca_unexplained"] < 1 < found["unexplained"]
    assert found["chance_purity"] < found["pca_purity"] < found["input_purity"] <= 1
    assert "of PCA with as many numbers" in text and "codes.png" in text


@pytest.fixture(scope="module")
def bundle(run):
    assert export.export_run(run, run / "bundle") == 3
    return run / "bundle"


def test_a_bundle_does_what_the_run_does(run, bundle):
    model = sigjax.load(bundle)
    data = build_system(smoke()).open_data(run)
    x = data.held_out_set.x
    own = np.asarray(model.apply(x)).reshape(-1, 64)
    clean = x.reshape(-1, 64) / 8.0 - 1
    error = np.square(own - clean).mean()
    assert error == pytest.approx(metrics_of(run)["mse"], rel=1e-5)
    assert model.labels == tuple("0123456789") and model.raw_shape == (8, 8, 1)


def test_codes_of_a_set_come_with_what_is_known_of_it(bundle, tmp_path):
    told = use.extract_codes(bundle, "digits", tmp_path)
    assert told.startswith("1797 codes of 2 numbers")
    found = np.load(tmp_path / "codes.npz")
    assert found["codes"].shape == (1797, 2) and found["score"].shape == (1797,)
    assert found["classes"].tolist() == list("0123456789")
    own = np.load(tmp_path / "codes.npz")
    x = build_system(smoke()).open_data(tmp_path)
    first = x.train_set.ids[0]
    place = own["ids"].tolist().index(first)
    code = sigjax.load(bundle).encode(x.train_set.x[:1])
    np.testing.assert_allclose(own["codes"][place], code[0], rtol=1e-5, atol=1e-6)


def test_examples_of_another_shape_are_refused(bundle, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((2, 5), np.float32))
    with pytest.raises(ExampleError, match=r"examples of \(5,\), and .* \(8, 8, 1\)"):
        use.extract_codes(bundle, str(path), tmp_path / "out")
    report = use.predict_files([str(path)], bundle, tmp_path / "out")
    assert not report["used"] and "expected [batch, 8, 8, 1]" in report["text"]
    with pytest.raises(ExampleError, match=r"give an .npz with x \[n, 8, 8, 1\]"):
        use.extract_codes(bundle, str(tmp_path / "calls.csv"), tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        use.predict_files([str(tmp_path / "nowhere")], bundle, tmp_path / "out")


def test_an_npz_is_scored_example_by_example(bundle, tmp_path):
    path = tmp_path / "mine.npz"
    x = np.random.default_rng(0).integers(0, 17, (20, 8, 8, 1)).astype(np.uint8)
    np.savez(path, x=x, ids=[f"e{n}" for n in range(20)])
    use.predict_files([str(path)], bundle, tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "mine.csv")
    assert [row["ids"] for row in rows][:2] == ["e0", "e1"]
    score = np.asarray(sigjax.load(bundle).score(x))
    np.testing.assert_allclose([float(r["score"]) for r in rows], score, rtol=1e-4)
    assert (tmp_path / "out" / "mine.png").stat().st_size > 1000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A denoising autoencoder of waves whose network is the identity, and its data."""
    folder = tmp_path_factory.mktemp("waves")
    table = tiny_examples.write_calls(folder)
    config = smoke()
    config.data.source, config.data.path = "clips", str(table)
    config.data.rate_hz, config.data.samples = 8000, 64
    config.data.held_out, config.data.held_out_splits = 0.0, ("test",)
    config.data.batch_size = 4
    config.task.input.scale, config.task.input.offset = 1 / 32768, 0.0
    config.task.noise = dict(kind="snr", snr_db=10.0)
    config.model.input_shape = (64,)
    config.model.encoder = (dict(kind="dense", width=64),)
    config.model.decoder = (dict(kind="dense", width=64),)
    pretrain.pretrain(config, folder / "run")
    export.export_run(folder / "run", folder / "bundle")
    from sigjax.train.checkpoint import load_params, save_params

    params = load_params(folder / "bundle" / "params")
    for half in params.values():
        half["layer0"] = {
            "kernel": np.eye(64, dtype=np.float32),
            "bias": np.zeros(64, np.float32),
        }
    save_params(folder / "bundle" / "params", params)
    return folder


def test_a_wave_comes_out_as_long_as_it_went_in(sounds, tmp_path):
    path = tmp_path / "a.wav"
    wave = np.random.default_rng(0).integers(-9000, 9000, 501).astype(np.int16)
    soundfile.write(path, wave, 8000, subtype="PCM_16")
    report = use.predict_files([str(path)], sounds / "bundle", tmp_path / "out")
    found, rate = soundfile.read(tmp_path / "out" / "a_denoised.wav", dtype="int16")
    assert rate == 8000
    np.testing.assert_allclose(found, wave, atol=1)
    rows = rows_of(tmp_path / "out" / "a.csv")
    assert [row["start_s"] for row in rows[:2]] == ["0.000", "0.004"]
    assert report["used"][0]["denoised"] == "a_denoised.wav"
    codes = np.load(tmp_path / "out" / "a_codes.npz")
    assert codes["codes"].shape == (len(rows), 64)


@pytest.mark.survival  # Takes long.
def test_files_that_cannot_be_read_cost_themselves_alone(sounds, tmp_path):
    out = tmp_path / "out"
    report = use.predict_files([str(sounds)], sounds / "bundle", out)
    assert len(report["used"]) == 5
    assert [row["path"].endswith("broken.wav") for row in report["refused"]] == [True]
    summary = rows_of(out / "summary.csv")
    assert [row["name"] for row in summary] == ["0", "1", "2", "3", "4"]


def test_codes_of_a_table_of_sounds(sounds, tmp_path):
    told = use.extract_codes(sounds / "bundle", str(sounds / "calls.csv"), tmp_path)
    found = np.load(tmp_path / "codes.npz")
    assert found["ids"].tolist() == ["c0", "c1", "c2", "c3", "c4"]
    assert found["group"].tolist() == ["ben"] * 4 + ["anna"]
    assert "1 clips left out" in told


@pytest.mark.survival  # Takes long.
def test_a_gan_is_evaluated_by_its_samples(tmp_path):
    config = smoke(gan)
    pretrain.pretrain(config, tmp_path)
    assert (tmp_path / "eval" / "validation" / "samples.png").exists()
    evaluate.evaluate_run(tmp_path)
    found = metrics_of(tmp_path)
    assert found["modes"] == 8 and 0 <= found["modes_covered"] <= 8


def test_a_spectrogram_of_another_rate_is_refused():
    config = smoke(variant="fsdd")
    config.task.input.mel.rate_hz = 16000
    with pytest.raises(ConfigError, match="mel.rate_hz is 16000, data.rate_hz 8000"):
        build_system(config).make_task()


def test_data_that_the_model_cannot_take_are_told(tmp_path):
    config = smoke()
    config.model.input_shape = (60,)
    config.model.decoder = (dict(kind="dense", width=60),)
    with pytest.raises(ConfigError, match="digits, 8 x 8: an example has shape"):
        build_system(config).open_data(tmp_path)
    config = smoke(variant="fsdd")
    with pytest.raises(ConfigError, match="section 'data': .* needs data.path"):
        build_system(config).open_data(tmp_path)


def test_other_bundles_are_no_autoencoders(monkeypatch, tmp_path):
    monkeypatch.setattr(use.export, "load", lambda path: object())
    with pytest.raises(BundleError, match="is no autoencoder"):
        use.open_bundle(tmp_path)


def test_batches_are_filled_up_and_cut_again():
    x = np.arange(10.0).reshape(5, 2)
    found = over(lambda a, rows: {"y": rows * a}, x, 3.0, batch_size=2)
    np.testing.assert_allclose(found["y"], 3 * x)
