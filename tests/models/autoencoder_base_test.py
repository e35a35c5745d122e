import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.autoencoders.base import base_of
from sigjax.config import ConfigError
from sigjax.data.examples.example_set import example_set
from sigjax.evals.autoencoders import linear
from sigjax.inference.anomaly_detector import AutoencoderDetector
from sigjax.losses.contractive import ContractiveConfig
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.models.autoencoder_base import check_base
from sigjax.models.gan import AdversarialAutoencoderConfig
from sigjax.nn.stack import Layer
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.tasks.layerwise import reconstruction_task
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig

SHAPE = (6, 4, 1)
INPUT = ExampleInputConfig(scale=0.5, offset=-1.0)


def network(base, code="plain", **more):
    width = 3 * (1 + (code == "gaussian"))
    layers = dict(
        encoder=(
            Layer(kind="flatten"),
            Layer(kind="dense", width=8, activation="tanh"),
            Layer(kind="dense", width=width),
        ),
        decoder=(
            Layer(kind="dense", width=8, activation="tanh"),
            Layer(kind="dense", width=24),
            Layer(kind="reshape", shape=SHAPE),
        ),
    )
    return AutoencoderConfig(
        **{**layers, "input_shape": SHAPE, "base": base, "code": code, **more}
    )


@pytest.fixture(scope="module")
def raw():
    rng = np.random.default_rng(0)
    # Examples with a mean, and a few directions in which they vary much.
    ways = rng.normal(size=(5, 24)) * np.array([5, 3, 2, 1, 0.5])[:, None]
    x = rng.normal(size=(40, 5)) @ ways + rng.normal(size=24) + 7
    return (x + 0.1 * rng.normal(size=(40, 24))).reshape(40, *SHAPE).astype("f4")


def applied(config, variables, x, method="__call__"):
    """What the network makes."""
    model = Autoencoder(config)
    return jax.jit(lambda v, x: model.apply(v, x, method=method))(variables, x)


def started(config, raw):
    """Variables with the statistics of examples, and those as the model takes them."""
    own = jax.jit(Autoencoder(config).init)(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    given = base_of(config, INPUT, example_set(raw, origin="test"))
    assert jax.tree.map(np.shape, own.get("statistics", {})) == jax.tree.map(
        np.shape, given.get("statistics", {})
    )
    return {**own, **given}, 0.5 * raw - 1


@pytest.mark.parametrize("code", ["plain", "gaussian"])
def test_untrained_on_principal_components_it_is_pca(raw, code):
    config = network("principal", code)
    variables, x = started(config, raw)
    pca = linear.fit_pca(x, 3)
    out = applied(config, variables, x)
    np.testing.assert_allclose(out.reconstruction, pca.reconstruct(x), atol=1e-4)
    codes = pca.codes(x)
    np.testing.assert_allclose(out.code, codes / codes.std(axis=0), atol=1e-4)


def test_what_is_trained_is_added_to_the_components(raw):
    config = network("principal")
    variables, x = started(config, raw)
    rest = applied(config, variables, x)
    gain = jnp.array([0.5, 2.0])
    variables["params"]["base"] = {"gain": gain}
    out = applied(config, variables, x)
    assert float(jnp.abs(out.code - rest.code).max()) > 1e-2
    statistics = variables["statistics"]["base"]
    bare = {"params": {k: variables["params"][k] for k in ("encoder", "decoder")}}
    plain = network("none")
    deviations = (x - statistics["mean"]) / statistics["scale"]
    encoded = applied(plain, bare, deviations, "encode")
    np.testing.assert_allclose(out.code, rest.code + 0.5 * encoded, atol=1e-4)
    drawn = applied(plain, bare, out.code, "decode")
    linear_part = (out.code * statistics["spread"]) @ statistics["components"]
    made = statistics["mean"] + statistics["scale"] * (
        linear_part.reshape(x.shape) + 2 * drawn
    )
    np.testing.assert_allclose(out.reconstruction, made, atol=1e-4)


def test_a_mean_alone_is_the_same_network_on_standardised_examples(raw):
    config = network("mean")
    variables, x = started(config, raw)
    statistics = variables["statistics"]["base"]
    deviations = (x - statistics["mean"]) / statistics["scale"]
    np.testing.assert_allclose(deviations.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(deviations.std(), 1, atol=1e-5)
    own = applied(network("none"), {"params": variables["params"]}, deviations)
    out = applied(config, variables, x)
    np.testing.assert_allclose(out.code, own.code, atol=1e-5)
    made = statistics["mean"] + statistics["scale"] * own.reconstruction
    np.testing.assert_allclose(out.reconstruction, made, atol=1e-4)


def test_training_leaves_statistics_as_they_are_and_moves_the_gain(raw):
    task = Reconstruction(network("principal"), ReconstructionConfig(input=INPUT))
    variables, _ = started(task.model_config, raw)
    batch = {"x": jnp.asarray(raw[:8])}

    def loss(variables):
        out = task.loss(variables, batch, jax.random.key(0))
        return out.loss.mean(), out.model_state

    _, kept = jax.jit(loss)(variables)
    assert jax.tree.all(
        jax.tree.map(np.array_equal, kept["statistics"], variables["statistics"])
    )
    gradient = jax.jit(jax.grad(lambda p: loss({**variables, "params": p})[0]))(
        variables["params"]
    )
    assert np.all(np.asarray(gradient["base"]["gain"])[1] != 0)


def test_a_contraction_is_in_the_units_of_the_input(raw):
    one = (Layer(kind="flatten"), Layer(kind="dense", width=3, activation="sigmoid"))
    config = network("mean", encoder=one)
    penalty = ContractiveConfig(weight=1.0)
    objective = ReconstructionConfig(input=INPUT, contractive=penalty)
    found = Reconstruction(config, objective)
    variables, x = started(config, raw)

    def code(e):
        return found.model.apply(variables, e[None], method="encode")[0]

    jacobian = jax.jit(jax.vmap(jax.jacrev(code)))(jnp.asarray(x[:4]))
    wanted = np.square(jacobian).reshape(4, -1).sum(axis=1)
    batch = {"x": jnp.asarray(raw[:4])}
    out = jax.jit(found.evaluate)(variables, batch, jax.random.key(0))
    np.testing.assert_allclose(out["contractive"], wanted, rtol=1e-4)


@pytest.mark.parametrize("base", ["mean", "principal"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b: network(b, residual=True), "cannot be added, too"),
        (
            lambda b: network(
                b,
                decoder=(
                    Layer(kind="dense", width=24),
                    Layer(kind="reshape", shape=SHAPE, activation="tanh"),
                ),
            ),
            "must end in 'identity', not 'tanh'",
        ),
        (
            lambda b: Reconstruction(
                network(b), ReconstructionConfig(likelihood="bernoulli")
            ),
            "adds values, likelihood='bernoulli' logits",
        ),
        (
            lambda b: reconstruction_task(network(b), ReconstructionConfig(depth=1)),
            "is of the whole",
        ),
        (
            lambda b: AutoencoderDetector(network=network(b), held_out=0).fit(
                np.ones((9, *SHAPE))
            ),
            "network.base is 'none'",
        ),
        (
            lambda b: AdversarialAutoencoderConfig(
                **vars(network(b)), critic=(Layer(kind="dense", width=1),)
            ),
            "adds to nothing",
        ),
    ],
)
def test_networks_that_cannot_add_to_a_base_are_refused(base, make, message):
    with pytest.raises(ValueError, match=message):
        make(base)


def test_codes_that_have_no_components_are_refused():
    maps = (Layer(kind="conv", width=1, taps=1),)
    with pytest.raises(ValueError, match="a vector of 24 numbers at most"):
        network("principal", encoder=maps, decoder=maps)
    with pytest.raises(ValueError, match="a base is one of none, mean, principal"):
        check_base("median", (3,), 24, Layer(kind="flatten"), False)


def test_examples_that_give_no_base_are_refused(raw):
    config = network("principal")
    few, same = raw[:3], np.ones_like(raw)
    line = raw[:1] * np.arange(40, dtype="f4").reshape(-1, 1, 1, 1)
    for x, message in (
        (few, "have 2 components, not 3"),
        (same, "all examples are alike"),
        (line, "do not vary in 3 directions"),
    ):
        with pytest.raises(ConfigError, match=message):
            base_of(config, INPUT, example_set(x, origin="test"))
