"""The wrist simulation and the study that it writes."""

import dataclasses
import json

import numpy as np
import pytest

from sigjax.data.formats import find_recordings, read_cwa
from sigjax.data.synthetic import (
    ACTIVITIES,
    DAMAGE,
    Conditions,
    CwaDevice,
    Damage,
    Interruption,
    RecordingTruth,
    SampleClock,
    Span,
    WristSimulation,
    simulate_recordings,
    write_cwa,
    write_recording,
)

_RATE = 50.0


@pytest.fixture(scope="module")
def day():
    """A day of one person at 50 Hz: simulation, truth and samples."""
    simulation = WristSimulation(seed=1, days=1, rate_hz=_RATE)
    return simulation, simulation.truth(), np.concatenate([*simulation.chunks()])


def _of(day, activity):
    """Samples of one activity with the device's errors removed."""
    _, truth, samples = day
    pieces = [
        samples[round(span.start_s * _RATE) : round(span.end_s * _RATE)]
        for span in truth.spans
        if span.activity == activity
    ]
    return (np.concatenate(pieces) - truth.offset_g) / truth.gain


def test_length_type_and_schedule(day):
    simulation, truth, samples = day
    assert samples.shape == (simulation.num_samples, 3) == (86_400 * 50, 3)
    assert samples.dtype == np.float32
    assert {span.activity for span in truth.spans} == set(ACTIVITIES)
    ends = [0.0] + [span.end_s for span in truth.spans]
    assert [span.start_s for span in truth.spans] == ends[:-1]
    assert ends[-1] == 86_400.0


def test_equal_seeds_give_equal_samples_and_others_do_not(day):
    simulation, _, samples = day
    first = next(simulation.chunks())
    np.testing.assert_array_equal(first, samples[: len(first)])
    other = next(dataclasses.replace(simulation, seed=2).chunks())
    short = min(len(first), len(other))
    assert not np.array_equal(first[:short], other[:short])


def test_a_still_wrist_measures_one_g(day):
    for activity in ("sleep", "sit", "nonwear"):
        norm = np.linalg.norm(_of(day, activity), axis=1)
        assert np.median(norm) == pytest.approx(1.0, abs=0.005)


def test_activities_differ_in_movement(day):
    def movement(activity):
        norm = np.linalg.norm(_of(day, activity), axis=1)
        return np.std(norm)

    levels = [movement(a) for a in ("nonwear", "vehicle", "bicycling", "walk")]
    assert levels == sorted(levels)
    assert levels[0] < 0.006
    assert movement("walk") > 0.1


def test_walking_has_the_persons_cadence(day):
    samples = _of(day, "walk")
    power = np.abs(np.fft.rfft(samples - samples.mean(0), axis=0)).sum(1)
    frequency = np.fft.rfftfreq(len(samples), 1 / _RATE)
    step = (frequency > 1.4) & (frequency < 2.3)
    cadence = np.sum(frequency[step] * power[step] ** 2) / np.sum(power[step] ** 2)
    assert 1.5 < cadence < 2.2
    between = power[(frequency > 2.4) & (frequency < 2.9)].mean()
    assert power[step].mean() > 2 * between


def test_stillness_covers_the_sphere_as_calibration_needs(day):
    _, _, samples = day
    bins = samples[: len(samples) // 500 * 500].reshape(-1, 500, 3)
    still = bins.mean(1)[(bins.std(1) < 0.013).all(1)]
    assert len(still) > 500
    assert (still.max(0) > 0.3).all() and (still.min(0) < -0.3).all()
    # The device's errors are there to be found.
    error = np.abs(np.linalg.norm(still, axis=1) - 1).mean()
    assert error > 0.01


def test_nonwear_lasts_and_cools(day):
    simulation, truth, _ = day
    (off, *_) = [span for span in truth.spans if span.activity == "nonwear"]
    assert off.end_s - off.start_s > 90 * 60
    begin, end = simulation.temperature_c(np.array([off.start_s, off.end_s - 1]))
    assert begin > 28 and end < 23


def test_movement_is_continuous_between_pieces():
    spans = (Span(activity="sleep", start_s=0, end_s=3_000),)
    simulation = WristSimulation(
        seed=3, days=0.03, rate_hz=_RATE, schedule=spans, noise_g=1e-6
    )
    chunks = [*simulation.chunks()]
    assert len(chunks) > 3
    for before, after in zip(chunks[:-1], chunks[1:], strict=True):
        assert np.abs(after[0] - before[-1]).max() < 0.1


def test_a_device_on_a_table_stays_as_it_lies():
    spans = (Span(activity="nonwear", start_s=0, end_s=3_000),)
    simulation = WristSimulation(seed=3, days=0.03, rate_hz=_RATE, schedule=spans)
    samples = np.concatenate([*simulation.chunks()])[200:]
    assert (samples.std(0) < 0.006).all()


def test_unusable_parameters_are_refused():
    with pytest.raises(ValueError, match="days"):
        WristSimulation(seed=0, days=0)
    with pytest.raises(ValueError, match="swim"):
        spans = (Span(activity="swim", start_s=0, end_s=86_400),)
        WristSimulation(seed=0, days=1, schedule=spans)
    with pytest.raises(ValueError, match="gaps"):
        spans = (Span(activity="sit", start_s=0, end_s=3_600),)
        WristSimulation(seed=0, days=1, schedule=spans)
    with pytest.raises(ValueError, match="nominal_rate_hz"):
        CwaDevice(start=0, rate_hz=99, nominal_rate_hz=99)
    with pytest.raises(ValueError, match="packed"):
        CwaDevice(start=0, rate_hz=99, axes=6)
    with pytest.raises(ValueError, match="increase"):
        SampleClock(index=np.array([0.0, 1.0]), seconds=np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="at least 2"):
        SampleClock(index=np.zeros(1), seconds=np.zeros(1))
    with pytest.raises(ValueError, match="melted"):
        Damage(block=0, kind="melted")
    with pytest.raises(ValueError, match="no block"):
        Damage(block=0, kind="repeated")


def test_a_device_must_take_the_samples_that_are_simulated(tmp_path):
    simulation = WristSimulation(seed=1, days=0.001, rate_hz=99.0)
    device = CwaDevice(start=0, rate_hz=98.0)
    with pytest.raises(ValueError, match="98.0 samples per second"):
        write_recording(tmp_path / "a.cwa", simulation, device)


def test_gaps_keep_the_file_aligned_with_the_truth(tmp_path):
    simulation = WristSimulation(seed=4, days=0.01, rate_hz=99.2)
    samples = np.concatenate([*simulation.chunks()])
    device = CwaDevice(start=simulation.start, rate_hz=99.2)
    stops = [
        Interruption(block=0, lost_s=2.0),
        Interruption(block=100, lost_s=30.0),
        Interruption(block=300, lost_s=1.5, restart_sequence=False),
    ]
    path = tmp_path / "a.cwa"
    written = write_cwa(path, simulation.chunks(), device, interruptions=stops)
    recording = read_cwa(path)
    assert written == recording.quality["samples"]
    assert len(recording.segments) == 3
    for segment in recording.segments:
        time = segment.time_at(np.arange(len(segment.counts)))
        index = np.rint((time - simulation.start) * 99.2).astype(int)
        expected = np.rint(samples[index] * 64) / 64
        np.testing.assert_array_equal(segment.acceleration, expected)


def test_study_is_labelled_and_resumes(tmp_path):
    paths = simulate_recordings(tmp_path, 2, 0.01, seed=7, recordings_per_person=2)
    names = [path.name for path in paths]
    assert names == ["P001_1.cwa", "P001_2.cwa", "P002_1.cwa", "P002_2.cwa"]
    assert find_recordings(tmp_path) == (paths, [])
    assert "SIMULATED" in (tmp_path / "SIMULATED.txt").read_text()
    recordings = [read_cwa(path) for path in paths]
    subjects = [recording.metadata["subject_code"] for recording in recordings]
    assert subjects == ["P001", "P001", "P002", "P002"]
    truth = json.loads((tmp_path / "P001_1.truth.json").read_text())
    segment = recordings[0].segments[0]
    assert segment.start == pytest.approx(truth["simulation"]["start"], abs=1e-3)
    assert segment.rate_hz == pytest.approx(truth["simulation"]["rate_hz"], abs=0.01)
    assert truth["spans"][-1]["end_s"] == 864.0

    before = [path.read_bytes() for path in paths]
    kept = paths[0].stat().mtime
    paths[2].unlink()  # as if the run had been stopped
    assert simulate_recordings(tmp_path, 2, 0.01, 7, 2) == paths
    assert [path.read_bytes() for path in paths] == before
    assert paths[0].stat().mtime == kept


def test_study_never_overwrites_other_files(tmp_path):
    simulate_recordings(tmp_path / "a", 1, 0.005, seed=1)
    with pytest.raises(FileExistsError, match="other parameters"):
        simulate_recordings(tmp_path / "a", 1, 0.005, seed=2)
    (tmp_path / "P001.cwa").write_bytes(b"MD real")
    with pytest.raises(FileExistsError, match="not a simulated"):
        simulate_recordings(tmp_path, 1, 0.005, seed=1)
    assert not (tmp_path / "SIMULATED.txt").exists()


def test_study_is_known_by_the_mark_that_it_always_had(tmp_path):
    """Stores know recordings by their bytes, so equal parameters stay equal files."""
    (path,) = simulate_recordings(tmp_path, 1, 0.002, seed=5)
    found = read_cwa(path).metadata["subject_notes"]
    assert found == "simulated f77dfa15f0852dcd"


def test_study_under_conditions_and_its_truth(tmp_path):
    conditions = Conditions(
        model="AX6",
        nominal_rate_hz=50.0,
        rate_per_c=2e-4,
        temp_error_g_per_c=1e-3,
        restarts=2,
        clocks_set_back=1,
        bad_blocks=len(DAMAGE),
        truncated=True,
    )
    paths = simulate_recordings(tmp_path, 2, 0.02, seed=1, conditions=conditions)
    assert "AX6" in (tmp_path / "SIMULATED.txt").read_text()
    for path in paths:
        truth = RecordingTruth.load(path.with_suffix(".truth.json"))
        recording = read_cwa(path)
        index, time = truth.intact()
        assert recording.device == "AX6"
        assert recording.quality["samples"] == len(index)
        assert len(truth.damage) == len(DAMAGE)
        assert [run.clock_shift_s < 0 for run in truth.runs].count(True) > 0
        assert len(truth.runs) == 4
        found = [s.time_at(np.arange(len(s.counts))) for s in recording.segments]
        assert np.abs(np.concatenate(found) - time).max() < 5e-3
        assert (truth.temp_coeff_g_per_c != 0).all()
        assert truth.spans[-1].end_s == pytest.approx(0.02 * 86_400, rel=1e-2)
    kept = paths[0].stat().mtime
    again = simulate_recordings(tmp_path, 2, 0.02, seed=1, conditions=conditions)
    assert (again, paths[0].stat().mtime) == (paths, kept)
    with pytest.raises(FileExistsError, match="other parameters"):
        simulate_recordings(tmp_path, 2, 0.02, seed=1)


def test_turning_is_what_moves_gravity():
    spans = (Span(activity="sleep", start_s=0, end_s=3_000),)
    simulation = WristSimulation(
        seed=3, days=0.03, rate_hz=_RATE, schedule=spans, gain_error=0.0, noise_g=0.0
    )
    plain = np.concatenate([*simulation.chunks()])
    both = np.concatenate([*simulation.chunks(gyroscope=True)])
    np.testing.assert_array_equal(both[:, :3], plain)
    turning = np.linalg.norm(both[:, 3:], axis=1)
    assert np.median(turning) < 0.5  # a sensor's noise
    # Turning over is quick, but within what the device can measure.
    assert 20 < turning.max() < 2000
