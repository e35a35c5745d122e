"""What launch.finetune does with wrist recordings: encoder and head, or head alone."""

from collections.abc import Callable

from etils import epath

from launch.finetuning import Start
from launch.wrist import conclusion, encoders, frozen
from launch.wrist.har_wrist import HarWrist
from sigjax.config import ConfigError
from sigjax.data.har import HarData
from sigjax.losses.classification import class_weights

conclude, summary = conclusion.conclude, conclusion.summary


def check(system: HarWrist) -> None:
    """Refuses an encoder that neither learns nor has learned.

    Raises:
      ConfigError: Saying what to give.
    """
    if not system.encoder.weights and not system.encoder.trainable:
        raise ConfigError(
            "encoder.weights is empty: give a run of launch.pretrain or a bundle, or"
            " --config.encoder.weights=untrained to compare with an encoder that never"
            " learned, or train from scratch with the variant 'scratch'"
        )


def start(
    system: HarWrist, data: HarData, workdir: epath.Path, save: Callable[[], None]
) -> Start:
    """Task, batches and weights; see `launch.finetuning.Room`.

    Raises:
      ConfigError: The encoder or the selection does not fit the people.
    """
    _check_selection(system, data)
    given = {}
    if system.encoder.trainable:
        model, found = conclusion.model_of(system, data)
        save()
        stream = data
        if found is not None:
            given = found.variables()
    else:
        variables, about = frozen.encoder_of_run(system, data, workdir)
        save()
        architecture = encoders.architecture_of(about)
        model = system.classifier(len(data.classes), architecture)
        stream, statistics = frozen.token_data(system, data, model, variables, workdir)
        if system.head.standardise:
            given = {"statistics": statistics}
    task = system.make_task(model, class_weights(data.class_counts))
    return Start(task, stream, given)


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
