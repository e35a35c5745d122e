r"""Evaluates a trained model on people it was not trained on.

A run of launch.finetune, on the people its config tests:
  python -m launch.evaluate --workdir=runs/har

A bundle, on people of any labelled set that has its classes:
  python -m launch.evaluate --bundle=runs/har/bundle --dataset=sets/capture24 \
      --scheme=Willetts2018 --split=paper_80_20 --side=test --output=eval

A run of launch.pretrain: losses of held-out people and the reconstruction picture:
  python -m launch.evaluate --workdir=runs/demo

Windows do not overlap, and every label counts once. Balanced accuracy, Cohen's kappa
and macro-F1 come with intervals over people. `RUN/eval/SIDE` (or `--output`) gets
metrics.json, confusion.csv and .png, per_person.csv and .png, predictions.parquet (a
row per label window) and embeddings.png (PCA and UMAP).
"""

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import tqdm
from absl import app, flags
from etils import epath

from launch import conclusion, evaluation_table, finetune, runtime
from launch.evaluate_pretraining import evaluate_pretraining
from launch.har_wrist import HarWrist
from launch.systems import COMMANDS, load_run
from launch.wrist_mae import WristMae
from sigjax import export
from sigjax.data.labelled import LabelledSet
from sigjax.data.windows import LabelledWindows, WindowConfig
from sigjax.evals.classification import score, write_evaluation
from sigjax.evals.embedding_figures import balanced_rows, projections
from sigjax.evals.predictions import Predictions, PredictionsError
from sigjax.evals.windows import Classifier, embed_rows, predict_windows
from sigjax.inference.classifier import ClassifierModel
from sigjax.train.writer import prepare_workdir

# Who can be evaluated of a run; "unused" are people of its set on no side.
SIDES = ("test", "validation", "train", "unused")
_PROGRESS = functools.partial(tqdm.tqdm, disable=None, unit="batch")


class EvaluationError(ValueError):
    """What is asked for cannot be evaluated, or should not be; says why."""


EXPECTED_ERRORS = (*finetune.EXPECTED_ERRORS, EvaluationError, PredictionsError)


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
    system, _ = load_run(workdir)
    workdir = prepare_workdir(workdir)
    if isinstance(system, WristMae):
        return evaluate_pretraining(system, workdir)
    if not isinstance(system, HarWrist):
        raise EvaluationError(
            f"{workdir} is a run of {COMMANDS[type(system)]}, which writes its figures"
            " itself"
        )
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
    source = _windows(
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
        _classifier(workdir / "bundle"),
        source,
        workdir / "eval" / side,
        side=side,
        trained=result,
        name=workdir.name,
        allow_training_people=allow_training_people,
        **options,
    )


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    *,
    scheme: str = "",
    split: str = "",
    side: str = "test",
    min_purity: float = 0.0,
    allow_training_people: bool = False,
    **options: Any,
) -> str:
    """Evaluates a bundle on people of a labelled set.

    Args:
      bundle: What `launch.finetune` wrote.
      dataset: Folder of a labelled set.
      output: Folder for the results.
      scheme: Label scheme; the set's default if empty.
      split: Division of people by name or path; everybody if empty.
      side: Side of the division.
      min_purity: A label counts if this share of its raw samples has it.
      allow_training_people: Also evaluate people who were trained on.
      **options: See `evaluate`.

    Returns:
      A table for the terminal.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    model = _classifier(epath.Path(bundle))
    opened = LabelledSet.open(dataset)
    people = opened.side(split, side) if split else tuple(opened.people)
    window_s = model.signal.window_s
    config = WindowConfig(
        scheme=scheme or opened.default_scheme,
        window_s=window_s,
        stride_s=window_s,
        tail="reach_back",
        min_purity=min_purity,
    )
    return evaluate(
        model,
        _windows(opened, people, config),
        prepare_workdir(output),
        side=f"{side} of {split}" if split else "everybody",
        trained=model.info.get("extra") or {},
        name=epath.Path(bundle).name,
        allow_training_people=allow_training_people,
        **options,
    )


def evaluate(
    model: Classifier,
    source: LabelledWindows,
    folder: epath.Path,
    *,
    side: str,
    trained: Mapping[str, Any],
    name: str,
    allow_training_people: bool = False,
    batch_size: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    points: int = 20_000,
) -> str:
    """Runs a model over windows, scores it and writes the results.

    Args:
      model: A classifier.
      source: Windows that do not overlap.
      folder: Gets the files.
      side: Who these people are, for the reports.
      trained: What is known of its training, as in `result.json`.
      name: Of the run or bundle, for the figures.
      allow_training_people: Also evaluate people who were trained on.
      batch_size: Windows per call of the model; by default what suits the device.
      bootstrap: Resamples of people.
      seed: Of the resamples and of the points that are drawn.
      points: Embeddings to draw at most; 0 for no such figure.

    Returns:
      A table for the terminal.

    Raises:
      EvaluationError: Some of these people were trained on.
    """
    about = _about(source, side, trained, allow_training_people)
    options = {"batch_size": batch_size, "progress": _PROGRESS}
    predictions = predict_windows(model, source, **options)
    found = score(predictions, bootstrap=bootstrap, seed=seed)
    title = f"{name}: {found['people']} people of {source.dataset.name}, {side}"
    note = "\n".join(about["remarks"])
    if about["dataset"]["simulated"]:
        note = f"SIMULATED data\n{note}"
    write_evaluation(
        folder, predictions, {**found, "about": about}, title=title, note=note
    )
    said = ""
    if points:
        said = _embeddings(
            folder / "embeddings.png",
            predictions,
            functools.partial(embed_rows, model, source, **options),
            points=points,
            seed=seed,
            title=title,
            note=note,
        )
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    table = evaluation_table.table(found, about)
    return f"{table}\n{said}in {folder}: {names}"


def _about(
    source: LabelledWindows, side: str, trained: Mapping[str, Any], allowed: bool
) -> dict[str, Any]:
    """What `metrics.json` says of data and model, beside the figures."""
    dataset = source.dataset
    remarks = (
        [] if trained.get("people") else ["trained on: not recorded in the bundle"]
    )
    known: Mapping[str, Sequence[str]] = trained.get("people") or {}
    # Names tell people apart within a set, in whichever version it was built.
    there = trained.get("dataset") or {}
    same = there.get("name") == dataset.name
    both = sorted(set(known.get("train", ())) & set(source.people)) if same else []
    if both and not allowed:
        some = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
        raise EvaluationError(
            f"{len(both)} of these {len(source.people)} people were trained on: {some}."
            " Their figures say nothing about others; choose another side, or give"
            " --allow_training_people if that is what you want to see"
        )
    if both:
        remarks.append(f"{len(both)} OF THESE PEOPLE WERE TRAINED ON")
    if known:
        people = f"trained on {len(known['train'])} people of {there.get('name')}"
        step = f"step {trained.get('chosen_step')}: {trained.get('rule')}"
        remarks.append(f"{people}; {step}")
    choosers = set(known.get("validation", ())) & set(source.people) if same else set()
    if choosers and trained.get("selected_on") != "last step":
        remarks.append(
            f"THE STEP WAS CHOSEN ON {len(choosers)} OF THESE PEOPLE: figures are"
            " optimistic"
        )
    return {
        "side": side,
        "scheme": source.config.scheme,
        "dataset": {
            "path": str(dataset.path),
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "simulated": dataset.simulated,
        },
        "trained_on": both,
        "windows": source.summary,
        "remarks": remarks,
    }


def _embeddings(
    path: epath.Path,
    predictions: Predictions,
    embed,
    *,
    points: int,
    seed: int,
    title: str,
    note: str,
) -> str:
    """Draws what the head sees; returns why not, or nothing."""
    rows = balanced_rows(predictions.label, points, seed)
    if len(rows) < 3:
        return "too few labels to draw embeddings\n"
    projections(
        path,
        embed(rows),
        predictions.label[rows],
        predictions.classes,
        title=f"what the head sees of {title}",
        note=note,
        seed=seed,
        most=points,
        chosen_from=predictions.label,
    )
    return ""


def _classifier(bundle: epath.Path) -> ClassifierModel:
    model = export.load(bundle)
    if not isinstance(model, ClassifierModel):
        raise EvaluationError(
            f"{bundle} holds an encoder, which gives no classes: train a head on it"
            " with launch.finetune"
        )
    return model


def _windows(
    dataset: LabelledSet, people: Sequence[str], config: WindowConfig
) -> LabelledWindows:
    try:
        return LabelledWindows(dataset, people, config)
    except finetune.EXPECTED_ERRORS:
        raise
    except ValueError as error:  # Lengths that do not fit the set's records.
        raise EvaluationError(f"{dataset.path}: {error}") from error


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("workdir", None, "Run of launch.finetune or launch.pretrain.")
    flags.DEFINE_string("bundle", None, "Bundle to evaluate instead of a run.")
    flags.DEFINE_string("dataset", None, "With --bundle: folder of a labelled set.")
    flags.DEFINE_string("scheme", "", "With --bundle: label scheme.")
    flags.DEFINE_string("split", "", "With --bundle: division of people; else all.")
    flags.DEFINE_string("output", None, "With --bundle: folder for the results.")
    flags.DEFINE_float("min_purity", 0.0, "With --bundle: least share of a label.")
    flags.DEFINE_string("side", "test", f"Whom; of a run one of {', '.join(SIDES)}.")
    flags.DEFINE_bool("allow_training_people", False, "Also those trained on.")
    flags.DEFINE_integer("batch_size", None, "Windows at a time; chosen by device.")
    flags.DEFINE_integer("bootstrap", 1000, "Resamples of people.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of resamples and of the points drawn.")
    flags.DEFINE_bool("embeddings", True, "Draw PCA and UMAP of embeddings.")
    flags.DEFINE_integer("points", 20_000, "Embeddings drawn at most.", lower_bound=3)


def main(argv: list[str]) -> None:
    """Evaluates what the flags name."""
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    given = flags.FLAGS
    if (given.workdir is None) == (given.bundle is None):
        raise app.UsageError("give either --workdir=RUN or --bundle=BUNDLE")
    if given.bundle and not (given.dataset and given.output):
        raise app.UsageError("--bundle needs --dataset=SET and --output=FOLDER")
    own = [k for k in ("dataset", "scheme", "split", "output") if given[k].present]
    if given.workdir and own:
        raise app.UsageError(
            f"--{own[0]} is for --bundle; a run's own data are in its config"
        )
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
        if given.workdir:
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
