"""Windows in the layout of ssl-wearables."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjax.data.formats import (
    CsvLayout,
    ReadOptions,
    find_recordings,
    read_npy_windows,
    read_recording,
)
from sigjax.data.recording import FormatError

_START = np.datetime64("2016-11-12T10:00:00")


@pytest.fixture
def study(tmp_path):
    """Two persons' windows, one after another: P2's have a hole after the second."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.normal(size=(7, 300, 3)).astype(np.float32))
    np.save(tmp_path / "pid.npy", np.array(["P1"] * 3 + ["P.2/b"] * 4))
    labels = ["walk", "sit", "", "sit", "sit", "walk", "run"]
    np.save(tmp_path / "Y.npy", np.array(labels))
    seconds = np.array([0, 10, 20, 0, 10, 50, 60])
    np.save(tmp_path / "time.npy", _START + seconds.astype("timedelta64[s]"))
    return tmp_path


def test_each_person_is_a_recording(study):
    found, skipped = find_recordings(study)
    assert [path.name for path in found] == ["P%2E2%2Fb", "P1"]
    assert not skipped
    windows = np.load(study / "X.npy")
    second, first = (read_recording(path) for path in found)
    assert (first.metadata["subject_code"], first.nominal_rate_hz) == ("P1", 30.0)
    (segment,) = first.segments
    np.testing.assert_array_equal(segment.acceleration, windows[:3].reshape(-1, 3))
    assert segment.start == _START.astype(int)
    assert segment.end == pytest.approx(segment.start + 899 / 30, abs=1e-6)
    assert first.metadata["clock"] == "device-local" and first.utc_offset_s is None
    assert second.metadata["subject_code"] == "P.2/b"
    assert [len(s.counts) for s in second.segments] == [600, 600]
    assert second.segments[1].start - second.segments[0].start == 50
    assert second.quality["breaks_time"] == 1
    assert second.quality["samples"] == 1200


def test_one_person_is_found_by_its_path(study):
    path = study / "X.npy" / "P1"
    assert find_recordings(path)[0] == [path]
    assert read_npy_windows(study / "X.npy", person="P1").quality["blocks"] == 3


def test_labels_are_numbered_over_all_persons(study):
    one = read_npy_windows(study / "X.npy", person="P1")
    two = read_npy_windows(study / "X.npy", person="P.2/b")
    assert one.metadata["labels"] == two.metadata["labels"] == ["run", "sit", "walk"]
    label = one.segments[0].channels["label"]
    assert (label.unit, label.values.dtype) == ("label", np.int16)
    np.testing.assert_array_equal(label.values, np.repeat([2, 1, -1], 300))
    np.save(study / "Y.npy", np.array([3, -1, 3, 20, 20, 3, 4]))
    one = read_npy_windows(study / "X.npy", person="P1")
    assert one.metadata["labels"] == ["3", "4", "20"]
    np.testing.assert_array_equal(
        one.segments[0].channels["label"].values[::300], [0, -1, 0]
    )


def test_windows_without_times_stay_apart(study):
    (study / "time.npy").unlink()
    recording = read_npy_windows(study / "X.npy", person="P1")
    assert len(recording.segments) == 3
    assert recording.segments[1].start - recording.segments[0].end > 3000
    assert recording.metadata["time"] == "unknown"


def test_times_in_seconds_are_utc(study):
    (study / "time.npy").unlink()
    np.save(study / "T.npy", 1.5e9 + np.array([0, 10, 20, 0, 10, 50, np.nan]))
    recording = read_npy_windows(study / "X.npy", person="P.2/b")
    assert (recording.metadata["clock"], recording.utc_offset_s) == ("utc", 0.0)
    assert recording.quality["bad_time"] == recording.quality["bad_blocks"] == 1
    assert [len(s.counts) for s in recording.segments] == [600, 300]


def test_bad_windows_are_counted_and_left_out(study):
    windows = np.load(study / "X.npy")
    windows[1, 5, 2] = np.nan
    windows[4, 0, 0] = 1e6
    np.save(study / "X.npy", windows)
    one = read_npy_windows(study / "X.npy", person="P1")
    assert one.quality["bad_number"] == 1 and len(one.segments) == 2
    two = read_npy_windows(study / "X.npy", person="P.2/b")
    assert two.quality["bad_range"] == 1 and two.quality["samples"] == 900


def test_another_rate(study):
    layout = CsvLayout(x="x", y="y", z="z", rate_hz=100.0)
    recording = read_npy_windows(
        study / "X.npy", person="P1", options=ReadOptions(csv=layout)
    )
    assert recording.nominal_rate_hz == 100.0
    assert len(recording.segments) == 3  # 300 samples are now 3 s of the 10 between


def test_without_persons_the_file_is_one_recording(study):
    (study / "pid.npy").unlink()
    assert find_recordings(study)[0] == [study / "X.npy"]
    recording = read_recording(study / "X.npy")
    assert recording.quality["blocks"] == 7
    assert "subject_code" not in recording.metadata
    with pytest.raises(FormatError, match=r"no pid\.npy"):
        read_recording(study / "X.npy" / "P1")


def test_persons_must_be_named(study):
    with pytest.raises(FormatError, match=r"2 persons .*X\.npy/PERSON"):
        read_npy_windows(study / "X.npy")
    with pytest.raises(FormatError, match="no person 'P3'"):
        read_recording(study / "X.npy" / "P3")


def test_pickles_are_never_loaded(study):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    np.save(study / "Y.npy", np.array([Bomb()] * 7, object), allow_pickle=True)
    with pytest.raises(FormatError, match=r"Y\.npy: .*astype\(str\)"):
        read_npy_windows(study / "X.npy", person="P1")
    (study / "Y.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FormatError, match="not a .npy file"):
        read_npy_windows(study / "X.npy", person="P1")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 300)),
        np.zeros((4, 3, 300)),
        np.zeros((4, 300, 3), np.int16),
        np.zeros((4, 0, 3)),
        np.array(["a"]),
        np.zeros(3, [("x", float)]),
    ],
)
def test_other_arrays_are_refused(tmp_path, array):
    np.save(tmp_path / "X.npy", array)
    with pytest.raises(FormatError, match=r"X\.npy"):
        read_recording(tmp_path / "X.npy")


def test_a_file_beside_of_another_length_is_refused(study):
    np.save(study / "Y.npy", np.zeros(6, int))
    with pytest.raises(FormatError, match=r"7 windows, but its label file .*\[6\]"):
        read_npy_windows(study / "X.npy", person="P1")


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_and_bytes(tmp_path, order):
    windows = np.arange(2 * 4 * 3, dtype=np.float64).reshape(2, 4, 3)
    np.save(tmp_path / "X.npy", np.asarray(windows, order=order))
    for source in (tmp_path / "X.npy", (tmp_path / "X.npy").read_bytes()):
        segments = read_npy_windows(source).segments
        np.testing.assert_array_equal(segments[1].counts, windows[1])


def _bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 30, 3), np.float32))
    return stream.getvalue()


@given(
    st.integers(0, len(_bytes())),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=4),
)
def test_any_bytes_are_read_or_refused(length, changes):
    raw = bytearray(_bytes())
    for place, value in changes:
        raw[place] = value
    try:
        read_npy_windows(bytes(raw[:length]))
    except FormatError:
        pass
