"""Segmentation of sound: the sections of its config and what they build."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np
from etils import epath

from launch import runtime
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.segmentation.stream import (
    MixtureData,
    MixtureDataConfig,
    open_mixtures,
)
from sigjax.inference.segmentation import EventRule
from sigjax.models.encoder_decoder import EncoderDecoderConfig
from sigjax.models.fcn import FcnConfig
from sigjax.models.unet import UNetConfig
from sigjax.tasks.segmentation import ModelConfig, Segmentation, SegmentationConfig
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig

# Of a config that is traced without data.
_CLASSES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterArchitecture:
    """Which network; the section of its kind says how large. Classes are the data's.

    Attributes:
      kind: `"unet"`, `"fcn"`, or `"encoder_decoder"`: a backbone and a decoder.
      unet: Of that kind.
      fcn: Likewise.
      encoder_decoder: Likewise; frames and bands of its backbone are the task's.
    """

    kind: Literal["unet", "fcn", "encoder_decoder"]
    unet: UNetConfig | None = None
    fcn: FcnConfig | None = None
    encoder_decoder: EncoderDecoderConfig | None = None

    def __post_init__(self):
        """Refuses a kind whose section is missing."""
        if getattr(self, self.kind) is None:
            raise ValueError(f"kind={self.kind!r} needs the section model.{self.kind}")

    def of(self, classes: int, frames: int, bands: int) -> ModelConfig:
        """The network for so many classes and spectrograms of this size."""
        found = dataclasses.replace(getattr(self, self.kind), classes=classes)
        if not isinstance(found, EncoderDecoderConfig):
            return found
        changes: dict[str, Any] = {}
        if found.ast is not None:
            changes["ast"] = dataclasses.replace(found.ast, frames=frames, bands=bands)
        for name in ("sections", "mobilenet"):
            own = getattr(found, name)
            if own is not None:
                changes[name] = dataclasses.replace(own, frames=frames, mels=bands)
        return dataclasses.replace(found, **changes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """What the encoder of an `encoder_decoder` starts from; the decoder is drawn.

    To keep it as it is, set `optim.multipliers=(("^encoder/", 0.0),)`.

    Attributes:
      weights: A bundle, or a run that left one: of `launch.finetune` or
        `launch.convert`, an audio network or a segmenter with a backbone; of
        `launch.export`, an autoencoder of log-mels that begins with convolutions, or a
        detector with a classifier of sections. A run of an autoencoder will do. Empty
        trains from scratch. The encoder's architecture is then theirs, but for what
        `launch.audio_events.encoders` lists.
    """

    weights: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a trained run is judged.

    Attributes:
      rule: How events are made of scores; of predictions, and of `least_bands` alone
        of true masks.
      tolerances_s: That boundaries may be off, seconds; in whole frames, rounded down.
      examples: Mixtures in the picture.
    """

    rule: EventRule
    tolerances_s: tuple[float, ...] = (0.04, 0.1, 0.2)
    examples: int = 4

    def __post_init__(self):
        """Refuses values without meaning."""
        if not self.tolerances_s or min(self.tolerances_s) < 0 or self.examples < 1:
            raise ValueError(
                "tolerances_s must hold one that is not negative, and examples be at"
                f" least 1, got {self.tolerances_s} and {self.examples}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundSegmentation:
    """A network of masks or frames on mixtures: one section per field."""

    seed: int
    task: SegmentationConfig
    data: MixtureDataConfig
    model: SegmenterArchitecture
    evaluation: EvaluationConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig
    encoder: EncoderConfig = EncoderConfig()

    @property
    def masks(self) -> bool:
        """Whether targets are masks, for which events must be known alone."""
        return self.task.target == "mask"

    def architecture(self, classes: int) -> ModelConfig:
        """The model for so many classes."""
        return self.model.of(classes, self.task.frames, self.task.mel.n_mels)

    def make_task(self, data: MixtureData | None = None) -> Segmentation:
        """The task, with sections checked against each other.

        Args:
          data: Whose classes are found; without, ten.
        """
        if self.task.window_s != self.data.mixture.window_s:
            raise ConfigError(
                f"task.window_s={self.task.window_s:g} and data.mixture.window_s="
                f"{self.data.mixture.window_s:g} must be equal"
            )
        if self.masks and self.evaluation.rule.least_bands > self.task.mel.n_mels:
            raise ConfigError(
                f"evaluation.rule.least_bands={self.evaluation.rule.least_bands} is"
                f" more than the {self.task.mel.n_mels} bands"
            )
        classes = _CLASSES if data is None else len(data.classes)
        try:
            return Segmentation(self.architecture(classes), self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        rows, shape = self.data.batch_size, jax.ShapeDtypeStruct
        events = self.data.mixture.events[1]
        found = {"wave": shape((rows, self.task.samples), np.int16)}
        if self.masks:
            found["sources"] = shape((rows, events, self.task.samples), np.int16)
        for key in ("label", "start", "stop"):
            found[key] = shape((rows, events), np.int32)
        return found

    def open_data(self, workdir: epath.Path) -> MixtureData:
        """Opens the clips, or simulates some, and checks their rate.

        Raises:
          sigjax.data.datasets.folders.DatasetError: There are none, or they do not fit.
          ConfigError: The task's rate is not the set's.
        """
        try:
            if self.data.simulate is not None:
                if jax.process_index() == 0:
                    print("SIMULATED data: audio events", flush=True)
                    open_mixtures(self.data, workdir, sources=self.masks)
                runtime.wait_for_all("events simulated")
            data = open_mixtures(self.data, workdir, sources=self.masks, build=False)
        except DatasetError:
            raise
        except ValueError as error:
            raise ConfigError(f"config section 'data': {error}") from error
        expected = self.task.mel.rate_hz
        if data.rate_hz != expected:
            raise ConfigError(
                f"{data.dataset.path} is of {data.rate_hz} Hz, task.mel takes"
                f" {expected:g} Hz: build the set again with --rate_hz={expected:g}, or"
                " change task.mel"
            )
        return data
