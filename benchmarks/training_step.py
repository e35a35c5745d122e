"""A training step of ours, compiled and timed: what the benchmarks of steps share.

The peer's half is `torch_peer.serve_steps`.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from benchmarks import harness, torch_peer
from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.step import make_init, make_train_step
from sigjax.train.task import Task
from sigjax.typing import PyTree


def device() -> str:
    """The backend, its processor and JAX, for the lines."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() == "cpu":
        kind = f"{harness.cpu()} x{os.cpu_count()}"
    return f"{jax.default_backend()}:{kind} jax {jax.__version__}"


class TimedStep:
    """Our step, its state and one batch on the device."""

    def __init__(
        self,
        task: Task,
        optim: OptimConfig,
        batch: Mapping[str, Any],
        given: Mapping[str, PyTree] | None = None,
    ):
        """Draws parameters, compiles the step and makes it once.

        Args:
          task: What is trained.
          optim: How.
          batch: Arrays, put on the device.
          given: Values that do not come from `task.init`; see `make_init`.
        """
        optimizer = make_optimizer(optim, steps_per_epoch=100, total_steps=1000)
        self.batch = jax.device_put(dict(batch))
        init = jax.jit(make_init(task, optimizer))
        self.state = init(jax.random.key(0), self.batch, dict(given or {}))
        self._step = jax.jit(make_train_step(task, optimizer), donate_argnums=0)
        self.run(1)

    @property
    def parameters(self) -> int:
        """How many the model has."""
        return sum(p.size for p in jax.tree.leaves(self.state.params))

    def refuse_other(self, peer: torch_peer.Peer | None) -> None:
        """Raises ValueError if the peer's network is another one by its size."""
        if peer is not None and peer.about["parameters"] != self.parameters:
            raise ValueError(
                f"the two networks differ: {self.parameters:,} parameters here,"
                f" {peer.about['parameters']:,} in PyTorch"
            )

    def run(self, steps: int) -> float:
        """Seconds per step over `steps` steps."""
        start = time.perf_counter()
        metrics = {}
        for _ in range(steps):
            self.state, metrics = self._step(self.state, self.batch)
        if not np.isfinite(jax.device_get(metrics["loss"])):  # and waits
            raise FloatingPointError("the loss is not finite")
        return (time.perf_counter() - start) / steps
