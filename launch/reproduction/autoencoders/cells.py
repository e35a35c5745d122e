"""Cells of autoencoders: networks to train, and what is measured of them.

A measurement has its own cell, so that measuring in another way trains nothing again,
and sheets that measure one network differently share its training.
"""

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from launch.reproduction.autoencoders import sheets
from launch.reproduction.cells import FORMAT, NOT_IDENTITY, NOTHING, Cell, Source, told
from launch.systems import build_system, parts_of

# Raise it when a measurement comes to mean something else.
_MEASURED = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FamilyCell(Cell):
    """A training, or a measurement of one; then the config is its parent's.

    Attributes:
      measure: Of a measurement: its name, of `measures.MEASURES`.
      method: What is measured; `""` for the parent's network.
      settings: Of the measurement.
    """

    NOUNS: ClassVar[Mapping[str, str]] = sheets.NOUNS

    measure: str = ""
    method: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def starts_from(self) -> bool:
        """Whether its config takes weights of another cell."""
        return self.kind != "measure" and super().starts_from

    def check(self) -> Any:
        """The system that the config describes, or those of its parts by name.

        Raises:
          ConfigError: It describes none.
        """
        config = self.config()
        if self.starts_from:
            config.update_from_flattened_dict({self.WEIGHTS: "its parent's"})
        if not config.get("parts"):
            return build_system(config)
        return {name: build_system(part) for name, part in parts_of(config).items()}

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result; where things lie is no part of it."""
        from_cell = {"data": self.data.fingerprint}
        from_cell["parent"] = self.parent.key if self.parent else ""
        if self.kind != "measure":
            found = {"kind": self.kind, "format": FORMAT, **from_cell}
            weights = self.weights.fingerprint
            return {**found, "config": self._told(), "weights": weights}
        found: dict[str, Any] = {
            "kind": self.kind,
            "format": _MEASURED,
            "measure": self.measure,
            "method": self.method,
            "settings": {**self.settings},
            **from_cell,
        }
        if self.parent is None:  # Then its data and input are all that counts.
            config = self._told()
            found["config"] = {k: config.get(k) for k in ("data", "task", "seed")}
        return found

    def _told(self) -> dict[str, Any]:
        """The resolved config, without what says where and how fast."""
        system = self.check()
        if isinstance(system, Mapping):
            return {name: self._identified(told(part)) for name, part in system.items()}
        return self._identified(told(system))

    def _identified(self, config: dict[str, Any]) -> dict[str, Any]:
        mine = ("data.path", "start.weights", *[self.WEIGHTS] * self.starts_from)
        for name in (*NOT_IDENTITY, *mine):
            *sections, key = name.split(".")
            place = config
            for section in sections:
                place = place.get(section) or {}
            place.pop(key, None)
        model = config.get("model") or {}
        if model.get("base") == "none":  # As those that were trained before it was.
            del model["base"]
        return config


class GivenData(NamedTuple):
    """Data that rows are trained and measured on.

    Attributes:
      source: Where they lie.
      overrides: Of configs, whatever the row.
      last: Likewise, over a row's.
    """

    source: Source = NOTHING
    overrides: Mapping[str, Any] = types.MappingProxyType({})
    last: Mapping[str, Any] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a command line adds to a paper's sheets.

    Attributes:
      data: By name, of `sheets.DATA`.
      seeds: Repeats instead of the sheet's; None for those.
      overrides: By kind of training, over all others.
    """

    data: Mapping[str, GivenData] = dataclasses.field(default_factory=dict)
    seeds: int | None = None
    overrides: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A sheet's cells and where their results go.

    Attributes:
      paper: Whose.
      sheet: The experiment.
      scale: How large.
      seeds: Repeats of trainings.
      cells: By key, each after the one it starts from.
      places: Key of the measurement of each `(row, seed)`.
      not_run: Why a row is not run, by its place.
    """

    paper: sheets.Paper
    sheet: sheets.Sheet
    scale: sheets.Scale
    seeds: int
    cells: Mapping[str, Cell]
    places: Mapping[tuple[int, int], str]
    not_run: Mapping[int, str]


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
    del protocol  # There is one.
    make = _Maker(sheet, scale, given)
    cells: dict[str, Cell] = {}
    places: dict[tuple[int, int], str] = {}
    seeds = given.seeds or scale.seeds or sheet.seeds
    for place, row in enumerate(sheet.rows):
        if row.hidden:
            continue
        chance = row.drawn or not row.method
        own = min(row.seeds or seeds, seeds) if chance else 1
        for seed in range(own):
            chain = make.chain(row, seed)
            cells.update({cell.key: cell for cell in chain if cell.key not in cells})
            places[place, seed] = chain[-1].key
    return Plan(
        paper=paper,
        sheet=sheet,
        scale=scale,
        seeds=seeds,
        cells=cells,
        places=places,
        not_run={},
    )


class _Maker:
    """Makes the cells of one sheet."""

    def __init__(self, sheet: sheets.Sheet, scale: sheets.Scale, given: Given):
        self.sheet, self.scale, self.given = sheet, scale, given

    def chain(self, row: sheets.Row, seed: int) -> list[Cell]:
        """A row's cells for one seed: trainings, each after its parent, and measure."""
        trained = [] if row.method else self._trainings(row, seed)
        own = self.given.data.get(row.data, GivenData())
        settings = {
            **self.sheet.settings,
            **row.settings,
            **self.scale.settings.get(self.sheet.measure, {}),
            **self.scale.settings.get(f"{self.sheet.measure}:{row.data}", {}),
        }
        settings |= {"seed": seed} if row.drawn else {}
        overrides = trained[-1].overrides if trained else self._overrides(row, 0)
        measure = FamilyCell(
            kind="measure",
            **self._file(row),
            overrides=overrides,
            data=own.source,
            parent=trained[-1] if trained else None,
            title=self._title(row, seed),
            measure=self.sheet.measure,
            method=row.method,
            settings=settings,
        )
        return [*trained, measure]

    def _trainings(self, row: sheets.Row, seed: int) -> list[Cell]:
        before = self._trainings(self.sheet.row(row.parent), seed) if row.parent else []
        own = self.given.data.get(row.data, GivenData())
        training = FamilyCell(
            kind=row.kind,
            **self._file(row),
            overrides=self._overrides(row, seed),
            data=own.source,
            parent=before[-1] if before else None,
            title=self._title(row, seed),
        )
        return [*before, training]

    def _overrides(self, row: sheets.Row, seed: int) -> dict[str, Any]:
        own = self.given.data.get(row.data, GivenData())
        scale = self.scale
        keys = (row.kind, f"{row.kind}:{row.data}")
        found: dict[str, Any] = {}
        for key in keys:
            found |= scale.overrides.get(key, {})
        found |= {**own.overrides, **row.overrides}
        for key in keys:
            found |= scale.last.get(key, {})
        found |= {**scale.data.get(row.data, {}), **own.last}
        # A repeat draws other labels, too, where labels are drawn.
        found = {k: seed if v == "{seed}" else v for k, v in found.items()}
        return {**found, "seed": seed, **self.given.overrides.get(row.kind, {})}

    def _title(self, row: sheets.Row, seed: int) -> str:
        return f"{self.sheet.key}: {row.title}" + f", seed {seed}" * (seed > 0)

    def _file(self, row: sheets.Row) -> dict[str, Any]:
        file, _, variant = row.config.partition(":")
        last = self.scale.variants.get(row.kind, "")
        return {"file": file, "variant": "+".join(v for v in (variant, last) if v)}
