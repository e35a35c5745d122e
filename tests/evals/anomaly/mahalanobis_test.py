"""Equation 5 against SciPy and scikit-learn; the autoencoder's against its formula."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.anomaly.mahalanobis import Mahalanobis, MahalanobisConfig
from sigjax.evals.anomaly.selective import ResidualSums, Selective, SelectiveConfig

EMPIRICAL = MahalanobisConfig(covariance="empirical")


def clips(seed=0, source=200, target=3, width=6):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(source + target, width)) @ rng.normal(size=(width, width))
    x[source:] += 5
    return x, np.repeat(["source", "target"], [source, target])


def by_hand(x, domain, covariance=None):
    mean = {name: x[domain == name].mean(axis=0) for name in set(domain.tolist())}
    centred = x - np.stack([mean[name] for name in domain])
    if covariance is None:
        covariance = centred.T @ centred / len(x)
    return mean, centred, np.linalg.inv(covariance)


def test_it_is_scipys_with_the_domains_mean_and_the_shared_covariance():
    x, domain = clips()
    mean, _, inverse = by_hand(x, domain)
    backend = Mahalanobis(EMPIRICAL).fit(x, domain)
    test, _ = clips(1, 5, 5)
    name = ["source", "target"] * 5
    columns = {
        n: np.array([mahalanobis(row, mean[n], inverse) for row in test]) for n in mean
    }
    known = np.array([columns[n][i] for i, n in enumerate(name)])
    np.testing.assert_allclose(backend.score(test, name), known, rtol=1e-9)
    least = np.minimum(columns["source"], columns["target"])
    np.testing.assert_allclose(backend.score(test), least, rtol=1e-9)
    always = MahalanobisConfig(covariance="empirical", domain="min")
    minimum = Mahalanobis(always).fit(x, domain)
    np.testing.assert_allclose(minimum.score(test, name), least, rtol=1e-9)


def test_a_domain_without_training_clips_is_held_against_the_rest():
    x, domain = clips(target=0)
    backend = Mahalanobis(EMPIRICAL).fit(x, domain)
    test, _ = clips(1, 5, 5)
    np.testing.assert_array_equal(
        backend.score(test, ["target"] * 10), backend.score(test)
    )


def test_shrinkage_is_scikit_learns():
    x, domain = clips(source=12)
    _, centred, _ = by_hand(x, domain)
    found = Mahalanobis().fit(x, domain).state()["whitening"]
    expected = LedoitWolf(assume_centered=True).fit(centred).covariance_
    np.testing.assert_allclose(
        found @ found.T, np.linalg.inv(expected), rtol=1e-8, atol=1e-10
    )
    half = MahalanobisConfig(covariance="shrunk", shrinkage=0.5)
    w = Mahalanobis(half).fit(x, domain).state()["whitening"]
    empirical = centred.T @ centred / len(x)
    shrunk = empirical / 2 + np.eye(6) * np.trace(empirical) / 12
    np.testing.assert_allclose(w @ w.T, np.linalg.inv(shrunk), rtol=1e-8, atol=1e-10)


def test_an_affine_map_of_all_embeddings_changes_nothing():
    x, domain = clips()
    test, _ = clips(1, 20, 5)
    rng = np.random.default_rng(2)
    matrix, shift = rng.normal(size=(6, 6)), 30 * rng.normal(size=6)
    plain = Mahalanobis(EMPIRICAL).fit(x, domain).score(test)
    moved = Mahalanobis(EMPIRICAL).fit(x @ matrix + shift, domain)
    np.testing.assert_allclose(moved.score(test @ matrix + shift), plain, rtol=1e-6)


def test_a_unit_that_never_fires_does_not_decide():
    x, domain = clips()
    x[:, 2] = 0.7
    backend = Mahalanobis(EMPIRICAL).fit(x, domain)
    test = x[:5].copy()
    test[:, 2] += 1e-4
    assert (backend.score(test) < 10).all()


def residuals(seed=0, source=12, target=3, rows=20, bins=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(source + target, rows, bins)) @ rng.normal(size=(bins, bins))
    return x + 0.3, np.repeat(["source", "target"], [source, target])


def test_the_official_score_is_the_form_of_the_mean_residual():
    x, domain = residuals()
    test, _ = residuals(1, 4, 0)
    inverse = [
        np.linalg.inv(np.cov(x[domain == name].reshape(-1, 4).T))
        for name in ("source", "target")
    ]
    mean = test.mean(axis=1)
    official = np.min(
        [np.einsum("nf,fg,ng->n", mean, i, mean) for i in inverse], axis=0
    )
    frames = [np.einsum("ntf,fg,ntg->nt", test, i, test).mean(axis=1) for i in inverse]
    backend = Selective().fit(x, domain)
    np.testing.assert_allclose(backend.score(test), official, rtol=1e-9)
    per_frame = Selective(SelectiveConfig(form="per_frame")).fit(x, domain)
    np.testing.assert_allclose(per_frame.score(test), np.min(frames, axis=0), rtol=1e-9)
    # Averaging first cancels what frames differ by: not two estimates of one score.
    assert (per_frame.score(test) > backend.score(test)).all()


def test_batches_are_centred_each_on_its_own_mean_of_a_domain():
    x, domain = residuals()
    order = np.random.default_rng(3).permutation(len(x))
    x, domain = x[order], domain[order]
    sums = ResidualSums()
    products, count = np.zeros((4, 4)), 0
    for start in range(0, len(x), 5):
        sums.add(x[start : start + 5], domain[start : start + 5])
        chosen = domain[start : start + 5] == "source"
        rows = x[start : start + 5][chosen].reshape(-1, 4)
        products += (rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0))
        count += len(rows)
    group, covariance, rows = sums.covariances()
    assert group.tolist() == ["source", "target"] and rows.tolist() == [240, 60]
    np.testing.assert_allclose(covariance[0], products / (count - 1), rtol=1e-12)
    whole = Selective.from_sums(ResidualSums().add(x, domain))
    fitted = Selective().fit(x, domain)
    np.testing.assert_allclose(whole.score(x), fitted.score(x), rtol=1e-9)
    with pytest.raises(BackendError, match="finite"):
        sums.add(np.full((1, 2, 4), np.nan), ["source"])
    with pytest.raises(BackendError, match="no residuals"):
        ResidualSums().covariances()
