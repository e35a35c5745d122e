"""Coverage of a ring of Gaussians."""

import math

import numpy as np
import pytest

from sigjax.evals.autoencoders.modes import coverage

TURN = 2 * np.pi * np.arange(8) / 8
RING = 2 * np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
SD = 0.05


def drawn(modes, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    return RING[rng.choice(modes, n)] + SD * rng.normal(size=(n, 2))


def test_the_mixture_itself_covers_all_and_three_deviations_hold_989_in_1000():
    found = coverage(drawn(np.arange(8)), RING, SD)
    assert (found.covered, found.modes) == (8, 8)
    assert found.good == pytest.approx(1 - math.exp(-4.5), abs=0.005)
    assert found.divergence == pytest.approx(0, abs=0.002)
    assert found.counts.sum() == round(4000 * found.good)


def test_a_collapsed_generator_covers_what_it_reaches():
    one = coverage(drawn([3]), RING, SD)
    assert one.covered == 1 and one.divergence == pytest.approx(math.log(8))
    seven = coverage(drawn(np.arange(1, 8)), RING, SD)
    assert seven.covered == 7 and seven.counts[0] == 0


def test_a_mode_needs_more_than_a_stray_sample():
    samples = np.concatenate([drawn([0], 3999), RING[[4]]])
    found = coverage(samples, RING, SD)
    assert found.counts[4] == 1 and found.covered == 1
    assert coverage(samples, RING, SD, least=0.0).covered == 2


def test_samples_between_modes_are_not_good():
    found = coverage(np.zeros((10, 2)), RING, SD)
    assert found.covered == 0 and found.good == 0 and math.isnan(found.divergence)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="diverged"):
        coverage(np.full((3, 2), np.nan), RING, SD)
    with pytest.raises(ValueError, match="do not fit"):
        coverage(np.zeros((3, 3)), RING, SD)
