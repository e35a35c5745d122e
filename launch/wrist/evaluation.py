"""What launch.evaluate does with a model and windows: scores, files and a table."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tqdm
from etils import epath

from launch.evaluating import EvaluationError
from launch.wrist import evaluation_table
from sigjax.data.windows import LabelledWindows
from sigjax.evals.classification import score, write_evaluation
from sigjax.evals.embedding_figures import balanced_rows, projections
from sigjax.evals.predictions import Predictions
from sigjax.evals.windows import Classifier, embed_rows, predict_windows

_PROGRESS = functools.partial(tqdm.tqdm, disable=None, unit="batch")


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
