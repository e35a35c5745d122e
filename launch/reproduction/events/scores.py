"""From predictions of cells, and counts, to the numbers of a table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch.reproduction.events.cells import Plan
from launch.reproduction.runner import Outcome
from sigjax.evals import audio_events as evals
from sigjax.evals.audio_events import EventPredictions


class RowScore(NamedTuple):
    """What a row of a table shows.

    Attributes:
      metrics: By name `value` (mean over seeds), `low`, `high` (over sources of test
        clips), `sd` (over seeds; None for one) and `seeds`, the value of each. Of a
        count `value` alone.
      runs: Predictions of each seed.
      told: What the first seed's run says of itself.
      failed: Why there are no numbers; "" if there are, or none are to be.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    runs: Sequence[EventPredictions] = ()
    told: Mapping[str, Any] = {}
    failed: str = ""


def of_rows(
    plan: Plan, outcomes: Mapping[str, Outcome], workdir: epath.Path
) -> list[RowScore]:
    """Scores of every row; one that lacks a cell is told why."""
    return [_of_row(plan, outcomes, workdir, n) for n in range(len(plan.sheet.rows))]


def _of_row(
    plan: Plan, outcomes: Mapping[str, Outcome], workdir: epath.Path, row: int
) -> RowScore:
    if row in plan.not_run:
        return RowScore({}, failed=plan.not_run[row])
    keys = [key for (place, _), key in sorted(plan.places.items()) if place == row]
    for key in keys:
        if outcomes[key].error:
            return RowScore({}, failed=outcomes[key].error)
    results = [outcomes[key].result or {} for key in keys]
    if not keys:
        return RowScore({})
    if plan.sheet.rows[row].network:
        macs = results[0]["macs"]
        found = {name: {"value": macs[name]} for name in plan.sheet.metrics}
        return RowScore(found, told={"parameters_m": macs["parameters_m"]})
    runs = [
        evals.read_event_predictions(workdir / "cells" / key / result["predictions"])
        for key, result in zip(keys, results, strict=True)
    ]
    return RowScore(summary(runs), runs, results[0]["finetuned"])


def summary(runs: Sequence[EventPredictions]) -> dict[str, dict[str, Any]]:
    """Mean over runs, interval over sources, spread over runs, of each figure."""
    whole = evals.compare(runs, runs)
    alone = [evals.compare(run, run, bootstrap=0) for run in runs]
    found = {}
    for name, figure in whole.items():
        if not isinstance(figure, Mapping):
            continue  # Counts of clips and runs.
        each = [own[name]["a"]["value"] for own in alone]
        sd = float(np.std(each, ddof=1)) if len(each) > 1 else None
        found[name] = {**figure["a"], "sd": sd, "seeds": each}
    return found


def differences(plan: Plan, rows: Sequence[RowScore]) -> list[dict[str, Any]]:
    """The sheet's pairs: the first's figures less the second's, on the same clips."""
    places = {row.title: place for place, row in enumerate(plan.sheet.rows)}
    found = []
    for first, second in plan.sheet.differences:
        a, b = (plan.sheet.rows[places[name]].paper for name in (first, second))
        printed = {m: a[m] - b[m] for m in plan.sheet.metrics if m in a and m in b}
        entry: dict[str, Any] = {"first": first, "second": second, "paper": printed}
        a, b = rows[places[first]], rows[places[second]]
        if not (a.runs and b.runs):
            entry["failed"] = a.failed or b.failed or "not run"
        else:
            paired = evals.compare(a.runs, b.runs)
            entry["ours"] = {
                name: paired[name]["difference"]
                for name in plan.sheet.metrics
                if name in paired
            }
        found.append(entry)
    return found
