"""What the simulator hid in a file, reading and preparing it bring to light.

Each recording goes the public way: written as a device writes it, read by its name,
prepared by a preset.
"""

import dataclasses

import numpy as np
import pytest

from sigjax.data.formats import ReadOptions, read_recording
from sigjax.data.synthetic import (
    CwaDevice,
    Damage,
    Interruption,
    RecordingTruth,
    SampleClock,
    Span,
    WristSimulation,
    write_recording,
)
from sigjax.data.wearable import prepare

_PAPER = dataclasses.replace(prepare.PRESETS["paper"], min_wear_h=0.0)
_ACTIPY = prepare.PRESETS["actipy"]
# Times and samples as they are: nothing filtered, calibrated or left out.
_PLAIN = dataclasses.replace(
    _PAPER, lowpass_hz=None, calibration="none", nonwear_min=None
)
_TIME_S = 1e-3  # the project asks for 5 ms


def _device(simulation: WristSimulation, nominal_hz: float, model: str, **more):
    wide = model == "AX6"
    return CwaDevice(
        start=simulation.start,
        rate_hz=simulation.rate_hz,
        nominal_rate_hz=nominal_hz,
        model=model,
        packed=not wide,
        axes=6 if wide else 3,
        **more,
    )


def _read(path) -> tuple:
    """Counts, times and segments of a file."""
    recording = read_recording(path)
    counts = [segment.counts for segment in recording.segments]
    times = [s.time_at(np.arange(len(s.counts))) for s in recording.segments]
    return np.concatenate(counts), np.concatenate(times), recording


def _prepare(recording, config):
    return prepare.prepare_recording(recording, config, name="a", person="a")


# ------------------------------------------------------------------- calibration


@pytest.mark.survival
@pytest.mark.parametrize(
    ("model", "days", "seed"), [("AX6", 1, 1), ("AX6", 1, 2), ("AX3", 4, 2)]
)
def test_gain_and_offset_are_recovered(tmp_path, model, days, seed):
    # Four days let a packed AX3's steps of 15.6 mg average out over orientations.
    simulation = WristSimulation(seed=seed, days=days, rate_hz=12.3)
    path = tmp_path / "a.cwa"
    truth = write_recording(path, simulation, _device(simulation, 12.5, model))
    found = _prepare(read_recording(path), _PAPER).quality["calibration"]
    assert found["ok"], found["reason"]
    gain = 1 / np.array(found["gain"])
    offset = -np.array(found["offset_g"]) * gain
    np.testing.assert_allclose(gain, truth.gain, atol=5e-4)
    np.testing.assert_allclose(offset, truth.offset_g, atol=5e-4)
    assert found["error_after_mg"] < 1.0 < 10.0 < found["error_before_mg"]


def test_change_of_offset_with_temperature_is_recovered(tmp_path):
    simulation = WristSimulation(
        seed=5, days=2, rate_hz=12.3, temp_error_g_per_c=2e-3, offset_error_g=0.05
    )
    path = tmp_path / "a.cwa"
    truth = write_recording(path, simulation, _device(simulation, 12.5, "AX6"))
    recording = read_recording(path)
    config = dataclasses.replace(_PAPER, calibration_temperature=True)
    found = _prepare(recording, config).quality["calibration"]
    assert found["ok"], found["reason"]
    gain = 1 / np.array(found["gain"])
    per_c = -np.array(found["temp_coeff_g_per_c"]) * gain
    np.testing.assert_allclose(gain, truth.gain, atol=5e-4)
    # Off the wrist it is cold, but lies in few positions: that bounds the accuracy.
    np.testing.assert_allclose(per_c, truth.temp_coeff_g_per_c, atol=3e-4)
    at_31_c = -np.array(found["offset_g"]) * gain + 31.0 * per_c
    expected = truth.offset_g + (31.0 - 25.0) * truth.temp_coeff_g_per_c
    np.testing.assert_allclose(at_31_c, expected, atol=1e-3)
    without = _prepare(recording, _PAPER).quality["calibration"]
    assert without["error_after_mg"] > 2 * found["error_after_mg"]


# -------------------------------------------------------------------------- time


def _drifting(simulation: WristSimulation, per_c: float) -> SampleClock:
    return SampleClock.drifting(
        simulation.rate_hz,
        simulation.days * 86_400,
        simulation.temperature_c,
        per_c=per_c,
    )


@pytest.mark.parametrize(
    ("model", "nominal_hz", "rate_hz"),
    [("AX3", 50.0, 49.1), ("AX6", 50.0, 50.9), ("AX3", 25.0, 24.4)],
)
def test_times_follow_a_clock_that_drifts(tmp_path, model, nominal_hz, rate_hz):
    hour = 3600.0
    spans = (
        Span(activity="walk", start_s=0, end_s=0.5 * hour),
        Span(activity="nonwear", start_s=0.5 * hour, end_s=2.5 * hour),
        Span(activity="sleep", start_s=2.5 * hour, end_s=4 * hour),
    )
    simulation = WristSimulation(seed=1, days=1 / 6, rate_hz=rate_hz, schedule=spans)
    clock = _drifting(simulation, per_c=2e-4)
    path = tmp_path / "a.cwa"
    device = _device(simulation, nominal_hz, model, clock=clock)
    truth = write_recording(path, simulation, device)
    counts, time, recording = _read(path)
    index, expected = truth.intact()
    assert len(recording.segments) == 1
    assert len(counts) == len(index)
    away = np.abs(time - expected)
    # Before the first anchor only the rate of the whole segment is known.
    ahead = int(np.ceil(recording.segments[0].anchor_index[0]))
    assert away[ahead:].max() < _TIME_S
    assert away[:ahead].max() < 5e-3
    # The drift is there: one rate for the whole recording is off by seconds.
    straight = np.interp(index, index[[0, -1]], expected[[0, -1]])
    assert np.abs(straight - expected).max() > 1.0


# ------------------------------------- stops, clocks that are set, damaged blocks


_STOPS = (
    Interruption(block=60, lost_s=33.3),
    Interruption(block=150, lost_s=1.7, restart_sequence=False),
    Interruption(block=260, lost_s=7.0, clock_shift_s=-1800.0, new_session=True),
    Interruption(block=300, clock_shift_s=3600.0, restart_sequence=False),
)
# Kind, blocks, and what the reader counts them as.
_DAMAGE = {
    "byte": ((5, 200), "checksum"),
    "bit": ((20, 21), "checksum"),
    "zeroed": ((90,), "magic"),
    "erased": ((0, 91), "magic"),
    "foreign": ((120,), "magic"),
    "undated": ((310,), "date"),
    "repeated": ((40, 330), "repeated"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rough:
    """A recording to which everything happened.

    Attributes:
      samples: [s, 3] counts of all samples that the sensor took.
    """

    truth: RecordingTruth
    samples: np.ndarray
    counts: np.ndarray
    time: np.ndarray
    recording: object


@pytest.fixture(scope="module", params=["AX3", "AX6"])
def rough(request, tmp_path_factory):
    """36 minutes at 25 Hz with stops, a drifting clock and damaged blocks."""
    simulation = WristSimulation(seed=2, days=0.025, rate_hz=24.7)
    device = _device(simulation, 25.0, request.param)
    device = dataclasses.replace(device, clock=_drifting(simulation, 5e-4))
    damage = [
        Damage(block=block, kind=kind)
        for kind, (blocks, _) in _DAMAGE.items()
        for block in blocks
    ]
    path = tmp_path_factory.mktemp("rough") / "a.cwa"
    truth = write_recording(
        path,
        simulation,
        device,
        damage=damage,
        interruptions=_STOPS,
        truncated_bytes=700,
    )
    steps = np.concatenate([*simulation.chunks()]) * np.float32(device.counts_per_g)
    # Packed samples of +-8 g are stored in steps of four counts.
    samples = np.rint(steps).astype(np.int64) * (4 if device.packed else 1)
    counts, time, recording = _read(path)
    loaded = RecordingTruth.load(path.with_suffix(".truth.json"))
    np.testing.assert_array_equal(loaded.intact(), truth.intact())
    return Rough(
        truth=loaded, samples=samples, counts=counts, time=time, recording=recording
    )


def test_exactly_the_damaged_samples_are_lost(rough):
    index, time = rough.truth.intact()
    np.testing.assert_array_equal(rough.counts, rough.samples[index])
    assert np.abs(rough.time - time).max() < _TIME_S
    assert len(index) < sum(run.samples for run in rough.truth.runs)


def test_damaged_blocks_are_counted_by_kind(rough):
    quality = rough.recording.quality
    expected: dict[str, int] = {"truncated": 1}
    for blocks, reason in _DAMAGE.values():
        expected[reason] = expected.get(reason, 0) + len(blocks)
    found = {k: v for k, v in quality.items() if k.startswith("bad_") and v}
    assert found.pop("bad_blocks") == sum(expected.values())
    assert found == {f"bad_{reason}": count for reason, count in expected.items()}
    # The last block but one is cut off, of the last there is nothing.
    assert quality["blocks"] == rough.truth.blocks - 1
    assert quality["bad_blocks"] == len(rough.truth.bad_blocks) - 1


def test_segments_end_where_samples_are_missing_and_nowhere_else(rough):
    index, time = rough.truth.intact()
    step = 1 / rough.truth.simulation["rate_hz"]
    missing = (np.diff(index) != 1) | (np.abs(np.diff(time) - step) > 0.5 * step)
    edges = np.concatenate([[0], np.flatnonzero(missing) + 1, [len(index)]])
    segments = rough.recording.segments
    assert [len(s.counts) for s in segments] == np.diff(edges).tolist()
    for before, after, edge in zip(
        segments[:-1], segments[1:], edges[1:-1], strict=True
    ):
        gap = time[edge] - time[edge - 1]
        assert after.start - before.end == pytest.approx(gap, abs=2 * _TIME_S)


def test_each_stop_is_its_gap_and_each_setting_of_the_clock_its_step(rough):
    """The same, in the words in which the stops were ordered."""
    step = 1 / rough.truth.simulation["rate_hz"]
    firsts = [run.first for run in rough.truth.runs[1:]]
    index, _ = rough.truth.intact()
    for stop, first in zip(_STOPS, firsts, strict=True):
        place = int(np.searchsorted(index, first))
        assert index[place] == first
        found = rough.time[place] - rough.time[place - 1]
        away = stop.lost_s + stop.clock_shift_s + step
        assert found == pytest.approx(away, rel=5e-3, abs=0.05)
    back = sum(stop.clock_shift_s < 0 for stop in _STOPS)
    assert (np.diff(rough.time) < 0).sum() == back
    restarts = [stop for stop in _STOPS if stop.restart_sequence]
    assert rough.recording.quality["breaks_session"] == 1
    assert rough.recording.quality["breaks_restart"] == len(restarts) - 1
    assert rough.recording.quality["breaks_clock"] == 2


def test_prepared_samples_stand_where_the_truth_is(rough):
    prepared = _prepare(rough.recording, _PLAIN)
    assert prepared.quality["status"] == "used"
    assert prepared.quality["clock_set_back"] == 1
    index, time = rough.truth.intact()
    scale = rough.recording.segments[0].scale
    truth = rough.samples[index] * scale
    step = 1 / rough.truth.simulation["rate_hz"]
    covered = 0
    for run in rough.truth.runs:
        # Within a run time goes forward; between runs it may go back.
        mine = (index >= run.first) & (index < run.first + run.samples)
        for segment in prepared.segments:
            grid = segment.start + np.arange(len(segment.acceleration)) / 30.0
            place = np.searchsorted(time[mine], grid)
            inside = (place > 0) & (place < mine.sum())
            place = np.clip(place, 1, mine.sum() - 1)
            inside &= time[mine][place] - time[mine][place - 1] < 1.5 * step
            for axis in range(3):
                value = np.interp(grid[inside], time[mine], truth[mine, axis])
                found = segment.acceleration[inside, axis]
                # A time error of a tenth of a millisecond at the steepest slope.
                slope = np.abs(np.diff(truth[mine, axis])).max() / step
                np.testing.assert_allclose(found, value, atol=1e-4 * slope + 1e-6)
            covered += int(inside.sum())
    hours = prepared.quality["hours"]
    used = round(hours["used"] * 3600 * 30)
    bridged = round(hours["bridged"] * 3600 * 30)
    # All but what stands between two segments was compared with the truth.
    assert covered >= 0.99 * (used - bridged)
    # As long as the samples last, but for the ends of segments: gaps are not filled.
    steps = np.diff(time)
    lasting = steps[np.abs(steps - step) < 0.5 * step].sum() * 30
    assert abs(used - bridged - lasting) <= 2 * len(rough.recording.segments)


# --------------------------------------------------------------------------- wear


@pytest.fixture(scope="module")
def worn(tmp_path_factory):
    """A day and a half at 25 Hz on a drifting clock, twice off the wrist."""
    hour = 3600.0
    plan = [
        ("sit", 1.0),
        ("nonwear", 2.0),
        ("walk", 1.0),
        ("mixed", 2.0),
        # Too short for non-wear by the paper's rule of 90 minutes.
        ("nonwear", 1.25),
        ("mixed", 1.0),
        ("sleep", 8.0),
        ("walk", 0.5),
        ("nonwear", 3.0),
        ("mixed", 1.0),
    ]
    spans, now = [], 0.0
    for activity, hours in plan:
        spans.append(Span(activity=activity, start_s=now, end_s=now + hours * hour))
        now += hours * hour
    simulation = WristSimulation(
        seed=4, days=now / 86_400, rate_hz=24.6, schedule=tuple(spans)
    )
    clock = _drifting(simulation, 3e-4)
    path = tmp_path_factory.mktemp("worn") / "a.cwa"
    device = _device(simulation, 25.0, "AX6", clock=clock)
    return write_recording(path, simulation, device), read_recording(path)


@pytest.mark.parametrize(
    ("config", "slack_s"), [(_PAPER, 10.0), (_ACTIPY, 20.0)], ids=["paper", "actipy"]
)
def test_nonwear_is_found_to_a_window(worn, config, slack_s):
    truth, recording = worn
    off = [
        (truth.start + span.start_s, truth.start + span.end_s)
        for span in truth.spans
        if span.activity == "nonwear" and span.end_s - span.start_s > 5_400
    ]
    found = _prepare(recording, config).quality["nonwear"]
    assert len(found) == len(off) == 2
    for (start, end), (true_start, true_end) in zip(found, off, strict=True):
        assert abs(start - true_start) <= slack_s
        assert abs(end - true_end) <= slack_s


def test_hours_of_wear_are_those_of_the_truth(worn):
    truth, recording = worn
    prepared = _prepare(recording, _PAPER)
    hours = prepared.quality["hours"]
    total = truth.spans[-1].end_s / 3600
    away = sum(
        span.end_s - span.start_s
        for span in truth.spans
        if span.activity == "nonwear" and span.end_s - span.start_s > 5_400
    )
    assert hours["recorded"] == pytest.approx(total, abs=5 / 3600)
    assert hours["nonwear"] == pytest.approx(away / 3600, abs=40 / 3600)
    assert hours["used"] == pytest.approx(total - away / 3600, abs=40 / 3600)
    lasting = [s.acceleration.shape[0] / 30 / 3600 for s in prepared.segments]
    edges = np.array([span.start_s for span in truth.spans] + [total * 3600])
    expected = (edges[[1, 8, 10]] - edges[[0, 2, 9]]) / 3600
    assert lasting == pytest.approx(expected, abs=20 / 3600)


# ------------------------------------------------------------------ two loggers


def test_two_loggers_on_one_wrist_agree_within_their_resolution(tmp_path):
    simulation = WristSimulation(seed=6, days=0.02, rate_hz=98.6)
    found = {}
    for model in ("AX3", "AX6"):
        path = tmp_path / f"{model}.cwa"
        write_recording(path, simulation, _device(simulation, 100.0, model))
        recording = read_recording(path, ReadOptions(channels=("gyro",)))
        (found[model],) = recording.segments
    shared = min(len(segment.counts) for segment in found.values())
    away = found["AX3"].acceleration[:shared] - found["AX6"].acceleration[:shared]
    inside = np.abs(found["AX6"].acceleration[:shared]) < 7.9
    # Half a step of either.
    assert np.abs(away[inside]).max() <= 0.5 / 64 + 0.5 / 4096 + 1e-6
    index = np.arange(shared)
    times = [segment.time_at(index) for segment in found.values()]
    assert np.abs(times[0] - times[1]).max() < _TIME_S
    assert "gyro" not in found["AX3"].channels


def test_the_gyroscope_turns_gravity_as_the_accelerometer_sees_it(tmp_path):
    spans = (Span(activity="sleep", start_s=0, end_s=3600),)
    simulation = WristSimulation(
        seed=8,
        days=1 / 24,
        rate_hz=98.6,
        schedule=spans,
        noise_g=1e-4,
        gain_error=0.0,
        offset_error_g=0.0,
    )
    path = tmp_path / "a.cwa"
    write_recording(path, simulation, _device(simulation, 100.0, "AX6"))
    recording = read_recording(path, ReadOptions(channels=("gyro",)))
    (segment,) = recording.segments
    turning = np.radians(segment.channels["gyro"].values.astype(np.float64))
    gravity = segment.acceleration.astype(np.float64)
    change = np.gradient(gravity, 1 / segment.rate_hz, axis=0)
    expected = np.cross(gravity, turning)
    fast = np.linalg.norm(turning, axis=1) > np.radians(20.0)
    assert fast.sum() > 300
    # Bursts of movement are no turns, so not every sample agrees.
    away = np.linalg.norm(change - expected, axis=1)[fast]
    assert np.median(away) < 0.1 * np.median(np.linalg.norm(expected, axis=1)[fast])
