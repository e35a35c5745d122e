"""Held-out scores are of others' fits; the fusion's scale is theirs."""

import numpy as np
import pytest

from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.anomaly.fusion import MinZ, MinZConfig, held_out_scores
from sigjax.evals.anomaly.knn import Knn
from sigjax.evals.anomaly.registry import make

from .cases import clips

MEMBERS = ("mahalanobis", "knn")


def test_leave_one_out_is_a_fit_without_each_clip():
    x, domain = clips(12, 3)
    found = held_out_scores(Knn, x, domain)
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        expected = Knn().fit(x[rest], domain[rest]).score(x[i : i + 1])
        np.testing.assert_allclose(found[i], expected[0], rtol=1e-9)


def test_folds_spread_the_domains_and_skip_rows_that_are_not_finite():
    x, domain = clips(40, 4)
    x[2] = np.nan
    seen = []

    class Spy(Knn):
        def fit(self, embeddings, domains):
            seen.append(int((np.asarray(domains) == "target").sum()))
            return super().fit(embeddings, domains)

    found = held_out_scores(Spy, x, domain, folds=4)
    assert seen == [3, 3, 3, 3]
    assert np.isnan(found[2]) and np.isfinite(np.delete(found, 2)).all()
    assert np.isnan(held_out_scores(Knn, x[:1], domain[:1])).all()


def test_the_score_is_the_least_z_of_the_members():
    x, domain = clips()
    test, _ = clips(20, 5, seed=1)
    fused = MinZ(MinZConfig(members=MEMBERS)).fit(x, domain)
    z = []
    for name in MEMBERS:
        left_out = held_out_scores(lambda n=name: make(n), x, domain, folds=10)
        score = make(name).fit(x, domain).score(test)
        z.append((score - left_out.mean()) / left_out.std())
    np.testing.assert_allclose(fused.scores(test), z, rtol=1e-8)
    np.testing.assert_allclose(fused.score(test), np.min(z, axis=0), rtol=1e-8)


def test_a_clip_is_scored_without_the_others_of_its_test_set():
    x, domain = clips()
    test, _ = clips(20, 0, seed=1)
    fused = MinZ(MinZConfig(members=MEMBERS)).fit(x, domain)
    strange = np.concatenate([test[:1], 100 + test[1:]])
    np.testing.assert_allclose(fused.score(strange)[0], fused.score(test)[0], rtol=1e-9)


def test_normal_clips_stand_near_zero():
    x, domain = clips(300, 10)
    test, _ = clips(300, 0, seed=1)
    z = MinZ(MinZConfig(members=MEMBERS)).fit(x, domain).scores(test)
    assert (np.abs(z.mean(axis=1)) < 0.3).all()
    assert (np.abs(z.std(axis=1) - 1) < 0.3).all()


def test_members_that_read_different_things_need_both():
    x, domain = clips()
    fused = MinZ(MinZConfig(members=("confidence", "knn", "lof"), folds=4))
    assert fused.reads == ("logits", "embedding")
    with pytest.raises(BackendError, match="give a mapping"):
        fused.fit(x, domain)
    with pytest.raises(BackendError, match="embedding, which is missing"):
        fused.fit({"logits": x}, domain)
    fused.fit({"logits": x, "embedding": x}, domain)
    assert fused.scores({"logits": x, "embedding": x}).shape == (3, len(x))


def test_a_fusion_of_nothing_or_of_itself_is_an_error():
    with pytest.raises(ValueError, match="one member"):
        MinZConfig(members=())
    with pytest.raises(ValueError, match="none that is min_z"):
        MinZConfig(members=(MinZConfig(members=("knn",)),))
    with pytest.raises(ValueError, match="folds"):
        MinZConfig(members=("knn",), folds=1)
