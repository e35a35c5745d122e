"""The command, as a user runs it."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from sigjax.data import store as stores
from sigjax.data import synthetic
from sigjax.data.wearable import prepare


def _write_e4(path: pathlib.Path, minutes: int, start: int):
    path.parent.mkdir(parents=True)
    head = [f"{start}.0, {start}.0, {start}.0", "32.0, 32.0, 32.0"]
    rows = [f"{i % 7},{i % 5},{60 + i % 9}" for i in range(minutes * 60 * 32)]
    path.write_text("\n".join(head + rows) + "\n")


def _run(**flags):
    """Runs the command; returns its exit status, output and errors."""
    command = [sys.executable, "-m", "launch.prepare"]
    command += [f"--{key}={value}" for key, value in flags.items()]
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_folder_a_pattern_and_a_second_run(tmp_path):
    # The store lies among the files, and its own tables are not taken for some.
    raw, store = tmp_path / "raw", str(tmp_path / "raw" / "store")
    for number in (1, 2):
        _write_e4(raw / f"S0{number}" / "ACC.csv", 2, 1_644_226_061 + number)
    (raw / "S01" / "tags.csv").write_text("1644226061.5\n")
    settings = {
        "output": store,
        "min_wear_h": 0.03,
        "on_calibration_failure": "keep",
    }
    status, _, errors = _run(input=raw / "S01*" / "*.csv", **settings)
    assert status == 0, errors
    assert [e.name for e in stores.Store.open(store).entries] == ["S01_ACC"]
    status, printed, errors = _run(input=raw, **settings)
    assert status == 0 and "1/1 files" in errors, errors
    assert [e.name for e in stores.Store.open(store).entries] == ["S01_ACC", "S02_ACC"]
    rows = [line.rsplit(maxsplit=1) for line in printed.splitlines() if line]
    counts = {key.strip(): value for key, value in rows}
    assert counts["device files found"] == "2"
    assert counts["used"] == "2" and counts["of these prepared now"] == "1"
    assert counts["in the store before"] == "1"
    assert counts["hours used"] == "0.07"
    assert "1 unsupported: CSV in a layout that is not supported" in printed
    assert counts["other files, not supported"] == "1"
    assert printed.endswith(f"report: {store}/report.html\n")
    assert stores.Store.open(store).description["min_wear_h"] == 0.03


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"min_wear_h": 24.0}, "no 24 h of contiguous wear"),
        ({"input": "/no/such/folder"}, "/no/such/folder"),
        ({"min_wear_h": -1.0}, "must not be negative"),
        ({"person_regex": "S"}, "no group named person"),
        ({"tz": "London"}, "no IANA time zone"),
        ({"csv": "x=a"}, "name the columns of y, z"),
        ({"interpolation": "none"}, "interpolation='none'"),
        ({"stationary_sd_g": "none"}, "stationary_sd_g"),
    ],
)
def test_errors_end_the_program_with_a_reason(tmp_path, flags, message):
    _write_e4(tmp_path / "raw" / "S01" / "ACC.csv", 1, 1_644_226_061)
    settings = {
        "input": str(tmp_path / "raw"),
        "output": str(tmp_path / "store"),
        "on_calibration_failure": "keep",
    }
    status, _, errors = _run(**settings | flags)
    assert status == 1
    assert message in errors and "Traceback" not in errors


def test_every_constant_has_a_flag_and_stands_in_the_store(tmp_path):
    _write_e4(tmp_path / "raw" / "S01" / "ACC.csv", 1, 1_644_226_061)
    config = dataclasses.replace(
        prepare.PRESETS["actipy"],
        lowpass_hz=None,
        lowpass_order=4,
        rate_hz=25.0,
        interpolation="linear",
        calibration_temperature=False,
        calibration_skip_constant=True,
        nonwear_min=None,
        min_wear_h=0.01,
    )
    shared = {"input": tmp_path / "raw", "output": tmp_path / "store"}
    given = {
        key: str(value).lower() for key, value in dataclasses.asdict(config).items()
    }
    status, printed, errors = _run(**shared, **given, dry_run=True)
    assert status == 0, errors
    assert "files to prepare                         1" in printed
    assert "S01/ACC.csv -> S01_ACC" in printed
    assert not (tmp_path / "store").exists()
    status, _, errors = _run(**shared, **given, tz="Europe/London", workers=1)
    assert status == 0, errors
    store = stores.Store.open(tmp_path / "store")
    expected = dataclasses.asdict(config)
    read = {"tz": "Europe/London", "csv": None}
    assert store.description == {**expected, "read": read}
    assert store.rate_hz == 25.0
    for name in ("report.html", "report.csv", "report.parquet", "report.json"):
        assert (tmp_path / "store" / name).stat().st_size > 0


def test_simulated_study_from_the_command_line(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    synthetic.simulate_recordings(raw, people=2, days=0.2, seed=0)
    status, printed, errors = _run(
        input=raw, output=store, preset="actipy", min_wear_h=1
    )
    assert status == 0, errors
    assert "used                                   2" in printed
    entries = stores.Store.open(store).entries
    assert [entry.person for entry in entries] == ["P001", "P002"]
    assert all(entry.segments for entry in entries)


def test_all_e4_sessions_become_one_store(real_data, tmp_path):
    status, _, errors = _run(
        input=real_data / "stress_predict_e4",
        output=tmp_path / "store",
        preset="paper",
        min_wear_h=0.83,
        on_calibration_failure="keep",
    )
    assert status == 0, errors
    entries = stores.Store.open(tmp_path / "store").entries
    assert sorted(e.person for e in entries) == [f"S{i:02d}" for i in range(1, 19)]
    for entry in entries:
        (segment,) = entry.segments
        assert segment.samples >= 90_000
