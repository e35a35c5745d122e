"""Tables of papers on audio events: networks on data sets, beside printed systems."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from launch.reproduction.papers import Cost, HasParts
from sigjax.data.audio_events.stream_config import SimulatedEventsConfig

# Kinds of cells: what is trained, and what is counted without training.
NOUNS = {
    "dat": "DATAR training",
    "ast": "AST training",
    "count": "count",
}
MODELS = ("dat", "ast")
# Data sets by the flags that name a set of them; those with verbs and nouns.
DATASETS = {
    "kinetics_sounds": "Kinetics-Sounds",
    "vggsound": "VGGSound",
    "epic_kitchens": "EPIC-Kitchens-100",
}
VERBS_AND_NOUNS = ("epic_kitchens",)
# As `sigjax.evals.audio_events` calls figures; and counts, in 10^9.
METRICS: Mapping[str, str] = {
    "top1": "top-1",
    "top5": "top-5",
    "verb_top1": "verb",
    "noun_top1": "noun",
    "action_top1": "action",
}
COUNTS = {"layers": "layers alone", "everything": "with attention's products"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A system of a table.

    Attributes:
      labels: One text for each of the sheet's columns.
      model: Of `MODELS`; empty for one that is only printed.
      overrides: Of the model's config.
      network: Of a count: backbone, size, frames and so on; see `work.count`.
      paper: What the paper prints, by metric.
      name: Short name, unique in the sheet; the labels by default.
    """

    labels: tuple[str, ...]
    model: Literal["", "dat", "ast"] = ""
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, or its labels in one line."""
        return self.name or " ".join(self.labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table.

    Attributes:
      key: Such as `"table2"`.
      title: As in the paper.
      columns: Names of the rows' labels.
      rows: Systems.
      dataset: Of `DATASETS`; empty for a table of counts.
      clips: How many test clips the paper reports.
      metrics: Columns, of `METRICS`; of a table of counts, of `COUNTS`.
      seeds: Repeats of every training: seeds 0, 1, ...
      differences: Pairs of rows' names; the first's figure less the second's.
      notes: Printed under the table.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    dataset: str = ""
    clips: int = 0
    metrics: tuple[str, ...]
    seeds: int = 1
    differences: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuses what no table can be made of."""
        names = [row.title for row in self.rows]
        if not names or len(set(names)) < len(names) or self.seeds < 1:
            raise ValueError(
                f"{self.key}: needs a seed at least, and rows that differ, got {names}"
            )
        for row in self.rows:
            if len(row.labels) != len(self.columns):
                raise ValueError(
                    f"{self.key}: row {row.title!r} has {len(row.labels)} labels for"
                    f" {len(self.columns)} columns"
                )
            if {*row.paper} - {*self.metrics}:
                raise ValueError(
                    f"{self.key}: row {row.title!r} has printed figures of"
                    f" {', '.join(row.paper)}; columns are {', '.join(self.metrics)}"
                )
        known = METRICS if self.dataset else COUNTS
        for name in {*self.metrics} - {*known}:
            raise ValueError(f"{self.key}: metric {name!r} is not of {tuple(known)}")
        if self.dataset not in ("", *DATASETS):
            raise ValueError(
                f"{self.key}: {self.dataset!r} is not of {tuple(DATASETS)}"
            )
        for name in {n for pair in self.differences for n in pair} - {*names}:
            raise ValueError(f"{self.key}: no row is named {name!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large every cell is.

    Attributes:
      key: Such as `"small"`.
      says: One line for the header.
      pretrained: Networks start from the weights that flags name, and rows without
        are not run; otherwise all start from scratch.
      variants: Of the config, by model; `{dataset}` in it is the data set.
      overrides: Of it, by model; applied before a row's.
      simulated: What is written where no data are given, by data set; empty: they must
        be given.
      optimise: Let XLA optimise; without, it compiles tiny networks in half the time.
      cost: Of one cell.
    """

    key: str
    says: str
    pretrained: bool = False
    variants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    overrides: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    simulated: Mapping[str, SimulatedEventsConfig] | None = None
    optimise: bool = True
    cost: Cost | None = None

    def __post_init__(self):
        """Makes what is simulated of mappings, as files of papers hold them."""
        made = {
            name: SimulatedEventsConfig(**value)
            if isinstance(value, Mapping)
            else value
            for name, value in (self.simulated or {}).items()
        }
        if {*made} - {*DATASETS}:
            raise ValueError(f"simulated: {', '.join(made)} are not of {(*DATASETS,)}")
        object.__setattr__(self, "simulated", made or None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Who chooses the step and which clips are reported.

    Attributes:
      key: Such as `"last"`.
      says: One line for the header.
      overrides: Of every config, after a row's.
      by_dataset: Likewise, by data set.
      flatters: Whether the reported clips chose something.
    """

    key: str
    says: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_dataset: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    flatters: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(HasParts):
    """A paper's sheets.

    Attributes:
      key: Such as `"003"`.
      title: Of the paper.
      data: What the paper ran on.
      open: What it leaves open; told under every table.
      configs: FILE:VARIANT of `configs`, by model; `{dataset}` in it is the data set.
      scales: The first that data allow is the default.
      protocols: The first is the default.
      sheets: Tables.
    """

    key: str
    title: str
    data: str
    open: str
    configs: Mapping[str, str]
    scales: tuple[Scale, ...]
    protocols: tuple[Protocol, ...]
    sheets: tuple[Sheet, ...]

    def __post_init__(self):
        """Refuses models without a config."""
        missing = {r.model for s in self.sheets for r in s.rows if r.model}
        missing -= {*self.configs}
        if missing:
            raise ValueError(f"configs lacks {', '.join(sorted(missing))}")
