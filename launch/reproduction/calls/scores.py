"""From sweeps and looks at sets to the numbers of a table."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch.reproduction.calls import stored
from launch.reproduction.calls.cells import Plan
from launch.reproduction.calls.sheets import Row
from launch.reproduction.runner import Outcome
from sigjax.evals.layer_probes import Sweep, fused, score
from sigjax.evals.layer_probes.folds import SPLITS
from sigjax.evals.layer_probes.results import FUSION


class Choice(NamedTuple):
    """An encoder by one choice of its layer.

    Attributes:
      layer: Which; of folds that chose differently, each.
      uar: As `sigjax.evals.layer_probes.score` has it.
    """

    layer: str
    uar: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowScore:
    """What a row shows.

    Attributes:
      facts: Of a set or an encoder, by metric.
      chosen: By the protocol's choice of layer.
      other: By the other choice; None of a fusion.
      members: Of a fusion.
      failed: Why there are no numbers; "" if there are.
    """

    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    chosen: Choice | None = None
    other: Choice | None = None
    members: tuple[str, ...] = ()
    failed: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """All numbers of a sheet.

    Attributes:
      rows: One for each of its rows.
      sweeps: Of each data set, its encoders' that could be read together.
      told: Of each data set, what its first sweep says of calls and splits.
    """

    rows: Sequence[RowScore]
    sweeps: Mapping[str, Sweep] = dataclasses.field(default_factory=dict)
    told: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def of_plan(plan: Plan, outcomes: Mapping[str, Outcome], workdir: epath.Path) -> Found:
    """Scores every row; one that lacks a cell is told why."""
    if plan.sheet.kind not in ("curves", "scores", "confusion"):
        rows = [_of_facts(plan, outcomes, n) for n in range(len(plan.sheet.rows))]
        return Found(rows=rows)
    read = _Reader(outcomes, workdir)
    rows, sweeps, told = [], {}, {}
    for place, row in enumerate(plan.sheet.rows):
        rows.append(_of_row(plan, row, place, read))
    for dataset in dict.fromkeys(row.dataset for row in plan.sheet.rows):
        own = read.of_dataset(plan, dataset)
        if own:
            sweeps[dataset], told[dataset] = own
    return Found(rows=rows, sweeps=sweeps, told=told)


class _Reader:
    """Reads each sweep once."""

    def __init__(self, outcomes: Mapping[str, Outcome], workdir: epath.Path):
        self._outcomes, self._workdir = outcomes, workdir
        self._read: dict[str, stored.Stored] = {}

    def error(self, keys: Sequence[str]) -> str:
        """Why one of the cells has no result; "" if all have."""
        return next(
            (o.error for o in map(self._outcomes.get, keys) if o and o.error), ""
        )

    def sweep(self, key: str, name: str) -> stored.Stored:
        """A cell's."""
        if key not in self._read:
            result = self._outcomes[key].result or {}
            self._read[key] = stored.read(self._workdir / "cells" / key, result, name)
        return self._read[key]

    def of_dataset(
        self, plan: Plan, dataset: str
    ) -> tuple[Sweep, Mapping[str, Any]] | None:
        """All encoders' sweeps of a set that are there and of the same calls."""
        found: dict[str, str] = {}
        for place, row in enumerate(plan.sheet.rows):
            if row.dataset == dataset:
                for name, key in plan.places.get(place, {}).items():
                    found.setdefault(key, name or row.checkpoint)
        several: list[stored.Stored] = []
        told: Mapping[str, Any] = {}
        for key, name in found.items():
            if self.error([key]):
                continue
            own = self.sweep(key, name)
            if several and own.calls != several[0].calls:
                continue  # Its fusion tells that.
            several.append(own)
            told = told or self._outcomes[key].result or {}
        return (stored.together(several), told) if several else None


def _of_facts(plan: Plan, outcomes: Mapping[str, Outcome], place: int) -> RowScore:
    if place in plan.not_run:
        return RowScore(failed=plan.not_run[place])
    outcome = outcomes[plan.places[place][""]]
    if outcome.error:
        return RowScore(failed=outcome.error)
    result = outcome.result or {}
    return RowScore(facts=result.get("facts") or result.get("counts") or result)


def _of_row(plan: Plan, row: Row, place: int, read: _Reader) -> RowScore:
    if place in plan.not_run:
        return RowScore(failed=plan.not_run[place])
    cells = plan.places[place]
    by_test = plan.protocol.choice == "test"
    if row.checkpoint != FUSION:
        error = read.error(list(cells.values()))
        if error:
            return RowScore(failed=error)
        found = read.sweep(cells[""], row.checkpoint).sweep
        choices = chosen(found), oracle(found)
        own, other = reversed(choices) if by_test else choices
        return RowScore(chosen=own, other=other)
    usable = {name: key for name, key in cells.items() if not read.error([key])}
    if len(usable) < 2:
        missing = read.error(list(cells.values()))
        return RowScore(failed=f"a fusion is of two encoders at least: {missing}")
    try:
        several = [read.sweep(key, name) for name, key in usable.items()]
        sweep = stored.together(several)
    except stored.DifferentCalls as error:
        return RowScore(failed=f"failed: {error}")
    uar = score(sweep.test_uar(fusion(sweep, by_test=by_test)))
    return RowScore(chosen=Choice("", uar), members=tuple(usable))


def chosen(found: Sweep) -> Choice:
    """Of the layer that validation chose; of one encoder."""
    (name,) = found.models
    layers = [p.layer for p in found.chosen(name)]
    layer = layers[0] if len(set(layers)) == 1 else ", ".join(layers)
    return Choice(layer, score(found.test_uar(found.chosen_probability(name))))


def oracle(found: Sweep) -> Choice:
    """Of the layer that is best on test, as the paper chooses; of one encoder."""
    (name,) = found.models
    best = found.oracle(name)
    return Choice(best.layer, score(found.test_uar(best.probability)))


def fusion(found: Sweep, *, by_test: bool) -> tuple[np.ndarray, ...]:
    """Mean posteriors of all encoders, each by its chosen layer.

    Args:
      found: Of two encoders at least.
      by_test: Whether test calls choose the layers, as in the paper.
    """
    members = [
        found.oracle(name).probability if by_test else found.chosen_probability(name)
        for name in found.models
    ]
    return fused(members)


def calls_of(found: Sweep) -> dict[str, int]:
    """Calls by split, of all folds."""
    return {s: sum(len(getattr(fold, s)) for fold in found.folds) for s in SPLITS}
