"""kNN, its target banks, and densities, against scikit-learn and by hand."""

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from sigjax.evals.anomaly import distances
from sigjax.evals.anomaly.density import (
    LocalDensity,
    LocalDensityConfig,
    Lof,
    LofConfig,
)
from sigjax.evals.anomaly.distances import directions, nearest, nearest_scaled
from sigjax.evals.anomaly.knn import Knn, KnnConfig
from sigjax.evals.anomaly.target_bank import mem_mixup, smote


def clips(seed=0, source=60, target=5, width=8):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(source + target, width)) + 2
    x[source:, 0] -= 4
    return x, np.repeat(["source", "target"], [source, target])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_knn_is_scikit_learns_in_each_domain_and_the_least_of_both(metric, k):
    x, domain = clips()
    test, _ = clips(1)
    columns = []
    for name in ("source", "target"):
        model = NearestNeighbors(n_neighbors=k, metric=metric).fit(x[domain == name])
        columns.append(model.kneighbors(test)[0].mean(axis=1))
    backend = Knn(KnnConfig(k=k, metric=metric)).fit(x, domain)
    least = np.min(columns, axis=0)
    np.testing.assert_allclose(backend.score(test), least, rtol=1e-8, atol=1e-12)
    own = Knn(KnnConfig(k=k, metric=metric, domain="own")).fit(x, domain)
    found = own.score(test, ["target"] * len(test))
    np.testing.assert_allclose(found, columns[1], rtol=1e-8, atol=1e-12)


def test_cosine_knn_does_not_change_under_rotation_and_scale():
    x, domain = clips()
    test, _ = clips(1)
    turn = ortho_group.rvs(8, random_state=0)
    size = np.random.default_rng(0).uniform(0.1, 9, (len(test), 1))
    plain = Knn().fit(x, domain).score(test)
    turned = Knn().fit(3 * x @ turn, domain).score(size * test @ turn)
    np.testing.assert_allclose(turned, plain, rtol=1e-9, atol=1e-12)


def test_chunks_give_what_one_matrix_gives(monkeypatch):
    x, _ = clips(0, 300)
    test, _ = clips(1, 90)
    whole = nearest(test, x, 4)
    itself = nearest(x, x, 2, leave_self=True)
    radius = np.linspace(1, 2, len(x))
    scaled = nearest_scaled(test, x, radius)
    monkeypatch.setattr(distances, "_CELLS", 2000)
    np.testing.assert_array_equal(nearest(test, x, 4)[1], whole[1])
    np.testing.assert_array_equal(nearest(x, x, 2, leave_self=True)[0], itself[0])
    np.testing.assert_allclose(nearest_scaled(test, x, radius), scaled, rtol=1e-12)
    full = np.sort(pairwise_distances(test, x), axis=1)[:, :4]
    np.testing.assert_allclose(whole[0], full, rtol=1e-9)


def test_small_distances_keep_their_digits():
    bank = np.array([[1e3, 1e3], [0.0, 0.0]])
    found, _ = nearest(bank[:1] + [[3e-7, 4e-7]], bank, 1)
    np.testing.assert_allclose(found, 5e-7, rtol=1e-5)


def test_rows_without_direction_are_alike_and_unlike_all_others():
    x = np.array([[0.0, 0.0], [3.0, 0.0]])
    knn = Knn().fit(x[:1], ["source"])
    np.testing.assert_allclose(knn.score(x), [0, 1])
    np.testing.assert_allclose(Knn().fit(x[1:], ["source"]).score(x), [1, 0])
    np.testing.assert_allclose(np.linalg.norm(directions(x), axis=1), 1)


def test_smote_lies_between_near_target_clips():
    target = np.array([[0.0, 0], [1, 0], [0, 1], [50, 50]])
    bank = smote(target, 60, neighbors=2, seed=0)
    np.testing.assert_array_equal(bank[:4], target)
    assert len(np.unique(bank, axis=0)) == 60
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    for row in bank[4:]:
        gaps = []
        for a, b in pairs:
            share = (row - target[a]) @ (target[b] - target[a])
            share /= ((target[b] - target[a]) ** 2).sum()
            on = target[a] + np.clip(share, 0, 1) * (target[b] - target[a])
            gaps.append(np.linalg.norm(on - row))
        assert min(gaps) < 1e-9
    # Nobody has the far clip among its two nearest; it has two of its own.
    assert (bank[4:].max(axis=0) > 1).any()
    assert len(smote(target, 3, neighbors=2, seed=0)) == 4
    np.testing.assert_array_equal(smote(target[:1], 9, neighbors=2, seed=0), target[:1])


def test_mem_mixup_draws_targets_towards_their_nearest_sources():
    target, source = np.array([[0.0, 0]]), np.array([[1.0, 0], [9, 0], [0, 2]])
    bank = mem_mixup(target, source, share=0.9, neighbors=2)
    np.testing.assert_allclose(bank, [[0, 0], [0.1, 0], [0, 0.2]])
    assert len(mem_mixup(target, source, share=0.9, neighbors=990)) == 4


def test_invented_rows_are_the_targets_alone():
    x, domain = clips(0, 100, 5)
    state = Knn(KnnConfig(target_bank="smote")).fit(x, domain).state()
    group, count = np.unique(state["bank_group"], return_counts=True)
    assert dict(zip(group, count, strict=True)) == {"source": 100, "target": 20}
    np.testing.assert_allclose(np.linalg.norm(state["bank"], axis=1), 1)
    test, _ = clips(1, 10, 60)
    plain = Knn().fit(x, domain).score(test)
    more = Knn(KnnConfig(target_bank="smote")).fit(x, domain).score(test)
    assert (more <= plain + 1e-12).all() and (more < plain).any()


def test_z_normalisation_is_of_left_out_training_clips():
    x, domain = clips(0, 40, 12)
    state = Knn(KnnConfig(z_normalise=True)).fit(x, domain).state()
    for i, name in enumerate(("source", "target")):
        own = x[domain == name]
        square = pairwise_distances(own, metric="cosine")
        np.fill_diagonal(square, np.inf)
        left_out = square.min(axis=1)
        np.testing.assert_allclose(state["offset"][i], left_out.mean(), rtol=1e-9)
        np.testing.assert_allclose(state["scale"][i], left_out.std(), rtol=1e-9)
    # A neighbour of the test clips' own would make this batch's mean zero.
    test, names = clips(3, 40, 12)
    score = Knn(KnnConfig(z_normalise=True)).fit(x, domain).score(test + 3, names)
    assert score.mean() < -0.5 or score.mean() > 0.5


def test_too_few_target_clips_take_the_statistics_of_all():
    x, domain = clips(0, 40, 3)
    state = Knn(KnnConfig(z_normalise=True)).fit(x, domain).state()
    left_out = []
    for name in ("source", "target"):
        square = pairwise_distances(x[domain == name], metric="cosine")
        np.fill_diagonal(square, np.inf)
        left_out.append(square.min(axis=1))
    np.testing.assert_allclose(state["offset"][1], np.concatenate(left_out).mean())
    np.testing.assert_allclose(state["offset"][0], left_out[0].mean())


def test_a_left_out_target_clip_takes_its_inventions_with_it():
    x, domain = clips(0, 100, 12)
    # Source clips first, as `fit` has them; SMOTE draws by place.
    state = Knn(KnnConfig(target_bank="smote")).fit(x, domain).state()
    unit = state["bank"][state["bank_group"] == "target"][:12]
    left_out = []
    for i in range(12):
        bank = smote(np.delete(unit, i, axis=0), 20, neighbors=2, seed=0)
        left_out.append(
            pairwise_distances(unit[i : i + 1], bank, metric="cosine").min()
        )
    config = KnnConfig(z_normalise=True, target_bank="smote")
    found = Knn(config).fit(x, domain).state()
    np.testing.assert_allclose(found["offset"][1], np.mean(left_out), rtol=1e-9)
    np.testing.assert_allclose(found["scale"][1], np.std(left_out), rtol=1e-9)


@pytest.mark.parametrize("neighbors", [4, 200])
def test_lof_is_scikit_learns(neighbors):
    x, domain = clips()
    test, _ = clips(1)
    k = min(neighbors, len(x) - 1)
    model = LocalOutlierFactor(n_neighbors=k, novelty=True).fit(x)
    config = LofConfig(neighbors=neighbors, metric="euclidean")
    found = Lof(config).fit(x, domain).score(test)
    np.testing.assert_allclose(found, -model.score_samples(test), rtol=1e-8)


def test_local_density_is_its_formula():
    x, domain = clips()
    test, _ = clips(1)
    unit, other = (y / np.linalg.norm(y, axis=1, keepdims=True) for y in (x, test))
    radius = np.sort(pairwise_distances(unit), axis=1)[:, 1:5].mean(axis=1)
    expected = (pairwise_distances(other, unit) / radius).min(axis=1)
    found = LocalDensity().fit(x, domain).score(test)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("make", [LocalDensity, Lof])
def test_copies_of_a_file_do_not_change_the_density(make):
    x, domain = clips()
    test, _ = clips(1)
    copies = np.concatenate([x, np.repeat(x[:1], 30, axis=0)])
    names = np.concatenate([domain, domain[:1].repeat(30)])
    found = make().fit(copies, names).score(test)
    np.testing.assert_allclose(found, make().fit(x, domain).score(test), rtol=1e-9)


def test_clips_that_differ_by_almost_nothing_have_a_finite_density():
    x = np.zeros((8, 2))
    x[:, 1] = np.arange(8) * 1e-200
    config = LocalDensityConfig(metric="euclidean")
    found = LocalDensity(config).fit(x, ["source"] * 8).score([[0.0, 1], [0, 2]])
    assert np.isfinite(found).all() and found[1] > found[0] > 1e9
