import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sigjax.train.averaging import AveragingConfig, averaged
from sigjax.train.optim import (
    GroupConfig,
    OptimConfig,
    OptimError,
    decay_mask,
    make_optimizer,
    make_schedule,
)
from tests.train.line import (
    ADAMW,
    Interrupted,
    Recorder,
    assert_same,
    logged,
    make_trainer,
    plain,
)
from tests.train.toy import ToyData


def rates(steps, **kwargs):
    config = OptimConfig(name="adamw", **({"learning_rate": 2.0} | kwargs))
    schedule = make_schedule(config, steps_per_epoch=10, total_steps=40)
    return np.asarray(jax.vmap(schedule)(jnp.arange(steps)))


def test_one_epoch_of_linear_warm_up_then_a_cosine_that_restarts_every_epoch():
    found = rates(40)
    np.testing.assert_allclose(found[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    cosine = 1 + np.cos(np.pi * np.arange(10) / 10)
    np.testing.assert_allclose(found[10:], np.tile(cosine, 3), rtol=1e-5)


def test_a_single_cosine_ends_at_its_final_fraction():
    found = rates(41, schedule="cosine", final_fraction=0.1, warmup_epochs=0.0)
    assert found[0] == pytest.approx(2.0)
    assert found[20] == pytest.approx(2.0 * 0.55)
    assert found[40] == pytest.approx(0.2)


def test_a_constant_rate_stays_after_warm_up():
    found = rates(30, schedule="constant", warmup_epochs=0.5)
    assert (found[5:] == 2.0).all()
    assert found[0] == pytest.approx(0.4)


def test_only_kernels_decay():
    params = {
        "blocks": {"mlp": {"up": {"kernel": 0.0}}, "norm": {"scale": 0.0}},
        "head": {"kernel": 0.0, "bias": 0.0},
        "mask_token": 0.0,
    }
    mask = decay_mask(params)
    assert mask["blocks"]["mlp"]["up"]["kernel"] and mask["head"]["kernel"]
    assert not mask["blocks"]["norm"]["scale"]
    assert not mask["head"]["bias"]
    assert not mask["mask_token"]


@pytest.mark.parametrize(
    ("name", "rate"), [("adamw", 0.05), ("prodigy", 1.0)], ids=["adamw", "prodigy"]
)
def test_both_optimizers_descend_a_quadratic(name, rate):
    config = OptimConfig(
        name=name, learning_rate=rate, schedule="constant", warmup_epochs=0.0
    )
    tx = make_optimizer(config, steps_per_epoch=1, total_steps=300).tx
    target = jnp.array([1.0, -2.0, 3.0])
    params = {"kernel": jnp.zeros(3)}
    state = tx.init(params)

    @jax.jit
    def step(params, state):
        grads = jax.grad(lambda p: ((p["kernel"] - target) ** 2).sum())(params)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(300):
        params, state = step(params, state)
    np.testing.assert_allclose(params["kernel"], target, atol=0.05)


def test_gradients_are_clipped_to_the_norm():
    config = OptimConfig(name="adamw", learning_rate=1.0, clip_norm=1e-3)
    tx = make_optimizer(config, steps_per_epoch=1, total_steps=1).tx
    params = {"kernel": jnp.zeros(4)}
    state = tx.init(params)
    _, state = tx.update({"kernel": jnp.full(4, 1e6)}, state, params)
    moment = optax.tree.get(state, "mu")["kernel"]
    assert float(optax.tree.norm(moment)) == pytest.approx(1e-3 * (1 - 0.9), rel=1e-4)


def test_a_rate_in_steps_is_halved_from_an_epoch_on():
    found = rates(50, schedule="step", step_from_epoch=2.0, warmup_steps=5)
    np.testing.assert_allclose(found[:5], 2.0 * np.arange(1, 6) / 5, rtol=1e-6)
    # Epochs of ten steps, as AST counts them: two whole, then a half after each.
    factors = 0.5 ** np.repeat([0, 0, 1, 2, 3], 10)
    np.testing.assert_allclose(found[5:], 2.0 * factors[5:], rtol=1e-6)
    rare = rates(70, schedule="step", step_every_epochs=2.0, step_factor=0.1)
    np.testing.assert_allclose(
        rare[[19, 20, 39, 40, 69]] / 2, [1, 0.1, 0.1, 0.01, 1e-3]
    )


def test_heads_learn_at_another_rate():
    config = OptimConfig(
        name="adamw", learning_rate=0.1, schedule="constant", warmup_epochs=0.0,
        weight_decay=0.1, multipliers=(("^heads/", 10.0), ("norm", 0.0)),
    )  # fmt: skip
    tx = make_optimizer(config, steps_per_epoch=1, total_steps=1).tx
    one = {"kernel": jnp.full(2, 0.5)}
    params = {"backbone": one, "heads": {"norm": one}, "last_norm": one}
    updates, _ = tx.update(params, tx.init(params), params)
    rate = {name: float(jax.tree.leaves(u)[0][0]) for name, u in updates.items()}
    assert rate["heads"] == pytest.approx(10 * rate["backbone"])  # the first that fits
    assert rate["backbone"] == pytest.approx(-0.1 * (1 + 0.1 * 0.5), rel=1e-4)
    assert rate["last_norm"] == 0


def test_a_multiplier_of_nothing_is_refused():
    config = OptimConfig(
        name="adamw", learning_rate=0.1, multipliers=(("hedas", 10.0),)
    )
    tx = make_optimizer(config, steps_per_epoch=1, total_steps=1).tx
    with pytest.raises(OptimError, match="'hedas' is found in .* the first .* 'out'"):
        tx.init({"out": jnp.zeros(1)})
    with pytest.raises(ValueError, match="multipliers: '\\('"):
        OptimConfig(name="adamw", learning_rate=0.1, multipliers=(("(", 1.0),))


def test_what_is_not_asked_for_leaves_no_trace_in_the_state():
    plain = OptimConfig(name="adamw", learning_rate=0.1)
    state = make_optimizer(plain, steps_per_epoch=1, total_steps=1).tx.init(
        {"kernel": jnp.zeros(1)}
    )
    assert len(state) == 2  # clipping and AdamW


GAN = {
    "generator": {"layer0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}},
    "critic": {"layer0": {"kernel": jnp.full((3, 1), 2.0), "bias": jnp.ones(1)}},
}
BOTH = (
    GroupConfig(pattern="^generator/", learning_rate=1e-3, b1=0.5, every=3),
    GroupConfig(pattern="^critic/", learning_rate=4e-3, b1=0.0, b2=0.9),
)


def grouped(groups=BOTH, steps=40, **changes):
    config = OptimConfig(
        name="adamw", learning_rate=2e-3, schedule="cosine", warmup_epochs=0.5,
        weight_decay=0.1, groups=groups, **changes,
    )  # fmt: skip
    return make_optimizer(config, steps_per_epoch=10, total_steps=steps).tx


def gradients(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), "f4"), GAN)


def walk(tx, params, grads, state=None):
    """Parameters after each step, and the last state."""
    state = tx.init(params) if state is None else state
    update, path = jax.jit(tx.update), []
    for grad in grads:
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path, state


def test_each_group_walks_as_if_alone():
    """Own rate, moments and clipping; the generator with every third gradient."""
    grads = [gradients(seed) for seed in range(7)]
    path, _ = walk(grouped(), GAN, grads)

    def alone(name, settings, grads, rate):
        tx = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adamw(rate, **settings, weight_decay=0.1, mask=decay_mask),
        )
        return walk(tx, {name: GAN[name]}, [{name: g[name]} for g in grads])[0]

    def rate(peak):
        config = OptimConfig(
            name="adamw", learning_rate=peak, schedule="cosine", warmup_epochs=0.5
        )
        return make_schedule(config, steps_per_epoch=10, total_steps=40)

    critic = alone("critic", {"b1": 0.0, "b2": 0.9}, grads, rate(4e-3))
    slow = rate(1e-3)
    generator = alone(
        "generator", {"b1": 0.5, "b2": 0.999}, [grads[2], grads[5]],
        lambda n: slow(3 * n + 2),
    )  # fmt: skip
    expected = [GAN] * 2 + [generator[0]] * 3 + [generator[1]] * 2
    for step, found in enumerate(path):
        for name, other in (("critic", critic[step]), ("generator", expected[step])):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7),
                found[name],
                other[name],
            )


def test_groups_stopped_and_continued_are_as_they_were():
    grads = [gradients(seed) for seed in range(8)]
    whole, end = walk(grouped(), GAN, grads)
    first, state = walk(grouped(), GAN, grads[:4])
    leaves, shape = jax.tree.flatten((first[-1], state))
    saved = [np.asarray(leaf) for leaf in leaves]
    params, state = jax.tree.unflatten(shape, [jnp.asarray(leaf) for leaf in saved])
    rest, last = walk(grouped(), params, grads[4:], state)
    jax.tree.map(np.testing.assert_array_equal, (rest[-1], last), (whole[-1], end))


def test_who_takes_what_is_checked():
    with pytest.raises(OptimError, match="groups: '.critik' is found in .* no param"):
        grouped((*BOTH, GroupConfig(pattern="^critik"))).init(GAN)
    with pytest.raises(OptimError, match="'layer0/bias' takes no parameter: earlier"):
        grouped((*BOTH, GroupConfig(pattern="layer0/bias"))).init(GAN)
    with pytest.raises(OptimError, match="no group takes 'critic/layer0/bias' and 1"):
        grouped(BOTH[:1]).init(GAN)
    with pytest.raises(ValueError, match="groups: '\\(': "):
        GroupConfig(pattern="(")
    for wrong in ({"every": 0}, {"learning_rate": -1.0}, {"b1": 1.0}, {"b2": -0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GroupConfig(pattern="a", **wrong)
    with pytest.raises(ValueError, match="needs a learning_rate: it has AdamW"):
        OptimConfig(
            name="prodigy", learning_rate=1.0, groups=(GroupConfig(pattern="a"),)
        )


def test_the_base_optimizer_takes_the_rest_if_it_may():
    """Prodigy on one network, AdamW on the other, and Prodigy's step in the log."""
    config = OptimConfig(
        name="prodigy", learning_rate=1.0, ungrouped="base", groups=BOTH[:1],
        averaging=AveragingConfig(kind="ema"),
    )  # fmt: skip
    tx = make_optimizer(config, steps_per_epoch=10, total_steps=40).tx
    path, state = walk(tx, GAN, [gradients(seed) for seed in range(4)])
    assert float(optax.tree.get(state, "estim_lr")) > 0
    # Averages are of all parameters, whoever moves them.
    assert jax.tree.structure(averaged(state)) == jax.tree.structure(GAN)

    def kernel(params, name):
        return params[name]["layer0"]["kernel"]

    for name, first in (("critic", 0), ("generator", 2)):
        moved = [(kernel(p, name) != kernel(GAN, name)).any() for p in path]
        assert moved == [step >= first for step in range(4)]


@pytest.mark.survival
def test_a_stopped_run_with_groups_goes_on_as_a_whole_one(tmp_path):
    """Through checkpoints of the loop; one network rests every other step."""
    optim = dataclasses.replace(
        ADAMW,
        ungrouped="base",
        groups=(GroupConfig(pattern="kernel", b1=0.5, every=2),),
        averaging=AveragingConfig(kind="ema"),
    )
    whole = make_trainer(tmp_path / "whole", optim=optim, steps=9)
    whole.run()
    stopped = Recorder(ToyData(batch_size=4), at=7)
    with pytest.raises(Interrupted):
        make_trainer(tmp_path / "parts", optim=optim, steps=9, data=stopped).run()
    rest = make_trainer(tmp_path / "parts", optim=optim, steps=9)
    assert rest.start_step == 6
    rest.run()
    assert_same(plain(rest.state), plain(whole.state))
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
