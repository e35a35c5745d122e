"""Cells of calls: looks at sets, extractions of features, sweeps of probes.

An extraction is one set through one encoder, a sweep the probes of all its layers. What
several encoders share (fusion, confusions) is made of their sweeps when a table is
shown: one that joins later changes none.
"""

import dataclasses
import functools
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from launch.reproduction.calls import sheets
from launch.reproduction.cells import NOTHING, Cell, Source
from sigjax.evals.layer_probes import protocol as probe_protocol
from sigjax.evals.layer_probes.results import FUSION

# Raise one when equal settings come to give other results.
_FORMAT = {"overview": 1, "count": 1, "frames": 1, "features": 1, "probes": 1}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CallCell(Cell):
    """One of `sheets.NOUNS`; `overrides` are its settings, JSON-able."""

    NOUNS: ClassVar[Mapping[str, str]] = sheets.NOUNS

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result."""
        return {
            "kind": self.kind,
            "format": _FORMAT[self.kind],
            "settings": dict(self.overrides),
            "data": self.data.fingerprint,
            "weights": self.weights.fingerprint,
            "parent": self.parent.key if self.parent else "",
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenSet:
    """A set of calls.

    Attributes:
      source: Its manifest, known by the stretches of sound that it names.
      labels: Fingerprint of their labels, groups and splits.
    """

    source: Source = NOTHING
    labels: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a command line adds to a paper's sheets.

    Attributes:
      sets: By data set, or by a name of one's own; empty: the scale's simulated ones.
      bundles: Encoders, by checkpoint or a name of one's own; empty: those of the scale
        with random weights.
      seeds: Of probes, instead of the protocol's; None for those.
    """

    sets: Mapping[str, GivenSet] = dataclasses.field(default_factory=dict)
    bundles: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    seeds: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A sheet's cells and where their results go.

    Attributes:
      paper: Whose.
      sheet: The table or figure, with rows for sets and encoders of one's own.
      protocol: How calls are divided and layers chosen.
      seeds: Of the probes.
      cells: By key, each after the one it starts from.
      places: Of each row, keys of its cells; of a fusion by checkpoint, else under
        `""`.
      not_run: Why a row is not run, by its place.
      random: Whether encoders have random weights.
    """

    paper: sheets.Paper
    sheet: sheets.Sheet
    protocol: sheets.Protocol
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    places: Mapping[int, Mapping[str, str]]
    not_run: Mapping[int, str]
    random: bool


def make_plan(
    paper: sheets.Paper,
    sheet: sheets.Sheet,
    scale: sheets.Scale,
    protocol: sheets.Protocol,
    given: Given,
) -> Plan:
    """Lays out a sheet."""
    make = _Maker(paper, scale, protocol, given)
    sheet = extended(sheet, paper, list(make.sets), list(make.bundles))
    places: dict[int, dict[str, str]] = {}
    not_run: dict[int, str] = {}
    for place, row in enumerate(sheet.rows):
        found, why = make.row(sheet, row)
        if why:
            not_run[place] = why
        else:
            places[place] = found
    return Plan(
        paper=paper,
        sheet=sheet,
        protocol=protocol,
        seeds=make.probes["seeds"],
        cells=make.cells,
        places=places,
        not_run=not_run,
        random=make.random,
    )


def extended(
    sheet: sheets.Sheet,
    paper: sheets.Paper,
    sets: Sequence[str],
    bundles: Sequence[str],
) -> sheets.Sheet:
    """A sheet with lines for sets and encoders that are not the paper's.

    Every set has its lines by itself, encoders join where all of the paper's are.
    """
    known = {checkpoint.key for checkpoint in paper.checkpoints}
    own_sets = [name for name in sets if name not in sheets.DATASETS]
    own = [name for name in bundles if name not in known]
    rows = list(_with_encoders(sheet, known, own))
    if rows[0].dataset:
        pattern = [row for row in rows if row.dataset == rows[0].dataset]
        for name in own_sets:
            rows += [
                dataclasses.replace(
                    row, labels=(name, *row.labels[1:]), dataset=name, paper={}
                )
                for row in pattern
            ]
    return dataclasses.replace(sheet, rows=tuple(rows))


def _with_encoders(
    sheet: sheets.Sheet, known: set[str], own: Sequence[str]
) -> Iterator[sheets.Row]:
    """Rows, and where all of the paper's encoders are also one's own."""
    whole = known <= {row.checkpoint for row in sheet.rows}
    if not own or not whole:
        yield from sheet.rows
        return
    for _, found in itertools.groupby(sheet.rows, key=lambda row: row.dataset):
        rows = list(found)
        fusion = [row for row in rows if row.checkpoint == FUSION]
        yield from (row for row in rows if row.checkpoint != FUSION)
        first = rows[0].labels
        for name in own:
            between = ("own",) * (len(first) - 1 - bool(rows[0].dataset))
            labels = (first[0], *between, name) if rows[0].dataset else (name, *between)
            yield sheets.Row(labels=labels, dataset=rows[0].dataset, checkpoint=name)
        yield from fusion


class _Maker:
    """Makes the cells of one sheet.

    Attributes:
      sets: That are run.
      bundles: Encoders that are run.
      random: Whether these have random weights.
      probes: Settings of the probes.
      cells: Made so far, by key.
    """

    def __init__(self, paper, scale, protocol, given: Given):
        self._paper, self._protocol = paper, protocol
        self._scale = scale
        self.sets = given.sets or {name: GivenSet() for name in scale.simulated or ()}
        self.random = not given.bundles and scale.encoder is not None
        random = [c.key for c in paper.checkpoints] if self.random else []
        self.bundles = given.bundles or dict.fromkeys(random, NOTHING)
        self.cells: dict[str, Cell] = {}
        of_protocol = probe_protocol(protocol.probes)
        changes = dict(scale.probes)
        seeds = tuple(changes.pop("seeds", of_protocol.seeds))
        if given.seeds:
            seeds = tuple(range(seeds[0], seeds[0] + given.seeds))
        self.probes = {"protocol": protocol.probes, **changes, "seeds": seeds}

    def row(self, sheet: sheets.Sheet, row: sheets.Row) -> tuple[dict[str, str], str]:
        """Keys of a row's cells, or why it is not run."""
        if sheet.kind == "checkpoints":
            return {"": self._count(row)}, ""
        if sheet.kind == "pipeline":
            return self._picture()
        if row.dataset not in self.sets:
            return {}, missing_set(row.dataset)
        if sheet.kind in ("datasets", "lengths"):
            return {"": self._overview(row.dataset)}, ""
        if row.checkpoint == FUSION:
            if len(self.bundles) < 2:
                return {}, "not run: a fusion is of two encoders at least"
            found = {name: self._probes(row.dataset, name) for name in self.bundles}
            return found, ""
        if row.checkpoint not in self.bundles:
            return {}, missing_bundle(row.checkpoint)
        return {"": self._probes(row.dataset, row.checkpoint)}, ""

    def _add(self, **values: Any) -> CallCell:
        cell = CallCell(file="", variant="", **values)
        return self.cells.setdefault(cell.key, cell)  # pyright: ignore

    def _overview(self, dataset: str) -> str:
        return self._add(
            kind="overview",
            overrides={},
            data=self.sets[dataset].source,
            title=_name(dataset),
        ).key

    def _count(self, row: sheets.Row) -> str:
        weights = self.bundles.get(row.checkpoint, NOTHING)
        published = {c.key: c.encoder for c in self._paper.checkpoints}
        given = bool(weights.path)
        return self._add(
            kind="count",
            overrides={} if given else {"published": published[row.checkpoint]},
            data=NOTHING,
            weights=weights,
            title=row.labels[0] if given else published[row.checkpoint],
        ).key

    def _picture(self) -> tuple[dict[str, str], str]:
        if not self.sets:
            return {}, missing_set(next(iter(sheets.DATASETS)))
        if not self.bundles:
            return {}, missing_bundle(self._paper.checkpoints[0].key)
        dataset, checkpoint = next(iter(self.sets)), next(iter(self.bundles))
        cell = self._add(
            kind="frames",
            overrides=self._reading(checkpoint),
            data=self.sets[dataset].source,
            weights=self.bundles[checkpoint],
            title=f"{_name(dataset)}, {checkpoint}",
        )
        return {"": cell.key}, ""

    def _reading(self, checkpoint: str) -> dict[str, Any]:
        """How calls are read, and of random weights the architecture."""
        p = self._protocol
        found = {"normalise": p.normalise, "short": p.short, "ddof": p.ddof}
        if self.random:
            (own,) = [c for c in self._paper.checkpoints if c.key == checkpoint]
            found["random"] = {
                "seed": zlib.crc32(checkpoint.encode()),
                "normalise": own.normalise,
                "config": {"kind": own.encoder, **(self._scale.encoder or {})},
            }
        return found

    def _probes(self, dataset: str, checkpoint: str) -> str:
        own, layer0 = self.sets[dataset], self._protocol.layer0.get(checkpoint, "")
        title = f"{_name(dataset)}, {checkpoint}"
        features = self._add(
            kind="features",
            overrides={**self._reading(checkpoint), "proj": layer0 == "proj"},
            data=own.source,
            weights=self.bundles[checkpoint],
            title=title,
        )
        settings = {
            "split": self._protocol.split,
            "labels": own.labels,
            "layer0": layer0,
            "probes": self.probes,
        }
        return self._add(
            kind="probes",
            overrides=settings,
            data=own.source,
            parent=features,
            title=title,
        ).key


def _name(dataset: str) -> str:
    return sheets.DATASETS.get(dataset, dataset)


def missing_set(dataset: str) -> str:
    """Why a set's rows are not run."""
    return f"not run: needs --{dataset}=CALLS (its folder, or launch.build_calls)"


def missing_bundle(checkpoint: str) -> str:
    """Why a checkpoint's rows are not run."""
    return f"not run: needs --bundles={checkpoint}=BUNDLE (launch.convert)"
