import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.frame_autoencoder import FrameAutoencoder, FrameAutoencoderConfig


def shapes(config):
    x = jax.ShapeDtypeStruct((2, config.values), "f4")
    return jax.eval_shape(FrameAutoencoder(config).init, jax.random.key(0), x)


def test_the_baseline_has_267_928_parameters():
    variables = shapes(FrameAutoencoderConfig())
    found = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert found == 267_928
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    layers = [(a + 1) * b for a, b in zip(widths, widths[1:], strict=False)]
    norms = [2 * width for width in widths[1:-1]]
    assert sum(layers) + sum(norms) == 267_928


def test_layers_start_as_pytorchs():
    config = FrameAutoencoderConfig(frames=4, mels=25, widths=(50,), code=3)
    init = jax.jit(FrameAutoencoder(config).init)
    params = init(jax.random.key(0), jnp.zeros((2, 100)))
    for name, before in (("dense1", 100), ("output", 50)):
        for value in params["params"][name].values():
            bound = 1 / np.sqrt(before)
            assert 0.9 * bound < np.abs(value).max() <= bound
            assert value.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)


def test_vectors_of_another_length_are_refused():
    config = FrameAutoencoderConfig()
    with pytest.raises(ValueError, match="5 frames of 128 bands, 640 values, got 639"):
        FrameAutoencoder(config).apply(shapes(config), jnp.zeros((1, 639)))
    with pytest.raises(ValueError, match="at least 1"):
        FrameAutoencoderConfig(code=0)
