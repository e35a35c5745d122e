"""The laws of AdaCos: its scale, its probabilities, and one sub-centre as the limit."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from sigjax.losses import margin

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(6, 5)) * 3, jnp.float32)
CENTRES = jnp.asarray(RNG.normal(size=(4, 3, 5)), jnp.float32)
LABEL = np.array([0, 1, 2, 3, 1, 0])
TARGET = jnp.asarray(np.eye(4)[LABEL], jnp.float32)


def plain_cosines(centres=CENTRES):
    x, w = np.asarray(X, np.float64), np.asarray(centres, np.float64)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    w = w / np.linalg.norm(w, axis=-1, keepdims=True)
    return np.einsum("bd,vud->bvu", x, w)


def test_the_fixed_scale_is_the_rule():
    assert margin.fixed_scale(42) == pytest.approx(math.sqrt(2) * math.log(41))
    assert margin.fixed_scale(42, 16) == pytest.approx(math.sqrt(2) * math.log(671))
    for few in ((2, 1), (1, 2), (0, 9)):
        with pytest.raises(ValueError, match="three centres"):
            margin.fixed_scale(*few)


def test_probabilities_are_sums_over_sub_centres_of_one_softmax():
    cosine = margin.cosines(X, CENTRES)
    np.testing.assert_allclose(cosine, plain_cosines(), atol=1e-6)
    found = np.exp(margin.class_log_probability(cosine, 7.0))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    every = scipy.special.softmax(7 * plain_cosines().reshape(6, 12), axis=1)
    np.testing.assert_allclose(found, every.reshape(6, 4, 3).sum(-1), rtol=1e-5)


def test_lengths_do_not_matter():
    found = margin.sub_cluster_adacos(X, CENTRES, TARGET, 7.0)
    longer = margin.sub_cluster_adacos(9 * X, 0.1 * CENTRES, TARGET, 7.0)
    np.testing.assert_allclose(found, longer, rtol=1e-5)


def test_one_sub_centre_is_adacos():
    one = CENTRES[:, :1]
    found = margin.sub_cluster_adacos(X, one, TARGET, margin.fixed_scale(4))
    logits = math.sqrt(2) * math.log(3) * plain_cosines(one)[..., 0]
    log_p = scipy.special.log_softmax(logits, axis=1)
    np.testing.assert_allclose(found, -log_p[np.arange(6), LABEL], rtol=1e-5)
    # So are equal sub-centres, whatever their number.
    same = jnp.broadcast_to(one, (4, 3, 5))
    equal = margin.sub_cluster_adacos(X, same, TARGET, margin.fixed_scale(4))
    np.testing.assert_allclose(equal, found, rtol=1e-5)


def test_mixed_targets_mix_the_losses():
    other = jnp.asarray(np.eye(4)[(LABEL + 1) % 4], jnp.float32)
    mixed = margin.sub_cluster_adacos(X, CENTRES, 0.3 * TARGET + 0.7 * other, 7.0)
    parts = [margin.sub_cluster_adacos(X, CENTRES, t, 7.0) for t in (TARGET, other)]
    np.testing.assert_allclose(mixed, 0.3 * parts[0] + 0.7 * parts[1], rtol=1e-5)


def test_gradients_are_those_of_finite_differences_and_finite_at_zero():
    def total(x, centres):
        return margin.sub_cluster_adacos(x, centres, TARGET, 5.0).sum()

    for argument, value in enumerate((X, CENTRES)):
        gradient = jax.grad(total, argnums=argument)(X, CENTRES)
        direction = jnp.asarray(RNG.normal(size=value.shape), jnp.float32)

        def along(step, argument=argument, direction=direction):
            moved = [X, CENTRES]
            moved[argument] = moved[argument] + step * direction
            return float(total(*moved))

        slope = (along(1e-2) - along(-1e-2)) / 2e-2
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=2e-3)
        # A gradient along the value would change its length alone.
        inner = (gradient * value).sum(axis=-1)
        np.testing.assert_allclose(inner, 0, atol=1e-4)
    silent = jax.grad(total)(jnp.zeros_like(X), CENTRES)
    assert np.isfinite(silent).all()


def test_the_dynamic_scale_is_the_equation():
    cosine = plain_cosines()
    median = np.median(np.arccos(cosine).mean(-1)[np.arange(6), LABEL])
    total = np.exp(7 * cosine).sum((1, 2)).mean()
    expected = np.log(total) / np.cos(min(np.pi / 4, median))
    found = margin.adapted_scale(jnp.asarray(cosine, jnp.float32), TARGET, 7.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_dynamic_scale_of_one_sub_centre_leaves_the_own_class_out():
    # Near its centre, so that the angle and not pi / 4 decides.
    cosine = np.full((6, 4, 1), 0.1)
    cosine[np.arange(6), LABEL] = 0.95
    expected = np.log(3 * np.exp(7 * 0.1)) / np.cos(np.arccos(0.95))
    found = margin.adapted_scale(jnp.asarray(cosine, jnp.float32), TARGET, 7.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    grown = margin.adapted_scale(jnp.asarray(cosine, jnp.float32), TARGET, 1e4)
    assert np.isfinite(grown)


def test_centres_are_drawn_apart():
    centres = margin.initial_centres(jax.random.key(0), 3, 2, 8)
    assert centres.shape == (3, 2, 8)
    assert len(np.unique(np.asarray(centres).round(4))) > 40
