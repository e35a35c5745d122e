"""Unlabelled recordings to train on: who is used, and for how long."""

import itertools
import pickle
import shutil

import numpy as np
import pytest

from sigjax.data import store, wrist
from tests.data.store_test import filled, recording


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    people = [(f"s{i:02d}", j) for i in range(1, 13) for j in range(1 + i % 2)]
    made = [recording(f"{p}-{j}", (400,), person=p, seed=3) for p, j in people]
    return filled(tmp_path_factory.mktemp("store"), made)


def config(**changes):
    given = {"store": "", "crop_s": 2.0, "batch_size": 4, "validation_fraction": 0.2}
    return wrist.WristDataConfig(**{**given, **changes})


def people_of(source):
    return {entry.person for entry in source.entries}


@pytest.mark.parametrize("without", ["", "sp_sw_har_5_folds:fold1"])
def test_smaller_shares_are_part_of_larger_ones(opened, without):
    kept, steps, held = [], set(), set()
    for fraction in (0.01, 0.3, 0.5, 1.0):
        data = wrist.WristData(opened, config(train_fraction=fraction, without=without))
        kept.append(people_of(data.train_source))
        steps.add(data.steps_per_epoch)
        held.add(frozenset(people_of(data.validation_source)))
        assert not kept[-1] & people_of(data.validation_source)
        # All recordings of whoever is used.
        own = {e.name for e in data.train_source.entries}
        assert own == {e.name for e in opened.entries if e.person in kept[-1]}
    assert all(few < more for few, more in itertools.pairwise(kept))
    assert len(kept[0]) == 1 and len(steps) == len(held) == 1
    assert steps == {-(-len(data.train_source) // 4)}
    assert ("s12" in set().union(*kept, *held)) == (not without)


def test_a_share_trains_on_its_people_for_all_steps(opened):
    data = wrist.WristData(opened, config(train_fraction=0.3))
    shard = {"start_step": 0, "shard_index": 0, "shard_count": 1}
    batches = itertools.islice(data.train(**shard), data.steps_per_epoch)
    seen = np.concatenate([batch["recording"] for batch in batches])
    assert set(seen) == set(range(len(data.train_source)))
    assert len(seen) == 4 * data.steps_per_epoch > 2 * len(data.train_source)


def test_only_a_share_changes_the_fingerprint(opened):
    def of(**changes):
        return wrist.WristData(opened, config(**changes)).fingerprint

    assert of() == of(cache_mb=1) == of(train_fraction=1.0)
    assert of(train_fraction=0.5) != of() and "train_fraction" not in of()


@pytest.mark.parametrize("changes", [{"train_fraction": 0.0}, {"cache_mb": -1}])
def test_shares_that_make_no_sense(changes):
    with pytest.raises(ValueError, match="train_fraction must be in"):
        config(**changes)


def test_what_is_cached_is_not_read_again(opened, tmp_path):
    copy = tmp_path / "store"
    shutil.copytree(opened.path, copy)
    plain = store.Store.open(copy)
    cached = pickle.loads(pickle.dumps(store.Store.open(copy, cache_bytes=2**24)))
    wanted = [(entry, 0, 17) for entry in opened.entries]
    for each in (plain, cached):
        np.testing.assert_array_equal(
            each.read_batch(wanted, 60), opened.read_batch(wanted, 60)
        )
    shutil.rmtree(copy / "recordings")
    np.testing.assert_array_equal(
        cached.read_batch(wanted, 60), opened.read_batch(wanted, 60)
    )
    with pytest.raises(store.StoreError, match="cannot read samples"):
        plain.read_batch(wanted, 60)
