import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import sigjax
from sigjax.evals.thresholds import ThresholdError
from sigjax.inference import autoencoder_training as training
from sigjax.inference.anomaly_detector import AutoencoderDetector
from sigjax.inference.base import BundleError
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.nn.stack import Layer

SMALL = {"widths": (16,), "code": 2, "epochs": 40, "batch_size": 32}
# Trained on 50 of 100: one program for all tests that do not look at the fit.
QUICK = SMALL | {"epochs": 1, "held_out": 0.5}
MIX = np.random.default_rng(1).normal(size=(2, 6))


def rows(count, seed, *, odd=0.0):
    """Points near a plane, in units and about means of their own."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2)) @ MIX + 0.05 * rng.normal(size=(count, 6))
    x += odd * rng.normal(size=x.shape)
    return x * np.array([1, 10, 100, 1, 1, 1]) + np.array([0, 0, 0, 1e6, 0, 0])


def windows(count, seed, shape=(21, 2)):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    wave = np.sin(2 * np.pi * 0.1 * np.arange(shape[0])[:, None] + phase)
    return (wave + 0.05 * rng.normal(size=(count, *shape))).astype(np.float32)


@functools.cache
def fitted():
    return AutoencoderDetector(**SMALL).fit(rows(400, 0))


def test_it_tells_normal_from_odd_and_scores_as_scikit_learn_does():
    detector, new, odd = fitted(), rows(500, 2), rows(500, 3, odd=1.0)
    assert detector.anomaly_score(odd).mean() > 3 * detector.anomaly_score(new).mean()
    decision = detector.decision_function(new)
    np.testing.assert_array_equal(
        decision, detector.score_samples(new) - detector.offset_
    )
    np.testing.assert_array_equal(detector.predict(new), np.where(decision < 0, -1, 1))
    assert detector.loss_curve_[-1] < 0.5 * detector.loss_curve_[0]
    assert (detector.predict(odd) == -1).mean() > 0.5


def test_the_score_is_the_squared_error_in_standard_deviations():
    detector, x = fitted(), rows(70, 4)
    kept = np.setdiff1d(np.arange(400), detector.held_out_)
    used = rows(400, 0)[kept]
    np.testing.assert_allclose(detector.mean_, used.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(detector.scale_, used.std(axis=0), rtol=1e-12)
    z = ((x - used.mean(axis=0)) / used.std(axis=0)).astype(np.float32)
    apply = jax.jit(Autoencoder(detector.network_).apply)
    out = apply(detector.variables_, jnp.asarray(z))
    error = (np.asarray(out.reconstruction) - z) ** 2
    np.testing.assert_allclose(
        detector.anomaly_score(x), error.mean(axis=1), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(detector.contributions(x), error, rtol=1e-2, atol=1e-4)


def test_a_score_depends_on_no_other_example(monkeypatch):
    detector, x = fitted(), rows(41, 5)
    together = detector.anomaly_score(x)
    alone = np.concatenate([detector.anomaly_score(row[None]) for row in x[:3]])
    np.testing.assert_allclose(together[:3], alone, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(training, "_VALUES", {jax.default_backend(): 16 * 16})
    in_parts = detector.anomaly_score(x)
    np.testing.assert_allclose(together, in_parts, rtol=1e-4, atol=1e-6)


def test_the_threshold_is_that_of_held_out_examples_and_keeps_its_promise():
    detector, x = fitted(), rows(400, 0)
    score = np.sort(detector.anomaly_score(x[detector.held_out_]).astype(np.float64))
    # floor(81 * 0.05) = 4 of 80: the fourth from above.
    assert len(score) == 80 and detector.threshold_.value == pytest.approx(score[-4])
    assert detector.threshold_.false_alarm_rate == pytest.approx(4 / 81)
    # The rate for these calibration examples is Beta(4, 77): above 0.12 in one of 500.
    assert (detector.predict(rows(4000, 6)) == -1).mean() < 0.12


def test_calibration_anew_moves_the_threshold_and_nothing_else():
    detector = AutoencoderDetector(**QUICK | {"held_out": 0.0}).fit(rows(50, 0))
    with pytest.raises(NotFittedError, match="calibrate"):
        detector.predict(rows(2, 1))
    assert len(detector.held_out_) == 0
    before, other = detector.anomaly_score(rows(9, 7)), rows(99, 8)
    detector.calibrate(other, false_alarm_rate=0.01)
    assert detector.threshold_.value == detector.anomaly_score(other).max()
    np.testing.assert_array_equal(detector.anomaly_score(rows(9, 7)), before)
    with pytest.raises(ThresholdError, match="at least 99 normal clips, there are 98"):
        detector.calibrate(other[1:], false_alarm_rate=0.01)


def test_whole_groups_are_held_out():
    group = np.repeat(["a", "b", "c", "d"], 25)
    detector = AutoencoderDetector(**QUICK)
    x = rows(100, 0)
    held = detector.fit(x, groups=group).held_out_
    counts = [np.isin(np.flatnonzero(group == name), held).sum() for name in "abcd"]
    assert sorted(counts) == [0, 0, 25, 25]
    # The promise is of new groups, of which two say little.
    assert detector.threshold_.parameters["groups"] == 2
    assert "of 2 groups" in detector.threshold_.remark
    assert detector.threshold_.at_most is None
    again = clone(detector).fit(x, groups=group)
    again.calibrate(x[held], groups=group[held])
    assert again.threshold_ == detector.threshold_
    assert again.calibrate(x[held]).threshold_.at_most is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "conv", "latent": "gaussian", "noise": 0.1},
        *(
            pytest.param(given, marks=pytest.mark.survival)
            for given in (
                {"kind": "conv"},
                {"kind": "conv", "noise": 0.3, "widths": (4, 4)},
                {"latent": "gaussian"},
                {"noise": 0.3},
            )
        ),
    ],
    ids=str,
)
def test_every_kind_of_autoencoder_takes_windows(settings, tmp_path):
    given = {"widths": (6,), "epochs": 8, "batch_size": 8, "code": 4}
    detector = AutoencoderDetector(**given | settings).fit(windows(100, 0))
    assert detector.n_features_in_ == 2 and detector.mean_.shape == (2,)
    new = windows(50, 1)
    odd = new.copy()
    odd[:, 8:11] += 3.0
    assert detector.anomaly_score(odd).mean() > detector.anomaly_score(new).mean()
    where = detector.contributions(odd).mean(axis=(0, 2))
    assert where.shape == (21,) and set(where.argsort()[-3:]) == {8, 9, 10}
    detector.save(tmp_path / "bundle")
    read = sigjax.load(tmp_path / "bundle")
    assert read.get_params() == detector.get_params()
    for other in (read, pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(other.predict(odd), detector.predict(odd))
        np.testing.assert_array_equal(
            other.anomaly_score(odd), detector.anomaly_score(odd)
        )
    with pytest.raises(BundleError, match="lacks 'threshold'"):
        info = {"detector": read.get_params(), "model_config": {}} | {
            k: v for k, v in _info(tmp_path / "bundle").items() if k != "threshold"
        }
        AutoencoderDetector.read(tmp_path / "bundle", info)


def _info(path):
    import json

    return json.loads((path / "bundle.json").read_text())


def test_clones_with_one_seed_are_alike_and_with_another_are_not():
    small = AutoencoderDetector(**QUICK)
    x = rows(100, 0)
    one, two = (clone(small).set_params(false_alarm_rate=0.1).fit(x) for _ in range(2))
    np.testing.assert_array_equal(one.anomaly_score(x), two.anomaly_score(x))
    assert one.get_params() == {**small.get_params(), "false_alarm_rate": 0.1}
    other = clone(one).set_params(random_state=1).fit(x)
    assert np.abs(one.anomaly_score(x) - other.anomaly_score(x)).max() > 1e-3


def test_a_network_can_be_given():
    layers = (Layer(kind="dense", width=2),), (Layer(kind="dense", width=6),)
    network = AutoencoderConfig(input_shape=(6,), encoder=layers[0], decoder=layers[1])
    detector = AutoencoderDetector(network=network, epochs=1).fit(rows(200, 0))
    assert detector.network_ == network
    with pytest.raises(ValueError, match=r"takes examples of \(6,\), these .* \(5,\)"):
        detector.fit(rows(200, 0)[:, :5])


def test_a_feature_that_never_changes_stays_in_its_own_units():
    x = rows(100, 0)
    x[:, 4] = 7.0
    detector = AutoencoderDetector(**QUICK).fit(x)
    assert detector.scale_[4] == 1.0 and detector.mean_[4] == 7.0
    odd = x.copy()
    odd[:, 4] += 30
    assert (detector.predict(odd) == -1).all()


def test_wrong_input_says_what_to_do():
    detector, x = fitted(), rows(20, 9)
    x[3, 2] = np.nan
    for call in (detector.predict, detector.contributions, AutoencoderDetector().fit):
        with pytest.raises(ValueError, match="1 of 20 examples have NaN.*number 3"):
            call(x)
    with pytest.raises(ValueError, match=r"takes \[n, 6,\), got \(20, 5\)"):
        detector.predict(x[:, :5])
    with pytest.raises(ValueError, match=r"rows \[n, d\] or windows"):
        detector.fit(np.zeros(5))
    with pytest.raises(ValueError, match="must be numbers, got an array of object"):
        detector.fit([["a", None]])
    with pytest.raises(NotFittedError, match="call fit"):
        AutoencoderDetector().predict(x)
    with pytest.raises(ValueError, match="convolutions take windows"):
        AutoencoderDetector(kind="conv").fit(rows(100, 0))
    huge = rows(2, 1)
    huge[1] = 1e300
    score = detector.anomaly_score(huge)
    assert np.isfinite(score[0]) and score[1] == np.inf


def test_a_rate_that_cannot_be_promised_says_what_can():
    detector = AutoencoderDetector(false_alarm_rate=0.01, held_out=0.25)
    expected = "needs 99 held-out examples; held_out=0.25 of 100 leaves 25.*396.*0.038"
    with pytest.raises(ThresholdError, match=expected):
        detector.fit(rows(100, 0))
    with pytest.raises(ThresholdError, match="in \\(0, 1\\), got 1"):
        AutoencoderDetector(false_alarm_rate=1).fit(rows(100, 0))
