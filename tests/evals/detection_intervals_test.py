"""Laws of intervals: DeLong against the bootstrap, strata, groups and coverage."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from sigjax.evals import dcase, detection_intervals
from sigjax.metrics import detection


def _clips(seed, n=(60, 40), shift=1.0, decimals=8):
    rng = np.random.default_rng(seed)
    label = np.repeat([0, 1], n)
    return label, (rng.normal(size=sum(n)) + shift * label).round(decimals)


@pytest.mark.parametrize("decimals", [8, 1])
def test_delong_equals_its_definition(decimals):
    # By the placement of each clip among those of the other class (DeLong 1988).
    label, score = _clips(0, decimals=decimals)
    other = score + np.random.default_rng(1).normal(size=len(score)).round(decimals)
    placed = []
    for row in (score, other):
        anomaly, normal = row[label == 1][:, None], row[label == 0][None]
        wins = (anomaly > normal) + 0.5 * (anomaly == normal)
        placed.append((wins.mean(axis=1), wins.mean(axis=0)))
    of_anomalies, of_normals = (np.stack(side) for side in zip(*placed, strict=True))
    expected = np.cov(of_anomalies) / 40 + np.cov(of_normals) / 60
    found = detection_intervals.delong(label, np.stack([score, other]))
    np.testing.assert_allclose(found.covariance, expected, rtol=0, atol=1e-14)
    for auc, row in zip(found.auc, (score, other), strict=True):
        assert auc == pytest.approx(
            sklearn.metrics.roc_auc_score(label, row), abs=1e-12
        )


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_delong_and_the_bootstrap_agree(shift):
    label, score = _clips(2, n=(150, 100), shift=shift)
    variance = detection_intervals.delong(label, score).covariance[0, 0]
    weight = detection_intervals.resample(label, resamples=3000, seed=0)
    drawn = detection.roc_auc(label, score, weight=weight)
    assert np.sqrt(variance) == pytest.approx(drawn.std(), rel=0.06)
    ours = detection_intervals.delong_interval(label, score)
    theirs = detection_intervals.bootstrap(label, score, resamples=3000)
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.15 * width
    assert abs(ours.high - theirs.high) < 0.15 * width
    assert ours.value == theirs.value


@pytest.mark.parametrize("max_fpr", [1.0, 0.1])
def test_intervals_hold_the_truth_about_as_often_as_they_say(max_fpr):
    share = np.linspace(1e-9, max_fpr, 20_001)
    curve = scipy.stats.norm.sf(scipy.stats.norm.isf(share) - 1)
    least = max_fpr**2 / 2
    area = np.trapezoid(curve, share)
    truth = 0.5 * (1 + (area - least) / (max_fpr - least))
    held = np.zeros(2)
    for seed in range(120):
        label, score = _clips(seed + 10, n=(100, 100))
        found = detection_intervals.bootstrap(
            label, score, max_fpr=max_fpr, resamples=200, seed=seed
        )
        held[0] += found.low <= truth <= found.high
        exact = detection_intervals.delong_interval(label, score)
        held[1] += exact.low <= truth <= exact.high
    # 120 draws of 95 %: 0.89 and 0.99 are three standard errors away.
    assert 0.87 <= held[0] / 120 <= 1.0
    if max_fpr == 1:
        assert 0.88 <= held[1] / 120 <= 1.0


def test_resamples_keep_the_size_of_each_stratum():
    stratum = np.array(list("aaabbbbbc"))
    drawn = detection_intervals.resample(stratum, resamples=500, seed=3)
    for name, size in (("a", 3), ("b", 5), ("c", 1)):
        here = drawn[:, stratum == name]
        assert (here.sum(axis=1) == size).all()
        assert here.mean() == pytest.approx(1, abs=0.1)
    again = detection_intervals.resample(stratum, resamples=500, seed=3)
    np.testing.assert_array_equal(drawn, again)
    other = detection_intervals.resample(stratum, resamples=500, seed=4)
    assert (drawn != other).any()


def test_clips_of_a_group_are_drawn_together():
    # Recordings of unlike length, their stretches in any order.
    rng = np.random.default_rng(8)
    order = rng.permutation(24)
    stratum = np.repeat(["n", "a"], 12)[order]
    group = np.repeat(["r1", "r2", "r3", "r4", "r5", "r6"], [2, 4, 6, 1, 3, 8])[order]
    drawn = detection_intervals.resample(stratum, group=group, resamples=50, seed=0)
    for name in np.unique(group):
        here = drawn[:, group == name]
        assert (here == here[:, :1]).all()
    each = np.stack([drawn[:, group == name][:, 0] for name in ("r1", "r2", "r3")], 1)
    assert (each.sum(axis=1) == 3).all() and drawn.max() > 1


def test_stretches_of_a_recording_do_not_narrow_the_interval():
    # Ten stretches of each of 8 + 8 recordings that differ from each other only.
    rng = np.random.default_rng(5)
    label = np.repeat([0, 1], 80)
    group = np.repeat(np.arange(16), 10)
    score = np.repeat(rng.normal(size=16), 10) + label + 0.01 * rng.normal(size=160)
    naive = detection_intervals.bootstrap(label, score, resamples=400)
    honest = detection_intervals.bootstrap(label, score, group=group, resamples=400)
    assert honest.high - honest.low > 2 * (naive.high - naive.low)


def test_a_difference_of_like_detectors_is_surer_than_each_of_them():
    label, score = _clips(6)
    close = score + 0.05 * np.random.default_rng(7).normal(size=len(score))
    apart = detection_intervals.delong_difference(label, score, close)
    alone = detection_intervals.delong_interval(label, score)
    assert apart.low < 0 < apart.high
    assert apart.high - apart.low < 0.3 * (alone.high - alone.low)
    better = score + 1.5 * label
    found = detection_intervals.delong_difference(label, better, score)
    assert found.low > 0
    assert detection_intervals.delong_difference(label, score, score) == (0, 0, 0)


def test_a_perfect_detector_has_no_width():
    label = np.repeat([0, 1], 8)
    for found in (
        detection_intervals.delong_interval(label, label + 0.0),
        detection_intervals.bootstrap(label, label + 0.0, resamples=50),
    ):
        assert found == (1, 1, 1)
    with pytest.raises(detection.DetectionError, match="1 normal and 3 anomalous"):
        detection_intervals.delong(np.array([0, 1, 1, 1]), np.arange(4.0))
    with pytest.raises(detection.DetectionError, match="needs normal and anomalous"):
        detection_intervals.bootstrap(np.ones(4), np.arange(4.0))


def _section_scores(seed=0, n=40):
    rng = np.random.default_rng(seed)
    rows = [
        (machine, section, domain, label)
        for machine in ("fan", "valve")
        for section in ("03", "04")
        for domain in ("source", "target")
        for label in (0, 1)
        for _ in range(n)
    ]
    machine, section, domain, label = (np.array(c) for c in zip(*rows, strict=True))
    score = rng.normal(size=len(rows)) + label * (0.3 + 1.5 * (machine == "fan"))
    return dcase.score(
        dcase.ClipScores(
            machine=machine, section=section, domain=domain, label=label, score=score
        ),
        2021,
    )


def test_official_scores_have_intervals_by_machine_and_in_total():
    scores = _section_scores()
    found = detection_intervals.bootstrap_scores(scores, resamples=300, seed=1)
    assert found.keys() == {"fan", "valve", "total"}
    for name, columns in found.items():
        means = scores.mean("" if name == "total" else name)
        for column, interval in columns.items():
            assert interval.value == means[column]
            assert interval.low < interval.value < interval.high
    fan, total = found["fan"]["mean"], found["total"]["mean"]
    assert total.high - total.low < fan.high - fan.low
    # The spread of the total over draws of the data, not of resamples.
    others = [_section_scores(seed).mean()["mean"] for seed in range(1, 60)]
    width = detection_intervals.bootstrap_scores(scores, resamples=300)["total"]["mean"]
    assert (width.high - width.low) / 3.92 == pytest.approx(np.std(others), rel=0.35)


def test_resamples_keep_the_size_of_each_section_domain_and_label(monkeypatch):
    strata, draw = [], detection_intervals.resample
    monkeypatch.setattr(
        detection_intervals,
        "resample",
        lambda stratum, **options: strata.append(stratum) or draw(stratum, **options),
    )
    detection_intervals.bootstrap_scores(_section_scores(n=3), resamples=5)
    names, sizes = np.unique(strata[0], return_counts=True)
    assert len(names) == 2 * 2 * 2 * 2 and (sizes == 3).all()


def test_what_does_not_exist_has_no_interval():
    scores = _section_scores()
    clips = scores.clips
    keep = ~((clips.machine == "fan") & (clips.label == 1))
    columns = {k: v[keep] for k, v in clips.__dict__.items() if v is not None}
    lacks = dcase.score(dcase.ClipScores(**columns), 2021)
    found = detection_intervals.bootstrap_scores(lacks, resamples=20)
    assert np.isnan(found["fan"]["mean"]).all()
    assert np.isfinite(found["total"]["mean"]).all()


def _splits(seed, units=20, each=3):
    """Halves of shared recordings, each scored by a detector of its own."""
    rng = np.random.default_rng(seed)
    label = np.arange(units) % 2
    hard = rng.normal(size=units) + label
    parts = []
    for _ in range(4):
        chosen = rng.permutation(units)[: units // 2]
        if len(set(label[chosen])) < 2:
            continue
        unit = np.repeat(chosen, each)
        score = hard[unit] + 0.3 * rng.normal(size=len(unit))
        parts.append(detection_intervals.Scored(label[unit], score, unit))
    return label, parts


def test_a_mean_of_one_split_is_that_splits_figure():
    label, parts = _splits(0)
    weight = detection_intervals.resample(label, resamples=300, seed=0)
    drawn = detection_intervals.bootstrap_mean(parts[:1], weight, max_fpr=0.1)
    own = parts[0]
    value = detection.partial_auc(own.label, own.score)
    there = np.isfinite(drawn.draws)
    expected = detection.partial_auc(own.label, own.score, weight=weight[:, own.unit])
    assert drawn.value == value
    np.testing.assert_array_equal(drawn.draws[there], expected[there])
    assert not np.isfinite(expected[~there]).any()


def test_splits_of_the_same_recordings_do_not_narrow_the_mean():
    # Ten copies of a split know no more than one; as if independent, the interval of
    # their mean would be a third as wide.
    label, parts = _splits(1)
    weight = detection_intervals.resample(label, resamples=500, seed=0)
    one, ten = (
        detection_intervals.interval(
            detection_intervals.bootstrap_mean(parts[:1] * n, weight)
        )
        for n in (1, 10)
    )
    assert ten == pytest.approx(one, abs=1e-12)


def test_a_mean_leaves_out_splits_that_a_draw_leaves_without_a_class():
    label = np.array([0, 0, 1])
    unit = np.array([0, 2, 1, 2]).reshape(2, 2)
    score = np.array([[0.0, 1.0], [1.0, 0.0]])
    parts = [
        detection_intervals.Scored(label[u], s, u)
        for u, s in zip(unit, score, strict=True)
    ]
    weight = np.array([[1, 1, 1], [2, 0, 1], [0, 2, 1], [2, 2, 0]])
    drawn = detection_intervals.bootstrap_mean(parts, weight)
    assert drawn.value == 0.5
    np.testing.assert_array_equal(drawn.draws, [0.5, 1.0, 0.0, np.nan])
    with pytest.raises(detection.DetectionError, match="no split"):
        detection_intervals.bootstrap_mean([], weight)


def test_the_interval_of_a_mean_holds_the_figure_that_resamples_overshoot():
    # Of two normal recordings one decides the pAUC; without it all draws are above.
    label = np.array([0] * 4 + [1] * 20)
    score = np.concatenate([[0.1, 0.2, 0.3, 0.9], np.linspace(0.4, 0.8, 20)])
    unit = np.arange(24)
    weight = detection_intervals.resample(label, resamples=500, seed=0)
    part = detection_intervals.Scored(label, score, unit)
    drawn = detection_intervals.bootstrap_mean([part], weight, max_fpr=0.1)
    assert drawn.draws.min() >= drawn.value and drawn.draws.mean() > drawn.value + 0.1
    found = detection_intervals.interval(drawn)
    assert found.low < found.value < found.high < 1
    assert detection_intervals.interval(drawn, least=0.47).low == 0.47
    z = 1.959964
    assert found.high == pytest.approx(drawn.value + z * drawn.draws.std(), abs=1e-6)


def test_differences_are_of_the_same_draws():
    label, parts = _splits(2)
    weight = detection_intervals.resample(label, resamples=200, seed=0)
    drawn = detection_intervals.bootstrap_mean(parts, weight)
    assert detection_intervals.difference(drawn, drawn) == (0, 0, 0)
    worse = [part._replace(score=-part.score) for part in parts]
    other = detection_intervals.bootstrap_mean(worse, weight)
    found = detection_intervals.difference(drawn, other)
    assert found.value == pytest.approx(2 * drawn.value - 1)
    assert found.low < found.value < found.high
