r"""Exports a trained run as an inference bundle.

python -m launch.export --workdir=runs/demo --output=bundles/demo

The bundle's `params/` is a plain Orbax checkpoint; `sigjax.load(BUNDLE)` embeds arrays
and raw device files with it.

A run of an autoencoder of examples does the same: codes, reconstructions, scores; one
of a GAN gives samples, examples of latent vectors, and what the critic says.

A run on machine sounds becomes a detector: its back-ends are fitted on the training
clips, and thresholds taken. The back-end is the one that launch.evaluate chose, or the
one that is named. A run with parts gives a bundle for each, OUTPUT/PART:
  python -m launch.export --workdir=runs/asd_specific --output=bundles/asd --backend=knn
"""

import dataclasses
import sys

from absl import app, flags
from etils import epath

from launch import command, runtime
from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.export import export_examples
from launch.sounds import export as sound_export
from launch.sounds.autoencoder import SoundAutoencoder
from launch.sounds.sections import SoundSections
from launch.systems import load_run, runs_of
from launch.wrist.wrist_mae import WristMae
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.datasets.builder import DatasetError
from sigjax.data.store import Store, StoreError
from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.thresholds import ThresholdError
from sigjax.inference.base import BundleError
from sigjax.train.checkpoint import CheckpointError, latest_params

EXPECTED_ERRORS = (
    BackendError,
    BundleError,
    CheckpointError,
    ConfigError,
    DatasetError,
    FileNotFoundError,
    StoreError,
    ThresholdError,
)


def export_sounds(
    workdir: epath.PathLike, output: epath.PathLike, backend: str = ""
) -> list[str]:
    """Writes the detectors of a run on machine sounds, or of all its parts.

    Args:
      workdir: Its folder.
      output: Of the bundle, or of one bundle a part.
      backend: Its name; without, the one that was chosen.

    Returns:
      What was done, line by line.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    workdir, output = epath.Path(workdir), epath.Path(output)
    lines = []
    for run in runs_of(workdir):
        part = sound_export.part_of(run, workdir)
        name = run.workdir.name if run.workdir != workdir else ""
        chosen, why = sound_export.choose(part, workdir / "eval", backend)
        saved = load_run(run.workdir)[1]
        detector = sound_export.detector_of(part, chosen, saved)
        target = output / name if name else output
        detector.save(target)
        lines.append(f"{run.workdir} -> {target}")
        lines.append(f"  {detector}")
        lines.append(f"  back-end {why}")
        remarks: dict[str, list[str]] = {}
        for key, threshold in detector.thresholds.items():
            said = dataclasses.replace(threshold, remark="")
            lines.append(f"  {'/'.join(key)}: {said.describe(detector.hop_s[key])}")
            if threshold.remark:
                remarks.setdefault(threshold.remark, []).append("/".join(key))
        for remark, names in remarks.items():
            every = len(names) == len(detector.thresholds)
            which = "all thresholds" if every else ", ".join(names)
            lines.append(f"  {which}: {remark}")
    return lines


def export_run(
    workdir: epath.PathLike, output: epath.PathLike, step: int | None = None
) -> int:
    """Writes the bundle of a run; returns the exported step.

    Raises:
      FileNotFoundError: If `workdir` holds no run.
      ConfigError: If it is the run of a classifier.
      sigjax.train.checkpoint.CheckpointError: If the checkpoint cannot be read.
    """
    workdir = epath.Path(workdir)
    system, saved = load_run(workdir)
    if isinstance(system, ExampleSections):
        return export_examples(system, saved, workdir, output, step)
    if not isinstance(system, WristMae):
        raise ConfigError(
            f"{workdir} is a run that leaves its bundle by itself, in"
            f" {workdir / 'bundle'}"
        )
    step, params = latest_params(workdir, step)
    store = Store.open(system.data.store or str(workdir / "store"))
    task = system.task
    export.save(
        output,
        model="mae",
        params=params,
        model_config=system.model,
        signal=export.SignalConfig(
            rate_hz=task.rate_hz,
            channels=task.channels,
            units="g",
            window_s=task.window_s,
            patch_s=task.patch_s,
        ),
        preprocessing=store.description,
        source_run={"workdir": str(workdir), "step": step, **saved},
    )
    return step


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("workdir", None, "Directory of the run to export.")
    flags.DEFINE_string("output", None, "Folder of the bundle; replaced if it is one.")
    flags.DEFINE_integer("step", None, "Checkpoint to export; the newest by default.")
    flags.DEFINE_string("backend", "", "Of machine sounds: which back-end.")
    flags.mark_flags_as_required(["workdir", "output"])


def main(argv: list[str]) -> None:
    """Exports what the flags name."""
    command.refuse_arguments(argv)
    runtime.start()
    given = flags.FLAGS
    try:
        run = runs_of(given.workdir)[0]
        if isinstance(run.system, SoundSections | SoundAutoencoder):
            if given.step is not None:
                raise ConfigError(
                    "--step is not for machine sounds: their best or newest checkpoint"
                    " is exported, the one that launch.evaluate scores"
                )
            print(*export_sounds(given.workdir, given.output, given.backend), sep="\n")
            return
        if given.backend:
            raise ConfigError("--backend is for runs on machine sounds")
        step = export_run(given.workdir, given.output, given.step)
        print(f"step {step} of {given.workdir} -> {given.output}")
        print(export.load(given.output))
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
