r"""Exports a trained run as an inference bundle.

python -m launch.export --workdir=runs/demo --output=bundles/demo

The bundle's `params/` is a plain Orbax checkpoint; `sigjax.load(BUNDLE)` embeds arrays
and raw device files with it.
"""

import sys

from absl import app, flags
from etils import epath

from launch import command, runtime
from launch.systems import load_run
from launch.wrist_mae import WristMae
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.store import Store, StoreError
from sigjax.train.checkpoint import CheckpointError, latest_params


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
    if not isinstance(system, WristMae):
        raise ConfigError(
            f"{workdir} is a run of launch.finetune, which leaves its bundle in"
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
    flags.mark_flags_as_required(["workdir", "output"])


def main(argv: list[str]) -> None:
    """Exports what the flags name."""
    command.refuse_arguments(argv)
    runtime.start()
    given = flags.FLAGS
    try:
        step = export_run(given.workdir, given.output, given.step)
        print(f"step {step} of {given.workdir} -> {given.output}")
        print(export.load(given.output))
    except (CheckpointError, ConfigError, FileNotFoundError, StoreError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
