"""A bundle of a classifier of wrist recordings on people of any labelled set."""

from collections.abc import Sequence

from etils import epath

from launch.evaluating import Asked, EvaluationError
from launch.wrist.evaluation import evaluate
from sigjax import export
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.labelled import LabelledSet
from sigjax.data.windows import LabelledWindows, WindowConfig
from sigjax.inference.classifier import ClassifierModel
from sigjax.train.writer import prepare_workdir


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    asked: Asked,
) -> str:
    """Evaluates a bundle on people of a labelled set; see `launch.evaluating.Room`.

    Raises:
      EvaluationError: It is no classifier, lengths do not fit, or people were trained
        on.
      DatasetError: There is no set, or no such person, division or scheme.
      PredictionsError: The set has other classes than the model.
    """
    model = open_classifier(epath.Path(bundle))
    opened = LabelledSet.open(dataset)
    people = tuple(opened.people)
    if asked.split:
        people = opened.side(asked.split, asked.side)
    window_s = model.signal.window_s
    config = WindowConfig(
        scheme=asked.scheme or opened.default_scheme,
        window_s=window_s,
        stride_s=window_s,
        tail="reach_back",
        min_purity=asked.min_purity,
    )
    return evaluate(
        model,
        labelled_windows(opened, people, config),
        prepare_workdir(output),
        side=f"{asked.side} of {asked.split}" if asked.split else "everybody",
        trained=model.info.get("extra") or {},
        name=epath.Path(bundle).name,
        allow_training_people=asked.allow_training_people,
        batch_size=asked.batch_size,
        bootstrap=asked.bootstrap,
        seed=asked.seed,
        points=asked.points,
    )


def open_classifier(bundle: epath.Path) -> ClassifierModel:
    """Loads a classifier of wrist recordings.

    Raises:
      EvaluationError: The bundle holds something else.
    """
    model = export.load(bundle)
    if not isinstance(model, ClassifierModel):
        raise EvaluationError(
            f"{bundle} holds no classifier of wrist recordings: train one with"
            " launch.finetune"
        )
    return model


def labelled_windows(
    dataset: LabelledSet, people: Sequence[str], config: WindowConfig
) -> LabelledWindows:
    """Windows of people of a set.

    Raises:
      EvaluationError: Lengths do not fit the set's records.
      DatasetError: As of `LabelledWindows`.
    """
    try:
        return LabelledWindows(dataset, people, config)
    except DatasetError:
        raise
    except ValueError as error:
        raise EvaluationError(f"{dataset.path}: {error}") from error
