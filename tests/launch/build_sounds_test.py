"""The command, as a user runs it."""

import pathlib
import subprocess
import sys

import pytest

from sigjax.data.machine_sound.clips import read_manifest
from sigjax.data.machine_sound.sounds import SoundSet
from tests.data.machine_sound import tiny_sounds


def _run(*others, **flags):
    """Runs the command; returns its exit status, output and errors."""
    command = [sys.executable, "-m", "launch.build_sounds", *others]
    command += [f"--{key}={value}" for key, value in flags.items()]
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_year_of_dcase(tmp_path):
    audio, truth = tiny_sounds.year_2021(tmp_path / "dcase2021", samples=1600)
    (audio / "dev_data/fan/train/section_00_source_train_normal_0099.wav").touch()
    flags = {"input": audio, "truth": truth, "output": tmp_path / "sets"}
    status, printed, errors = _run(**flags, write_manifest=tmp_path / "clips.csv")
    assert status == 0, errors
    lines = printed.splitlines()
    assert lines[0] == str(tmp_path / "sets/machine_sounds/1.0.0")
    assert lines[1] == "      60 clips, 0.00 hours at 16,000 Hz"
    assert (
        "       1 left out: is empty (0 bytes);"
        " dev_data/fan/train/section_00_source_train_normal_0099.wav" in lines
    )
    assert "      16 labels joined" in lines
    rows = [line.split() for line in lines]
    assert ["fan", "00", "train", "7", "0", "0"] in rows
    assert ["pump", "03", "test", "4", "4", "0"] in rows
    assert "reading: 100%" in errors and "dataset_builder" not in errors
    assert len(read_manifest(tmp_path / "clips.csv").clips) == 61
    status, printed, errors = _run(**flags)
    assert status == 0 and "(was built before)" in printed, errors


def test_real_motors_from_files_to_a_table(real_data, tmp_path):
    status, printed, errors = _run(
        input=real_data / "bldc_motor_audio",
        output=tmp_path,
        name="motors",
        machine="motor",
        pattern=r"(?P<condition>\w+)/(?P<section>M\d)/(?P<rpm>\d+)",
        anomaly="propeller,bearing",
        channel="mean",
    )
    assert status == 0, errors
    lines = printed.splitlines()
    assert "      43 clips, 0.12 hours at 16,000 Hz" in lines
    assert "       1 resampled from 44,100 Hz" in lines
    assert "      43 of 2 channels: their mean" in lines
    assert "       2 clipped; dataset/Propeller/M1/1750.wav" in lines
    assert ["motor", "M2", "test", "0", "8", "0"] in [line.split() for line in lines]
    assert len(SoundSet.open(tmp_path)) == 43


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input": "/no/such/folder"}, "/no/such/folder: no such folder"),
        ({"year": "2021", "layout": "folder"}, "--year: only for the layout of DCASE"),
    ],
)
def test_errors_end_the_program_with_a_reason(tmp_path, flags, message):
    tiny_sounds.write(tmp_path / "in", ["normal/a.wav"], samples=1600)
    given = {"input": tmp_path / "in", "output": tmp_path / "sets"}
    status, printed, errors = _run(**given | flags)
    assert status == 1 and not printed
    assert message in errors and "Traceback" not in errors
    assert not list(tmp_path.glob("sets/*/1.0.0"))
