import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sigjax.losses.adversarial import critic_loss, generator_loss
from sigjax.models.gan import (
    AdversarialAutoencoderConfig,
    GanConfig,
    PriorConfig,
    draw_prior,
)
from sigjax.nn.stack import Layer
from sigjax.tasks.adversarial import (
    AdversarialAutoencoding,
    AdversarialAutoencodingConfig,
    AdversarialConfig,
    Generation,
)
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.train.averaging import AveragingConfig
from sigjax.train.optim import GroupConfig, OptimConfig, make_optimizer
from sigjax.train.step import make_init, make_train_step
from sigjax.train.task import Task
from tests.models.gan_test import DCGAN

KEY = jax.random.key(0)


def mlp(width, out, depth=1, **style):
    hidden = Layer(kind="dense", width=width, activation="leaky_relu", **style)
    return (hidden,) * depth + (Layer(kind="dense", width=out),)


PLAIN = GanConfig(latent=2, output_shape=(3,), generator=mlp(4, 3), critic=mlp(5, 1))
# Everything that has state: batch norm in both, spectral norm in the critic.
STATEFUL = dataclasses.replace(
    PLAIN,
    generator=mlp(4, 3, norm="batch"),
    critic=mlp(5, 1, norm="batch", spectral=True),
)
CODES = AdversarialAutoencoderConfig(
    input_shape=(3,), encoder=mlp(4, 2), decoder=mlp(4, 3), critic=mlp(5, 1)
)


def batch(rows=6, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, 3))
    return {"x": jnp.asarray(x, jnp.float32), "label": jnp.full(rows, -1)}


def gan(model=PLAIN, **config):
    return Generation(model, AdversarialConfig(**config))


@functools.cache
def started(task):
    return jax.jit(task.init)(KEY, {})


def gradients(task, variables, data=None):
    """Of the mean loss, as the loop takes it, and what the task returned."""
    data = batch() if data is None else data
    state = {k: v for k, v in variables.items() if k != "params"}

    @jax.jit
    def found(params):
        def loss(params):
            out = task.loss({"params": params, **state}, data, KEY)
            return out.loss.mean(), out

        return jax.grad(loss, has_aux=True)(params)

    return found(variables["params"])


def split(variables):
    state = {k: v for k, v in variables.items() if k != "params"}
    return variables["params"], state


def applied(task, params, state, x, method):
    """In training, with the state after it."""
    return task.model.apply(
        {"params": params, **state}, x, True, method=method, mutable=list(state)
    )


def critic_alone(task, params, state, real, made):
    """Its mean loss by the equations, and the states before and after `made`."""
    of_real, after = applied(task, params, state, real, "criticise")
    of_made, end = applied(task, params, after, made, "criticise")
    loss = critic_loss(task.config.game, of_real, of_made).mean()
    if task.config.r1:

        def total(x):
            return applied(task, params, state, x, "criticise")[0].sum()

        slope = jax.grad(total)(real)
        loss += 0.5 * task.config.r1 * jnp.square(slope).sum(axis=-1).mean()
    return loss, after, end


def assert_close(one, other):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), one, other
    )


def biggest(tree):
    return max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree))


def test_the_single_gradient_is_each_players_own():
    """By `jax.grad` of each loss alone; so the other's terms are zero in it."""
    task = gan(STATEFUL, game="hinge", r1=0.7)
    variables = started(task)
    found, out = gradients(task, variables)
    params, state = split(variables)
    real, z, _ = task._drawn(batch(), KEY)

    @jax.jit
    def separately(generator, critic):
        def make(generator):
            both = {"generator": generator, "critic": critic}
            return applied(task, both, state, z, "generate")

        made, moved = make(generator)

        def of_critic(critic):
            both = {"generator": generator, "critic": critic}
            loss, after, end = critic_alone(task, both, moved, real, made)
            return loss, (after, end)

        gradient, (after, end) = jax.grad(of_critic, has_aux=True)(critic)

        def of_generator(generator):
            both = {"generator": generator, "critic": critic}
            made, _ = make(generator)
            logits, _ = applied(task, both, after, made, "criticise")
            return generator_loss("hinge", logits).mean()

        own = {"generator": jax.grad(of_generator)(generator), "critic": gradient}
        return own, end

    own, end = separately(params["generator"], params["critic"])
    assert_close(found, own)
    assert min(biggest(found["generator"]), biggest(found["critic"])) > 1e-3
    # Both players' state has moved, and the critic's by both passes.
    assert_close(out.model_state, end)
    for collection in ("batch_stats", "spectral"):
        for name, moved in out.model_state[collection].items():
            before = state[collection][name]
            assert biggest(jax.tree.map(jnp.subtract, moved, before)) > 1e-5


def test_an_encoder_learns_from_both_its_losses_and_the_others_from_one():
    config = AdversarialAutoencodingConfig(weight=0.3)
    task = AdversarialAutoencoding(CODES, config)
    variables = started(task)
    found, _ = gradients(task, variables)
    params, state = split(variables)
    x, drawn, _ = task._drawn(batch(), KEY)

    @jax.jit
    def separately(params):
        def autoencode(params):
            made, moved = applied(task, params, state, x, "__call__")
            return jnp.square(made.reconstruction - x).mean(), (made.code, moved)

        errors, (code, moved) = jax.grad(autoencode, has_aux=True)(params)

        def of_critic(params):
            return critic_alone(task, params, moved, drawn, code)[:2]

        critic, after = jax.grad(of_critic, has_aux=True)(params)

        def of_encoder(params):
            code = autoencode(params)[1][0]
            logits, _ = applied(task, params, after, code, "criticise")
            return generator_loss("non_saturating", logits).mean()

        return errors, critic, jax.grad(of_encoder)(params)

    errors, critic, fooling = separately(params)
    both = jax.tree.map(lambda a, b: a + 0.3 * b, errors["encoder"], fooling["encoder"])
    expected = {
        "encoder": both, "decoder": errors["decoder"], "critic": critic["critic"],
    }  # fmt: skip
    assert_close(found, expected)
    assert biggest(fooling["encoder"]) > 1e-3 and biggest(errors["encoder"]) > 1e-3


def test_r1_is_the_squared_slope_by_finite_differences_and_enters_by_half_its_weight():
    task = gan(r1=3.0)
    variables, data = started(task), batch()
    out = jax.jit(task.loss)(variables, data, KEY)
    score, expected = jax.jit(task.score), np.zeros(6)
    for i in range(3):
        step = 1e-2 * np.eye(3, dtype=np.float32)[i]
        ahead, behind = (score(variables, data["x"] + s) for s in (step, -step))
        expected += np.asarray(ahead - behind, np.float64) ** 2 / 4e-4
    # Piecewise linear but for a kink between the two points: few, and none here.
    np.testing.assert_allclose(out.metrics["r1"], expected, rtol=5e-3)
    rest = out.metrics["generator"] + out.metrics["critic"]
    np.testing.assert_allclose(out.loss - rest, 1.5 * out.metrics["r1"], rtol=1e-4)


def test_a_rare_penalty_comes_every_nth_step_n_times_as_heavy():
    always, rarely = gan(r1=1.0), gan(r1=1.0, r1_every=3)
    variables = dict(started(rarely))
    loss = jax.jit(rarely.loss)
    for step in range(1, 7):
        out = loss(variables, batch(), KEY)
        found = out.metrics["r1"]
        variables = {"params": variables["params"], **out.model_state}
        if step % 3:
            assert not found.any()
    whole = jax.jit(always.loss)({"params": variables["params"]}, batch(), KEY)
    np.testing.assert_allclose(found, 3 * whole.metrics["r1"], rtol=1e-5)
    loss = out.metrics["generator"] + out.metrics["critic"] + 0.5 * found
    np.testing.assert_allclose(out.loss, loss, rtol=1e-5)


def test_the_place_in_the_batch_decides_nothing():
    data, order = batch(), np.array([3, 1, 5, 0, 2, 4])

    def turned(values):
        return jax.tree.map(lambda x: x[order], values)

    def assert_turned(function, variables, chosen):
        function = jax.jit(function)
        one, two = (function(variables, d, KEY) for d in (data, turned(data)))
        assert_close(turned(chosen(one)), chosen(two))

    task = gan(game="min_max")
    assert isinstance(task, Task)
    assert_turned(task.loss, started(task), lambda out: (out.loss, out.metrics))
    task = AdversarialAutoencoding(CODES, AdversarialAutoencodingConfig())
    assert_turned(task.evaluate, started(task), lambda figures: figures)


@pytest.mark.survival
def test_samples_scores_codes_and_reconstructions_are_pure_functions():
    scaled = ExampleInputConfig(scale=0.5, offset=1.0)
    task = gan(STATEFUL, input=scaled, r1=1.0, r1_every=2)
    variables, x = started(task), batch()["x"]
    sample = jax.jit(task.sample, static_argnums=2)
    made = sample(variables, KEY, 7)
    assert made.shape == (7, 3) and np.abs(made[0] - made[1]).max() > 1e-3
    z = draw_prior(PriorConfig(), jax.random.split(KEY, 7), 2)
    np.testing.assert_allclose(made, jax.jit(task.generate)(variables, z), atol=1e-6)
    figures = jax.jit(task.evaluate)(variables, batch(), KEY)
    score = jax.jit(task.score)(variables, x)
    np.testing.assert_array_equal(figures["accuracy_real"], score > 0)
    plain = gan(STATEFUL)
    np.testing.assert_allclose(
        jax.jit(plain.score)(variables, x * 0.5 + 1), score, rtol=1e-5
    )

    task = AdversarialAutoencoding(
        CODES, AdversarialAutoencodingConfig(likelihood="bernoulli")
    )
    variables, x = started(task), jax.nn.sigmoid(x)
    codes = jax.jit(task.codes)(variables, x)
    found = jax.jit(task.reconstruct)(variables, x)
    figures = jax.jit(task.evaluate)(variables, {"x": x}, KEY)
    entropy = -(x * np.log(found) + (1 - x) * np.log(1 - found)).mean(axis=1)
    np.testing.assert_allclose(figures["reconstruction"], entropy, rtol=1e-4)
    assert codes.shape == (6, 2)
    assert jax.jit(task.sample, static_argnums=2)(variables, KEY, 4).shape == (4, 3)
    assert jax.jit(task.score)(variables, x).shape == (6,)


def test_settings_without_meaning_are_refused():
    for match, wrong in (
        ("r1 must be >= 0", {"r1": -1.0}),
        ("r1_every >= 1", {"r1": 1.0, "r1_every": 0}),
        ("needs r1", {"r1_every": 4}),
    ):
        with pytest.raises(ValueError, match=match):
            AdversarialConfig(**wrong)
    with pytest.raises(ValueError, match="weight must be above 0"):
        AdversarialAutoencodingConfig(weight=0.0)


PLAYERS = (GroupConfig(pattern="^critic/"), GroupConfig(pattern="^(gen|enc|dec)"))
AVERAGING = AveragingConfig(kind="ema", decay=0.99)
RING = PriorConfig(kind="ring", radius=2.0, sd=0.05)


def trained(task, draw, *, seed, steps, rate, rows=128, groups=(), **optim):
    """The state after some steps on fresh data, by the house's step."""
    config = OptimConfig(
        name="adamw", learning_rate=rate, schedule="constant", warmup_epochs=0.0,
        clip_norm=None, b1=0.5, b2=0.99, groups=groups, **optim,
    )  # fmt: skip
    optimizer = make_optimizer(config, steps_per_epoch=100, total_steps=steps)
    step = make_train_step(task, optimizer)

    def body(state, key):
        return step(state, {"x": draw(jax.random.split(key, rows))})

    @jax.jit
    def run(key):
        first, data_key = jax.random.split(key)
        state = make_init(task, optimizer)(first, {"x": jnp.zeros((rows, 1))})
        return jax.lax.scan(body, state, jax.random.split(data_key, steps))

    return run(jax.random.key(seed))


def shares(x, prior):
    """Of all draws, the share within four deviations of each mode of a ring."""
    angle = 2 * np.pi * np.arange(prior.components) / prior.components
    centres = prior.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gap = np.linalg.norm(np.asarray(x)[:, None] - centres, axis=-1)
    return (gap < 4 * prior.sd).mean(axis=0)


@pytest.mark.survival
def test_averaged_weights_can_be_sampled_beside_the_last():
    """In the one step of the loop, each network with its own optimizer."""
    task = gan()
    state, metrics = trained(
        task, lambda keys: draw_prior(PriorConfig(), keys, 3),
        seed=0, steps=2, rate=0.1, rows=4, groups=PLAYERS, averaging=AVERAGING,
    )  # fmt: skip
    assert set(metrics) >= {"generator", "critic", "grad_norm", "accuracy_made"}
    sample = jax.jit(task.sample, static_argnums=2)
    last, average = (sample(v, KEY, 3) for v in (state.variables, state.judged))
    assert np.abs(last - average).max() > 1e-3


@pytest.mark.survival
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gan_covers_a_ring_of_eight_normals(seed):
    """Simulated. A mode is covered if it has a fifth of its share at least."""
    model = GanConfig(
        latent=4, output_shape=(2,), generator=mlp(64, 2, 2), critic=mlp(64, 1, 2)
    )
    task = gan(model, r1=1.0)
    state, _ = trained(
        task, lambda keys: draw_prior(RING, keys, 2),
        seed=seed, steps=2000, rate=1e-3, groups=PLAYERS, averaging=AVERAGING,
    )  # fmt: skip
    made = jax.jit(task.sample, static_argnums=2)(state.judged, KEY, 2000)
    found = shares(made, RING)
    assert (found > 0.2 / 8).sum() >= 7, found
    assert found.sum() > 0.4, found


@pytest.mark.survival
def test_an_adversarial_autoencoders_codes_are_distributed_as_the_prior():
    """Simulated: six values that two uniform ones decide, and a normal prior.

    Moments, and Kolmogorov's distance to the normal distribution in four directions.
    """
    mixing = jnp.asarray(np.random.default_rng(5).normal(size=(2, 6)), jnp.float32)

    def draw(keys):
        uniform = draw_prior(PriorConfig(kind="uniform"), keys, 2)
        return jnp.tanh(jnp.matmul(uniform, mixing))

    model = AdversarialAutoencoderConfig(
        input_shape=(6,), encoder=mlp(32, 2, 2), decoder=mlp(32, 6, 2),
        critic=mlp(32, 1, 2),
    )  # fmt: skip
    config = AdversarialAutoencodingConfig(weight=0.1, r1=0.1)
    task = AdversarialAutoencoding(model, config)
    groups = (dataclasses.replace(PLAYERS[0], learning_rate=2e-3), PLAYERS[1])
    state, _ = trained(
        task, draw, seed=0, steps=2000, rate=1e-3, groups=groups, averaging=AVERAGING
    )
    x = draw(jax.random.split(jax.random.key(77), 2000))
    codes = np.asarray(jax.jit(task.codes)(state.judged, x))
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(2), atol=0.2)
    for angle in np.pi * np.arange(4) / 4:
        along = codes @ [np.cos(angle), np.sin(angle)]
        assert scipy.stats.kstest(along, "norm").statistic < 0.1
    error = x - jax.jit(task.reconstruct)(state.judged, x)
    assert np.square(error).mean() < 0.01 * np.var(x)


@pytest.mark.survival
def test_a_dcgan_learns_through_its_penalty_norms_and_convolutions():
    """Second derivatives of convolutions, batch norm and spectral norm exist."""
    task = gan(DCGAN, game="hinge", r1=2.0)
    x = jax.random.uniform(KEY, (5, 8, 8), minval=-1.0)
    found, out = gradients(task, started(task), {"x": x})
    for name, layers in found.items():
        for layer in layers.values():
            if "kernel" in layer:
                assert 1e-4 < np.abs(layer["kernel"]).max() < 100, name
    assert (np.asarray(out.metrics["r1"]) > 0).all()
