"""Capture-24: the label dictionary, the participants and the recordings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjax.data.formats.capture24_labels import (
    Participant,
    read_dictionary,
    read_participants,
)
from sigjax.data.recording import FormatError

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
