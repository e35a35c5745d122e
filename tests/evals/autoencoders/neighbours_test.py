"""Purity of neighbours against scikit-learn's, and its limits."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from sigjax.evals.autoencoders import neighbours


def cloud(n=60, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=n)
    return rng.normal(size=(n, 2)) + label[:, None], label


def test_neighbours_are_scikit_learns_and_nobody_is_his_own():
    points, label = cloud()
    nearest = (
        NearestNeighbors(n_neighbors=6).fit(points).kneighbors(return_distance=False)
    )
    expected = (label[nearest] == label[:, None]).mean(axis=1)
    found = neighbours.purity(points, label, neighbours=6)
    np.testing.assert_allclose(found, expected)
    # Two alone, of two classes: each has the other as its only neighbour.
    assert neighbours.purity(points[:2], np.array([0, 1]), neighbours=1).sum() == 0


def test_separate_classes_are_pure_and_mixed_ones_are_at_chance():
    points, label = cloud(600)
    assert neighbours.purity(100 * label[:, None], label).mean() == 1
    rng = np.random.default_rng(1)
    mixed = neighbours.purity(rng.normal(size=(600, 2)), label).mean()
    assert mixed == pytest.approx(neighbours.chance(label), abs=0.03)
    assert neighbours.chance(np.array([0, 0, 1, 1])) == pytest.approx(1 / 3)


def test_neighbours_of_ones_own_group_do_not_count():
    # Each of a group's points is nearest to its own; classes cross groups.
    group = np.repeat(["a", "b"], 4)
    label = np.tile([0, 0, 1, 1], 2)
    points = np.array([0.0, 0.1, 0.2, 0.3, 10, 10.1, 10.2, 10.3])[:, None]
    found = neighbours.purity(points, label, neighbours=2, group=group)
    # The nearest two of the other group are its first two (of a) or its last (of b).
    np.testing.assert_allclose(found, [1, 1, 0, 0, 0, 0, 1, 1])


def test_mistakes_are_told():
    points, label = cloud(10)
    with pytest.raises(ValueError, match="1 points have no label"):
        neighbours.purity(points, np.r_[-1, label[1:]])
    with pytest.raises(ValueError, match="no 10 neighbours"):
        neighbours.purity(points, label)
    with pytest.raises(ValueError, match="9 labels"):
        neighbours.purity(points, label[1:])
    with pytest.raises(ValueError, match="group a have 1 points of other groups"):
        group = np.array(["a"] * 9 + ["b"])
        neighbours.purity(points, label, neighbours=2, group=group)


def test_samples_of_the_same_are_not_told_apart_and_others_are():
    rng = np.random.default_rng(0)
    real, same = rng.normal(size=(2, 400, 3))
    assert neighbours.told_apart(real, same).mean() == pytest.approx(0.5, abs=0.05)
    assert neighbours.told_apart(real, same + 20).mean() == 1
    assert neighbours.told_apart(real, real + 1e-6).mean() == 0
    with pytest.raises(ValueError, match="400 real and 3 made"):
        neighbours.told_apart(real, same[:3])
    found = neighbours.distance_to(real[:, None], real + [0, 0, 1e-3])
    np.testing.assert_allclose(found, 1e-3, rtol=1e-6)
