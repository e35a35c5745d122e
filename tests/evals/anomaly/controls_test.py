"""Controls, on waves whose statistics are known."""

import numpy as np
import pytest
from scipy.stats import kurtosis

from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.anomaly.controls import (
    UNTRAINED,
    DistanceToMean,
    OneNumber,
    OneNumberConfig,
    untrained,
)


def statistics(wave):
    return dict(zip(UNTRAINED, untrained(wave).tolist(), strict=True))


def test_statistics_of_a_sine_are_the_textbooks():
    wave = 0.5 * np.sin(2 * np.pi * 50 * (np.arange(16000) + 0.5) / 16000)
    found = statistics(wave)
    assert found["level_db"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)))
    assert found["peak"] == pytest.approx(0.5, rel=1e-3)
    assert found["crest"] == pytest.approx(np.sqrt(2), rel=1e-3)
    assert found["kurtosis"] == pytest.approx(1.5)
    assert found["zero_crossings"] == pytest.approx(100 / 16000, rel=2e-2)
    assert found["offset"] == pytest.approx(0, abs=1e-12)


def test_counts_and_full_scale_agree_and_loudness_moves_what_it_should():
    wave = np.random.default_rng(0).normal(size=8000) * 3000
    counts = np.round(wave).astype(np.int16)
    np.testing.assert_allclose(untrained(counts), untrained(counts / 2**15))
    found, half = statistics(counts / 2**15), statistics(counts / 2**16)
    assert found["kurtosis"] == pytest.approx(kurtosis(counts, fisher=False))
    for name in ("crest", "kurtosis", "zero_crossings"):
        assert half[name] == pytest.approx(found[name])
    assert found["level_db"] - half["level_db"] == pytest.approx(20 * np.log10(2))


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_still_wave_has_finite_statistics(value):
    found = statistics(np.full(1001, value))
    assert found["level_db"] == -120 and found["offset"] == pytest.approx(value)
    assert found["crest"] == found["kurtosis"] == 0
    assert found["silence"] == float(value == 0)


def test_a_wave_that_is_none_has_no_statistics():
    assert np.isnan(untrained(np.array([0.0, np.nan]))).all()
    assert np.isnan(untrained(np.empty(0))).all()


def test_distance_to_the_mean_is_of_the_own_domain_or_the_nearest():
    x = np.array([[0.0, 0], [2, 0], [10, 0]])
    backend = DistanceToMean().fit(x, ["source", "source", "target"])
    assert backend.score([[1.0, 3]], ["source"]) == 3
    assert backend.score([[10.0, 1]]) == 1
    assert backend.score([[10.0, 0]], ["source"]) == 9


def test_one_number_is_the_norm_or_a_column_in_the_tail_that_is_asked_for():
    x = np.array([[3.0, 4], [6, 8]])
    norm = OneNumber().fit(x, ["source", "target"])
    np.testing.assert_allclose(norm.score([[0, 6.0], [0, 9.0]]), [1, 1])
    for tail, expected in (("high", [4, 8]), ("low", [-4, -8])):
        config = OneNumberConfig(number="column", column=1, tail=tail)
        found = OneNumber(config).fit(x, ["", ""]).score(x)
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(BackendError, match="column 5"):
        OneNumber(OneNumberConfig(number="column", column=5)).fit(x, ["", ""])
