"""Depthwise products against a plain loop and the backend's own; the small parts."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn import conv

# Stride, padding, height, width and taps: even and odd maps, all that models use, and a
# kernel that is not square nor odd.
CASES = [
    (1, ((1, 1), (1, 1)), 5, 4, (3, 3)),
    (2, ((1, 1), (1, 1)), 7, 6, (3, 3)),
    (2, ((0, 1), (0, 1)), 6, 5, (3, 3)),
    (3, ((0, 2), (1, 0)), 8, 7, (2, 4)),
]


def arrays(height, width, taps, channels=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, height, width, channels)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(rng.normal(size=(*taps, channels)), jnp.float32)


def plain(x, kernel, stride, padding):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = kernel.shape[:2]
    out = [
        [
            np.einsum("bijc,ijc->bc", x[:, i : i + rows, j : j + columns], kernel)
            for j in range(0, x.shape[2] - columns + 1, stride)
        ]
        for i in range(0, x.shape[1] - rows + 1, stride)
    ]
    return np.moveaxis(np.array(out), 2, 0)


@pytest.mark.parametrize(("stride", "padding", "height", "width", "taps"), CASES)
def test_both_formulations_and_their_gradients_agree(
    stride, padding, height, width, taps
):
    x, kernel = arrays(height, width, taps)
    expected = plain(x, kernel, stride, padding)
    weights = jnp.asarray(
        np.random.default_rng(1).normal(size=expected.shape), jnp.float32
    )

    @functools.partial(jax.jit, static_argnums=0)
    def both(method, x, kernel):
        out, pull = jax.vjp(
            lambda x, kernel: conv.depthwise(
                x, kernel, stride=stride, padding=padding, method=method
            ),
            x,
            kernel,
        )
        return out, *pull(weights)

    shifted, grouped = both("shift", x, kernel), both("grouped", x, kernel)
    np.testing.assert_allclose(shifted[0], expected, atol=1e-5)
    for one, two in zip(shifted, grouped, strict=True):
        assert np.abs(one).max() > 0.1
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_gradients_are_of_the_dtype_that_came_in():
    x, kernel = (a.astype(jnp.bfloat16) for a in arrays(4, 4, (3, 3)))

    def total(x, kernel):
        return conv.depthwise(x, kernel, method="shift").astype(jnp.float32).sum()

    gradients = jax.eval_shape(jax.grad(total, argnums=(0, 1)), x, kernel)
    assert {g.dtype for g in gradients} == {jnp.dtype("bfloat16")}


def test_a_kernel_wider_than_the_map_is_refused():
    x, kernel = arrays(2, 2, (5, 5))
    with pytest.raises(ValueError, match=r"kernel of \(5, 5\) does not fit"):
        conv.depthwise(x, kernel)


def test_cpu_takes_shifted_products(monkeypatch):
    x, kernel = arrays(5, 4, (3, 3))

    def primitives():
        # Another function each time: traces are cached.
        return str(jax.make_jaxpr(lambda *a: conv.depthwise(*a))(x, kernel))

    assert "conv_general_dilated" not in primitives()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general_dilated" in primitives()


def test_a_global_depthwise_weighs_each_position():
    x, _ = arrays(5, 4, (1, 1))
    module = conv.GlobalDepthwise()
    variables = jax.jit(module.init)(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (5, 4, 1, 3)
    expected = (np.asarray(x) * np.asarray(kernel)[:, :, 0]).sum((1, 2))
    np.testing.assert_allclose(module.apply(variables, x), expected, rtol=1e-5)


def test_squeeze_excitation_gates_channels_by_their_means():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 5, 4, 6)), jnp.float32)
    module = conv.SqueezeExcitation(ratio=2)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    p = jax.tree.map(np.asarray, variables["params"])
    assert {k: v["kernel"].shape for k, v in p.items()} == {
        "squeeze": (6, 3),
        "excite": (3, 6),
    }
    x = np.asarray(x)
    hidden = np.maximum(x.mean((1, 2)) @ p["squeeze"]["kernel"], 0)
    gate = 1 / (1 + np.exp(-hidden @ p["excite"]["kernel"]))
    found = module.apply(variables, jnp.asarray(x))
    np.testing.assert_allclose(found, x * gate[:, None, None], rtol=1e-5, atol=1e-6)


def test_a_pointwise_convolution_is_a_product_with_its_gradients():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
    module: Any = conv.pointwise(7, "one", jnp.dtype("float32"))
    variables = module.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"kernel": (5, 7)}}

    def both(function):
        def total(kernel, x):
            return jnp.sin(function(kernel, x)).sum()

        return jax.value_and_grad(total, argnums=(0, 1))(variables["params"], x)

    found = both(lambda params, x: module.apply({"params": params}, x))
    expected = both(lambda params, x: x @ params["kernel"])
    for got, wanted in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_gradients_of_float64_keep_its_digits():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, kernel = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3))
        weights = rng.normal(size=(2, 5, 4, 3))

        def gradient(method):
            return jax.grad(
                lambda k: (
                    conv.depthwise(jnp.asarray(x), k, method=method) * weights
                ).sum()
            )(jnp.asarray(kernel))

        np.testing.assert_allclose(gradient("shift"), gradient("grouped"), rtol=1e-12)
