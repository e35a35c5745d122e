"""The training state and the pure steps over it.

`train_step` and `evaluation_step` are plain functions of arrays: the loop jits them
with shardings, the benchmarks and tests without.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from sigjax.train.averaging import averaged
from sigjax.train.optim import Optimizer
from sigjax.train.sharding import MeshError
from sigjax.train.task import Task
from sigjax.typing import Array, Batch, LossOutput, PRNGKey, PyTree

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


class InitialValuesError(ValueError):
    """Weights to start from are not those of the model; says which."""


@flax.struct.dataclass
class TrainState:
    """All that a run must remember; a pytree of plain arrays.

    Attributes:
      step: Int32, steps taken.
      params: Float32 parameters.
      model_state: Other Flax collections (batch statistics), `{}` for most models.
      opt_state: Optax's.
      key: The run's PRNG key; each step folds its number in.
    """

    step: Any
    params: Any
    model_state: Any
    opt_state: Any
    key: Any

    @property
    def variables(self) -> dict[str, Any]:
        """Flax variables: `params` and the other collections."""
        return {"params": self.params, **self.model_state}

    @property
    def judged(self) -> dict[str, Any]:
        """What is evaluated: like `variables`, averaged if the run averages weights."""
        average = averaged(self.opt_state)
        return {
            "params": self.params if average is None else average,
            **self.model_state,
        }


def _overlay(own: PyTree, given: Mapping[str, Any], path: str = "") -> PyTree:
    """`own` with the leaves that `given` has; it may not have others."""
    replaced = dict(own)
    for name, value in given.items():
        where = f"{path}/{name}" if path else name
        if name not in own:
            raise InitialValuesError(f"the model has no {where}")
        if isinstance(value, Mapping):
            replaced[name] = _overlay(own[name], value, where)
        elif value.shape != own[name].shape:
            raise InitialValuesError(
                f"{where} has shape {value.shape}, the model's has {own[name].shape}"
            )
        else:
            replaced[name] = value.astype(own[name].dtype)
    return replaced


def make_init(task: Task, optimizer: Optimizer) -> Callable[..., TrainState]:
    """The pure function `(key, batch, given={}) -> TrainState` at step 0.

    `given` is a part of the task's variables (`{"params": {"encoder": ...}}`): weights
    that were trained before. They are in place before the optimizer's state is made,
    since that may remember them. Raises `InitialValuesError` if they do not fit.
    """

    def init(
        key: PRNGKey, batch: Batch, given: Mapping[str, Any] = _NOTHING
    ) -> TrainState:
        init_key, run_key = jax.random.split(key)
        variables = _overlay(dict(task.init(init_key, batch)), given)
        params = variables.pop("params")
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=variables,
            opt_state=optimizer.tx.init(params),
            key=run_key,
        )

    return init


def _microbatches(batch: Batch, count: int) -> Batch:
    """`[b, ...]` to `[count, b / count, ...]`, row `i` going to microbatch `i % count`.

    Taking every count-th row keeps each microbatch spread over all devices.
    """

    def divide(x):
        if x.shape[0] % count:
            raise MeshError(
                f"train.accumulation={count} does not divide a batch of {x.shape[0]}"
            )
        return x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(divide, batch)


def _gradients(task: Task, state: TrainState, batch: Batch, key: PRNGKey):
    def mean_loss(params) -> tuple[Array, LossOutput]:
        out = task.loss({"params": params, **state.model_state}, batch, key)
        return out.loss.mean(), out

    (loss, out), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    metrics = {"loss": loss} | {k: v.mean() for k, v in out.metrics.items()}
    return grads, metrics, out.model_state


def _accumulated(task: Task, state: TrainState, batch: Batch, key: PRNGKey, count: int):
    def body(carry, microbatch):
        total, model_state = carry
        out = _gradients(
            task, dataclasses.replace(state, model_state=model_state), microbatch, key
        )
        grads, metrics, model_state = out
        return (jax.tree.map(jnp.add, total, (grads, metrics)), model_state), None

    batches = _microbatches(batch, count)
    first = jax.tree.map(lambda x: x[0], batches)
    shapes = jax.eval_shape(lambda: _gradients(task, state, first, key)[:2])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (total, model_state), _ = jax.lax.scan(body, (zeros, state.model_state), batches)
    grads, metrics = jax.tree.map(lambda x: x / count, total)
    return grads, metrics, model_state


def _norm(tree: PyTree) -> Array:
    """Of all values together. On CPU rows are summed by a product.

    XLA's own sum is slow there, which the step of a small network shows
    (`benchmarks.autoencoders`).
    """
    if jax.default_backend() != "cpu":
        return optax.tree.norm(tree)

    def squares(x: Array) -> Array:
        if x.ndim < 2 or not x.size:
            return jnp.sum(x * x)
        rows = x.reshape(-1, x.shape[-1])
        return jnp.sum((rows * rows) @ jnp.ones((x.shape[-1],), x.dtype))

    return jnp.sqrt(sum(squares(x) for x in jax.tree.leaves(tree)))


def make_train_step(
    task: Task, optimizer: Optimizer, *, accumulation: int = 1
) -> Callable[[TrainState, Batch], tuple[TrainState, Mapping[str, Array]]]:
    """The pure function `(state, batch) -> (state, metrics)`.

    Args:
      task: What to learn.
      optimizer: How.
      accumulation: Microbatches whose gradients are averaged before the update. It
        must divide the batch; memory falls by as much, results stay the same.

    Returns:
      A function whose metrics are scalars: `loss`, its components, `grad_norm`,
      `update_norm`, `learning_rate`, and for Prodigy `step_size`, what the rate came
      to. If they are finite, so is the state.
    """

    def train_step(state: TrainState, batch: Batch):
        key = jax.random.fold_in(state.key, state.step)
        if accumulation == 1:
            grads, metrics, model_state = _gradients(task, state, batch, key)
        else:
            grads, metrics, model_state = _accumulated(
                task, state, batch, key, accumulation
            )
        updates, opt_state = optimizer.tx.update(grads, state.opt_state, state.params)
        rate = optimizer.schedule(state.step)
        metrics |= {
            "grad_norm": _norm(grads),
            "update_norm": _norm(updates),
            "learning_rate": rate,
        }
        distance = optax.tree.get(opt_state, "estim_lr")
        if distance is not None:
            metrics["step_size"] = rate * distance
        return dataclasses.replace(
            state,
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state=model_state,
            opt_state=opt_state,
        ), metrics

    return train_step


def make_evaluation_step(
    task: Task,
) -> Callable[[TrainState, Batch, PRNGKey], Mapping[str, Array]]:
    """The pure function `(state, batch, key) -> sums`, one per metric and `examples`.

    Rows with `weight` 0 (padding of the last batch) do not count.
    """

    def evaluation_step(state: TrainState, batch: Batch, key: PRNGKey):
        batch = dict(batch)
        weight = batch.pop("weight")
        metrics = task.evaluate(state.judged, batch, key)
        examples = len(next(iter(metrics.values())))
        weight = jnp.repeat(weight, examples // len(weight))

        # where, not a product: a padded row may hold anything, NaN included.
        def total(value):
            by_row = weight.reshape(-1, *[1] * (value.ndim - 1))
            return jnp.where(by_row > 0, value * by_row, 0.0).sum(axis=0)

        return jax.tree.map(total, dict(metrics)) | {"examples": weight.sum()}

    return evaluation_step
