"""A network as it was trained, with the examples that it is measured on."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from launch.systems import build_system
from sigjax.tasks.example_input import example_input
from sigjax.train.checkpoint import latest_variables

_AT_ONCE = 256


class Measured(NamedTuple):
    """What a measurement finds.

    Attributes:
      numbers: By name; None where undefined.
      values: By name, of each example, `[n]`.
      group: `[n]`: who examples are of; None if they are of nobody.
      pictures: Arrays that a figure is drawn of.
      facts: What is said beside numbers; JSON-able.
      sounds: By file name, float32 `[s]` and samples per second.
    """

    numbers: Mapping[str, float | None] = {}
    values: Mapping[str, np.ndarray] = {}
    group: np.ndarray | None = None
    pictures: Mapping[str, np.ndarray] = {}
    facts: Mapping[str, Any] = {}
    sounds: Mapping[str, tuple[np.ndarray, int]] = {}


class Opened:
    """A run's system, task, data and variables.

    Attributes:
      system: As its config describes it.
      run: Its folder; None if nothing was trained.
    """

    def __init__(self, config: Any, run: epath.Path | None, workdir: epath.Path):
        """Opens nothing yet.

        Args:
          config: Resolved.
          run: Of the training; None for a method without one.
          workdir: Where data that a config simulates may be put.
        """
        self.system: Any = build_system(config)
        self.run, self._workdir = run, workdir

    @functools.cached_property
    def data(self) -> Any:
        """Read when it is asked for."""
        return self.system.open_data(self.run or self._workdir)

    @functools.cached_property
    def task(self) -> Any:
        """With the data's classes, if it has any."""
        return self.system.make_task(self.data)

    @functools.cached_property
    def variables(self) -> Any:
        """Of the last step."""
        assert self.run is not None, "nothing was trained"
        _, variables = latest_variables(self.run)
        return jax.tree.map(jnp.asarray, variables)

    @property
    def parameters(self) -> int:
        """How many numbers are of the examples: learned, or a base's."""
        kept = [self.variables.get(name, {}) for name in ("params", "statistics")]
        return sum(x.size for x in jax.tree.leaves(kept))

    def inputs(self, side: str, most: int = 0) -> np.ndarray:
        """Float32 `[n, *input_shape]`: examples as the network takes them.

        Args:
          side: `"train"` or `"held_out"`.
          most: Examples at most, evenly spread; 0 for all.
        """
        return self.mapped(self.taken, self.examples(side, most).x)

    def taken(self, x: Any) -> Any:
        """Raw examples as the network takes them; to be jitted."""
        return example_input(x, self.system.task.input, self.system.input_shape())

    def examples(self, side: str, most: int = 0) -> Any:
        """The `ExampleSet` of a side; see `inputs`."""
        found = self.data.train_set if side == "train" else self.data.held_out_set
        if not most or len(found.x) <= most:
            return found
        return found.rows(np.linspace(0, len(found.x) - 1, most).round().astype(int))

    def restored(self, x: np.ndarray) -> np.ndarray:
        """Reconstructions of examples as the network takes them."""
        return self.mapped(
            lambda x: self.task.restore(self.variables, x), x.astype(np.float32)
        )

    def reconstructions(self, x: np.ndarray) -> np.ndarray:
        """Of raw examples."""
        return self.mapped(lambda x: self.task.reconstruct(self.variables, x), x)

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Of raw examples."""
        return self.mapped(lambda x: self.task.codes(self.variables, x), x)

    def mapped(self, function: Callable, x: np.ndarray) -> np.ndarray:
        """A function of batches over all rows, jitted once."""
        if self.run is not None:
            _ = self.variables  # Read before anything is traced.
        jitted = jax.jit(function)
        parts = []
        for start in range(0, len(x), _AT_ONCE):
            part = x[start : start + _AT_ONCE]
            missing = min(_AT_ONCE, len(x)) - len(part)  # One shape, one compilation.
            padded = np.concatenate([part, np.repeat(part[:1], missing, axis=0)])
            found = np.asarray(jitted(jnp.asarray(padded)))
            parts.append(found[: len(part)])
        return np.concatenate(parts)


def groups_of(examples: Any) -> np.ndarray | None:
    """Whose examples are; None if it is not known."""
    return examples.group if (examples.group != "").any() else None
