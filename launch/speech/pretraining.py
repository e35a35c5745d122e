"""Pre-training of a speech encoder by masked prediction: the sections of its config."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from launch import runtime
from launch.speech.clusters import ClusterConfig, clusters_of
from sigjax import export
from sigjax.config import ConfigError, build
from sigjax.data.calls.stream import (
    CallData,
    CallDataConfig,
    call_spec,
    open_call_data,
)
from sigjax.models.speech_encoder import SpeechEncoderConfig
from sigjax.tasks.masked_prediction import MaskedPrediction, MaskedPredictionConfig
from sigjax.train.checkpoint import latest_variables, load_params
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig
from sigjax.train.writer import replace_file

_DROPPED = ("dropout", "attention_dropout", "activation_dropout", "feature_dropout")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechPretraining:
    """HuBERT's pre-training on calls: one section per field."""

    seed: int
    task: MaskedPredictionConfig
    data: CallDataConfig
    model: SpeechEncoderConfig
    clusters: ClusterConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def make_task(self, data: CallData | None = None) -> MaskedPrediction:
        """The task, with sections checked against each other."""
        del data  # it has no classes
        if self.task.targets == "cepstra" and (
            self.task.cepstra.fbank.expected_hz != self.data.rate_hz
        ):
            raise ConfigError(
                f"task.cepstra.fbank takes {self.task.cepstra.fbank.expected_hz:g} Hz,"
                f" data.rate_hz is {self.data.rate_hz}: make them equal"
            )
        try:
            return MaskedPrediction(self.model, self.task, self._teacher_config())
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _teacher_config(self) -> SpeechEncoderConfig | None:
        if not self.clusters.teacher:
            return None
        path = epath.Path(self.clusters.teacher).expanduser()
        try:
            info = export.read_info(path)
        except export.BundleError as error:
            raise ConfigError(f"clusters.teacher: {error}") from error
        if info["model"] != "speech":
            raise ConfigError(f"clusters.teacher={path} is no speech encoder's bundle")
        read = info["preprocessing"]
        wanted = {"normalise": self.data.normalise, "rate_hz": self.data.rate_hz}
        for name, value in wanted.items():
            if read[name] != value:
                raise ConfigError(
                    f"clusters.teacher={path} takes {name}={read[name]!r}, this config"
                    f" has data.{name}={value!r}: make them equal"
                )
        return build(SpeechEncoderConfig, info["model_config"], path="model_config")

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        return {
            name: jax.ShapeDtypeStruct(value.shape, value.dtype)
            for name, value in call_spec(self.data).items()
        }

    def open_data(self, workdir: epath.Path) -> CallData:
        """Opens the calls, or simulates some.

        Raises:
          ConfigError: There are none, or they do not fit.
        """
        try:
            if self.data.simulate is not None:
                if jax.process_index() == 0:
                    print("SIMULATED data: audio events as calls", flush=True)
                    open_call_data(self.data, workdir)
                runtime.wait_for_all("calls simulated")
            return open_call_data(self.data, workdir, simulate=False)
        except (ValueError, FileNotFoundError) as error:
            raise ConfigError(f"config section 'data': {error}") from error

    def given(
        self, task: MaskedPrediction, data: CallData, workdir: epath.Path
    ) -> dict[str, Any]:
        """The clusters to predict, fitted first, and the encoder whose they are."""
        found: dict[str, Any] = {}
        source: dict[str, Any] = {}
        if self.clusters.teacher:
            path = epath.Path(self.clusters.teacher).expanduser()
            found["teacher"] = load_params(path / "params")
            source = {"teacher": _digest(found["teacher"])}
        settings = (task, data, self.clusters, workdir, found, source)
        if jax.process_index() == 0:
            clusters_of(*settings)
        runtime.wait_for_all("clusters fitted")
        return found | {"clusters": clusters_of(*settings)}

    def report(self, trainer, task: MaskedPrediction, workdir: epath.Path) -> None:
        """Writes the bundle and the held-out figures, and says what to do next."""
        del task
        if jax.process_count() > 1:
            if jax.process_index() == 0:
                print(
                    "trained; the same command in one process writes the bundle",
                    flush=True,
                )
            return
        folder = workdir / "eval" / "validation"
        if trainer.evaluated:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(trainer.evaluated, indent=1)
            replace_file(folder / "metrics.json", f"{text}\n".encode())
            print(_told(trainer.evaluated), flush=True)
        step = self.export(workdir)
        print(
            f"step {step} -> {workdir / 'bundle'}; next: python -m launch.extract"
            f" --bundle={workdir / 'bundle'} --manifest=calls.csv --output=features",
            flush=True,
        )

    def export(self, workdir: epath.Path) -> int:
        """Writes the encoder of a run as a bundle that `sigjax.load` reads.

        Returns:
          Its step: the one that `train.select` chose, or the last.
        """
        best = workdir / "best" if self.train.select else workdir
        step, variables = latest_variables(best)
        clusters = json.loads((workdir / "clusters.json").read_text())
        # What is dropped in training is no part of what it computes.
        plain = dataclasses.replace(
            self.model, layer_drop=0.0, **dict.fromkeys(_DROPPED, 0.0), remat=False
        )
        reading = self.data.reading
        hop_s = self.model.hop / self.data.rate_hz
        export.save(
            workdir / "bundle",
            model="speech",
            params=variables["params"]["encoder"],
            model_config=plain,
            signal=export.SignalConfig(
                rate_hz=self.data.rate_hz,
                channels=1,
                units="full scale",
                window_s=self.data.window_s,
                patch_s=hop_s,
                normalisation=reading.normalise,
            ),
            preprocessing={
                "rate_hz": reading.rate_hz,
                "normalise": reading.normalise,
            },
            source_run={"workdir": str(workdir), "step": step},
            extra={"clusters": clusters, "task": dataclasses.asdict(self.task)},
        )
        return step


def _told(figures: Mapping[str, float]) -> str:
    return (
        f"hidden frames of the held-out calls: {figures['masked_accuracy']:.1%} of the"
        f" clusters told (repeating the nearest visible frame's"
        f" {figures['copied_accuracy']:.1%}, the most frequent one"
        f" {figures['most_frequent']:.1%}, chance {figures['chance']:.1%}); loss"
        f" {figures['loss']:.3f}, of the best constant {figures['unigram_loss']:.3f}"
    )


def _digest(params: Any) -> str:
    """Short hash of parameters."""
    import hashlib

    found = hashlib.blake2b(digest_size=8)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()
