"""The folder of features: parts, jobs that go on, and what is put together."""

import json

import numpy as np
import pyarrow as pa
import pytest

from sigjax.evals.layer_features import (
    ClipFeatures,
    FeatureFolder,
    FeaturesError,
    Part,
)

LAYERS, WIDTH = ("0", "1"), 3
SETTINGS = {"encoder": "abc", "reading": {"normalise": "peak", "rate_hz": 16000}}


def _folder(path, **changes):
    return FeatureFolder(path, SETTINGS | changes, LAYERS, WIDTH)


def _features(keys):
    """Features that tell whose they are."""
    own = np.array([int(key) for key in keys], np.float32)
    return own[:, None, None] + np.arange(6, dtype=np.float32).reshape(2, 3) / 10


def _add(folder, job, keys, process=0, remarks=None, left_out=None):
    remarks = remarks or [[] for _ in keys]
    part = Part(list(keys), _features(keys), remarks, left_out or {})
    folder.add(job, part, process)


def _table(keys, labels=None):
    columns = {"id": [f"call {key}" for key in keys], "key": list(keys)}
    columns["label"] = labels or ["a"] * len(keys)
    for name in ("split", "group"):
        columns[name] = [""] * len(keys)
    return pa.table(columns)


def test_parts_become_one_file_in_the_order_of_the_table(tmp_path):
    folder = _folder(tmp_path)
    job = folder.job("54321", {})
    folder.begin(job)
    _add(folder, job, "35", remarks=[["silent"], []])
    _add(folder, job, "1", process=1, left_out={"2": "is no sound"})
    _add(folder, job, "4")
    found = _folder(tmp_path)
    assert [key in found for key in "12345"] == [True, False, True, True, True]
    assert found.left_out(job) == {"2": "is no sound"}
    assert found.remarks("3") == ("silent",)
    with pytest.raises(FeaturesError, match="has not ended; run the same command"):
        ClipFeatures.open(tmp_path)
    found.publish(_table("1345", ["a", "b", "", "a"]), {"classes": ["b", "a"]})
    clips = ClipFeatures.open(tmp_path)
    np.testing.assert_array_equal(clips.features, _features("1345"))
    assert isinstance(clips.features, np.memmap) and clips.features.dtype == "<f4"
    assert clips.ids.tolist() == ["call 1", "call 3", "call 4", "call 5"]
    assert clips.label.tolist() == [1, 0, -1, 1] and len(clips) == 4
    assert clips.layers == LAYERS and clips.info["settings"] == SETTINGS
    assert not (tmp_path / "parts").exists()
    assert found.remarks("3") == ("silent",)


def test_what_is_known_stays_and_what_is_not_asked_for_goes(tmp_path):
    folder = _folder(tmp_path)
    _add(folder, folder.job("12", {}), "12")
    folder.publish(_table("12"), {"classes": []})
    again = _folder(tmp_path)
    job = again.job("321", {})
    assert job.keys == ("3",)
    _add(again, job, "3")
    again.publish(_table("321"), {"classes": []})
    np.testing.assert_array_equal(
        ClipFeatures.open(tmp_path).features, _features("321")
    )
    # A new label needs no new features.
    (file,) = tmp_path.glob("features-*")
    written = file.stat().st_mtime_ns
    again.publish(_table("321", ["a", "b", "c"]), {"classes": []})
    assert file.stat().st_mtime_ns == written
    assert ClipFeatures.open(tmp_path).labels.tolist() == ["a", "b", "c"]
    again.publish(_table("2"), {"classes": []})
    assert "1" not in _folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_job_goes_on_as_it_began_or_not_at_all(tmp_path):
    folder = _folder(tmp_path)
    job = folder.job("1234", {"budget": 10, "shape": (1, 2)})
    folder.begin(job)
    _add(folder, job, "1", left_out={"2": "damaged"})
    found = _folder(tmp_path)
    assert found.job("1234", {"budget": 10, "shape": [1, 2]}).digest == job.digest
    # Other batches, another order, a new call, one that is gone: what is left, anew.
    others = [
        found.job("1234", {"budget": 20, "shape": [1, 2]}),
        found.job("2134", {"budget": 10, "shape": [1, 2]}),
        found.job("12345", {"budget": 10, "shape": [1, 2]}),
        found.job("124", {"budget": 10, "shape": [1, 2]}),
    ]
    left = [("2", "3", "4"), ("2", "3", "4"), ("2", "3", "4", "5"), ("2", "4")]
    assert [other.keys for other in others] == left
    # What another job could not read is tried again.
    assert found.left_out(job) and not any(map(found.left_out, others))


def test_half_a_part_is_none(tmp_path):
    folder = _folder(tmp_path)
    job = folder.job("123", {})
    _add(folder, job, "1")
    _add(folder, job, "2")
    (tmp_path / "parts/0-000001.json").unlink()
    (tmp_path / "parts/0-000002.partial").write_bytes(b"half")
    found = _folder(tmp_path)
    assert "1" in found and "2" not in found
    _add(found, job, "3")
    assert "3" in _folder(tmp_path)
    found.publish(_table("13"), {"classes": []})
    np.testing.assert_array_equal(ClipFeatures.open(tmp_path).features, _features("13"))


def test_a_run_that_is_stopped_while_it_publishes_loses_nothing(tmp_path, monkeypatch):
    folder = _folder(tmp_path)
    _add(folder, folder.job("12", {}), "12")
    folder.publish(_table("12"), {"classes": []})
    _add(folder, folder.job("123", {}), "3")
    monkeypatch.setattr(
        "sigjax.evals.layer_features.pq.write_table",
        lambda *a: (_ for _ in ()).throw(OSError("no space left")),
    )
    with pytest.raises(OSError, match="no space"):
        folder.publish(_table("123"), {"classes": []})
    monkeypatch.undo()
    np.testing.assert_array_equal(ClipFeatures.open(tmp_path).features, _features("12"))
    found = _folder(tmp_path)
    found.publish(_table("123"), {"classes": []})
    np.testing.assert_array_equal(
        ClipFeatures.open(tmp_path).features, _features("123")
    )
    assert len(list(tmp_path.iterdir())) == 3


def test_features_that_were_made_otherwise_are_not_mixed(tmp_path):
    _folder(tmp_path)
    message = "reading.normalise 'peak', now 'zscore'. Choose another folder"
    with pytest.raises(FeaturesError, match=message):
        _folder(tmp_path, reading={"normalise": "zscore", "rate_hz": 16000})


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FeaturesError, match="holds no features"):
        ClipFeatures.open(tmp_path)
    with pytest.raises(FeaturesError, match="from a local folder"):
        _folder("gs://bucket/features")
    info = tmp_path / "features.json"
    info.write_text("{")
    with pytest.raises(FeaturesError, match="is damaged"):
        ClipFeatures.open(tmp_path)
    info.write_text(json.dumps({"format": 99}))
    with pytest.raises(FeaturesError, match="not of format 1"):
        _folder(tmp_path)


def test_files_that_do_not_fit_together(tmp_path):
    folder = _folder(tmp_path)
    _add(folder, folder.job("12", {}), "12")
    folder.publish(_table("12"), {"classes": []})
    (file,) = tmp_path.glob("features-*")
    np.save(file, _features("1"))
    with pytest.raises(FeaturesError, match="1 rows of features of 2 clips"):
        ClipFeatures.open(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(FeaturesError, match="is damaged"):
        ClipFeatures.open(tmp_path)
