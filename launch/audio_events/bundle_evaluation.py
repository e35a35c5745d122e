"""A bundle of a recogniser of audio events on clips of any set of its classes."""

from collections.abc import Mapping

import numpy as np
from etils import epath

from launch.audio_events import evaluation
from launch.audio_events.prediction import open_model
from launch.evaluating import Asked
from sigjax.config import ConfigError
from sigjax.data.audio_events.sounds import EventSet
from sigjax.train.writer import prepare_workdir

_OF_PEOPLE = "for bundles of wrist recordings, and this is one of audio events"


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    asked: Asked,
) -> str:
    """Evaluates a bundle on clips of a set; see `launch.evaluating.Room`.

    Raises:
      ConfigError: The set is of another rate or kind, of classes that the model does
        not know, or has no such split.
      BundleError: It has no head.
      DatasetError: There is no set.
      EvaluationError: What is asked is for other bundles.
    """
    asked.refuse("scheme", "min_purity", why=_OF_PEOPLE)
    model, opened = open_model(bundle), EventSet.open(dataset)
    check_rate(opened, model.rate_hz)
    if tuple(opened.classes) != tuple(model.classes):
        raise ConfigError(
            f"{opened.path} has labels of {', '.join(opened.classes)}, the model of"
            f" {', '.join(model.classes)}"
        )
    check_classes(opened, model.classes)
    clips = chosen(opened, asked.splits)
    size = {"batch_size": asked.batch_size} if asked.batch_size else {}
    found = evaluation.predictions(model, opened, clips, **size)
    which = ", ".join(asked.splits) or "all clips"
    about = {"name": opened.name, "fingerprint": opened.fingerprint}
    folder = prepare_workdir(output)
    figures = evaluation.write(
        found,
        folder,
        title=f"{opened.name}, {which}",
        simulated=opened.simulated,
        about={"side": which, "dataset": {"path": str(opened.path), **about}},
        bootstrap=asked.bootstrap,
        seed=asked.seed,
    )
    return evaluation.table(figures, folder, epath.Path(bundle).name)


def check_rate(opened: EventSet, rate_hz: int) -> None:
    """Refuses a set of another rate than the model takes.

    Raises:
      ConfigError: It is.
    """
    if opened.rate_hz != rate_hz:
        raise ConfigError(
            f"{opened.path} is of {opened.rate_hz} Hz, the model takes {rate_hz}"
            f" Hz: build the set again with --rate_hz={rate_hz}"
        )


def check_classes(opened: EventSet, classes: Mapping[str, tuple[str, ...]]) -> None:
    """Refuses a set of classes that a model does not know.

    Args:
      opened: The set.
      classes: The model's, by head.

    Raises:
      ConfigError: It has some.
    """
    for head, names in opened.classes.items():
        unknown = [name for name in names if name not in classes[head]]
        if unknown:
            raise ConfigError(
                f"{len(unknown)} classes of {opened.path} are none of the model's:"
                f" {', '.join(unknown[:5])}{', ...' if unknown[5:] else ''}; the model"
                f" knows {', '.join(classes[head][:5])}, ..."
            )


def chosen(opened: EventSet, splits: tuple[str, ...]) -> np.ndarray:
    """Numbers of the clips of some splits, int64 `[n]`; all if none is named.

    Args:
      opened: The set.
      splits: Names of its splits, or of its folds: `fold5`.

    Raises:
      ConfigError: It has no clip there.
    """
    folds = {f"fold{number}": number for number in opened.folds}
    found = [
        opened.where(fold=folds[name])
        if name in folds and name not in opened.splits
        else opened.where(split=name)
        for name in splits
    ]
    clips = opened.where() if not splits else np.unique(np.concatenate(found))
    for name, some in zip(splits, found, strict=True):
        if not len(some):
            raise ConfigError(
                f"{opened.path} has no split {name}: it has"
                f" {', '.join((*filter(None, opened.splits), *folds))}"
            )
    return clips
