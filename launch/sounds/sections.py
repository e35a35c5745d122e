"""Section classifiers on machine sounds: the sections of their config, what they build.

Paper 001 trains in two stages: a general classifier of all machines' sections, then one
for each machine that starts from it. Both are this system; `start.weights` tells them
apart, and a config's `parts` train all machines by one command.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np
from etils import epath

from launch import runtime
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.machine_sound.simulated import open_sound_data
from sigjax.data.machine_sound.stream import SoundData, SoundDataConfig
from sigjax.models.mobilenet import MobileNetV2Config
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.models.spectral_branches import SpectralBranchesConfig
from sigjax.signal.mel import MelConfig
from sigjax.tasks.section_id import (
    ModelConfig,
    SectionIdConfig,
    SectionIdentification,
    backbone,
    input_statistics,
)
from sigjax.train.checkpoint import latest_variables
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig
from sigjax.train.writer import replace_file

# Of a config that is traced without data: paper 001's sections of one machine type.
_CLASSES = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundModelConfig:
    """Which network; the section of its kind says how large. Classes are the data's.

    Attributes:
      kind: `"dual_block"`, paper 001's; `"mobilenet"`, the 2021 baseline's; or
        `"branches"`, multi-resolution spectrograms and spectrum.
      dual_block: Of that kind.
      mobilenet: Likewise.
      branches: Likewise.
    """

    kind: Literal["dual_block", "mobilenet", "branches"]
    dual_block: SectionClassifierConfig | None = None
    mobilenet: MobileNetV2Config | None = None
    branches: SpectralBranchesConfig | None = None

    def __post_init__(self):
        """Refuses a kind whose section is missing."""
        if getattr(self, self.kind) is None:
            raise ValueError(f"kind={self.kind!r} needs the section model.{self.kind}")

    def of(self, classes: int) -> ModelConfig:
        """The network for so many classes."""
        return dataclasses.replace(getattr(self, self.kind), classes=classes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartConfig:
    """What training starts from.

    Attributes:
      weights: A run of this system, whose network is taken without its head; empty for
        random weights. `{cutoff_hz:g}` in it stands for the task's cut-off: the general
        classifier of the same high-pass.
    """

    weights: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How clips are scored once the network is trained; see `sigjax.evals.anomaly`.

    Attributes:
      backends: Candidates: names, or mappings of a name and settings. Of several, one
        is chosen on the development sections.
      scope: One model for each `"section"`, or for each `"machine"`.
      false_alarms_per_day: That a threshold may give on normal sound.
      hop_s: Seconds from one scored clip to the next, when the detector runs.
    """

    backends: tuple[Any, ...]
    scope: Literal["section", "machine"] = "section"
    false_alarms_per_day: float = 24.0
    hop_s: float = 10.0

    def __post_init__(self):
        """Refuses back-ends that are unknown."""
        from sigjax.evals.anomaly.registry import configure

        if not self.backends:
            raise ValueError("backends is empty: name at least one")
        for description in self.backends:
            configure(description)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundSections:
    """A classifier of machines' sections: one config section per field."""

    seed: int
    task: SectionIdConfig
    data: SoundDataConfig
    model: SoundModelConfig
    start: StartConfig
    scoring: ScoringConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def make_task(self, data: SoundData | None = None) -> SectionIdentification:
        """The task, with sections checked against each other.

        Args:
          data: Whose classes are told apart; without, six.
        """
        if self.task.clip_s != self.data.clip_s:
            raise ConfigError(
                f"task.clip_s={self.task.clip_s:g} and data.clip_s="
                f"{self.data.clip_s:g} must be equal"
            )
        classes = _CLASSES if data is None else len(data.classes)
        if classes < 2:
            assert data is not None
            raise ConfigError(
                f"{data.dataset.path}: one section ({' '.join(data.classes[0])}) is"
                " nothing to tell apart. Add machines or sections, or train"
                " configs/asd_autoencoder.py"
            )
        try:
            return SectionIdentification(self.model.of(classes), self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        rows, samples = self.data.batch_size, self.make_task().samples
        return {
            "wave": jax.ShapeDtypeStruct((rows, samples), np.int16),
            "label": jax.ShapeDtypeStruct((rows,), np.int32),
            "domain": jax.ShapeDtypeStruct((rows,), np.int32),
        }

    def open_data(self, workdir: epath.Path) -> SoundData:
        """Opens the set, or simulates one.

        Raises:
          sigjax.data.datasets.builder.DatasetError: There is none, or it does not fit.
        """
        return open_sounds(self.data, workdir, rate_hz=_rate_of(self))

    def given(
        self, task: SectionIdentification, data: SoundData, workdir: epath.Path
    ) -> dict[str, Any]:
        """Weights to start from, and the statistics of the input."""
        if self.start.weights:
            return self._given_weights(task)
        mel = task.config.mel
        if mel is None:
            return {}
        return {"statistics": kept_statistics(data, mel, workdir)}

    def _given_weights(self, task: SectionIdentification) -> dict[str, Any]:
        from launch.systems import load_run

        cutoff = 0.0 if task.config.mel is None else task.config.mel.cutoff_hz
        path = epath.Path(self.start.weights.format(cutoff_hz=cutoff)).expanduser()
        other, _ = load_run(path)
        if not isinstance(other, SoundSections):
            raise ConfigError(f"start.weights={path} is no run of a section classifier")
        # Another high-pass is another input: the first layers would see what they
        # were never shown.
        if other.task.mel != self.task.mel:
            raise ConfigError(
                f"{path} was trained on task.mel={other.task.mel}, this config has"
                f" {self.task.mel}: train a general classifier of the same"
            )
        best = path / "best" if other.train.select else path
        return backbone(latest_variables(best)[1])

    def report(self, trainer, task: Any, workdir: epath.Path) -> None:
        """Says what to do next."""
        del trainer, task
        if jax.process_index() == 0:
            print(
                f"trained; next: python -m launch.evaluate --workdir={workdir}",
                flush=True,
            )


def kept_statistics(
    data: SoundData, mel: MelConfig, workdir: epath.Path
) -> dict[str, np.ndarray]:
    """Mean and spread of the training clips' log-mel; computed once for a run."""
    path = workdir / "input_statistics.json"
    if not path.exists():
        _, segments = data.clips(side="train")
        batches = ({"wave": s.wave, "weight": s.weight} for s in segments)
        found = input_statistics(batches, mel)
        text = json.dumps({name: float(v) for name, v in found.items()})
        replace_file(path, f"{text}\n".encode())
    found = json.loads(path.read_text())
    return {k: np.asarray(v, np.float32) for k, v in found.items()}


def _rate_of(system: SoundSections) -> int:
    mel, branches = system.task.mel, system.model.branches
    rate = mel.rate_hz if mel is not None else branches.rate_hz if branches else 0
    return round(rate)


def open_sounds(
    config: SoundDataConfig, workdir: epath.Path, *, rate_hz: int
) -> SoundData:
    """Opens a config's sounds, or simulates them, and checks their rate.

    Raises:
      DatasetError: There is no set, or it does not fit.
      ConfigError: A value of the section, or the rate, is not the set's.
    """
    try:
        if config.simulate is not None:
            if jax.process_index() == 0:
                print("SIMULATED data: machine sounds", flush=True)
                open_sound_data(config, workdir)
            runtime.wait_for_all("sounds simulated")
        data = open_sound_data(config, workdir, build=False)
    except DatasetError:
        raise
    except ValueError as error:
        raise ConfigError(f"config section 'data': {error}") from error
    if data.rate_hz != rate_hz:
        raise ConfigError(
            f"{data.dataset.path} is of {data.rate_hz} Hz, the config of {rate_hz} Hz:"
            " make them equal, or build the set again with --rate_hz"
        )
    return data
