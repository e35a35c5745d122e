"""Windows of a sound as it comes."""

import numpy as np
import pytest

from sigjax.data.pcm_stream import CLIPPED, DAMAGED, Block
from sigjax.inference.sounds.rolling import Rolling

RATE_HZ = 100
NOTHING = Block(np.empty(0, np.float32), np.empty(0, np.uint8))


def _windows(samples, sizes, marks=None, source_hz=RATE_HZ, **window):
    """All windows of a ramp that comes in blocks of these sizes."""
    rolling = Rolling(rate_hz=RATE_HZ, source_hz=source_hz, **window)
    wave = np.arange(samples, dtype=np.float32)
    ratio = source_hz // RATE_HZ
    if marks is None:
        marks = np.zeros(samples * ratio, np.uint8)
    found, at = [], 0
    for size in sizes:
        part = slice(at * ratio, (at + size) * ratio)
        found += rolling.push(Block(wave[at : at + size], marks[part]))
        at += size
    assert at == samples
    assert len(rolling._wave) <= 2 * max(sizes) + 1000
    return found + rolling.close(NOTHING), rolling


@pytest.mark.parametrize("sizes", [[1050], [1] * 1050, [333, 400, 317]])
def test_windows_begin_every_hop_and_the_last_reaches_back(sizes):
    found, rolling = _windows(1050, sizes, window_s=3.0, hop_s=2.0)
    starts = [window.start_s for window in found]
    assert starts == [0, 2, 4, 6, 7.5]
    for window in found:
        first = round(window.start_s * RATE_HZ)
        np.testing.assert_array_equal(window.wave, np.arange(first, first + 300))
        assert window.end_s == window.start_s + 3
    assert rolling.heard_s == 10.5


def test_a_sound_that_windows_cover_has_no_further_one():
    found, _ = _windows(900, [900], window_s=3.0, hop_s=3.0)
    assert [window.start_s for window in found] == [0, 3, 6]


def test_a_short_sound_is_one_short_window_and_none_is_none():
    (window,), _ = _windows(120, [60, 60], window_s=3.0, hop_s=1.0)
    assert (window.start_s, window.end_s, len(window.wave)) == (0, 1.2, 120)
    found, _ = _windows(0, [0], window_s=3.0, hop_s=1.0)
    assert found == []


def test_a_little_rest_at_the_end_is_not_worth_a_window():
    found, _ = _windows(614, [614], window_s=3.0, hop_s=3.0)
    assert [window.start_s for window in found] == [0, 3]
    found, _ = _windows(615, [615], window_s=3.0, hop_s=3.0)
    assert [window.start_s for window in found] == [0, 3, 3.15]
    (window,), _ = _windows(3, [3], window_s=3.0, hop_s=3.0)
    assert window.end_s == 0.03


def test_a_hop_longer_than_the_window_leaves_sound_out_but_not_the_end():
    found, _ = _windows(1000, [70] * 14 + [20], window_s=1.0, hop_s=4.0)
    assert [window.start_s for window in found] == [0, 4, 8, 9]


def test_marks_fall_into_the_windows_of_their_time_at_the_sources_rate():
    marks = np.zeros(1800, np.uint8)
    marks[700] = DAMAGED  # At 3.5 s.
    marks[1000:1006] = CLIPPED  # At 5.0 s.
    found, _ = _windows(900, [50] * 18, marks, source_hz=200, window_s=1.0, hop_s=1.0)
    assert [w.start_s for w in found if w.damaged] == [3]
    assert [w.start_s for w in found if w.clipped] == [5]
    assert found[3].damaged == 1 / 200 and found[5].clipped == 6 / 200


def test_little_is_kept_of_a_long_sound():
    rolling = Rolling(rate_hz=RATE_HZ, source_hz=300, window_s=2.0, hop_s=1.0)
    for _ in range(500):
        rolling.push(Block(np.zeros(100, np.float32), np.zeros(300, np.uint8)))
    assert len(rolling._wave) <= 200 and len(rolling._marks) <= 600
    assert rolling.heard_s == 500


def test_constant_windows_are_silent():
    rolling = Rolling(rate_hz=10, source_hz=10, window_s=1.0, hop_s=1.0)
    wave = np.concatenate([np.full(10, 0.25), np.linspace(0, 1, 10)])
    one, two = rolling.push(Block(wave.astype(np.float32), np.zeros(20, np.uint8)))
    assert one.constant and not two.constant


def test_windows_need_a_length():
    with pytest.raises(ValueError, match="a window of 0 s every 1 s"):
        Rolling(rate_hz=10, source_hz=10, window_s=0.0, hop_s=1.0)
