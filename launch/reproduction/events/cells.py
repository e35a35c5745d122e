"""Cells of audio events: networks to train, each with its evaluation, and to count."""

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from launch.reproduction.cells import NOTHING, Cell, Source
from launch.reproduction.events import sheets

# Raise it when a network comes to be counted otherwise.
_COUNTED = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EventCell(Cell):
    """A training with its evaluation; or a count, then `overrides` is the network."""

    NOUNS: ClassVar[Mapping[str, str]] = sheets.NOUNS

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result."""
        if self.kind != "count":
            return super().identity
        network = {**self.overrides}
        return {"kind": self.kind, "format": _COUNTED, "network": network, "parent": ""}


class GivenSet(NamedTuple):
    """A set of audio events.

    Attributes:
      source: Where it lies.
      overrides: Of configs: how it is divided.
    """

    source: Source = NOTHING
    overrides: Mapping[str, Any] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a command line adds to a paper's sheets.

    Attributes:
      sets: By data set.
      weights: Bundles to start from, by model.
      seeds: Repeats instead of the sheet's; None for those.
      overrides: By model, over all others.
    """

    sets: Mapping[str, GivenSet] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    seeds: int | None = None
    overrides: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A sheet's cells and where their results go.

    Attributes:
      paper: Whose.
      sheet: The table.
      protocol: Who chooses.
      seeds: Repeats.
      cells: By key.
      places: Key of the cell of each `(row, seed)`; rows that are only printed have
        none.
      not_run: Why a row is not run, by its place.
      scratch: Whether networks start from scratch.
    """

    paper: sheets.Paper
    sheet: sheets.Sheet
    protocol: sheets.Protocol
    seeds: int
    cells: Mapping[str, Cell]
    places: Mapping[tuple[int, int], str]
    not_run: Mapping[int, str]
    scratch: bool


def make_plan(
    paper: sheets.Paper,
    sheet: sheets.Sheet,
    scale: sheets.Scale,
    protocol: sheets.Protocol,
    given: Given,
) -> Plan:
    """Lays out a sheet.

    Raises:
      ConfigError: Overrides do not fit the configs.
    """
    seeds = (given.seeds or sheet.seeds) if sheet.dataset else 1
    cells: dict[str, Cell] = {}
    places: dict[tuple[int, int], str] = {}
    not_run: dict[int, str] = {}
    for place, row in enumerate(sheet.rows):
        if row.network:
            cell = EventCell(
                kind="count",
                file="",
                variant="",
                overrides=row.network,
                data=NOTHING,
                title=row.title,
            )
            cells.setdefault(cell.key, cell)
            places[place, 0] = cell.key
        if not row.model:
            continue
        weights = given.weights.get(row.model, NOTHING)
        if scale.pretrained and not weights.path:
            not_run[place] = (
                f"not run: needs --{row.model}_weights=BUNDLE (launch.convert)"
            )
            continue
        for seed in range(seeds):
            cell = _train(paper, sheet, row, scale, protocol, given, seed)
            cells.setdefault(cell.key, cell)
            places[place, seed] = cell.key
    return Plan(
        paper=paper,
        sheet=sheet,
        protocol=protocol,
        seeds=seeds,
        cells=cells,
        places=places,
        not_run=not_run,
        scratch=not scale.pretrained,
    )


def _train(
    paper: sheets.Paper,
    sheet: sheets.Sheet,
    row: sheets.Row,
    scale: sheets.Scale,
    protocol: sheets.Protocol,
    given: Given,
    seed: int,
) -> EventCell:
    name, own = sheet.dataset, given.sets.get(sheet.dataset, GivenSet())
    file, _, variant = paper.configs[row.model].partition(":")
    overrides = {
        **scale.overrides.get(row.model, {}),
        **own.overrides,
        **row.overrides,
        **protocol.overrides,
        **protocol.by_dataset.get(name, {}),
        "seed": seed,
        **given.overrides.get(row.model, {}),
    }
    title = f"{sheets.DATASETS[name]}: {row.title}" + f", seed {seed}" * (seed > 0)
    return EventCell(
        kind=row.model,
        file=file,
        variant=scale.variants.get(row.model, variant).replace("{dataset}", name),
        overrides=overrides,
        data=own.source,
        weights=given.weights[row.model] if scale.pretrained else NOTHING,
        title=title,
    )
