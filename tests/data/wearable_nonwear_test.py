"""Window statistics and the periods of rest that are taken for non-wear."""

import numpy as np
import pytest

from sigjax.data import recording as rec
from sigjax.data.wearable import filters, nonwear, stationary

EPOCH = 1_700_000_000.0
RATE = 30.0


def _moving(minutes, seed=0, sd=0.1):
    samples = round(minutes * 60 * RATE)
    return sd * np.random.default_rng(seed).standard_normal((samples, 3))


def _still(minutes, seed=1):
    return _moving(minutes, seed, sd=0.002)


def _blocks(stretches, hop_s, starts=None):
    first = [round(EPOCH * RATE)] if starts is None else starts
    sums = stationary.BlockSums(origin=EPOCH, hop_s=hop_s)
    for run, (values, start) in enumerate(zip(stretches, first, strict=True)):
        sums.run = run
        sums.add_grid(values.astype(np.float32), start, RATE)
    return sums.finish()


def _spans(stretches, hop_s, starts=None, count_last_window=True, minutes=90):
    starts = [round(EPOCH * RATE)] if starts is None else starts
    blocks = _blocks(stretches, hop_s, starts)
    windows = stationary.windows(blocks, 10)
    times = [
        (start / RATE, (start + len(values)) / RATE)
        for values, start in zip(stretches, starts, strict=True)
    ]
    return nonwear.nonwear_spans(
        blocks,
        windows,
        windows.sd,
        times,
        stationary_sd_g=0.013,
        nonwear_min=minutes,
        count_last_window=count_last_window,
    )


@pytest.mark.parametrize("hop_s", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("offset", [0, 7])
def test_windows_equal_numpy(hop_s, offset):
    values = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
    start = round(EPOCH * RATE) + offset
    windows = stationary.windows(_blocks([values], hop_s, [start]), 10)
    assert len(windows.row)
    for number, index in enumerate(windows.index):
        low = max(round(index * hop_s * RATE) - offset, 0)
        part = values[low : round((index * hop_s + 10) * RATE) - offset]
        np.testing.assert_allclose(windows.mean[number], part.mean(0), atol=1e-6)
        np.testing.assert_allclose(windows.sd[number], part.std(0, ddof=1), atol=1e-6)
        assert windows.centre[number] == EPOCH + index * hop_s + 5


def test_native_rate_windows_equal_numpy_however_chunked():
    rng = np.random.default_rng(0)
    counts = rng.integers(-4096, 4096, (12_345, 3)).astype(np.int16)
    index = np.array([0.0, len(counts)])
    segment = rec.Segment(
        counts=counts,
        scale=1 / 4096,
        anchor_index=index,
        anchor_time=EPOCH + index / 98.73,
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
    )
    time = segment.time_at(np.arange(len(counts))) - EPOCH
    for chunk_samples in (997, 1 << 20):
        sums = stationary.BlockSums(origin=EPOCH, hop_s=10)
        chunks = filters.filtered_chunks(counts, 1 / 4096, None, chunk_samples)
        for chunk in chunks:
            sums.add_chunk(segment, chunk)
        windows = stationary.windows(sums.finish(), 10)
        assert len(windows.row) == 13
        for number in range(13):
            part = counts[time // 10 == number] / 4096
            np.testing.assert_allclose(windows.mean[number], part.mean(0), atol=1e-9)
            np.testing.assert_allclose(windows.sd[number], part.std(0, ddof=1))


def test_no_window_reaches_across_a_gap():
    first = round(EPOCH * RATE)
    starts = [first, first + 1200 + 900]
    blocks = _blocks([_still(40 / 60), _still(40 / 60)], 1.0, starts)
    windows = stationary.windows(blocks, 10)
    assert windows.index.tolist() == [*range(31), *range(70, 101)]


def test_a_window_that_is_no_multiple_of_its_hop_is_an_error():
    with pytest.raises(ValueError, match="whole multiple"):
        stationary.windows(_blocks([_still(1)], 3.0), 10)


@pytest.mark.parametrize(("hop_s", "slack_s"), [(1.0, 1.0), (10.0, 10.0)])
def test_91_minutes_are_non_wear_and_89_are_not(hop_s, slack_s):
    for minutes, expected in ((89, 0), (91, 1)):
        values = np.concatenate([_moving(31), _still(minutes), _moving(20, 2)])
        spans = _spans([values], hop_s)
        assert len(spans) == expected
        for span in spans:
            assert abs(span.start - (EPOCH + 31 * 60)) <= slack_s
            assert abs(span.end - (EPOCH + (31 + minutes) * 60)) <= slack_s


@pytest.mark.parametrize("hop_s", [1.0, 10.0])
def test_exactly_90_minutes_are_worn(hop_s):
    def found(still):
        return len(_spans([np.concatenate([_moving(2), still, _moving(2)])], hop_s))

    assert found(_still(90)) == 0
    assert found(_still(90 + hop_s / 60)) == 1


def test_first_to_last_window_needs_542_windows():
    def found(windows):
        values = np.concatenate([_moving(2), _still(windows / 6), _moving(2)])
        return _spans([values], 10.0, count_last_window=False)

    assert found(541) == []
    (span,) = found(542)
    assert span.end - span.start == 541 * 10


def test_one_axis_that_moves_is_wear():
    values = _still(120)
    values[:, 1] = _moving(120, 5)[:, 1]
    assert _spans([values], 1.0) == []


def test_a_touch_ends_the_period():
    values = np.concatenate([_still(60), _moving(0.1), _still(60, 3)])
    assert _spans([values], 1.0) == []


def test_a_gap_ends_the_period_and_a_whole_run_can_be_non_wear():
    first = round(EPOCH * RATE)
    halves = [_still(60), _still(60, 3)]
    assert _spans(halves, 1.0, [first, first + len(halves[0]) + 900]) == []
    longer = [_still(100), _still(100, 3)]
    spans = _spans(longer, 1.0, [first, first + len(longer[0]) + 900])
    assert [(s.run_first, s.run_last) for s in spans] == [(0, 0), (1, 1)]


def test_non_wear_before_a_clock_was_set_back_spares_the_same_time_after():
    first = round(EPOCH * RATE) + 100_000 * 30
    stretches = [_still(120), _moving(120, 4)]
    (span,) = _spans(stretches, 1.0, [first, first])
    stop = first + len(stretches[0])
    assert nonwear.worn(first, stop, 0, [span], RATE) == []
    assert nonwear.worn(first, stop, 1, [span], RATE) == [(first, stop)]


def test_what_remains_between_spans():
    def span(a, b):
        return nonwear.Span(start=a, end=b, run_first=0, run_last=0)

    kept = nonwear.worn(0, 3000, 0, [span(10, 20), span(20, 30), span(60, 99)], RATE)
    assert kept == [(0, 300), (900, 1800), (2970, 3000)]
    assert nonwear.worn(0, 3000, 0, [span(-5, 200)], RATE) == []
    assert nonwear.worn(0, 3000, 0, [], RATE) == [(0, 3000)]
