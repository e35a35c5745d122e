"""Attention with own frames and gated positions, whichever way it is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.speech import attention
from sigjax.nn.speech.attention import buckets, position_bias, speech_attention


def plain(q, k, v, length, gate, bias):
    """The definition, in float64."""
    q, k, v, gate, bias = (np.asarray(x, "f8") for x in (q, k, v, gate, bias))
    logits = np.einsum("bqhk,bnhk->bhqn", q, k) / np.sqrt(q.shape[-1])
    logits += gate.transpose(0, 2, 1)[..., None] * bias
    own = np.arange(k.shape[1]) < np.asarray(length)[:, None]
    weights = np.where(own[:, None, None], np.exp(logits), 0)
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhqn,bnhk->bqhk", weights, v)


@pytest.fixture
def case():
    random = np.random.default_rng(0)
    made = [random.normal(size=(2, 7, 3, 4)) for _ in range(3)]
    made += [random.normal(size=(2, 7, 3)), random.normal(size=(3, 7, 7))]
    return [jnp.asarray(x, jnp.float32) for x in made]


@pytest.mark.parametrize("way", ["at once", "by head", "by head, in tiles"])
@pytest.mark.parametrize("gated", [False, True])
def test_it_is_softmax_attention(case, way, gated, monkeypatch):
    q, k, v, gate, bias = case
    if way != "at once":
        monkeypatch.setattr(attention, "_TOGETHER", 0)
    if way == "by head, in tiles":
        monkeypatch.setattr(attention, "_QUERIES", 3)
    length = jnp.array([7, 4])
    extra = {"gate": gate, "bias": bias} if gated else {}
    got = jax.jit(speech_attention)(q, k, v, length=length, **extra)
    expected = plain(q, k, v, length, gate * gated, bias)
    own = np.arange(7) < np.asarray(length)[:, None]
    np.testing.assert_allclose(np.asarray(got)[own], expected[own], atol=1e-6)


def test_padding_changes_nothing_and_an_empty_row_stays_finite(case):
    q, k, v, gate, bias = case
    run = jax.jit(
        lambda q, k, v, n: speech_attention(q, k, v, length=n, gate=gate, bias=bias)
    )
    first = run(q, k, v, jnp.array([4, 0]))
    other = run(q, k.at[:, 4:].set(50), v.at[:, 4:].set(-50), jnp.array([4, 0]))
    np.testing.assert_array_equal(first[0, :4], other[0, :4])
    assert np.isfinite(first).all()


def test_buckets_are_those_of_the_public_code():
    """Values of WavLM's own settings: 320 buckets up to 800 frames."""
    offsets = np.array([0, -1, 1, -79, 79, -80, 80, -100, 100, -799, 799, -5000, 5000])
    got = buckets(offsets, 320, 800)
    expected = [0, 1, 161, 79, 239, 80, 240, 87, 247, 159, 319, 159, 319]
    np.testing.assert_array_equal(got, expected)


def test_bias_is_the_table_at_key_minus_query():
    table = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), jnp.float32)
    got = position_bias(table, 9, 20)
    assert got.shape == (3, 9, 9)
    for i, j in ((0, 0), (2, 7), (8, 1)):
        bucket = buckets(np.array([j - i]), 16, 20)[0]
        np.testing.assert_array_equal(got[:, i, j], table[bucket])
