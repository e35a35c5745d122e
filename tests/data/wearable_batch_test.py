"""Many files into one store: names, persons, restarts, and files that fail."""

import dataclasses
import functools
import json
import os
import pathlib
import pickle

import numpy as np
import pytest
from etils import epath

from sigjax.data import formats
from sigjax.data import recording as rec
from sigjax.data import store as stores
from sigjax.data.wearable import batch, jobs, lock, names, plan, prepare

CONFIG = dataclasses.replace(
    prepare.PRESETS["paper"], on_calibration_failure="keep", min_wear_h=0.01
)


def write_e4(path: pathlib.Path, seconds=60, seed=0):
    """An Empatica E4 accelerometer file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    counts = rng.integers(-20, 20, (seconds * 32, 3)) + [0, 0, 60]
    rows = [f"{x},{y},{z}" for x, y, z in counts]
    head = ["1644226061.0, " * 2 + "1644226061.0", "32.0, 32.0, 32.0"]
    path.write_text("\n".join(head + rows) + "\n")
    return path


def _prepare(folder, store, config=CONFIG, **options):
    paths, skipped = formats.find_recordings(folder)
    return batch.prepare_files(paths, store, config, skipped=skipped, **options)


def _entries(store):
    return {entry.name: entry for entry in stores.Store.open(store).entries}


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    raw = tmp_path / "raw"
    write_e4(raw / "S01" / "ACC.csv")
    write_e4(raw / "S02" / "ACC.csv", seed=1)
    (raw / "broken.cwa").write_bytes(b"MD")
    (raw / "notes.csv").write_text("some,text\n")
    (raw / "other.csv").write_text("more,text\n")
    report = _prepare(raw, tmp_path / "store")
    assert (report.found, report.prepared, report.already_there) == (3, 2, 0)
    ((path, reason),) = report.unreadable
    assert path.endswith("broken.cwa") and "2 bytes" in reason
    assert sorted(epath.Path(p).name for p, _ in report.unsupported) == [
        "notes.csv",
        "other.csv",
    ]
    entries = _entries(tmp_path / "store")
    assert {name: e.person for name, e in entries.items()} == {
        "S01_ACC": "S01",
        "S02_ACC": "S02",
    }
    assert report.persons == report.segments == 2
    assert report.hours["recorded"] == pytest.approx(2 / 60, abs=1e-3)
    written = json.loads((tmp_path / "store" / "report.json").read_text())
    assert written["found"] == 3 and written["unreadable"][0][1] == reason


def test_restart_skips_what_is_there_and_adds_what_is_new(tmp_path, monkeypatch):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "S01" / "ACC.csv")
    write_e4(raw / "S02" / "ACC.csv", seed=1)
    assert _prepare(raw, store).prepared == 2
    write_e4(raw / "S03" / "ACC.csv", seed=2)
    read = []
    original = formats.read_recording
    monkeypatch.setattr(
        formats,
        "read_recording",
        lambda p, *a: read.append(epath.Path(p).parent.name) or original(p, *a),
    )
    report = _prepare(raw, store)
    assert read == ["S03"]
    assert (report.found, report.prepared, report.already_there) == (3, 1, 2)
    assert report.segments == 3
    assert _prepare(raw, store).already_there == 3


def test_another_file_of_the_same_name_is_not_taken_for_the_one_stored(tmp_path):
    store = tmp_path / "store"
    for number in (1, 2):
        folder = tmp_path / f"S{number:02d}"
        write_e4(folder / "ACC.csv", seed=number)
        assert _prepare(folder, store).prepared == 1
        assert _prepare(folder, store).already_there == 1
    entries = _entries(store)
    assert len(entries) == 2 and "ACC" in entries
    assert {entry.person for entry in entries.values()} == {"S01", "S02"}


def test_a_store_prepared_otherwise_is_refused(tmp_path):
    write_e4(tmp_path / "raw" / "ACC.csv")
    _prepare(tmp_path / "raw", tmp_path / "store")
    other = dataclasses.replace(CONFIG, lowpass_hz=10.0)
    with pytest.raises(stores.StoreError, match="lowpass_hz"):
        _prepare(tmp_path / "raw", tmp_path / "store", other)


def test_nothing_usable_is_an_error_with_reasons(tmp_path):
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")
    (tmp_path / "raw" / "broken.cwa").write_bytes(b"")
    config = dataclasses.replace(CONFIG, min_wear_h=24.0)
    with pytest.raises(batch.NothingPreparedError) as error:
        _prepare(tmp_path / "raw", tmp_path / "store", config)
    message = str(error.value)
    assert "1 unreadable, 1 dropped" in message
    assert "no 24 h of contiguous wear" in message and "empty" in message
    assert (tmp_path / "store" / "report.json").exists()
    with pytest.raises(batch.NothingPreparedError, match="0 device files"):
        batch.prepare_files([], tmp_path / "none", CONFIG)


def test_an_unforeseen_failure_is_reported_with_its_place(tmp_path, monkeypatch):
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")
    write_e4(tmp_path / "raw" / "S02" / "ACC.csv", seed=1)
    original = prepare.prepare_recording

    def fail_once(recording, config, *, name, person):
        if person == "S01":
            raise IndexError("odd")
        return original(recording, config, name=name, person=person)

    monkeypatch.setattr(prepare, "prepare_recording", fail_once)
    report = _prepare(tmp_path / "raw", tmp_path / "store")
    ((path, reason),) = report.unreadable
    assert "S01" in path and reason.startswith("IndexError at wearable_batch_test.py:")
    assert report.prepared == 1


def test_person_from_the_path(tmp_path):
    raw = tmp_path / "raw"
    write_e4(raw / "anna_left" / "ACC.csv")
    write_e4(raw / "anna_right" / "ACC.csv", seed=1)
    write_e4(raw / "nobody" / "ACC.csv", seed=2)
    regex = r"(?P<person>[a-z]+)_(left|right)/"
    report = _prepare(raw, tmp_path / "store", person_regex=regex)
    assert report.persons == 1 and report.prepared == 2
    ((path, reason),) = report.unreadable
    assert "nobody" in path and "person_regex" in reason
    with pytest.raises(ValueError, match="no group named person"):
        _prepare(raw, tmp_path / "store", person_regex=r"([a-z]+)_")


def test_person_from_header_folder_or_name():
    def recording(device, **metadata):
        return rec.Recording(
            source="",
            device=device,
            device_id="",
            nominal_rate_hz=100.0,
            segments=(),
            quality={},
            metadata=metadata,
        )

    path = "study/S07/wave.1.cwa.gz"
    assert names.person_of(path, recording("AX3", subject_code="P9 "), "") == "P9"
    assert names.person_of(path, recording("AX3", subject_code=" "), "") == "wave.1"
    assert names.person_of(path, recording("E4"), "") == "S07"


def test_names_are_unique_and_can_be_folders():
    def named(*paths, root=None):
        return names.unique_names([epath.Path(path) for path in paths], root)

    assert named("r/S01/ACC.csv", "r/S02/ACC.csv") == ["S01_ACC", "S02_ACC"]
    assert named("r/S01/ACC.csv", root="r") == ["S01_ACC"]
    assert named("r/a b/ü.cwa", root="r") == ["a_b__"]
    assert named("r/.hidden.cwa") == ["hidden"]
    for pair in (
        ("r/a.cwa", "r/a.bin"),
        ("r/a_b/c.cwa", "r/a/b_c.cwa"),
        ("A.x", "a.y"),
    ):
        first, second = named(*pair)
        assert first.lower() != second.lower()
    assert named() == []


def test_prepare_file_can_go_to_another_process(tmp_path):
    path = write_e4(tmp_path / "ACC.csv")
    job = functools.partial(jobs.prepare_file, path, CONFIG, name="x")
    prepared = pickle.loads(pickle.dumps(job))()
    assert prepared.name == "x" and prepared.segments


def _failures(store):
    folder = pathlib.Path(store) / "failures"
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert [f"{row['name']}.json" for row in rows] == sorted(
        path.name for path in folder.glob("*.json")
    )
    return {row["source"]: row for row in rows}


def test_every_file_ends_in_one_way(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "S01" / "ACC.csv")
    write_e4(raw / "S02" / "ACC.csv", seconds=10)
    (raw / "broken.cwa").write_bytes(b"MD")
    (raw / "notes.csv").write_text("some,text\n")
    for already in (0, 2):
        report = _prepare(raw, store)
        ends = (report.used, *map(len, (report.dropped, report.unreadable)))
        assert ends == (1, 1, 1) and len(report.unsupported) == 1
        assert report.found == sum(ends) == 3
        assert report.files == 4 == sum(1 for p in raw.rglob("*") if p.is_file())
        assert report.already_there == already
        failures = _failures(store)
        assert {row["status"] for row in failures.values()} == {
            "unreadable",
            "unsupported",
        }
        # The store says the same of every file, whichever run it came with.
        entries = _entries(store).values()
        sources = [entry.source for entry in entries] + list(failures)
        assert sorted(sources) == sorted(str(p) for p in raw.rglob("*") if p.is_file())
    for entry in entries:
        assert entry.quality["seconds"] > 0
        path = pathlib.Path(entry.source)
        assert entry.quality["bytes"] == path.stat().st_size
        assert entry.quality["fingerprint"] == jobs.fingerprint(path)


def test_a_failure_goes_when_the_file_can_be_read(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "S01" / "ACC.csv")
    good = (raw / "S01" / "ACC.csv").read_text()
    (raw / "S02").mkdir()
    (raw / "S02" / "ACC.csv").write_text("some,text\n")
    assert len(_prepare(raw, store).unsupported) == 1
    assert len(_failures(store)) == 1
    (raw / "S02" / "ACC.csv").write_text(good.replace("1644226061", "1644226062"))
    report = _prepare(raw, store)
    assert (report.used, report.unsupported) == (2, ())
    assert _failures(store) == {}


def test_a_failure_goes_when_its_cause_has_gone(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "S01" / "ACC.csv")
    write_e4(raw / "S02" / "ACC.csv", seed=1)
    assert _prepare(raw, store, person_regex="(?P<person>S01)").used == 1
    (failure,) = _failures(store).values()
    assert failure["status"] == "unreadable" and "person_regex" in failure["reason"]
    assert _prepare(raw, store, person_regex="(?P<person>S0.)").used == 2
    assert _failures(store) == {}


def test_a_failure_stays_though_a_copy_of_the_file_is_used(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    for folder in ("S01", "X02"):
        write_e4(raw / folder / "ACC.csv")
    for _ in range(2):
        report = _prepare(raw, store, person_regex=r"(?P<person>S\d+)")
        assert (report.used, len(report.unreadable)) == (1, 1)
        assert list(_failures(store)) == [str(raw / "X02" / "ACC.csv")]


def test_failures_of_the_same_name_are_all_kept(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.cwa").write_bytes(folder.encode())
        with pytest.raises(batch.NothingPreparedError):
            _prepare(tmp_path / folder, tmp_path / "store")
    assert len(_failures(tmp_path / "store")) == 2


def test_what_is_there_is_not_even_opened(tmp_path, monkeypatch):
    raw, store = tmp_path / "raw", tmp_path / "store"
    for number in range(3):
        write_e4(raw / f"S{number}" / "ACC.csv", seed=number)
    first = _prepare(raw, store)
    index = (store / "index.jsonl").stat().st_mtime_ns
    monkeypatch.setattr(jobs, "fingerprint", None)
    second = _prepare(raw, store)
    assert (second.prepared, second.already_there, second.used) == (0, 3, 3)
    assert second.hours == first.hours
    assert (store / "index.jsonl").stat().st_mtime_ns == index


def test_a_changed_file_replaces_what_it_gave_before(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "S01" / "ACC.csv", seconds=60)
    before = _prepare(raw, store)
    write_e4(raw / "S01" / "ACC.csv", seconds=120)
    after = _prepare(raw, store)
    assert (after.prepared, after.already_there, after.segments) == (1, 0, 1)
    assert after.hours["recorded"] == pytest.approx(2 * before.hours["recorded"], 0.01)


def test_a_moved_or_touched_file_is_known(tmp_path):
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")
    _prepare(tmp_path / "raw", tmp_path / "store", root=tmp_path / "raw")
    (tmp_path / "raw").rename(tmp_path / "moved")
    os.utime(tmp_path / "moved" / "S01" / "ACC.csv", (1, 1))
    report = _prepare(tmp_path / "moved", tmp_path / "store", root=tmp_path / "moved")
    assert (report.already_there, report.prepared, report.segments) == (1, 0, 1)


def test_a_file_found_later_does_not_rename_another(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "b" / "c" / "ACC.csv")
    _prepare(raw, store, root=raw)
    write_e4(raw / "a", seed=1).rename(raw / "b_c_ACC.csv")
    write_e4(raw / "b_c" / "ACC.csv", seed=2)
    report = _prepare(raw, store, root=raw)
    assert report.already_there == 1
    assert report.used == report.segments == len(_entries(store))


def test_relative_paths_of_two_places_are_two_files(tmp_path, monkeypatch):
    for folder, seconds in (("one", 60), ("two", 90)):
        write_e4(tmp_path / folder / "ACC.csv", seconds=seconds)
        monkeypatch.chdir(tmp_path / folder)
        report = batch.prepare_files(["ACC.csv"], tmp_path / "store", CONFIG)
    assert report.segments == 2
    assert {e.source for e in _entries(tmp_path / "store").values()} == {
        str(tmp_path / "one" / "ACC.csv"),
        str(tmp_path / "two" / "ACC.csv"),
    }


def test_a_store_read_otherwise_is_refused(tmp_path):
    write_e4(tmp_path / "raw" / "ACC.csv")
    _prepare(tmp_path / "raw", tmp_path / "store")
    options = formats.ReadOptions(tz="Europe/London")
    with pytest.raises(stores.StoreError, match="tz is '' there, 'Europe/London' here"):
        _prepare(tmp_path / "raw", tmp_path / "store", options=options)


def test_other_persons_than_the_stores_are_refused(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_e4(raw / "anna_left" / "ACC.csv")
    assert _prepare(raw, store).persons == 1
    regex = r"(?P<person>[a-z]+)_left"
    with pytest.raises(stores.StoreError, match="'anna_left'.*'anna'"):
        _prepare(raw, store, person_regex=regex)
    assert _prepare(raw, store, person_regex=r"(?P<person>[a-z]+_left)").used == 1


def test_a_store_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch):
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")

    def full(*_):
        raise ValueError("no space left")

    monkeypatch.setattr(stores.StoreWriter, "write", full)
    with pytest.raises(ValueError, match="no space left"):
        _prepare(tmp_path / "raw", tmp_path / "store")
    assert not (tmp_path / "store" / "failures").exists()


def test_files_that_a_runner_leaves_undone_are_an_error(tmp_path):
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")
    with pytest.raises(stores.StoreError, match="1 files were not done.*ACC.csv"):
        _prepare(tmp_path / "raw", tmp_path / "store", runner=lambda *_: ())


def test_a_store_in_use_is_refused_and_planning_writes_nothing(tmp_path):
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")
    with lock.only_writer(tmp_path / "store"):
        with pytest.raises(stores.StoreError, match="another preparation"):
            _prepare(tmp_path / "raw", tmp_path / "store")
    assert _prepare(tmp_path / "raw", tmp_path / "store").used == 1
    settings = jobs.Settings(store=str(tmp_path / "new"), config=CONFIG)
    todo = plan.make_plan(formats.find_recordings(tmp_path / "raw")[0], settings)
    assert len(todo.jobs) == 1 and todo.bytes > 0
    assert not (tmp_path / "new").exists()


def test_a_store_named_by_url(tmp_path):
    """Every access goes through what buckets are reached with, too."""
    write_e4(tmp_path / "raw" / "S01" / "ACC.csv")
    url = f"file://{tmp_path}/store"
    assert _prepare(tmp_path / "raw", url).used == 1
    assert _prepare(tmp_path / "raw", url).already_there == 1
    assert (
        stores.Store.open(url).entries == stores.Store.open(tmp_path / "store").entries
    )


def test_each_person_of_an_array_of_windows_is_a_recording(tmp_path):
    rng = np.random.default_rng(0)
    windows = (rng.standard_normal((12, 300, 3)) * 0.1 + [0, 0, 1]).astype(np.float32)
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "X.npy", windows)
    np.save(tmp_path / "raw" / "pid.npy", np.repeat(["P1", "P2"], 6))
    np.save(tmp_path / "raw" / "time.npy", np.arange(12) * 10.0 + 1.7e9)
    report = _prepare(tmp_path / "raw", tmp_path / "store")
    assert report.used == report.prepared == 2
    people = {entry.person for entry in _entries(tmp_path / "store").values()}
    assert people == {"P1", "P2"}
    assert _prepare(tmp_path / "raw", tmp_path / "store").prepared == 0
    np.save(tmp_path / "raw" / "X.npy", windows[:, ::-1] * 1.1)
    os.utime(tmp_path / "raw" / "X.npy", (1.9e9, 1.9e9))
    assert _prepare(tmp_path / "raw", tmp_path / "store").prepared == 2
