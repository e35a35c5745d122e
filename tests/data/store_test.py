"""The store of prepared recordings: what it keeps, what it refuses, what it says."""

import dataclasses
import hashlib
import json
import pathlib
import pickle

import numpy as np
import pytest
import tensorstore as ts

from sigjax.data import splits, store
from sigjax.data.recording import PreparedRecording, WearSegment

RATE_HZ = 1.0  # An hour is 3600 samples: days stay small.
HOUR, DAY = 3600, 86400


def recording(name, lengths=(1000,), *, person=None, seed=0, **changes):
    rng = np.random.default_rng(seed)
    segments = tuple(
        WearSegment(
            start=1e9 + 1e6 * i,
            acceleration=rng.normal(0, 1, (n, 3)).astype(np.float32),
        )
        for i, n in enumerate(lengths)
    )
    fields = dict(
        name=name,
        person=person or name,
        source=f"{name}.cwa",
        device="AX3",
        device_id="7",
        rate_hz=RATE_HZ,
        segments=segments,
        quality={"blocks": np.int64(3), "error_after_g": float("nan")},
    )
    return PreparedRecording(**{**fields, **changes})


def writer(path, **changes):
    return store.StoreWriter(
        path, **{"rate_hz": RATE_HZ, "description": {"lowpass_hz": 20}, **changes}
    )


def filled(path, recordings):
    into = writer(path)
    for item in recordings:
        into.write(item)
    return into.finish()


def test_round_trip_is_exact_to_half_a_count(tmp_path):
    originals = [recording("b", (5000, 90_000), seed=1), recording("a", (10,), seed=2)]
    opened = filled(tmp_path, originals)
    assert [entry.name for entry in opened.entries] == ["a", "b"]
    assert opened.rate_hz == RATE_HZ
    assert opened.description == {"lowpass_hz": 20}
    entry = opened.entries[1]
    assert [segment.samples for segment in entry.segments] == [5000, 90_000]
    assert [segment.start for segment in entry.segments] == [1e9, 1e9 + 1e6]
    assert (entry.device, entry.device_id, entry.source) == ("AX3", "7", "b.cwa")
    assert entry.quality == {"blocks": 3, "error_after_g": None, "clipped_values": 0}
    for index, start, count in [(0, 0, 5000), (1, 3500, 80_000), (1, 89_999, 1)]:
        counts = opened.read(entry, index, start, count)
        assert counts.dtype == np.int16 and counts.shape == (count, 3)
        wanted = originals[0].segments[index].acceleration[start : start + count]
        error = np.abs(counts * entry.segments[index].scale - wanted)
        assert error.max() <= entry.segments[index].scale / 2 + 1e-6


def test_batch_equals_single_reads(tmp_path):
    opened = filled(tmp_path, [recording("a", (9000,)), recording("b", (20_000, 8000))])
    a, b = opened.entries
    crops = [(a, 0, 0), (b, 0, 12_000), (b, 1, 17), (a, 0, 1000)]
    batch = opened.read_batch(crops, 7000)
    for row, (entry, segment, start) in zip(batch, crops, strict=True):
        np.testing.assert_array_equal(row, opened.read(entry, segment, start, 7000))


def test_values_beyond_the_range_are_clipped_and_counted(tmp_path):
    loud = np.zeros((4, 3), np.float32)
    loud[0, 0], loud[1, 1], loud[2, 2] = 16.5, -17, 15.99
    segment = WearSegment(start=0.0, acceleration=loud)
    opened = filled(tmp_path, [recording("a", segments=(segment,))])
    assert opened.entries[0].quality["clipped_values"] == 2
    counts = opened.read(opened.entries[0], 0, 0, 4)
    assert (counts[0, 0], counts[1, 1]) == (32767, -32768)
    assert counts[2, 2] == round(15.99 * 2048)


def test_layout_on_disk(tmp_path):
    filled(tmp_path, [recording("a", (2 * DAY + 5000,))])
    array = tmp_path / "recordings" / "a" / "0"
    meta = json.loads((array / "zarr.json").read_text())
    assert meta["zarr_format"] == 3 and meta["data_type"] == "int16"
    assert meta["shape"] == [2 * DAY + 5000, 3]
    assert meta["chunk_grid"]["configuration"]["chunk_shape"] == [DAY, 3]
    (codec,) = meta["codecs"]
    assert codec["name"] == "sharding_indexed"
    assert codec["configuration"]["chunk_shape"] == [HOUR, 3]
    inner = {
        c["name"]: c.get("configuration") for c in codec["configuration"]["codecs"]
    }
    assert inner["blosc"]["cname"] == "lz4"
    assert inner["blosc"]["shuffle"] == "bitshuffle"
    assert "crc32c" in inner
    files = sorted(p.name for p in (array / "c").rglob("*") if p.is_file())
    assert len(files) == 3  # One per day.
    # Readable by anybody: no sigjax involved.
    plain = ts.open({"driver": "zarr3", "kvstore": array.as_uri() + "/"}).result()
    assert plain.shape == (2 * DAY + 5000, 3)


def test_compression_is_on(tmp_path):
    quiet = np.round(np.random.default_rng(0).normal(0, 0.01, (DAY, 3)), 3)
    segment = WearSegment(start=0.0, acceleration=quiet.astype(np.float32))
    filled(tmp_path, [recording("a", segments=(segment,))])
    (shard,) = (p for p in (tmp_path / "recordings/a/0/c").rglob("*") if p.is_file())
    assert shard.stat().st_size < 0.6 * DAY * 3 * 2


def test_an_hour_of_zeros_is_stored_not_implied(tmp_path):
    still = np.zeros((3 * HOUR, 3), np.float32)
    segment = WearSegment(start=0.0, acceleration=still)
    opened = filled(tmp_path, [recording("a", segments=(segment,))])
    assert not opened.read(opened.entries[0], 0, 0, 3 * HOUR).any()


def test_a_recording_without_wear_is_kept(tmp_path):
    opened = filled(tmp_path, [recording("a", (), quality={"status": "no wear"})])
    assert opened.entries[0].segments == ()
    assert opened.entries[0].quality["status"] == "no wear"


def test_interrupted_write_is_written_anew(tmp_path):
    into = writer(tmp_path)
    into.write(recording("a", (9000, 9000, 9000)))
    (tmp_path / "recordings/a/recording.json").unlink()  # Killed just before the end.
    again = writer(tmp_path)
    assert not again.has("a")
    again.write(recording("b"))
    assert [entry.name for entry in again.finish().entries] == ["b"]
    again.write(recording("a", (500,), seed=5))
    assert again.has("a")
    opened = again.finish()
    assert [segment.samples for segment in opened.entries[0].segments] == [500]
    assert not (tmp_path / "recordings/a/1").joinpath("zarr.json").exists()


def test_unfinished_store_does_not_open(tmp_path):
    into = writer(tmp_path)
    into.write(recording("a"))
    with pytest.raises(store.StoreError, match=r"unfinished.*finish\(\)"):
        store.Store.open(tmp_path)
    into.finish()
    writer(tmp_path).write(recording("b"))  # The old index no longer tells the truth.
    with pytest.raises(store.StoreError, match="unfinished"):
        store.Store.open(tmp_path)


def test_fingerprint_follows_the_data(tmp_path):
    first = filled(tmp_path / "1", [recording("a"), recording("b")])
    second = filled(tmp_path / "2", [recording("b"), recording("a")])
    other = filled(tmp_path / "3", [recording("a", seed=9), recording("b")])
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != other.fingerprint
    assert store.Store.open(tmp_path / "1").fingerprint == first.fingerprint


def test_pickles(tmp_path):
    opened = filled(tmp_path, [recording("a", (8000,))])
    before = opened.read(opened.entries[0], 0, 100, 7000)
    copy = pickle.loads(pickle.dumps(opened))
    assert copy.entries == opened.entries and copy.fingerprint == opened.fingerprint
    np.testing.assert_array_equal(before, copy.read(copy.entries[0], 0, 100, 7000))


def test_open_arrays_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_OPEN_ARRAYS", 2)
    opened = filled(tmp_path, [recording(f"r{i}") for i in range(5)])
    for entry in opened.entries * 2:
        opened.read(entry, 0, 0, 10)
    assert opened._array.cache_info().currsize == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_hz": 2.0}, r"rate_hz is 1\.0 there, 2\.0 here"),
        ({"description": {"lowpass_hz": 15}}, "lowpass_hz is 20 there, 15 here"),
        ({"description": {}}, "description.*lowpass_hz is 20 there"),
    ],
)
def test_a_store_prepared_differently_is_refused(tmp_path, changes, message):
    writer(tmp_path).write(recording("a"))
    with pytest.raises(store.StoreError, match=message):
        writer(tmp_path, **changes)


def test_writer_refuses_what_it_cannot_keep(tmp_path):
    into = writer(tmp_path)
    with pytest.raises(store.StoreError, match=r"at 100\.0 Hz.*store at 1\.0 Hz"):
        into.write(recording("a", rate_hz=100.0))
    bad = np.full((5, 3), np.nan, np.float32)
    with pytest.raises(store.StoreError, match="'a', segment 0.*not finite"):
        into.write(recording("a", segments=(WearSegment(start=0, acceleration=bad),)))
    for name in ("", "..", "a/b", ".hidden", "a\nb"):
        with pytest.raises(store.StoreError, match="cannot name a recording"):
            into.write(dataclasses.replace(recording("x"), name=name))
    with pytest.raises(store.StoreError, match="no recordings"):
        into.finish()


def test_missing_foreign_and_empty_stores(tmp_path):
    with pytest.raises(store.StoreError, match=r"no store here.*store\.json"):
        store.Store.open(tmp_path / "nowhere")
    (tmp_path / "store.json").write_text('{"hello": 1}')
    with pytest.raises(store.StoreError, match=r"store\.json.*not sigjax's"):
        store.Store.open(tmp_path)
    (tmp_path / "store.json").write_text('{"format":')
    with pytest.raises(store.StoreError, match=r"store\.json is damaged"):
        writer(tmp_path)
    header = {"format": store.layout.FORMAT, "version": 99, "rate_hz": 1, "units": "g"}
    (tmp_path / "store.json").write_text(json.dumps({**header, "description": {}}))
    with pytest.raises(store.StoreError, match="version 99"):
        store.Store.open(tmp_path)


def test_truncated_and_damaged_index(tmp_path):
    filled(tmp_path, [recording("a"), recording("b")])
    index = tmp_path / "index.jsonl"
    whole = index.read_bytes()
    index.write_bytes(whole[: whole.index(b"\n") + 1])  # Cut between two lines.
    with pytest.raises(store.StoreError, match=r"truncated.*finish\(\)"):
        store.Store.open(tmp_path)
    for content, message in [(b'{"name"\n', "line 1 is damaged"), (b"", "no record")]:
        index.write_bytes(content)
        checksum = hashlib.sha256(content).hexdigest()
        (tmp_path / "index.sha256").write_text(f"{checksum}  index.jsonl\n")
        with pytest.raises(store.StoreError, match=message):
            store.Store.open(tmp_path)
    assert len(writer(tmp_path).finish().entries) == 2  # As the message advises.


def test_damaged_recording_json_is_named(tmp_path):
    into = writer(tmp_path)
    into.write(recording("a"))
    (tmp_path / "recordings/a/recording.json").write_text("{")
    with pytest.raises(store.StoreError, match=r"recordings/a/recording\.json is dam"):
        into.finish()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_data_names_recording_and_file(tmp_path, damage):
    opened = filled(tmp_path, [recording("a", (9000,))])
    (shard,) = (p for p in (tmp_path / "recordings/a/0/c").rglob("*") if p.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 4] ^= 4
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(
            content[: len(content) // 2 if damage == "truncated" else None]
        )
    with pytest.raises(store.StoreError, match=r"recording 'a'.*recordings/a/0"):
        opened.read(opened.entries[0], 0, 0, 9000)


def test_opening_an_array_reads_nothing(tmp_path):
    opened = filled(tmp_path, [recording("a", (9000,))])
    before = opened.read(opened.entries[0], 0, 0, 9000)
    (tmp_path / "recordings/a/0/zarr.json").unlink()
    again = store.Store.open(tmp_path)
    np.testing.assert_array_equal(before, again.read(again.entries[0], 0, 0, 9000))


def test_reading_outside_a_segment_is_refused(tmp_path):
    opened = filled(tmp_path, [recording("a", (100,))])
    for start, count in [(-1, 5), (96, 5), (0, 101)]:
        with pytest.raises(ValueError, match="outside its 100"):
            opened.read(opened.entries[0], 0, start, count)


def test_a_url_passes_through_to_tensorstore(tmp_path):
    url = (tmp_path / "with space").as_uri()
    opened = filled(url, [recording("a 1%", (50,))])
    assert opened.path == url
    assert store.Store.open(tmp_path / "with space").fingerprint == opened.fingerprint
    for scheme, driver in [("gs", "gcs"), ("s3", "s3")]:
        files = store.layout.Files(f"{scheme}://bucket/some/store")
        spec = files.spec("recordings/a 1%/0")
        assert (spec["driver"], spec["bucket"]) == (driver, "bucket")
        assert spec["path"] == "some/store/recordings/a 1%/0/"


def test_many_writers_one_store(tmp_path):
    first, second = writer(tmp_path), writer(tmp_path)
    first.write(recording("a"))
    second.write(recording("b"))
    assert second.has("a") and not second.has("c")
    assert [entry.name for entry in first.finish().entries] == ["a", "b"]


def test_no_person_is_on_both_sides(tmp_path: pathlib.Path):
    people = [f"p{i}" for i in range(10)]
    opened = filled(
        tmp_path, [recording(f"{p}-{i}", person=p) for p in people for i in range(2)]
    )
    seen = set()
    for seed in range(5):
        train, validation = splits.split_people(
            opened.entries, validation_fraction=0.25, seed=seed
        )
        ours, theirs = ({e.person for e in side} for side in (train, validation))
        assert not ours & theirs and len(theirs) == 3  # Rounded up.
        assert sorted((*train, *validation), key=lambda e: e.name) == list(
            opened.entries
        )
        seen.add(frozenset(theirs))
        again = splits.split_people(
            opened.entries[::-1], validation_fraction=0.25, seed=seed
        )
        assert again[1] == validation[::-1]
    assert len(seen) > 1
    for fraction, count in [(0.1, 1), (0.11, 2), (0.7, 7), (0.0, 0)]:
        _, validation = splits.split_people(
            opened.entries, validation_fraction=fraction, seed=0
        )
        assert len({e.person for e in validation}) == count


def test_a_newcomer_moves_at_most_one_person():
    def entries(count):
        return [
            store.Entry(
                name=f"r{i}",
                person=f"p{i}",
                source="",
                device="",
                device_id="",
                rate_hz=1.0,
                segments=(),
                quality={},
            )
            for i in range(count)
        ]

    def held_out(count, fraction=0.2):
        sides = splits.split_people(
            entries(count), validation_fraction=fraction, seed=3
        )
        return {entry.person for entry in sides[1]}

    assert len(held_out(100, 0.07)) == 7  # 0.07 * 100 > 7 in floating point.
    for count in range(5, 60):
        assert len(held_out(count) - held_out(count + 1)) <= 1
        assert len(held_out(count + 1) - held_out(count)) <= 1


def test_splits_that_leave_nobody(tmp_path):
    opened = filled(tmp_path, [recording("a"), recording("b", person="a")])
    with pytest.raises(ValueError, match="leaves nobody to train on"):
        splits.split_people(opened.entries, validation_fraction=0.1, seed=0)
    for fraction in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"not in \[0, 1\)"):
            splits.split_people(opened.entries, validation_fraction=fraction, seed=0)
    train, validation = splits.split_people(
        opened.entries, validation_fraction=0, seed=0
    )
    assert len(train) == 2 and validation == ()
