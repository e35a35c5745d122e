"""Against scikit-learn, on labels with ties, absent classes and single rows."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics

from sigjax.metrics import classification as metrics


def _cases():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 200, 5000):
        for classes in (2, 3, 6):
            truth = rng.integers(classes, size=size)
            noisy = np.where(rng.random(size) < 0.6, truth, rng.integers(classes))
            yield f"random {size} of {classes}", truth, noisy, classes
    yield "one class, right", np.zeros(5, int), np.zeros(5, int), 3
    yield "one class, wrong", np.zeros(5, int), np.ones(5, int), 3
    yield "one row, right", np.array([2]), np.array([2]), 3
    yield "one row, wrong", np.array([2]), np.array([0]), 3
    yield "all taken for one", np.array([0, 1, 2, 2]), np.full(4, 1), 3
    yield "class 1 never occurs", np.array([0, 2, 2, 0]), np.array([0, 1, 2, 2]), 4
    yield "class 1 never predicted", np.array([0, 1, 2]), np.array([0, 2, 2]), 4
    yield "ties of counts", np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), 2
    skewed = rng.choice(6, size=900, p=[0.9, 0.05, 0.03, 0.015, 0.005, 0.0])
    yield "rare classes", skewed, rng.permutation(skewed), 6


CASES = list(_cases())


@pytest.fixture(params=CASES, ids=[name for name, *_ in CASES])
def case(request):
    return request.param[1:]


def _sklearn(truth, predicted, classes):
    # It warns of what this test is about: classes that do not occur.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        per_class = sklearn.metrics.precision_recall_fscore_support(
            truth, predicted, labels=range(classes), zero_division=np.nan
        )
        return {
            "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(
                truth, predicted
            ),
            "kappa": sklearn.metrics.cohen_kappa_score(truth, predicted),
            "macro_f1": sklearn.metrics.f1_score(truth, predicted, average="macro"),
            "accuracy": sklearn.metrics.accuracy_score(truth, predicted),
            **dict(zip(metrics.PerClass._fields, per_class, strict=True)),
        }


def test_equal_to_scikit_learn(case):
    truth, predicted, classes = case
    confusion = metrics.confusion_matrix(truth, predicted, classes)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(
        confusion,
        sklearn.metrics.confusion_matrix(truth, predicted, labels=range(classes)),
    )
    ours, theirs = metrics.figures(confusion), _sklearn(*case)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-12, err_msg=name)


def test_kappa_of_one_class_is_undefined_as_in_scikit_learn():
    right = metrics.figures(np.diag([5, 0, 0]))
    assert math.isnan(right["kappa"])
    assert right["balanced_accuracy"] == right["macro_f1"] == 1
    # 0.1 + 0.2 is not 0.3: rounding must not make a number of 0/0.
    assert math.isnan(metrics.figures(np.diag([0.1 + 0.2, 0, 0]) * 0.7)["kappa"])
    wrong = np.zeros((3, 3))
    wrong[0, 1] = 5
    assert metrics.figures(wrong)["kappa"] == 0


def test_without_labels_nothing_is_defined():
    found = metrics.figures(np.zeros((3, 3)))
    assert math.isnan(found["balanced_accuracy"]) and math.isnan(found["macro_f1"])
    assert math.isnan(found["kappa"]) and math.isnan(found["accuracy"])
    assert np.isnan(found["recall"]).all()
    empty = np.zeros(0, int)
    assert not metrics.confusion_matrix(empty, empty, 3).any()


@pytest.mark.parametrize("scale", [1 / 7, 1e-9, 1e6])
def test_a_common_factor_changes_nothing(case, scale):
    confusion = metrics.confusion_matrix(*case)
    whole, scaled = metrics.figures(confusion), metrics.figures(confusion * scale)
    for name in whole.keys() - {"support"}:
        np.testing.assert_allclose(scaled[name], whole[name], atol=1e-12, err_msg=name)
    np.testing.assert_allclose(scaled["support"], whole["support"] * scale)


def test_matrices_may_be_stacked():
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 9, (4, 2, 5, 5)) * rng.integers(0, 2, (4, 2, 5, 1))
    for name, metric in metrics.METRICS.items():
        together = metric(stack)
        assert together.shape == (4, 2)
        for i in np.ndindex(4, 2):
            np.testing.assert_array_equal(together[i], metric(stack[i]), err_msg=name)


def test_missing_labels_do_not_count():
    truth = np.array([[0, -1, 1], [-1, 1, 1]])
    predicted = np.array([[0, 1, 0], [-5, 1, 1]])
    np.testing.assert_array_equal(
        metrics.confusion_matrix(truth, predicted, 2), [[1, 0], [1, 2]]
    )


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 3], [0, 1], "label from 0 to 3"),
        ([0, -2], [0, 1], "label from -2"),
        ([0, 1], [0, -1], "predicted from -1"),
        ([0, 1], [0], "labels"),
    ],
)
def test_numbers_that_are_no_classes_are_refused(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(np.array(truth), np.array(predicted), 3)


@pytest.mark.parametrize("matrix", [np.zeros(3), np.zeros((2, 3)), -np.eye(2)])
def test_what_is_no_confusion_matrix_is_refused(matrix):
    with pytest.raises(ValueError, match="a confusion matrix"):
        metrics.figures(matrix)
    with pytest.raises(ValueError, match="NaN"):
        metrics.figures(np.eye(2) * np.nan)
