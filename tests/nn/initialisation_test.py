"""What layers start from: by the moments and identities that each source asks for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import autoencoder, gan
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.nn.initialisation import bias_init, fans, kernel_init, scale_init
from sigjax.nn.layer_grammar import WEIGHTED
from sigjax.nn.stack import Layer, Stack

KEY = jax.random.key(0)


def kernel(name, shape, *given):
    """Drawn without compiling it."""
    return np.asarray(kernel_init(name, shape, *given)(KEY, shape, jnp.float32))


def test_fans_are_what_is_summed_and_what_is_reached():
    assert fans((6, 4)) == (6, 4)
    assert fans((3, 5, 6, 4), (1, 1)) == (90, 60)
    # Every third value of a map: an input reaches a third of the taps.
    assert fans((3, 6, 4), (3,)) == (18, 4)
    # The adjoint of that, whose kernel has its channels the other way round.
    assert fans((3, 6, 4), (3,), True) == (4, 18)


@pytest.mark.parametrize(
    "layer",
    [
        Layer(kind="dense", width=500, init="he"),
        Layer(kind="conv", width=300, taps=3, padding=1, init="he"),
        Layer(kind="transposed_conv", width=300, taps=4, stride=2, init="he"),
    ],
    ids=lambda layer: layer.kind,
)
def test_he_doubles_the_power_that_relu_halves(layer):
    """So that it is the same after every layer, however many there are."""
    x = jnp.maximum(jax.random.normal(KEY, (4, 64, 200)), 0)
    y = Stack((layer,)).init_with_output(jax.random.key(1), x)[0].x
    inner = np.asarray(y)[:, 4:-4]  # the ends see padding
    assert np.square(inner).mean() == pytest.approx(2 * np.square(x).mean(), rel=0.06)
    assert np.median(np.abs(inner)) > 0


def test_glorot_is_uniform_and_the_same_both_ways():
    found = kernel("glorot", (3, 40, 60), (1,))
    bound = (6 / (3 * 100)) ** 0.5
    assert 0.99 * bound < found.max() <= bound and -bound <= found.min() < -0.99 * bound
    assert found.var() == pytest.approx(2 / (3 * 100), rel=0.05)
    back = kernel("glorot", (3, 40, 60), (1,), True)
    np.testing.assert_array_equal(back, found)


def test_orthogonal_kernels_keep_lengths():
    for shape in ((64, 24), (3, 8, 24)):
        matrix = kernel("orthogonal", shape).reshape(-1, 24)
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(24), atol=1e-5)
    # [*taps, d, c]: outputs are d.
    back = np.moveaxis(kernel("orthogonal", (3, 24, 8), (1,), True), -2, -1)
    matrix = back.reshape(-1, 24)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(24), atol=1e-5)


def test_dcgan_is_a_hundredth_of_two_whatever_the_size():
    for shape in ((4, 4, 64, 8), (900, 5)):
        found = kernel("dcgan", shape)
        assert found.std() == pytest.approx(0.02, rel=0.05)
        assert abs(found.mean()) < 0.002 and np.abs(found).max() > 0.05
    scale = np.asarray(scale_init("dcgan")(KEY, (4000,), jnp.float32))
    assert scale.mean() == pytest.approx(1, abs=0.002)
    assert scale.std() == pytest.approx(0.02, rel=0.05)


def test_only_torch_draws_biases_and_only_dcgan_scales():
    for name in ("glorot", "he", "orthogonal", "dcgan"):
        assert not np.any(bias_init(name, 4)(KEY, (50,), jnp.float32))
    drawn = np.asarray(bias_init("torch", 4)(KEY, (50,), jnp.float32))
    assert drawn.std() > 0.2 and np.abs(drawn).max() <= 0.5
    for name in ("torch", "glorot", "he", "orthogonal"):
        np.testing.assert_array_equal(scale_init(name)(KEY, (5,), jnp.float32), 1)


def test_a_stack_draws_each_layer_as_it_says():
    layers = (
        Layer(kind="dense", width=32, init="dcgan", norm="layer"),
        Layer(kind="reshape", shape=(4, 8), init="dcgan", norm="batch"),
        Layer(
            kind="transposed_conv", width=30, taps=4, stride=2, init="orthogonal",
            norm="batch",
        ),
        Layer(kind="conv", width=5, taps=1),
    )  # fmt: skip
    init = jax.jit(lambda key: Stack(layers).init(key, jnp.zeros((1, 40)))["params"])
    params = jax.tree.map(np.asarray, init(KEY))
    assert np.std(params["layer0"]["kernel"]) == pytest.approx(0.02, rel=0.1)
    assert not np.any(params["layer0"]["bias"])
    np.testing.assert_array_equal(params["layer0"]["norm"]["scale"], 1)
    assert 0 < np.std(params["layer1"]["norm"]["scale"]) < 0.06
    back = np.moveaxis(params["layer2"]["kernel"], -2, -1).reshape(-1, 30)
    np.testing.assert_allclose(back.T @ back, np.eye(30), atol=1e-5)
    np.testing.assert_array_equal(params["layer2"]["norm"]["scale"], 1)
    assert np.any(params["layer3"]["bias"])  # as PyTorch draws it


def test_a_tied_decoder_starts_as_its_encoder():
    layer = Layer(kind="dense", width=3, init="he")
    model = AutoencoderConfig(input_shape=(6,), encoder=(layer,), tied=True)
    assert model.decoder_layers[0].init == "he"
    params = Autoencoder(model).init(KEY, jnp.zeros((1, 6)))["params"]
    assert not np.any(params["decoder"]["layer0"]["bias"])


def test_what_is_not_drawn_has_no_init():
    with pytest.raises(ValueError, match="a flatten layer has nothing to start from"):
        Layer(kind="flatten", init="he")
    with pytest.raises(ValueError, match="nothing to start from"):
        Layer(kind="max_pool", taps=2, norm="layer", init="dcgan")


def test_configs_start_all_that_is_drawn():
    images = gan.get_config("digits+dcgan").model
    aae = gan.get_config("digits+adversarial+dcgan").model
    tied = autoencoder.get_config("digits+tied+he").model
    for layers, init in (
        (images.generator, "dcgan"), (images.critic, "dcgan"), (aae.encoder, "dcgan"),
        (aae.critic, "dcgan"), (tied.encoder, "he"),
    ):  # fmt: skip
        built = [Layer(**layer) for layer in layers]  # no layer refuses it
        drawn = [x for x in built if x.kind in WEIGHTED or x.norm == "batch"]
        assert drawn and {layer.init for layer in drawn} == {init}
    assert not any("init" in layer for layer in gan.get_config("digits").model.critic)
