"""One mixture: its parts add up, at the levels and places that are told."""

import dataclasses

import numpy as np
import pytest

from sigjax.data.segmentation.mixture import (
    MixtureConfig,
    active_parts,
    mix,
    quiet_part,
)

RATE_HZ = 8000
CONFIG = MixtureConfig(window_s=1.0, event_s=(0.1, 0.5), background="noise")


def clip(*parts, quiet=2.0, seed=0):
    """A second of faint noise with loud stretches, `(start_s, stop_s)` each."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, quiet, RATE_HZ)
    for start, stop in parts:
        here = slice(round(start * RATE_HZ), round(stop * RATE_HZ))
        wave[here] += rng.normal(0, 5000, here.stop - here.start)
    return np.clip(wave, -32768, 32767).astype(np.int16)


def drawn(events, seed=0, background=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    rng = np.random.default_rng(seed)
    return mix(events, background, rng, config, RATE_HZ)


def test_active_parts_are_near_the_highest_level():
    wave = clip((0.1, 0.3), (0.35, 0.4), (0.7, 0.75))
    given = dict(depth_db=30.0, gap_s=0.1, least_s=0.1)
    assert active_parts(wave, RATE_HZ, **given) == [(800, 3200)]
    given |= dict(gap_s=0.0, least_s=0.0)
    parts = [(800, 2400), (2800, 3200), (5600, 6000)]
    assert active_parts(wave, RATE_HZ, **given) == parts
    assert not active_parts(np.zeros(8000, np.int16), RATE_HZ, **given)
    assert not active_parts(np.zeros(3, np.int16), RATE_HZ, **given)


def test_a_quiet_part_is_long_steady_and_no_silence():
    wave = clip((0.1, 0.3), quiet=30.0)
    assert quiet_part(wave, RATE_HZ, depth_db=30.0) == (2400, 8000)
    wave[2400:] = 0
    assert quiet_part(wave, RATE_HZ, depth_db=30.0) is None
    rising = clip((0.0, 0.1), quiet=0.0)
    rising[800:] = (2.0 ** np.linspace(0, 7, 7200) * (-1) ** np.arange(7200)).astype(
        np.int16
    )
    assert quiet_part(rising, RATE_HZ, depth_db=30.0) is None


def test_events_are_alone_in_their_places_and_at_their_ratio():
    events = [(clip((0.2, 0.9), seed=n), n) for n in range(3)]
    found = drawn(events, snr_db=(12.0, 12.0), fade_s=0.0)
    np.testing.assert_array_equal(found.label, [0, 1, 2])
    bed = found.wave.astype(int) - found.sources.astype(int).sum(axis=0)
    level = np.square(bed).mean()
    assert 10 * np.log10(level / 32768**2) == pytest.approx(-50, abs=0.1)
    for source, start, stop in zip(found.sources, found.start, found.stop, strict=True):
        assert 0.1 <= (stop - start) / RATE_HZ <= 0.5
        assert not source[:start].any() and not source[stop:].any()
        power = np.square(source[start:stop].astype(float)).mean()
        assert 10 * np.log10(power / level) == pytest.approx(12, abs=0.1)


def test_a_clip_without_an_event_is_none_and_changes_no_other():
    events = [(clip((0.2, 0.9)), 4), (clip((0.3, 0.5), seed=1), 2)]
    whole = drawn(events)
    silent = drawn([(np.zeros(8000, np.int16), 4), events[1]])
    np.testing.assert_array_equal(silent.label, [2, -1, -1])
    assert (silent.start[0], silent.stop[0]) == (whole.start[1], whole.stop[1])
    np.testing.assert_array_equal(silent.sources[0], whole.sources[1])
    assert not silent.sources[1:].any() and not silent.stop[1:].any()
    nothing = drawn([])
    assert (nothing.label == -1).all() and nothing.wave.any()


def test_loud_mixtures_do_not_clip():
    events = [(clip((0.0, 1.0), seed=n), 0) for n in range(3)]
    found = drawn(events, snr_db=(60.0, 60.0), background_db=-30.0)
    assert 29000 < np.abs(found.wave.astype(int)).max() < 29600  # 0.9 of full scale
    again = found.sources.astype(int).sum(axis=0)
    assert np.abs(found.wave - again).max() < 2000  # what is left is the background


def test_a_background_is_a_clips_quiet_part_where_it_has_one():
    hum = (100 * np.sin(2 * np.pi * 1000 * np.arange(8000) / RATE_HZ)).astype(np.int16)
    hum[:800] += clip((0.0, 0.1))[:800]
    found = drawn([], background=hum, depth_db=25.0)
    spectrum = np.square(np.abs(np.fft.rfft(found.wave)))
    assert spectrum[990:1011].sum() > 0.9 * spectrum.sum()
    level = np.square(found.wave.astype(float)).mean()
    assert 10 * np.log10(level / 32768**2) == pytest.approx(-50, abs=0.1)
    noise = drawn([], background=np.zeros(8000, np.int16)).wave
    spectrum = np.square(np.abs(np.fft.rfft(noise)))
    assert 0 < spectrum[990:1011].sum() < 0.5 * spectrum.sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": (2, 1)}, {"events": (0, 0)}, {"event_s": (0.1, 2.0)},
        {"event_s": (0.0, 0.5)}, {"snr_db": (3.0, 1.0)}, {"fade_s": 0.06},
        {"background_db": 0.0}, {"depth_db": 0.0}, {"gap_s": -1.0},
    ],
    ids=str,
)  # fmt: skip
def test_ranges_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError):
        dataclasses.replace(CONFIG, **wrong)
