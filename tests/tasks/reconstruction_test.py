import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses import reconstruction as losses
from sigjax.losses.contractive import ContractiveConfig
from sigjax.losses.sparsity import SparsityConfig
from sigjax.losses.sparsity import kl as kl_sparsity
from sigjax.losses.variational import kl_normal
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.nn.stack import Layer
from sigjax.signal.corruption import CorruptionConfig
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.tasks.layerwise import reconstruction_task
from sigjax.tasks.reconstruction import Reconstruction, ReconstructionConfig

KEY = jax.random.key(0)
NOISE = CorruptionConfig(kind="gaussian", sd=0.3)


def _dense(width, activation="identity", **more):
    return Layer(kind="dense", width=width, activation=activation, **more)


def _model(code=3, activation="sigmoid"):
    return AutoencoderConfig(
        input_shape=(6,),
        encoder=(_dense(code, activation),),
        decoder=(_dense(6),),
    )


VAE = AutoencoderConfig(
    input_shape=(6,),
    encoder=(_dense(5, "tanh"), _dense(4)),
    decoder=(_dense(6),),
    code="gaussian",
)


def _init(task):
    return jax.jit(task.init)(KEY, {})


def _evaluate(task, variables, x):
    return jax.jit(task.evaluate)(variables, {"x": x}, KEY)


@functools.cache
def _points():
    return jax.random.uniform(jax.random.key(9), (8, 6))


@pytest.mark.parametrize(
    ("model", "config", "names"),
    [
        (
            _model(),
            ReconstructionConfig(
                l2=0.01,
                sparsity=SparsityConfig(kind="kl", weight=0.3, rho=0.1),
                contractive=ContractiveConfig(weight=0.5),
            ),
            {"l2", "sparsity", "contractive", "active_share"},
        ),
        (
            _model(),
            ReconstructionConfig(likelihood="l1", sparsity=SparsityConfig(weight=0.3)),
            {"sparsity", "active_share"},
        ),
        (
            VAE,
            ReconstructionConfig(
                likelihood="gaussian",
                log_scale=-1,
                learn_scale=True,
                beta=4,
                noise=NOISE,
            ),
            {"kl", "scale", "snr_gain_db"},
        ),
    ],
    ids=["kl", "l1", "gaussian"],
)
def test_the_loss_is_the_sum_of_its_terms_by_their_factors(model, config, names):
    task, x = Reconstruction(model, config), _points()
    variables = _init(task)
    out = jax.jit(task.loss)(variables, {"x": x}, KEY)
    found = {name: np.asarray(value) for name, value in out.metrics.items()}
    assert set(found) == names | {"reconstruction"}
    factors = {"reconstruction": 1.0, "kl": 4, "l2": 0.01} | {
        "sparsity": 0.3,
        "contractive": 0.5,
    }
    total = sum(factors.get(name, 0) * value for name, value in found.items())
    np.testing.assert_allclose(out.loss, total, rtol=1e-5)
    if config.learn_scale:
        np.testing.assert_allclose(found["scale"], np.exp(-1.0), rtol=1e-6)
        return
    made = jax.jit(Autoencoder(model).apply)(variables, x)
    error, code = np.asarray(made.reconstruction - x), np.asarray(made.code)
    error = error**2 if config.likelihood == "mse" else abs(error)
    np.testing.assert_allclose(found["reconstruction"], error.mean(axis=1), rtol=1e-5)
    assert config.sparsity is not None and (found["active_share"] == 1).all()
    expected = np.abs(code).sum(axis=1)
    if config.sparsity.kind == "kl":
        expected = np.full(8, kl_sparsity(0.1, jnp.asarray(code.mean(axis=0))))
    np.testing.assert_allclose(found["sparsity"], expected, rtol=1e-5)


def test_a_variational_objective_sums_values_and_a_plain_one_averages_them():
    task = Reconstruction(VAE, ReconstructionConfig(likelihood="gaussian"))
    variables, x = _init(task), _points()
    out = jax.jit(Autoencoder(VAE).apply)(variables, x)

    @jax.jit
    def found(variables, x):
        error = losses.gaussian(out.reconstruction, x, reduce="sum")
        expected = error + kl_normal(out.mean, out.log_variance)
        return expected, task.score(variables, x), task.elbo(variables, x)

    expected, score, elbo = found(variables, x)
    np.testing.assert_allclose(score, expected, rtol=1e-5)
    np.testing.assert_allclose(elbo, -expected, rtol=1e-5)
    plain = Reconstruction(_model(), ReconstructionConfig())
    variables = _init(plain)
    error = np.square(x - plain.reconstruct(variables, x)).mean(axis=1)
    np.testing.assert_allclose(plain.score(variables, x), error, rtol=1e-5)
    with pytest.raises(ValueError, match="only a gaussian code"):
        plain.elbo(variables, x)


def test_a_sampled_bound_is_less_than_that_of_the_mean_code_by_the_codes_noise():
    """With a linear decoder and scale 1 it is half the decoded noise's power less."""
    task = Reconstruction(VAE, ReconstructionConfig(likelihood="gaussian"))
    variables, x = _init(task), _points()
    keys = jax.random.split(KEY, 4000)
    drawn = jax.jit(jax.vmap(lambda k: task.elbo(variables, x, k)))(keys)
    drawn = np.asarray(drawn, "f8")
    out = Autoencoder(VAE).apply(variables, x)
    kernel = variables["params"]["decoder"]["layer0"]["kernel"]
    lost = 0.5 * jnp.exp(out.log_variance) @ jnp.square(kernel).sum(axis=1)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    expected = task.elbo(variables, x) - lost
    assert (error < 0.05 * np.asarray(lost)).all()
    assert (np.abs(drawn.mean(axis=0) - expected) < 4 * error).all()


def test_an_examples_figures_do_not_depend_on_its_place():
    config = ReconstructionConfig(
        likelihood="gaussian",
        noise=NOISE,
        contractive=ContractiveConfig(weight=0.1, method="hutchinson"),
    )
    task = Reconstruction(VAE, config)
    variables, x = _init(task), _points()
    order = np.random.default_rng(0).permutation(8)

    @jax.jit
    def found(x):
        trained = task.loss(variables, {"x": x}, KEY).metrics
        return trained, task.evaluate(variables, {"x": x}, KEY)

    for one, other in zip(found(x), found(x[order]), strict=True):
        assert {"reconstruction", "kl", "contractive", "snr_gain_db"} <= set(one)
        for name, value in one.items():
            value = np.asarray(value)[order]
            np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-5)


def test_training_rebuilds_the_clean_input_from_the_corrupted_one():
    task = Reconstruction(_model(), ReconstructionConfig(noise=NOISE))
    variables = _init(task)
    found = jax.jit(task.loss)(variables, {"x": _points()}, KEY).loss
    # Of the same corruption; that it is one, and the target clean, is tested below.
    want = _evaluate(task, variables, _points())["reconstruction"]
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_dropout_is_drawn_anew_by_the_steps_key():
    model = dataclasses.replace(_model(), encoder=(_dense(3, dropout=0.5),))
    task = Reconstruction(model, ReconstructionConfig())
    variables = _init(task)
    loss = jax.jit(task.loss)
    first, again, other = (
        loss(variables, {"x": _points()}, jax.random.key(seed)).loss
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_the_bound_that_is_reported_has_no_beta():
    task = Reconstruction(VAE, ReconstructionConfig(likelihood="gaussian", beta=4.0))
    found = _evaluate(task, _init(task), _points())
    assert float(found["kl"].min()) > 0.01
    want = -found["reconstruction"] - found["kl"]
    np.testing.assert_allclose(found["elbo"], want, rtol=1e-5)
    np.testing.assert_allclose(
        found["loss"], found["reconstruction"] + 4 * found["kl"], rtol=1e-5
    )


def test_evaluation_is_of_the_corrupted_and_of_the_clean_input():
    config = ReconstructionConfig(noise=NOISE)
    task, x = Reconstruction(_model(), config), _points()
    variables = _init(task)
    found = _evaluate(task, variables, x)
    np.testing.assert_allclose(found["clean_reconstruction"], task.score(variables, x))
    assert np.abs(found["reconstruction"] - found["clean_reconstruction"]).max() > 0.01
    np.testing.assert_array_equal(found["mse"], found["reconstruction"])


def test_bernoulli_reconstructions_are_probabilities_and_their_mse_is_theirs():
    model, x = _model(), _points()
    task = Reconstruction(model, ReconstructionConfig(likelihood="bernoulli"))
    variables = _init(task)
    found = task.reconstruct(variables, x)
    logits = Autoencoder(model).apply(variables, x).reconstruction
    np.testing.assert_allclose(found, jax.nn.sigmoid(logits), rtol=1e-5)
    figures = _evaluate(task, variables, x)
    np.testing.assert_allclose(figures["mse"], losses.mse(found, x), rtol=1e-5)
    raw = jnp.asarray(np.asarray(x) * 255, jnp.uint8)
    scaled = ReconstructionConfig(
        likelihood="bernoulli", input=ExampleInputConfig(scale=1 / 255)
    )
    score = Reconstruction(model, scaled).score(variables, raw)
    expected = task.score(variables, raw.astype(jnp.float32) / 255)
    np.testing.assert_allclose(score, expected, rtol=1e-4)


def test_the_kl_sparsity_of_a_split_is_of_all_its_activations():
    config = ReconstructionConfig(sparsity=SparsityConfig(kind="kl", weight=0.5))
    task, x = Reconstruction(_model(), config), _points()
    variables = _init(task)
    whole = jax.jit(task.loss)(variables, {"x": x}, KEY)
    halves = [_evaluate(task, variables, part) for part in (x[:4], x[4:])]
    means = jax.tree.map(lambda *v: np.mean(np.concatenate(v), axis=0), *halves)
    found = task.summarise(means)
    assert found["loss"] == pytest.approx(float(whole.loss.mean()), rel=1e-5)
    assert found["sparsity"] == pytest.approx(float(whole.metrics["sparsity"][0]))
    codes = task.codes(variables, x)
    assert found["activation"] == pytest.approx(float(codes.mean()), rel=1e-5)


def test_batch_norm_learns_its_statistics_in_training_alone():
    model = AutoencoderConfig(
        input_shape=(6,),
        encoder=(_dense(3, "tanh", norm="batch"),),
        decoder=(_dense(6),),
    )
    config = ReconstructionConfig(contractive=ContractiveConfig(weight=1.0))
    task, x = Reconstruction(model, config), _points() + 3
    variables = _init(task)
    out = jax.jit(task.loss)(variables, {"x": x}, KEY)
    before, after = (
        jax.tree.leaves(tree["batch_stats"]) for tree in (variables, out.model_state)
    )
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(before, after, strict=True))
    # The Jacobian is of the encoder as it is used: no example knows of the others.
    assert task.contractive_method == "exact"
    alone = _evaluate(task, variables, x[:1])["contractive"]
    np.testing.assert_allclose(out.metrics["contractive"][:1], alone, rtol=1e-5)
    moved = {**variables, **out.model_state}
    assert np.abs(task.score(moved, x) - task.score(variables, x)).max() > 1e-4


def test_three_ways_to_the_contractive_penalty_agree():
    image = AutoencoderConfig(
        input_shape=(2, 3, 1),
        encoder=(Layer(kind="flatten"), _dense(4, "tanh")),
        decoder=(_dense(6), Layer(kind="reshape", shape=(2, 3, 1))),
    )

    def task(method):
        config = ContractiveConfig(weight=1.0, method=method, probes=2000)
        return Reconstruction(image, ReconstructionConfig(contractive=config))

    @jax.jit
    def penalties(variables, x):
        return [
            task(method).loss(variables, {"x": x}, KEY).metrics["contractive"]
            for method in ("closed", "exact", "hutchinson")
        ]

    x = _points().reshape(8, 2, 3, 1)
    closed, exact, estimate = penalties(_init(task("auto")), x)
    assert np.abs(closed).min() > 1e-3
    np.testing.assert_allclose(closed, exact, rtol=1e-5)
    np.testing.assert_allclose(estimate, exact, rtol=0.15)


def test_auto_takes_the_closed_form_of_one_dense_layer_alone():
    def method(model, **more):
        config = ContractiveConfig(weight=1.0, **more)
        task = Reconstruction(model, ReconstructionConfig(contractive=config))
        return task.contractive_method

    assert method(_model()) == method(_model(activation="tanh")) == "closed"
    assert method(_model(activation="relu")) == "exact"
    assert method(_model(activation="relu"), most=2) == "hutchinson"
    two = AutoencoderConfig(
        input_shape=(6,),
        encoder=(_dense(5, "tanh"), _dense(3, "tanh")),
        decoder=(_dense(6),),
    )
    assert method(two) == "exact"
    with pytest.raises(ValueError, match="needs an encoder of one dense layer"):
        method(two, method="closed")


def test_l2_does_not_touch_biases():
    gradients = []
    for l2 in (0.0, 0.5):
        task = Reconstruction(_model(), ReconstructionConfig(l2=l2))
        variables = _init(task)

        def mean(params, task=task):
            return task.loss({"params": params}, {"x": _points()}, KEY).loss.mean()

        gradients.append(jax.jit(jax.grad(mean))(variables["params"]))
    for half in ("encoder", "decoder"):
        free, held = (gradient[half]["layer0"] for gradient in gradients)
        np.testing.assert_allclose(held["bias"], free["bias"], rtol=1e-5, atol=1e-7)
        kernel = variables["params"][half]["layer0"]["kernel"]
        np.testing.assert_allclose(
            held["kernel"] - free["kernel"], kernel, rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        (VAE, {}, "no bound of a likelihood"),
        (VAE, {"likelihood": "l1"}, "no bound of a likelihood"),
        (
            _model(activation="relu"),
            {"sparsity": SparsityConfig(kind="kl", weight=1.0)},
            "must be plain and end in 'sigmoid', but is plain and ends in 'relu'",
        ),
        (
            AutoencoderConfig(
                input_shape=(6,),
                encoder=(_dense(3, "tanh"),),
                decoder=(_dense(6, "sigmoid"),),
            ),
            {"likelihood": "bernoulli"},
            "the decoder must end in 'identity', not 'sigmoid'",
        ),
    ],
)
def test_models_that_do_not_fit_the_objective_are_refused(model, config, message):
    with pytest.raises(ValueError, match=message):
        Reconstruction(model, ReconstructionConfig(**config))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beta": -1.0}, "beta and l2"),
        ({"l2": -1.0}, "beta and l2"),
        ({"learn_scale": True}, "belong to likelihood='gaussian'"),
    ],
)
def test_objectives_without_meaning_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionConfig(**wrong)


def test_a_residual_model_needs_noise_to_take_away():
    model = dataclasses.replace(_model(), residual=True)
    Reconstruction(model, ReconstructionConfig(noise=NOISE, likelihood="log_mse"))
    with pytest.raises(ValueError, match="nothing is left to learn"):
        Reconstruction(model, ReconstructionConfig())
    for more in ({"likelihood": "bernoulli"}, {"depth": 1}):
        config = ReconstructionConfig(noise=NOISE, **more)
        with pytest.raises(ValueError, match="residual adds"):
            reconstruction_task(model, config)
