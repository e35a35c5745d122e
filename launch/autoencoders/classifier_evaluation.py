"""How well a classifier of examples does: figures of a run's test side, or of a bundle.

What an evaluation leaves in its folder: metrics.json, predictions.parquet,
confusion.csv and .png, and, where groups (people, speakers) are known, per_person.csv
and .png. Intervals are over groups, or over examples where nobody knows the groups.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.autoencoders.classification import open_bundle
from launch.autoencoders.sets import Chosen, chosen, of_same_set, renumbered
from launch.evaluating import Asked, EvaluationError
from sigjax.data.examples.example_set import ExampleSet, digest
from sigjax.data.examples.stream import ExampleError
from sigjax.evals.bootstrap import interval, resamples
from sigjax.evals.classification import (
    Predictions,
    score,
    write_evaluation,
    write_predictions,
)
from sigjax.evals.classification_figures import confusion as draw_confusion
from sigjax.evals.tables import write_csv
from sigjax.inference.code_classifier import CodeClassifierModel
from sigjax.train.writer import prepare_workdir, replace_file

_SHOWN = ("accuracy", "balanced_accuracy", "kappa", "macro_f1")


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    asked: Asked,
) -> str:
    """Evaluates a classifier of examples on labelled ones; see `launch.evaluating`.

    Raises:
      BundleError: It is no such classifier.
      ExampleError: See `launch.autoencoders.sets.chosen`; or no example has a label, or
        one has a label that the model does not know.
      EvaluationError: Examples were trained on, or what is asked is for other data.
      FileNotFoundError: There is no such file.
    """
    model = open_bundle(bundle)
    given = chosen(model, bundle, dataset, asked)
    found = given.found
    if not (found.label >= 0).any():
        raise ExampleError(
            f"{dataset}: no example has a label, so nothing can be judged: give an .npz"
            " with x and label, a table of launch.build_calls or a labelled set;"
            " launch.predict says what the model takes examples for"
        )
    remarks = [*given.remarks, *_trained_on(model, dataset, given, asked)]
    found = found._replace(
        label=renumbered(found, model.labels), classes=tuple(model.labels)
    )
    probability = model.in_batches(
        model.probabilities, found.x, batch_size=asked.batch_size or 64
    )
    folder = prepare_workdir(output)
    title = f"{epath.Path(bundle).name}: {found.origin}, {given.side}"
    figures = write(
        folder,
        predictions(model.labels, probability, found),
        title,
        grouped=is_grouped(found),
        simulated="SIMULATED" in found.origin,
        bootstrap=asked.bootstrap,
        seed=asked.seed,
        about={
            "bundle": str(bundle),
            "dataset": {"path": str(dataset), "origin": found.origin},
            "side": given.side,
            "remarks": remarks,
        },
    )
    files = ", ".join(sorted(path.name for path in folder.iterdir()))
    head = ["", title, *remarks, f"{figures['labels']} labelled examples:"]
    return "\n".join([*head, *lines(figures), f"in {folder}: {files}"])


def _trained_on(
    model: CodeClassifierModel, dataset: epath.PathLike, given: Chosen, asked: Asked
) -> list[str]:
    """What is to be said of examples that the model may have been trained on.

    Raises:
      EvaluationError: It was, and nobody asked for that.
    """
    extra, found = model.info["extra"], given.found
    if digest(found) == (extra.get("dataset") or {}).get("test"):
        return ["the test examples of the model's own run"]
    known = (extra.get("groups") or {}).get("train") or []
    both = sorted(set(known) & set(found.group.tolist()))
    if not of_same_set(model, dataset):
        if not both:
            return []
        return [
            f"groups of these names were trained on: {_some(both)}; if they are the"
            " same ones, figures say little of others"
        ]
    whole = not known and not asked.split
    if (both or whole) and not asked.allow_training_people:
        which = f"{len(both)} of its groups: {_some(both)}" if both else "a part of it"
        raise EvaluationError(
            f"the model was trained on {which} ({dataset}): choose what is held out by"
            " --split, evaluate the run's own test side with --workdir=RUN, or give"
            " --allow_training_people"
        )
    if both or whole:
        return ["EXAMPLES OF THIS SET WERE TRAINED ON"]
    return [] if known else ["whether some of these were trained on is not recorded"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def is_grouped(found: ExampleSet) -> bool:
    """Whether the group of every example is known."""
    return bool((found.group != "").all())


def predictions(
    classes: Sequence[str], probability: np.ndarray, found: ExampleSet
) -> Predictions:
    """Probabilities `[n, v]` of examples, with what is true; persons are groups."""
    return Predictions(
        classes=tuple(classes),
        probability=np.asarray(probability, np.float32),
        label=found.label,
        person=found.group if is_grouped(found) else found.ids,
        recording=found.ids,
        time=np.zeros(len(found.x)),
    )


def write(
    folder: epath.Path,
    said: Predictions,
    title: str,
    *,
    grouped: bool,
    simulated: bool,
    bootstrap: int = 1000,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Scores predictions and writes the results; see the top of this file.

    Args:
      folder: Gets the files.
      said: Of `predictions`.
      title: Of the pictures.
      grouped: Whether persons are groups, and no examples.
      simulated: Whether the examples are.
      bootstrap: Resamples of groups or examples.
      seed: Of the resamples.
      about: What else metrics.json says.

    Returns:
      What metrics.json holds: figures of `sigjax.evals.classification.score`, and the
      same of `accuracy`.
    """
    figures = score(said, bootstrap=bootstrap, seed=seed)
    figures = {
        "accuracy": _accuracy(said, bootstrap, seed),
        "uar": figures["balanced_accuracy"],
        **figures,
        "intervals_over": "groups" if grouped else "examples",
        **({"about": dict(about)} if about else {}),
    }
    title = f"{title}: {figures['labels']} examples"
    note = "SIMULATED data" if simulated else ""
    if grouped:
        write_evaluation(folder, said, figures, title=title, note=note)
        return figures
    # An example alone has no figures worth a table or a picture.
    for name in ("per_person", "mean_of_people"):
        del figures[name]
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.parquet", said)
    counts, classes = figures["confusion"], list(said.classes)
    rows = [[name, *row] for name, row in zip(classes, counts, strict=True)]
    write_csv(folder / "confusion.csv", ["truth \\ predicted", *classes], rows)
    draw_confusion(
        folder / "confusion.png", np.array(counts), classes, title=title, note=note
    )
    text = json.dumps(figures, indent=1, allow_nan=False)
    replace_file(folder / "metrics.json", f"{text}\n".encode())
    return figures


def _accuracy(said: Predictions, bootstrap: int, seed: int) -> dict[str, Any]:
    """Share that is right, with an interval over persons, as `score` has others."""
    known = said.label >= 0
    right = said.predicted[known] == said.label[known]
    names, own = np.unique(said.person[known], return_inverse=True)
    hits, count = np.bincount(own, right), np.bincount(own)
    drawn = resamples(len(names), bootstrap, seed)
    return interval(right.mean(), drawn @ hits / (drawn @ count), len(names))


def lines(figures: Mapping[str, Any]) -> list[str]:
    """Figures for the terminal."""
    told = []
    for name in _SHOWN:
        found = figures[name]
        value = "undefined" if found["value"] is None else f"{found['value']:.3f}"
        if found["low"] is not None:
            value += f" [{found['low']:.3f}, {found['high']:.3f}]"
        told.append(f"  {name:<18}{value}")
    return [*told, f"  intervals: resampled {figures['intervals_over']}"]
