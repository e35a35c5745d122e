"""From measurements of cells to the numbers of a table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch.reproduction.autoencoders.cells import Plan
from launch.reproduction.runner import Outcome
from sigjax.evals import bootstrap
from sigjax.evals.paper_figures import half_width

# Arrays that a measurement leaves in its cell: figures of each example by name, and
# `group`; and those that pictures are made of.
VALUES, PICTURES = "values.npz", "pictures.npz"
_RESAMPLES = 1000


class RowScore(NamedTuple):
    """What a row of a table shows.

    Attributes:
      metrics: By name `value` (mean over seeds), `low`, `high`, `over` (what the
        interval is over), `sd` (over seeds; None for one) and `seeds`, each value.
      difference: Likewise of the first metric, less that of the row that it is held
        against, on the same examples, or seed by seed; None without.
      facts: What the first seed's measurement says beside numbers.
      folder: Of the first seed's cell; None without.
      failed: Why there are no numbers; "" if there are.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    difference: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = {}
    folder: epath.Path | None = None
    failed: str = ""


class _Run(NamedTuple):
    """One measurement: numbers, and arrays of examples."""

    numbers: Mapping[str, float | None]
    intervals: Mapping[str, Sequence[float | None]]
    arrays: Mapping[str, np.ndarray]
    group: np.ndarray | None


def of_rows(
    plan: Plan, outcomes: Mapping[str, Outcome], workdir: epath.Path
) -> list[RowScore]:
    """Scores of every row; one that lacks a cell is told why."""
    runs: dict[int, list[_Run]] = {}
    found = []
    for place in range(len(plan.sheet.rows)):
        keys = [key for (row, _), key in sorted(plan.places.items()) if row == place]
        errors = [outcomes[key].error for key in keys if outcomes[key].error]
        if errors or not keys:
            found.append(RowScore({}, failed=errors[0] if errors else "not run"))
            continue
        runs[place] = [_read(workdir / "cells" / key, outcomes[key]) for key in keys]
        result = outcomes[keys[0]].result or {}
        metrics = {
            name: score
            for name in plan.sheet.metrics
            if (score := _summary(runs[place], name)) is not None
        }
        folder = workdir / "cells" / keys[0]
        found.append(RowScore(metrics, None, result.get("facts", {}), folder))
    return _with_differences(plan, found, runs)


def _read(folder: epath.Path, outcome: Outcome) -> _Run:
    result = outcome.result or {}
    numbers = result.get("numbers", {})
    intervals = result.get("facts", {}).get("intervals", {})
    if not (folder / VALUES).exists():
        return _Run(numbers, intervals, {}, None)
    with np.load(folder / VALUES) as file:
        arrays = {name: file[name] for name in file.files}
    group = arrays.pop("group", None)
    return _Run(numbers, intervals, arrays, group)


def _summary(runs: Sequence[_Run], name: str) -> dict[str, Any] | None:
    if all(name in run.arrays for run in runs):
        rows = np.stack([run.arrays[name] for run in runs])
        return _of_examples(rows, runs[0].group)
    each = [run.numbers.get(name) for run in runs]
    known = [float(value) for value in each if value is not None]
    if len(known) < len(each) or not known:
        return None
    score = _of_numbers(known)
    if all(name in run.intervals for run in runs):
        # Of held-out recordings, which says more than a spread of few seeds.
        ends = np.array([run.intervals[name] for run in runs], float).mean(axis=0)
        low, high = (bootstrap.number(end) for end in ends)
        score |= {"low": low, "high": high, "over": "recordings"}
    return score


def _of_numbers(each: Sequence[float]) -> dict[str, Any]:
    value, half = float(np.mean(each)), half_width(each)
    low, high = bootstrap.number(value - half), bootstrap.number(value + half)
    sd = float(np.std(each, ddof=1)) if len(each) > 1 else None
    ends = {"low": low, "high": high, "over": f"{len(each)} seeds" if sd else ""}
    return {"value": value, **ends, "sd": sd, "seeds": list(each)}


def _of_examples(rows: np.ndarray, group: np.ndarray | None) -> dict[str, Any]:
    """Of `[seeds, n]`: groups, or examples, are drawn anew.

    Means over seeds of each example are drawn: the interval is of examples, not of
    trainings, whose spread stands beside it.
    """
    mean, kept = rows.mean(axis=0), ~np.isnan(rows).any(axis=0)
    unit, over = _units(group, len(mean))
    unit, mean = unit[kept], mean[kept]
    count = int(unit.max()) + 1 if len(unit) else 0
    total = np.bincount(unit, mean, count)
    number = np.bincount(unit, minlength=count)
    drawn = bootstrap.resamples(count, _RESAMPLES, seed=0)
    with np.errstate(invalid="ignore"):
        values = (drawn @ total) / (drawn @ number)
    seeds = [float(row[kept].mean()) for row in rows]
    return {
        **bootstrap.interval(mean.mean(), values, count),
        "over": f"{count} {over}",
        "sd": float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None,
        "seeds": seeds,
    }


# Fewer groups than this say little of others: then examples are drawn.
_LEAST_GROUPS = 5


def _units(group: np.ndarray | None, n: int) -> tuple[np.ndarray, str]:
    if group is not None and len(np.unique(group)) >= _LEAST_GROUPS:
        return np.unique(group, return_inverse=True)[1], "people or sources"
    return np.arange(n), "examples"


def _with_differences(
    plan: Plan, found: list[RowScore], runs: Mapping[int, Sequence[_Run]]
) -> list[RowScore]:
    places = {row.title: place for place, row in enumerate(plan.sheet.rows)}
    name = next(iter(plan.sheet.metrics))
    for place, row in enumerate(plan.sheet.rows):
        other = places.get(row.against)
        if other is None or found[place].failed or found[other].failed:
            continue
        ours, theirs = runs[place], runs[other]
        if all(name in run.arrays for run in (*ours, *theirs)):
            a = np.stack([run.arrays[name] for run in ours])
            b = np.stack([run.arrays[name] for run in theirs]).mean(axis=0)
            score = _of_examples(a - b, ours[0].group)
        elif name in found[place].metrics and name in found[other].metrics:
            own, bar = (found[at].metrics[name]["seeds"] for at in (place, other))
            # A bar without chance was measured once.
            bar = bar if len(bar) == len(own) else [float(np.mean(bar))] * len(own)
            pairs = zip(own, bar, strict=True)
            score = _of_numbers([value - less for value, less in pairs])
        else:
            continue
        found[place] = found[place]._replace(difference=score)
    return found
