"""Sides of examples whose labels are learnt."""

import numpy as np
import pytest

from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.stream import ExampleData, ExampleError, load_examples
from sigjax.data.examples.supervised import (
    SupervisedData,
    SupervisedDataConfig,
    open_supervised_data,
)
from tests.data.streams import batches


@pytest.fixture(scope="module")
def loaded():
    return load_examples(ExampleDataConfig(source="digits", batch_size=8))


def data_of(loaded, **changes):
    given = {"source": "digits", "batch_size": 8, "held_out": 0.2, **changes}
    return SupervisedData(loaded, SupervisedDataConfig(**given))


def test_sides_are_apart_and_the_test_side_is_the_autoencoders(loaded):
    data = data_of(loaded, validation=0.2, labelled=0.1)
    sides = [set(x.ids) for x in (data.train_set, data.validation_set)]
    sides.append(set(data.held_out_set.ids))
    assert not any(a & b for a in sides for b in sides if a is not b)
    assert sum(map(len, sides)) + data.unlabelled == 1797
    plain = ExampleDataConfig(source="digits", batch_size=32, held_out=0.2)
    autoencoder = ExampleData(loaded, plain)
    assert set(autoencoder.held_out_set.ids) == sides[2]
    assert set(autoencoder.train_set.ids) >= sides[0] | sides[1]


def test_only_labels_that_are_shown_are_read(loaded):
    """With all other training labels replaced, every batch is the same."""
    data = data_of(loaded, validation=0.2, labelled=0.05)
    assert (len(data.train_set.x), data.unlabelled) == (59, 1091)
    shown = np.isin(loaded.examples.ids, data.train_set.ids)
    kept = shown | np.isin(loaded.examples.ids, data.validation_set.ids)
    label = np.where(kept, loaded.examples.label, -1)
    corrupted = loaded._replace(examples=loaded.examples._replace(label=label))
    # Which labels are shown is drawn among those that there are: named by hand here.
    again = data_of(corrupted, validation=0.2, labelled=1.0)
    assert set(again.train_set.ids) == set(data.train_set.ids)
    for one, other in zip(batches(data, 12), batches(again, 12), strict=True):
        np.testing.assert_array_equal(one["x"], other["x"])
        np.testing.assert_array_equal(one["label"], other["label"])
        assert (one["label"] >= 0).all()


def test_shares_are_nested_and_another_seed_shows_others(loaded):
    ids = {
        share: set(data_of(loaded, labelled=share).train_set.ids)
        for share in (0.01, 0.1, 1.0)
    }
    assert ids[0.01] < ids[0.1] < ids[1.0]
    other = data_of(loaded, labelled=0.1, label_seed=1, validation=0.1)
    assert set(other.train_set.ids) != ids[0.1]
    same = data_of(loaded, labelled=0.1, validation=0.1)
    assert set(other.held_out_set.ids) == set(same.held_out_set.ids)
    assert set(other.validation_set.ids) == set(same.validation_set.ids)
    np.testing.assert_array_equal(other.class_counts >= 1, True)
    assert other.class_counts.sum() == len(other.train_set.x)


def test_groups_are_on_one_side(tmp_path):
    path = tmp_path / "x.npz"
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    groups = np.tile(list("uvwxy"), 4)
    np.savez(path, x=x, label=np.repeat([0, 1], 10), group=groups)

    def opened(**changes):
        given = {"held_out_groups": ("u",), "batch_size": 4, **changes}
        config = SupervisedDataConfig(source="arrays", path=str(path), **given)
        return open_supervised_data(config)

    data = opened(validation=0.25)
    chosen = set(data.validation_set.group)
    assert len(chosen) == 1 and chosen.isdisjoint({*data.train_set.group, "u"})
    assert set(opened(validation_groups=("v",)).validation_set.group) == {"v"}
    with pytest.raises(ExampleError, match="validation_groups has 'u'; there are 'v'"):
        opened(validation_groups=("u",))
    with pytest.raises(ExampleError, match="all that is not held out would choose"):
        opened(validation_groups=("v", "w", "x", "y"))
    with pytest.raises(ValueError, match="validation and validation_groups: give one"):
        opened(validation=0.5, validation_groups=("v",))


def test_data_without_classes_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones((8, 2)))
    config = SupervisedDataConfig(source="arrays", path=str(path), batch_size=2)
    with pytest.raises(ExampleError, match="0 classes; a classifier needs labels"):
        open_supervised_data(config)
