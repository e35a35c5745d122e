r"""Trains an encoder, or a head on it, with labels.

Activities of wrist recordings:
  python -m launch.finetune --config=configs/har_wrist.py --workdir=runs/har \
      --config.data.dataset=sets/capture24 --config.encoder.weights=runs/ukb

Events of sound:
  python -m launch.finetune --config=configs/audio_events.py:esc50 \
      --workdir=runs/esc50 --config.data.dataset=sets/esc50 \
      --config.encoder.weights=bundles/dat_t

Masks or frames of events in mixtures of clips:
  python -m launch.finetune --config=configs/segmentation.py --workdir=runs/masks \
      --config.data.dataset=sets/esc10

Classes of images, sounds or windows, from an autoencoder's encoder:
  python -m launch.finetune --config=configs/code_classifier.py --workdir=runs/few \
      --config.data.labelled=0.03 --config.encoder.weights=runs/ae

The encoder comes from a run of launch.pretrain, from a bundle (launch.convert), or is
trained from scratch; see the config's own text. The same command continues a run that
was stopped. At its end WORKDIR holds `bundle/`, which `launch.predict` takes,
`eval/test/` with figures and predictions, `result.json`.
"""

import sys

import jax
from absl import app, flags
from etils import epath

from launch import command, pretrain, runtime
from launch.finetuning import Result, room_of
from launch.systems import build_one
from sigjax.data.datasets.folders import DatasetError
from sigjax.inference.base import BundleError
from sigjax.train.loop import Trainer
from sigjax.train.sharding import make_mesh
from sigjax.train.step import InitialValuesError
from sigjax.train.writer import prepare_workdir

EXPECTED_ERRORS = (
    *pretrain.EXPECTED_ERRORS,
    BundleError,
    DatasetError,
    FileNotFoundError,
    InitialValuesError,
)


def finetune(
    config, workdir: epath.PathLike, profile: tuple[int, int] | None = None
) -> Result:
    """Trains what `config` describes; everything lands in `workdir`.

    Returns:
      What `result.json` holds; `{}` where several processes share the work: then
      `launch.evaluate --workdir=...` in one process concludes the run.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
      sigjax.train.preemption.Preempted: After SIGTERM, once the state is saved.
    """
    system = build_one(config, "launch.finetune")
    room = room_of(str(config.system))
    room.check(system)
    mesh = make_mesh(system.mesh)
    workdir = prepare_workdir(workdir)
    data = system.open_data(workdir)
    start = room.start(
        system, data, workdir, lambda: runtime.save_config(workdir, config)
    )
    trainer = Trainer(
        start.task,
        start.data,
        system.optim,
        system.train,
        mesh=mesh,
        rules=system.mesh.rules,
        workdir=workdir,
        seed=system.seed,
        given=start.given,
    )
    trainer.run(profile)
    if jax.process_count() > 1:
        return {}
    return room.conclude(system, data, workdir)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    pretrain.define_flags()


def main(argv: list[str]) -> None:
    """Runs `finetune` with the flags' values."""
    command.refuse_arguments(argv)
    try:
        config, profile = pretrain.given_config()
        runtime.start()
        result = finetune(config, flags.FLAGS.workdir, profile)
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")
    if result and jax.process_index() == 0:
        room = room_of(str(config.system))
        print(room.summary(result, epath.Path(flags.FLAGS.workdir)))
    elif jax.process_index() == 0:
        print(
            "trained; for bundle and figures, in one process:\n"
            f"  python -m launch.evaluate --workdir={flags.FLAGS.workdir}"
        )


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=pretrain.parse_flags)
