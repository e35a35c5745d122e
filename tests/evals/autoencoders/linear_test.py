"""PCA against scikit-learn, and what its numbers mean."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sigjax.evals.autoencoders import linear


def rows(n=40, p=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) @ rng.normal(size=(3, p)) + 0.1 * rng.normal(
        size=(n, p)
    )


def test_components_are_scikit_learns():
    x, new = rows(), rows(seed=1)
    ours, theirs = linear.fit_pca(x, 3), PCA(3, svd_solver="full").fit(x)
    np.testing.assert_allclose(ours.share, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(
        np.abs(ours.codes(new)), np.abs(theirs.transform(new)), atol=1e-10
    )
    expected = theirs.inverse_transform(theirs.transform(new))
    np.testing.assert_allclose(ours.reconstruct(new), expected, atol=1e-10)
    largest = np.abs(ours.components).argmax(axis=1)
    assert (ours.components[np.arange(3), largest] > 0).all()


def test_reconstructions_have_the_shape_of_what_was_given():
    images = rows(p=12).reshape(-1, 3, 4)
    found = linear.fit_pca(images, 2)
    assert found.reconstruct(images[:5]).shape == (5, 3, 4)
    assert found.codes(images[:5]).shape == (5, 2)


def test_error_is_per_row_and_the_mean_explains_nothing():
    x = rows()
    found = linear.fit_pca(x, 2)
    copy = found.reconstruct(x)
    error = linear.squared_error(x, copy)
    np.testing.assert_allclose(error, ((x - copy) ** 2).mean(axis=1))
    assert linear.unexplained(x, copy, found.mean) == pytest.approx(
        1 - found.share.sum()
    )
    mean = np.broadcast_to(found.mean, x.shape)
    assert linear.unexplained(x, mean, found.mean) == pytest.approx(1)
    assert linear.unexplained(x, x, found.mean) == 0


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="4 rows of 7 values have 3 components, not 5"):
        linear.fit_pca(rows(4), 5)
    with pytest.raises(ValueError, match="differ"):
        linear.squared_error(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="nothing to explain"):
        linear.unexplained(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(3))
