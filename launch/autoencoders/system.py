"""Autoencoders of examples: the sections of their config."""

import dataclasses
from typing import Any

from etils import epath

from launch.autoencoders.base import base_of
from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.weights import StartConfig, read_weights, stopped
from sigjax.config import ConfigError
from sigjax.data.examples.stream import ExampleData
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.tasks.layerwise import others, reconstruction_task
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleAutoencoder(ExampleSections):
    """An autoencoder: one config section per field.

    `encoder` says whether it starts from another run, such as that of the layer below
    (`task.depth`).
    """

    task: ReconstructionConfig
    model: AutoencoderConfig
    encoder: StartConfig = StartConfig()

    def __post_init__(self):
        """Keeps layers that do not learn where they are, whatever decays weights."""
        resting = others(self.model, self.task.depth) if self.task.depth else ""
        if resting:
            optim = stopped(self.optim, resting)
            object.__setattr__(self, "optim", optim)

    def input_shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch."""
        return self.model.input_shape

    def make_task(self, data: ExampleData | None = None) -> Reconstruction:
        """The task, with sections checked against each other."""
        del data  # it has no classes
        self.check_rate()
        try:
            return reconstruction_task(self.model, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def given(self, task: Any, data: Any, workdir: epath.Path) -> dict[str, Any]:
        """Variables of another run, or what a base is; what is not given is drawn.

        Raises:
          ConfigError: The other is not of this architecture or input, or there are too
            few examples for a base.
        """
        del task
        if not self.encoder.weights:
            if self.task.depth > 1:
                raise ConfigError(
                    f"task.depth={self.task.depth} needs the layers below: set"
                    " encoder.weights to the run of depth"
                    f" {self.task.depth - 1}"
                )
            return base_of(self.model, self.task.input, data.train_set)
        found = read_weights(self.encoder.weights, workdir)
        found.check(self.model, self.task.input, self.data)
        return found.variables

    def report(self, trainer, task: Reconstruction, workdir: epath.Path) -> None:
        """Writes figures and says what to do next."""
        from launch.autoencoders.report import report  # matplotlib is slow to import

        report(trainer, task, self, workdir)
