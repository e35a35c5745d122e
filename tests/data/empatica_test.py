"""The Empatica E4 reader."""

import numpy as np
import pytest

from sigjax.data.formats import read_e4, read_recording
from sigjax.data.recording import FormatError

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
