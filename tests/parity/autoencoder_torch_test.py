"""Layers and the lecture's autoencoders against PyTorch, on the same weights.

PyTorch computes in float64: what is left is our own rounding.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity needs PyTorch: see the parity extra"
)

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from sigjax.models.autoencoder import Autoencoder  # noqa: E402
from sigjax.nn.pooling import max_pool, max_unpool  # noqa: E402
from sigjax.nn.transposed_conv import transposed_convolution  # noqa: E402
from tests.models.autoencoder_test import CONV, DENSE  # noqa: E402

# Taps, stride, padding, output padding, dilation.
SETTINGS = [
    (3, 2, 0, 0, 1),
    (5, 3, 1, 0, 1),
    (2, 2, 1, 0, 1),
    (3, 2, 1, 1, 1),
    (3, 1, 2, 0, 2),
    (3, 2, 2, 1, 3),
    (1, 3, 0, 2, 1),
]
POOLS = [(2, 2, 0), (3, 2, 1), (2, 1, 0), (2, 3, 1)]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def first(x):
    """Channels first, float64, as PyTorch has them."""
    x = np.moveaxis(np.asarray(x, np.float64), -1, 1)
    return torch.tensor(np.ascontiguousarray(x), requires_grad=True)


def weight(kernel):
    """Our kernels have channels last, PyTorch's first: of both convolutions alike."""
    kernel = np.moveaxis(np.asarray(kernel, np.float64), (-1, -2), (0, 1))
    return torch.tensor(np.ascontiguousarray(kernel), requires_grad=True)


def near(ours, theirs):
    theirs = np.asarray(theirs.detach())
    scale = np.abs(theirs).max()
    assert scale > 1e-3  # the tolerance says something
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("case", SETTINGS)
def test_transposed_convolutions(axes, case):
    taps, stride, padding, more, dilation = case
    x, kernel = draw(0, 2, *(4, 3)[:axes], 3), draw(1, *(taps,) * axes, 2, 3)
    theirs_x, theirs_kernel = first(x), weight(kernel)
    function = F.conv_transpose1d if axes == 1 else F.conv_transpose2d
    want = function(theirs_x, theirs_kernel, None, stride, padding, more, 1, dilation)
    g = draw(2, *np.moveaxis(np.empty(want.shape), 1, -1).shape)
    want.backward(first(g).detach())

    @jax.jit
    def both(x, kernel, g):
        def run(x, kernel):
            return transposed_convolution(
                x,
                kernel,
                stride=stride,
                padding=padding,
                output_padding=more,
                dilation=dilation,
            )

        y, pull = jax.vjp(run, x, kernel)
        return y, *pull(g)

    y, for_x, for_kernel = both(x, kernel, g)
    near(np.moveaxis(y, -1, 1), want)
    near(np.moveaxis(for_x, -1, 1), theirs_x.grad)
    near(np.moveaxis(for_kernel, (-1, -2), (0, 1)), theirs_kernel.grad)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("case", POOLS)
def test_pooling_and_unpooling(axes, case):
    window, stride, padding = case
    x = draw(0, 2, *(7, 6)[:axes], 3)
    pool = F.max_pool1d if axes == 1 else F.max_pool2d
    unpool = F.max_unpool1d if axes == 1 else F.max_unpool2d
    theirs_x = first(x)
    want, indices = pool(theirs_x, window, stride, padding, return_indices=True)
    # Through the pooling alone, then back by its own places.
    scale = draw(1, *np.moveaxis(np.empty(want.shape), 1, -1).shape)
    (want * first(scale).detach()).sum().backward()

    @jax.jit
    def run(x):
        pooled, pull = jax.vjp(lambda x: max_pool(x, *case).values, x)
        kept = max_pool(x, *case)
        return pooled, pull(scale)[0], kept.indices, max_unpool(kept.values, kept)

    values, gradient, places, back = run(x)
    np.testing.assert_array_equal(np.moveaxis(places, -1, 1), indices.numpy())
    near(np.moveaxis(values, -1, 1), want)
    near(np.moveaxis(gradient, -1, 1), theirs_x.grad)
    size = theirs_x.shape[2:]
    # Where windows overlap both write the same maximum.
    there = unpool(want, indices, window, stride, padding, output_size=size)
    near(np.moveaxis(back, -1, 1), there)


def sequential(config):
    """The lecture's network in PyTorch, module by module."""
    modules = []
    width = config.input_shape[-1]
    for layer in (*config.encoder, *config.decoder):
        if layer.kind == "dense":
            modules.append(nn.Linear(width, layer.width))
        elif layer.kind == "max_pool":
            modules.append(nn.MaxPool2d(layer.taps, stride=layer.stride))
        else:
            kind = {"conv": nn.Conv2d, "transposed_conv": nn.ConvTranspose2d}
            modules.append(
                kind[layer.kind](
                    width, layer.width, layer.taps, layer.stride, layer.padding
                )
            )
        width = layer.width or width
        if layer.activation != "identity":
            modules.append({"relu": nn.ReLU(), "tanh": nn.Tanh()}[layer.activation])
    return nn.Sequential(*modules).double()


@pytest.mark.parametrize("config", [DENSE, CONV], ids=["dense", "conv"])
def test_the_lectures_networks(config):
    model = Autoencoder(config)
    x = draw(0, 4, *config.input_shape)
    params = jax.jit(model.init)(jax.random.key(0), x)["params"]

    def loss(params, x):
        made = model.apply({"params": params}, x).reconstruction
        return jnp.square(made - x).sum(), made

    ((_, made), found) = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, x)
    module = sequential(config)
    layers = [
        (ours[name], gradients[name])
        for half, layers in (("encoder", config.encoder), ("decoder", config.decoder))
        for ours, gradients in [(params[half], found[half])]
        for name in [f"layer{i}" for i in range(len(layers))]
        if name in ours
    ]
    theirs = [each for each in module if hasattr(each, "weight")]
    with torch.no_grad():
        for (ours, _), each in zip(layers, theirs, strict=True):
            each.weight.copy_(weight(ours["kernel"]))
            each.bias.copy_(torch.tensor(np.asarray(ours["bias"])))
    x64 = first(x).detach()
    want = module(x64)
    ((want - x64) ** 2).sum().backward()
    near(np.moveaxis(made, -1, 1), want)
    for (_, gradients), each in zip(layers, theirs, strict=True):
        near(np.moveaxis(gradients["kernel"], (-1, -2), (0, 1)), each.weight.grad)
        near(gradients["bias"], each.bias.grad)
