import dataclasses
import math

import jax
import numpy as np
import pytest

from sigjax.models.gan import (
    AdversarialAutoencoder,
    AdversarialAutoencoderConfig,
    Gan,
    GanConfig,
    PriorConfig,
    draw_prior,
)
from sigjax.nn.stack import Layer, Stack

KEY = jax.random.key(0)
# DCGAN in small: 4x4 to 8x8 by transposed convolutions, and back by strided ones.
DCGAN = GanConfig(
    latent=3,
    output_shape=(8, 8, 1),
    generator=(
        Layer(kind="dense", width=4 * 4 * 4, bias=False),
        Layer(kind="reshape", shape=(4, 4, 4), norm="batch", activation="relu"),
        Layer(
            kind="transposed_conv", width=1, taps=4, stride=2, padding=1,
            activation="tanh",
        ),
    ),
    critic=(
        Layer(
            kind="conv", width=4, taps=4, stride=2, padding=1, spectral=True,
            activation="leaky_relu", slope=0.2,
        ),
        Layer(kind="flatten"),
        Layer(kind="dense", width=1, spectral=True),
    ),
)  # fmt: skip
DENSE = (Layer(kind="dense", width=5, activation="relu"), Layer(kind="dense", width=1))
AAE = AdversarialAutoencoderConfig(
    input_shape=(4,),
    encoder=(Layer(kind="dense", width=2),),
    decoder=(Layer(kind="dense", width=4),),
    critic=DENSE,
)


def draws(n=4000, width=3, **config):
    keys = jax.random.split(KEY, n)
    return np.asarray(draw_prior(PriorConfig(**config), keys, width))


def test_priors_have_their_moments():
    normal = draws()
    np.testing.assert_allclose(normal.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(np.cov(normal.T), np.eye(3), atol=0.08)
    uniform = draws(kind="uniform")
    assert -1 <= uniform.min() < -0.99 and 0.99 < uniform.max() <= 1
    np.testing.assert_allclose(uniform.var(0), 1 / 3, atol=0.02)


def test_a_ring_has_its_modes_evenly():
    found = draws(kind="ring", components=5, radius=3.0, sd=0.1)
    angle = 2 * math.pi * np.arange(5) / 5
    centres = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gaps = found[:, None, :2] - centres
    distance = np.linalg.norm(gaps, axis=-1)
    nearest = distance.argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest) / len(found), 0.2, atol=0.03)
    own = gaps[np.arange(len(found)), nearest]
    np.testing.assert_allclose(own.std(axis=0), 0.1, atol=0.01)
    np.testing.assert_allclose(found[:, 2].std(), 0.1, atol=0.01)


def test_a_draw_depends_on_its_key_alone():
    keys = jax.random.split(KEY, 6)
    for kind in ("normal", "uniform", "ring"):
        config = PriorConfig(kind=kind)
        backwards = draw_prior(config, keys[::-1], 2)
        np.testing.assert_array_equal(backwards[::-1], draw_prior(config, keys, 2))


def test_a_dcgan_makes_images_and_judges_them():
    model = Gan(DCGAN)
    z = jax.random.normal(KEY, (5, 3))
    variables = jax.jit(model.init)(KEY, z)
    assert set(variables["params"]) == {"generator", "critic"}
    assert set(variables["batch_stats"]) == {"generator"}
    assert set(variables["spectral"]) == {"critic"}
    made = jax.jit(lambda v, z: model.apply(v, z, method="generate"))(variables, z)
    assert made.shape == (5, 8, 8, 1) and np.abs(made).max() <= 1
    found = jax.jit(model.apply)(variables, z)
    judge = jax.jit(lambda v, x: model.apply(v, x, method="criticise"))
    assert found.shape == (5,)
    np.testing.assert_allclose(found, judge(variables, made), atol=1e-5)


def test_kernels_of_every_kind_are_normalised_by_their_outputs():
    """In a stack, a transposed convolution's too; by NumPy's SVD."""
    layers = (
        Layer(kind="conv", width=3, taps=3, padding=1, spectral=True, bias=False),
        Layer(kind="transposed_conv", width=5, taps=2, spectral=True, bias=False),
        Layer(kind="flatten"),
        Layer(kind="dense", width=7, spectral=True, bias=False),
    )
    model = Stack(layers)
    x = jax.random.normal(KEY, (2, 4, 2))
    variables = jax.jit(model.init)(KEY, x)

    @jax.jit
    def step(variables):
        changed = model.apply(variables, x, True, mutable=["spectral"])[1]
        return {**variables, **changed}

    for _ in range(100):
        variables = step(variables)
    normalised = dict(variables["params"])
    for name, axis in (("layer0", -1), ("layer1", -2), ("layer3", -1)):
        kernel = np.asarray(normalised[name]["kernel"])
        matrix = np.moveaxis(kernel, axis, -1).reshape(-1, kernel.shape[axis])
        largest = np.linalg.svd(matrix, compute_uv=False)[0]
        normalised[name] = {"kernel": kernel / largest}
    plain = Stack(tuple(dataclasses.replace(each, spectral=False) for each in layers))
    expected = plain.apply({"params": normalised}, x).x
    found = model.apply(variables, x).x
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)


def test_an_adversarial_autoencoder_is_an_autoencoder_with_a_critic():
    model = AdversarialAutoencoder(AAE)
    x = jax.random.normal(KEY, (3, 4))
    variables = jax.jit(lambda k: model.init(k, x, method="everything"))(KEY)
    assert set(variables["params"]) == {"encoder", "decoder", "critic"}
    out = model.apply(variables, x)
    assert out.reconstruction.shape == (3, 4) and out.code.shape == (3, 2)
    assert model.apply(variables, out.code, method="criticise").shape == (3,)


def test_networks_that_do_not_meet_are_refused():
    dense, conv = Layer(kind="dense", width=2), Layer(kind="conv", width=1, taps=3)
    good = {"latent": 3, "output_shape": (2,), "generator": (dense,), "critic": DENSE}

    def refused(match, **changes):
        with pytest.raises(ValueError, match=match):
            GanConfig(**{**good, **changes})

    refused("generator makes .2,., but output_shape is .4,.", output_shape=(4,))
    refused("generator: layer 0 .conv.", generator=(conv,))
    refused("critic makes .2,. of .2,.", critic=(dense,))
    refused("critic: layer 0 .conv.", critic=(conv,))
    sigmoid = dataclasses.replace(DENSE[-1], activation="sigmoid")
    refused("ends in 'sigmoid'; .* logit", critic=(sigmoid,))
    refused("latent of at least 1", latent=0)
    refused("a ring needs two", latent=1, prior=PriorConfig(kind="ring"))
    with pytest.raises(ValueError, match="critic makes"):
        dataclasses.replace(AAE, critic=())
    with pytest.raises(ValueError, match="plain codes, vectors"):
        dataclasses.replace(
            AAE, encoder=(Layer(kind="dense", width=4),), code="gaussian"
        )
    with pytest.raises(ValueError, match="components must be"):
        PriorConfig(kind="ring", sd=0.0)


def test_a_decoder_that_needs_what_the_encoder_pooled_cannot_decode_a_prior():
    conv = Layer(kind="conv", width=1, taps=1)
    with pytest.raises(ValueError, match="cannot decode draws of the prior: layer 1"):
        AdversarialAutoencoderConfig(
            input_shape=(4, 1),
            encoder=(Layer(kind="max_pool", taps=2, stride=2), Layer(kind="flatten")),
            decoder=(
                Layer(kind="reshape", shape=(2, 1)), Layer(kind="max_unpool"), conv,
            ),
            critic=DENSE,
        )  # fmt: skip
