"""Batches of crops: complete, reproducible, and the same whoever reads them."""

import collections
import itertools
import logging
import pickle

import grain
import numpy as np
import pytest

from sigjax.data import crops, pipeline, store
from sigjax.data.recording import PreparedRecording, WearSegment

RATE_HZ = 2.0
CROP_S = 50.0  # 100 samples.


def counting_recording(number, lengths):
    """Axis 0 tells the recording, axis 1 the segment, axis 2 the sample."""
    segments = []
    for index, length in enumerate(lengths):
        counts = np.zeros((length, 3), np.float32)
        counts[:, 0], counts[:, 1], counts[:, 2] = number, index, np.arange(length)
        segments.append(
            WearSegment(
                start=1e9 + index, acceleration=counts * np.float32(store.SCALE)
            )
        )
    return PreparedRecording(
        name=f"r{number:02}",
        person=f"p{number}",
        source="",
        device="AX3",
        device_id="",
        rate_hz=RATE_HZ,
        segments=tuple(segments),
        quality={},
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    into = store.StoreWriter(
        tmp_path_factory.mktemp("store"), rate_hz=RATE_HZ, description={}
    )
    for number in range(10):
        # A day and more, a stretch of exactly one crop, one that is too short.
        lengths = (16_000 + number, 99, 100) if number % 2 else (130, 300 + number)
        into.write(counting_recording(number, lengths))
    into.write(counting_recording(10, (99, 50)))
    into.write(counting_recording(11, ()))
    return into.finish()


@pytest.fixture(scope="module")
def source(opened):
    return crops.CropSource(opened, opened.entries, crops.CropConfig(crop_s=CROP_S))


def take(source, count, **options):
    options = {"batch_size": 4, "seed": 7, **options}
    return list(itertools.islice(pipeline.train_batches(source, **options), count))


def row_keys(batch):
    """What each row is: recording, segment, first sample, seed."""
    first = batch["counts"][:, 0].tolist()
    ids = zip(batch["recording"].tolist(), batch["seed"].tolist(), strict=True)
    return [(*row, *key) for row, key in zip(first, ids, strict=True)]


def assert_equal(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key])


def test_batch_shapes_and_types(source):
    (batch,) = take(source, 1)
    shapes = {key: (value.shape, str(value.dtype)) for key, value in batch.items()}
    assert shapes == {
        "counts": ((4, 100, 3), "int16"),
        "scale": ((4,), "float32"),
        "seed": ((4,), "uint32"),
        "recording": ((4,), "int32"),
    }
    assert (batch["scale"] == np.float32(store.SCALE)).all()


def test_crops_are_contiguous_and_of_their_recording(source):
    for batch in take(source, 30):
        for row, recording in zip(batch["counts"], batch["recording"], strict=True):
            assert (row[:, 0] == row[0, 0]).all() and (row[:, 1] == row[0, 1]).all()
            # int16 holds the sample number of 16,000 samples.
            np.testing.assert_array_equal(np.diff(row[:, 2]), 1)
            assert source.entries[recording].name == f"r{row[0, 0]:02}"


def test_crops_never_cross_the_end_of_a_segment(source):
    rng = np.random.default_rng(0)
    for recording, entry in enumerate(source.entries):
        for _ in range(2000):
            crop = source.plan(recording, rng)
            segment = entry.segments[crop.segment]
            assert 0 <= crop.start <= segment.samples - source.samples


def test_every_place_is_equally_likely(source):
    # Segments of 130 and 300 samples: 31 and 201 places.
    entry = source.entries[0]
    assert [segment.samples for segment in entry.segments] == [130, 300]
    rng = np.random.default_rng(1)
    drawn = [source.plan(0, rng) for _ in range(232 * 100)]
    places = collections.Counter((crop.segment, crop.start) for crop in drawn)
    wanted = {(0, i) for i in range(31)} | {(1, i) for i in range(201)}
    assert set(places) == wanted
    expected = 100
    chi2 = sum((count - expected) ** 2 / expected for count in places.values())
    assert chi2 < 231 + 5 * np.sqrt(2 * 231)


def test_deterministic_by_seed(source):
    assert_equal(take(source, 8), take(source, 8))
    assert row_keys(take(source, 1)[0]) != row_keys(take(source, 1, seed=8)[0])


def test_threads_and_prefetch_change_nothing(source):
    plain = take(source, 8, read_threads=0, prefetch_batches=0)
    assert_equal(plain, take(source, 8, read_threads=3, prefetch_batches=5))


def test_workers_change_nothing(source):
    assert_equal(
        take(source, 7, start_step=2), take(source, 7, start_step=2, workers=2)
    )


@pytest.mark.parametrize("shard_count", [2, 4])
def test_processes_share_the_same_global_batches(source, shard_count):
    whole = take(source, 9)
    parts = [
        take(source, 9, shard_index=index, shard_count=shard_count)
        for index in range(shard_count)
    ]
    for step, batch in enumerate(whole):
        rows = row_keys(batch)
        for index, part in enumerate(parts):
            assert row_keys(part[step]) == rows[index::shard_count]


def test_resumes_by_step(source):
    assert_equal(take(source, 12)[5:], take(source, 7, start_step=5))
    # On another number of processes.
    whole = take(source, 12)
    half = take(source, 7, start_step=5, shard_index=1, shard_count=2)
    for batch, part in zip(whole[5:], half, strict=True):
        assert row_keys(part) == row_keys(batch)[1::2]


def test_grain_state_also_resumes(source):
    batches = pipeline.train_batches(source, batch_size=4, seed=7)
    assert isinstance(batches, grain.DatasetIterator)
    assert len([next(batches) for _ in range(2)]) == 2
    state = batches.get_state()
    following = [next(batches) for _ in range(4)]
    again = pipeline.train_batches(source, batch_size=4, seed=7)
    again.set_state(state)
    assert_equal(following, [next(again) for _ in range(4)])


def test_planned_crops_tell_what_a_step_read(source):
    plans = pipeline.train_crops(source, seed=7)
    for step, batch in enumerate(take(source, 6)):
        read = [(key[3], key[1], key[2], key[4]) for key in row_keys(batch)]
        assert [plans[4 * step + row] for row in range(4)] == read


def test_epochs_reshuffle_and_cut_anew(source):
    batches = take(source, 15, batch_size=2)
    assert pipeline.steps_per_epoch(source, 2) == 5
    epochs = [batches[i : i + 5] for i in (0, 5, 10)]
    orders = [np.concatenate([b["recording"] for b in epoch]) for epoch in epochs]
    for order in orders:
        assert sorted(order) == list(range(10))
    assert len({tuple(order) for order in orders}) == 3
    keys = [key for batch in batches for key in row_keys(batch)]
    assert len(set(keys)) == len(keys)
    assert len({key[-1] for key in keys}) == len(keys)  # Seeds.


def test_batches_run_across_epochs(source):
    # Ten recordings in batches of four: twenty in five batches.
    rows = np.concatenate([batch["recording"] for batch in take(source, 5)])
    assert collections.Counter(rows.tolist()) == dict.fromkeys(range(10), 2)
    assert pipeline.steps_per_epoch(source, 4) == 3


@pytest.mark.parametrize("shard_count", [1, 2, 4])
def test_evaluation_covers_each_recording_once(source, shard_count):
    seen = []
    for index in range(shard_count):
        batches = list(
            pipeline.eval_batches(
                source,
                batch_size=4,
                seed=3,
                shard_index=index,
                shard_count=shard_count,
            )
        )
        assert len(batches) == 3
        for batch in batches:
            assert batch["counts"].shape == (4 // shard_count, 100, 3)
            assert batch["weight"].dtype == np.float32
            assert set(batch["weight"].tolist()) <= {0.0, 1.0}
            keys = zip(row_keys(batch), batch["weight"], strict=True)
            seen += [key for key, weight in keys if weight]
    assert sorted(key[3] for key in seen) == list(range(10))
    whole = pipeline.eval_batches(source, batch_size=10, seed=3)
    assert sorted(seen) == sorted(key for batch in whole for key in row_keys(batch))


def test_evaluation_crops_depend_on_seed_and_name_alone(opened, source):
    config = crops.CropConfig(crop_s=CROP_S)
    fewer = crops.CropSource(opened, opened.entries[3:6], config)
    for position, entry in enumerate(fewer.entries):
        same = source.fixed_plan(source.entries.index(entry), 3)
        assert fewer.fixed_plan(position, 3)[1:] == same[1:]
        assert fewer.fixed_plan(position, 4)[1:] != same[1:]


def test_evaluation_dataset_resumes(source):
    batches = pipeline.eval_batches(source, batch_size=4, seed=3)

    class Again:
        def __iter__(self):
            return pipeline.eval_batches(source, batch_size=4, seed=3)

    grain.experimental.assert_equal_output_after_checkpoint(Again())
    assert len(list(batches)) == 3


def test_too_short_recordings_are_reported(opened, caplog):
    with caplog.at_level(logging.WARNING):
        source = crops.CropSource(
            opened, opened.entries, crops.CropConfig(crop_s=CROP_S)
        )
    assert source.too_short == ("r10", "r11")
    assert "2 of 12 recordings are not used" in caplog.text and "r10" in caplog.text
    assert len(source) == 10


def test_crops_that_fit_nowhere(opened):
    with pytest.raises(store.StoreError, match=r"none of 12.*90000.*8004\.5 s"):
        crops.CropSource(opened, opened.entries, crops.CropConfig(crop_s=90_000))
    with pytest.raises(store.StoreError, match=r"none of 0 recordings"):
        crops.CropSource(opened, (), crops.CropConfig(crop_s=CROP_S))
    with pytest.raises(ValueError, match="less than one sample"):
        crops.CropSource(opened, opened.entries, crops.CropConfig(crop_s=0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 6, "shard_count": 4}, "6 does not divide over 4 processes"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"shard_index": 2, "shard_count": 2}, r"shard_index 2 is not in \[0, 2\)"),
        ({"start_step": -1}, "start_step -1"),
    ],
)
def test_numbers_that_do_not_fit(source, options, message):
    with pytest.raises(ValueError, match=message):
        take(source, 1, **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_named_through_the_pipeline(tmp_path, workers):
    into = store.StoreWriter(tmp_path, rate_hz=RATE_HZ, description={})
    into.write(counting_recording(1, (500,)))
    damaged = into.finish()
    for shard in (tmp_path / "recordings" / "r01" / "0" / "c").rglob("*"):
        if shard.is_file():
            shard.write_bytes(shard.read_bytes()[:40])
    source = crops.CropSource(damaged, damaged.entries, crops.CropConfig(crop_s=CROP_S))
    with pytest.raises(Exception, match=r"recording 'r01'.*recordings/r01/0"):
        take(source, 1, workers=workers)


def test_source_pickles(source):
    copy = pickle.loads(pickle.dumps(source))
    assert_equal(take(source, 2), take(copy, 2))


class _Numbers:
    """Examples that are their own numbers."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return range(self.count)[index]

    def plan(self, index, rng):
        return index, int(rng.integers(1000))

    def fixed_plan(self, index, seed):
        return index, seed

    def read(self, plans):
        index = np.array([plan[0] for plan in plans])
        return {"index": index, "weight": (1 / (1 + index)).astype(np.float32)}


def test_with_weights_examples_are_drawn_in_proportion_to_them():
    weights = np.array([0.0, 1.0, 3.0, 0.0, 4.0])
    plans = pipeline.train_crops(_Numbers(5), seed=2, weights=weights)
    drawn = [plans[position][0] for position in range(4000)]
    share = np.bincount(drawn, minlength=5) / 4000
    np.testing.assert_allclose(share, weights / 8, atol=0.03)
    assert share[0] == share[3] == 0
    # Any position can be asked for alone, and epochs do not repeat each other.
    assert [plans[p][0] for p in (3999, 7)] == [drawn[3999], drawn[7]]
    assert drawn[:50] != drawn[5:55] and drawn[:500] != drawn[500:1000]
    other = pipeline.train_crops(_Numbers(5), seed=3, weights=weights)
    assert [other[p][0] for p in range(50)] != drawn[:50]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 1.0], r"weights are 3 finite numbers .* got \[2\]"),
        ([1.0, -1.0, 1.0], "not negative"),
        ([1.0, np.nan, 1.0], "finite"),
        ([0.0, 0.0, 0.0], "no example would ever be drawn"),
    ],
)
def test_weights_that_draw_nothing_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        pipeline.train_crops(_Numbers(3), seed=0, weights=np.array(weights))


def test_examples_of_an_evaluation_may_count_differently():
    found = list(pipeline.eval_batches(_Numbers(3), batch_size=2, seed=0))
    weight = np.concatenate([batch["weight"] for batch in found])
    np.testing.assert_allclose(weight, [1, 1 / 2, 1 / 3, 0])
