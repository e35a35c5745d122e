"""Networks against each other: the sections of their configs."""

import dataclasses

from etils import epath

from launch.autoencoders.examples import ExampleSections
from sigjax.config import ConfigError
from sigjax.data.examples.stream import ExampleData
from sigjax.models.gan import AdversarialAutoencoderConfig, GanConfig
from sigjax.tasks.adversarial import (
    AdversarialAutoencoding,
    AdversarialAutoencodingConfig,
    AdversarialConfig,
    Generation,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleGan(ExampleSections):
    """A generator and its critic: one config section per field."""

    task: AdversarialConfig
    model: GanConfig

    def input_shape(self) -> tuple[int, ...]:
        """What the critic takes, without the batch."""
        return self.model.output_shape

    def make_task(self, data: ExampleData | None = None) -> Generation:
        """The task, with sections checked against each other."""
        del data
        self.check_rate()
        try:
            return Generation(self.model, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def report(self, trainer, task: Generation, workdir: epath.Path) -> None:
        """Writes figures and says what to do next."""
        from launch.autoencoders.report import report

        report(trainer, task, self, workdir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleAdversarialAutoencoder(ExampleSections):
    """An autoencoder whose codes follow a prior: one config section per field."""

    task: AdversarialAutoencodingConfig
    model: AdversarialAutoencoderConfig

    def input_shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch."""
        return self.model.input_shape

    def make_task(self, data: ExampleData | None = None) -> AdversarialAutoencoding:
        """The task, with sections checked against each other."""
        del data
        self.check_rate()
        try:
            return AdversarialAutoencoding(self.model, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def report(
        self, trainer, task: AdversarialAutoencoding, workdir: epath.Path
    ) -> None:
        """Writes figures and says what to do next."""
        from launch.autoencoders.report import report

        report(trainer, task, self, workdir)
