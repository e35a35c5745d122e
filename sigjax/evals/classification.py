"""Figures of a classifier with intervals over people, and the files of an evaluation.

People are what is drawn from a population; a person's label windows are not independent
of each other. So intervals come from resampling people with replacement: a resample's
label windows are pooled and scored as one confusion matrix.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.evals import classification_figures as figures
from sigjax.evals.bootstrap import LEVEL, interval, number, resamples
from sigjax.evals.predictions import (
    Predictions,
    PredictionsError,
    concatenate,
    order,
    read_predictions,
    write_predictions,
)
from sigjax.evals.tables import write_csv
from sigjax.metrics import classification as metrics
from sigjax.train.writer import replace_file

__all__ = [
    "Predictions",
    "PredictionsError",
    "concatenate",
    "paired_bootstrap",
    "read_predictions",
    "score",
    "write_evaluation",
    "write_predictions",
]

SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    name: metrics.METRICS[name] for name in ("balanced_accuracy", "kappa", "macro_f1")
}


def score(
    predictions: Predictions, *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Figures of a classifier; JSON-able, None where a figure is undefined.

    Args:
      predictions: Rows without a label are counted and not scored.
      bootstrap: Resamples of people for the intervals.
      seed: Of the resamples.

    Returns:
      `balanced_accuracy`, `kappa`, `macro_f1`: of all label windows pooled, `value`,
      `low`, `high` each; percentile intervals at `level`, None with fewer than two
      people. Classes that a resample lacks count in it as `metrics.classification`
      says.
      `mean_of_people`: the same three as the mean over people of each one's own
      figure, with `people`, how many it is defined for.
      `per_class`: for each name `precision`, `recall`, `f1`, `support`.
      `per_person`: `person`, `n` and the three, worst first.
      `confusion`: counts `[v][v]`, rows are the truth; `classes` names them.
      `labels`, `labels_missing`, `people`, `people_without_labels`, `level`,
      `bootstrap`.

    Raises:
      PredictionsError: No row has a label.
    """
    people, confusion = _of_people(predictions)
    pooled = confusion.sum(axis=0)
    share = resamples(len(people), bootstrap, seed)
    of_resamples = np.tensordot(share, confusion, axes=1)
    alone = {name: metric(confusion) for name, metric in SCORES.items()}
    found: dict[str, Any] = {
        name: interval(metric(pooled), metric(of_resamples), len(people))
        for name, metric in SCORES.items()
    }
    found["mean_of_people"] = {
        name: _mean_of_people(values, share) for name, values in alone.items()
    }
    classes = metrics.per_class(pooled)
    found["per_class"] = {
        name: {
            "precision": number(classes.precision[i]),
            "recall": number(classes.recall[i]),
            "f1": number(classes.f1[i]),
            "support": int(classes.support[i]),
        }
        for i, name in enumerate(predictions.classes)
    }
    found["per_person"] = [
        {
            "person": str(people[i]),
            "n": int(confusion[i].sum()),
            **{name: number(values[i]) for name, values in alone.items()},
        }
        for i in np.argsort(alone["balanced_accuracy"], kind="stable")
    ]
    everybody = len(np.unique(predictions.person))
    return {
        **found,
        "classes": list(predictions.classes),
        "confusion": pooled.tolist(),
        "labels": int(pooled.sum()),
        "labels_missing": len(predictions) - int(pooled.sum()),
        "people": len(people),
        "people_without_labels": everybody - len(people),
        "level": LEVEL,
        "bootstrap": bootstrap,
    }


def paired_bootstrap(
    a: Predictions | Sequence[Predictions],
    b: Predictions | Sequence[Predictions],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares two systems on the same label windows of the same people.

    Both are scored on the same resamples of people, so what people have in common
    does not widen the interval of the difference.

    Args:
      a: Of one system; or of several runs of it (seeds), whose figures are averaged.
      b: Of the other.
      bootstrap: Resamples of people.
      seed: Of the resamples.

    Returns:
      For each of `balanced_accuracy`, `kappa`, `macro_f1`: `a`, `b` and `difference`
      (a - b), each with `value`, `low`, `high`, and `a_above_b`, the share of resamples
      in which a is ahead. Also `labels`, `people`, `runs_a`, `runs_b`, `level`,
      `bootstrap`.

    Raises:
      PredictionsError: Label windows, labels or classes are not the same.
    """
    sides = [[x] if isinstance(x, Predictions) else list(x) for x in (a, b)]
    if not all(sides):
        raise PredictionsError("there is nothing to compare")
    _check_paired([run for side in sides for run in side])
    confusion = [np.stack([_of_people(run)[1] for run in side]) for side in sides]
    people = confusion[0].shape[1]
    share = resamples(people, bootstrap, seed)
    found: dict[str, Any] = {}
    for name, metric in SCORES.items():
        # [runs, people, v, v]: resample people within each run, then average runs.
        value = [metric(c.sum(axis=1)).mean(axis=0) for c in confusion]
        drawn = [
            metric(np.einsum("rp,spij->srij", share, c)).mean(axis=0) for c in confusion
        ]
        ahead = np.isfinite(drawn[0]) & np.isfinite(drawn[1])
        found[name] = {
            "a": interval(value[0], drawn[0], people),
            "b": interval(value[1], drawn[1], people),
            "difference": interval(value[0] - value[1], drawn[0] - drawn[1], people),
            "a_above_b": number((drawn[0] > drawn[1])[ahead].mean())
            if people > 1 and ahead.any()
            else None,
        }
    return {
        **found,
        "labels": int(confusion[0][0].sum()),
        "people": people,
        "runs_a": len(sides[0]),
        "runs_b": len(sides[1]),
        "level": LEVEL,
        "bootstrap": bootstrap,
    }


def write_evaluation(
    folder: epath.PathLike,
    predictions: Predictions,
    found: Mapping[str, Any],
    *,
    title: str,
    note: str = "",
) -> None:
    """Writes an evaluation; `metrics.json` comes last, so with it the rest is whole.

    Args:
      folder: Made if it is not there. Gets `metrics.json`, `confusion.csv` (counts, a
        row for each true class), `per_person.csv`, `predictions.parquet`,
        `confusion.png` and `per_person.png`.
      predictions: What was scored.
      found: What `score` returned; other JSON-able keys may have been added.
      title: Over the figures.
      note: Under the title, such as `"SIMULATED data"`.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.parquet", predictions)
    classes, confusion = found["classes"], found["confusion"]
    rows = [[name, *counts] for name, counts in zip(classes, confusion, strict=True)]
    write_csv(folder / "confusion.csv", ["truth \\ predicted", *classes], rows)
    people = found["per_person"]
    header = ["person", "n", *SCORES]
    rows = [[person[key] for key in header] for person in people]
    write_csv(folder / "per_person.csv", header, rows)
    figures.confusion(
        folder / "confusion.png",
        np.array(confusion),
        classes,
        title=title,
        note=note,
    )
    figures.per_person(folder / "per_person.png", found, title=title, note=note)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    replace_file(folder / "metrics.json", text.encode())


def _of_people(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Names `[p]` and int64 confusion matrices `[p, v, v]` of people with labels."""
    counted = predictions.label >= 0
    if not counted.any():
        raise PredictionsError(
            f"none of {len(predictions)} label windows has a label: nothing to score"
        )
    people, index = np.unique(predictions.person[counted], return_inverse=True)
    v = len(predictions.classes)
    cell = (index * v + predictions.label[counted]) * v
    cell = cell + predictions.predicted[counted]
    counts = np.bincount(cell, minlength=len(people) * v * v)
    return people, counts.reshape(len(people), v, v)


def _mean_of_people(values: np.ndarray, share: np.ndarray) -> dict[str, Any]:
    """Mean over the people for whom a figure is defined, and its interval."""
    defined = np.isfinite(values)
    if not defined.any():
        return {"value": None, "low": None, "high": None, "people": 0}
    share = share[:, defined]
    total = share.sum(axis=-1)
    drawn = (share @ values[defined])[total > 0] / total[total > 0]
    mean = values[defined].mean()
    count = int(defined.sum())
    return {**interval(mean, drawn, count), "people": count}


def _check_paired(runs: Sequence[Predictions]) -> None:
    first = runs[0]
    rows = order(first)
    for run in runs[1:]:
        if run.classes != first.classes:
            raise PredictionsError(
                f"cannot compare: classes {', '.join(first.classes)} and"
                f" {', '.join(run.classes)}"
            )
        other = order(run)
        same = len(run) == len(first)
        same = same and np.array_equal(first.recording[rows], run.recording[other])
        if not same or not np.array_equal(first.time[rows], run.time[other]):
            raise PredictionsError(
                f"cannot compare: {len(first)} and {len(run)} label windows that are"
                " not the same; evaluate both on the same people and windows"
            )
        differ = (first.label[rows] != run.label[other]).sum()
        if differ or (first.person[rows] != run.person[other]).any():
            raise PredictionsError(
                f"cannot compare: {differ} of {len(run)} label windows have different"
                " labels or people in the two"
            )
