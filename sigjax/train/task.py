"""What the loop needs of a system: three functions, and of its data: five.

A new system is a class with these methods, never a new loop. The loop does not know
models, losses, batch keys or data sets; a task does not know meshes, optimizers,
checkpoints or files.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sigjax.typing import Array, Batch, LossOutput, PRNGKey, PyTree

HostBatch = Mapping[str, np.ndarray]


@runtime_checkable
class Task(Protocol):
    """A learning problem: where batch keys, model, loss and metrics meet."""

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Flax variables (`params` and any other collection) for batches like this."""
        ...

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Loss and components per example; differentiated in `variables["params"]`."""
        ...

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Figures per example, `[e, ...]` each, averaged over the held-out split.

        A task whose figures are not such means (a kappa of a whole split) has a fifth
        function, `summarise(means) -> figures`: it makes them from the means, NumPy
        arrays `[...]`. Without it the means, single numbers, are the figures.
        """
        ...


@runtime_checkable
class Data(Protocol):
    """A training stream and a held-out split, already divided."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every recording was seen once."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """One global batch: anything with `shape` and `dtype` under each key."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able facts that decide the order and content of batches."""
        ...

    def train(
        self, *, start_step: int, shard_index: int, shard_count: int
    ) -> Iterator[HostBatch]:
        """Endless batches from `start_step` on: this shard's rows of each."""
        ...

    def evaluation(self, *, shard_index: int, shard_count: int) -> Iterator[HostBatch]:
        """The held-out split once, padded; rows of padding have `weight` 0."""
        ...
