"""A trained autoencoder, or a generator, as a bundle."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from etils import epath

from launch.autoencoders.classifier import ExampleClassifier
from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.gan import ExampleAdversarialAutoencoder, ExampleGan
from launch.autoencoders.masked import ExampleMae
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.examples.stream import ExampleData
from sigjax.train.checkpoint import latest_variables


def export_examples(
    system: ExampleSections,
    saved: Mapping[str, Any],
    workdir: epath.Path,
    output: epath.PathLike,
    step: int | None = None,
) -> int:
    """Writes the bundle of a run.

    Args:
      system: As trained.
      saved: The run's `config.json`.
      workdir: Of the run.
      output: Folder of the bundle.
      step: Which checkpoint; by default the one that was selected, or the newest.

    Returns:
      The exported step.

    Raises:
      ConfigError: It is a classifier, its data cannot be read, or a masked
        autoencoder's have no rate.
      sigjax.train.checkpoint.CheckpointError: The checkpoint cannot be read.
    """
    if isinstance(system, ExampleClassifier):
        raise ConfigError(
            f"{workdir} is a run that leaves its bundle by itself, in"
            f" {workdir / 'bundle'}; if it is not there, python -m launch.evaluate"
            f" --workdir={workdir} writes it"
        )
    data = system.open_data(workdir)
    selected = system.train.select and step is None
    step, variables = latest_variables(workdir / "best" if selected else workdir, step)
    own = cast(Any, system)
    model, kind = _kind(system)
    export.save(
        output,
        model=model,
        params=variables["params"],
        state={k: v for k, v in variables.items() if k != "params"},
        model_config=own.model,
        signal=_patched(system, data) if model == "mae" else signal_of(data),
        preprocessing=preprocessing_of(data),
        labels=None if model == "mae" else data.classes or None,
        source_run={"workdir": str(workdir), "step": step, **saved},
        extra={"task_kind": kind, **learnt(system, data)},
    )
    return step


def _kind(system: ExampleSections) -> tuple[str, str]:
    """A bundle's model and its task, as they are called there."""
    if isinstance(system, ExampleGan):
        return "generator", "generation"
    if isinstance(system, ExampleAdversarialAutoencoder):
        return "autoencoder", "adversarial"
    if isinstance(system, ExampleMae):
        return "mae", "masked_modelling"
    return "autoencoder", "reconstruction"


def _patched(system: Any, data: ExampleData) -> export.SignalConfig:
    """What a masked autoencoder takes in."""
    signal = signal_of(data)
    if not signal.rate_hz:
        raise ConfigError(
            f"{data.train_set.origin} have no rate_hz: an encoder's bundle says of what"
            " rate its signals are; put rate_hz into the .npz"
        )
    samples = system.model.patch_size // signal.channels
    return dataclasses.replace(signal, patch_s=samples / signal.rate_hz)


def learnt(system: ExampleSections, data: ExampleData) -> dict[str, Any]:
    """What `extra` of a bundle says of task and examples."""
    found = data.train_set
    return {
        "task": dataclasses.asdict(cast(Any, system).task),
        "examples": {
            "source": system.data.source,
            "shape": list(found.shape),
            "dtype": found.x.dtype.name,
            "origin": found.origin,
        },
    }


def signal_of(data: ExampleData) -> export.SignalConfig:
    """What the model takes in."""
    found = data.train_set
    window_s = found.shape[0] / found.rate_hz if found.rate_hz else 0.0
    return export.SignalConfig(
        rate_hz=found.rate_hz,
        channels=found.shape[-1] if len(found.shape) > 1 else 1,
        units=found.units,
        window_s=window_s,
        patch_s=window_s,
    )


def preprocessing_of(data: ExampleData) -> dict[str, Any]:
    """How raw files become examples."""
    c = data.config
    if c.source == "clips":
        return {"rate_hz": c.rate_hz, "channel": c.channel, "samples": c.samples}
    if c.source == "windows":
        from sigjax.data.labelled import LabelledSet

        return LabelledSet.open(c.path).preprocessing
    return {}
