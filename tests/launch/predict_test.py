"""Device files in, labels out; the command as a user runs it."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pyarrow.parquet
import pytest
from absl import app

import sigjax
from launch import predict
from launch.wrist import prediction
from launch.wrist.prediction import open_bundle, predict_files, table
from sigjax import export
from sigjax.data import synthetic
from sigjax.data.formats import ReadOptions
from sigjax.data.recording import FormatError
from sigjax.data.synthetic import Span, cwa, wrist
from sigjax.data.wearable import jobs
from sigjax.inference.base import BundleError
from sigjax.models.mae import Mae
from tests.inference import tiny

HOUR = 3600.0
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A folder with two recordings, and what lies beside recordings."""
    folder = tmp_path_factory.mktemp("raw")
    # An hour of sitting, two hours on a table, 10 minutes of loss, and a walk.
    spans = (
        Span(activity="sit", start_s=0.0, end_s=HOUR),
        Span(activity="nonwear", start_s=HOUR, end_s=3 * HOUR),
        Span(activity="walk", start_s=3 * HOUR, end_s=4 * HOUR),
    )
    simulation = wrist.WristSimulation(
        seed=3, days=4 / 24, schedule=spans, rate_hz=100.0
    )
    per_block = 120
    cwa.write_cwa(
        folder / "long.cwa",
        simulation.chunks(),
        cwa.CwaDevice(start=simulation.start, rate_hz=100.0),
        interruptions=[
            cwa.Interruption(block=int(3.5 * HOUR * 100 / per_block), lost_s=600.0)
        ],
    )
    synthetic.simulate_recordings(folder / "more", people=1, days=0.02, seed=1)
    (folder / "bad.cwa").write_bytes(b"no recording at all")
    (folder / "notes.csv").write_text("hello,world\n1,2\n")
    return folder


@pytest.fixture(scope="module")
def first(raw, bundle, tmp_path_factory):
    """Report and results of a first run over the folder."""
    output = tmp_path_factory.mktemp("predictions")
    return predict_files([str(raw)], bundle, output), output


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_report_accounts_for_every_file(first, raw):
    report, output = first
    assert report["found"] == 3 and report["used"] == 2 and report["not_done"] == 0
    ((failed, why),) = report["failed"]
    assert failed == str(raw / "bad.cwa") and "no recording" not in why
    ((unsupported, _),) = report["unsupported"]
    assert unsupported.endswith("notes.csv")
    saved = json.loads((output / "report.json").read_text())
    assert saved["found"] == saved["used"] + len(saved["failed"])
    # Four hours hold too few postures: used all the same, and said.
    assert len(report["not_calibrated"]) == 2
    text = table(report)
    assert "long: sleep" in text and f"failed: {raw / 'bad.cwa'}: " in text


def test_rows_cover_the_recording_and_nonwear_has_no_label(first):
    _, output = first
    rows = rows_of(output / "long.csv")
    start = np.array([float(row["epoch_s"]) for row in rows])
    length = np.array([float(row["duration_s"]) for row in rows])
    np.testing.assert_allclose(start[1:], start[:-1] + length[:-1], atol=2e-3)
    assert length.sum() == pytest.approx(4 * HOUR, abs=6)
    assert rows[0]["time"].startswith("2024-01-08T10:00:0")
    wear = np.array([row["wear"] for row in rows])
    hours = {kind: length[wear == kind].sum() / HOUR for kind in set(wear)}
    assert hours["non-wear"] == pytest.approx(2, abs=0.05)
    assert hours["no data"] == pytest.approx(1 / 6, abs=0.01)
    for row in rows:
        p = [row[f"p_{label}"] for label in tiny.LABELS]
        if row["wear"] == "wear":
            assert float(row["confidence"]) == max(map(float, p))
            assert row["label"] == tiny.LABELS[int(np.argmax([float(v) for v in p]))]
            assert sum(map(float, p)) == pytest.approx(1, abs=2e-4)
        else:
            assert {row["label"], row["confidence"], *p} == {""}


def test_rows_are_what_the_model_says_of_the_signal(first, raw, bundle):
    _, output = first
    model = sigjax.load(bundle)
    assert isinstance(model, export.ClassifierModel)
    prepared = model.prepare(raw / "long.cwa")
    assert prepared.quality["calibration"]["ok"] is False
    expected = np.concatenate(
        [model.classify(s.acceleration) for s in prepared.segments]
    )
    found = [
        [float(row[f"p_{label}"]) for label in tiny.LABELS]
        for row in rows_of(output / "long.csv")
        if row["wear"] == "wear"
    ]
    np.testing.assert_allclose(found, expected, atol=6e-5)


def test_hours_by_day_are_those_of_the_rows(first):
    _, output = first
    days = rows_of(output / "summary.csv")
    assert [day["recording"] for day in days] == ["long", "more_P001"]
    assert days[0]["calibrated"] == "no" and days[0]["day"] == "2024-01-08"
    for day in days:
        rows = rows_of(output / f"{day['recording']}.csv")
        for label in tiny.LABELS:
            hours = sum(float(r["duration_s"]) for r in rows if r["label"] == label)
            assert float(day[f"hours_{label}"]) == pytest.approx(hours / HOUR, abs=1e-3)
        parts = ("wear_h", "non_wear_h", "no_data_h")
        assert float(day["span_h"]) == pytest.approx(
            sum(float(day[key]) for key in parts), abs=1e-3
        )


def test_each_recording_has_a_picture_and_says_where_it_is_from(first, raw):
    _, output = first
    assert (output / "long.png").read_bytes().startswith(b"\x89PNG")
    about = json.loads((output / "long.json").read_text())
    assert about["source"] == str(raw / "long.cwa")
    assert about["device"] == "AX3" and about["clock"] == "device-local"
    assert about["calibration"]["reason"]
    assert about["files"] == ["long.csv", "long.png"]
    assert not list(output.glob("*.partial"))


def test_a_second_run_does_only_what_is_new(first, raw, bundle, tmp_path):
    _, output = first
    shutil.copytree(output, tmp_path / "out")
    output = tmp_path / "out"
    before = (output / "long.csv").stat().st_mtime_ns
    report = predict_files([str(raw)], bundle, output)
    assert report["used_before"] == 2 and report["used"] == 2
    assert (output / "long.csv").stat().st_mtime_ns == before
    # Half-done: a result that has no NAME.json, or lost a file, is made again.
    (output / "more_P001.json").unlink()
    (output / "long.png").unlink()
    report = predict_files([str(raw)], bundle, output)
    assert report["used_before"] == 0 and report["used"] == 2
    assert (output / "long.png").exists()
    one = [str(raw / "more" / "P001.cwa")]
    assert predict_files(one, bundle, output)["used_before"] == 1
    again = predict_files(one, bundle, output, overwrite=True)
    assert again["used_before"] == 0 and again["used"] == 1
    # All that is there with these settings, whoever asked for it.
    assert {r["recording"] for r in rows_of(output / "summary.csv")} == {
        "long",
        "more_P001",
    }


def test_other_settings_and_another_bundle_predict_again(first, raw, tmp_path):
    _, output = first
    shutil.copytree(output, tmp_path / "out")
    other = tiny.write_bundle(tmp_path / "other", labels=("a", "b", "c"))
    one = [str(raw / "more" / "P001.cwa")]
    settings = prediction.Settings(format="parquet", overlap=0.5)
    report = predict_files(one, other, tmp_path / "out", settings)
    assert report["used_before"] == 0 and report["other_recordings"] == 1
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "more_P001.parquet")
    assert "p_a" in rows.column_names
    assert not (tmp_path / "out" / "more_P001.csv").exists()
    assert [r["recording"] for r in rows_of(tmp_path / "out" / "summary.csv")] == [
        "more_P001"
    ]
    assert "1 recordings there are of another bundle" in table(report)


def test_results_that_lie_among_the_files_are_not_taken_for_some(bundle, tmp_path):
    synthetic.simulate_recordings(tmp_path, people=1, days=0.003, seed=1)
    (tmp_path / "P001.cwa").rename(tmp_path / "Summary.cwa")
    for _ in range(2):
        report = predict_files([str(tmp_path)], bundle, tmp_path / "out")
        assert report["found"] == report["used"] == 1 and not report["unsupported"]
    (record,) = report["records"]
    # summary.csv is taken.
    assert record["name"].startswith("Summary-") and report["used_before"] == 1


def test_a_named_file_that_is_none_is_a_failure(bundle, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear")
    report = predict_files([str(tmp_path / "letter.txt")], bundle, tmp_path / "out")
    assert (report["found"], report["used"]) == (1, 0)
    assert "files of type .txt are not supported" in report["failed"][0][1]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        predict_files([str(tmp_path / "nowhere.cwa")], bundle, tmp_path / "out")


def test_nonwear_is_found_and_files_calibrated_though_training_did_not(
    raw, bundle, tmp_path
):
    plain = {**tiny.PREPROCESSING, "calibration": "none", "nonwear_min": None}
    model = open_bundle(tiny.edited(bundle, tmp_path / "bundle", preprocessing=plain))
    quality = model.prepare(raw / "long.cwa").quality
    assert quality["calibration"]["method"] == "van_hees"
    assert quality["hours"]["nonwear"] == pytest.approx(2, abs=0.05)
    quality = model.prepare(raw / "long.cwa", calibration="none").quality
    assert quality["calibration"]["method"] == "none"


def test_a_time_zone_of_the_command_stands_beside_the_bundles_columns(
    raw, bundle, tmp_path
):
    settings = prediction.Settings(options=ReadOptions(tz="Europe/London"))
    one = [str(raw / "more" / "P001.cwa")]
    (record,) = predict_files(one, bundle, tmp_path, settings)["records"]
    assert record["utc_offset_s"] == 0.0  # in January


def test_a_recording_without_samples_is_refused(bundle):
    class Empty:
        def prepare(self, *_, **__):
            return type("P", (), {"segments": (), "quality": {
                "nonwear": [], "hours": {}, "status": "dropped: no usable samples",
            }})  # fmt: skip

    job = jobs.Job("x.cwa", "x", 0, 0)
    with pytest.raises(FormatError, match="^no usable samples$"):
        prediction.predict(Empty(), job, prediction.Settings())  # type: ignore[arg-type]


def test_a_bundle_without_classes_says_what_to_do(tmp_path):
    config = tiny.mae_config()
    params = tiny.random_variables(Mae(config), jnp.zeros((1, 2, 450)))["params"]
    export.save(
        tmp_path,
        model="mae",
        params=params,
        model_config=config,
        signal=tiny.signal(label_s=None),
        preprocessing=tiny.PREPROCESSING,
        source_run={},
    )
    with pytest.raises(BundleError, match="launch.finetune .*encoder.weights="):
        open_bundle(tmp_path)


def _run(*arguments, **flags):
    command = [sys.executable, "-m", "launch.predict", *map(str, arguments)]
    command += [f"--{key}={value}" for key, value in flags.items()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_command(raw, bundle, tmp_path):
    status, printed, errors = _run(
        raw / "more", raw / "bad.cwa", bundle=bundle, output=tmp_path, overlap=0.5
    )
    assert status == 0 and "2/2 files" in errors, errors
    assert "  failed                               1" in printed
    assert printed.endswith(f"results: {tmp_path}/summary.csv\n")
    assert (tmp_path / "more_P001.csv").exists()
    status, _, errors = _run(raw / "bad.cwa", bundle=bundle, output=tmp_path / "none")
    assert status == 1 and errors.endswith("error: no recording could be predicted\n")


def test_no_file_is_a_wrong_use():
    with pytest.raises(app.UsageError, match="name at least one file"):
        predict.main(["predict"])
