"""Cosine logits and means over frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.masked_prediction import (
    cosine_logits,
    frame_cross_entropy,
    frame_means,
)


def test_logits_are_cosines_over_the_temperature():
    predicted = jnp.array([[[3.0, 4.0], [0.0, 0.0]]])
    codes = jnp.array([[2.0, 0.0], [-3.0, -4.0]])
    found = cosine_logits(predicted, codes, 0.1)
    np.testing.assert_allclose(found, [[[6.0, -10.0], [0.0, 0.0]]], atol=1e-5)
    slope = jax.grad(lambda x: cosine_logits(x, codes, 0.1).sum())(predicted)
    assert np.isfinite(slope).all()


def test_every_frame_counts_alike_whatever_its_clip():
    logits = jnp.log(
        jnp.array([[[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [jnp.nan, 1.0]]])
    )
    target = jnp.array([[0, 0], [1, 0]])
    counted = jnp.array([[True, True], [True, False]])
    found = frame_means(frame_cross_entropy(logits, target), counted)
    expected = -np.log([0.5, 0.9, 0.8]).mean()
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)
    nothing = frame_means(jnp.ones((2, 2)), jnp.zeros((2, 2), bool))
    np.testing.assert_array_equal(nothing, 0)
