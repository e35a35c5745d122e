"""A trained autoencoder as a bundle."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from etils import epath

from launch.autoencoders.classifier import ExampleClassifier
from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.gan import ExampleAdversarialAutoencoder, ExampleGan
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
      ConfigError: It is a GAN or a classifier, or its data cannot be read.
      sigjax.train.checkpoint.CheckpointError: The checkpoint cannot be read.
    """
    if isinstance(system, ExampleGan):
        raise ConfigError(
            f"{workdir} is a GAN, which encodes nothing: a bundle is of an autoencoder"
            " (the variant 'adversarial' of configs/gan.py is one); launch.evaluate"
            " draws a GAN's samples"
        )
    if isinstance(system, ExampleClassifier):
        raise ConfigError(
            f"{workdir} is a classifier of examples, for which there are no bundles:"
            f" predictions are in {workdir / 'eval' / 'test'}, and the autoencoder that"
            " it started from can be exported"
        )
    data = system.open_data(workdir)
    selected = system.train.select and step is None
    step, variables = latest_variables(workdir / "best" if selected else workdir, step)
    found, own = data.train_set, cast(Any, system)
    adversarial = isinstance(system, ExampleAdversarialAutoencoder)
    export.save(
        output,
        model="autoencoder",
        params=variables["params"],
        state={k: v for k, v in variables.items() if k != "params"},
        model_config=own.model,
        signal=_signal(data),
        preprocessing=_preprocessing(data),
        labels=data.classes or None,
        source_run={"workdir": str(workdir), "step": step, **saved},
        extra={
            "task_kind": "adversarial" if adversarial else "reconstruction",
            "task": dataclasses.asdict(own.task),
            "examples": {
                "source": system.data.source,
                "shape": list(found.shape),
                "dtype": found.x.dtype.name,
                "origin": found.origin,
            },
        },
    )
    return step


def _signal(data: ExampleData) -> export.SignalConfig:
    found = data.train_set
    window_s = found.shape[0] / found.rate_hz if found.rate_hz else 0.0
    return export.SignalConfig(
        rate_hz=found.rate_hz,
        channels=found.shape[-1] if len(found.shape) > 1 else 1,
        units=found.units,
        window_s=window_s,
        patch_s=window_s,
    )


def _preprocessing(data: ExampleData) -> dict[str, Any]:
    """How raw files become examples."""
    c = data.config
    if c.source == "clips":
        return {"rate_hz": c.rate_hz, "channel": c.channel, "samples": c.samples}
    if c.source == "windows":
        from sigjax.data.labelled import LabelledSet

        return LabelledSet.open(c.path).preprocessing
    return {}
