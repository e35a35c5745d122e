"""Manifests of calls: what is written is read again, and bad rows are named."""

import json

import pytest

from sigjax.data.calls.manifest import (
    Call,
    CallManifest,
    call_of,
    read_calls,
    stretch_id,
    with_splits,
)
from sigjax.data.clips import ManifestError
from tests.data.machine_sound.tiny_sounds import write_table

CALLS = (
    Call(id="a", path="x/1.wav", label="Phee, long", split="train", group="m 1"),
    Call(id="b", path="x/1.wav", label="Trill", start_s=0.25, end_s=1.5, split="fold1"),
    Call(id="c", path="2.flac"),
)


@pytest.mark.parametrize("name", ["calls.csv", "calls.jsonl"])
def test_what_is_written_is_read_again(tmp_path, name):
    given = CallManifest(
        root=tmp_path / "sound", calls=CALLS, classes=("Trill", "Phee, long", "none")
    )
    given.write(tmp_path / "lists" / name)
    assert not list(tmp_path.glob("**/*.part"))
    found = read_calls(tmp_path / "lists" / name, tmp_path / "lists")
    assert [c.path for c in found.calls] == [f"../sound/{c.path}" for c in CALLS]
    for one, other in zip(found.calls, CALLS, strict=True):
        assert (one.id, one.label, one.split, one.group) == (
            other.id,
            other.label,
            other.split,
            other.group,
        )
        assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
    # Classes keep their order, and those without a call their number.
    assert found.classes == ("Trill", "Phee, long", "none")
    assert found.labels.tolist() == [1, 0, -1]


def test_only_the_path_is_needed(tmp_path):
    table = write_table(
        tmp_path / "own.csv",
        ["path,start,end,label", "a.wav,,,dog", "a.wav,1,2.5,cat", "b\\c.wav,3,,"],
    )
    found = read_calls(table)
    assert [c.id for c in found.calls] == ["a.wav", "a.wav@1-2.5", "b/c.wav@3-"]
    assert found.classes == ("cat", "dog") and found.root == tmp_path
    assert found.calls[2].start_s == 3.0 and found.calls[2].end_s is None


def test_json_numbers_are_times(tmp_path):
    rows = [{"path": "a.wav", "start": 0.5, "end": 2, "label": 7, "group": None}]
    path = write_table(tmp_path / "own.jsonl", [json.dumps(r) for r in rows] + [""])
    (call,) = read_calls(path).calls
    assert (call.start_s, call.end_s, call.label, call.group) == (0.5, 2.0, "7", "")


def test_splits_by_other_names():
    for name, split in (("val", "validation"), ("Dev", "validation"), ("eval", "test")):
        assert call_of({"path": "a", "split": name}).split == split
    assert call_of({"path": "a", "split": "fold 3"}).split == "fold 3"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["id,label", "a,b"], "has no column 'path'"),
        (["path,labels", "a,b"], "row 2: column 'labels' is none of id, path"),
        (["path,id", "a,1", "b,2", "c,1"], "row 4: id '1' is that of row 2"),
        (["path", "a.wav", "a.wav"], "row 3: id 'a.wav' is that of row 2"),
        (["path,start", "a,soon"], "row 2: start: 'soon' is no number"),
        (["path,start,end", "a,2,1"], "row 2: a: from 2.0 s to 1.0 s is no stretch"),
        (["path,start,end", "a,2,nan"], "row 2: call 'a@2-nan': nan s is no time"),
        (["path,label", ",dog"], "row 2: no path"),
        (["path"], "has no rows"),
        (["path,label", "a,b,c"], "row 2: has more values"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, message):
    with pytest.raises(ManifestError, match=message):
        read_calls(write_table(tmp_path / "own.csv", rows))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "a"', "row 1: no JSON"),
        ("[1, 2]", "row 1: not an object"),
        ('{"path": ["a"]}', "row 1: not an object"),
        ('{"path": "a", "species": "b"}', "row 1: column 'species'"),
    ],
)
def test_bad_json_is_named(tmp_path, line, message):
    with pytest.raises(ManifestError, match=message):
        read_calls(write_table(tmp_path / "own.jsonl", [line]))


def test_labels_are_of_the_classes(tmp_path):
    write_table(tmp_path / "own_classes.csv", ["name", "cat"])
    table = write_table(tmp_path / "own.csv", ["path,label", "a,dog"])
    with pytest.raises(
        ManifestError, match=r"own_classes.csv: call 'a': 'dog' is none"
    ):
        read_calls(table)
    with pytest.raises(ManifestError, match="class 'x' is there twice"):
        CallManifest(root=tmp_path, calls=(), classes=("x", "y", "x"))


def test_splits_are_replaced(tmp_path):
    given = CallManifest(root=tmp_path, calls=CALLS, classes=("Trill", "Phee, long"))
    found = with_splits(given, ["test", "", "train"])
    assert [c.split for c in found.calls] == ["test", "", "train"]
    assert found.calls[1].end_s == 1.5


def test_sources_and_ids():
    assert CALLS[0].source == "m 1" and CALLS[1].source == "x/1.wav"
    assert stretch_id("a", None, None) == "a" and stretch_id("a", 0, 1) == "a@0-1"
    with pytest.raises(ManifestError, match="one is empty"):
        Call(id="", path="a")
