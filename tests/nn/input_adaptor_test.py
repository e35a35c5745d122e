"""The input adaptor folds into the patch convolution; noise; stochastic depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.drop_path import DropPath
from sigjax.nn.input_adaptor import InputAdaptor, add_noise, fold


def patches(x, params, padding=0):
    stem = jax.lax.conv_general_dilated(
        x,
        params["kernel"],
        (4, 4),
        ((padding, padding),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return stem + params["bias"]


@pytest.mark.parametrize("taps", [3, 5])
def test_adaptor_and_patches_are_one_larger_convolution(taps):
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (2, 8, 12, 1))
    module = InputAdaptor(strength=0.2, taps=taps)
    adaptor = module.init(keys[1], x)["params"]
    patch = {
        "kernel": jax.random.normal(keys[2], (4, 4, 1, 6)),
        "bias": jax.random.normal(keys[3], (6,)),
    }
    adapted = module.apply({"params": adaptor}, x)
    expected = patches(adapted, patch)
    folded, padding = fold(adaptor, patch, 0.2)
    assert folded["kernel"].shape == (taps + 3, taps + 3, 1, 6)
    found = patches(x, folded, padding)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    # The adaptor does something, at the border too.
    assert np.abs(patches(x, patch) - expected).min(axis=(0, 3)).max() > 1e-3


def test_the_adaptor_is_the_papers_equation():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    kernel = jnp.zeros((3, 3, 1, 1)).at[0, 1].set(2.0)
    params = {"conv": {"kernel": kernel, "bias": jnp.ones(1)}}
    y = InputAdaptor(strength=0.5).apply({"params": params}, x)[0, :, :, 0]
    above = np.pad(np.arange(12.0).reshape(3, 4), ((1, 0), (0, 0)))[:3]
    np.testing.assert_allclose(y, x[0, :, :, 0] + 0.5 * (1 + 2 * above))
    with pytest.raises(ValueError, match="must be odd"):
        InputAdaptor(taps=4).init(jax.random.key(0), x)


def test_noise_has_the_moments_it_says():
    x = jnp.ones((100, 1000))
    for kind, deviation in (("gaussian", 0.005), ("laplace", 0.005 * 2**0.5)):
        noise = np.asarray(add_noise(x, jax.random.key(0), kind, 0.005)) - 1
        assert abs(noise.mean()) < 1e-4
        np.testing.assert_allclose(noise.std(), deviation, rtol=0.02)
        other = add_noise(x, jax.random.key(1), kind, 0.005) - 1
        assert np.abs(noise - other).max() > 0.005
    np.testing.assert_array_equal(add_noise(x, jax.random.key(0), "none", 1.0), x)


def test_drop_path_leaves_out_whole_examples_and_keeps_the_mean():
    x = jnp.ones((4000, 2, 2))
    module = DropPath(0.25)
    rngs = {"drop_path": jax.random.key(0)}
    y = np.asarray(module.apply({}, x, True, rngs=rngs))
    assert set(np.unique(y).round(5)) == {0.0, np.float32(4 / 3).round(5)}
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert abs(y.mean() - 1) < 0.05
    np.testing.assert_array_equal(module.apply({}, x, False), x)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\)"):
        DropPath(1.0)
