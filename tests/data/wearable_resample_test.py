"""From a drifting clock to the grid; gaps, joins and clocks that were set back."""

import numpy as np
import pytest

from sigjax.data import recording as rec
from sigjax.data.wearable import resample

EPOCH = 1_700_000_000.0


def _segment(counts, start, rate_hz=100.0, anchors=None):
    if anchors is None:
        index = np.array([0.0, len(counts)])
        anchors = index, start + index / rate_hz
    return rec.Segment(
        counts=np.asarray(counts, np.int16),
        scale=1 / 4096,
        anchor_index=anchors[0],
        anchor_time=anchors[1],
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
    )


def _flat(samples, value=0):
    return np.full((samples, 3), value, np.int16)


def _render(run, method="linear", lowpass_hz=15.0):
    return resample.render(
        run, rate_hz=30, method=method, lowpass_hz=lowpass_hz, lowpass_order=8
    )


def _drifting(seconds=120, hz=1.3):
    """A sine sampled by a clock whose rate wanders between 97 and 101 Hz."""
    block = np.arange(0, seconds * 99 + 1, 120.0)
    rate = 99 + 2 * np.sin(np.arange(len(block) - 1) / 7)
    time = EPOCH + 0.123 + np.concatenate([[0], np.cumsum(120 / rate)])
    index = np.arange(int(block[-1]), dtype=np.float64)
    at = np.interp(index, block, time)
    wave = np.rint(4096 * np.sin(2 * np.pi * hz * (at - EPOCH)))
    return _segment(np.repeat(wave[:, None], 3, 1), 0, anchors=(block, time))


@pytest.mark.parametrize(
    ("method", "bound"), [("linear", 0.003), ("cubic", 0.002), ("nearest", 0.055)]
)
def test_sine_on_a_drifting_clock_keeps_its_phase(method, bound):
    hz = 1.3
    (run,), _ = resample.plan_runs([_drifting(hz=hz)], rate_hz=30, max_gap_s=0)
    out = _render(run, method)
    seconds = np.arange(run.first, run.stop) / 30 - EPOCH
    error = out[30:-30, 0] - np.sin(2 * np.pi * hz * seconds[30:-30])
    assert np.abs(error).max() < bound
    # 2 ms of delay would correlate with the slope at 0.016.
    assert abs((error * np.cos(2 * np.pi * hz * seconds[30:-30])).mean()) < 2e-4


def test_clock_inverts_also_beyond_its_anchors():
    segment = _drifting()
    index = np.linspace(-50, len(segment.counts) + 50, 501)
    back = resample.index_at(segment, segment.time_at(index))
    np.testing.assert_allclose(back, index, atol=1e-4)


def test_grid_holds_whole_seconds_and_stays_inside_the_samples():
    segment = _segment(_flat(1000), EPOCH + 0.004)
    (run,), _ = resample.plan_runs([segment], rate_hz=30, max_gap_s=0)
    assert run.first == EPOCH * 30 + 1  # EPOCH itself is 4 ms before the first sample
    assert (run.stop - 1) / 30 <= segment.end < run.stop / 30
    on_grid = _segment(_flat(1000), EPOCH)
    (run,), _ = resample.plan_runs([on_grid], rate_hz=30, max_gap_s=0)
    assert run.first == EPOCH * 30


def test_chunks_do_not_show_in_the_output(monkeypatch):
    rng = np.random.default_rng(0)
    segment = _segment(rng.integers(-4096, 4096, (5000, 3)), EPOCH + 0.01, 98.7)
    (run,), _ = resample.plan_runs([segment], rate_hz=30, max_gap_s=0)
    original = resample.filters.filtered_chunks
    for method in ("nearest", "linear", "cubic"):
        whole = _render(run, method)
        monkeypatch.setattr(
            resample.filters,
            "filtered_chunks",
            lambda counts, scale, sos, **shift: original(counts, scale, sos, 617),
        )
        np.testing.assert_allclose(_render(run, method), whole, atol=1e-6)
        monkeypatch.undo()


def test_segments_are_filtered_apart_and_gaps_stay_gaps():
    before, after = _flat(1000, 4096), _flat(1000, -4096)
    segments = [_segment(before, EPOCH), _segment(after, EPOCH + 15)]
    runs, counts = resample.plan_runs(segments, rate_hz=30, max_gap_s=2)
    assert len(runs) == 2 and counts["gaps_kept"] == 1
    np.testing.assert_allclose(_render(runs[0]), 1, atol=1e-6)
    np.testing.assert_allclose(_render(runs[1]), -1, atol=1e-6)


@pytest.mark.parametrize(("gap_s", "runs_expected"), [(1.2, 1), (1.9, 1), (2.2, 2)])
def test_short_gaps_are_bridged_and_counted(gap_s, runs_expected):
    segments = [
        _segment(_flat(1000, 0), EPOCH),
        _segment(_flat(1000, 4096), EPOCH + 10 + gap_s),
    ]
    runs, counts = resample.plan_runs(segments, rate_hz=30, max_gap_s=2)
    assert len(runs) == runs_expected
    assert counts["gaps_bridged"] == (runs_expected == 1)
    if runs_expected == 1:
        out = _render(runs[0])[:, 0]
        start = 300
        assert runs[0].bridged == pytest.approx(gap_s * 30, abs=1)
        inside = out[start : start + runs[0].bridged]
        assert (np.diff(inside) > 0).all() and 0 < inside[0] and inside[-1] < 1
        np.testing.assert_allclose(out[:start], 0, atol=1e-6)
        np.testing.assert_allclose(out[start + runs[0].bridged :], 1, atol=1e-6)
        repeated = _render(runs[0], "nearest")[:, 0]
        np.testing.assert_allclose(repeated, np.round(repeated), atol=1e-6)


def test_without_bridging_one_missing_point_cuts():
    cases = {0.0: 1, 0.05: 2}
    for gap_s, expected in cases.items():
        segments = [
            _segment(_flat(1000), EPOCH),
            _segment(_flat(1000), EPOCH + 10 + gap_s),
        ]
        runs, _ = resample.plan_runs(segments, rate_hz=30, max_gap_s=0)
        assert len(runs) == expected


def test_overlap_is_trimmed_and_a_clock_set_back_starts_anew():
    overlap = [_segment(_flat(1000), EPOCH), _segment(_flat(1000), EPOCH + 9.9)]
    (run,), counts = resample.plan_runs(overlap, rate_hz=30, max_gap_s=0)
    assert counts["overlaps_trimmed"] == 1
    assert run.stop - run.first == int(19.89 * 30) + 1
    back = [_segment(_flat(1000), EPOCH), _segment(_flat(1000), EPOCH - 3600)]
    runs, counts = resample.plan_runs(back, rate_hz=30, max_gap_s=2)
    assert len(runs) == 2 and counts["clock_set_back"] == 1


@pytest.mark.parametrize("samples", [1, 2, 4, 30])
def test_very_short_segments(samples):
    segment = _segment(_flat(samples, 4096), EPOCH)
    (run,), _ = resample.plan_runs([segment], rate_hz=30, max_gap_s=0)
    for method in ("nearest", "linear", "cubic"):
        np.testing.assert_allclose(_render(run, method), 1, atol=1e-6)
    between = _segment(_flat(samples), EPOCH + 0.002)
    runs, counts = resample.plan_runs([between], rate_hz=30, max_gap_s=0)
    assert counts["below_one_sample"] == 1 - len(runs)


def test_rates_too_low_for_the_filter_pass_unfiltered():
    segment = _segment(_flat(250, 4096), EPOCH, rate_hz=25.0)
    (run,), _ = resample.plan_runs([segment], rate_hz=30, max_gap_s=0)
    np.testing.assert_allclose(_render(run), 1, atol=1e-6)


def test_segments_without_a_usable_clock():
    good = _segment(_flat(1000), EPOCH)
    assert resample.usable(good, 100)
    assert not resample.usable(good, 300)
    assert not resample.usable(_segment(_flat(0), EPOCH), 100)
    one = (np.array([0.0]), np.array([EPOCH]))
    assert not resample.usable(_segment(_flat(10), EPOCH, anchors=one), 100)
    stuck = (np.array([0.0, 10.0]), np.array([EPOCH, EPOCH]))
    assert not resample.usable(_segment(_flat(10), EPOCH, anchors=stuck), 100)
