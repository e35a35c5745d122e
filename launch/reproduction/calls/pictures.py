"""The figures of a sheet, from its cells."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.reproduction.calls import scores
from launch.reproduction.calls.cells import Plan
from launch.reproduction.calls.scores import Found
from launch.reproduction.calls.sheets import DATASETS
from launch.reproduction.calls.work import FRAMES, LENGTHS
from sigjax.evals.layer_probes import figures

_NO_PICTURE = ("datasets", "checkpoints", "scores")
# Data set: counts `[v, v]` and names of classes.
Confusions = Mapping[str, tuple[np.ndarray, tuple[str, ...]]]


def confusions(plan: Plan, found: Found) -> Confusions:
    """Of the fusion of each set's encoders, counts of all folds and seeds."""
    if plan.sheet.kind != "confusion":
        return {}
    whole = [
        row.dataset
        for row, own in zip(plan.sheet.rows, found.rows, strict=True)
        if not own.failed
    ]
    by_test = plan.protocol.choice == "test"
    result = {}
    for dataset in whole:
        sweep = found.sweeps[dataset]
        counts = sweep.confusion(scores.fusion(sweep, by_test=by_test))
        result[_name(dataset)] = counts.sum(axis=(0, 1)), sweep.classes
    return result


def draw(
    plan: Plan,
    found: Found,
    table: Mapping[str, Any],
    matrices: Confusions,
    workdir: epath.Path,
) -> list[epath.Path]:
    """Draws what the sheet's kind asks for, below `WORKDIR/figures`.

    Returns:
      The files written; none if no row has numbers.
    """
    sheet = plan.sheet
    if sheet.kind in _NO_PICTURE or all(row.failed for row in found.rows):
        return []
    folder = workdir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sheet.key}.png"
    told: Any = {"title": sheet.title, "note": note(table)}
    if sheet.kind == "lengths":
        read = functools.partial(_file, plan, workdir, name=LENGTHS)
        places = [n for n, row in enumerate(found.rows) if not row.failed]
        lengths = {sheet.rows[n].labels[0]: np.load(read(n)) for n in places}
        figures.durations(path, lengths, **told)
    elif sheet.kind == "pipeline":
        with np.load(_file(plan, workdir, 0, name=FRAMES)) as arrays:
            wave, frames = arrays["wave"], arrays["frames"]
        layer = found.rows[0].facts["layer"]
        figures.pipeline(path, wave, frames, layer=layer, **told)
    elif sheet.kind == "confusion":
        panels = [(name, *own) for name, own in matrices.items()]
        figures.confusion_panels(path, panels, **told)
    else:
        figures.layer_curves(path, _panels(plan, found, table), **told)
    return [path]


def note(table: Mapping[str, Any]) -> str:
    """Under a figure's title: what its numbers are of, and what is missing."""
    marks = ["SIMULATED calls"] * table["simulated"]
    marks += ["encoders with RANDOM WEIGHTS"] * table["random"]
    first = " and ".join(marks) or "calls and encoders as given"
    lines = [f"{first}; scale {table['scale_key']}, protocol {table['protocol_key']}"]
    missing = list(_missing(table["rows"]))
    if missing:
        lines.append(f"not run: {', '.join(missing)}")
    return "\n".join(lines)


def _missing(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows without numbers; of a set that has none, its name alone."""
    for name, of_set in itertools.groupby(rows, key=lambda row: row["labels"][0]):
        own = list(of_set)
        without = [row["name"] for row in own if row["why_not"]]
        yield from [name] if len(without) == len(own) else without


def _file(plan: Plan, workdir: epath.Path, place: int, *, name: str) -> epath.Path:
    return workdir / "cells" / plan.places[place][""] / name


def _panels(plan: Plan, found: Found, table: Mapping[str, Any]) -> list[figures.Curves]:
    names = {c.key: c.name for c in plan.paper.checkpoints}
    panels = []
    for dataset in found.sweeps:
        own = table["divided"][dataset]
        rings = [
            {"model": row["checkpoint"], "layer": _by_validation(table, row)}
            for row in table["rows"]
            if row["dataset"] == dataset and row["ours"] and not row["fusion_of"]
        ]
        layers = [
            {**one, "model": names.get(one["model"], one["model"])}
            for one in table["layers"][dataset]
        ]
        tested = own["classes"] - len(own["not_tested"])
        panels.append(
            figures.Curves(
                name=_name(dataset),
                layers=layers,
                models=[
                    {**ring, "model": names.get(ring["model"], ring["model"])}
                    for ring in rings
                ],
                chance=1 / tested if own["folds"] == 1 else None,
            )
        )
    return panels


def _by_validation(table: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    return row["ours" if table["choice"] == "validation" else "other_choice"]["layer"]


def _name(dataset: str) -> str:
    return DATASETS.get(dataset, dataset)
