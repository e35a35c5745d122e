"""The commands that build and simulate sets of audio events, as a user runs them."""

import pathlib
import subprocess
import sys

import pytest
from absl import flags

from launch import build_events
from sigjax.data.audio_events.clips import ManifestError, read_manifest
from sigjax.data.audio_events.sounds import EventSet
from tests.data.audio_events import tiny_events
from tests.data.machine_sound.tiny_sounds import write, write_table


def _build(**given):
    values = flags.FlagValues()
    build_events.define_flags(values)
    values(["build_events", *(f"--{key}={value}" for key, value in given.items())])
    build_events.build(values)


def test_audioset_from_files_to_a_table(tmp_path, capsys):
    root = tiny_events.audioset(tmp_path / "in")
    given = {"input": root, "output": tmp_path / "sets"}
    _build(**given, write_manifest=tmp_path / "clips.csv")
    printed, bar = capsys.readouterr()
    lines = printed.splitlines()
    assert lines[0] == str(tmp_path / "sets/audioset/1.0.0")
    assert lines[1] == "       3 clips, 0.00 hours at 16,000 Hz"
    assert "       1 left out: no audio file of this name; --ZhevVpy1s" in lines
    assert "       2 labels that are not in the table of classes" in lines
    assert any(line.startswith("warning: 1 of 2 clips of the split") for line in lines)
    assert "       1 balanced" in lines and "       2 eval" in lines
    assert "       5 classes of 'target'" in lines
    assert "               1 Gush" in lines and "reading: 100%" in bar
    assert len(EventSet.open(tmp_path / "sets")) == 3
    # The manifest that was written says the same.
    manifest = read_manifest(tmp_path / "clips.csv")
    assert [c.labels for c in manifest.clips][0] == ("Speech", "Gush")
    assert len(manifest.classes["target"]) == 5
    _build(**given)
    assert "(was built before)" in capsys.readouterr().out


def test_a_table_of_ones_own(tmp_path, capsys):
    write(tmp_path / "in", ["a/1.wav", "2.wav"], samples=800)
    table = write_table(
        tmp_path / "own.csv",
        ["path,labels,fold", "a/1.wav,dog,1", "2.wav,cat,2", "3.wav,cat,2"],
    )
    _build(input=tmp_path / "in", manifest=table, output=tmp_path / "sets", name="own")
    lines = capsys.readouterr().out.splitlines()
    assert "       1 train, fold 1" in lines and "               1 dog" in lines
    assert "       1 left out: no such audio file below the folder; 3.wav" in lines


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"esc10": "true"}, "--esc10: only for esc50, and .* is audioset"),
        ({"manifest": "x.csv", "layout": "esc50"}, "contradict each other"),
        ({"layout": "esc50"}, "no file esc50.csv in it"),
        ({"channel": "left"}, "neither an index"),
        ({"name": "Audio Set"}, "small letters"),
    ],
)
def test_what_does_not_fit_is_refused(given, message, tmp_path):
    root = tiny_events.audioset(tmp_path / "in")
    with pytest.raises((ValueError, ManifestError), match=message):
        _build(input=root, output=tmp_path / "sets", **given)
    assert not list(tmp_path.glob("sets/*/1.0.0"))


def test_simulated_events_as_a_user_builds_them(tmp_path):
    """Both commands in their own processes, and an error in one line."""
    root = pathlib.Path(__file__).resolve().parents[2]
    code = "from absl import app; from launch import simulate_events as c; "
    code += "c.define_flags(); app.run(c.main)"
    options = [
        "--clips=2",
        "--classes=2",
        "--clip_s=0.4",
        f"--output={tmp_path / 'in'}",
    ]
    command = [sys.executable, "-c", code, *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == f"{tmp_path / 'in'}: simulated; see SIMULATED.txt and events.csv\n"
    )
    command = [sys.executable, "-m", "launch.build_events"]
    command += [f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'sets'}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 clips, 0.00 hours at 16,000 Hz, SIMULATED" in done.stdout
    command[-2] = f"--input={tmp_path / 'none'}"
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == f"error: {tmp_path / 'none'}: no such folder\n"
