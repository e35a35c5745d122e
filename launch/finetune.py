r"""Trains a head, or encoder and head, on labelled recordings.

python -m launch.finetune --config=configs/har_wrist.py --workdir=runs/har \
    --config.data.dataset=sets/capture24 --config.encoder.weights=runs/ukb

The encoder comes from a run of launch.pretrain, from a bundle, or is trained from
scratch (`--config=configs/har_wrist.py:scratch`). The same command continues a run that
was stopped. At its end WORKDIR holds `bundle/`, which `launch.predict` takes,
`eval/test/` with figures and predictions, and `result.json`.
"""

import sys

import jax
from absl import app, flags
from etils import epath

from launch import command, pretrain, runtime
from launch.systems import build_one
from launch.wrist import conclusion, encoders, frozen
from launch.wrist.har_wrist import HarWrist
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.har import HarData
from sigjax.inference.base import BundleError
from sigjax.losses.classification import class_weights
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
) -> conclusion.Result:
    """Trains what `config` describes; everything lands in `workdir`.

    Returns:
      What `result.json` holds; `{}` where several processes share the work: then
      `launch.evaluate --workdir=...` in one process concludes the run.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
      sigjax.train.preemption.Preempted: After SIGTERM, once the state is saved.
    """
    system: HarWrist = build_one(config, "launch.finetune")
    if not system.encoder.weights and not system.encoder.trainable:
        raise ConfigError(
            "encoder.weights is empty: give a run of launch.pretrain or a bundle, or"
            " --config.encoder.weights=untrained to compare with an encoder that never"
            " learned, or train from scratch with the variant 'scratch'"
        )
    mesh = make_mesh(system.mesh)
    workdir = prepare_workdir(workdir)
    data = system.open_data(workdir)
    _check_selection(system, data)
    given = {}
    if system.encoder.trainable:
        model, found = conclusion.model_of(system, data)
        runtime.save_config(workdir, config)
        stream = data
        if found is not None:
            given = found.variables()
    else:
        variables, about = frozen.encoder_of_run(system, data, workdir)
        runtime.save_config(workdir, config)
        architecture = encoders.architecture_of(about)
        model = system.classifier(len(data.classes), architecture)
        stream, statistics = frozen.token_data(system, data, model, variables, workdir)
        if system.head.standardise:
            given = {"statistics": statistics}
    task = system.make_task(model, class_weights(data.class_counts))
    trainer = Trainer(
        task,
        stream,
        system.optim,
        system.train,
        mesh=mesh,
        rules=system.mesh.rules,
        workdir=workdir,
        seed=system.seed,
        given=given,
    )
    trainer.run(profile)
    if jax.process_count() > 1:
        return {}
    return conclusion.conclude(system, data, workdir)


def _check_selection(system: HarWrist, data: HarData) -> None:
    if system.train.select and not data.people["validation"]:
        raise ConfigError(
            f"train.select={system.train.select!r} needs people to choose the step"
            " with: set data.validation or data.validation_fraction, or train.select"
            " to '' for the last step"
        )
    if system.head.standardise and system.encoder.trainable:
        raise ConfigError(
            "head.standardise takes the mean of a frozen encoder's tokens; one that is"
            " trained has no such mean: set it to False"
        )


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
        print(conclusion.summary(result, epath.Path(flags.FLAGS.workdir)))
    elif jax.process_index() == 0:
        print(
            "trained; for bundle and figures, in one process:\n"
            f"  python -m launch.evaluate --workdir={flags.FLAGS.workdir}"
        )


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=pretrain.parse_flags)
