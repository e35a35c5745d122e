"""Batches of examples: what is held out, whose labels are shown, and their order."""

import numpy as np
import pytest

from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.stream import ExampleData, ExampleError, load_examples
from sigjax.train.task import Data
from tests.data.examples.tiny_examples import opened
from tests.data.streams import batches, equal


@pytest.fixture(scope="module")
def loaded():
    return load_examples(ExampleDataConfig(source="digits", batch_size=8))


def data_of(loaded, **changes):
    given = {"source": "digits", "batch_size": 8, **changes}
    return ExampleData(loaded, ExampleDataConfig(**given))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "x.npz"
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    label = np.repeat([0, 1, 2, 3], 5)
    np.savez(path, x=x, label=label, group=np.tile(list("uvwxy"), 4))
    return str(path)


def test_it_is_data_of_the_loop(loaded):
    data = data_of(loaded, held_out=0.25)
    assert isinstance(data, Data) and data.steps_per_epoch == 169  # of 1,348
    (batch,) = batches(data, 1)
    assert batch.keys() == data.spec.keys() == {"x", "label"}
    for key, spec in data.spec.items():
        assert (batch[key].shape, batch[key].dtype) == (spec.shape, spec.dtype)


def test_an_epoch_sees_each_training_example_once_with_its_label(table):
    data = opened("arrays", path=table, batch_size=4)
    seen = batches(data, 5)
    x = np.concatenate([batch["x"] for batch in seen])
    label = np.concatenate([batch["label"] for batch in seen])
    assert sorted(x[:, 0].tolist()) == list(range(0, 40, 2))
    np.testing.assert_array_equal(label, x[:, 0] // 10)


def test_what_is_held_out_is_seen_once_and_never_trained_on(loaded):
    data = data_of(loaded, held_out=0.2)
    assert len(data.held_out_set.x) == 359
    assert not set(data.held_out_set.ids) & set(data.train_set.ids)
    seen = list(data.evaluation(shard_index=0, shard_count=1))
    weight = np.concatenate([batch["weight"] for batch in seen])
    x = np.concatenate([batch["x"] for batch in seen])[weight > 0]
    np.testing.assert_array_equal(x, data.held_out_set.x)
    assert not list(data_of(loaded).evaluation(shard_index=0, shard_count=1))


def test_who_is_held_out_does_not_depend_on_the_others(loaded):
    held = set(data_of(loaded, held_out=0.2).held_out_set.ids)
    assert held < set(data_of(loaded, held_out=0.3).held_out_set.ids)
    assert held != set(data_of(loaded, held_out=0.2, seed=1).held_out_set.ids)


def test_groups_are_on_one_side(table):
    data = opened("arrays", path=table, held_out_groups=("v", "x"))
    assert set(data.held_out_set.group) == {"v", "x"}
    assert set(data.train_set.group) == {"u", "w", "y"}
    with pytest.raises(ExampleError, match="held_out_groups has 'z'; there are 'u', "):
        opened("arrays", path=table, held_out_groups=("z",))
    with pytest.raises(ExampleError, match="held_out_splits has 'test'; there are ''"):
        opened("arrays", path=table, held_out_splits=("test",))
    with pytest.raises(ExampleError, match="20 of 20 examples would be held out"):
        opened("arrays", path=table, held_out_groups=tuple("uvwxy"))


def test_shares_of_labels_are_nested_and_keep_every_class(loaded):
    shown = {}
    for share in (0.01, 0.1, 0.5, 1.0):
        data = data_of(loaded, held_out=0.2, labelled=share)
        known = data.train_set.label >= 0
        shown[share] = set(data.train_set.ids[known].tolist())
        assert len(set(data.train_set.label[known].tolist())) == 10
        assert len(data.train_set.x) == 1438
        assert (data.held_out_set.label >= 0).all()
        assert abs(len(shown[share]) - share * 1438) <= 5
    assert shown[0.01] < shown[0.1] < shown[0.5] < shown[1.0]
    few = data_of(loaded, held_out=0.2, labelled=1e-6).train_set.label
    assert np.bincount(few[few >= 0]).tolist() == [1] * 10


def test_labels_that_are_not_shown_are_not_in_batches(loaded):
    data = data_of(loaded, labelled=0.1)
    label = np.concatenate([b["label"] for b in batches(data, data.steps_per_epoch)])
    assert 0.85 < np.mean(label == -1) < 0.95


def test_only_the_classes_asked_for_are_trained_on(table):
    data = opened("arrays", path=table, trained_classes=("1",), held_out_groups=("u",))
    assert data.train_set.label.tolist() == [1] * 4
    assert data.held_out_set.label.tolist() == [0, 1, 2, 3]
    assert any("12 examples of other classes" in told for told in data.remarks)
    with pytest.raises(ExampleError, match="no class '7'; it has 0, 1, 2, 3"):
        opened("arrays", path=table, trained_classes=("7",))


def test_absent_classes_are_told_or_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((4, 2)), label=[0, 0, 1, 1], group=list("uuvv"))
    given = {"path": str(path), "held_out_groups": ("v",)}
    assert "has the class 1" in opened("arrays", **given).remarks[-1]
    with pytest.raises(ExampleError, match="has the class 1; hold out less"):
        opened("arrays", **given, missing_classes="error")


def test_a_run_goes_on_where_it_stopped_and_processes_share_batches(loaded):
    data = data_of(loaded, held_out=0.2)
    whole = batches(data, 4)
    assert equal(batches(data, 1, start_step=3)[0], whole[3])
    parts = [batches(data, 2, shard_index=i, shard_count=2)[1] for i in range(2)]
    np.testing.assert_array_equal(parts[0]["x"], whole[1]["x"][0::2])
    np.testing.assert_array_equal(parts[1]["x"], whole[1]["x"][1::2])


def test_fingerprints_tell_what_is_trained_on_apart(loaded):
    base = data_of(loaded, held_out=0.2)
    assert base.fingerprint == data_of(loaded, held_out=0.2).fingerprint
    others = ({"held_out": 0.3}, {"labelled": 0.5}, {"seed": 1}, {"batch_size": 16})
    for changes in others:
        other = data_of(loaded, **{"held_out": 0.2, **changes})
        assert other.fingerprint != base.fingerprint, changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "cifar"}, "source must be one of digits, mnist"),
        ({"held_out": 1.0}, r"not in \[0, 1\)"),
        ({"labelled": 0.0}, r"not in \(0, 1\]"),
        ({"held_out": 0.1, "held_out_groups": ("a",)}, "give one"),
        ({"source": "clips", "samples": 10}, "clips need samples and rate_hz"),
        ({"source": "windows"}, "windows need window_s"),
        ({"missing_classes": "drop"}, "missing_classes must be"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_configs_without_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ExampleDataConfig(**{"source": "digits", "batch_size": 8, **changes})
