"""Capture-24: the label dictionary, the participants and the recordings."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjax.data.formats import find_recordings, read_capture24, read_recording
from sigjax.data.formats.capture24_labels import (
    Participant,
    read_dictionary,
    read_participants,
)
from sigjax.data.recording import FormatError
from sigjax.data.synthetic import write_capture24

DICTIONARY = b"""annotation,label:Willetts2018,label:Walmsley2020
7030 sleeping;MET 0.95,sleep,sleep
"home activity;sitting, reading;MET 1.3",sit-stand,sedentary
transportation;walking;17250;MET 3.0,walking,light
sports;unknown;MET 5.0,mixed,
"""


def test_schemes_number_classes_alphabetically():
    dictionary = read_dictionary(DICTIONARY)
    assert dictionary.schemes == ("Willetts2018", "Walmsley2020")
    assert dictionary.annotations[1] == "home activity;sitting, reading;MET 1.3"
    classes, table = dictionary.scheme("Willetts2018")
    assert classes == ("mixed", "sit-stand", "sleep", "walking")
    assert (table.dtype, table.tolist()) == (np.int16, [2, 1, 3, 0])
    assert dictionary.scheme("Walmsley2020").table.tolist() == [2, 1, 0, -1]


def test_codes_of_a_recording_become_classes():
    dictionary = read_dictionary(DICTIONARY)
    texts = [dictionary.annotations[2], dictionary.annotations[0]]
    np.testing.assert_array_equal(dictionary.encode("Walmsley2020", texts), [0, 2])
    assert dictionary.encode("Walmsley2020", []).shape == (0,)
    with pytest.raises(FormatError, match="1 of 3 .* 'flying'"):
        dictionary.encode("Walmsley2020", [*texts, "flying"])
    with pytest.raises(ValueError, match="no label scheme 'X'.*Willetts2018"):
        dictionary.scheme("X")


def test_participants():
    found = read_participants(b"pid,age,sex\nP001,18-29,F\nP002,53+,M\n")
    assert found == {"P001": Participant("18-29", "F"), "P002": Participant("53+", "M")}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "expected the columns 'annotation'"),
        (b"annotation\nsleep\n", "expected the columns"),
        (b"annotation,label:A,label:A\n", "each once"),
        (b"annotation,label:A\nx,y\nz\n", "row 3 has 1 columns, not 2"),
        (b"annotation,label:A\nx,y\nx,z\n", "'x' is there twice"),
        (b"annotation,label:A\n\xff,y\n", "not a CSV table"),
    ],
)
def test_a_dictionary_that_is_none_says_so(raw, message):
    with pytest.raises(FormatError, match=message):
        read_dictionary(raw, name="d.csv")


@pytest.mark.parametrize("raw", [b"pid,age\nP1,3\n", b"pid,age,sex\nP1,3,F\nP1,3,F\n"])
def test_participants_that_are_none_say_so(raw):
    with pytest.raises(FormatError):
        read_participants(raw)


@given(st.binary(max_size=60).map(lambda tail: DICTIONARY[:80] + tail))
def test_any_dictionary_is_read_or_refused(raw):
    try:
        dictionary = read_dictionary(raw)
    except FormatError:
        return
    for scheme in dictionary.schemes:
        assert len(dictionary.scheme(scheme).table) == len(dictionary.annotations)


_STAMP = "2016-11-13 02:18:%09.6f"
_SLEEP = "7030 sleeping;MET 0.95"


def _recording(count: int = 1500) -> bytes:
    values = np.random.default_rng(0).normal(size=(count, 3))
    texts = ["", _SLEEP, '"home activity;sitting, reading;MET 1.3"']
    rows = [
        f"{_STAMP % (i / 100)},{x!r},{y!r},{z!r},{texts[i * 3 // count]}"
        for i, (x, y, z) in enumerate(values.tolist())
    ]
    return "\n".join(["time,x,y,z,annotation", *rows, ""]).encode()


def test_a_recording(tmp_path):
    path = tmp_path / "P007.csv.gz"
    path.write_bytes(gzip.compress(_recording()))
    assert find_recordings(tmp_path)[0] == [path]
    recording = read_recording(path)
    assert recording.device == "Capture-24"
    assert recording.metadata["subject_code"] == "P007"
    assert recording.metadata["clock"] == "device-local"
    assert recording.nominal_rate_hz == pytest.approx(100, rel=1e-6)
    (segment,) = recording.segments
    values = np.random.default_rng(0).normal(size=(1500, 3))
    np.testing.assert_array_equal(segment.acceleration, values.astype(np.float32))
    assert segment.start == pytest.approx(1_479_003_480, abs=1e-5)
    label = segment.channels["label"]
    assert (label.unit, label.values.dtype) == ("label", np.int16)
    names = [_SLEEP, "home activity;sitting, reading;MET 1.3"]
    assert recording.metadata["labels"] == names
    np.testing.assert_array_equal(label.values, np.repeat([-1, 0, 1], 500))
    codes = read_dictionary(DICTIONARY).encode("Willetts2018", names)
    assert codes.tolist() == [2, 1]


def test_a_simulated_study_comes_back(tmp_path):
    (path,) = write_capture24(tmp_path, people=1, hours=0.05, seed=0)
    found, skipped = find_recordings(tmp_path)
    assert found == [path]
    reasons = {path.name for path, _ in skipped}
    assert reasons == {"annotation-label-dictionary.csv", "metadata.csv"}
    recording = read_recording(path)
    (segment,) = recording.segments
    assert len(segment.counts) == recording.quality["samples"] == 18_000
    dictionary = read_dictionary(tmp_path / "annotation-label-dictionary.csv")
    for scheme in dictionary.schemes:
        assert (dictionary.encode(scheme, recording.metadata["labels"]) >= 0).all()
    unlabelled = (segment.channels["label"].values < 0).mean()
    assert unlabelled == pytest.approx(1 / 3, abs=0.05)
    assert "P001" in read_participants(tmp_path / "metadata.csv")


def test_missing_rows_and_samples_are_gaps():
    rows = _recording().splitlines()
    del rows[601:901]
    rows[100] = rows[100].replace(b".", b",")
    recording = read_capture24(b"\n".join(rows))
    assert [len(s.counts) for s in recording.segments] == [599, 600]
    assert recording.quality["breaks_gap"] == 1
    assert recording.quality["bad_blocks"] == recording.quality["bad_columns"] == 1
    assert recording.nominal_rate_hz == pytest.approx(100, rel=2e-3)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_recording_is_read_or_refused(data):
    raw = bytearray(_recording(30))
    for _ in range(data.draw(st.integers(0, 5))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + 1] = data.draw(st.binary(max_size=3))
    try:
        read_capture24(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except FormatError:
        pass
