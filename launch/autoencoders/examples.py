"""What the systems that learn from examples have in common."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import jax
import numpy as np
from etils import epath

from launch import runtime
from sigjax.config import ConfigError
from sigjax.data.examples.stream import (
    ExampleData,
    ExampleDataConfig,
    open_example_data,
)
from sigjax.tasks.example_input import example_input
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleSections(abc.ABC):
    """Sections of a config: data and training. A system adds `task` and `model`."""

    seed: int
    data: ExampleDataConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch."""

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        rows = self.data.batch_size
        shape, dtype = raw_example(self.data, self.input_shape())
        return {
            "x": jax.ShapeDtypeStruct((rows, *shape), dtype),
            "label": jax.ShapeDtypeStruct((rows,), np.int32),
        }

    def open_data(self, workdir: epath.Path) -> ExampleData:
        """Reads the examples; what is fetched is fetched by one process.

        Raises:
          ConfigError: They cannot be read, or do not fit the model.
        """
        try:
            if jax.process_count() > 1:
                if jax.process_index() == 0:
                    self._open(workdir, build=True)
                runtime.wait_for_all("examples fetched")
            # Of several processes the first has fetched what there was to fetch.
            data = self._open(workdir, build=jax.process_count() == 1)
        except (ValueError, OSError) as error:
            raise ConfigError(f"config section 'data': {error}") from error
        self._check_shape(data)
        return data

    def _open(self, workdir: epath.Path, build: bool) -> ExampleData:
        return open_example_data(self.data, workdir, build=build)

    def _check_shape(self, data: ExampleData) -> None:
        """Says what the examples are, where the model cannot take them."""
        found = data.train_set
        batch = jax.ShapeDtypeStruct((1, *found.shape), found.x.dtype)
        own = cast(Any, self).task.input
        try:
            jax.eval_shape(lambda x: example_input(x, own, self.input_shape()), batch)
        except ValueError as error:
            raise ConfigError(f"{found.origin}: {error}") from error

    def check_rate(self) -> None:
        """Refuses a spectrogram of another rate than the sounds have.

        Raises:
          ConfigError: It is.
        """
        mel = cast(Any, self).task.input.mel
        if mel is None:
            return
        if self.data.source == "clips" and mel.rate_hz != self.data.rate_hz:
            raise ConfigError(
                f"task.input.mel.rate_hz is {mel.rate_hz:g}, data.rate_hz"
                f" {self.data.rate_hz}: make them equal"
            )

    def given(self, task: Any, data: Any, workdir: epath.Path) -> dict[str, Any]:
        """Nothing: weights are drawn."""
        del task, data, workdir
        return {}


def raw_example(
    data: ExampleDataConfig, model_shape: tuple[int, ...]
) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of an example before the task's input.

    Args:
      data: The config's section.
      model_shape: What is assumed of windows and arrays, which are not opened.
    """
    known = {
        "digits": ((8, 8, 1), np.uint8),
        "mnist": ((28, 28, 1), np.uint8),
        "points": ((2,), np.float32),
        "clips": ((data.samples,), np.int16),
    }
    return known.get(data.source, (model_shape, np.float32))
