"""Moments of frames: masked, merged, and as features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.speech.moments import Moments, frame_moments, functionals, merge


def moments(x, counts):
    """Of one layer, `[b, 1, d]`."""
    own = jnp.arange(x.shape[1]) < jnp.asarray(counts)[:, None]
    mean, m2 = jax.jit(frame_moments)(jnp.asarray(x), own)
    return Moments(jnp.asarray(counts, jnp.float32), mean[:, None], m2[:, None])


@pytest.fixture
def frames():
    # Far from zero: what a difference of sums of squares would lose.
    x = 1000 + np.random.default_rng(0).normal(size=(3, 11, 4))
    return x.astype("f4")


@pytest.mark.parametrize("ddof", [0, 1])
def test_own_frames_alone_count(frames, ddof):
    counts = [11, 6, 1]
    frames[1, 6:], frames[2, 1:] = np.nan, np.inf
    got = functionals(moments(frames, counts), ddof)
    assert got.shape == (3, 1, 8)
    for i, count in enumerate(counts[:2]):
        own = frames[i, :count].astype("f8")
        np.testing.assert_allclose(got[i, 0, :4], own.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(got[i, 0, 4:], own.std(axis=0, ddof=ddof), rtol=1e-3)
    np.testing.assert_array_equal(got[2, 0, 4:], 0)  # one frame has no deviation


def test_parts_make_the_whole_in_any_order(frames):
    whole = moments(frames, [11] * 3)
    parts = [moments(frames[:, a:b], [b - a] * 3) for a, b in ((0, 4), (4, 5), (5, 11))]
    empty = moments(frames, [0] * 3)
    for order in ((0, 1, 2), (2, 0, 1)):
        merged = empty
        for i in order:
            merged = merge(merged, parts[i])
        np.testing.assert_array_equal(merged.count, whole.count)
        np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-6)
        np.testing.assert_allclose(merged.m2, whole.m2, rtol=1e-3)


def test_a_clip_without_frames_is_zero_and_adds_nothing(frames):
    empty = moments(frames, [0] * 3)
    np.testing.assert_array_equal(functionals(empty), 0)
    whole = moments(frames, [11] * 3)
    jax.tree.map(np.testing.assert_array_equal, merge(whole, empty), whole)


def test_other_ddofs_are_refused(frames):
    with pytest.raises(ValueError, match="0 or 1, got 2"):
        functionals(moments(frames, [11] * 3), 2)
