"""Numbers of a vibration signal, of signals whose numbers are known."""

import numpy as np
import pytest

from sigjax.evals import vibration_numbers as numbers

RATE_HZ, BAND_HZ = 8000.0, (1000.0, 3900.0)
SECONDS = np.arange(16_000) / RATE_HZ


def modulated(hz, depth=0.5):
    """A tone in the band whose size goes up and down, and a louder one below it."""
    envelope = 1 + depth * np.cos(2 * np.pi * hz * SECONDS)
    below = 5 * np.sin(2 * np.pi * 100 * SECONDS)
    return envelope * np.sin(2 * np.pi * 2000 * SECONDS) + below


def test_the_analytic_signal_has_the_bands_envelope_and_nothing_else():
    made = numbers.analytic(modulated(20.0), RATE_HZ, BAND_HZ)
    expected = 1 + 0.5 * np.cos(2 * np.pi * 20 * SECONDS)
    np.testing.assert_allclose(np.abs(made), expected, atol=1e-6)
    tone = expected * np.sin(2 * np.pi * 2000 * SECONDS)
    np.testing.assert_allclose(made.real, tone, atol=1e-6)


def test_kurtosis_of_what_has_a_known_one():
    rng = np.random.default_rng(0)
    several = [
        rng.normal(4, 2, 100_000),
        rng.uniform(size=100_000),
        rng.laplace(size=100_000),
    ]
    found = numbers.kurtosis(np.stack(several))
    np.testing.assert_allclose(found, [3, 1.8, 6], rtol=0.05)


def test_the_envelopes_spectrum_has_a_line_at_its_rate_and_knows_no_level():
    found = numbers.envelope_spectrum(modulated(37.0), RATE_HZ, BAND_HZ)
    assert found.argmax() * RATE_HZ / 16_000 == 37.0
    # Of a Hann window a line of amplitude .5 has half of n / 2 times it.
    assert np.sqrt(found.max()) == pytest.approx(0.5 * 16_000 / 4, rel=1e-3)
    louder = numbers.envelope_spectrum(9 * modulated(37.0), RATE_HZ, BAND_HZ)
    np.testing.assert_allclose(louder, found, atol=1e-3)
    assert numbers.decibels(np.array([1.0, 0.0])) == pytest.approx([0, -60], abs=1e-4)


def test_the_passing_line_is_looked_for_where_it_may_be():
    rng = np.random.default_rng(1)
    noise = 0.5 * rng.normal(size=16_000)
    given = {"rate_hz": RATE_HZ, "band_hz": BAND_HZ, "passing_hz": (86.0, 107.0)}
    inside, outside, none = (
        numbers.passing_line(x + noise, **given)
        for x in (modulated(97.0), modulated(61.0), modulated(97.0, 0.0))
    )
    assert inside > 4 * none and outside < 1.5 * none
    both = np.stack([modulated(97.0) + noise, modulated(61.0) + noise])
    np.testing.assert_allclose(
        numbers.passing_line(both, **given), [inside, outside], rtol=1e-9
    )
