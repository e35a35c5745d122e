"""Window and neighbourhood attention against the public layers; padding and borders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.neighbourhood_attention import NeighbourhoodAttention, neighbours
from sigjax.nn.window_attention import WindowAttention, relative_index, shift_mask
from tests.nn.dat_golden import Golden


def paths(qkv, out, table):
    return {
        "qkv": {"kernel": (f"{qkv}.weight", "matrix"), "bias": f"{qkv}.bias"},
        "out": {"kernel": (f"{out}.weight", "matrix"), "bias": f"{out}.bias"},
        "table": table,
    }


def test_windows_are_those_of_the_public_layer():
    table = "relative_position_bias_table"
    golden = Golden("v1 S", paths("proj_qkv", "proj_out", table))
    golden.check(functools.partial(WindowAttention, 2, 3, 2))


def test_neighbourhoods_are_those_of_the_public_layer():
    golden = Golden("pp N", paths("qkv", "proj", "rpb"))
    golden.check(functools.partial(NeighbourhoodAttention, 2, 3))


def test_padding_reaches_no_cell():
    module = WindowAttention(heads=2, window=3, shift=2)
    x = jax.random.normal(jax.random.key(0), (1, 5, 4, 4))
    params = jax.jit(module.init)(jax.random.key(1), x)["params"]
    # All values are the same bias, what keys hold is not: where only real cells are
    # averaged, so are the outputs.
    loud = {**params, "qkv": {**params["qkv"], "bias": params["qkv"]["bias"] + 50}}
    run = jax.jit(module.apply)
    out = run({"params": loud}, 0 * x)
    np.testing.assert_allclose(
        out, np.broadcast_to(out[:, :1, :1], out.shape), rtol=1e-5
    )
    # A cell alone in its window keeps its own value, in a map of which most is padding.
    quiet = {**params, "qkv": {**params["qkv"], "bias": params["qkv"]["bias"] * 0}}
    alone = run({"params": quiet}, x)[0, 1, 1]
    assert np.isfinite(alone).all()
    corner = np.zeros_like(x)
    corner[0, 0, 0] = x[0, 0, 0]
    whole = run({"params": quiet}, jnp.asarray(corner))[0, 0, 0]
    assert np.abs(whole - alone).max() > 1e-3


def test_masks_keep_apart_what_the_shift_brings_together():
    mask = shift_mask((6, 3), 3, 2)
    assert mask is not None
    assert mask.shape == (2, 9, 9)
    # Rows 2 3 4, then 5 0 1; columns 2 0 1: the last column of the map comes first.
    np.testing.assert_array_equal(mask[0, 0], np.tile([0, -100, -100], 3))
    np.testing.assert_array_equal(mask[1, 8], [-100] * 4 + [0, 0, -100, 0, 0])
    assert shift_mask((6, 3), 3, 0) is None
    padded = shift_mask((3, 2), 3, 0)
    np.testing.assert_array_equal(padded[0, 0], np.tile([0, 0, -np.inf], 3))
    index = relative_index(2)
    np.testing.assert_array_equal(index[0], [4, 3, 1, 0])


def test_neighbourhoods_move_inside_at_borders():
    found = neighbours(6, 3)
    np.testing.assert_array_equal(found[:, 0], [0, 0, 1, 2, 3, 3])
    with pytest.raises(ValueError, match="2 cells have no neighbourhoods of 3"):
        neighbours(2, 3)


def test_what_does_not_fit_is_refused():
    x = jnp.zeros((1, 4, 4, 6))
    for module in (
        WindowAttention(heads=4, window=3),
        WindowAttention(heads=2, window=3, shift=3),
        NeighbourhoodAttention(heads=4, taps=3),
        NeighbourhoodAttention(heads=2, taps=4),
    ):
        with pytest.raises(ValueError, match="must"):
            jax.eval_shape(module.init, jax.random.key(0), x)
