"""Labelled data of a finetuning: nobody on two sides, whatever the config."""

import dataclasses
import itertools

import numpy as np
import pytest

from sigjax.data import har, labelled, splits
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.formats import ReadOptions
from tests.data import tiny_sets

PEOPLE = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    with pytest.MonkeyPatch.context() as patch:
        built = tiny_sets.build_counting(
            folder,
            patch,
            people=PEOPLE,
            # P007 has no time to sleep or sit.
            lengths=lambda n: (120,) if n == 7 else (400 + 30 * n, 70),
            record_s=50,
        )
    # P008 is on no side; P009 is not in the set.
    sides = {"a": ["P001", "P002"], "b": ["P003", "P004"], "c": ["P005", "P006"]}
    sides["d"] = ["P007", "P009"]
    splits.write_person_split(folder / "folds.csv", sides, comment="for tests")
    return built


@pytest.fixture(scope="module")
def dataset(folder):
    return labelled.LabelledSet.open(folder)


def config(dataset, **changes):
    folds = dataset.path.parent.parent.parent / "folds.csv"
    given = {
        "dataset": str(dataset.path),
        "scheme": "Willetts2018",
        "split": str(folds),
        "train": "",
        "test": "a",
        "window_s": 100.0,
        "stride_s": 50.0,
        "batch_size": 4,
        "missing_classes": "ignore",
    }
    return har.HarDataConfig(**{**given, **changes})


def people_seen(batches):
    """Axis 0 of the counts is the person."""
    seen = set()
    for batch in batches:
        for counts, valid in zip(batch["counts"], batch["valid"], strict=True):
            seen |= set(counts[:valid, 0].tolist())
    return {f"P{person:03d}" for person in seen}


def take(data, count, **shard):
    shard = {"shard_index": 0, "shard_count": 1, "start_step": 0, **shard}
    return list(itertools.islice(data.train(**shard), count))


DIVISIONS = [
    {},
    {"validation": "b"},
    {"validation": "b, c", "train": "d"},
    {"train": "b,c", "validation_fraction": 0.3},
    {"validation_fraction": 0.3, "train_fraction": 0.4, "seed": 3},
    {"test": "", "validation_fraction": 0.2},
    {"split": "", "test_fraction": 0.3},
    {"split": "", "test_fraction": 0.3, "validation_fraction": 0.3, "seed": 1},
    {"split": "", "test_fraction": 0.2, "train_fraction": 0.1, "seed": 2},
]


@pytest.mark.parametrize("changes", DIVISIONS)
def test_nobody_is_on_two_sides(dataset, changes):
    data = har.HarData(dataset, config(dataset, **changes))
    train, validation, test = (
        set(data.people[side]) for side in ("train", "validation", "test")
    )
    assert train and not train & validation and not train & test
    assert not validation & test
    everyone = train | validation | test | set(data.unused)
    assert everyone | set(data.all_training_people) == set(dataset.people)
    assert people_seen(take(data, data.steps_per_epoch)) == train
    evaluated = people_seen(data.evaluation(shard_index=0, shard_count=1))
    assert evaluated == validation
    for side, people in (("train", train), ("validation", validation), ("test", test)):
        if people:
            source = data.windows(side)
            batch = source.read([source.fixed_plan(i, 0) for i in range(len(source))])
            assert people_seen([batch]) == people


def test_sides_are_those_of_the_file(dataset):
    data = har.HarData(dataset, config(dataset, validation="b"))
    assert data.people == {
        "train": ("P005", "P006", "P007"),
        "validation": ("P003", "P004"),
        "test": ("P001", "P002"),
    }
    assert data.unused == ("P008",)
    assert not data.selects_on_test


def test_the_step_can_be_chosen_on_the_people_who_are_reported(dataset):
    data = har.HarData(dataset, config(dataset, validation="a"))
    assert data.people["validation"] == data.people["test"] == ("P001", "P002")
    assert data.selects_on_test
    nobody = har.HarData(dataset, config(dataset, test=""))
    assert not nobody.selects_on_test


@pytest.mark.parametrize("validation_fraction", [0.0, 0.3])
def test_smaller_studies_are_part_of_larger_ones(dataset, validation_fraction):
    kept, steps, held = [set()], set(), set()
    for fraction in (0.01, 0.25, 0.5, 0.75, 1.0):
        changes = {"train_fraction": fraction}
        changes["validation_fraction"] = validation_fraction
        data = har.HarData(dataset, config(dataset, **changes))
        kept.append(set(data.people["train"]))
        steps.add(data.steps_per_epoch)
        held.add(data.people["validation"])
        assert data.all_training_people == har.divide(dataset, data.config)["train"]
    assert all(few <= more for few, more in itertools.pairwise(kept))
    assert len(kept[1]) == 1 and kept[-1] == set(data.all_training_people)
    assert len(steps) == 1 and len(held) == 1
    windows = len(data.windows("train"))
    assert steps == {-(-windows // 4)}


def test_evaluation_gives_each_label_once(dataset):
    data = har.HarData(dataset, config(dataset, validation="b"))
    counts = np.zeros(len(data.classes), np.int64)
    for batch in data.evaluation(shard_index=0, shard_count=1):
        label = batch["label"][batch["weight"] == 1]
        counts += np.bincount(label[label >= 0], minlength=len(counts))
    np.testing.assert_array_equal(counts, data.windows("validation").class_counts)
    assert counts.sum() > 0


def test_class_counts_are_of_those_trained_on(dataset):
    data = har.HarData(dataset, config(dataset, train_fraction=0.2))
    (person,) = data.people["train"]
    own = dataset.counts("Willetts2018")[person][:-1]
    # The last label of a stretch may be cut, and does not count.
    assert 0 <= (own - data.class_counts).sum() <= 2
    assert data.class_counts.shape == (len(data.classes),)


def test_batches_are_the_same_whoever_reads(dataset):
    data = har.HarData(dataset, config(dataset, validation="b"))
    whole = take(data, 6)
    for index in (0, 1):
        half = take(data, 3, shard_index=index, shard_count=2, start_step=2)
        for one, other in zip(half, whole[2:5], strict=True):
            for key, value in one.items():
                np.testing.assert_array_equal(value, other[key][index::2])
    spec = {key: (v.shape, v.dtype) for key, v in data.spec.items()}
    assert spec == {key: (v.shape, v.dtype) for key, v in whole[0].items()}


def test_a_fingerprint_tells_people_and_windows(dataset):
    def of(**changes):
        return har.HarData(dataset, config(dataset, **changes)).fingerprint

    assert of() == of(read_threads=4)
    for changes in (
        {"validation": "b"},
        {"train_fraction": 0.5},
        {"stride_s": 100.0},
        {"seed": 1},
        {"test": "b"},
    ):
        assert of(**changes) != of()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"train": "a,b"}, ValueError, "train and test: P001, P002"),
        ({"train": "b", "validation": "b"}, ValueError, "train and validation: P003"),
        ({"validation": "a,b"}, ValueError, "validation and test: P001, P002"),
        ({"test": "e"}, DatasetError, "no side 'e'; it has a, b, c, d"),
        ({"test": "a,b,c,d"}, ValueError, "nobody to train on"),
        ({"split": "folds"}, FileNotFoundError, "no division of people is named"),
        ({"scheme": "x"}, DatasetError, "no label scheme 'x'"),
        (
            {"train": "d", "missing_classes": "error"},
            DatasetError,
            "none of the 1 people trained on has sit-stand, sleep of 'Willetts2018'",
        ),
        ({"split": "", "validation": "b"}, ValueError, "'b' is a side of a split"),
        ({"split": "", "test_fraction": 0.9}, ValueError, "a test_fraction of 0.9"),
    ],
)
def test_divisions_that_make_no_sense(dataset, changes, error, message):
    with pytest.raises(error, match=message):
        har.HarData(dataset, config(dataset, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"workers": -1}, "workers must be >= 0"),
        ({"validation_fraction": 1.0}, "validation_fraction 1.0 is not in"),
        ({"train_fraction": 0.0}, "train_fraction 0.0 is not in"),
        ({"validation": "b", "validation_fraction": 0.1}, "both say who chooses"),
        ({"test_fraction": 0.1}, "both say who is tested"),
        ({"missing_classes": "drop"}, "'error' or 'ignore', got 'drop'"),
    ],
)
def test_configs_that_make_no_sense(dataset, changes, message):
    with pytest.raises(ValueError, match=message):
        config(dataset, **changes)


def test_a_side_without_people_has_no_windows(dataset):
    data = har.HarData(dataset, config(dataset))
    assert list(data.evaluation(shard_index=0, shard_count=1)) == []
    with pytest.raises(ValueError, match="nobody is on the side 'validation'"):
        data.windows("validation")


def test_what_a_bundle_is_told(dataset):
    data = har.HarData(dataset, config(dataset))
    settings = dataset.metadata["settings"]["prepare"]
    assert data.preprocessing == {**settings, "read": ReadOptions().to_json()}
    assert (data.rate_hz, data.label_s, data.simulated) == (1.0, 10.0, False)


def test_simulated_labels_say_so(tmp_path):
    given = har.HarDataConfig(
        dataset="",
        scheme="Willetts2018",
        split="",
        test_fraction=0.5,
        window_s=300.0,
        stride_s=60.0,
        batch_size=2,
        simulate=har.SimulatedLabelsConfig(people=2, hours=0.25),
    )
    with pytest.raises(DatasetError, match="no data: build a labelled set"):
        har.open_set(dataclasses.replace(given, simulate=None), tmp_path)
    folder = har.simulate_set(given, tmp_path)
    assert folder == har.simulate_set(given, tmp_path)
    opened = har.open_set(given, tmp_path)
    assert opened.path == folder and opened.simulated and opened.record_s == 60.0
    data = har.HarData(opened, dataclasses.replace(given, missing_classes="ignore"))
    assert len(data.people["train"]) == len(data.people["test"]) == 1
    assert data.simulated and data.windows("test").class_counts.sum() > 20
    with pytest.raises(ValueError, match="whole numbers of labels of 10 s"):
        har.simulate_set(dataclasses.replace(given, stride_s=15.0), tmp_path)
