"""Splits by name; protocols by name; features standardised by training rows."""

import numpy as np
import pytest

from sigjax.evals.layer_probes import PROTOCOLS, Fold, fold_of, protocol
from sigjax.evals.layer_probes.folds import absent_classes, check
from sigjax.evals.layer_probes.standard import standard


def test_splits_are_known_by_their_usual_names():
    fold = fold_of(["train", "valid", "test", "", "val", "validation", "unused"])
    assert fold.train.tolist() == [0] and fold.test.tolist() == [2]
    assert fold.validation.tolist() == [1, 4, 5]
    with pytest.raises(ValueError, match="unknown splits eval"):
        fold_of(["train", "eval"])


def test_absent_classes_are_listed():
    label = np.array([0, 1, 0, 2, 1])
    fold = fold_of(["train", "train", "valid", "test", "test"])
    found = absent_classes(fold, label, ("a", "b", "c"))
    assert found == {"train": ("c",), "validation": ("b", "c"), "test": ("a",)}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (["train", "train", "test", "test"], "no validation clips"),
        (["train", "", "valid", "test"], "one class alone"),
    ],
)
def test_splits_to_learn_nothing_from_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        check([fold_of(split)], np.array([0, 1, 0, 1]), ("a", "b"))


def test_a_row_is_in_one_split_once():
    rows = np.arange(3)
    with pytest.raises(ValueError, match="more than once"):
        Fold(train=rows, validation=rows[:1], test=rows + 5)
    fold = Fold(train=rows, validation=rows + 3, test=rows + 6)
    with pytest.raises(ValueError, match="row 8 of 8"):
        check([fold], np.array([0, 1] * 4), ("a", "b"))
    with pytest.raises(ValueError, match="named differently"):
        check([fold, fold], np.array([0, 1] * 5), ("a", "b"))


def test_protocols_by_name():
    paper = protocol("paper")
    assert (paper.batch, paper.epochs, paper.patience) == (16, 30, 10)
    assert paper.hidden == (128, 64, 32) and len(PROTOCOLS["default"].seeds) == 5
    assert protocol("paper", seeds=(1, 2)).seeds == (1, 2)
    with pytest.raises(ValueError, match="there are paper, default"):
        protocol("papers")
    for wrong in ({"batch": 0}, {"seeds": ()}, {"seeds": (1, 1)}, {"seeds": (-1,)}):
        with pytest.raises(ValueError, match="must be"):
            protocol("default", **wrong)
    with pytest.raises(ValueError, match="above 0"):
        protocol("default", learning_rate=0)


def test_training_rows_get_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    values = (1e4 + rng.normal(size=(50, 4))).astype(np.float32)
    values[:, 2] = 7.3  # tells nothing, and must not divide by 0
    train = np.arange(5, 30)
    rest = np.setdiff1d(np.arange(50), train)
    fold = Fold(train=train, validation=rest[:10], test=rest[10:])
    found = standard(values, [fold])
    own = values[train].astype(np.float64)
    np.testing.assert_allclose(found.mean[0], own.mean(axis=0), rtol=1e-7)
    expected = own.std(axis=0, ddof=1)
    expected[2] = 1
    np.testing.assert_allclose(found.scale[0], expected, rtol=1e-5)
    assert found.constant == 1
