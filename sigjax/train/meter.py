"""Means of the step metrics between log lines, and the check that they are finite."""

import collections
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax

from sigjax.typing import Array

# Steps in flight before the host waits. Without a bound a fast host would queue
# batches (124 MB each for 8 days of signal) far ahead of the device.
_IN_FLIGHT = 2


class NonFiniteError(FloatingPointError):
    """A loss component or the gradient is NaN or infinite; names it and the step."""


class Meter:
    """Collects device scalars without stalling the device.

    Values are read two steps late, so that the device always has work queued, and each
    step is checked: the error names the very step and component.
    """

    def __init__(self, examples_per_step: int):
        """Starts the first interval.

        Args:
          examples_per_step: Examples (windows) in a global batch.
        """
        self._examples = examples_per_step
        self._pending: collections.deque = collections.deque()
        self.restart()

    def restart(self) -> None:
        """Starts a new interval; time spent before it does not count."""
        self._sums: dict[str, float] = collections.defaultdict(float)
        self._steps = 0
        self._waited = 0.0
        self._started = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as waiting for input."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def add(self, step: int, metrics: Mapping[str, Array]) -> None:
        """Takes the metrics of `step`, perhaps still being computed.

        Raises:
          NonFiniteError: For this or the step two before.
        """
        self._pending.append((step, metrics))
        while len(self._pending) > _IN_FLIGHT:
            self._take()

    def _take(self) -> None:
        step, metrics = self._pending.popleft()
        values = {k: float(v) for k, v in jax.device_get(dict(metrics)).items()}
        bad = [f"{k}={v}" for k, v in values.items() if not math.isfinite(v)]
        if bad:
            raise NonFiniteError(f"not finite at step {step}: {', '.join(bad)}")
        self._steps += 1
        for name, value in values.items():
            self._sums[name] += value

    def flush(self) -> dict[str, float]:
        """Waits for all steps so far; means over the interval, and its speed.

        Raises:
          NonFiniteError: Naming the first step and component that is not.
        """
        while self._pending:
            self._take()
        elapsed = time.perf_counter() - self._started
        steps = max(self._steps, 1)
        means = {name: total / steps for name, total in self._sums.items()}
        means |= {
            "examples_per_s": self._steps * self._examples / max(elapsed, 1e-9),
            "step_time_s": elapsed / steps,
            "input_wait_s": self._waited / steps,
        }
        self.restart()
        return means
