"""The E4 reader and the choice of a reader by name and content."""

import numpy as np
import pytest

from sigjax.data.formats import (
    FORMATS,
    find_recordings,
    read_e4,
    read_recording,
)
from sigjax.data.recording import FormatError
from sigjax.data.synthetic import CwaDevice, write_cwa

_HEADER = ["1644226061.000000, 1644226061.000000, 1644226061.000000", "32.0,32.0,32.0"]


def _e4(rows: list[str]) -> bytes:
    return ("\n".join([*_HEADER, *rows]) + "\n").encode()


def test_real_session(real_data):
    folder = real_data / "stress_predict_e4" / "Raw_data"
    recording = read_recording(folder / "S01" / "ACC.csv")
    (segment,) = recording.segments
    assert (recording.device, recording.nominal_rate_hz) == ("E4", 32.0)
    assert segment.counts.shape == (104_310, 3)
    np.testing.assert_array_equal(segment.counts[0], [-2, 43, 43])
    assert segment.start == 1_644_226_061.0
    assert segment.end == pytest.approx(segment.start + 104_309 / 32, abs=1e-6)
    assert recording.quality["bad_blocks"] == 0
    assert recording.metadata["clock"] == "utc"
    norm = np.linalg.norm(segment.acceleration, axis=1)
    assert np.median(norm) == pytest.approx(1.0, abs=0.03)


def test_real_study_is_found(real_data):
    found, skipped = find_recordings(real_data / "stress_predict_e4")
    assert len(found) == 18
    assert {path.name for path, _ in skipped} >= {"tags_S01.csv"}
    assert find_recordings(f"{real_data}/stress*/Raw_data/S0?/ACC.csv")[0] == found[:9]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,2", "columns"),
        ("1,2,3,4", "columns"),
        ("", "columns"),
        ("1,x,3", "number"),
        ("1,nan,3", "number"),
        ("1,2.5,3", "number"),
        ("1,2,128", "range"),
        ("-129,2,3", "range"),
    ],
)
def test_a_bad_row_is_counted_and_breaks_the_segment(row, reason):
    rows = [f"{i},{-i},64" for i in range(100)]
    rows[40] = row
    recording = read_e4(_e4(rows))
    assert recording.quality["blocks"] == 100
    assert recording.quality["bad_blocks"] == recording.quality[f"bad_{reason}"] == 1
    assert recording.quality["breaks_bad_row"] == 1
    first, second = recording.segments
    np.testing.assert_array_equal(first.counts[:, 0], np.arange(40))
    np.testing.assert_array_equal(second.counts[:, 0], np.arange(41, 100))
    # What follows keeps its place on the clock.
    assert first.start == 1_644_226_061.0
    assert second.start == pytest.approx(1_644_226_061.0 + 41 / 32, abs=1e-6)
    assert second.acceleration[0, 2] == 1.0


def test_a_session_without_samples_has_no_segments():
    assert read_e4(_e4([])[:-1]).segments == ()


def test_bad_rows_only_leave_no_segments():
    recording = read_e4(_e4(["a,b,c"] * 3))
    assert recording.segments == ()
    assert recording.quality["bad_number"] == 3


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"32,32,32\n",
        b"time,x,y,z\n1,2,3,4\n",
        b"1644226061,1644226061,1644226062\n32,32,32\n",
        b"1644226061,1644226061,1644226061\n32,64,32\n",
        b"1644226061\n64.0\n0.0\n",  # another channel of an E4
        b"\xff\xfe\x00\x80" * 50,
    ],
)
def test_what_is_no_e4_file_says_so(tmp_path, raw):
    path = tmp_path / "ACC.csv"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"ACC\.csv: (not an Empatica|the file is e)"):
        read_e4(path)


def test_unsupported_types_name_those_that_are(tmp_path):
    for name in ("a.dat", "c.csv", "e"):
        (tmp_path / name).write_bytes(b"Device Identity\n")
        with pytest.raises(FormatError) as error:
            read_recording(tmp_path / name)
        assert name in str(error.value)
        assert all(kind.name in str(error.value) for kind in FORMATS)


@pytest.fixture
def study(tmp_path):
    """A folder with readable files, raw-looking ones and others, at two depths."""
    device = CwaDevice(start=1.7e9, rate_hz=100.0)
    (tmp_path / "deep").mkdir()
    write_cwa(tmp_path / "b.cwa", [np.zeros((240, 3), np.float32)], device)
    write_cwa(tmp_path / "deep" / "a.CWA", [np.zeros((240, 3), np.float32)], device)
    (tmp_path / "deep" / "ACC.csv").write_bytes(_e4(["1,2,3"] * 5))
    (tmp_path / "labels.csv").write_text("time,label\n1,walk\n")
    (tmp_path / "c.gt3x").write_bytes(b"PK")
    (tmp_path / "d.cwa.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "e.cwa.tmp").write_bytes(b"MD")
    return tmp_path


def test_find_recordings_in_a_folder(study):
    found, skipped = find_recordings(study)
    names = [path.relative_to(study).as_posix() for path in found]
    assert names == ["b.cwa", "d.cwa.gz", "deep/ACC.csv", "deep/a.CWA"]
    reasons = {path.name: reason for path, reason in skipped}
    assert set(reasons) == {"labels.csv", "c.gt3x"}
    assert "time,label" in reasons["labels.csv"]
    whole = [path for path in found if path.name != "d.cwa.gz"]
    devices = [read_recording(path).device for path in whole]
    assert devices == ["AX3", "E4", "AX3"]


def test_find_recordings_by_file_and_pattern(study, monkeypatch):
    assert len(find_recordings(study / "b.cwa")[0]) == 1
    assert [path.name for path, _ in find_recordings(study / "c.gt3x")[1]] == ["c.gt3x"]
    assert [path.name for path in find_recordings(f"{study}/*.cwa")[0]] == ["b.cwa"]
    monkeypatch.chdir(study)
    assert [path.name for path in find_recordings("*.cwa")[0]] == ["b.cwa"]
    assert [path.name for path in find_recordings("deep/*.c*")[0]] == ["ACC.csv"]
    assert len(find_recordings("deep/*")[0]) == 2


def test_find_recordings_names_what_is_missing(study):
    for where in (study / "none", f"{study}/*.wav"):
        with pytest.raises(FileNotFoundError, match=str(where).replace("*", r"\*")):
            find_recordings(where)
