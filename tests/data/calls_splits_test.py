"""Divisions of calls: the paper's, of classes, of groups, folds."""

import collections
import hashlib

import numpy as np
import pytest

from sigjax.data.calls import random_split, splits
from sigjax.data.calls.manifest import Call
from sigjax.data.clips import ManifestError


def _calls(labels, groups=None, given=None):
    groups, given = groups or [""] * len(labels), given or [""] * len(labels)
    rows = zip(labels, groups, given, strict=True)
    return [
        Call(id=str(n), path=f"{n}.wav", label=label, group=group, split=split)
        for n, (label, group, split) in enumerate(rows)
    ]


# Hashes of torch.randperm(n, generator=torch.Generator().manual_seed(42)) as 64-bit
# integers, drawn with PyTorch 2.13: sizes of the paper's three sets, and one above.
TORCH = {
    7: "22e95e57ae45b1ec",
    1697: "4a2718e91cf12c90",
    8034: "208db7257a919943",
    72920: "34547663d2fb4454",
    72921: "b74a6e5112494581",
}


@pytest.mark.parametrize(("n", "expected"), TORCH.items())
def test_permutations_are_those_of_torch(n, expected):
    order = random_split.torch_permutation(n, 42).astype("<i8")
    assert hashlib.blake2b(order.tobytes(), digest_size=8).hexdigest() == expected


def test_permutations_of_small_sizes():
    assert random_split.torch_permutation(0, 1).tolist() == []
    assert random_split.torch_permutation(1, 1).tolist() == [0]
    with pytest.raises(ValueError, match="-1 is not in"):
        random_split.torch_permutation(-1, 1)


@pytest.mark.parametrize(
    ("seed", "parts"),
    [
        (42, [[2, 6, 1, 8, 4, 5, 0], [9, 3], [7]]),
        (7, [[5, 0, 3, 4, 1, 7, 9], [6, 8], [2]]),
    ],
)
def test_the_papers_split_is_torchs_random_split(seed, parts):
    # torch.utils.data.random_split(range(10), [7, 2, 1], generator of this seed)
    found = random_split.paper(10, seed=seed)
    for name, rows in zip(splits.SPLITS, parts, strict=True):
        assert [n for n, own in enumerate(found) if own == name] == sorted(rows)


def test_the_papers_split_of_marmosets_has_the_published_sizes():
    counts = collections.Counter(random_split.paper(72921))
    assert counts == {"train": 51044, "validation": 14584, "test": 7293}


def test_stratified_divides_each_class():
    labels = ["a"] * 100 + ["b"] * 10 + ["c"] * 3 + ["d"] * 2 + ["e"]
    found = splits.stratified(labels, seed=1)
    counts = collections.Counter(zip(labels, found, strict=True))
    assert [counts["a", s] for s in splits.SPLITS] == [70, 20, 10]
    assert [counts["b", s] for s in splits.SPLITS] == [7, 2, 1]
    assert [counts["c", s] for s in splits.SPLITS] == [1, 1, 1]
    assert [counts["d", s] for s in splits.SPLITS] == [1, 0, 1]
    assert [counts["e", s] for s in splits.SPLITS] == [1, 0, 0]
    assert found == splits.stratified(labels, seed=1)
    assert found != splits.stratified(labels, seed=2)
    # A class that joins changes no other.
    assert splits.stratified([*labels, "f"], seed=1)[:-1] == found


def test_grouped_keeps_everybody_on_one_side_and_classes_in_balance():
    rng = np.random.default_rng(0)
    groups = [f"g{n}" for n in rng.integers(0, 30, 3000)]
    labels = [f"c{n}" for n in rng.integers(0, 5, 3000)]
    found = splits.grouped(labels, groups)
    sides = collections.defaultdict(set)
    for group, split in zip(groups, found, strict=True):
        sides[group].add(split)
    assert all(len(own) == 1 for own in sides.values())
    counts = collections.Counter(zip(labels, found, strict=True))
    for label in set(labels):
        total = labels.count(label)
        for split, share in zip(splits.SPLITS, splits.FRACTIONS, strict=True):
            assert abs(counts[label, split] / total - share) < 0.05


def test_grouped_fills_every_split():
    labels, groups = ["a"] * 12, ["x"] * 10 + ["y", "z"]
    found = splits.grouped(labels, groups)
    assert set(found) == set(splits.SPLITS) and len(set(found[:10])) == 1
    with pytest.raises(ManifestError, match=r"2 groups \(x, y\) cannot be divided"):
        splits.grouped(["a", "a"], ["x", "y"])


def test_folds_are_of_about_one_size():
    labels = ["a", "b"] * 300
    groups = [f"g{n // 4}" for n in range(600)]
    sizes = collections.Counter(splits.folds(labels, groups, count=5))
    assert sorted(sizes) == [f"fold{n}" for n in range(1, 6)]
    assert max(sizes.values()) - min(sizes.values()) <= 4
    with pytest.raises(ValueError, match="2 folds: at least 3"):
        splits.folds(labels, groups, count=2)


def test_leaving_one_group_out_tests_on_each_and_validates_on_the_next():
    groups = ["b", "a", "c", "a"]
    given = splits.leave_one_group_out(groups)
    found = splits.divisions(_calls(["x"] * 4, groups, given))
    assert [d.name for d in found] == ["fold a", "fold b", "fold c"]
    assert [d.test.tolist() for d in found] == [[1, 3], [0], [2]]
    assert [d.validation.tolist() for d in found] == [[0], [2], [1, 3]]
    assert [d.train.tolist() for d in found] == [[2], [1, 3], [0]]
    with pytest.raises(ManifestError, match="2 groups"):
        splits.leave_one_group_out(["a", "b"])


def test_divisions_of_given_splits():
    (found,) = splits.divisions(
        _calls(["x"] * 5, given=["train", "test", "", "validation", "train"])
    )
    assert found.train.tolist() == [0, 4] and found.test.tolist() == [1]
    assert found.validation.tolist() == [3] and found.name == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["", "", ""], "splits are not given; needed are train"),
        (["train", "train", ""], "splits are train; needed are train, test"),
        (["train", "test", "extra"], "splits are extra, test, train"),
        (["train", "test", "fold1"], "splits test, train beside the folds fold1"),
        (["fold1", "fold2", "fold1"], "three or more folds"),
    ],
)
def test_splits_that_say_nothing_are_refused(given, message):
    with pytest.raises(ManifestError, match=message):
        splits.divisions(_calls(["x"] * 3, given=given))


@pytest.mark.parametrize("callers", [2, 8])
def test_validation_is_taken_from_training_alone(callers):
    labels = ["a", "b"] * 40
    groups = [f"g{n // 2 % callers}" for n in range(80)]
    calls = _calls(labels, groups, ["train"] * 64 + ["test"] * 16)
    (given,) = splits.divisions(calls)
    found = splits.with_validation(given, calls, fraction=0.25)
    assert len(found.validation) == 16 and len(found.train) == 48
    both = np.concatenate([found.train, found.validation])
    assert sorted(both) == list(range(64)) and found.test is given.test
    sides = [{groups[row] for row in part} for part in (found.train, found.validation)]
    assert bool(sides[0] & sides[1]) == (callers == 2)
    assert splits.with_validation(found, calls) is found


def test_groups_in_several_splits_are_found():
    calls = _calls(["x"] * 4, ["a", "a", "b", "b"], ["test", "train", "train", "train"])
    assert splits.shared_groups(calls) == {"a": ("train", "test")}


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.0, 0.0, 0.0)])
def test_fractions_are_three_shares(fractions):
    with pytest.raises(ValueError, match="are not three shares"):
        splits.divide(_calls(["x"]), "stratified", fractions=fractions)


def test_divide_knows_all_methods_and_no_others():
    calls = _calls(["a", "b"] * 30, [f"g{n // 6}" for n in range(60)])
    for method in splits.METHODS:
        found = splits.divide(calls, method)
        assert len(found) == 60 and len(set(found)) >= 3
    assert splits.divide(calls, "paper") == random_split.paper(60, seed=42)
    with pytest.raises(ValueError, match="'random' is none of paper"):
        splits.divide(calls, "random")  # pyright: ignore
