"""Optimizers and learning-rate schedules, from Optax.

The paper states a "base learning rate of 1" without an optimizer. No common rule makes
that a step size for Adam; it is exactly how Prodigy, a parameter-free optimizer
(Mishchenko & Defazio 2023), is meant to be run: it estimates the step size and the
learning rate only scales it. So the paper's runs use Prodigy at 1, and AdamW is the
plain alternative.

Optimizer states can hold an average of the weights, too: see `sigjax.train.averaging`.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sigjax.train.averaging import AveragingConfig, averaging
from sigjax.train.optim_groups import (
    GroupConfig,
    OptimError,
    Ungrouped,
    check_patterns,
    in_groups,
    names,
)
from sigjax.typing import Array, PyTree

__all__ = [
    "GroupConfig",
    "OptimConfig",
    "OptimError",
    "Optimizer",
    "decay_mask",
    "make_optimizer",
    "make_schedule",
    "multiply",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer and schedule.

    Attributes:
      name: `"adamw"` or `"prodigy"`.
      learning_rate: Peak learning rate; 1 for Prodigy.
      schedule: After the warm-up: `"cosine_restarts"` falls to `final_fraction` and
        restarts every `restart_epochs`; `"cosine"` falls once, to the end of training;
        `"constant"` stays; `"step"` is multiplied by `step_factor` after
        `step_from_epoch` epochs of training, and after every `step_every_epochs` more
        (AST's schedule).
      warmup_epochs: Linear warm-up from 0.
      warmup_steps: The same in steps instead, if given.
      restart_epochs: Period of the warm restarts.
      step_from_epoch: Of `"step"`, counted from the beginning of training.
      step_every_epochs: Of `"step"`.
      step_factor: Of `"step"`.
      final_fraction: Where a cosine ends, as a fraction of the peak.
      weight_decay: Decoupled, on kernels only.
      clip_norm: Largest global gradient norm; None does not clip.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the second moment's root.
      multipliers: `(regex, factor)` pairs: the learning rate of a parameter is
        multiplied by the factor of the first regex that is found in its slash-separated
        name, such as `("^head", 10.0)` for heads that start from random weights.
      averaging: What a run is judged by instead of its last weights; see
        `AveragingConfig`.
      groups: Parameters with an AdamW of their own, such as the two networks of a GAN;
        see `GroupConfig`. `schedule`, `weight_decay` and `eps` are those above, and so
        is `clip_norm`, of each group's own gradient. The rate in the log is that above.
      ungrouped: What becomes of parameters that no group takes, if there are groups:
        `"error"` refuses them, `"base"` gives them to the optimizer of `name`.
    """

    name: Literal["adamw", "prodigy"]
    learning_rate: float
    schedule: Literal["cosine_restarts", "cosine", "constant", "step"] = (
        "cosine_restarts"
    )
    warmup_epochs: float = 1.0
    warmup_steps: int | None = None
    restart_epochs: float = 1.0
    step_from_epoch: float = 2.0
    step_every_epochs: float = 1.0
    step_factor: float = 0.5
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    multipliers: tuple[tuple[str, float], ...] = ()
    averaging: AveragingConfig = AveragingConfig()
    groups: tuple[GroupConfig, ...] = ()
    ungrouped: Ungrouped = "error"

    def __post_init__(self):
        """Refuses steps that never come and names that are no regular expression."""
        if self.step_from_epoch < 0 or self.step_every_epochs <= 0:
            raise ValueError(
                "step_from_epoch must be at least 0 and step_every_epochs above 0, got"
                f" {self.step_from_epoch:g} and {self.step_every_epochs:g}"
            )
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be < 0: {self.warmup_steps}")
        for pattern, factor in self.multipliers:
            if factor < 0:
                raise ValueError(f"multipliers: {pattern!r} has a factor of {factor}")
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"multipliers: {pattern!r}: {error}") from error
        for group in self.groups:
            if self.name == "prodigy" and group.learning_rate is None:
                raise ValueError(
                    f"groups: {group.pattern!r} needs a learning_rate: it has AdamW,"
                    " and that of the whole is Prodigy's"
                )


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
    warmup = config.warmup_steps
    if warmup is None:
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
        elif config.schedule == "step":
            # Whole steps, so that the first of an epoch is never a rounding too early.
            late = step - round(config.step_from_epoch * steps_per_epoch)
            every = max(1, round(config.step_every_epochs * steps_per_epoch))
            scale = config.step_factor ** jnp.maximum(jnp.floor(late / every) + 1, 0)
        # Step 0 already moves: (step + 1) / warmup, reaching the peak as warm-up ends.
        rising = (step + 1) / max(warmup, 1)
        return config.learning_rate * jnp.where(step < warmup, rising, scale)

    return schedule


def decay_mask(params: PyTree) -> PyTree:
    """True for kernels. Shapes cannot tell: scanned layers stack biases to 2-D."""

    def is_kernel(path, _):
        return str(getattr(path[-1], "key", path[-1])).endswith("kernel")

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def multiply(
    multipliers: tuple[tuple[str, float], ...],
) -> optax.GradientTransformation:
    """Multiplies updates by factors that parameters' names decide.

    After an optimizer this is another learning rate, decoupled decay included.

    Args:
      multipliers: See `OptimConfig`.

    Returns:
      A transformation whose `init` raises `OptimError` if no parameter has the name.
    """

    def factor(name: str) -> float:
        found = (f for pattern, f in multipliers if re.search(pattern, name))
        return next(found, 1.0)

    def init(params):
        check_patterns(tuple(p for p, _ in multipliers), params, "optim.multipliers")
        return optax.EmptyState()

    def update(updates, state, params=None):
        del params
        factors = jax.tree.map(factor, names(updates))
        return jax.tree.map(lambda u, f: f * u, updates, factors), state

    return optax.GradientTransformation(init, update)


def _adamw(config: OptimConfig, schedule: Callable[[Any], Array]):
    return optax.adamw(
        schedule,
        b1=config.b1,
        b2=config.b2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        mask=decay_mask,
    )


def _clipped(config: OptimConfig, tx: optax.GradientTransformation):
    if config.clip_norm is None:
        return tx
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), tx)


def make_optimizer(
    config: OptimConfig, *, steps_per_epoch: int, total_steps: int
) -> Optimizer:
    """Builds clipping, optimizer, schedule, groups, multipliers and averaging.

    The transformation's `init` raises `OptimError` if groups or multipliers do not fit
    the parameters.
    """
    length = {"steps_per_epoch": steps_per_epoch, "total_steps": total_steps}
    schedule = make_schedule(config, **length)
    if config.name == "adamw":
        tx = _adamw(config, schedule)
    else:
        tx = optax.contrib.prodigy(
            schedule,
            betas=(config.b1, config.b2),
            eps=config.eps,
            weight_decay=config.weight_decay,
            # Without it a warm-up inflates the estimated distance to the solution.
            safeguard_warmup=config.warmup_epochs > 0,
        )
    tx = _clipped(config, tx)

    def of_group(group: GroupConfig) -> optax.GradientTransformation:
        given = {k: getattr(group, k) for k in ("learning_rate", "b1", "b2")}
        own = dataclasses.replace(
            config, **{k: v for k, v in given.items() if v is not None}
        )
        rate = make_schedule(own, **length)
        # Its optimizer counts its own updates, the last of `every` steps each.
        every = group.every
        return _clipped(own, _adamw(own, lambda n: rate((n + 1) * every - 1)))

    # Only where they are asked for: the states of other runs stay as they were saved.
    if config.groups:
        tx = in_groups(config.groups, config.ungrouped, of_group, tx)
    if config.multipliers:
        tx = optax.chain(tx, multiply(config.multipliers))
    if config.averaging.kind != "none":
        tx = optax.chain(tx, averaging(config.averaging, steps_per_epoch))
    return Optimizer(tx, schedule)
