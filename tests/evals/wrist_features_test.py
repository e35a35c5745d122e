"""Features that nobody learned: what they must tell, and must not."""

import numpy as np
import pytest

from sigjax.evals import wrist_features


def patches(seed=0, rows=8, samples=30):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, samples, 3)) + np.array([0.0, 0.0, 1.0])


def test_widths_are_those_promised_and_values_are_finite():
    x = patches()
    x[0] = 0.25  # nothing moves
    assert wrist_features.hand_made(x).shape == (8, 83)
    assert wrist_features.mean_sd(x).shape == (8, 6)
    assert wrist_features.samples(x).shape == (8, 90)
    assert np.isfinite(wrist_features.hand_made(x)).all()


def test_hand_made_features_know_direction_of_time_and_of_gravity():
    x = np.linspace(-1, 1, 30)[None, :, None] * np.array([1.0, 0.5, 0.1])
    rising, falling = wrist_features.hand_made(np.concatenate([x, x[:, ::-1]]))
    assert np.abs(rising - falling).max() > 1
    up, down = wrist_features.hand_made(np.concatenate([x + 1, x - 1]))
    np.testing.assert_allclose(up[:3] - down[:3], 2)


def test_samples_stay_together_by_axis():
    x = patches(rows=1)
    np.testing.assert_array_equal(wrist_features.samples(x)[0, :30], x[0, :, 0])


def test_correlations_are_numpys():
    x = patches(rows=3)
    found = wrist_features.hand_made(x)[:, -3:]
    for row, patch in zip(found, x, strict=True):
        matrix = np.corrcoef(patch.T)
        np.testing.assert_allclose(row, matrix[[0, 0, 1], [1, 2, 2]])


@pytest.mark.parametrize("count", [1, 8, 40])
def test_positions_hold_no_signal_and_tell_places_apart(count):
    place = np.arange(count)
    found = wrist_features.position(place, np.full(count, count))
    assert found.shape == (count, 47)
    assert len(np.unique(found, axis=0)) == count
