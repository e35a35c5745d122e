"""Labelled sets: what is built is what the raw files hold, or it is not built."""

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sigjax.data import formats, labelled, splits, store
from sigjax.data.datasets import builder, capture24, labelled_csv
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.wearable import prepare
from tests.data import tiny_sets

SHORT = dataclasses.replace(
    prepare.PRESETS["paper"], calibration="none", min_wear_h=0.05
)


def settings_for(folder, **changes):
    given = {"record_s": 60.0, "prepare": SHORT, **changes}
    return capture24.settings(str(folder), **given)


def build(folder, output, **options):
    return builder.build(capture24.Capture24, settings_for(folder), output, **options)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Three people of 4.2 minutes, one of whom wore the device for 2; and a stray."""
    folder = tmp_path_factory.mktemp("capture24")
    tiny_sets.write_capture24(folder, 3, 4.2)
    tiny_sets.write_person(folder / "P004.csv.gz", 4, 2.0)
    (folder / "P005.csv.gz").write_bytes(b"not packed at all")
    (folder / "notes.csv").write_text("day,what\n1,rain\n")
    return folder


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    folder, new = build(raw, tmp_path_factory.mktemp("sets"))
    assert new
    return folder


def records_of(folder, split):
    source = tfds.builder_from_directory(folder).as_data_source(split=split)
    return [source[index] for index in range(len(source))]


def test_records_hold_the_recording(built):
    records = records_of(built, "P002")
    assert [r["index"] for r in records] == [0, 1, 2, 3, 4]
    assert [r["samples"] for r in records] == [1800] * 4 + [360]
    assert {(r["person"], r["recording"]) for r in records} == {(b"P002", b"P002")}
    for record in records:
        assert record["counts"].shape == (1800, 3)
        assert record["counts"].dtype == np.int16
        assert record["start"] == tiny_sets.START + 60 * record["index"]
        assert np.float32(record["scale"]) == store.SCALE
        seconds = record["start"] - tiny_sets.START + np.arange(record["samples"]) / 30
        found = record["counts"][: record["samples"]] * np.float32(record["scale"])
        inner = (seconds > 1) & (seconds < 4.2 * 60 - 1)  # Off the filter's ends.
        wanted = tiny_sets.acceleration(seconds)
        assert np.abs(found - wanted)[inner].max() < 0.6 * store.SCALE
        assert not record["counts"][record["samples"] :].any()


def test_labels_are_the_majority_of_raw_samples(built):
    texts = tuple(labelled.LabelledSet.open(built).annotations)
    for person in (1, 2, 3):
        for record in records_of(built, f"P{person:03d}"):
            assert record["annotation"].shape == record["purity"].shape == (6,)
            for window in range(6):
                first = 60 * record["index"] + 10 * window
                stop = min(first + 10, 252)
                code, purity = record["annotation"][window], record["purity"][window]
                if stop <= first:
                    assert (code, purity) == (-1, 0)
                    continue
                raw = np.arange(round(first * 100), round(stop * 100)) / 100
                votes = np.bincount(tiny_sets.annotation_at(raw, person), minlength=6)
                text = "" if code < 0 else texts[code]
                wanted = [*tiny_sets.ANNOTATIONS, ""].index(text)
                assert votes[wanted] == votes.max()
                assert purity == pytest.approx(votes[wanted] / votes.sum())


def test_people_are_splits_of_the_tfds_set(built):
    source = tfds.data_source("capture24", data_dir=built.parents[1], split="P003+P001")
    people = [record["person"] for record in source]
    assert people == [b"P003"] * 5 + [b"P001"] * 5
    assert set(tfds.builder_from_directory(built).info.splits) == {
        "P001",
        "P002",
        "P003",
    }


def test_metadata_tell_schemes_people_and_what_was_not_used(built):
    metadata = json.loads((built / "metadata.json").read_text())
    assert metadata["people"]["P002"] == {
        "age": "18-29",
        "sex": "F",
        "records": 5,
        "splits": ["P002"],
    }
    assert metadata["people"]["P004"]["records"] == 0
    assert list(metadata["schemes"]) == ["Willetts2018", "Walmsley2020"]
    assert metadata["schemes"]["Walmsley2020"]["cleaning"] == ""
    status = {r["name"]: r["quality"]["status"] for r in metadata["recordings"]}
    assert status["P001"] == "used"
    assert status["P004"] == "dropped: no 0.05 h of contiguous wear"
    hours = {r["name"]: r["quality"].get("hours") for r in metadata["recordings"]}
    assert hours["P004"]["too_short"] == pytest.approx(2 / 60, abs=1e-3)
    strays = {pathlib.Path(path).name: why for path, why in metadata["not_read"]}
    assert set(strays) == {"P005.csv.gz", "notes.csv"}
    assert "layout that is not supported" in strays["notes.csv"]
    assert metadata["settings"]["prepare"]["lowpass_hz"] == 15.0
    assert metadata["settings"]["label_s"] == 10.0


def test_opened_set(built):
    dataset = labelled.LabelledSet.open(built.parents[1])
    assert (dataset.name, dataset.rate_hz) == ("capture24", 30.0)
    assert list(dataset.people) == ["P001", "P002", "P003"]
    assert dataset.side("standard", "train") == ("P001", "P002", "P003")
    absent = dataset.absent("standard")
    assert len(absent["train"]) == 97 and len(absent["test"]) == 51
    with pytest.raises(DatasetError, match="none of the 51 people of 'test'"):
        dataset.side("standard", "test")
    with pytest.raises(DatasetError, match="no side 'tset'; it has train, test"):
        dataset.side("standard", "tset")
    scheme = dataset.scheme("Walmsley2020")
    assert scheme.classes == ("light", "moderate-vigorous", "sedentary", "sleep")
    words = [*dataset.annotations, None]
    of = dict(zip(words, scheme.table.tolist(), strict=True))
    assert of["cycling"] == 1 and of["cleaning"] == -1 and of[None] == -1
    assert dataset.schemes[-1] == "annotation"
    assert dataset.scheme("annotation").classes == tuple(sorted(dataset.annotations))
    with pytest.raises(DatasetError, match="it has Willetts2018, Walmsley2020"):
        dataset.scheme("Willets2018")


def test_the_timeline_says_what_the_records_say(built):
    dataset = labelled.LabelledSet.open(built)
    for segment in dataset.segments:
        records = dataset.read(range(segment.first, segment.first + segment.records))
        annotation = np.concatenate([r["annotation"] for r in records])
        purity = np.concatenate([r["purity"] for r in records])
        count = len(segment.labels.code)
        np.testing.assert_array_equal(segment.labels.code, annotation[:count])
        np.testing.assert_allclose(segment.labels.purity, purity[:count], atol=1e-4)
        assert (annotation[count:] == -1).all()
        assert [r["person"].decode() for r in records] == [segment.person] * 5


def test_workers_build_the_same_set(raw, built, tmp_path):
    folder, _ = build(raw, tmp_path, workers=2)
    for path in built.iterdir():
        if path.name != "dataset_info.json":
            assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_fingerprint_is_of_data_and_not_of_places(raw, built, tmp_path):
    before = labelled.LabelledSet.open(built).fingerprint
    moved = tmp_path / "moved"
    shutil.copytree(raw, moved)
    folder, _ = build(moved, tmp_path / "a")
    assert labelled.LabelledSet.open(folder).fingerprint == before
    tiny_sets.write_person(moved / "P003.csv.gz", 4, 4.2)  # Other labels.
    folder, _ = build(moved, tmp_path / "b")
    assert labelled.LabelledSet.open(folder).fingerprint != before


def test_a_finished_set_is_left_alone_unless_told(raw, tmp_path):
    folder, new = build(raw, tmp_path)
    assert new
    metadata = pathlib.Path(folder / "metadata.json")
    before = metadata.stat().st_mtime_ns
    assert build(raw, tmp_path) == (folder, False)
    assert metadata.stat().st_mtime_ns == before
    other = settings_for(raw, record_s=120.0)
    with pytest.raises(DatasetError, match=r"record_s=60.0, not 120.0.*overwrite"):
        builder.build(capture24.Capture24, other, tmp_path)
    builder.build(capture24.Capture24, other, tmp_path, overwrite=True)
    dataset = labelled.LabelledSet.open(tmp_path)
    assert dataset.record_s == 120.0 and len(dataset.segments) == 3
    assert [r["samples"] for r in dataset.read([0, 1, 2])] == [3600, 3600, 360]


KILLED = """
import os, pathlib, signal
from sigjax.data.datasets import builder, capture24, records
from tests.data.datasets_test import build
def second_time(job, seen=[]):
    seen.append(job)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return records.prepare_labelled(job)
builder.prepare_labelled = second_time
build({raw!r}, {output!r})
"""


def test_a_killed_build_leaves_nothing_that_looks_finished(raw, tmp_path):
    code = KILLED.format(raw=str(raw), output=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [p.name for p in (tmp_path / "capture24").glob("*1.0.0*")]
    assert len(left) == 1 and left[0].startswith("incomplete.")
    with pytest.raises(DatasetError, match="no finished set here"):
        labelled.LabelledSet.open(tmp_path)
    folder, new = build(raw, tmp_path)
    assert new and len(records_of(folder, "P001+P002+P003")) == 15
    assert [p.name for p in (tmp_path / "capture24").glob("*1.0.0*")] == ["1.0.0"]


def test_nothing_usable_is_an_error_that_lists_reasons(tmp_path):
    raw = tmp_path / "raw"
    tiny_sets.write_capture24(raw, 1, 1.0)
    with pytest.raises(DatasetError, match=r"no recording is usable(.|\n)*no 0.05 h"):
        build(raw, tmp_path / "sets")
    assert not list((tmp_path / "sets" / "capture24").glob("*1.0.0*"))
    (raw / capture24.DICTIONARY).unlink()
    with pytest.raises(DatasetError, match="dictionary.csv is missing"):
        build(raw, tmp_path / "sets")
    with pytest.raises(FileNotFoundError):
        build(tmp_path / "nowhere", tmp_path / "sets")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_s": 0.01}, "label_s=0.01 is not a whole number of samples"),
        ({"record_s": 65.0}, "record_s=65 is not a multiple of label_s=10"),
        ({"person_regex": "s.."}, "no group named person"),
    ],
)
def test_settings_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        settings_for("raw", **changes)


NO_TENSORFLOW = """
import sys
from tests.data.datasets_test import build
from sigjax.data import labelled, pipeline, windows
folder, _ = build({raw!r}, {output!r})
dataset = labelled.LabelledSet.open(folder)
config = windows.WindowConfig(scheme="Willetts2018", window_s=120, stride_s=60)
source = windows.LabelledWindows(dataset, list(dataset.people), config)
batch = next(pipeline.train_batches(source, batch_size=4, seed=0))
print(batch["counts"].shape, "tensorflow" in sys.modules)
"""


def test_neither_building_nor_reading_needs_tensorflow(raw, tmp_path):
    code = NO_TENSORFLOW.format(raw=str(raw), output=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split("\n")[-2] == "(4, 3600, 3) False", done.stderr[-3000:]


def _write_tables(folder, people):
    for number, person in enumerate(people):
        path = folder / f"{person}_{number}.csv"
        rows = ["t,ax,ay,az,what"]
        label = "ab"[number % 2]
        for index in range(1000):
            rows.append(f"{1.6e12 + index * 10 + number * 1e6:.0f},0,9.80665,0,{label}")
        path.write_text("\n".join(rows))


def test_labelled_tables_of_any_layout(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    # A person whose files lie apart in the alphabet, and names that TFDS does not take.
    _write_tables(raw, ["all", "b 1", "b_1", "all"])
    layout = "x=ax,y=ay,z=az,unit=m/s2,time=t,time_unit=ms,label=what"
    settings = labelled_csv.settings(
        str(raw),
        record_s=4.0,
        label_s=2.0,
        options=formats.ReadOptions(csv=formats.CsvLayout.parse(layout)),
        person_regex=r"(?P<person>[^/]+)_\d",
    )
    folder, _ = builder.build(labelled_csv.LabelledCsv, settings, tmp_path / "sets")
    dataset = labelled.LabelledSet.open(folder)
    assert list(dataset.people) == ["all", "b 1", "b_1"]
    assert [s.recording for s in dataset.segments] == [
        "all_0",
        "all_3",
        "b_1_1",
        "b_1_2",
    ]
    assert dataset.annotations == ("a", "b") and dataset.schemes == ("annotation",)
    counts = {p: c.tolist() for p, c in dataset.counts("annotation").items()}
    assert counts == {"all": [5, 5, 0], "b 1": [0, 5, 0], "b_1": [5, 0, 0]}
    records = dataset.read(range(12))
    assert [r["person"].decode() for r in records] == ["all"] * 6 + ["b 1"] * 3 + [
        "b_1"
    ] * 3
    gravity = records[0]["counts"][30:90] * np.float32(records[0]["scale"])
    np.testing.assert_allclose(gravity, [[0, 1, 0]] * 60, atol=1e-3)


def test_tables_without_labels_are_named(tmp_path):
    _write_tables(tmp_path, ["p"])
    layout = "x=ax,y=ay,z=az,unit=m/s2,time=t,time_unit=ms"
    settings = labelled_csv.settings(
        str(tmp_path), options=formats.ReadOptions(csv=formats.CsvLayout.parse(layout))
    )
    with pytest.raises(DatasetError, match="has no labels; name their column"):
        builder.build(labelled_csv.LabelledCsv, settings, tmp_path / "sets")


def test_151_people_open_as_one_set(tmp_path, monkeypatch):
    folder = tiny_sets.build_counting(
        tmp_path, monkeypatch, people=151, lengths=lambda person: (100,), record_s=50
    )
    dataset = labelled.LabelledSet.open(folder)
    train, test = (dataset.side("standard", side) for side in ("train", "test"))
    assert (len(train), len(test)) == (100, 51)
    assert not set(train) & set(test)
    assert not any(dataset.absent("paper_80_20").values())
    records = dataset.read(range(302))
    assert [r["counts"][0, 0] for r in records] == sorted([*range(1, 152)] * 2)


def test_other_folders_are_no_sets(tmp_path, built):
    with pytest.raises(DatasetError, match="no finished set here"):
        labelled.LabelledSet.open(tmp_path)
    with pytest.raises(DatasetError, match="no finished set here"):
        labelled.LabelledSet.open(tmp_path / "nowhere")
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(built)
    with pytest.raises(DatasetError, match="holds several sets"):
        labelled.LabelledSet.open(tmp_path)


def test_the_real_watch_recordings(real_data, tmp_path):
    layout = "x=x_acc,y=y_acc,z=z_acc,unit=m/s2,time=timestamp,time_unit=ms,label=label"
    raw = real_data / "sp_sw_har_watch" / "DATA"
    settings = labelled_csv.settings(
        str(raw / "*_sw.csv"),
        record_s=1.0,
        label_s=1.0,
        options=formats.ReadOptions(csv=formats.CsvLayout.parse(layout)),
        person_regex=r"(?P<person>s\d+)_",
    )
    folder, _ = builder.build(labelled_csv.LabelledCsv, settings, tmp_path)
    dataset = labelled.LabelledSet.open(folder)
    sides = splits.person_split("sp_sw_har_80_20")
    assert set(dataset.people) == set(sides["train"]) | set(sides["test"])
    assert len(dataset.segments) == 92
    assert dataset.scheme("annotation").classes == (
        "SEATED",
        "SITTING_DOWN",
        "STANDING_UP",
        "TURNING",
        "WALKING",
    )
    assert sum(s.samples for s in dataset.segments) / 30 / 60 == pytest.approx(
        17.6, 0.01
    )
    # One file by hand: labels of its samples, counted second by second.
    segment = next(s for s in dataset.segments if s.recording.endswith("s01_01_sw"))
    path = next(raw.glob("**/s01_01_sw.csv"))
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    time = np.array([float(row[-2]) for row in rows]) / 1000
    for window, code in enumerate(segment.labels.code[:-1]):
        # Rounded times and the device's clock may differ by a few samples.
        inside = (time >= segment.start + window) & (time < segment.start + window + 1)
        texts = [row[-1] for row, here in zip(rows, inside, strict=True) if here]
        share = texts.count(dataset.annotations[code]) / len(texts)
        assert share > 0.45
        assert share == pytest.approx(segment.labels.purity[window], abs=0.1)
