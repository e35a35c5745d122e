import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.step import make_evaluation_step, make_init, make_train_step
from tests.train.toy import ToyData, make_task

OPTIM = OptimConfig(name="adamw", learning_rate=1e-2)


@pytest.fixture(scope="module")
def setup():
    task, data = make_task(), ToyData()
    optimizer = make_optimizer(OPTIM, steps_per_epoch=4, total_steps=8)
    batch = jax.tree.map(jnp.asarray, data.batch(0))
    state = jax.jit(make_init(task, optimizer))(jax.random.key(0), batch)
    return task, optimizer, state, batch


@pytest.mark.survival
def test_accumulation_gives_the_same_step(setup):
    task, optimizer, state, batch = setup
    whole, one = jax.jit(make_train_step(task, optimizer))(state, batch)
    parts, four = jax.jit(make_train_step(task, optimizer, accumulation=4))(
        state, batch
    )
    assert float(one["loss"]) == pytest.approx(float(four["loss"]), rel=1e-5)
    assert float(one["grad_norm"]) == pytest.approx(float(four["grad_norm"]), rel=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        whole.opt_state[1][0].mu,
        parts.opt_state[1][0].mu,
    )


def test_accumulation_must_divide_the_batch(setup):
    task, optimizer, state, batch = setup
    step = make_train_step(task, optimizer, accumulation=3)
    with pytest.raises(ValueError, match="accumulation=3 does not divide a batch of 8"):
        jax.eval_shape(step, state, batch)


def test_steps_draw_other_masks_but_repeat_exactly(setup):
    task, optimizer, state, batch = setup
    step = jax.jit(make_train_step(task, optimizer))
    first, metrics = step(state, batch)
    again, same = step(state, batch)
    assert float(metrics["loss"]) == float(same["loss"])
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    later = state.replace(step=state.step + 1)
    assert float(step(later, batch)[1]["loss"]) != float(metrics["loss"])
    assert int(first.step) == 1


def test_one_step_has_not_changed(setup):
    """Update these numbers only for a change that is meant to change training."""
    task, optimizer, state, batch = setup
    _, metrics = jax.jit(make_train_step(task, optimizer))(state, batch)
    assert float(metrics["loss"]) == pytest.approx(GOLDEN_LOSS, rel=1e-4)
    assert float(metrics["grad_norm"]) == pytest.approx(GOLDEN_NORM, rel=1e-3)


GOLDEN_LOSS, GOLDEN_NORM = 27.025717, 422.28253


def test_training_learns_the_signal(setup):
    task, _, _, _ = setup
    optim = OptimConfig(name="adamw", learning_rate=1e-2, schedule="constant")
    optimizer = make_optimizer(optim, steps_per_epoch=4, total_steps=8)
    batch = jax.tree.map(jnp.asarray, ToyData().batch(0))
    state = jax.jit(make_init(task, optimizer))(jax.random.key(0), batch)
    step = jax.jit(make_train_step(task, optimizer))
    losses = []
    for _ in range(40):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.5 * losses[0]


def test_prodigy_reports_its_step_size(setup):
    task, _, _, batch = setup
    optim = OptimConfig(name="prodigy", learning_rate=1.0)
    optimizer = make_optimizer(optim, steps_per_epoch=4, total_steps=8)
    state = jax.jit(make_init(task, optimizer))(jax.random.key(0), batch)
    _, metrics = jax.jit(make_train_step(task, optimizer))(state, batch)
    assert 0 < float(metrics["step_size"]) < 1


def test_rows_of_weight_zero_do_not_count_in_evaluation(setup):
    task, _, state, batch = setup
    step = jax.jit(make_evaluation_step(task))
    key = jax.random.key(0)
    weight = jnp.array([1, 1, 1, 1, 1, 0, 0, 0], jnp.float32)
    padded = dict(batch) | {"weight": weight}
    padded["scale"] = jnp.where(weight > 0, batch["scale"], jnp.nan)
    sums = step(state, padded, key)
    assert float(sums["examples"]) == 5 * 3
    five = {k: v[:5] for k, v in batch.items()}
    exact = jax.jit(task.evaluate)(state.variables, five, key)
    for name, values in exact.items():
        assert float(sums[name]) == pytest.approx(float(values.sum()), rel=1e-5)
