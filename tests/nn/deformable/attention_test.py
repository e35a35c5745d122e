"""Deformable attention against the public layers, and what must be true of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.deformable import (
    DeformableAttention,
    DeformableAttentionConfig,
    OffsetNetwork,
    attend_points,
    conventions,
    core,
)
from tests.nn.dat_golden import Golden


def linear(name):
    return {"kernel": (f"{name}.weight", "matrix"), "bias": f"{name}.bias"}


def paths(lepe):
    found = {n: linear(f"proj_{n}") for n in ("q", "k", "v", "out")}
    found["offsets"] = {
        "kernel": ("conv_offset.0.weight", "kernel"),
        "bias": "conv_offset.0.bias",
        "norm": {
            "scale": "conv_offset.1.norm.weight",
            "bias": "conv_offset.1.norm.bias",
        },
        "points": ("conv_offset.3.weight", "matrix"),
    }
    if lepe:
        found["lepe_kernel"] = ("rpe_table.weight", "kernel")
        found["lepe_bias"] = "rpe_table.bias"
    else:
        found["table"] = "rpe_table"
    return found


CASES = {
    "v1 D": dict(heads=4, groups=2, convention="v1"),
    "v1 D lepe": dict(heads=2, groups=2, convention="v1", taps=3, position="lepe"),
    "pp D": dict(
        heads=2, groups=2, convention="pp", stride=2, taps=2, offset_factor=1.5
    ),
}


# Gradients of every option come through the same functions; one case shows them all.
@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_are_those_of_the_public_layer(case, monkeypatch):
    monkeypatch.setattr(core, "_TILE_VALUES", 700)  # So keys go in chunks.
    config = DeformableAttentionConfig(**CASES[case])
    golden = Golden(case, paths(config.position == "lepe"))
    # The bias's gradients are also differences of its values.
    module = functools.partial(DeformableAttention, config)
    golden.check(module, gradients=case == "v1 D", differences=("offsets", "table"))


def test_keys_that_divide_badly_stay_together(monkeypatch):
    monkeypatch.setattr(core, "_TILE_VALUES", 700)
    assert core._chunk(2, 40, 40) == 8
    assert core._chunk(2, 41, 40) == 41
    assert core._chunk(2, 3, 2000) == 1


def layer(**options):
    config = DeformableAttentionConfig(**{"heads": 4, "groups": 2, **options})
    return DeformableAttention(config)


@functools.cache
def variables_of(options=(), shape=(2, 4, 6, 8)):
    module = layer(**dict(options))
    return jax.jit(module.init)(jax.random.key(0), jnp.zeros(shape))["params"]


def input_map(shape=(2, 4, 6, 8), seed=1):
    return jax.random.normal(jax.random.key(seed), shape)


def test_without_offsets_it_is_plain_attention_on_the_grid():
    module = layer(deformable=False)
    x, params = input_map(), variables_of((("deformable", False),))
    assert "offsets" not in params
    params = {**params, "table": jax.random.normal(jax.random.key(3), (4, 7, 11))}
    found = np.asarray(jax.jit(module.apply)({"params": params}, x))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    flat = np.asarray(x, np.float64).reshape(2, 24, 8)
    q, k, v = (
        (flat @ p[n]["kernel"] + p[n]["bias"]).reshape(2, 24, 4, 2) for n in "qkv"
    )
    logits = np.einsum("bmhd,bnhd->bhmn", q, k) / np.sqrt(2)
    at = np.stack(np.meshgrid(range(4), range(6), indexing="ij"), -1).reshape(-1, 2)
    between = at[:, None] - at[None] + (3, 5)
    logits += p["table"][:, between[..., 0], between[..., 1]]
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("bhmn,bnhd->bmhd", weights, v).reshape(2, 24, 8)
    expected = mixed @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(found.reshape(2, 24, 8), expected, atol=2e-6)

    # The same of a layer whose offset network gives zeros.
    whole = variables_of()
    still = {**params, "offsets": jax.tree.map(jnp.zeros_like, whole["offsets"])}
    np.testing.assert_allclose(run()({"params": still}, x), found, atol=1e-6)


@functools.cache
def run():
    return jax.jit(layer().apply)


def test_a_shifted_input_moves_the_sampling_along():
    network = OffsetNetwork(groups=2, taps=3)
    x = input_map((1, 6, 12, 8))
    params = network.init(jax.random.key(0), x)
    # What stands in the middle, one cell further right, alone in an empty map.
    empty = jnp.zeros_like(x)
    here = empty.at[:, 2:4, 4:7].set(x[:, 2:4, 4:7])
    there = empty.at[:, 2:4, 5:8].set(x[:, 2:4, 4:7])
    find = jax.jit(
        lambda x: conventions.move(network.apply(params, x), 2.0, "text", (6, 12))
    )
    reference = conventions.key_points(6, 12, "text")
    before, after = find(here) - reference, find(there) - reference
    found, expected = after[:, :, 1:5, 4:9], before[:, :, 1:5, 3:8]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(before[:, :, 1:5, 4:9] - expected).max() > 1e-3


def test_examples_do_not_see_each_other():
    params, x = variables_of(), input_map()
    both = run()({"params": params}, x)
    again = run()({"params": params}, x.at[1].set(7.0))
    np.testing.assert_array_equal(both[0], again[0])
    assert np.abs(both[1] - again[1]).max() > 1e-3


def test_bfloat16_is_near():
    params, x = variables_of(), input_map()
    exact = run()({"params": params}, x)
    config = layer().config
    near = jax.jit(DeformableAttention(config, jnp.dtype("bfloat16")).apply)(
        {"params": params}, x
    )
    assert near.dtype == jnp.bfloat16
    scale = np.abs(exact).max()
    assert 1e-5 < np.abs(np.asarray(near, np.float32) - exact).max() / scale < 2e-2


@pytest.mark.parametrize("convention", ["v1", "pp"])
def test_a_map_of_one_row_is_taken_and_tables_follow(convention):
    module, params = layer(convention=convention), variables_of()
    shape = (1, 1, 3, 8)
    y = jax.jit(module.apply)({"params": params}, input_map(shape))
    assert y.shape == shape
    assert np.isfinite(y).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="3 groups do not divide 4 heads"):
        DeformableAttentionConfig(heads=4, groups=3)
    with pytest.raises(ValueError, match="no convention 'v2'"):
        conventions.check("v2")
    with pytest.raises(ValueError, match="deformable=False"):
        DeformableAttentionConfig(heads=4, offset_factor=0.0)
    with pytest.raises(ValueError, match="4 heads do not divide 6"):
        jax.eval_shape(layer().init, jax.random.key(0), jnp.zeros((1, 3, 3, 6)))
    x = jnp.zeros((1, 4, 8))
    with pytest.raises(ValueError, match="needs a bias table of"):
        attend_points(
            x,
            x,
            x,
            jnp.zeros((1, 1, 4, 2)),
            jnp.zeros((2, 3, 5)),
            heads=2,
            size=(2, 2),
            convention="text",
        )
