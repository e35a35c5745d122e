import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.spectral_branches import (
    SpectralBranches,
    SpectralBranchesConfig,
    max_pool,
    strided_convolution,
)

PUBLIC = SpectralBranchesConfig(classes=42)


def shapes(config):
    x = jax.ShapeDtypeStruct((2, config.samples), "f4")
    model = SpectralBranches(config)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    return variables, jax.eval_shape(model.apply, variables, x)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_public_systems_branches_on_ten_seconds():
    variables, out = shapes(PUBLIC)
    assert (out.embedding.shape, out.logits.shape) == ((2, 512), (2, 42))
    assert PUBLIC.embedding == 512
    params = variables["params"]
    # 80001 bins become 1247, 37 and 6 positions of 128 channels.
    gates = 3 * 2 * 128 * 8
    convolutions = 128 * (256 + 64 * 128 + 16 * 128)
    assert count(params["spectrum"]) == (
        convolutions + gates + 6 * 128 * 128 + 5 * 128 * 128
    )
    # 200 Hz is bin 12.8 of n_fft 1024; 500 bins become 247, 123, then 62, 31 and 16.
    assert [PUBLIC.band(n) for n in PUBLIC.n_fft] == [(4, 129), (13, 513), (52, 2049)]
    assert params["stft1024"]["embedding"]["kernel"].shape == (16 * 128, 128)
    residual = 0
    for before, width in ((16, 16), (16, 32), (32, 64), (64, 128)):
        hidden = max(width // 16, 1)
        first = 9 * before * width + 9 * width**2 + 2 * width * hidden
        residual += first + 18 * width**2 + 2 * width * hidden
        residual += before * width if before != width else 0
    assert count(params["stft1024"]) == 49 * 16 + residual + 16 * 128 * 128
    # No bias and no norm with weights anywhere but in the head.
    head = params.pop("head")
    assert set(head) == {"kernel", "bias"}
    names = {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    assert names == {"kernel", "conv1", "conv2", "conv3"}


def test_a_strided_convolution_is_one():
    x = jax.random.normal(jax.random.key(0), (2, 23, 3))
    kernel = jax.random.normal(jax.random.key(1), (6, 3, 4))
    expected = jax.lax.conv_general_dilated(
        x, kernel, (2,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    found = jax.jit(strided_convolution, static_argnums=2)(x, kernel, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pad", [0, 1])
def test_both_ways_to_pool_agree(pad):
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3)) - 3

    @functools.partial(jax.jit, static_argnums=0)
    def both(method):
        def pooled(x):
            return max_pool(x, pad, method)

        out, pull = jax.vjp(pooled, x)
        return out, pull(jnp.sin(out))[0]

    for one, two in zip(both("shift"), both("grouped"), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_fft": (), "spectrum": False}, "no branch"),
        ({"clip_s": 1.0}, "n_fft=1024: 32 frames of 500 bins"),
        ({"f_max_hz": 300.0}, "n_fft=256: 1251 frames of 1 bins"),
        ({"n_fft": (), "clip_s": 70_013 / 16_000}, "70013 samples is too short"),
        ({"width": 12}, "multiple of 8"),
    ],
)
def test_branches_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SpectralBranchesConfig(classes=2, **changes)


def test_clips_of_another_length_are_refused():
    model = SpectralBranches(PUBLIC)
    with pytest.raises(ValueError, match="clips of 160000 samples, got 16000"):
        jax.eval_shape(
            model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 16000), "f4")
        )
