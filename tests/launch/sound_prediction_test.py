"""Sounds of a machine in, anomalies out: files, folders, what is wrong with them."""

import csv
import functools
import json
import shutil

import numpy as np
import pyarrow.parquet
import pytest
import soundfile

from launch import predict
from launch.sounds import settings as sound_settings
from launch.sounds.prediction import predict_files, table
from launch.sounds.settings import Settings
from sigjax.inference.base import BundleError
from tests.inference import tiny_sounds

RATE_HZ, CLIP_S = tiny_sounds.RATE_HZ, tiny_sounds.CLIP_S


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "one"
    tiny_sounds.detector().save(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """A detector compiles what it runs: one for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(sound_settings.open_detector)
        patch.setattr(sound_settings, "open_detector", once)
        yield


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A folder of recordings, good ones and others."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "hall").mkdir()
    good = tiny_sounds.hum(4.3, seed=7, hz=300.0)
    soundfile.write(folder / "hall" / "good.wav", good, RATE_HZ)
    stereo = np.stack([tiny_sounds.hum(2, hz=300.0, rate_hz=44_100)] * 2, axis=1)
    stereo[44_100 : 44_100 + 5, 0] = np.nan  # In the third of four windows.
    soundfile.write(folder / "nan.wav", stereo, 44_100, subtype="FLOAT")
    parts = good.copy()
    parts[RATE_HZ : 2 * RATE_HZ] = 0  # Two windows.
    parts[2 * RATE_HZ : 3 * RATE_HZ] *= 10
    soundfile.write(folder / "parts.flac", np.clip(parts, -1, 1), RATE_HZ)
    soundfile.write(folder / "short.wav", good[:1000], RATE_HZ)
    soundfile.write(folder / "low.wav", good[::2], RATE_HZ // 2)
    (folder / "empty.wav").write_bytes(b"")
    whole = (folder / "hall" / "good.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "no.wav").write_text("Dear")
    (folder / "song.mp3").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.wav").write_text("x")
    return folder


@pytest.fixture(scope="module")
def first(raw, bundle, tmp_path_factory):
    output = tmp_path_factory.mktemp("predictions")
    return predict_files([str(raw)], bundle, output), output


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_file_is_accounted_for_and_damage_costs_its_file_alone(first, raw):
    report, output = first
    assert (report["found"], report["used"], report["not_done"]) == (8, 5, 0)
    failed = {path.rsplit("/", 1)[1]: why for path, why in report["failed"]}
    assert failed["empty.wav"] == "is empty (0 bytes)"
    assert "is cut off" in failed["cut.wav"]
    assert "no audio that can be read" in failed["no.wav"]
    ((song, _),) = report["unsupported"]
    assert song == str(raw / "song.mp3")
    saved = json.loads((output / "report.json").read_text())
    assert saved["found"] == saved["used"] + len(saved["failed"])


def test_rows_are_what_the_detector_says_of_the_windows(first, raw, bundle):
    _, output = first
    rows = rows_of(output / "hall_good.csv")
    # 4.3 s: eight windows, and a last one that reaches back.
    assert [float(row["start_s"]) for row in rows] == [*np.arange(0, 4, 0.5), 3.8]
    wave, _ = soundfile.read(raw / "hall" / "good.wav", dtype="float32")
    waves = [
        wave[round(float(r["start_s"]) * RATE_HZ) :][: tiny_sounds.SAMPLES]
        for r in rows
    ]
    detector = sound_settings.open_detector(bundle)
    expected = detector.score(waves)
    found = np.array([float(row["score"]) for row in rows])
    np.testing.assert_allclose(found, expected.score, rtol=1e-5, atol=1e-6)
    assert [int(row["decision"]) for row in rows] == expected.decision.tolist()
    assert {row["nearest"] for row in rows} == {"pump/00"}
    near = detector.nearest(waves)
    assert [int(row["open_set"]) for row in rows] == near.open_set.tolist()
    np.testing.assert_allclose(float(rows[0]["threshold"]), expected.threshold[0], 1e-5)
    over = [row["alarm"] for row in rows if row["decision"] == "1"]
    assert over == ["1"] * len(over)


def test_a_window_with_samples_that_are_no_numbers_is_marked_and_counted(first):
    report, output = first
    rows = rows_of(output / "nan.csv")
    assert [row["remark"].split(":")[0] for row in rows] == ["", "", "damaged", ""]
    assert rows[2]["score"] == rows[2]["decision"] == rows[2]["nearest"] == ""
    (record,) = (r for r in report["records"] if r["name"] == "nan")
    assert (record["windows"], record["scored"], record["not_scored"]) == (4, 3, 1)
    assert record["remarks"] == {"damaged": 1}
    assert "2 channels: channel 0 is taken" in record["doubts"]
    assert record["rate_hz"] == 44_100


def test_silence_clipping_short_clips_and_low_rates_are_named(first):
    report, output = first
    records = {record["name"]: record for record in report["records"]}
    assert records["parts"]["remarks"] == {"silent": 2, "clipped": 2}
    kinds = [row["remark"].split(":")[0] for row in rows_of(output / "parts.csv")]
    assert kinds == ["", "", "silent", "silent", "clipped", "clipped", "", "", ""]
    assert records["short"]["remarks"] == {"short": 1}
    assert records["short"]["windows"] == 1
    ((doubt),) = records["low"]["doubts"]
    assert doubt.startswith("recorded at 4,000 Hz: nothing above 2,000 Hz is in it")
    text = table(report)
    assert "  2 windows: silent" in text and f"1 recordings: {doubt}" in text


def test_each_recording_has_a_picture_and_a_record(first):
    report, output = first
    for record in report["records"]:
        name = record["name"]
        assert record["files"] == [f"{name}.csv", f"{name}.png"]
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    good = json.loads((output / "hall_good.json").read_text())
    assert (good["machine"], good["section"]) == ("pump", "00")
    assert good["drift"]["limits"].startswith("not watched: 12 scores are too few")
    assert "conformal threshold" in good["promise"]
    highest = max(float(row["score"]) for row in rows_of(output / "hall_good.csv"))
    assert good["highest"]["score"] == highest


def test_the_summary_is_that_of_the_rows(first):
    _, output = first
    summary = {row["recording"]: row for row in rows_of(output / "summary.csv")}
    assert list(summary) == ["hall_good", "low", "nan", "parts", "short"]
    for name, about in summary.items():
        rows = rows_of(output / f"{name}.csv")
        decisions = [row["decision"] for row in rows]
        assert int(about["anomalous"]) == decisions.count("1")
        assert int(about["not_scored"]) == decisions.count("")
        alarm = [0] + [int(row["alarm"]) for row in rows]
        assert int(about["alarms"]) == (np.diff(alarm) == 1).sum()
    assert summary["parts"]["remarks"] == "silent (2); clipped (2)"


def test_a_second_run_does_only_what_is_new_and_other_settings_all(
    first, raw, bundle, tmp_path
):
    _, output = first
    shutil.copytree(output, tmp_path / "out")
    output = tmp_path / "out"
    one = [str(raw / "short.wav"), str(raw / "hall")]
    report = predict_files(one, bundle, output)
    assert report["used_before"] == report["used"] == 2
    (output / "short.png").unlink()
    assert predict_files(one, bundle, output)["used_before"] == 1
    asked = Settings(format="parquet", hop_s=0.25, nearest=False, map=False)
    asked = Settings(**{**vars(asked), "start_time": "2026-03-01T06:00:00"})
    good = [str(raw / "hall" / "good.wav")]
    report = predict_files(good, bundle, output, asked)
    assert report["used_before"] == 0 and report["other_recordings"] == 4
    rows = pyarrow.parquet.read_table(output / "hall_good.parquet").to_pylist()
    assert not (output / "hall_good.csv").exists()
    assert len(rows) == 17 and "nearest" not in rows[0]
    assert rows[1]["time"] == "2026-03-01T06:00:00.250"
    assert "4 recordings there are of another bundle" in table(report)


def test_a_recording_of_silence_is_read_and_has_no_scores(bundle, tmp_path):
    soundfile.write(tmp_path / "zero.wav", np.zeros(2 * RATE_HZ), RATE_HZ)
    report = predict_files([str(tmp_path / "zero.wav")], bundle, tmp_path / "out")
    (record,) = report["records"]
    assert (record["scored"], record["not_scored"]) == (0, 4)
    assert record["highest"] is None and record["band"] is None
    assert "0 of 0 windows" in table(report)
    (row,) = rows_of(tmp_path / "out" / "summary.csv")
    assert row["highest_score"] == "" and row["remarks"] == "silent (4)"


def test_a_section_that_is_not_known_is_scored_as_the_nearest_and_said(
    raw, bundle, tmp_path
):
    asked = Settings(section="07", map=False)
    short = [str(raw / "short.wav")]
    report = predict_files(short, bundle, tmp_path, asked)
    (row,) = rows_of(tmp_path / "short.csv")
    assert "section 07 is unknown: scored as the nearest, 00" in row["remark"]
    assert row["decision"] in "01" and float(row["threshold"]) > 0
    assert "by the threshold of the section" in table(report)
    assert "drift: not watched" in table(report)


def test_false_alarms_a_day_move_the_threshold(raw, bundle, tmp_path):
    good = [str(raw / "hall" / "good.wav")]
    few = Settings(false_alarms_per_day=20_000.0, map=False)
    (record,) = predict_files(good, bundle, tmp_path, few)["records"]
    before = sound_settings.open_detector(bundle).thresholds["pump", "00"].value
    assert record["threshold"]["value"] > before
    assert "false alarms a day" in record["promise"]


def test_a_start_time_is_of_one_recording(raw, bundle, tmp_path):
    asked = Settings(start_time="2026-03-01T06:00:00")
    with pytest.raises(ValueError, match="is of one recording, there are 8"):
        predict_files([str(raw)], bundle, tmp_path, asked)
    with pytest.raises(ValueError, match="--start_time=noon is no time such as"):
        sound_settings.started("noon")


def test_a_channel_that_is_not_there_is_the_files_failure(raw, bundle, tmp_path):
    asked = Settings(channel=1)
    one = [str(raw / "short.wav")]
    ((_, why),) = predict_files(one, bundle, tmp_path, asked)["failed"]
    assert why.startswith("there is no channel 1: there are 1")


def test_a_machine_that_nobody_knows_is_told_what_it_sounds_like(raw, bundle, tmp_path):
    asked = Settings(machine="mill")
    paths = [str(raw / "empty.wav"), str(raw / "hall" / "good.wav")]
    with pytest.raises(BundleError) as caught:
        predict_files(paths, bundle, tmp_path / "out", asked)
    message = str(caught.value)
    assert message.startswith("the bundle knows pump: 'mill' is none of them\n")
    assert "hall/good.wav: nearest is pump/00 (distance " in message
    assert "empty.wav" not in message
    assert "launch.fit_sounds --input=NORMAL --machine=mill" in message
    assert f"--bundle={bundle}" in message and not (tmp_path / "out").exists()


def test_inputs_that_do_not_exist_and_bundles_that_are_none(bundle, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.wav: no such file"):
        predict_files([str(tmp_path / "nowhere.wav")], bundle, tmp_path / "out")
    with pytest.raises(BundleError, match="is no bundle"):
        predict_files([str(tmp_path)], tmp_path, tmp_path / "out")


def test_standard_input_goes_without_files():
    with pytest.raises(predict.app.UsageError, match="goes without files"):
        predict.main(["predict", "-", "a.wav"])
