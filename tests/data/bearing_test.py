import numpy as np
import pytest

from sigjax.data.synthetic.bearing import PASSING_HZ, RATE_HZ, bearing_windows


def test_damage_adds_blows_and_nothing_else():
    """The same recording with and without: what differs rings, at the passing rate."""
    given = {"healthy": 0, "damaged": 1, "windows": 1, "samples": 16_000, "seed": 3}
    none, some, more = (bearing_windows(**given, depth=d).x[0, :, 0] for d in (0, 1, 2))
    blows = (some - none).astype(np.float64)
    np.testing.assert_allclose(more - none, 2 * blows, atol=1e-5)
    spectrum = np.abs(np.fft.rfft(blows))
    peak_hz = spectrum.argmax() * RATE_HZ / len(blows)
    assert 2100 < peak_hz < 2700
    power = np.abs(np.fft.rfft(blows**2 - (blows**2).mean()))
    rate_hz = power[20:400].argmax() * RATE_HZ / len(blows) + 10
    assert 3.58 * 24 - 2 < rate_hz < 3.58 * 30 + 2


def test_windows_are_of_recordings_which_do_not_depend_on_how_many_there_are():
    one = bearing_windows(healthy=2, damaged=1, windows=3, samples=64, seed=1)
    assert one.x.shape == (9, 64, 1) and one.x.dtype == np.float32
    assert one.label.tolist() == [0] * 6 + [1] * 3
    assert len(set(one.group)) == 3 and len(set(one.ids)) == 9
    assert "SIMULATED" in one.origin
    other = bearing_windows(healthy=1, damaged=0, windows=3, samples=64, seed=1)
    np.testing.assert_array_equal(other.x, one.x[:3])
    assert np.abs(one.x[:3] - one.x[3:6]).max() > 0.1
    with pytest.raises(ValueError, match="0 healthy and 0 damaged"):
        bearing_windows(healthy=0, damaged=0)


def test_knocks_are_of_all_recordings_and_keep_no_time():
    given = {"windows": 1, "samples": 64_000, "seed": 3}
    alone, beside = (
        bearing_windows(healthy=1, damaged=1, knocks_hz=k, **given).x[..., 0]
        for k in (0, 8)
    )
    added = (beside - alone).astype(np.float64)
    for knocks in added:
        # A knock rings for 12 ms: what comes within 20 ms of another is one.
        loud = np.flatnonzero(np.abs(knocks) > 0.2)
        begins = loud[np.flatnonzero(np.diff(loud, prepend=-1000) > 160)]
        assert 35 < len(begins) < 80
        gaps = np.diff(begins)
        assert gaps.std() > 0.5 * gaps.mean()  # blows' are 1 % apart
    assert np.abs(added[0] - added[1]).max() > 0.2


def test_rates_of_passing_are_those_of_the_speeds():
    assert PASSING_HZ == pytest.approx((85.92, 107.4))
