"""The command, as a user runs it."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from launch import report as launch_report
from sigjax.data import recording as rec
from sigjax.data import store as stores
from sigjax.data import store_layout
from sigjax.data.wearable import report


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store")
    writer = stores.StoreWriter(path, rate_hz=10.0, description={})
    g = np.full((72_000, 3), 0.6, np.float32)
    for name in ("P001", "P002", "wrist-17"):
        writer.write(
            rec.PreparedRecording(
                name=name,
                person=name,
                source=f"raw/{name}.cwa",
                device="AX3",
                device_id="17",
                rate_hz=10.0,
                segments=(rec.WearSegment(start=1.7e9, acceleration=g),),
                quality={"status": "used"},
            )
        )
    writer.finish()
    failure = {"name": "P003", "source": "raw/P003.cwa", "status": "unreadable"}
    text = json.dumps({**failure, "reason": "the file is empty"}).encode()
    store_layout.Files(path).write("failures/P003.json", text)
    return path


def _run(**flags):
    command = [sys.executable, "-m", "launch.report"]
    command += [f"--{key}={value}" for key, value in flags.items()]
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_writes_the_report_with_the_recordings_asked_for(store, tmp_path):
    status, printed, errors = _run(
        store=store, recordings="P002,wrist-17", output=tmp_path
    )
    assert status == 0, errors
    assert "1  unreadable: the file is empty" in printed
    assert f"report: {tmp_path}/report.html" in printed
    pictures = sorted(path.name for path in (tmp_path / "weeks").iterdir())
    assert pictures == ["P002.png", "wrist-17.png"]
    for name in ("report.html", "report.csv", "report.parquet"):
        assert (tmp_path / name).stat().st_size


def test_an_error_ends_the_program_with_a_reason(tmp_path):
    status, _, errors = _run(store=tmp_path)
    assert status == 1
    assert "no store here" in errors and "Traceback" not in errors


def test_all_is_every_used_recording(store):
    rows = report.rows(store)
    assert launch_report.chosen(["all"], rows) == ["P001", "P002", "wrist-17"]
    assert launch_report.chosen(["P002", "P001", "P002"], rows) == ["P002", "P001"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("P01", "no recording is called 'P01'; did you mean P00[12], P00[12]"),
        ("nobody", "did you mean P001, P002, wrist-17?"),
        ("P003", "nothing to draw: unreadable, the file is empty"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_helps(store, name, message):
    with pytest.raises(ValueError, match=message):
        launch_report.chosen([name], report.rows(store))
