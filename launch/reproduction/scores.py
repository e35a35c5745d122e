"""From predictions of cells to the numbers of a table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch.reproduction.cells import Plan
from launch.reproduction.runner import Outcome
from launch.reproduction.sheets import METRICS
from sigjax.evals.classification import (
    SCORES,
    Predictions,
    concatenate,
    paired_bootstrap,
    read_predictions,
)
from sigjax.metrics.classification import confusion_matrix

assert set(METRICS) <= set(SCORES)


class RowScore(NamedTuple):
    """What a row of a table shows.

    Attributes:
      metrics: By name `value` (mean over seeds), `low`, `high` (over people), `sd`
        (over seeds; None for one) and `seeds`, the value of each.
      runs: Predictions of each seed, all folds together.
      reconstruction: By name, the mean over seeds and folds of what a probe found.
      pretrain: Validation figures of each seed's pretraining, of the first fold.
      selected_on: Who chose the steps, as `launch.finetune` says; "" if nobody did.
      failed: Why there are no numbers; "" if there are.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    runs: Sequence[Predictions]
    reconstruction: Mapping[str, float]
    pretrain: Sequence[Mapping[str, float]]
    selected_on: str
    failed: str

    @classmethod
    def none(cls, why: str) -> "RowScore":
        """A row without numbers."""
        return cls({}, (), {}, (), "", why)


def of_rows(
    plan: Plan, outcomes: Mapping[str, Outcome], workdir: epath.Path
) -> list[RowScore]:
    """Scores of every row; one that lacks a cell is told why."""
    return [_of_row(plan, outcomes, workdir, n) for n in range(len(plan.sheet.rows))]


def _of_row(plan, outcomes, workdir: epath.Path, row: int) -> RowScore:
    if row in plan.not_run:
        return RowScore.none(plan.not_run[row])
    runs, pretrain, told = [], [], []
    for seed in range(plan.seeds):
        count = max(1, len(plan.sheet.folds))
        folds = [plan.places[row, seed, fold] for fold in range(count)]
        for key in folds:
            if outcomes[key].error:
                return RowScore.none(outcomes[key].error)
        results = [outcomes[key].result for key in folds]
        parts = [
            read_predictions(workdir / "cells" / key / result["predictions"])
            for key, result in zip(folds, results, strict=True)
        ]
        runs.append(concatenate(parts) if len(parts) > 1 else parts[0])
        told += [r["finetuned"].get("reconstruction") or {} for r in results]
        parent = plan.cells[folds[0]].parent
        if parent is not None:
            pretrain.append(outcomes[parent.key].result.get("validation") or {})
    names = {name for found in told for name in found}
    means = {
        name: float(np.mean([found[name] for found in told if name in found]))
        for name in sorted(names)
    }
    selected_on = results[0]["finetuned"].get("selected_on", "")
    return RowScore(summary(runs), runs, means, pretrain, selected_on, "")


def summary(runs: Sequence[Predictions]) -> dict[str, dict[str, Any]]:
    """Mean over runs, interval over people, spread over runs, of each metric."""
    found = paired_bootstrap(runs, runs)
    summed = {}
    for name in SCORES:
        each = [float(SCORES[name](confusion(run))) for run in runs]
        sd = float(np.std(each, ddof=1)) if len(each) > 1 else None
        summed[name] = {**found[name]["a"], "sd": sd, "seeds": each}
    return summed


def confusion(run: Predictions) -> np.ndarray:
    """Counts `[v, v]`, rows are the truth."""
    return confusion_matrix(run.label, run.predicted, len(run.classes))


def differences(plan: Plan, rows: Sequence[RowScore]) -> list[dict[str, Any]]:
    """The sheet's pairs: the first's figures less the second's, on the same people."""
    places = {row.title: place for place, row in enumerate(plan.sheet.rows)}
    found = []
    for first, second in plan.sheet.differences:
        a, b = rows[places[first]], rows[places[second]]
        entry: dict[str, Any] = {"first": first, "second": second}
        if a.failed or b.failed:
            entry["failed"] = a.failed or b.failed
        else:
            paired = paired_bootstrap(a.runs, b.runs)
            entry |= {
                name: {
                    **paired[name]["difference"],
                    "first_above": paired[name]["a_above_b"],
                }
                for name in plan.sheet.metrics
            }
        found.append(entry)
    return found
