"""Labelled windows: in the right place, rightly labelled, and none lost unsaid."""

import collections
import itertools
import pickle

import numpy as np
import pytest

from sigjax.data import labelled, pipeline, windows
from sigjax.data.datasets.folders import DatasetError
from tests.data import tiny_sets

# One sample a second, records of 50 s: P001 has stretches of 1,033 and 127 s, P002 of
# 1,103 and 207 s, and so on; P005 has 44 s. The last label window is cut.
PEOPLE = 5


def lengths(person):
    return (44,) if person == 5 else (963 + 70 * person, 47 + 80 * person)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return tiny_sets.build_counting(
            tmp_path_factory.mktemp("set"),
            patch,
            people=PEOPLE,
            lengths=lengths,
            record_s=50,
        )


@pytest.fixture(scope="module")
def dataset(folder):
    return labelled.LabelledSet.open(folder)


def config(**changes):
    given = {"scheme": "Willetts2018", "window_s": 200.0, "stride_s": 50.0, **changes}
    return windows.WindowConfig(**given)


def all_of(dataset, **changes):
    return windows.LabelledWindows(dataset, tuple(dataset.people), config(**changes))


def read_all(source):
    return source.read([source.fixed_plan(i, 0) for i in range(len(source))])


def take(source, count, **options):
    options = {"batch_size": 4, "seed": 7, **options}
    return list(itertools.islice(pipeline.train_batches(source, **options), count))


def assert_equal(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_windows_are_runs_of_one_stretch(dataset):
    source = all_of(dataset, unlabelled=True)
    batch = read_all(source)
    assert {
        key: (value.shape[1:], str(value.dtype)) for key, value in batch.items()
    } == {
        "counts": ((200, 3), "int16"),
        "scale": ((), "float32"),
        "valid": ((), "int32"),
        "label": ((20,), "int32"),
        "seed": ((), "uint32"),
        "person": ((), "int32"),
        "window": ((), "int32"),
    }
    seen = collections.defaultdict(list)
    for row in range(len(source)):
        counts = batch["counts"][row]
        assert len(np.unique(counts[:, :2], axis=0)) == 1
        np.testing.assert_array_equal(np.diff(counts[:, 2]), 1)
        person, number, first = counts[0].tolist()
        assert source.people[batch["person"][row]] == f"P{person:03d}"
        assert source.start(row) == tiny_sets.START + 1e5 * number + first
        seen[person, number].append(first)
    for person in range(1, 5):
        for number, length in enumerate(lengths(person)):
            wanted = list(range(0, length - 200 + 1, 50))
            assert seen[person, number] == wanted
    assert (batch["valid"] == 200).all()
    assert (batch["window"] == np.arange(len(source))).all()


def test_a_day_has_279_windows_of_50_minutes(tmp_path, monkeypatch):
    day = tiny_sets.build_counting(
        tmp_path,
        monkeypatch,
        people=1,
        # int16 counts up to 32,767: the axis wraps, which no matter.
        lengths=lambda person: (86_400 - 86_400 % 10,),
        record_s=300,
    )
    source = all_of(labelled.LabelledSet.open(day), window_s=3000.0, stride_s=300.0)
    assert len(source) == 279
    apart = all_of(source.dataset, window_s=3000.0, stride_s=3000.0, tail="pad")
    assert len(apart) == 29
    assert source.read([windows.Window(0, 0)])["label"].shape == (1, 300)


def expected_labels(dataset, source, row, *, min_purity=0.0):
    """Of a window's records as they are stored."""
    segment = dataset.segments[source.segment[row]]
    records = dataset.read(range(segment.first, segment.first + segment.records))
    schemes = dataset.metadata["schemes"]["Willetts2018"]
    labels = []
    for record in records:
        for place, (code, purity) in enumerate(
            zip(record["annotation"], record["purity"], strict=True)
        ):
            name = schemes[dataset.annotations[code]] if code >= 0 else ""
            whole = 10 * (place + 1) <= record["samples"]
            good = name and whole and purity >= min_purity - 1e-6
            labels.append(source.classes.index(name) if good else -1)
    first = source.first[row]
    labels = [*labels, *[-1] * 20][first : first + 20]
    return [-1] * source.seen[row] + labels[source.seen[row] :]


@pytest.mark.parametrize("min_purity", [0.0, 1.0])
@pytest.mark.parametrize("tail", ["drop", "pad", "reach_back"])
def test_labels_are_those_of_the_records(dataset, tail, min_purity):
    source = all_of(dataset, tail=tail, min_purity=min_purity)
    batch = read_all(source)
    for row in range(len(source)):
        wanted = expected_labels(dataset, source, row, min_purity=min_purity)
        assert batch["label"][row].tolist() == wanted
    assert (batch["label"] >= 0).any(axis=1).all()


def test_padding_covers_every_sample_once(dataset):
    source = all_of(dataset, stride_s=200.0, tail="pad", unlabelled=True)
    batch = read_all(source)
    seen = collections.Counter()
    for counts, valid, label in zip(
        batch["counts"], batch["valid"], batch["label"], strict=True
    ):
        assert not counts[valid:].any() and (label[valid // 10 :] == -1).all()
        seen.update(map(tuple, counts[:valid].tolist()))
    total = sum(sum(lengths(person)) for person in range(1, PEOPLE + 1))
    assert len(seen) == total and set(seen.values()) == {1}
    assert source.summary["hours_outside_windows"] == 0
    assert source.summary["segments_too_short"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tail": "pad"},
        {"tail": "reach_back"},
        {"tail": "reach_back", "stride_s": 200.0},
        {"tail": "reach_back", "stride_s": 250.0},
        {"stride_s": 400.0},
        {"min_purity": 1.0},
        {"unlabelled": True},
    ],
)
def test_the_summary_accounts_for_everything(dataset, changes):
    source = all_of(dataset, **changes)
    summary = source.summary
    parts = ("missing", "not_in_scheme", "impure", "cut", "used")
    assert summary["labels"] == sum(summary[f"labels_{part}"] for part in parts)
    windows_of_labels = sum(-(-s.samples // 10) for s in dataset.segments)
    assert summary["labels"] == windows_of_labels
    assert summary["labels_used"] == source.class_counts.sum()
    assert summary["segments"] == len(dataset.segments)
    everything = all_of(dataset, **{**changes, "unlabelled": True})
    left_out = 0 if changes.get("unlabelled") else summary["windows_unlabelled"]
    assert len(source) == summary["windows"] == len(everything) - left_out
    batch = read_all(everything)
    rows = zip(batch["counts"], batch["valid"], strict=True)
    seen = {tuple(sample) for row, valid in rows for sample in row[:valid].tolist()}
    outside = sum(s.samples for s in dataset.segments) - len(seen)
    assert summary["hours_outside_windows"] == pytest.approx(outside / 3600, abs=1e-3)
    in_windows = {tuple(counts[0, :2].tolist()) for counts in batch["counts"]}
    assert summary["segments_too_short"] == len(dataset.segments) - len(in_windows)


@pytest.mark.parametrize("window_s", [50.0, 200.0, 350.0])
@pytest.mark.parametrize("min_purity", [0.0, 1.0])
def test_reaching_back_gives_each_label_to_one_window(dataset, window_s, min_purity):
    same = {"window_s": window_s, "stride_s": window_s, "min_purity": min_purity}
    source = all_of(dataset, tail="reach_back", **same)
    batch = read_all(source)
    seen = collections.Counter()
    for row, label in enumerate(batch["label"]):
        segment = dataset.segments[source.segment[row]]
        for place in np.flatnonzero(label >= 0):
            at = segment.start + 10 * (source.first[row] + place)
            assert at == source.start(row) + 10 * place
            seen[segment.recording, at, int(label[place])] += 1
    assert set(seen.values()) == {1}
    labels = collections.Counter(label for *_, label in seen)
    assert [labels[v] for v in range(len(source.classes))] == list(source.class_counts)
    assert len(seen) == source.summary["labels_used"]
    # Full, but for stretches that are shorter; what is padded is silent.
    for row, (counts, valid) in enumerate(
        zip(batch["counts"], batch["valid"], strict=True)
    ):
        length = dataset.segments[source.segment[row]].samples
        assert valid == min(window_s, length) and not counts[valid:].any()
        np.testing.assert_array_equal(np.diff(counts[:valid, 2]), 1)
        assert counts[0, 2] == 10 * source.first[row]


def test_reaching_back_adds_to_windows_that_overlap(dataset):
    plain, source = all_of(dataset), all_of(dataset, tail="reach_back")
    assert not source.seen.any()
    seen = {(int(s), int(f)) for s, f in zip(source.segment, source.first, strict=True)}
    more = seen - set(zip(plain.segment.tolist(), plain.first.tolist(), strict=True))
    ends = {number: s.samples // 10 for number, s in enumerate(dataset.segments)}
    # P004 has 1,243 and 367 s: its last windows begin at 104 and 16 label windows.
    assert more == {
        (number, max(end - 20, 0))
        for number, end in ends.items()
        if end < 20 or (end - 20) % 5
    }
    assert (max(n for n in ends if dataset.segments[n].person == "P004"), 16) in more


def test_a_stretch_without_a_whole_label_has_no_window(tmp_path, monkeypatch):
    folder = tiny_sets.build_counting(
        tmp_path, monkeypatch, people=1, lengths=lambda _: (9, 70), record_s=50
    )
    source = all_of(labelled.LabelledSet.open(folder), tail="reach_back")
    assert source.segment.tolist() == [1] and source.first.tolist() == [0]
    assert source.summary["segments_too_short"] == 1
    assert read_all(source)["valid"].tolist() == [70]


def test_windows_without_any_label_are_left_out(dataset):
    # Walmsley2020 leaves out "cleaning", and only pure labels count.
    source = all_of(
        dataset, scheme="Walmsley2020", window_s=50.0, min_purity=1.0, stride_s=50.0
    )
    kept = all_of(
        dataset,
        scheme="Walmsley2020",
        window_s=50.0,
        min_purity=1.0,
        stride_s=50.0,
        unlabelled=True,
    )
    labelled_rows = (read_all(kept)["label"] >= 0).any(axis=1)
    assert 0 < source.summary["windows_unlabelled"] == (~labelled_rows).sum()
    np.testing.assert_array_equal(source.first, kept.first[labelled_rows])


def test_class_counts_are_of_windows_that_do_not_overlap(dataset):
    source = all_of(dataset, window_s=50.0, stride_s=50.0, tail="pad")
    label = read_all(source)["label"]
    counts = np.bincount(label[label >= 0], minlength=len(source.classes))
    np.testing.assert_array_equal(source.class_counts, counts)
    np.testing.assert_array_equal(all_of(dataset).class_counts, counts)


def test_sides_share_nobody(dataset, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("person,side\nP001,train\nP002,test\nP003,train\nP009,test\n")
    seen = {}
    for side, wanted in (("train", {1, 3}), ("test", {2})):
        people = dataset.side(str(path), side)
        source = windows.LabelledWindows(dataset, people, config())
        batches = take(source, 30)
        seen[side] = {int(n) for b in batches for n in np.unique(b["counts"][:, :, 0])}
        assert seen[side] == wanted
    assert dataset.absent(str(path)) == {"train": (), "test": ("P009",)}


def test_training_batches_are_the_same_whoever_reads(dataset):
    source = all_of(dataset)
    whole = take(source, 12)
    assert_equal(whole[5:], take(source, 7, start_step=5))
    assert_equal(whole[:3], take(source, 3, workers=1))
    halves = [take(source, 4, shard_index=i, shard_count=2) for i in (0, 1)]
    for step, batch in enumerate(whole[:4]):
        for index, half in enumerate(halves):
            for key, value in batch.items():
                np.testing.assert_array_equal(half[step][key], value[index::2])
    epoch = pipeline.steps_per_epoch(source, 4)
    seen = np.concatenate([b["window"] for b in take(source, epoch)])[: len(source)]
    assert sorted(seen) == list(range(len(source)))


def test_evaluation_sees_each_window_once(dataset):
    source = all_of(dataset, stride_s=200.0, tail="pad")
    batches = list(pipeline.eval_batches(source, batch_size=8, seed=0))
    window = np.concatenate([b["window"] for b in batches])
    weight = np.concatenate([b["weight"] for b in batches])
    assert sorted(window[weight == 1]) == list(range(len(source)))
    assert len(window) % 8 == 0


def test_evaluation_seeds_depend_on_the_window_alone(dataset):
    source = all_of(dataset)
    fewer = windows.LabelledWindows(dataset, ("P003",), config())
    seeds = {source.start(i): source.fixed_plan(i, 3).seed for i in range(len(source))}
    mine = [
        i
        for i in range(len(source))
        if dataset.segments[source.segment[i]][0] == "P003"
    ]
    for own, index in enumerate(mine):
        assert fewer.fixed_plan(own, 3).seed == source.fixed_plan(index, 3).seed
    assert len(set(seeds.values())) == len(seeds)
    assert fewer.fixed_plan(0, 4).seed != fewer.fixed_plan(0, 3).seed


def test_memory_changes_nothing_but_time(dataset, monkeypatch):
    plain, kept = all_of(dataset), all_of(dataset, in_memory=True)
    assert_equal([read_all(plain)] * 2, [read_all(kept), read_all(kept)])
    dumped = pickle.dumps(kept)
    assert len(dumped) < len(pickle.dumps(plain)) + 100  # Without the records.
    again = read_all(pickle.loads(dumped))
    monkeypatch.setattr(dataset, "read", None)  # It is not asked any more.
    assert_equal([read_all(kept)], [again])


def test_source_pickles(dataset):
    source = all_of(dataset)
    assert_equal(take(source, 2), take(pickle.loads(pickle.dumps(source)), 2))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"window_s": 175.0}, ValueError, "window_s=175 is not a whole number"),
        ({"stride_s": 25.0}, ValueError, "stride_s=25 is not a whole number"),
        ({"window_s": 5000.0}, DatasetError, "no window of 5000 s"),
        ({"tail": "wrap"}, ValueError, "one of drop, pad, reach_back, got 'wrap'"),
        ({"scheme": "Doherty"}, DatasetError, "no label scheme 'Doherty'"),
    ],
)
def test_windows_that_do_not_fit(dataset, changes, error, message):
    with pytest.raises(error, match=message):
        all_of(dataset, **changes)


def test_people_who_are_not_there(dataset):
    with pytest.raises(DatasetError, match="not in the set: P006, P007"):
        windows.LabelledWindows(dataset, ("P001", "P007", "P006"), config())


def test_damage_is_named_through_the_pipeline(folder, tmp_path, dataset):
    copy = tmp_path / "1.0.0"
    copy.mkdir()
    for path in folder.iterdir():
        raw = bytearray(path.read_bytes())
        if "P002" in path.name:
            raw[200:400] = bytes(200)
        (copy / path.name).write_bytes(raw)
    source = all_of(labelled.LabelledSet.open(copy))
    with pytest.raises(Exception, match=r"cannot read record 0 of 'P002' .*again"):
        list(pipeline.eval_batches(source, batch_size=4, seed=0))
