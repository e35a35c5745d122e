"""Trains and applies an autoencoder on arrays in memory, all batches on the device."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.tasks.reconstruction import Reconstruction, ReconstructionConfig
from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.step import make_init, make_train_step
from sigjax.typing import Array, PyTree

# Values of a layer that a CPU's caches hold, and that keep an accelerator busy.
_VALUES = {"cpu": 2**19}
_VALUES_ELSEWHERE = 2**25
_LEAST, _MOST = 8, 2**16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is compiled once.

    Attributes:
      model: The network.
      task: Its objective.
      optim: Of training.
      batch: Examples in a step.
    """

    model: AutoencoderConfig
    task: ReconstructionConfig
    optim: OptimConfig
    batch: int


class Trained(NamedTuple):
    """Variables, and the mean loss of each epoch, float32 `[epochs]`."""

    variables: Mapping[str, PyTree]
    loss: np.ndarray


def train(settings: Settings, x: np.ndarray, *, epochs: int, seed: int) -> Trained:
    """Trains on examples in random order; the last, smaller batch is left out.

    An epoch is one program: a scan over its batches, which are gathered on the device.

    Args:
      settings: What and how.
      x: Float32 `[n, ...]`, at least one batch.
      epochs: Passes over `x`.
      seed: Of weights, order and noise.

    Raises:
      FloatingPointError: The loss is not finite.
    """
    init, epoch = _compiled(settings, len(x) // settings.batch, epochs)
    init_key, *keys = jax.random.split(jax.random.key(seed), epochs + 1)
    x = jax.device_put(x)
    state = init(init_key, {"x": x[: settings.batch]})
    losses = []
    for key in keys:
        state, loss = epoch(state, x, key)
        losses.append(loss)
    loss = np.asarray(jax.device_get(losses), np.float32)
    if not np.isfinite(loss).all():
        raise FloatingPointError(
            f"the loss is not finite after {int(np.isfinite(loss).argmin())} epochs:"
            " lower learning_rate"
        )
    return Trained(state.variables, loss)


@functools.lru_cache(maxsize=8)
def _compiled(settings: Settings, steps: int, epochs: int) -> tuple[Callable, Callable]:
    """Functions that start a state and that run an epoch of so many steps."""
    task = Reconstruction(settings.model, settings.task)
    optimizer = make_optimizer(
        settings.optim, steps_per_epoch=steps, total_steps=steps * epochs
    )
    step = make_train_step(task, optimizer)

    def epoch(state: Any, x: Array, key: Array) -> tuple[Any, Array]:
        order = jax.random.permutation(key, len(x))[: steps * settings.batch]

        def body(state, rows):
            state, metrics = step(state, {"x": x[rows]})
            return state, metrics["loss"]

        state, loss = jax.lax.scan(body, state, order.reshape(steps, -1))
        return state, loss.mean()

    return jax.jit(make_init(task, optimizer)), jax.jit(epoch, donate_argnums=0)


def score(
    settings: Settings,
    variables: Mapping[str, PyTree],
    mean: np.ndarray,
    scale: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """The task's score of each example, float32 `[n]`.

    Args:
      settings: Model and task.
      variables: As trained.
      mean: Float64, subtracted from examples.
      scale: Float64, which they are then divided by.
      x: `[n, ...]`, in its own units.
    """
    function = _scoring(settings.model, settings.task)
    return _over(function, settings.model, variables, mean, scale, x)


def squared_errors(
    settings: Settings,
    variables: Mapping[str, PyTree],
    mean: np.ndarray,
    scale: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """Of each value, float32 `[n, ...]`; arguments as of `score`."""
    function = _errors(settings.model, settings.task)
    return _over(function, settings.model, variables, mean, scale, x)


@functools.lru_cache(maxsize=8)
def _scoring(model: AutoencoderConfig, task: ReconstructionConfig) -> Callable:
    made = Reconstruction(model, task)
    return jax.jit(lambda v, mean, scale, x: made.score(v, (x - mean) / scale))


@functools.lru_cache(maxsize=8)
def _errors(model: AutoencoderConfig, task: ReconstructionConfig) -> Callable:
    made = Reconstruction(model, task)

    @jax.jit
    def errors(variables, mean, scale, x):
        x = (x - mean) / scale
        return jnp.square(x - made.reconstruct(variables, x))

    return errors


def _over(function, model, variables, mean, scale, x) -> np.ndarray:
    """A compiled function over batches of few shapes; they run one behind another."""
    if x.dtype != np.float32:
        # What differs little about a large mean must not be rounded before.
        with np.errstate(over="ignore"):
            x = ((x.astype(np.float64) - mean) / scale).astype(np.float32)
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    given = jax.device_put((mean.astype(np.float32), scale.astype(np.float32)))
    rows = _rows_at_once(model)
    found = [
        (count, function(variables, *given, part)) for count, part in _parts(x, rows)
    ]
    return np.concatenate([np.asarray(value)[:count] for count, value in found])


def _parts(x: np.ndarray, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Batches of `rows`, the last of a power of two; filled with the first example."""
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        size = min(rows, max(_LEAST, 1 << (len(part) - 1).bit_length()))
        if size > len(part):
            fill = np.repeat(part[:1], size - len(part), axis=0)
            yield len(part), np.concatenate([part, fill])
        else:
            yield len(part), part


def _rows_at_once(model: AutoencoderConfig) -> int:
    """A power of two, so that the widest layer stays in a CPU's caches."""
    widest = max(map(math.prod, (model.input_shape, *model.encoder_shapes)))
    values = _VALUES.get(jax.default_backend(), _VALUES_ELSEWHERE)
    return min(_MOST, max(_LEAST, 1 << max(values // widest, 1).bit_length() - 1))
