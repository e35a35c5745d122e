"""The command, as a user runs it."""

import pathlib
import subprocess
import sys

import pytest

from sigjax.data import labelled, pipeline, windows
from tests.data import tiny_sets


def _run(**flags):
    """Runs the command; returns its exit status, output and errors."""
    command = [sys.executable, "-m", "launch.build_dataset"]
    command += [f"--{key}={value}" for key, value in flags.items()]
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture24")
    tiny_sets.write_capture24(folder, 2, 3.0)
    tiny_sets.write_person(folder / "P101.csv.gz", 101, 1.0)
    return folder


def test_capture24_from_the_command_line(raw, tmp_path):
    flags = {"dataset": "capture24", "input": raw, "output": tmp_path}
    flags |= {"min_wear_h": 0.04, "record_s": 60, "workers": 1}
    status, printed, errors = _run(**flags)
    assert status == 0, errors
    lines = printed.splitlines()
    assert lines[0] == str(tmp_path / "capture24" / "1.0.0")
    assert "files found                                3" in lines
    assert "  used                                     2" in lines
    assert "hours too short                         0.02" in lines
    assert "     1 dropped: no 0.04 h of contiguous wear" in printed
    assert "standard, train: 2 of 100 people; absent: P003, P004" in printed
    assert "standard, test: 0 of 51 people; absent: P101" in printed
    assert "Willetts2018: windows of 10 s, hours, people" in printed
    assert (
        "windows by person: bicycling, mixed, sit-stand, sleep, walking, (" in printed
    )
    (row,) = [line.split() for line in lines if line.startswith("  P001 ")]
    assert sum(map(int, row[1:])) == 18  # Three minutes in windows of 10 s.
    assert "preparing: 100%" in errors and "dataset_builder" not in errors
    status, printed, errors = _run(**flags, scheme="Walmsley2020")
    assert status == 0 and "(was built before)" in printed, errors
    assert "Walmsley2020: windows of 10 s" in printed
    status, _, errors = _run(**flags | {"record_s": 30})
    assert status == 1 and "record_s=60.0, not 30.0" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input": "/no/such/folder"}, "/no/such/folder"),
        ({"record_s": 15}, "record_s=15 is not a multiple of label_s=10"),
    ],
)
def test_errors_end_the_program_with_a_reason(raw, tmp_path, flags, message):
    given = {"dataset": "capture24", "input": raw, "output": tmp_path, "workers": 1}
    status, printed, errors = _run(**given | flags)
    assert status == 1 and not printed
    assert message in errors and "Traceback" not in errors
    assert not list(tmp_path.glob("*/1.0.0"))


def test_the_real_watch_recordings_from_files_to_batches(real_data, tmp_path):
    status, printed, errors = _run(
        dataset="labelled_csv",
        input=real_data / "sp_sw_har_watch" / "DATA",
        output=tmp_path,
        csv="x=x_acc,y=y_acc,z=z_acc,unit=m/s2,time=timestamp,time_unit=ms,label=label",
        person_regex=r"(?P<person>s\d+)_",
        record_s=1,
        label_s=1,
        workers=1,
    )
    assert status == 0, errors
    assert "files found                               92" in printed
    assert "people                                    23" in printed
    assert "2 not supported" in printed and "executions_info.csv" in printed
    dataset = labelled.LabelledSet.open(tmp_path)
    config = windows.WindowConfig(scheme="annotation", window_s=5, stride_s=1)
    people = {side: dataset.side("sp_sw_har_80_20", side) for side in ("train", "test")}
    assert {side: len(names) for side, names in people.items()} == {
        "train": 18,
        "test": 5,
    }
    source = windows.LabelledWindows(dataset, people["train"], config)
    batch = next(pipeline.train_batches(source, batch_size=16, seed=0))
    assert batch["counts"].shape == (16, 150, 3) and batch["label"].shape == (16, 5)
    gravity = (batch["counts"] * batch["scale"][:, None, None]) ** 2
    assert 0.8 < gravity.sum(axis=2).mean() ** 0.5 < 1.2
