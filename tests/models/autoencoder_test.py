import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.nn.stack import Layer, stack_shapes


def dense(*widths, activation="relu", last="identity", **more):
    names = (activation,) * (len(widths) - 1) + (last,)
    return tuple(
        Layer(kind="dense", width=width, activation=name, **more)
        for width, name in zip(widths, names, strict=True)
    )


def conv(width, taps, stride, padding=0, kind="conv", activation="relu"):
    return Layer(
        kind=kind,
        width=width,
        taps=taps,
        stride=stride,
        padding=padding,
        activation=activation,
    )


DENSE = AutoencoderConfig(
    input_shape=(784,),
    encoder=dense(128, 64, 12, 3),
    decoder=dense(12, 64, 128, 784, last="tanh"),
)
CONV = AutoencoderConfig(
    input_shape=(28, 28, 1),
    encoder=(
        conv(16, 3, 3, 1),
        Layer(kind="max_pool", taps=2, stride=2),
        conv(8, 3, 2, 1),
        Layer(kind="max_pool", taps=2, stride=1),
    ),
    decoder=(
        conv(16, 3, 2, kind="transposed_conv"),
        conv(8, 5, 3, 1, kind="transposed_conv"),
        conv(1, 2, 2, 1, kind="transposed_conv", activation="tanh"),
    ),
)
TIED = AutoencoderConfig(
    input_shape=(7, 6, 1),
    encoder=(
        conv(3, 3, 2, 1, activation="tanh"),
        Layer(kind="max_pool", taps=2, stride=2),
        Layer(kind="flatten"),
        Layer(kind="dense", width=2, activation="sigmoid"),
    ),
    tied=True,
    decoder_activation="softplus",
)
GAUSSIAN = AutoencoderConfig(
    input_shape=(5,), encoder=dense(6, 4), decoder=dense(5), code="gaussian"
)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def variables_of(config, seed=0):
    x = jnp.zeros((1, *config.input_shape))
    return jax.jit(Autoencoder(config).init)(jax.random.key(seed), x)


def shapes_of(config):
    x = jax.ShapeDtypeStruct((2, *config.input_shape), "f4")
    init = Autoencoder(config).init_with_output
    return jax.eval_shape(init, jax.random.key(0), x)


def test_the_lectures_networks_have_their_sizes():
    sides = [28] + [shape[0] for shape in CONV.encoder_shapes]
    sides += [s[0] for s in stack_shapes(CONV.decoder, CONV.code_shape)]
    assert sides == [28, 10, 5, 3, 2, 5, 15, 28]
    widths = [shape[0] for shape in DENSE.encoder_shapes]
    assert widths == [128, 64, 12, 3]
    for config in (DENSE, CONV):
        out, variables = shapes_of(config)
        assert out.reconstruction.shape[1:] == config.input_shape
        assert out.code.shape[1:] == config.code_shape == out.hidden[-1].shape[1:]
        assert out.mean is None and out.log_variance is None
        assert set(variables["params"]) == {"encoder", "decoder"}


def test_a_tied_decoder_mirrors_the_encoder():
    kinds = [layer.kind for layer in TIED.decoder_layers]
    assert kinds == ["dense", "reshape", "max_unpool", "transposed_conv"]
    first, last = TIED.decoder_layers[0], TIED.decoder_layers[-1]
    assert (first.activation, last.activation) == ("tanh", "softplus")
    assert last.output_padding == (0, 1)  # 4 and 3 from 7 and 6 by steps of 2
    out, variables = shapes_of(TIED)
    assert out.reconstruction.shape == (2, 7, 6, 1)
    params = variables["params"]
    assert set(params["decoder"]["layer0"]) == {"bias"}
    kernels = [p for p, _ in jax.tree.leaves_with_path(params) if p[-1].key == "kernel"]
    assert len(kernels) == 2


def test_tied_weights_halve_the_matrices_and_sum_both_gradients():
    untied = dataclasses.replace(
        TIED, tied=False, decoder=TIED.decoder_layers, decoder_activation="identity"
    )
    params = variables_of(TIED)["params"]
    encoder, decoder = params["encoder"], params["decoder"]
    own = {
        "layer0": {"kernel": encoder["layer3"]["kernel"].T, **decoder["layer0"]},
        "layer3": {"kernel": encoder["layer0"]["kernel"], **decoder["layer3"]},
    }
    x = jnp.asarray(draw(3, 7, 6, 1))

    def loss(params, config):
        made = Autoencoder(config).apply({"params": params}, x).reconstruction
        return jnp.square(made - x).sum()

    @jax.jit
    def both(shared, own):
        value = jax.value_and_grad(loss)
        return value(shared, TIED), value(own, untied)

    (mine, tied), (theirs, apart) = both(params, {"encoder": encoder, "decoder": own})
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    sums = {
        "layer3": apart["decoder"]["layer0"]["kernel"].T,
        "layer0": apart["decoder"]["layer3"]["kernel"],
    }
    for name, added in sums.items():
        assert np.abs(added).max() > 1e-2
        want = apart["encoder"][name]["kernel"] + added
        np.testing.assert_allclose(
            tied["encoder"][name]["kernel"], want, rtol=1e-4, atol=1e-5
        )


def test_a_linear_autoencoder_spans_the_subspace_of_the_first_components():
    rng = np.random.default_rng(0)
    scales = np.array([4.0, 3.0, 0.8, 0.5, 0.3, 0.2])
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    x = (rng.normal(size=(80, 6)) * scales) @ turn
    x = jnp.asarray(x - x.mean(0), jnp.float32)
    linear = AutoencoderConfig(input_shape=(6,), encoder=dense(2), decoder=dense(6))
    model, params = Autoencoder(linear), variables_of(linear)

    def loss(params):
        return jnp.square(model.apply(params, x).reconstruction - x).mean()

    @jax.jit
    def train(params):
        def descend(params, _):
            found = jax.grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.15 * g, params, found), None

        return jax.lax.scan(descend, params, length=1000)[0]

    params = train(params)
    found = np.linalg.qr(params["params"]["decoder"]["layer0"]["kernel"].T)[0]
    axes = np.linalg.svd(np.asarray(x))[2][:2].T
    angles = np.linalg.svd(found.T @ axes)[1]  # cosines of principal angles
    np.testing.assert_allclose(angles, 1, atol=1e-4)


def test_a_gaussian_code_is_drawn_with_its_mean_and_variance():
    model, variables = Autoencoder(GAUSSIAN), variables_of(GAUSSIAN)
    x = np.tile(draw(1, 5), (4000, 1))
    run = jax.jit(model.apply, static_argnums=2)
    out = run(variables, x, False, jax.random.key(1))
    code, mean, log_variance = map(np.asarray, (out.code, out.mean, out.log_variance))
    z = (code - mean) / np.exp(0.5 * log_variance)
    assert z.shape == (4000, 2)
    assert np.abs(z.mean(0)).max() < 0.06 and np.abs(z.std(0) - 1).max() < 0.05
    # By the example's place alone, whatever else is in the batch.
    few = run(variables, x[:3], False, jax.random.key(1))
    np.testing.assert_allclose(few.code, code[:3], atol=1e-5)
    mean = run(variables, x[:3], False)
    np.testing.assert_array_equal(mean.code, mean.mean)

    @jax.jit
    def parts(variables, x):
        code = model.apply(variables, x, method="encode")
        posterior = model.apply(variables, x, method="posterior")
        return code, posterior, model.apply(variables, code, method="decode")

    code, posterior, made = parts(variables, x[:3])
    np.testing.assert_allclose(posterior[0], mean.mean, atol=1e-6)
    np.testing.assert_allclose(posterior[1], mean.log_variance, atol=1e-6)
    np.testing.assert_allclose(code, mean.mean, atol=1e-6)
    np.testing.assert_allclose(made, mean.reconstruction, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (TIED, {"decoder": dense(42)}, "has no decoder of its own"),
        (DENSE, {"decoder": ()}, "give a decoder, or tied"),
        (DENSE, {"decoder": dense(783)}, r"makes \(783,\) .* input is \(784,\)"),
        (DENSE, {"decoder_activation": "tanh"}, "of a tied decoder"),
        (DENSE, {"encoder": ()}, "needs layers"),
        (GAUSSIAN, {"encoder": dense(5)}, r"even length.*\(5,\)"),
        (GAUSSIAN, {"decoder": (), "tied": True}, "cannot be tied"),
        (CONV, {"encoder": CONV.encoder * 2}, r"encoder: layer 5 \(max_pool\)"),
        (CONV, {"decoder": (Layer(kind="dense", width=1),)}, "decoder makes"),
        (TIED, {"encoder": (Layer(kind="upsample", stride=2),)}, "no mirror image"),
        (TIED, {"encoder": (Layer(kind="flatten", norm="layer"),)}, "before"),
        (TIED, {"encoder": (Layer(kind="flatten"),)}, "shares kernels"),
    ],
)
def test_networks_that_do_not_meet_are_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)


def test_wrong_inputs_are_refused():
    model = Autoencoder(TIED)
    like = shapes_of(TIED)[1]
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    with pytest.raises(ValueError, match=r"\(7, 6, 1\), got \(7, 5, 1\)"):
        model.apply(variables, jnp.zeros((1, 7, 5, 1)))
    with pytest.raises(ValueError, match="no key for a plain"):
        Autoencoder(DENSE).apply({}, jnp.zeros((1, 784)), False, jax.random.key(0))
    with pytest.raises(ValueError, match=r"decoder: layer 2 \(max_unpool\).*pooled"):
        model.apply(variables, jnp.zeros((1, 2)), method="decode")
    with pytest.raises(ValueError, match=r"code has shape \(2,\), got \(3,\)"):
        model.apply(variables, jnp.zeros((1, 3)), method="decode")
    with pytest.raises(ValueError, match="no posterior"):
        model.apply(variables, jnp.zeros((1, 7, 6, 1)), method="posterior")


def test_a_residual_decoder_corrects_the_input():
    config = AutoencoderConfig(
        input_shape=(5,), encoder=dense(3), decoder=dense(5), residual=True
    )
    model, x = Autoencoder(config), jnp.asarray([[1.0, -2, 3, 0, 5]])
    params = model.init(jax.random.key(0), x)
    out = model.apply(params, x)
    correction = model.apply(params, out.code, method="decode")
    assert np.abs(correction).max() > 0.01
    np.testing.assert_allclose(out.reconstruction, x + correction, rtol=1e-6)
    with pytest.raises(ValueError, match="no residual"):
        dataclasses.replace(config, encoder=dense(6), code="gaussian")
