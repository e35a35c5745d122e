r"""Pre-trains a system.

python -m launch.pretrain --config=configs/mae_wrist.py:demo --workdir=runs/demo

The same command continues a run that was stopped. Values of the config are changed by
flags (`--config.train.epochs=5`), an ablation of the config's `sweep()` is chosen by
`--sweep_index`. On several hosts every process runs this same command; see the README.
"""

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import jax
from absl import app, flags
from etils import epath
from ml_collections import ConfigDict, config_flags

from launch import command, runtime
from launch.systems import build_one, each_machine, parts_of
from sigjax.config import ConfigError
from sigjax.data.datasets.errors import DatasetError
from sigjax.data.store import StoreError
from sigjax.train.checkpoint import CheckpointError
from sigjax.train.config import TrainConfig
from sigjax.train.loop import InputChangedError, Trainer
from sigjax.train.meter import NonFiniteError
from sigjax.train.optim import OptimConfig, OptimError
from sigjax.train.sharding import MeshConfig, MeshError, make_mesh
from sigjax.train.writer import WorkdirError, prepare_workdir

# Mistakes of input or environment: the message is for the user, a traceback is not.
EXPECTED_ERRORS = (
    CheckpointError,
    ConfigError,
    DatasetError,
    InputChangedError,
    MeshError,
    NonFiniteError,
    OptimError,
    StoreError,
    WorkdirError,
)


class System(Protocol):
    """What this command needs of a system, beside the sections of its config."""

    seed: int
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def make_task(self, data: Any = None) -> Any:
        """The `sigjax.train.task.Task`, with sections checked against each other.

        Without data, classes and the like are made up: only sizes are of interest.
        """
        ...

    def open_data(self, workdir: epath.Path) -> Any:
        """The `sigjax.train.task.Data`."""
        ...

    def given(self, task: Any, data: Any, workdir: epath.Path) -> Mapping[str, Any]:
        """A part of the variables to start from; mostly `{}`."""
        ...

    def report(self, trainer: Trainer, task: Any, workdir: epath.Path) -> None:
        """Writes figures of a finished run and says what to do next."""
        ...


def apply_sweep(config, config_file: str, index: int) -> None:
    """Overrides `config` by entry `index` of the `sweep()` of its file."""
    path = config_file.split(":")[0]
    spec = importlib.util.spec_from_file_location("swept_config", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = list(module.sweep())
    if not 0 <= index < len(points):
        raise ConfigError(f"--sweep_index={index}: {path} has {len(points)} entries")
    print(f"sweep {index} of {len(points)}: {points[index]}")
    config.update_from_flattened_dict(points[index])


def pretrain(
    config, workdir: epath.PathLike, profile: tuple[int, int] | None = None
) -> None:
    """Trains what `config` describes; everything lands in `workdir`.

    A config with `parts` is trained part by part, each in a folder of its name. Where
    these are its set's machines, they are all that the set can train.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
      sigjax.train.preemption.Preempted: After SIGTERM, once the state is saved.
    """
    config = each_machine(config)
    parts = parts_of(config)
    systems = {n: build_one(part, "launch.pretrain") for n, part in parts.items()}
    for system in systems.values():
        # Mistakes of a part show before another is trained.
        system.make_task()
        make_mesh(system.mesh)
    workdir = prepare_workdir(workdir)
    if config.get("parts"):
        runtime.save_config(workdir, config)
    for number, (name, system) in enumerate(systems.items(), start=1):
        if name and jax.process_index() == 0:
            print(f"part {number} of {len(parts)}: {name}", flush=True)
        where = prepare_workdir(workdir / name) if name else workdir
        _train(system, parts[name], where, workdir, profile)


def _train(
    system: System,
    config: ConfigDict,
    workdir: epath.Path,
    data_folder: epath.Path,
    profile: tuple[int, int] | None,
) -> None:
    mesh = make_mesh(system.mesh)
    # Parts share the data that a config simulates.
    data = system.open_data(data_folder)
    task = system.make_task(data)
    if jax.process_index() == 0:
        for remark in getattr(data, "remarks", ()):
            print(remark, flush=True)
    runtime.save_config(workdir, config)
    trainer = Trainer(
        task,
        data,
        system.optim,
        system.train,
        mesh=mesh,
        rules=system.mesh.rules,
        workdir=workdir,
        seed=system.seed,
        given=system.given(task, data, workdir),
    )
    trainer.run(profile)
    system.report(trainer, task, workdir)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    config_flags.DEFINE_config_file("config", None, "Config file[:variant].")
    flags.DEFINE_string(
        "workdir", None, "Where the run lives; continues it if it does."
    )
    flags.DEFINE_integer("sweep_index", None, "Entry of the config's sweep().")
    flags.DEFINE_list(
        "profile_steps", None, "First and last step of a profiler trace, such as 10,15."
    )
    flags.mark_flags_as_required(["config", "workdir"])


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; a mistake in a config value is no traceback."""
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        sys.exit(f"error: --config: {error}")


def given_config() -> tuple[ConfigDict, tuple[int, int] | None]:
    """The config that the flags describe, and the steps to profile.

    Raises:
      ConfigError: A flag has no such value.
    """
    given, profile = flags.FLAGS, None
    if given.profile_steps:
        try:
            first, last = (int(step) for step in given.profile_steps)
        except ValueError:
            raise ConfigError(
                "--profile_steps takes two steps, such as 10,15"
            ) from None
        profile = first, last
    if given.sweep_index is not None:
        file = config_flags.get_config_filename(given["config"])
        apply_sweep(given.config, file, given.sweep_index)
    return given.config, profile


def main(argv: list[str]) -> None:
    """Runs `pretrain` with the flags' values."""
    command.refuse_arguments(argv)
    try:
        config, profile = given_config()
        runtime.start()
        pretrain(config, flags.FLAGS.workdir, profile)
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=parse_flags)
