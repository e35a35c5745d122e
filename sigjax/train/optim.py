"""Optimizers and learning-rate schedules, from Optax.

The paper states a "base learning rate of 1" without an optimizer. No common rule makes
that a step size for Adam; it is exactly how Prodigy, a parameter-free optimizer
(Mishchenko & Defazio 2023), is meant to be run: it estimates the step size and the
learning rate only scales it. So the paper's runs use Prodigy at 1, and AdamW is the
plain alternative.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sigjax.typing import Array, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer and schedule.

    Attributes:
      name: `"adamw"` or `"prodigy"`.
      learning_rate: Peak learning rate; 1 for Prodigy.
      schedule: After the warm-up: `"cosine_restarts"` falls to `final_fraction` and
        restarts every `restart_epochs`; `"cosine"` falls once, to the end of training;
        `"constant"` stays.
      warmup_epochs: Linear warm-up from 0.
      restart_epochs: Period of the warm restarts.
      final_fraction: Where a cosine ends, as a fraction of the peak.
      weight_decay: Decoupled, on kernels only.
      clip_norm: Largest global gradient norm; None does not clip.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the second moment's root.
    """

    name: Literal["adamw", "prodigy"]
    learning_rate: float
    schedule: Literal["cosine_restarts", "cosine", "constant"] = "cosine_restarts"
    warmup_epochs: float = 1.0
    restart_epochs: float = 1.0
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8


class Optimizer(NamedTuple):
    """An Optax transformation and the schedule inside it, for the log."""

    tx: optax.GradientTransformation
    schedule: Callable[[Any], Array]


def make_schedule(
    config: OptimConfig, *, steps_per_epoch: int, total_steps: int
) -> Callable[[Any], Array]:
    """Learning rate by step; see `OptimConfig.schedule`.

    Args:
      config: The schedule's shape.
      steps_per_epoch: Steps in one epoch.
      total_steps: Where training ends (read by `"cosine"` alone).

    Returns:
      A jit-compatible function from an integer step to a float32 rate.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "cosine_restarts":
        period = max(1, round(config.restart_epochs * steps_per_epoch))
    else:
        period = max(1, total_steps - warmup)

    def schedule(step):
        step = jnp.asarray(step, jnp.float32)
        after = step - warmup
        if config.schedule == "cosine_restarts":
            progress = jnp.mod(after, period) / period
        else:
            progress = jnp.clip(after / period, 0.0, 1.0)
        final = config.final_fraction
        scale = final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
        if config.schedule == "constant":
            scale = jnp.ones_like(step)
        # Step 0 already moves: (step + 1) / warmup, reaching the peak as warm-up ends.
        rising = (step + 1) / max(warmup, 1)
        return config.learning_rate * jnp.where(step < warmup, rising, scale)

    return schedule


def decay_mask(params: PyTree) -> PyTree:
    """True for kernels. Shapes cannot tell: scanned layers stack biases to 2-D."""

    def is_kernel(path, _):
        return str(getattr(path[-1], "key", path[-1])).endswith("kernel")

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def make_optimizer(
    config: OptimConfig, *, steps_per_epoch: int, total_steps: int
) -> Optimizer:
    """Builds clipping, optimizer and schedule."""
    schedule = make_schedule(
        config, steps_per_epoch=steps_per_epoch, total_steps=total_steps
    )
    if config.name == "adamw":
        tx = optax.adamw(
            schedule,
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
            mask=decay_mask,
        )
    else:
        tx = optax.contrib.prodigy(
            schedule,
            betas=(config.b1, config.b2),
            eps=config.eps,
            weight_decay=config.weight_decay,
            # Without it a warm-up inflates the estimated distance to the solution.
            safeguard_warmup=config.warmup_epochs > 0,
        )
    if config.clip_norm is not None:
        tx = optax.chain(optax.clip_by_global_norm(config.clip_norm), tx)
    return Optimizer(tx, schedule)
