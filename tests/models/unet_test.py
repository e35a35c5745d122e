"""U-Net: the paper's sizes, any map's, and what skips are for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sigjax.metrics import segmentation as metrics
from sigjax.models.unet import UNet, UNetConfig

PAPER = UNetConfig(classes=2, padding="valid", norm="none")


def shapes(config, *shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    model = UNet(config)
    found, made = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    count = sum(leaf.size for leaf in jax.tree.leaves(made["params"]))
    return found.shape, count


def test_the_papers_sizes_and_parameters():
    """Figure 1: 572 to 388, 23 convolutions."""
    assert shapes(PAPER, 1, 572, 572, 1) == ((1, 388, 388, 2), 31_030_658)
    without = dataclasses.replace(PAPER, skips=False)
    # A skip doubles the channels that a level's first convolution takes.
    fewer = 9 * sum(width**2 for width in PAPER.widths[:-1])
    assert shapes(without, 1, 572, 572, 1) == ((1, 388, 388, 2), 31_030_658 - fewer)
    assert fewer == 3_133_440


@pytest.mark.parametrize("up", ["transposed", "nearest"])
@pytest.mark.parametrize("size", [(1, 1), (13, 6), (8, 8)])
def test_maps_of_any_size_keep_it(up, size):
    config = UNetConfig(classes=3, widths=(2, 3, 4), up=up)
    for skips in (True, False):
        found, _ = shapes(dataclasses.replace(config, skips=skips), 2, *size, 2)
        assert found == (2, *size, 3)


def test_sizes_without_meaning_are_refused():
    with pytest.raises(ValueError, match="level 1 of the U-Net pools an odd map"):
        shapes(dataclasses.replace(PAPER, widths=(2, 2)), 1, 21, 20, 1)
    with pytest.raises(ValueError, match=r"level 2 .* \(3, 3\), .* need 5"):
        shapes(dataclasses.replace(PAPER, widths=(2, 2)), 1, 10, 10, 1)
    for wrong in ({"classes": 0}, {"taps": 2}, {"widths": ()}, {"dropout": 1.0}):
        with pytest.raises(ValueError):
            UNetConfig(**({"classes": 1} | wrong))


def test_without_skips_nothing_tells_where_in_a_pooled_square_a_value_was():
    """Kernels of 1x1 see no neighbours: then this holds to the bit."""
    config = UNetConfig(classes=1, widths=(3, 4, 5), taps=1, norm="none")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 8, 8, 1)).astype(np.float32)
    # Every 4x4 square is turned around, and so each 2x2 square in it: maxima stay.
    mixed = x.reshape(1, 2, 4, 2, 4, 1)[:, :, ::-1, :, ::-1].reshape(x.shape)
    moved = {}
    for skips in (True, False):
        model = UNet(dataclasses.replace(config, skips=skips))
        both = jnp.asarray(np.concatenate([x, mixed]))
        variables = jax.tree.map(
            lambda v: rng.normal(size=v.shape).astype(np.float32),
            jax.eval_shape(model.init, jax.random.key(0), both),
        )
        one, other = jax.jit(model.apply)(variables, both)
        moved[skips] = float(jnp.abs(one - other).max() / jnp.abs(one).max())
    assert moved[False] < 1e-6 < 1e-2 < moved[True]


def drawn(seed, count, size=32):
    """Noise in which stretches are louder, and where: `[n, t, 2, 1]` each."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((count, size, 2, 1), np.float32)
    for row in truth:
        start = rng.integers(1, size - 12)
        row[start : start + rng.integers(4, 11)] = 1
    x = truth + 0.4 * rng.normal(size=truth.shape)
    return x.astype(np.float32), truth


def boundary_f1(skips, seed, steps):
    """F1 of boundaries, to the frame, of a small U-Net trained on such maps."""
    widths = (4, 4, 4, 4, 4)
    model = UNet(UNetConfig(classes=1, widths=widths, skips=skips, norm="none"))
    x, truth = (jnp.asarray(value) for value in drawn(seed, 32))
    params = jax.jit(model.init)(jax.random.key(seed), x)
    rule = optax.adam(1e-2)

    def loss(params):
        return optax.sigmoid_binary_cross_entropy(model.apply(params, x), truth).mean()

    @jax.jit
    def step(params, state):
        updates, state = rule.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state = rule.init(params)
    for _ in range(steps):  # convolutions in a scan are slow on CPU
        params, state = step(params, state)
    x, truth = drawn(seed + 1000, 64)
    said = np.asarray(jax.jit(model.apply)(params, jnp.asarray(x)))
    counts = [
        metrics.boundary_counts(t[:, :, 0].all(1, keepdims=True), s > 0, 0)
        for t, s in zip(truth > 0, said.mean(axis=(2,)), strict=True)
    ]
    every = [c for found in counts for c in found.values()]
    total = every[0]
    for one in every[1:]:
        total = total + one
    return float(metrics.f1(total)[0])


@pytest.mark.survival
def test_with_skips_removed_it_is_worse_at_boundaries():
    """To the frame, of stretches of noise; trained alike (seconds on two cores)."""
    for seed in (0, 1):
        with_skips, without = (boundary_f1(skips, seed, 120) for skips in (True, False))
        assert with_skips > without + 0.1, (seed, with_skips, without)
