"""Autoencoders of examples: the sections of their config."""

import dataclasses

from etils import epath

from launch.autoencoders.examples import ExampleSections
from sigjax.config import ConfigError
from sigjax.data.examples.stream import ExampleData
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleAutoencoder(ExampleSections):
    """An autoencoder: one config section per field."""

    task: ReconstructionConfig
    model: AutoencoderConfig

    def input_shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch."""
        return self.model.input_shape

    def make_task(self, data: ExampleData | None = None) -> Reconstruction:
        """The task, with sections checked against each other."""
        del data  # it has no classes
        self.check_rate()
        try:
            return Reconstruction(self.model, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def report(self, trainer, task: Reconstruction, workdir: epath.Path) -> None:
        """Writes figures and says what to do next."""
        from launch.autoencoders.report import report  # matplotlib is slow to import

        report(trainer, task, self, workdir)
