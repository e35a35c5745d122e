"""The `actipy` preset against actipy itself, on a simulated recording.

Differences that stay, all of them excluded here by name, are listed in
`sigjax.data.wearable.presets`.
"""

import dataclasses
import shutil

import numpy as np
import pytest

from sigjax.data import formats
from sigjax.data.synthetic import cwa
from sigjax.data.wearable import prepare

if shutil.which("java") is None:
    pytest.skip("parity needs actipy and Java: no java", allow_module_level=True)
actipy = pytest.importorskip("actipy", reason="parity needs actipy and Java")
processing = pytest.importorskip("actipy.processing")

# actipy calls pandas in ways that pandas is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

RATE_HZ = 100.0  # Exactly nominal: actipy filters by the nominal rate.
START = 1_704_708_000.0
# No samples between these seconds. Whole ones: actipy ignores fractions of timestamps.
GAP = 4050.0, 4110.0
NONWEAR_S = 5600
CONFIG = prepare.PRESETS["actipy"]
LOWPASS_HZ = 20


def _acceleration():
    """Rest in 400 positions, movement, hours off the wrist on a slow turntable."""
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(400, 3))
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    rest *= 1 + rng.normal(0, 0.004, (400, 1))
    time = np.arange(round(200 * RATE_HZ))[:, None] / RATE_HZ
    moving = 0.5 * np.sin(2 * np.pi * np.array([1.1, 1.7, 0.6]) * time)
    moving += np.array([0.3, -0.6, 0.74]) + rng.normal(0, 0.05, moving.shape)
    angle = 2 * np.pi * np.arange(round(NONWEAR_S * RATE_HZ)) / (NONWEAR_S * RATE_HZ)
    turning = np.stack([np.full_like(angle, 0.3), *0.954 * _circle(angle)], axis=1)
    still = np.concatenate([np.repeat(rest, round(10 * RATE_HZ), axis=0), moving])
    whole = np.concatenate([still, turning, moving[: len(moving) // 2]])
    whole[: len(still)] += rng.normal(0, 0.004, still.shape)
    whole[len(still) :] += rng.normal(0, 0.004, (len(whole) - len(still), 3))
    return (whole * [1.03, 0.97, 1.01] + [0.02, -0.03, 0.04]).astype(np.float32)


def _circle(angle):
    return np.stack([np.cos(angle), np.sin(angle)])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("actipy") / "simulated.cwa"
    block = round(GAP[0] * RATE_HZ / 120)
    cwa.write_cwa(
        path,
        [_acceleration()],
        cwa.CwaDevice(start=START, rate_hz=RATE_HZ, range_g=2),
        temperature_c=lambda seconds: 25 + 5 * np.sin(seconds / 1500),
        interruptions=[cwa.Interruption(block=block, lost_s=GAP[1] - GAP[0])],
    )
    return path


def _theirs(path, **steps):
    data, _ = actipy.read_device(
        str(path), lowpass_hz=LOWPASS_HZ, resample_hz=30, verbose=False, **steps
    )
    time = data.index.to_numpy().astype("datetime64[ns]").astype(np.int64) / 1e9
    return np.rint((time - START) * 30).astype(int), data[["x", "y", "z"]].to_numpy()


def _ours(path, grid, **changes):
    """On actipy's grid, NaN where there is nothing; and the quality."""
    config = dataclasses.replace(CONFIG, **changes)
    prepared = prepare.prepare_recording(
        formats.read_recording(path), config, name="x", person="x"
    )
    values = np.full((grid[-1] + 1, 3), np.nan)
    for segment in prepared.segments:
        first = round((segment.start - START) * 30)
        part = segment.acceleration[: len(values) - first]
        values[first : first + len(part)] = part
    return values[grid], prepared.quality


def _far_from_gap(grid, seconds):
    time = grid / 30
    return (time < GAP[0] - seconds) | (time > GAP[1] + seconds)


def test_filtering_and_resampling_sample_for_sample(path):
    grid, theirs = _theirs(path, calibrate_gravity=False, detect_nonwear=False)
    ours, _ = _ours(path, grid, calibration="none", nonwear_min=None)
    # They filter across the gap, and repeat the samples at its edges for 1 s.
    compared = _far_from_gap(grid, 3.0) & (grid < grid[-1])
    assert compared.mean() > 0.99
    np.testing.assert_allclose(ours[compared], theirs[compared], atol=2e-6)
    inside = (grid / 30 > GAP[0] + 1.1) & (grid / 30 < GAP[1] - 1.1)
    assert np.isnan(ours[inside]).all() and np.isnan(theirs[inside]).all()
    # n = round(span * rate) + 1 points: the last may lie past the last sample.
    assert np.isnan(ours[-1]).all() and np.isfinite(theirs[-1]).all()


def test_calibration_to_1e_4(path):
    raw, _ = actipy.read_device(
        str(path),
        lowpass_hz=None,
        calibrate_gravity=False,
        detect_nonwear=False,
        resample_hz=None,
        verbose=False,
    )
    filtered, _ = processing.lowpass(raw, RATE_HZ, LOWPASS_HZ)
    _, theirs = processing.calibrate_gravity(filtered)
    _, quality = _ours(path, np.arange(1))
    ours = quality["calibration"]
    assert ours["ok"] and theirs["CalibOK"] == 1
    assert abs(ours["points"] - theirs["CalibNumSamples"]) <= 1
    slopes = [theirs[f"Calib{axis}Slope"] for axis in "xyz"]
    np.testing.assert_allclose(ours["gain"], slopes, rtol=1e-4)
    assert ours["error_before_mg"] == pytest.approx(
        theirs["CalibErrorBefore(mg)"], rel=2e-3
    )
    # Their degrees are (150 raw - 20500) / 1000, ours follow the specification; what
    # matters is what is added to a sample.
    raw_adc = np.array([220, 256, 290])
    degrees = (150 * raw_adc - 20500) / 1000
    specified = raw_adc * 75 / 256 - 50
    for axis, name in enumerate("xyz"):
        added = theirs[f"Calib{name}Intercept"] + degrees * theirs[f"Calib{name}SlopeT"]
        own = ours["offset_g"][axis] + specified * ours["temp_coeff_g_per_c"][axis]
        np.testing.assert_allclose(own, added, atol=4e-4)


def test_non_wear_sample_for_sample(path):
    grid, theirs = _theirs(path)
    ours, quality = _ours(path, grid)
    assert len(quality["nonwear"]) == 1
    off, their_off = np.isnan(ours[:, 0]), np.isnan(theirs[:, 0])
    differs = (off != their_off) & _far_from_gap(grid, 1.1) & (grid < grid[-1])
    # They flag one sample of the last window, we none.
    end = round((quality["nonwear"][0][1] - START) * 30)
    assert set(grid[differs]) <= {end}
    worn = ~off & ~their_off & _far_from_gap(grid, 3.0)
    assert worn.sum() > 30 * 4000
    np.testing.assert_allclose(ours[worn], theirs[worn], atol=5e-4)
