import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.config import build
from sigjax.models.harnet import (
    HarNet,
    HarNetConfig,
    blur,
    blur_kernel,
    stretch,
)

TINY = HarNetConfig(
    samples=30,
    widths=(4, 6),
    blocks=(1, 0),
    factors=(5, 6),
    orders=(1, 0),
    dtype="float32",
)


@functools.partial(jax.jit, static_argnames="config")
def features(variables, x, config=TINY):
    return HarNet(config).apply(variables, x)


@jax.jit
def trained(variables, x, mask=None):
    return HarNet(TINY).apply(variables, x, True, mask, mutable=["batch_stats"])


@pytest.fixture(scope="module")
def tiny():
    x = np.random.default_rng(0).normal(0.5, 1, (7, 30, 3)).astype(np.float32)
    return jax.jit(HarNet(TINY).init)(jax.random.key(1), x), x


def test_harnet10_has_10_457_408_parameters():
    shapes = jax.eval_shape(
        HarNet(HarNetConfig()).init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 300, 3), "f4"),
    )
    params = shapes["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 10_457_408
    # By hand: stage convolutions, two blocks of two in four stages, norms.
    widths = [3, 64, 128, 256, 512, 1024]
    between = sum(5 * a * b for a, b in zip(widths, widths[1:], strict=False))
    blocks = sum(4 * 5 * w * w for w in widths[1:5])
    norms = sum(2 * 5 * w for w in widths[1:5]) + 2 * 1024
    assert between + blocks + norms == 10_457_408
    assert params["stage1"]["block1"]["conv1"]["kernel"].shape == (5, 64, 64)
    assert "block1" not in params["stage5"]
    # Each norm has a mean and a variance: as many values as scale and bias.
    statistics = jax.tree.leaves(shapes["batch_stats"])
    assert sum(leaf.size for leaf in statistics) == norms


def test_features_are_float32_rows_of_1024_in_any_compute_dtype():
    for dtype in ("float32", "bfloat16"):
        model = HarNet(HarNetConfig(dtype=dtype))
        x = jax.ShapeDtypeStruct((2, 300, 3), "f4")
        variables = jax.eval_shape(model.init, jax.random.key(0), x)
        out = jax.eval_shape(model.apply, variables, x)
        assert (out.shape, out.dtype) == ((2, 1024), jnp.float32)
        assert {p.dtype for p in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_bfloat16_is_near_float32(tiny):
    variables, x = tiny
    full = features(variables, x)
    half = features(variables, x, dataclasses.replace(TINY, dtype="bfloat16"))
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(full, half, atol=0.05 * np.abs(full).max())


def plain_features(variables, x, config):
    """The network once more, sample by sample in numpy float64."""

    def norm(x, path):
        p, s = variables["params"], variables["batch_stats"]
        for name in path:
            p, s = p[name], s[name]
        scaled = (x - np.asarray(s["mean"])) / np.sqrt(np.asarray(s["var"]) + 1e-5)
        return scaled * np.asarray(p["scale"]) + np.asarray(p["bias"])

    def convolve(x, kernel):
        kernel = np.asarray(kernel, np.float64)
        n = len(x)
        return np.stack(
            [
                sum(x[(i + k - 2) % n] @ kernel[k] for k in range(len(kernel)))
                for i in range(n)
            ]
        )

    x = np.asarray(x, np.float64)
    each = zip(config.blocks, config.factors, config.orders, strict=True)
    for i, (blocks, factor, order) in enumerate(each, 1):
        stage = f"stage{i}"
        params = variables["params"][stage]
        x = convolve(x, params["conv"]["kernel"])
        for j in range(1, blocks + 1):
            block = f"block{j}"
            h = np.maximum(norm(x, (stage, block, "norm1")), 0)
            h = convolve(h, params[block]["conv1"]["kernel"])
            h = np.maximum(norm(h, (stage, block, "norm2")), 0)
            x = x + convolve(h, params[block]["conv2"]["kernel"])
        x = np.maximum(norm(x, (stage, "norm")), 0)
        kernel, pad = np.ones(factor) / factor, order * (factor - 1) // 2
        for _ in range(order):
            kernel = np.convolve(kernel, np.ones(factor) / factor)
        rows = np.pad(x, ((pad, pad), (0, 0)))
        starts = range(0, len(rows) - len(kernel) + 1, factor)
        x = np.stack([kernel @ rows[s : s + len(kernel)] for s in starts])
    return x[0]


def test_the_network_equals_a_plain_computation(tiny):
    variables, x = tiny
    rng = np.random.default_rng(5)
    # New norms are the identity; with noise, none can be left out or exchanged.
    variables = jax.tree.map(
        lambda v: v + rng.uniform(0, 0.3, v.shape).astype(np.float32), variables
    )
    ours = np.asarray(features(variables, x))
    for row, patch in zip(ours, x, strict=True):
        expected = plain_features(variables, patch, TINY)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_blur_kernels_are_those_of_the_network():
    np.testing.assert_allclose(8 * blur_kernel(2, 2), [1, 3, 3, 1])
    np.testing.assert_allclose(25 * blur_kernel(5, 1), [1, 2, 3, 4, 5, 4, 3, 2, 1])
    np.testing.assert_allclose(9 * blur_kernel(3, 1), [1, 2, 3, 2, 1])
    np.testing.assert_allclose(blur_kernel(4, 0), np.full(4, 0.25))


def test_lengths_through_the_stages_are_150_75_15_3_1():
    x, lengths = jax.ShapeDtypeStruct((1, 300, 1), "f4"), []
    config = HarNetConfig()
    for factor, order in zip(config.factors, config.orders, strict=True):
        x = jax.eval_shape(functools.partial(blur, factor=factor, order=order), x)
        lengths.append(x.shape[1])
    assert lengths == [150, 75, 15, 3, 1]


def test_training_uses_the_batchs_statistics_and_moves_the_running_ones(tiny):
    variables, x = tiny
    out, new = trained(variables, x)
    before, after = features(variables, x), features({**variables, **new}, x)
    assert np.abs(out - before).max() > 1e-3
    assert np.abs(after - before).max() > 1e-3
    # The first norm after the first convolution, by hand.
    kernel = np.asarray(variables["params"]["stage1"]["conv"]["kernel"], np.float64)
    wrapped = np.pad(np.asarray(x, np.float64), ((0, 0), (2, 2), (0, 0)), mode="wrap")
    h = sum(wrapped[:, k : k + 30] @ kernel[k] for k in range(5))
    found = new["batch_stats"]["stage1"]["block1"]["norm1"]
    np.testing.assert_allclose(found["mean"], 0.1 * h.mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * h.var((0, 1)), rtol=1e-5)


def test_padding_stays_out_of_the_statistics(tiny):
    variables, x = tiny
    mask = np.arange(7) < 4
    padded = np.where(mask[:, None, None], x, np.float32(50))
    alone, new = trained(variables, x[:4])
    among, other = trained(variables, padded, mask)
    np.testing.assert_allclose(among[:4], alone, rtol=1e-4, atol=1e-5)
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_patches_do_not_see_each_other(tiny):
    variables, x = tiny
    other = x.copy()
    other[1] = 9
    changed, before = features(variables, other), features(variables, x)
    np.testing.assert_array_equal(np.delete(changed, 1, 0), np.delete(before, 1, 0))
    assert np.abs(changed[1] - before[1]).max() > 1e-3


def test_stretching_is_linear_interpolation_with_both_ends(tiny):
    variables, _ = tiny
    x = np.random.default_rng(0).normal(size=(2, 100, 3)).astype(np.float32)
    at = np.linspace(0, 99, 30)
    expected = np.stack(
        [
            np.stack([np.interp(at, np.arange(100), row[:, c]) for c in range(3)], -1)
            for row in x
        ]
    )
    stretched = jax.jit(stretch, static_argnums=1)(x, 30)
    np.testing.assert_allclose(stretched, expected, atol=1e-6)
    resizing = features(variables, x, dataclasses.replace(TINY, resize=True))
    plain = features(variables, expected.astype(np.float32))
    np.testing.assert_allclose(resizing, plain, atol=1e-5)


def test_other_lengths_and_axes_are_errors_that_say_what_to_do(tiny):
    variables, x = tiny
    with pytest.raises(ValueError, match="patches of 30 samples, got 20.*resize"):
        HarNet(TINY).apply(variables, jnp.asarray(x[:, :20]))
    with pytest.raises(ValueError, match="3 channels"):
        HarNet(TINY).apply(variables, jnp.asarray(x[:, :, :2]))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"samples": 900}, "bring 900 samples to 3"),
        ({"widths": (1, 2)}, "one entry per stage"),
        ({"factors": (2, 2, 5, 5, 2)}, "stage 5.*symmetric"),
    ],
)
def test_stages_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        HarNetConfig(**changes)


def test_the_config_comes_back_from_json():
    config = HarNetConfig(dtype="float32", resize=True)
    fields = {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in dataclasses.asdict(config).items()
    }
    assert build(HarNetConfig, fields) == config
