"""The linear probe is scikit-learn's, on standardised features, classes balanced."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sigjax.evals.probe import ProbeConfig, probe


def example(seed=0, rows=120, width=5):
    rng = np.random.default_rng(seed)
    label = rng.choice(3, rows, p=(0.6, 0.3, 0.1))
    x = rng.normal(size=(rows, width)) + label[:, None] * np.linspace(0, 1, width)
    return (x * 10.0 + 3.0).astype(np.float32), label


def test_it_is_scikit_learns_regression_on_standardised_features():
    x, label = example()
    test, _ = example(1)
    mean, sd = x.astype(float).mean(axis=0), x.astype(float).std(axis=0)
    model = LogisticRegression(C=0.25, class_weight="balanced", max_iter=5000)
    model.fit((x - mean) / sd, label)
    expected = model.predict_proba((test - mean) / sd)
    found = probe(x, label, test, 3, penalty=4.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_missing_labels_do_not_count_and_absent_classes_get_nothing():
    x, label = example()
    with_missing = np.where(np.arange(len(label)) % 5 == 0, -1, label)
    kept = with_missing >= 0
    found = probe(x, with_missing, x, 5, penalty=1.0)
    expected = probe(x[kept], label[kept], x, 5, penalty=1.0)
    np.testing.assert_array_equal(found, expected)
    assert (found[:, 3:] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_what_cannot_be_probed_is_an_error():
    x, label = example()
    with pytest.raises(ValueError, match="two classes"):
        probe(x, np.where(label == 0, 0, -1), x, 3, penalty=1.0)
    with pytest.raises(ValueError, match="penalty"):
        ProbeConfig(penalty=0.0)
