"""Eq. 8 against scipy in float64, and the laws of its weights and missing labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from sigjax.losses import classification as losses


def _batch(seed=0, b=3, n=7, v=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(b, n, v)).astype(np.float32) * 4
    label = rng.integers(-1, v, (b, n)).astype(np.int32)
    weight = rng.random(v).astype(np.float32) + 0.1
    assert (label == -1).any()
    return logits, label, weight


def _loss(logits, label, weight):
    return losses.weighted_cross_entropy(
        jnp.asarray(logits), jnp.asarray(label), weight
    )


def test_equal_to_the_equation():
    logits, label, weight = _batch()
    found = _loss(logits, label, weight)
    assert found.dtype == jnp.float32 and found.shape == label.shape
    log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
    for place in np.ndindex(*label.shape):
        c = label[place]
        expected = 0.0 if c == -1 else -float(weight[c]) * log_p[place][c]
        np.testing.assert_allclose(found[place], expected, rtol=1e-5, atol=1e-6)


def test_a_missing_label_has_no_loss_and_no_gradient_whatever_the_logits():
    logits, label, weight = _batch()
    logits[label == -1] = np.nan
    loss = _loss(logits, label, weight)
    assert (np.asarray(loss)[label == -1] == 0).all()
    gradient = jax.grad(lambda x: _loss(x, label, weight).sum())(jnp.asarray(logits))
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[label == -1].any()
    assert np.abs(np.asarray(gradient)[label != -1]).max() > 0.1


def test_low_precision_logits_are_summed_in_float32():
    logits, label, weight = _batch()
    low = jnp.asarray(logits, jnp.bfloat16)
    found = _loss(low, label, weight)
    same = _loss(low.astype(jnp.float32), label, weight)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, same)


def test_large_logits_do_not_overflow():
    logits = jnp.array([[[1e4, -1e4, 0.0]]])
    loss = losses.weighted_cross_entropy(logits, jnp.array([[1]]), jnp.ones(3))
    np.testing.assert_allclose(loss, [[2e4]])


def test_weights_are_inverse_prevalence_of_mean_1_over_the_labels():
    counts = np.array([800, 150, 0, 50])
    weight = losses.class_weights(counts)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight * counts, [1000 / 3, 1000 / 3, 0, 1000 / 3])
    labels = np.repeat(np.arange(4), counts)
    np.testing.assert_allclose(weight[labels].mean(), 1, rtol=1e-6)
    # How many labels there are does not matter, only their shares.
    np.testing.assert_array_equal(weight, losses.class_weights(counts * 7))


def test_equal_counts_have_weight_1():
    np.testing.assert_array_equal(losses.class_weights(np.full(6, 123)), np.ones(6))


@pytest.mark.parametrize(
    ("counts", "message"),
    [([0, 0], "no label"), ([1, -1], "a count for each"), ([[1]], "a count for each")],
)
def test_counts_without_labels_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        losses.class_weights(np.array(counts))
