"""Built sets hold what the files hold, or they are not built."""

import json
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from sigjax.data import audio
from sigjax.data.datasets import machine_sound
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.machine_sound import folder, layout
from sigjax.data.machine_sound.sounds import SoundSet
from tests.data.machine_sound import tiny_sounds


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    return tiny_sounds.year_2021(tmp_path_factory.mktemp("year") / "dcase2021")


def build(year, output, **options):
    manifest, report = layout.scan(year[0], truth=year[1])
    return machine_sound.build(manifest, report, output, **options)


@pytest.fixture(scope="module")
def built(year, tmp_path_factory):
    path, new = build(year, tmp_path_factory.mktemp("sets"))
    assert new
    return path


def test_clips_and_waves_are_those_of_the_files(year, built):
    dataset = SoundSet.open(built)
    manifest, _ = layout.scan(year[0], truth=year[1])
    assert sorted(dataset.clips, key=lambda c: c.path) == sorted(
        manifest.clips, key=lambda c: c.path
    )
    assert (dataset.name, dataset.rate_hz, len(dataset)) == (
        "machine_sounds",
        16000,
        60,
    )
    assert dataset.machines == ("fan", "pump") and not dataset.simulated
    for index in (0, 7, 59):
        wave, _ = soundfile.read(year[0] / dataset.clips[index].path, dtype="int16")
        np.testing.assert_array_equal(dataset.read(index), wave)
        assert dataset.samples[index] == len(wave)
    order = [59, 0, 7]
    for index, wave in zip(order, dataset.read_many(order), strict=True):
        np.testing.assert_array_equal(wave, dataset[index])


def test_labels_of_evaluation_clips_are_joined(built):
    dataset = SoundSet.open(built)
    hidden = dataset.select(side="test", split="eval")
    assert len(hidden) == 16
    for index in hidden:
        clip = dataset.clips[index]
        assert clip.label == int(clip.path[-5]) % 2


def test_tfds_reads_a_split_without_us(built):
    builder = tfds.builder_from_directory(built)
    assert "fan_00_train" in builder.info.splits and len(builder.info.splits) == 8
    source = builder.as_data_source(split="pump_03_test")
    record = source[1]
    assert record["wave"].dtype == np.int16 and record["wave"].shape == (1600,)
    assert record["path"].decode().startswith("eval_data/pump/source_test/")
    assert record["label"] == 1 and record["domain"] == b"source"


def test_select(built):
    dataset = SoundSet.open(built)
    assert len(dataset.select()) == 60
    fan = dataset.select(machine="fan", section="00", side="train")
    velocities = [dataset.clips[i].attributes["vel"] for i in fan]
    assert velocities == ["0", "1", "2", "3", "4", "5", "0"]
    assert {dataset.clips[i].machine for i in fan} == {"fan"}
    assert len(dataset.select(("fan", "pump"), domain="target", label=(0, 1))) == 20
    assert len(dataset.select(year=2020)) == 0
    assert dataset.select(label=0).dtype == np.int64


def test_a_set_pickles_and_any_folder_above_opens_it(built):
    dataset = SoundSet.open(built.parent.parent)
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again.read(3), dataset.read(3))
    assert again.fingerprint == dataset.fingerprint


def test_threads_and_place_do_not_change_a_set(year, built, tmp_path):
    other = tmp_path / "elsewhere" / "dcase2021"
    shutil.copytree(year[0], other)
    path, _ = build((other, year[1]), tmp_path / "sets", threads=3)
    assert SoundSet.open(path).fingerprint == SoundSet.open(built).fingerprint
    files = sorted(p.name for p in built.glob("*array_record*"))
    assert files == sorted(p.name for p in path.glob("*array_record*"))
    for name in files:
        assert (path / name).read_bytes() == (built / name).read_bytes()


def test_another_label_is_another_fingerprint(year, built, tmp_path):
    truth = tmp_path / "truth"
    shutil.copytree(year[1], truth)
    table = next(truth.rglob("*fan*source*.csv"))
    table.write_text(table.read_text().replace("0003.wav,1", "0003.wav,0"))
    path, _ = build((year[0], truth), tmp_path / "sets")
    assert SoundSet.open(path).fingerprint != SoundSet.open(built).fingerprint


@pytest.fixture
def mixed(tmp_path):
    """Files of several rates and channels, and bad ones."""
    root = tmp_path / "mixed" / "normal"
    tiny_sounds.write(root, ["a.wav"], samples=16000)
    tiny_sounds.write(root, ["b.wav"], samples=44100, rate_hz=44100, channels=2)
    tiny_sounds.write(root, ["short.wav"], samples=100)
    (root / "cut.wav").write_bytes((root / "a.wav").read_bytes()[:20000])
    (root / "empty.wav").write_bytes(b"")
    (root / "text.wav").write_text("not audio at all")
    wave = np.full(16000, np.nan)
    soundfile.write(root / "nan.wav", wave, 16000, subtype="FLOAT")
    soundfile.write(root / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(root / "loud.wav", np.full(16000, 2.0), 16000, subtype="FLOAT")
    return root.parent


@pytest.mark.parametrize("channel", [0, "mean"])
def test_rates_channels_and_bad_files(mixed, tmp_path, channel):
    manifest, report = folder.folder_manifest(mixed)
    path, _ = machine_sound.build(
        manifest,
        report,
        tmp_path / "sets",
        name="mixed",
        settings=machine_sound.SoundSettings(channel=channel),
        threads=2,
    )
    dataset = SoundSet.open(path)
    assert [c.path for c in dataset.clips] == [
        f"normal/{name}.wav" for name in ("a", "b", "loud", "silent")
    ]
    expected, _ = audio.read(mixed / "normal/b.wav", rate_hz=16000, channel=channel)
    np.testing.assert_array_equal(dataset.read(1), audio.to_int16(expected)[0])
    assert dataset.samples.tolist() == [16000] * 4
    assert dataset.silent.tolist() == [False, False, True, True]
    assert dataset.at_limit.tolist() == [0, 0, 16000, 0]
    left_out = {name: why for name, why in dataset.metadata["left_out"]}
    assert {name.split("/")[1]: why[:14] for name, why in left_out.items()} == {
        "cut.wav": "is cut off: at",
        "empty.wav": "is empty (0 by",
        "nan.wav": "16000 samples ",
        "short.wav": "shorter than 0",
        "text.wav": "is no audio th",
    }
    # Those that could be read, the short one with them.
    assert dataset.metadata["file_rates_hz"] == {"16000": 4, "44100": 1}
    assert dataset.metadata["settings"]["channel"] == channel


def test_sections_that_would_share_a_split_do_not(tmp_path):
    rows = ["path,machine,section,side,year"]
    for number, (machine, year) in enumerate(
        [("A-b", 2021), ("A_b", 2021), ("A_b", 0)]
    ):
        rows.append(f"{number}.wav,{machine},00,train,{year}")
    tiny_sounds.write(tmp_path, ["0.wav", "1.wav", "2.wav"], samples=1600)
    table = tiny_sounds.write_table(tmp_path / "m.csv", rows)
    manifest, report = folder.folder_manifest(tmp_path, table)
    path, _ = machine_sound.build(manifest, report, tmp_path / "sets")
    dataset = SoundSet.open(path)
    assert (
        sorted(dataset.metadata["splits"])
        == [
            *("2021_A_b_00_train", "2021__A_b_00_train", "A_b_00_train"),
        ]
        or len(set(dataset.metadata["splits"])) == 3
    )
    for index, clip in enumerate(dataset.clips):
        wave, _ = soundfile.read(tmp_path / clip.path, dtype="int16")
        np.testing.assert_array_equal(dataset.read(index), wave)


def test_clips_of_a_split_that_lie_apart_are_together(tmp_path):
    names = [f"section_0{n}_{d}_test_000{n}.wav" for d in "st" for n in (0, 1)]
    names = [n.replace("_s_", "_source_").replace("_t_", "_target_") for n in names]
    at = tmp_path / "dcase2021" / "fan"
    tiny_sounds.write(at, [f"{n.split('_')[2]}_test/{n}" for n in names], samples=1600)
    made = layout.scan(at.parent)
    dataset = SoundSet.open(machine_sound.build(*made, tmp_path / "sets")[0])
    assert dataset.metadata["splits"] == ["fan_00_test", "fan_01_test"]
    assert [clip.domain for clip in dataset.clips] == ["source", "target"] * 2
    for index, clip in enumerate(dataset.clips):
        wave, _ = soundfile.read(at.parent / clip.path, dtype="int16")
        np.testing.assert_array_equal(dataset.read(index), wave)


def test_stretches_of_a_long_file_are_clips(tmp_path):
    tiny_sounds.write(tmp_path, ["a.wav"], samples=8000)
    rows = ["path,start_s,end_s", "a.wav,0.1,0.3", "a.wav,0.3,", "a.wav,0.3,0.30001"]
    table = tiny_sounds.write_table(tmp_path / "m.csv", [*rows, "a.wav,0.6,0.7"])
    made = folder.folder_manifest(tmp_path, table)
    dataset = SoundSet.open(machine_sound.build(*made, tmp_path / "sets")[0])
    wave, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    np.testing.assert_array_equal(dataset.read(0), wave[1600:4800])
    np.testing.assert_array_equal(dataset.read(1), wave[4800:])
    reasons = [reason for _, reason in dataset.metadata["left_out"]]
    assert reasons == ["shorter than 0.1 s", "ends at 0.500 s, before 0.6 s"]


def test_simulated_files_make_a_simulated_set(tmp_path):
    root = tiny_sounds.write(tmp_path / "in", ["normal/a.wav"], samples=1600)
    (root / "SIMULATED.txt").write_text("no machine made this")
    made = machine_sound.build(*folder.folder_manifest(root), tmp_path / "sets")
    assert SoundSet.open(made[0]).simulated


def test_a_set_that_is_there_is_kept_or_told(year, tmp_path):
    path, new = build(year, tmp_path)
    before = (path / "metadata.json").stat()
    assert build(year, tmp_path) == (path, False)
    assert (path / "metadata.json").stat() == before
    settings = machine_sound.SoundSettings(rate_hz=8000)
    with pytest.raises(DatasetError, match=r"rate_hz=16000, not 8000"):
        build(year, tmp_path, settings=settings)
    with pytest.raises(DatasetError, match="from other clips, 60 of them"):
        machine_sound.build(*layout.scan(year[0] / "dev_data"), tmp_path)
    _, new = build(year, tmp_path, settings=settings, overwrite=True)
    assert new and SoundSet.open(path).rate_hz == 8000


def test_a_build_that_was_killed_leaves_nothing_and_runs_again(year, tmp_path):
    code = f"""
import os, signal
from sigjax.data.datasets import machine_sound
from sigjax.data.machine_sound import layout
def bar(clips):
    for number, clip in enumerate(clips):
        if number == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        yield clip
made = layout.scan({str(year[0])!r}, truth={str(year[1])!r})
machine_sound.build(*made, {str(tmp_path)!r}, progress=bar)
"""
    root = pathlib.Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(DatasetError, match="no finished set here"):
        SoundSet.open(tmp_path)
    path, new = build(year, tmp_path)
    assert new and len(SoundSet.open(path)) == 60
    assert [p.name for p in path.parent.iterdir() if p.is_dir()] == ["1.0.0"]


def test_errors_say_what_and_where(year, built, tmp_path):
    tiny_sounds.write(tmp_path / "in", ["a.wav"], samples=10)
    with pytest.raises(DatasetError, match=r"no clip is usable .*\n.*shorter than 0.1"):
        machine_sound.build(*folder.folder_manifest(tmp_path / "in"), tmp_path / "s")
    assert not list((tmp_path / "s").rglob("*.json"))
    with pytest.raises(ValueError, match="'Fans 2' must be small letters"):
        build(year, tmp_path, name="Fans 2")
    with pytest.raises(DatasetError, match="no finished set"):
        SoundSet.open(tmp_path / "nothing")
    shutil.copytree(built, tmp_path / "two" / "a")
    shutil.copytree(built, tmp_path / "two" / "b")
    with pytest.raises(DatasetError, match="holds several sets"):
        SoundSet.open(tmp_path / "two")
    other = json.loads((built / "metadata.json").read_text()) | {"format": 99}
    (tmp_path / "two" / "a" / "metadata.json").write_text(json.dumps(other))
    with pytest.raises(DatasetError, match="not a set of machine sounds"):
        SoundSet.open(tmp_path / "two" / "a")
    record = next((tmp_path / "two" / "b").glob("*fan_00_train*"))
    record.write_bytes(bytes(record.stat().st_size))
    damaged = SoundSet.open(tmp_path / "two" / "b")
    (first, *_) = damaged.select(machine="fan", section="00", side="train")
    with pytest.raises(DatasetError, match="cannot read clips"):
        damaged.read(first)


def test_real_files_of_two_rates_and_formats(real_data, tmp_path):
    root = tmp_path / "in"
    for name, path in (
        ("healthy/M1/1400.wav", "bldc_motor_audio/dataset/Healthy/M1/1400.wav"),
        ("healthy/M1/1450.wav", "bldc_motor_audio/dataset/Healthy/M1/1450.wav"),
        ("fault/dog.ogg", "esc10/001 - Dog bark/1-100032-A.ogg"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(real_data / path)
    path, _ = machine_sound.build(*folder.folder_manifest(root), tmp_path / "sets")
    dataset = SoundSet.open(path)
    assert dataset.metadata["file_rates_hz"] == {"44100": 2, "16000": 1}
    assert dataset.metadata["file_channels"] == {"2": 2, "1": 1}
    seconds = {clip.path: dataset.seconds(i) for i, clip in enumerate(dataset.clips)}
    assert 10 < seconds["healthy/M1/1400.wav"] < 10.6
    assert 4.9 < seconds["fault/dog.ogg"] < 5.1
