"""The command that lists calls, as a user runs it."""

import json

import numpy as np
import pytest
import soundfile
from absl import flags

from launch import build_calls
from sigjax.data.calls.manifest import read_calls
from sigjax.data.calls.random_split import paper
from sigjax.data.calls.splits import divisions
from sigjax.data.clips import ManifestError
from tests.data.machine_sound.tiny_sounds import write, write_table


def _build(**given):
    values = flags.FlagValues()
    build_calls.define_flags(values)
    values(["build_calls", *(f"--{key}={value}" for key, value in given.items())])
    build_calls.build(values)


@pytest.fixture
def digits(tmp_path):
    """Two digits of three speakers, three takes each."""
    names = [f"{d}_{who}_{n}.wav" for d in (1, 2) for who in "abc" for n in (0, 5, 6)]
    return write(tmp_path / "in", names, samples=1600)


def test_a_folder_as_it_is(digits, tmp_path, capsys):
    _build(input=digits, output=tmp_path / "out/calls.csv")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == str(tmp_path / "out/calls.csv")
    assert "      18 audio files" in printed and "       3 groups" in printed[3]
    assert "      12 train split, 66.7%" in printed
    assert "               9 1 (6 / 3)" in printed
    (warning,) = [line for line in printed if line.startswith("warning")]
    assert "3 groups are in several splits (a in train and test; b in" in warning
    found = read_calls(tmp_path / "out/calls.csv")
    assert found.calls[0].path == "../in/1_a_0.wav" and found.classes == ("1", "2")


@pytest.mark.parametrize("method", ["grouped", "leave_one_group_out"])
def test_divisions_that_leak_nobody(digits, tmp_path, capsys, method):
    output = tmp_path / "calls.jsonl"
    _build(input=digits, output=output, split=method)
    assert "warning" not in capsys.readouterr().out
    found = read_calls(output)
    folds = divisions(found.calls)
    assert len(folds) == (1 if method == "grouped" else 3)
    for fold in folds:
        parts = [
            {found.calls[row].group for row in part}
            for part in (fold.train, fold.validation, fold.test)
        ]
        assert sorted(set().union(*parts)) == ["a", "b", "c"]
        assert sum(len(part) for part in parts) == 3


def test_the_papers_split_leaves_out_what_cannot_be_read_first(digits, tmp_path):
    (digits / "1_a_0.wav").write_text("no sound")
    _build(input=digits, output=tmp_path / "calls.csv", split="paper")
    found = read_calls(tmp_path / "calls.csv").calls
    assert [call.split for call in found] == paper(17)


def test_what_is_wrong_is_told(tmp_path, capsys):
    root = write(tmp_path / "in", ["a/1.wav", "a/2.wav", "b/3.wav"], samples=1600)
    (root / "a/1.wav").write_text("no sound")
    soundfile.write(root / "b/4.wav", np.zeros(1600), 16000)
    noise = np.random.default_rng(0).normal(size=1600)
    broken = np.where(np.arange(1600) == 800, np.nan, 0.1 * noise)
    soundfile.write(root / "b/5.wav", broken, 16000, subtype="FLOAT")
    soundfile.write(root / "b/6.wav", np.clip(9 * noise, -1, 1), 8000)
    _build(input=root, output=tmp_path / "calls.csv", decode=True, split="stratified")
    printed = capsys.readouterr().out
    assert "1 left out: is no audio that can be read: " in printed
    assert "1 left out: 1 samples are no numbers (NaN or infinite)" in printed
    assert "       1 silent; b/4.wav" in printed
    assert "       1 clipped; b/6.wav" in printed
    assert "       1 resampled from 8,000 Hz; b/6.wav" in printed
    assert "trained on and tested on: a" in printed
    assert "classes that are not in 'test': a" in printed
    calls = read_calls(tmp_path / "calls.csv").calls
    assert [call.path[-5:] for call in calls] == ["2.wav", "3.wav", "4.wav", "6.wav"]


def test_a_table_of_ones_own(tmp_path, capsys):
    write(tmp_path / "sound", ["1.wav"], samples=16000)
    rows = ["path,start,end,label", "1.wav,0,0.5,x", "1.wav,0.5,1.5,y", "1.wav,2,3,x"]
    table = write_table(tmp_path / "own.csv", rows)
    _build(manifest=table, input=tmp_path / "sound", output=tmp_path / "calls.jsonl")
    printed = capsys.readouterr().out
    assert "1 left out: begins behind the end of its file; 1.wav@2-3" in printed
    assert "1 end behind the end of their file: read as far" in printed
    lines = (tmp_path / "calls.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "id": "1.wav@0-0.5",
        "path": "sound/1.wav",
        "start": None,
        "end": 0.5,
        "label": "x",
        "split": "",
        "group": "",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input": ""}, "--input or --manifest is needed"),
        ({"output": "calls.txt"}, "must end in .csv or .jsonl"),
        ({"manifest": "x.csv", "layout": "fsdd"}, "contradict each other"),
        ({"task": "caller"}, "--task: only for marmosets"),
        ({"layout": "watkins"}, "no file annotations.csv in it"),
        ({"channel": 1}, "none of 18 calls can be read; .*has no channel 1"),
        ({"channel": "left"}, "neither an index"),
        ({"split": "folds", "folds": 4}, r"3 groups \(a, b, c\) cannot be divided"),
        ({"split": "stratified", "fractions": "1,0,0"}, "three shares"),
    ],
)
def test_what_does_not_fit_is_refused(digits, tmp_path, given, message):
    output = tmp_path / "calls.csv"
    with pytest.raises((ValueError, ManifestError), match=message):
        _build(**{"input": digits, "output": output, **given})
    assert not output.exists()
