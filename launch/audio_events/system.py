"""Recognition of audio events: the sections of its config and what they build."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
from etils import epath

from launch import runtime
from sigjax.config import ConfigError
from sigjax.data.audio_events.simulated import open_event_data
from sigjax.data.audio_events.stream import EventData, EventDataConfig
from sigjax.data.datasets.folders import DatasetError
from sigjax.models.ast import AstConfig
from sigjax.models.audio_classifier import AudioClassifierConfig
from sigjax.models.dat import DatConfig
from sigjax.tasks.audio_events import HEADS, AudioEvents, AudioEventsConfig
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig

# Of a config that is traced without data: the sets of the papers.
_CLASSES = {"label": 309, "target": 527, "verb": 97, "noun": 293}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Where features come from.

    Attributes:
      kind: `"dat"`, the deformable audio transformer, or `"ast"`.
      weights: A bundle of `launch.convert` or `launch.finetune`, or a run of the
        latter. Empty trains from scratch. The architecture is then theirs, but for what
        `launch.audio_events.encoders` lists, which the sections below decide.
      keep_head: Start from the weights' head, too, where its classes are the data's.
      dat: Architecture to train from scratch; frames and bands are the task's.
      ast: Likewise.
      head_dropout: Of features, before a head's linear layer.
    """

    kind: Literal["dat", "ast"]
    weights: str = ""
    keep_head: bool = False
    dat: DatConfig | None = None
    ast: AstConfig | None = None
    head_dropout: float = 0.0

    def __post_init__(self):
        """Refuses a kind whose section is missing."""
        if getattr(self, self.kind) is None:
            raise ValueError(
                f"kind={self.kind!r} needs the section encoder.{self.kind}"
            )

    @property
    def architecture(self) -> AstConfig | DatConfig:
        """The section of its kind."""
        return getattr(self, self.kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a trained run is judged.

    Attributes:
      hop_s: Of clips longer than a window, seconds from one window to the next, whose
        probabilities are averaged; 0 for windows that do not overlap.
      bootstrap: Resamples of clips for the intervals.
    """

    hop_s: float = 0.0
    bootstrap: int = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventRecognition:
    """Backbone and heads on labelled clips: one section per field."""

    seed: int
    task: AudioEventsConfig
    data: EventDataConfig
    encoder: BackboneConfig
    evaluation: EvaluationConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def classifier(
        self,
        classes: Mapping[str, int],
        architecture: AstConfig | DatConfig | None = None,
    ) -> AudioClassifierConfig:
        """The model.

        Args:
          classes: How many of each head.
          architecture: Of given weights; by default the config's own.
        """
        encoder = self.encoder
        backbone = architecture or encoder.architecture
        if isinstance(backbone, AstConfig):  # DAT takes maps of any size.
            backbone = dataclasses.replace(
                backbone, frames=self.task.frames, bands=self.task.fbank.n_mels
            )
        return AudioClassifierConfig(
            heads=tuple(classes.items()),
            ast=backbone if isinstance(backbone, AstConfig) else None,
            dat=backbone if isinstance(backbone, DatConfig) else None,
            # DAT's features are means of normalised positions already.
            head_norm=encoder.kind == "ast",
            head_dropout=encoder.head_dropout,
        )

    def make_task(self, model: AudioClassifierConfig | None = None) -> AudioEvents:
        """The task, with sections checked against each other.

        Args:
          model: From `classifier`; by default of the sizes of published sets.
        """
        if self.task.window_s != self.data.window_s:
            raise ConfigError(
                f"task.window_s={self.task.window_s:g} and data.window_s="
                f"{self.data.window_s:g} must be equal"
            )
        if model is None:
            heads = HEADS[self.task.target]
            model = self.classifier({head: _CLASSES[head] for head in heads})
        try:
            return AudioEvents(model, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        rows, shape = self.data.batch_size, jax.ShapeDtypeStruct
        target = self.task.target
        label = shape((rows,), np.int32)
        if target == "multi":
            label = shape((rows, _CLASSES["target"]), np.float32)
        return {
            "wave": shape((rows, self.task.samples), np.int16),
            "valid": shape((rows,), np.int32),
            **dict.fromkeys(HEADS[target], label),
        }

    def open_data(self, workdir: epath.Path) -> EventData:
        """Opens the set, or simulates one, and checks it against the task.

        Raises:
          sigjax.data.datasets.folders.DatasetError: There is none, or it does not fit.
          ConfigError: The task's rate or target is not the set's.
        """
        try:
            if self.data.simulate is not None:
                if jax.process_index() == 0:
                    print("SIMULATED data: audio events", flush=True)
                    open_event_data(self.data, workdir)
                runtime.wait_for_all("events simulated")
            data = open_event_data(self.data, workdir, build=False)
        except DatasetError:
            raise
        except ValueError as error:
            raise ConfigError(f"config section 'data': {error}") from error
        expected = self.task.fbank.expected_hz
        if data.rate_hz != expected:
            raise ConfigError(
                f"{data.dataset.path} is of {data.rate_hz} Hz, task.fbank takes"
                f" {expected:g} Hz: build the set again with --rate_hz={expected:g}, or"
                " change task.fbank"
            )
        if data.dataset.kind != self.task.target:
            raise ConfigError(
                f"{data.dataset.path} is of the kind {data.dataset.kind!r} (heads"
                f" {', '.join(data.classes)}), but task.target={self.task.target!r}:"
                " make them equal"
            )
        return data


def class_counts(data: EventData) -> dict[str, int]:
    """How many classes each head has."""
    return {head: len(names) for head, names in data.classes.items()}
