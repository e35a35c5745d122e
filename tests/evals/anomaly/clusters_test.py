"""k-means and the mixture score as scikit-learn's models of the same clips do."""

import numpy as np
import pytest
from sklearn.cluster import KMeans as Lloyd
from sklearn.metrics import pairwise_distances
from sklearn.mixture import GaussianMixture

from sigjax.evals.anomaly.clusters import Gmm, GmmConfig, KMeans, KMeansConfig
from sigjax.evals.anomaly.distances import directions


def clips(seed=0, source=90, target=3):
    rng = np.random.default_rng(seed)
    centre = np.eye(6)[rng.integers(3, size=source + target)] * 4
    x = centre + rng.normal(size=(source + target, 6)) / 2
    return x, np.repeat(["source", "target"], [source, target])


def test_k_means_finds_the_clusters_and_keeps_each_target_clip():
    x, domain = clips()
    test, _ = clips(1)
    state = KMeans(KMeansConfig(clusters=3)).fit(x, domain).state()
    model = Lloyd(3, n_init=10, random_state=1).fit(directions(x[domain == "source"]))
    centre = model.cluster_centers_[:, :6]
    found = KMeans(KMeansConfig(clusters=3)).fit(x, domain).score(test)
    both = np.concatenate([centre, x[domain == "target"]])
    expected = pairwise_distances(test, both, metric="cosine").min(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert state["centre_group"].tolist() == ["source"] * 3 + ["target"] * 3


def test_with_as_many_centres_as_clips_k_means_is_the_nearest_neighbour():
    x, domain = clips()
    test, _ = clips(1)
    found = KMeans(KMeansConfig(clusters=200)).fit(x, domain).score(test)
    expected = pairwise_distances(test, x, metric="cosine").min(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_the_mixture_scores_as_scikit_learns(covariance):
    x, domain = clips()
    test, _ = clips(1)
    config = GmmConfig(components=3, covariance=covariance, normalise=False)
    backend = Gmm(config).fit(x, domain)
    model = GaussianMixture(
        3,
        covariance_type=covariance,
        reg_covar=1e-3 * x.var(axis=0).mean(),
        n_init=5,
        random_state=0,
    ).fit(x)
    expected = -model.score_samples(test)
    np.testing.assert_allclose(backend.score(test), expected, rtol=1e-3)
    model.weights_, model.means_ = backend.state()["weight"], backend.state()["mean"]
    model.precisions_cholesky_ = backend.state()["precision_root"]
    exact = -model.score_samples(test)
    np.testing.assert_allclose(backend.score(test), exact, rtol=1e-10)


def test_normalised_clips_score_alike_at_any_loudness():
    x, domain = clips()
    backend = Gmm().fit(x, domain)
    np.testing.assert_allclose(backend.score(7 * x), backend.score(x), rtol=1e-9)
