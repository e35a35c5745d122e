r"""Evaluates a trained model on people it was not trained on.

A run of launch.finetune, on the people its config tests:
  python -m launch.evaluate --workdir=runs/har

A bundle, on data of any origin that it can be judged by; see below:
  python -m launch.evaluate --bundle=runs/har/bundle --dataset=sets/capture24 \
      --scheme=Willetts2018 --split=paper_80_20 --side=test --output=eval

Anyone's DCASE Task 2 submission, by the rule of its year:
  python -m launch.evaluate --submission=DIR --truth=GROUND_TRUTH

A run of launch.pretrain: losses of held-out people and the reconstruction picture:
  python -m launch.evaluate --workdir=runs/demo

A run of autoencoders or GANs: losses, PCA of equal size and purity of codes, pictures:
  python -m launch.evaluate --workdir=runs/ae

A run of section classifiers or autoencoders of machine sounds, or of all its parts:
  python -m launch.evaluate --workdir=runs/asd

A run of launch.finetune on audio events or mixtures of them:
  python -m launch.evaluate --workdir=runs/esc50

What --dataset is, by what the bundle holds; it has the classes that the model knows:

  wrist classifier    a labelled set of launch.build_dataset; --scheme, --split
  audio events        a set of launch.build_events; --split=test, or fold5
  segmenter           the same, from which mixtures are made; or a folder of recordings
                      with an events.csv: path, start_s, end_s, label
  classifier of       what launch.extract takes for it, with labels: a table of
    examples          launch.build_calls, a labelled wrist set, an .npz; --split
  autoencoder         the same, labelled or not, or files and folders as launch.predict
                      takes them; PCA of equal size is fitted to the other splits, or
                      without --split to what is evaluated

Of people: windows do not overlap, and every label counts once. Balanced accuracy,
Cohen's kappa and macro-F1 come with intervals over people. `RUN/eval/SIDE` (or
`--output`) gets metrics.json, confusion.csv and .png, per_person.csv and .png,
predictions.parquet (a row per label window) and embeddings.png (PCA and UMAP).
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from absl import app, flags
from etils import epath

from launch import command, finetune, runtime
from launch.audio_events import conclusion as event_conclusion
from launch.audio_events import evaluation as event_evaluation
from launch.audio_events.system import EventRecognition
from launch.autoencoders import finetuning as classifiers
from launch.autoencoders.classifier import ExampleClassifier
from launch.autoencoders.evaluation import evaluate_examples
from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.masked import ExampleMae
from launch.autoencoders.masked import evaluate as evaluate_masked
from launch.evaluating import Asked, EvaluationError, room_of
from launch.segmentation import evaluation as segmentation_evaluation
from launch.segmentation import finetuning as segmentation
from launch.segmentation.system import SoundSegmentation
from launch.sounds import evaluation as sound_evaluation
from launch.sounds import scoring as sound_scoring
from launch.sounds import submission as asd_submission
from launch.sounds.autoencoder import SoundAutoencoder
from launch.sounds.sections import SoundSections
from launch.systems import Run, command_of, runs_of
from launch.wrist import conclusion
from launch.wrist.bundle_evaluation import labelled_windows, open_classifier
from launch.wrist.evaluate_pretraining import evaluate_pretraining
from launch.wrist.evaluation import evaluate
from launch.wrist.har_wrist import HarWrist
from launch.wrist.wrist_mae import WristMae
from sigjax.data import audio
from sigjax.data.clips import ManifestError
from sigjax.data.windows import WindowConfig
from sigjax.evals.predictions import PredictionsError
from sigjax.train.writer import prepare_workdir

# Who can be evaluated of a run; "unused" are people of its set on no side.
SIDES = ("test", "validation", "train", "unused")

EXPECTED_ERRORS = (
    *finetune.EXPECTED_ERRORS,
    *asd_submission.EXPECTED_ERRORS,
    *sound_evaluation.EXPECTED_ERRORS,
    EvaluationError,
    ManifestError,
    PredictionsError,
    audio.AudioError,
)


def evaluate_run(
    workdir: epath.PathLike,
    side: str = "test",
    *,
    allow_training_people: bool = False,
    **options: Any,
) -> str:
    """Evaluates a run of launch.finetune or launch.pretrain.

    Args:
      workdir: Its directory; results go below `eval`.
      side: One of `SIDES`; not for pre-training.
      allow_training_people: Also evaluate people who were trained on.
      **options: See `evaluate`.

    Returns:
      A table for the terminal.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    workdir = prepare_workdir(workdir)
    runs = runs_of(workdir)
    if all(isinstance(run.system, SoundSections | SoundAutoencoder) for run in runs):
        if side != "test":
            raise EvaluationError(
                f"--side={side} is of people; of machine sounds both sides, development"
                " and evaluation, are always scored"
            )
        return _evaluate_sounds(runs, workdir, options.get("bootstrap", 1000))
    system = runs[0].system
    options["allow_training_people"] = allow_training_people
    for kind, evaluate_one in _OF_SYSTEMS:
        if isinstance(system, kind):
            return evaluate_one(system, workdir, side, options)
    which = f"{workdir} is a run of {command_of(system)}"
    raise EvaluationError(f"{which}, which writes its figures itself")


def _evaluate_people(
    system: HarWrist, workdir: epath.Path, side: str, options: dict[str, Any]
) -> str:
    data = system.open_data(workdir)
    result = conclusion.conclude(system, data, workdir)
    people = data.unused if side == "unused" else data.people.get(cast(Any, side))
    if not people:
        there = {name: len(some) for name, some in data.people.items()}
        there["unused"] = len(data.unused)
        sides = ", ".join(f"{name} ({count})" for name, count in there.items())
        raise EvaluationError(
            f"nobody is on the side {side!r} of {workdir}; people: {sides}"
        )
    source = labelled_windows(
        data.dataset,
        people,
        WindowConfig(
            scheme=data.config.scheme,
            window_s=data.config.window_s,
            stride_s=data.config.window_s,
            tail="reach_back",
            min_purity=data.config.min_purity,
        ),
    )
    return evaluate(
        open_classifier(workdir / "bundle"),
        source,
        workdir / "eval" / side,
        side=side,
        trained=result,
        name=workdir.name,
        **options,
    )


def _evaluate_sounds(runs: Sequence[Run], workdir: epath.Path, bootstrap: int) -> str:
    parts = [
        sound_scoring.Part(
            # What a config simulates lies in the folder of all its parts.
            system=run.system,
            data=run.system.open_data(workdir),
            workdir=run.workdir,
        )
        for run in runs
    ]
    folder = workdir / "eval"
    return sound_evaluation.evaluate_sounds(parts, folder, bootstrap=bootstrap)


def _evaluate_events(
    system: EventRecognition, workdir: epath.Path, side: str, options: dict[str, Any]
) -> str:
    if side not in event_evaluation.SIDES:
        sides = ", ".join(event_evaluation.SIDES)
        raise EvaluationError(f"--side={side}: audio events have the sides {sides}")
    data = system.open_data(workdir)
    result = event_conclusion.conclude(system, data, workdir)
    folder = workdir / "eval" / side
    found = event_evaluation.evaluate(
        event_conclusion.open_bundle(workdir),
        system,
        data,
        cast(Any, side),
        folder,
        result,
        bootstrap=options.get("bootstrap"),
        seed=options.get("seed", 0),
    )
    title = f"{workdir.name}, {side}, step {result['chosen_step']}: {result['rule']}"
    return event_evaluation.table(found, folder, title)


def _conclude_classifier(
    system: ExampleClassifier, workdir: epath.Path, side: str, options: dict[str, Any]
) -> str:
    del options
    if side != "test":
        raise EvaluationError(
            f"--side={side}: a classifier of examples is evaluated on the side test"
        )
    result = classifiers.conclude(system, system.open_data(workdir), workdir)
    return classifiers.summary(result, workdir)


def _evaluate_segmentation(
    system: SoundSegmentation, workdir: epath.Path, side: str, options: dict[str, Any]
) -> str:
    del options
    if side not in segmentation_evaluation.SIDES:
        sides = ", ".join(segmentation_evaluation.SIDES)
        raise EvaluationError(f"--side={side}: mixtures have the sides {sides}")
    data = system.open_data(workdir)
    result = segmentation.conclude(system, data, workdir)
    folder = workdir / "eval" / side
    model = segmentation.open_bundle(workdir)
    found = segmentation_evaluation.evaluate(
        model, system, data, cast(Any, side), folder, result
    )
    title = f"{workdir.name}, {side}, step {result['chosen_step']}: {result['rule']}"
    return segmentation_evaluation.table(found, folder, title)


def _whole(evaluate_one: Callable[..., str]) -> Callable[..., str]:
    """Of a run whose held-out examples are one side, whichever is asked for."""
    return lambda system, workdir, side, options: evaluate_one(system, workdir)


# The first that a system is, with what evaluates its runs.
_OF_SYSTEMS: tuple[tuple[type, Callable[..., str]], ...] = (
    (EventRecognition, _evaluate_events),
    (SoundSegmentation, _evaluate_segmentation),
    (WristMae, _whole(evaluate_pretraining)),
    (HarWrist, _evaluate_people),
    (ExampleClassifier, _conclude_classifier),
    (ExampleMae, _whole(evaluate_masked)),
    (ExampleSections, _whole(evaluate_examples)),
)


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    **asked: Any,
) -> str:
    """Evaluates a bundle on given data, by what evaluates runs of its kind.

    Args:
      bundle: Of a model that `launch.evaluating.ROOMS` has.
      dataset: What the top of this file says of it.
      output: Folder for the results.
      **asked: Fields of `launch.evaluating.Asked`.

    Returns:
      A table for the terminal.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    return room_of(bundle).evaluate_bundle(bundle, dataset, output, Asked(**asked))


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """The command's flags; not on import, where other commands' may be defined."""

    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, values)

    text("workdir", None, "Run of launch.finetune or launch.pretrain.")
    text("bundle", None, "Bundle to evaluate instead of a run.")
    text("dataset", None, "With --bundle: what it is judged by; see above.")
    text("scheme", "", "With --bundle: label scheme.")
    text("split", "", "With --bundle: division of people, or splits.")
    text("submission", None, "Instead: folder of anomaly_score_*.csv to score.")
    text("truth", None, "With --submission: ground truth, or a manifest with labels.")
    text("output", None, "With --bundle or --submission: folder for the results.")
    text("side", "test", f"Whom to evaluate; of a run one of {', '.join(SIDES)}.")
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_integer("year", None, "With --submission: of its rule.", 2020, **own)
    least = "With --bundle: a label counts from this share of its samples on."
    flags.DEFINE_float("min_purity", 0.0, least, **own)
    flags.DEFINE_bool("allow_training_people", False, "Also those trained on.", **own)
    flags.DEFINE_integer("batch_size", None, "Windows at a time; by device.", 1, **own)
    flags.DEFINE_integer("bootstrap", 1000, "Resamples of people.", 1, **own)
    flags.DEFINE_integer("seed", 0, "Of resamples and of the points drawn.", 0, **own)
    flags.DEFINE_bool("embeddings", True, "Draw PCA and UMAP of embeddings.", **own)
    flags.DEFINE_integer("points", 20_000, "Embeddings drawn at most.", 3, **own)


def check_flags(given: flags.FlagValues) -> None:
    """Refuses flags that contradict each other.

    Raises:
      app.UsageError: Saying which.
    """
    if sum(given[n].present for n in ("workdir", "bundle", "submission")) != 1:
        raise app.UsageError(
            "give one of --workdir=RUN, --bundle=BUNDLE and --submission=FOLDER"
        )
    if bool(given.submission) != bool(given.truth):
        raise app.UsageError("--submission=FOLDER and --truth=FOLDER need each other")
    if given.bundle and not (given.dataset and given.output):
        raise app.UsageError("--bundle needs --dataset=SET and --output=FOLDER")
    for name in ("dataset", "scheme", "split", "output", "min_purity"):
        if given.workdir and given[name].present:
            raise app.UsageError(
                f"--{name} is for --bundle; a run's own data are in its config"
            )


def main(argv: list[str]) -> None:
    """Evaluates what the flags name."""
    command.refuse_arguments(argv)
    given = flags.FLAGS
    check_flags(given)
    options = {
        "side": given.side,
        "allow_training_people": given.allow_training_people,
        "batch_size": given.batch_size,
        "bootstrap": given.bootstrap,
        "seed": given.seed,
        "points": given.points if given.embeddings else 0,
    }
    runtime.start()
    try:
        if given.submission:
            figures = {k: options[k] for k in ("bootstrap", "seed")}
            folder, truth = given.submission, given.truth
            print(
                asd_submission.score_submission(
                    folder, truth, given.year, output=given.output, **figures
                )
            )
        elif given.workdir:
            print(evaluate_run(given.workdir, **options))
        else:
            data = {k: given[k].value for k in ("scheme", "split", "min_purity")}
            print(
                evaluate_bundle(
                    given.bundle, given.dataset, given.output, **data, **options
                )
            )
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
