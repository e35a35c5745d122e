"""Calibration finds a gain and offset that are known, and says why when it cannot."""

import numpy as np
import pytest

from sigjax.data.wearable import calibration

GAIN = np.array([1.03, 0.96, 1.01])
OFFSET = np.array([0.03, -0.05, 0.02])
METHODS = ("van_hees", "actipy")


def _windows(count=2000, noise_g=0.001, seed=0, gain=GAIN, offset=OFFSET):
    """Windows at rest in random directions, as an uncalibrated device shows them."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(count, 3))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    mean = (truth - offset) / gain + noise_g * rng.normal(size=(count, 3))
    return mean, np.full((count, 3), 0.002), 10.0 * np.arange(count)


def _calibrate(mean, sd, time, temperature=None, **changes):
    settings = {
        "method": "van_hees",
        "stationary_sd_g": 0.013,
        "min_points": 10,
        "skip_constant": False,
    }
    return calibration.calibrate(mean, sd, time, temperature, **settings | changes)


@pytest.mark.parametrize("method", METHODS)
def test_recovers_gain_and_offset(method):
    mean, sd, time = _windows()
    found = _calibrate(mean, sd, time, method=method)
    assert found.ok, found.reason
    np.testing.assert_allclose(found.gain, GAIN, atol=5e-4)
    np.testing.assert_allclose(found.offset, OFFSET, atol=5e-4)
    assert found.error_before_g > 0.02 and found.error_after_g < 0.002
    calibrated = found.apply(mean, None)
    assert np.abs(np.linalg.norm(calibrated, axis=1) - 1).mean() < 0.002


@pytest.mark.parametrize("method", METHODS)
def test_outliers_have_no_say(method):
    mean, sd, time = _windows()
    mean[::50] *= 1.3
    found = _calibrate(mean, sd, time, method=method)
    np.testing.assert_allclose(found.gain, GAIN, atol=5e-3)


@pytest.mark.parametrize("method", METHODS)
def test_recovers_a_temperature_coefficient(method):
    mean, sd, time = _windows(seed=1)
    celsius = 25 + 5 * np.sin(time / 3000)
    per_degree = np.array([1e-3, -5e-4, 0])
    drifted = mean - celsius[:, None] * per_degree / GAIN
    found = _calibrate(drifted, sd, time, celsius, method=method)
    assert found.ok, found.reason
    np.testing.assert_allclose(found.temp_coeff, per_degree, atol=5e-5)
    np.testing.assert_allclose(
        found.apply(drifted, celsius), mean * GAIN + OFFSET, atol=2e-3
    )


def test_a_temperature_that_never_changes_has_no_coefficient():
    mean, sd, time = _windows()
    found = _calibrate(mean, sd, time, np.full(len(mean), 25.0))
    assert found.ok and np.abs(found.temp_coeff).max() < 1e-12
    np.testing.assert_allclose(found.gain, GAIN, atol=5e-4)


@pytest.mark.parametrize(("method", "needed"), [("van_hees", 10), ("actipy", 50)])
def test_too_few_points(method, needed):
    mean, sd, time = _windows(count=needed - 1)
    found = _calibrate(mean, sd, time, method=method, min_points=needed)
    assert not found.ok
    assert f"{needed - 1} stationary windows, {needed} needed" in found.reason
    np.testing.assert_array_equal(found.gain, 1)
    np.testing.assert_array_equal(found.offset, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_too_little_spread(method, sign):
    mean, sd, time = _windows()
    keep = sign * mean[:, 1] > -0.25
    found = _calibrate(mean[keep], sd[keep], time[keep], method=method)
    assert not found.ok and "on y" in found.reason


@pytest.mark.parametrize("method", METHODS)
def test_no_windows_at_all(method):
    nothing = np.zeros((0, 3))
    found = _calibrate(nothing, nothing, np.zeros(0), method=method)
    assert not found.ok and found.n_points == 0
    assert "0 stationary windows" in found.reason


@pytest.mark.parametrize("method", METHODS)
def test_what_lies_on_no_sphere_fails(method):
    mean, sd, time = _windows(noise_g=0.2)
    found = _calibrate(mean, sd, time, method=method)
    assert not found.ok and found.reason
    np.testing.assert_array_equal(found.gain, 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrated_recording_is_no_failure(method):
    mean, sd, time = _windows(gain=np.ones(3), offset=np.zeros(3), noise_g=0)
    found = _calibrate(mean, sd, time, method=method)
    assert found.ok, found.reason
    np.testing.assert_allclose(found.gain, 1, atol=1e-6)


def test_only_stationary_windows_count():
    mean, sd, time = _windows(count=100)
    sd[:40, 2] = 0.02
    assert _calibrate(mean, sd, time).n_points == 60


def test_repeated_windows_count_once():
    mean, sd, time = _windows(count=100)
    again = np.repeat(mean, 5, axis=0)
    times = 10.0 * np.arange(len(again))
    sds = np.repeat(sd, 5, axis=0)
    assert _calibrate(again, sds, times).n_points == 100
    assert _calibrate(again, sds, times, method="actipy").n_points == 500


def test_windows_without_noise_can_be_left_out():
    mean, sd, time = _windows(count=100)
    sd[:30] = 0
    assert _calibrate(mean, sd, time).n_points == 100
    assert _calibrate(mean, sd, time, skip_constant=True).n_points == 70


def test_hours_are_added_until_the_first_ones_suffice():
    mean, sd, time = _windows(count=4000)
    time = 240.0 * np.arange(4000)  # 267 h
    first = time <= 175 * 3600
    mean[first, 2] = np.abs(mean[first, 2])  # the first 175 h: no down
    found = _calibrate(mean, sd, time)
    assert found.ok, found.reason
    assert found.n_points == (time <= 180 * 3600).sum()  # 168 + 12


def test_none_leaves_the_recording_as_it_is():
    mean, sd, time = _windows()
    found = _calibrate(mean, sd, time, method="none")
    assert found.ok and found.error_before_g > 0.02
    np.testing.assert_array_equal(found.gain, 1)
    with pytest.raises(ValueError, match="calibration='ggir'"):
        _calibrate(mean, sd, time, method="ggir")
