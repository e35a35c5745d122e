"""Multiply-accumulates counted from programs whose numbers are known."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.macs import Macs, count, measure, networks


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_dense_layers_and_attention_are_told_apart():
    def attention(params, x):
        q, k = x @ params["q"], x @ (2 * params["k"] * params["k"])
        return jax.nn.softmax(q @ k.T) @ x

    params = {"q": shape(8, 4), "k": shape(8, 4)}
    found = count(attention, params, shape(10, 8))
    assert found == Macs(layers=2 * 10 * 8 * 4, products=10 * 10 * 4 + 10 * 10 * 8)
    assert found.everything == 640 + 1200


@pytest.mark.parametrize(("groups", "inner"), [(1, 6), (6, 1)])
def test_convolutions_by_groups(groups, inner):
    def convolution(kernel, x):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "VALID", feature_group_count=groups,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    found = count(convolution, shape(3, 3, inner, 12), shape(1, 9, 11, 6))
    assert found == Macs(layers=4 * 5 * 12 * 9 * inner)


def test_what_repeats_is_counted_as_often_as_it_runs():
    def stack(params, x):
        @jax.checkpoint
        def block(x, kernel):
            return jax.jit(jnp.matmul)(x, kernel) + (x @ x.T) @ x, None

        x, _ = jax.lax.scan(block, x, params)
        return jax.lax.cond(x.sum() > 0, lambda x: x, lambda x: (x @ x.T) @ x, x)

    found = count(stack, shape(5, 4, 4), shape(3, 4))
    assert found == Macs(layers=5 * 3 * 16, products=6 * 2 * 9 * 4)


def test_scales_of_norms_are_parameters_and_constants_are_none():
    def norm(params, x):
        x = (x - x.mean()) * jax.lax.rsqrt(x.var() + 1e-5) * 0.5
        return (x * params["scale"] + params["bias"]) @ jnp.eye(4)

    params = {"scale": shape(4), "bias": shape(4)}
    found = count(norm, params, shape(3, 4))
    assert found == Macs(layers=12)


def test_products_of_parameters_alone_are_none_of_the_input():
    def folded(params, x):
        return x @ (params["a"] @ params["b"])

    params = {"a": shape(4, 4), "b": shape(4, 2)}
    assert count(folded, params, shape(3, 4)) == Macs(layers=3 * 4 * 2)


def test_a_carry_of_a_loop_that_becomes_an_activation_is_one():
    def mixed(params, x):
        def turn(carry, _):
            return carry @ carry + x, None

        return jax.lax.scan(turn, params, None, length=2)[0]

    assert count(mixed, shape(4, 4), shape(4, 4)) == Macs(products=2 * 64)


def test_a_loop_of_unknown_length_is_refused():
    def search(params, x):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x @ params)

    with pytest.raises(ValueError, match="unknown length"):
        count(search, shape(4, 4), shape(4, 4))


def test_the_audio_spectrogram_transformer_comes_out_as_published():
    rows = {row.name: row for row in networks()}
    found = measure(rows["ast-base"], frames=1024)
    assert found["gmacs_parameters"] == 103.4
    assert found["gmacs_everything"] == 130.5
    assert 86 < found["parameters_m"] < 87


def test_a_deformable_transformer_of_pictures_comes_out_as_published():
    rows = {row.name: row for row in networks()}
    found = measure(rows["dat-v1-tiny"], frames=224, bands=224, classes=1000)
    assert found["gmacs_everything"] == 4.6
    assert round(found["parameters_m"], 1) == 28.3
