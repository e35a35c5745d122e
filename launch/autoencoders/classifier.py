"""Classifiers that may start from an autoencoder: the sections of their config."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.masked_weights import MaskedWeights, read_masked
from launch.autoencoders.weights import Weights, read_weights, stopped
from sigjax.config import ConfigError
from sigjax.data.examples.supervised import (
    SupervisedData,
    SupervisedDataConfig,
    open_supervised_data,
)
from sigjax.losses.classification import class_weights
from sigjax.models.code_classifier import CodeClassifierConfig
from sigjax.tasks.code_classification import (
    CodeClassification,
    CodeClassificationConfig,
)
from sigjax.tasks.example_input import ExampleInputConfig

# Of a config that is traced without data.
_CLASSES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Where the encoder comes from.

    Attributes:
      weights: A run of an autoencoder of examples, the folder of its parts (the last is
        taken), or a bundle; of the same architecture, input and division. With
        `model.mae` a run of a masked autoencoder, of examples or of recordings, or a
        bundle of one; whose recordings those were is not compared. Empty trains from
        scratch, `"untrained"` freezes what was drawn at random, to compare with.
      trainable: Fine-tune it, too; otherwise the head alone learns.
    """

    weights: str = ""
    trainable: bool = True

    def __post_init__(self):
        """Refuses an encoder that neither learns nor has learnt, if not on purpose."""
        if not self.weights and not self.trainable:
            raise ValueError(
                "weights is empty and trainable False: give a run of an autoencoder, or"
                " weights='untrained' to compare with an encoder that never learnt"
            )
        if self.weights == "untrained" and self.trainable:
            raise ValueError(
                "weights='untrained' is a frozen encoder: set trainable=False, or"
                " weights to '' to train from scratch"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleClassifier(ExampleSections):
    """Encoder and linear head on labelled examples: one config section per field."""

    data: SupervisedDataConfig
    task: CodeClassificationConfig
    model: CodeClassifierConfig
    encoder: EncoderConfig

    def __post_init__(self):
        """Keeps a frozen encoder where it is, whatever decays weights."""
        if not self.encoder.trainable:
            object.__setattr__(self, "optim", stopped(self.optim, "^encoder/"))

    def input_shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch."""
        return self.model.input_shape

    def make_task(self, data: SupervisedData | None = None) -> CodeClassification:
        """The task, with sections checked against each other.

        Args:
          data: Whose classes are told apart; without, ten or the config's.
        """
        self.check_rate()
        if self.model.mae is not None and self.task.input != ExampleInputConfig():
            raise ConfigError(
                "a masked autoencoder takes values in their units: leave task.input"
                f" 'values', scale 1, offset 0; got {self.task.input}"
            )
        count = self.model.classes or _CLASSES
        weight = np.ones(count, np.float32)
        if data is not None:
            count = len(data.classes)
            if self.model.classes not in (0, count):
                raise ConfigError(
                    f"model.classes={self.model.classes}, but the data have {count}:"
                    f" {', '.join(data.classes)}; leave it 0"
                )
            weight = np.ones(count, np.float32)
            if self.task.weighting == "balanced":
                weight = class_weights(data.class_counts)
        model = dataclasses.replace(self.model, classes=count)
        frozen = not self.encoder.trainable
        return CodeClassification(model, self.task, weight, frozen=frozen)

    def open_data(self, workdir: epath.Path) -> SupervisedData:
        """Reads and divides the examples; see `ExampleSections.open_data`."""
        found: Any = super().open_data(workdir)
        return found

    def _open(self, workdir: epath.Path, build: bool) -> SupervisedData:
        del workdir
        return open_supervised_data(self.data, build=build)

    def weights(
        self, workdir: epath.Path, data: SupervisedData | None = None
    ) -> Weights | MaskedWeights | None:
        """The autoencoder that it starts from, checked; None if there is none.

        Args:
          workdir: Of this run.
          data: The examples, whose rate and units are compared; None skips that.

        Raises:
          ConfigError: There is none there, or it does not fit.
        """
        if self.encoder.weights in ("", "untrained"):
            return None
        if self.model.mae is not None:
            masked = read_masked(self.encoder.weights, workdir)
            masked.check(self.model, self.data, data)
            return masked
        found = read_weights(self.encoder.weights, workdir)
        if found.model.base != "none":
            raise ConfigError(
                f"encoder.weights={found.path!r} encodes deviations from its examples'"
                f" mean (model.base={found.model.base!r}), which a classifier does not:"
                " train one with model.base='none', such as the variant 'initial'"
            )
        model = self.model
        found.check_encoder(
            model.input_shape, model.encoder, self.task.input, self.data
        )
        if found.model.code != model.code:
            raise ConfigError(
                f"encoder.weights={found.path!r} has a {found.model.code} code, this"
                f" config a {model.code} one: set model.code={found.model.code!r}"
            )
        return found

    def given(self, task: Any, data: Any, workdir: epath.Path) -> dict[str, Any]:
        """The encoder's variables, or nothing."""
        del task
        found = self.weights(workdir, data)
        if isinstance(found, MaskedWeights):
            return found.variables()
        return {} if found is None else encoder_of(found.variables)

    def report(self, trainer: Any, task: Any, workdir: epath.Path) -> None:
        """Nothing: `launch.finetune` concludes the run."""


def encoder_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an autoencoder's variables that a classifier takes over."""
    return {
        name: {"encoder": collection["encoder"]}
        for name, collection in variables.items()
        if "encoder" in collection
    }
