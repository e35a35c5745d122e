"""Activity recognition on the wrist: the sections of its config and what they build."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
from etils import epath

from launch import runtime
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.har import HarData, window_spec
from sigjax.data.har_config import HarDataConfig, open_set, simulate_set
from sigjax.data.tokens import token_spec
from sigjax.models.harnet import HarNetConfig
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifierConfig
from sigjax.tasks.classification import (
    ClassificationConfig,
    HeadClassification,
    WindowClassification,
)
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Where tokens come from.

    Attributes:
      kind: `"mae"` or `"harnet10"`.
      weights: A run of `launch.pretrain`, or a bundle of `launch.export`,
        `launch.finetune` or `launch.convert`. Empty trains from scratch;
        `"untrained"` freezes what was drawn at random, to compare with.
      step: Which checkpoint of a run; empty (None) for the one the run is judged by.
      trainable: Train the encoder, too. A frozen one is run once over every window,
        not once per epoch.
      views: Of a frozen encoder: how many differently augmented versions of each
        training window are embedded; one is drawn at every visit.
      mae: Architecture to train from scratch; with `weights` theirs is taken.
      harnet: Likewise.
    """

    kind: Literal["mae", "harnet10"]
    weights: str
    trainable: bool
    step: int | None = None
    views: int = 1
    mae: MaeConfig | None = None
    harnet: HarNetConfig | None = None

    def __post_init__(self):
        """Refuses what cannot be: an encoder that is not there."""
        architecture = self.mae if self.kind == "mae" else self.harnet
        if self.weights in ("", "untrained") and architecture is None:
            raise ValueError(
                f"kind={self.kind!r} needs weights, or the architecture to train from"
                " scratch"
            )
        if self.views < 1 or (self.trainable and self.views > 1):
            raise ValueError(
                "views must be at least 1, and is for frozen encoders only: a trained"
                f" one sees a new augmentation each time; got {self.views}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarWrist:
    """Encoder and head on labelled wrist recordings: one section per field."""

    seed: int
    task: ClassificationConfig
    data: HarDataConfig
    encoder: EncoderConfig
    head: HeadConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def classifier(
        self,
        classes: int,
        architecture: MaeConfig | HarNetConfig | None = None,
    ) -> WindowClassifierConfig:
        """The model, with the architecture of given weights or the config's own."""
        if architecture is None:
            mae = self.encoder.kind == "mae"
            architecture = self.encoder.mae if mae else self.encoder.harnet
        if architecture is None:
            raise ConfigError(
                f"encoder.kind={self.encoder.kind!r} needs encoder.weights, or the"
                " architecture to train from scratch"
            )
        mae = architecture if isinstance(architecture, MaeConfig) else None
        harnet = architecture if isinstance(architecture, HarNetConfig) else None
        try:
            return WindowClassifierConfig(
                patch_samples=self.task.patch_samples,
                channels=self.task.channels,
                pool=self.task.pool,
                head=dataclasses.replace(self.head, classes=classes),
                mae=mae,
                harnet=harnet,
            )
        except ValueError as error:
            raise ConfigError(f"config section 'encoder': {error}") from error

    def make_task(
        self,
        model: WindowClassifierConfig | None = None,
        weight: np.ndarray | None = None,
    ) -> WindowClassification | HeadClassification:
        """The task: of signals if the encoder is trained, else of its tokens.

        Args:
          model: From `classifier`; by default from the config alone.
          weight: Float `[v]`, each class's weight; by default 1.
        """
        if model is None:
            if not self.task.classes:
                raise ConfigError("task.classes is empty and no data tell the classes")
            model = self.classifier(len(self.task.classes))
        if weight is None:
            weight = np.ones(model.head.classes, np.float32)
        if self.encoder.trainable:
            return WindowClassification(model, self.task, weight)
        return HeadClassification(model.head, weight)

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        task, rows = self.task, self.data.batch_size
        labels = round(self.data.window_s / task.label_s)
        if self.encoder.trainable:
            spec = window_spec(
                batch_size=rows, samples=labels * task.label_samples, labels=labels
            )
        else:
            model = self.classifier(max(1, len(task.classes)))
            spec = token_spec(
                batch_size=rows, labels=labels, width=width(model), dtype=np.float16
            )
        return {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in spec.items()}

    def open_data(self, workdir: epath.Path) -> HarData:
        """Opens the labelled set, or simulates one, and checks it against the task.

        Raises:
          sigjax.data.datasets.builder.DatasetError: There is no such set or side.
          ConfigError: The task's rate, lengths or classes are not the set's.
        """
        try:
            if self.data.simulate is not None:
                if jax.process_index() == 0:
                    _simulate(self.data, workdir, self.task.label_s)
                runtime.wait_for_all("data simulated")
            data = HarData(open_set(self.data, workdir), self.data)
        except DatasetError:
            raise
        except ValueError as error:
            raise ConfigError(f"config section 'data': {error}") from error
        for name, here, there in (
            ("rate_hz", self.task.rate_hz, data.rate_hz),
            ("label_s", self.task.label_s, data.label_s),
        ):
            if abs(here - there) > 1e-9:
                raise ConfigError(
                    f"task.{name}={here:g} but {data.dataset.path} was built with"
                    f" {there:g}: make them equal, or build the set again"
                )
        if self.task.classes and self.task.classes != data.classes:
            raise ConfigError(
                f"task.classes are {', '.join(self.task.classes)}; the scheme"
                f" {self.data.scheme!r} of {data.dataset.path} has"
                f" {', '.join(data.classes)}: make them equal, or task.classes empty"
            )
        return data


def _simulate(data: HarDataConfig, workdir: epath.Path, label_s: float) -> None:
    simulate = data.simulate
    assert simulate is not None
    if not (workdir / "sets").exists():
        print(
            f"SIMULATED data: writing {simulate.people} labelled recordings of"
            f" {simulate.hours:g} h in Capture-24's layout to"
            f" {workdir / 'simulated_labels'}",
            flush=True,
        )
    simulate_set(data, workdir, label_s=label_s)


def width(model: WindowClassifierConfig) -> int:
    """Width `d` of a model's tokens."""
    if model.mae is not None:
        return model.mae.width
    assert model.harnet is not None
    return model.harnet.widths[-1]
