"""Equation 4 against probabilities in high precision, where float64 has none."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.anomaly.confidence import (
    Confidence,
    ConfidenceConfig,
    log_odds,
    misplaced_bracket,
)


def test_it_is_the_mean_of_log_odds_over_segments():
    logits = np.random.default_rng(0).normal(size=(7, 3, 5))
    backend = Confidence(ConfidenceConfig(class_index=2)).fit(logits, ["source"] * 7)
    p = softmax(logits, axis=-1)[..., 2]
    expected = np.log((1 - p) / p).mean(axis=1)
    np.testing.assert_allclose(backend.score(logits), expected, rtol=1e-12)
    one = Confidence(ConfidenceConfig(class_index=2)).fit(logits[:, 0], [""] * 7)
    np.testing.assert_allclose(
        one.score(logits[:, 0]), np.log((1 - p) / p)[:, 0], rtol=1e-12
    )


@pytest.mark.parametrize("margin", [50.0, 800.0, 1e6])
def test_a_sure_classifier_has_finite_log_odds(margin):
    logits = np.array([[margin, 0.0, 0.0], [0.0, margin, 0.0]], np.float32)
    assert softmax(logits[0].astype(np.float64))[0] == 1
    found = log_odds(logits, 0)
    np.testing.assert_allclose(found, [np.log(2) - margin, margin], rtol=1e-7)


def test_the_baselines_bracket_is_the_documented_numbers():
    odds = np.log(0.99 / 0.01)
    assert odds == pytest.approx(4.60, abs=5e-3)
    assert misplaced_bracket(odds) == pytest.approx(1.72, abs=5e-3)
    s = np.linspace(-25, 30, 40)
    p = 1 / (1 + np.exp(s))
    np.testing.assert_allclose(
        misplaced_bracket(s), np.log((1 - p) - np.log(p)), rtol=1e-6
    )
    # -log p of p = 1 - e^s is e^s as is 1 - p: their sum is 2 e^s.
    far = np.array([-1e4, -100.0, -31.0, -29.0])
    np.testing.assert_allclose(misplaced_bracket(far), far + np.log(2), rtol=1e-12)
    np.testing.assert_allclose(misplaced_bracket(1e4), np.log(1e4 + 1), rtol=1e-12)


def test_the_bracket_is_a_choice_and_not_the_default():
    logits = np.random.default_rng(0).normal(size=(4, 3))
    first = {"class_index": 0}
    plain = Confidence(ConfidenceConfig(**first)).fit(logits, [""] * 4)
    odd = ConfidenceConfig(formula="misplaced_bracket", **first)
    bracket = Confidence(odd).fit(logits, [""] * 4)
    np.testing.assert_allclose(plain.score(logits), log_odds(logits, 0))
    np.testing.assert_allclose(
        bracket.score(logits), misplaced_bracket(log_odds(logits, 0))
    )


def test_the_class_is_learnt_from_the_training_clips():
    logits = np.random.default_rng(0).normal(size=(40, 4)) + [0, 0, 3, 0]
    state = Confidence().fit(logits, [""] * 40).state()
    assert state["class_index"] == log_softmax(logits, -1).mean(axis=0).argmax() == 2


def test_classes_that_cannot_be_are_errors():
    with pytest.raises(BackendError, match="two classes"):
        Confidence().fit(np.ones((3, 1)), [""] * 3)
    with pytest.raises(BackendError, match="class_index 4"):
        Confidence(ConfidenceConfig(class_index=4)).fit(np.ones((3, 4)), [""] * 3)
    with pytest.raises(ValueError, match="formula"):
        ConfidenceConfig(formula="log")  # type: ignore[arg-type]
