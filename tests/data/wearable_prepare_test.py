"""Whole recordings through both presets."""

import dataclasses
import json

import numpy as np
import pytest

from sigjax.data import formats
from sigjax.data import recording as rec
from sigjax.data.synthetic import cwa, wrist
from sigjax.data.wearable import prepare

EPOCH = 1_700_000_000.0
PAPER = prepare.PRESETS["paper"]
HOUR_PARTS = ("used", "nonwear", "too_short", "dropped")


def _segment(values, start, rate_hz=50.0):
    index = np.array([0.0, len(values)])
    return rec.Segment(
        counts=np.rint(np.asarray(values) * 4096).astype(np.int16),
        scale=1 / 4096,
        anchor_index=index,
        anchor_time=start + index / rate_hz,
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
    )


def _recording(*segments, rate_hz=50.0):
    return rec.Recording(
        source="made/up.cwa",
        device="AX3",
        device_id="7",
        nominal_rate_hz=rate_hz,
        segments=segments,
        quality={"bad_blocks": 3},
        metadata={},
    )


def _measured(values):
    return (values - np.array([0.02, -0.03, 0.01])) / np.array([1.02, 0.97, 1.01])


def _daily(hours, seed=0, rate_hz=50.0):
    """Rest in a new direction every 5 minutes, with a shake between."""
    rng = np.random.default_rng(seed)
    samples = round(hours * 3600 * rate_hz)
    piece = round(300 * rate_hz)
    direction = rng.normal(size=(samples // piece + 1, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    values = _measured(np.repeat(direction, piece, axis=0)[:samples])
    noise = np.where(np.arange(samples) % piece < piece // 10, 0.2, 0.004)
    return values + noise[:, None] * rng.standard_normal((samples, 3))


def _table(hours, rate_hz=50.0):
    """Put down with a bump, then left alone."""
    level = np.zeros((round(hours * 3600 * rate_hz), 3))
    level[:, 2] = 1.0
    noise = np.full((len(level), 1), 0.003)
    noise[: round(10 * rate_hz)] = 0.2
    rng = np.random.default_rng(9)
    return _measured(level) + noise * rng.standard_normal(level.shape)


def _prepare(recording, config=PAPER, **changes):
    config = dataclasses.replace(config, **changes)
    prepared = prepare.prepare_recording(recording, config, name="a", person="p")
    quality, hours = prepared.quality, prepared.quality["hours"]
    json.dumps(quality, allow_nan=False)
    assert hours["recorded"] == pytest.approx(sum(hours[k] for k in HOUR_PARTS))
    stored = sum(len(s.acceleration) for s in prepared.segments)
    assert hours["used"] == pytest.approx(stored / prepared.rate_hz / 3600)
    assert (quality["status"] == "used") == bool(prepared.segments)
    starts = [segment.start for segment in prepared.segments]
    assert starts == sorted(starts)
    for segment in prepared.segments:
        assert segment.acceleration.dtype == np.float32
        assert segment.acceleration.shape[1:] == (3,)
        assert np.isfinite(segment.acceleration).all()
    return prepared


@pytest.mark.parametrize("preset", sorted(prepare.PRESETS))
def test_calibrates_removes_non_wear_and_accounts_for_every_hour(preset):
    values = np.concatenate([_daily(4), _table(2), _daily(3, 1)])
    recording = _recording(_segment(values, EPOCH + 0.3))
    prepared = _prepare(recording, prepare.PRESETS[preset], min_wear_h=1)
    assert prepared.quality["status"] == "used"
    assert [len(s.acceleration) / 108_000 for s in prepared.segments] == [
        pytest.approx(4, abs=0.01),
        pytest.approx(3, abs=0.01),
    ]
    assert prepared.quality["hours"]["recorded"] == pytest.approx(9, abs=1e-4)
    assert prepared.quality["hours"]["nonwear"] == pytest.approx(2, abs=0.01)
    assert prepared.quality["reader"] == {"bad_blocks": 3}
    found = prepared.quality["calibration"]
    assert found["error_after_mg"] < 2 < 10 < found["error_before_mg"]
    np.testing.assert_allclose(found["gain"], [1.02, 0.97, 1.01], atol=5e-4)
    np.testing.assert_allclose(found["offset_g"], [0.02, -0.03, 0.01], atol=5e-4)
    # The rest at 200 s into each direction has length 1 g.
    rest = prepared.segments[0].acceleration[6000::9000]
    assert np.abs(np.linalg.norm(rest, axis=1) - 1).mean() < 0.005


def test_calibration_counts_no_sample_twice():
    found = _prepare(_recording(_segment(_daily(2), EPOCH)), min_wear_h=1).quality
    assert 0.7 * 720 < found["calibration"]["points"] < 720


def test_temperature_is_taken_out_sample_by_sample():
    values = _daily(6)
    index = np.arange(0, len(values), 60.0)
    celsius = 25 + 8 * np.sin(2 * np.pi * index / len(values))
    drift = np.interp(np.arange(len(values)), index, 2e-3 * (celsius - 25))
    segment = dataclasses.replace(
        _segment(values + drift[:, None], EPOCH),
        temperature_index=index,
        temperature_c=celsius.astype(np.float32),
    )
    config = prepare.PRESETS["actipy"]
    prepared = _prepare(_recording(segment), config, min_wear_h=1)
    plain = _prepare(_recording(_segment(values, EPOCH)), config, min_wear_h=1)
    slopes = prepared.quality["calibration"]["temp_coeff_g_per_c"]
    np.testing.assert_allclose(slopes, -2e-3, rtol=0.1)
    error = prepared.segments[0].acceleration - plain.segments[0].acceleration
    assert np.abs(error).max() < 0.003  # the drift is +-16 mg


@pytest.mark.parametrize(("hours", "kept"), [(0.99, 0), (1.01, 1)])
def test_minimum_wear(hours, kept):
    recording = _recording(_segment(_daily(hours), EPOCH))
    prepared = _prepare(recording, min_wear_h=1)
    assert len(prepared.segments) == kept
    if not kept:
        assert prepared.quality["status"] == "dropped: no 1 h of contiguous wear"
        assert prepared.quality["hours"]["too_short"] == pytest.approx(hours, abs=1e-3)
        spans = np.array(prepared.quality["too_short"]).reshape(-1, 2)
        assert np.diff(spans).sum() / 3600 == pytest.approx(hours, abs=1e-3)


def test_exactly_the_minimum_is_enough():
    recording = _recording(_segment(_daily(1), EPOCH))
    (segment,) = _prepare(recording, min_wear_h=1).segments
    assert len(segment.acceleration) == 108_000


def test_a_recording_that_cannot_be_calibrated_is_dropped_or_kept():
    still = np.abs(_daily(2))
    recording = _recording(_segment(still, EPOCH))
    dropped = _prepare(recording, min_wear_h=1)
    assert dropped.quality["status"].startswith("dropped: not calibrated (stationary")
    assert dropped.quality["hours"]["dropped"] == pytest.approx(2, abs=1e-3)
    kept = _prepare(recording, min_wear_h=1, on_calibration_failure="keep")
    assert kept.quality["status"] == "used"
    assert not kept.quality["calibration"]["ok"]
    raw = _prepare(recording, min_wear_h=1, calibration="none")
    np.testing.assert_array_equal(
        kept.segments[0].acceleration, raw.segments[0].acceleration
    )


def test_lost_blocks_are_bridged_and_longer_gaps_cut():
    values = _daily(4)
    cut, again = 360_000, 360_060  # one block of 1.2 s
    rate = 50.0
    for gap_s, expected in ((0.0, 1), (2.0, 2)):
        parts = (
            _segment(values[:cut], EPOCH),
            _segment(values[again:], EPOCH + again / rate + gap_s),
        )
        prepared = _prepare(_recording(*parts), min_wear_h=1)
        assert len(prepared.segments) == expected
        quality = prepared.quality
        assert quality["gaps_bridged"] == (expected == 1)
        assert quality["gaps_kept"] == (expected == 2)
        seconds = quality["hours"]["bridged"] * 3600
        assert seconds == pytest.approx(1.2 if expected == 1 else 0, abs=1 / 30)
    unbridged = _prepare(_recording(*parts), min_wear_h=1, max_gap_s=0.0)
    assert len(unbridged.segments) == 2


def test_a_clock_set_back_gives_segments_in_time_order():
    first, second = _segment(_daily(2), EPOCH), _segment(_daily(2, 1), EPOCH - 3600)
    prepared = _prepare(_recording(first, second), min_wear_h=1)
    assert [s.start for s in prepared.segments] == [EPOCH - 3600, EPOCH]
    assert prepared.quality["clock_set_back"] == 1


def test_nothing_to_prepare_is_reported():
    empty = _prepare(_recording())
    assert empty.quality["status"] == "dropped: no usable samples"
    assert empty.quality["hours"]["recorded"] == 0
    fast = _segment(_daily(0.1), EPOCH, rate_hz=500.0)
    prepared = _prepare(_recording(fast))
    assert prepared.quality["unusable_segments"] == 1
    blip = _segment(_daily(0.1)[:1], EPOCH)
    assert "not calibrated" in _prepare(_recording(blip)).quality["status"]


@pytest.mark.parametrize(
    "change",
    [
        {"interpolation": "spline"},
        {"calibration": "ggir"},
        {"on_calibration_failure": "skip"},
        {"rate_hz": 0.0},
        {"min_wear_h": -1.0},
    ],
)
def test_settings_that_no_step_knows_are_errors(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(PAPER, **change)


@pytest.mark.parametrize("preset", sorted(prepare.PRESETS))
def test_finds_the_simulator_s_device_and_non_wear(preset, tmp_path):
    simulation = wrist.WristSimulation(seed=3, days=1.0)
    truth = simulation.truth()
    device = cwa.CwaDevice(start=simulation.start, rate_hz=simulation.rate_hz)
    cwa.write_cwa(
        tmp_path / "a.cwa",
        simulation.chunks(),
        device,
        temperature_c=simulation.temperature_c,
    )
    recording = formats.read_recording(tmp_path / "a.cwa")
    config = prepare.PRESETS[preset]
    quality = _prepare(recording, config, min_wear_h=1.0).quality
    assert quality["calibration"]["error_after_mg"] < 1
    np.testing.assert_allclose(
        quality["calibration"]["gain"], 1 / truth.gain, atol=1e-3
    )
    off = [s for s in truth.spans if s.activity == "nonwear"]
    assert len(quality["nonwear"]) == len(off) > 0
    for (start, end), span in zip(quality["nonwear"], off, strict=True):
        assert start - simulation.start == pytest.approx(span.start_s, abs=25)
        assert end - simulation.start == pytest.approx(span.end_s, abs=25)


def test_every_e4_session_gives_50_minutes(real_data):
    paths, _ = formats.find_recordings(real_data / "stress_predict_e4")
    assert len(paths) == 18
    for path in paths:
        recording = formats.read_recording(path)
        prepared = _prepare(recording, min_wear_h=0.83, on_calibration_failure="keep")
        (segment,) = prepared.segments
        assert len(segment.acceleration) >= 90_000
        length = np.linalg.norm(segment.acceleration, axis=1)
        assert 0.98 < np.median(length) < 1.03


def test_every_wrist_device_file_is_prepared(real_data):
    paths, _ = formats.find_recordings(real_data / "wrist_devices")
    found = {}
    for path in paths:
        if path.suffix == ".cwa":
            prepared = _prepare(
                formats.read_recording(path),
                min_wear_h=0.001,
                on_calibration_failure="keep",
            )
            found[path.stem[:16]] = len(prepared.segments)
    assert found == {
        "ax3_testfile": 1,
        "ax3_testfile_cor": 2,  # blocks 13 and 14: a gap of 2.4 s
        "ax6_testfile": 1,
        "skdh_ax3_sample": 1,
        "skdh_ax6_sample": 1,
    }
