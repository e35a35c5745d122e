"""Figures of audio events with intervals over sources, and the files of an evaluation.

Clips of one source (a video, an upload) are not independent of each other. So intervals
come from resampling sources with replacement. They say nothing of other training runs:
seeds and folds are other draws, of which `compare` takes several at once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.evals import event_figures
from sigjax.evals.bootstrap import LEVEL, interval, number, resamples
from sigjax.evals.event_predictions import (
    EventPredictions,
    concatenate_events,
    event_order,
    of_clips,
    read_event_predictions,
    write_event_predictions,
)
from sigjax.evals.predictions import PredictionsError
from sigjax.evals.tables import write_csv
from sigjax.metrics import audio_events as metrics
from sigjax.metrics.classification import confusion_matrix, per_class
from sigjax.train.writer import replace_file

__all__ = [
    "EventPredictions",
    "PredictionsError",
    "compare",
    "concatenate_events",
    "figures_of",
    "lines",
    "of_clips",
    "read_event_predictions",
    "score",
    "write_evaluation",
    "write_event_predictions",
]

TOP = 5
# Sorting and summing of all classes once more for each so many resamples.
_AT_ONCE = 50

# A figure of every resample, float64 `[r]`, from how often each clip is in each.
_Figure = Callable[[np.ndarray], np.ndarray]


def score(
    predictions: EventPredictions, *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Figures of a model; JSON-able, None where a figure is undefined.

    Args:
      predictions: Clips without a label are counted and not scored.
      bootstrap: Resamples of sources. Of 527 classes and 20,000 clips, mAP takes about
        three minutes for 1,000; with 0 there are no intervals.
      seed: Of the resamples.

    Returns:
      `figures`: by name `value`, `low`, `high`, percentile intervals at `level`, None
      with fewer than two sources. Of `"single"` `top1`, `top5`, `balanced_accuracy`; of
      `"multi"` `map`; of `"verb_noun"` `verb_top1`, `noun_top1`, `action_top1` and
      their `top5`. Top-5 is left out of 5 classes or fewer.
      `per_class`: by head, for each name its `support` and `recall`, `precision`, `f1`
      (classes that a model has to choose from) or `average_precision` (of `"multi"`).
      `confusion`: by head, counts `[v][v]`, rows are the truth; not of `"multi"`.
      `kind`, `classes`, `clips`, `clips_without_labels`, `sources`, `level`,
      `bootstrap`.

    Raises:
      PredictionsError: No clip has a label.
    """
    p = _labelled(predictions)
    sources, source = np.unique(p.group, return_inverse=True)
    found: dict[str, Any] = {"kind": p.kind, "figures": {}}
    # What all clips give is a resample too, in which each is once.
    drawn = _drawn(len(sources), bootstrap, seed)
    for name, figure in figures_of(p).items():
        value = float(figure(np.ones((1, len(p))))[0])
        draws = _in_parts(figure, drawn, source)
        found["figures"][name] = interval(value, draws, len(sources))
    found["per_class"], found["confusion"] = _per_class(p)
    return {
        **found,
        "classes": {head: list(names) for head, names in p.classes.items()},
        "clips": len(p),
        "clips_without_labels": len(predictions) - len(p),
        "sources": len(sources),
        "level": LEVEL,
        "bootstrap": bootstrap,
    }


def figures_of(p: EventPredictions) -> dict[str, _Figure]:
    """Figures by name, as functions of how often each clip counts.

    Args:
      p: Clips that all have a label.

    Returns:
      Functions of float `[r, n]` that return float64 `[r]`.
    """
    if p.kind == "multi":
        target, probability = p.truth["target"], p.probability["target"]

        def mean_precision(weight: np.ndarray) -> np.ndarray:
            each = metrics.average_precisions(target, probability, weight=weight)
            return metrics.mean_average_precision(each)

        return {"map": mean_precision}
    found: dict[str, _Figure] = {}
    for head, names in p.classes.items():
        prefix = "" if p.kind == "single" else f"{head}_"
        label, probability = p.truth[head], p.probability[head]
        hits = metrics.top_k_hits(probability, label)
        found[f"{prefix}top1"] = _share(hits)
        if len(names) > TOP:
            top = metrics.top_k_hits(probability, label, TOP)
            found[f"{prefix}top{TOP}"] = _share(top)
        if p.kind == "single":
            found["balanced_accuracy"] = _balanced(hits, label, len(names))
    if p.kind == "verb_noun":
        score, truth = p.probability, p.truth
        for k in (1, TOP):
            hits = metrics.action_hits(
                score["verb"], truth["verb"], score["noun"], truth["noun"], k
            )
            found[f"action_top{k}"] = _share(hits)
    return found


def compare(
    a: EventPredictions | Sequence[EventPredictions],
    b: EventPredictions | Sequence[EventPredictions],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares two systems on the same clips.

    Both are scored on the same resamples of sources, so what clips have in common does
    not widen the interval of the difference.

    Args:
      a: Of one system; or of several runs of it (seeds), whose figures are averaged.
      b: Of the other.
      bootstrap: Resamples of sources.
      seed: Of the resamples.

    Returns:
      By figure, as `score` names them: `a`, `b` and `difference` (a - b), each with
      `value`, `low`, `high`. Also `clips`, `sources`, `runs_a`, `runs_b`, `level`,
      `bootstrap`.

    Raises:
      PredictionsError: Clips, labels or classes are not the same.
    """
    sides = [[x] if isinstance(x, EventPredictions) else list(x) for x in (a, b)]
    if not all(sides):
        raise PredictionsError("there is nothing to compare")
    runs = [[_sorted(_labelled(run)) for run in side] for side in sides]
    first = runs[0][0]
    for run in [run for side in runs for run in side][1:]:
        _check_paired(first, run)
    sources, source = np.unique(first.group, return_inverse=True)
    drawn = _drawn(len(sources), bootstrap, seed)
    found: dict[str, Any] = {}
    for name in figures_of(first):
        value, draws = [], []
        for side in runs:
            figures = [figures_of(run)[name] for run in side]
            once = np.ones((1, len(first)))
            value.append(np.mean([figure(once)[0] for figure in figures]))
            draws.append(
                np.mean([_in_parts(f, drawn, source) for f in figures], axis=0)
            )
        count = len(sources)
        found[name] = {
            "a": interval(value[0], draws[0], count),
            "b": interval(value[1], draws[1], count),
            "difference": interval(value[0] - value[1], draws[0] - draws[1], count),
        }
    return {
        **found,
        "clips": len(first),
        "sources": len(sources),
        "runs_a": len(runs[0]),
        "runs_b": len(runs[1]),
        "level": LEVEL,
        "bootstrap": bootstrap,
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """What `score` found as lines of text, for people."""
    lines = [f"{found['clips']:,} clips of {found['sources']:,} sources"]
    if found["clips_without_labels"]:
        lines[0] += f"; {found['clips_without_labels']:,} without a label not scored"
    for name, figure in found["figures"].items():
        text = "undefined" if figure["value"] is None else f"{figure['value']:.4f}"
        if figure["low"] is not None:
            text += f" [{figure['low']:.4f}, {figure['high']:.4f}]"
        lines.append(f"{name.replace('_', ' '):>18}  {text}")
    return lines


def write_evaluation(
    folder: epath.PathLike,
    predictions: EventPredictions,
    found: Mapping[str, Any],
    *,
    title: str,
    note: str = "",
) -> None:
    """Writes an evaluation; `metrics.json` comes last, so with it the rest is whole.

    Args:
      folder: Made if it is not there. Gets `metrics.json`, `predictions.parquet`, and
        for each head `per_class_HEAD.csv` and `.png`, `confusion_HEAD.csv` (counts, a
        row for each true class) and, of not too many classes, `confusion_HEAD.png`.
      predictions: What was scored.
      found: What `score` returned; other JSON-able keys may have been added.
      title: Over the figures.
      note: Under the title, such as `"SIMULATED data"`.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_event_predictions(folder / "predictions.parquet", predictions)
    for head, table in found["per_class"].items():
        header = ["class", *next(iter(table.values()))]
        rows = [[name, *row.values()] for name, row in table.items()]
        write_csv(folder / f"per_class_{head}.csv", header, rows)
        event_figures.classes(
            folder / f"per_class_{head}.png", table, title=title, note=note
        )
    for head, counts in found["confusion"].items():
        names = found["classes"][head]
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        path = folder / f"confusion_{head}"
        write_csv(f"{path}.csv", ["truth \\ predicted", *names], rows)
        event_figures.confusion(
            f"{path}.png", np.array(counts), names, title=title, note=note
        )
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    replace_file(folder / "metrics.json", text.encode())


def _labelled(p: EventPredictions) -> EventPredictions:
    if not p.labelled.any():
        raise PredictionsError(f"none of {len(p)} clips has a label: nothing to score")
    return _rows(p, np.flatnonzero(p.labelled))


def _sorted(p: EventPredictions) -> EventPredictions:
    return _rows(p, event_order(p))


def _rows(p: EventPredictions, rows: np.ndarray) -> EventPredictions:
    return EventPredictions(
        kind=p.kind,
        classes=p.classes,
        probability={head: value[rows] for head, value in p.probability.items()},
        truth={head: value[rows] for head, value in p.truth.items()},
        path=p.path[rows],
        start_s=p.start_s[rows],
        group=p.group[rows],
        end_s=p.end_s[rows],
    )


def _check_paired(first: EventPredictions, run: EventPredictions) -> None:
    if dict(run.classes) != dict(first.classes):
        raise PredictionsError("cannot compare: classes differ")
    same = len(run) == len(first) and np.array_equal(run.path, first.path)
    for name in ("start_s", "end_s") if same else ():
        own, other = getattr(run, name), getattr(first, name)
        same = same and np.array_equal(own, other, equal_nan=True)
    if not same:
        raise PredictionsError(
            f"cannot compare: {len(first)} and {len(run)} clips that are not the same"
        )
    differ = sum(
        int((run.truth[head] != first.truth[head]).sum()) for head in first.classes
    )
    if differ:
        raise PredictionsError(f"cannot compare: {differ} labels differ")


def _drawn(sources: int, count: int, seed: int) -> np.ndarray:
    if not count:
        return np.zeros((0, sources))
    return resamples(sources, count, seed)


def _in_parts(figure: _Figure, drawn: np.ndarray, source: np.ndarray) -> np.ndarray:
    """A figure of each resample of sources, some at a time."""
    parts = [
        figure(drawn[first : first + _AT_ONCE][:, source])
        for first in range(0, len(drawn), _AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _share(hits: np.ndarray) -> _Figure:
    return lambda weight: (weight @ hits.astype(np.float64)) / weight.sum(axis=-1)


def _balanced(hits: np.ndarray, label: np.ndarray, classes: int) -> _Figure:
    """Mean recall over the classes that occur."""
    of_class = np.zeros((len(label), classes))
    of_class[np.arange(len(label)), label] = 1

    def figure(weight: np.ndarray) -> np.ndarray:
        total, right = weight @ of_class, (weight * hits) @ of_class
        there = total > 0
        recall = np.divide(right, total, out=np.zeros_like(right), where=there)
        return recall.sum(axis=-1) / there.sum(axis=-1)

    return figure


def _per_class(p: EventPredictions) -> tuple[dict[str, Any], dict[str, Any]]:
    tables, confusions = {}, {}
    for head, names in p.classes.items():
        truth, probability = p.truth[head], p.probability[head]
        if p.kind == "multi":
            precision = metrics.average_precisions(truth, probability)
            support = truth.sum(axis=0)
            tables[head] = {
                name: {"support": int(n), "average_precision": number(value)}
                for name, n, value in zip(names, support, precision, strict=True)
            }
            continue
        matrix = confusion_matrix(truth, probability.argmax(axis=-1), len(names))
        each = per_class(matrix)
        confusions[head] = matrix.tolist()
        tables[head] = {
            name: {
                "support": int(each.support[i]),
                "recall": number(each.recall[i]),
                "precision": number(each.precision[i]),
                "f1": number(each.f1[i]),
            }
            for i, name in enumerate(names)
        }
    return tables, confusions
