"""Spans of hidden positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal.masking import random_span_mask


def masks(valid, *, tokens=60, rate=0.08, length=10, count=200):
    def one(key):
        return random_span_mask(
            key, tokens, jnp.asarray(valid), rate=rate, length=length
        )

    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(one))(keys))


def runs(row):
    edges = np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0]))
    return edges[1::2] - edges[::2]


def test_spans_are_whole_and_stay_off_padding():
    found = masks(50)
    assert not found[:, 50:].any()
    assert min(runs(row).min() for row in found) == 10
    # 4 spans of 50 positions: from 10 hidden, all on one place, to 40.
    assert found.sum(axis=1).min() >= 10 and found.sum(axis=1).max() <= 40
    assert found.any(axis=0)[:50].all()  # every position is hidden at times


def test_a_long_row_is_hidden_as_often_as_the_formula_says():
    found = masks(3000, tokens=3000, count=20)
    assert found.mean() == pytest.approx(1 - 0.92**10, abs=0.02)


@pytest.mark.parametrize(("valid", "least", "most"), [(0, 0, 0), (1, 0, 0), (2, 1, 1)])
def test_short_rows_keep_something_visible(valid, least, most):
    hidden = masks(valid, count=50).sum(axis=1)
    assert hidden.min() == least and hidden.max() == most
