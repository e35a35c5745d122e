"""Averages of weights over training, kept beside the optimizer's moments.

They live in the optimizer's state: checkpoints hold them, a stopped run resumes them
exactly, and they are split over devices as the parameters are. The loop evaluates them,
and `checkpoint.latest_variables` returns them, in place of the last weights.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sigjax.typing import Array, PyTree

# The average's name in an optimizer's state, and so in a checkpoint.
FIELD = "weight_average"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AveragingConfig:
    """Which weights a run is judged by.

    Attributes:
      kind: `"none"`: the last ones. `"epochs"`: the mean of those at the end of the
        epochs `first_epoch` to `last_epoch`, as AST does (AudioSet: 1 to 5). `"ema"`:
        the exponential moving average of those after each step.
      first_epoch: Of `"epochs"`, counted from 1. Before it ends, the weights as they
        are.
      last_epoch: Of `"epochs"`; None for the last of training.
      decay: Of `"ema"`; in the beginning min(decay, (1 + n) / (10 + n)) after n steps,
        so that the random initial weights are soon forgotten.
    """

    kind: Literal["none", "epochs", "ema"] = "none"
    first_epoch: int = 1
    last_epoch: int | None = None
    decay: float = 0.999

    def __post_init__(self):
        """Refuses epochs that never come."""
        last = self.first_epoch if self.last_epoch is None else self.last_epoch
        if not 1 <= self.first_epoch <= last:
            raise ValueError(
                f"first_epoch={self.first_epoch} and last_epoch={self.last_epoch} are"
                " no epochs, counted from 1"
            )
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1: {self.decay}")


class AveragingState(NamedTuple):
    """State of `averaging`.

    Attributes:
      steps: Int32, steps taken.
      counted: Int32, weights that are in the average.
      weight_average: Like the parameters.
    """

    steps: Array
    counted: Array
    weight_average: PyTree


def averaging(
    config: AveragingConfig, steps_per_epoch: int
) -> optax.GradientTransformation:
    """Leaves updates as they are and averages the weights that they lead to.

    Must be the last of a chain.

    Args:
      config: What is averaged.
      steps_per_epoch: Steps in one epoch.

    Returns:
      A transformation with `AveragingState`.
    """

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        # A copy: parameters and state are donated to the step, each once.
        return AveragingState(zero, zero, jax.tree.map(jnp.array, params))

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("averaging weights needs the parameters")
        steps = state.steps + 1
        counts, share = _share(config, state, steps, steps_per_epoch)
        now = optax.apply_updates(params, updates)
        # cond: most steps of "epochs" only pass the average on.
        average = jax.lax.cond(
            share > 0,
            lambda old: jax.tree.map(
                # Not a product where all of it is new: that would round.
                lambda a, p: jnp.where(share >= 1, p, a + share * (p - a)),
                old,
                now,
            ),
            lambda old: old,
            state.weight_average,
        )
        counted = state.counted + counts.astype(jnp.int32)
        return updates, AveragingState(steps, counted, average)

    return optax.GradientTransformation(init, update)


def _share(
    config: AveragingConfig, state: AveragingState, steps: Array, steps_per_epoch: int
) -> tuple[Array, Array]:
    """Whether a step's weights are counted, and their share of the new average."""
    if config.kind == "ema":
        n = state.steps.astype(jnp.float32)
        decay = jnp.minimum(config.decay, (1 + n) / (10 + n))
        return jnp.ones((), bool), 1 - decay
    epoch = steps // steps_per_epoch
    counts = (steps % steps_per_epoch == 0) & (epoch >= config.first_epoch)
    if config.last_epoch is not None:
        counts &= epoch <= config.last_epoch
    share = jnp.where(counts, 1 / (state.counted + 1), 0.0)
    # Until there is something to average: the weights as they are.
    return counts, jnp.where(state.counted == 0, 1.0, share)


def averaged(opt_state: Any) -> PyTree | None:
    """The average in an optimizer's state; None if it averages nothing."""
    return optax.tree.get(opt_state, FIELD)
