"""Tables and figures of papers that pretrain an encoder and finetune it on labels."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from launch.reproduction.papers import HasParts, load, papers

__all__ = [
    "METRICS",
    "Cost",
    "Paper",
    "Protocol",
    "Row",
    "Scale",
    "Sheet",
    "Simulated",
    "load",
    "papers",
]

METRICS = ("balanced_accuracy", "kappa", "macro_f1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One model of a table.

    Attributes:
      labels: One text for each of the sheet's columns.
      pretrain: Overrides of the pretraining config; None: no pretraining.
      finetune: Overrides of the finetuning config. `{fold}` in any text of either
        becomes the fold's name.
      by_protocol: Further overrides of the finetuning config, by protocol.
      pretrain_config: FILE or FILE:VARIANT of `configs` instead of the paper's and the
        scale's.
      finetune_config: Likewise; of a system of `launch.finetune` or `launch.probe`.
      needs: `"harnet"`: the converted weights that `--harnet` names; without them the
        row is not run.
      paper: What the paper prints, by metric.
      name: Short name, unique in the sheet; the labels by default.
    """

    labels: tuple[str, ...]
    pretrain: Mapping[str, Any] | None = None
    finetune: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_protocol: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pretrain_config: str = ""
    finetune_config: str = ""
    needs: Literal["", "harnet"] = ""
    paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, or its labels in one line."""
        return self.name or " ".join(self.labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table or figure.

    Attributes:
      key: Such as `"table1"`.
      title: As in the paper.
      columns: Names of the rows' labels.
      rows: Models.
      kind: What is drawn besides the table: nothing, losses against scores
        (`"losses"`, figure 2), embeddings (`"embeddings"`, figure 3), scores by row
        (`"scores"`).
      seeds: Repeats of every row: seeds 0, 1, ...
      folds: Names put in place of `{fold}`; scores are of all folds' predictions
        together. Empty: no folds.
      metrics: Columns of scores.
      reconstruction: Further columns: figures that `launch.probe` finds of how well the
        reported people are reconstructed, such as `"lmm"` and `"lmm_baseline"`.
      differences: Pairs of rows' names; the first's score less the second's.
      paper: Further numbers of the paper, of the figure's kind.
      notes: Printed under the table.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    kind: Literal["table", "losses", "embeddings", "scores"] = "table"
    seeds: int = 1
    folds: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("balanced_accuracy", "kappa")
    reconstruction: tuple[str, ...] = ()
    differences: tuple[tuple[str, str], ...] = ()
    paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuses what no table can be made of."""
        names = [row.title for row in self.rows]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"{self.key}: rows must be there and differ, got {names}")
        for row in self.rows:
            if len(row.labels) != len(self.columns):
                raise ValueError(
                    f"{self.key}: row {row.title!r} has {len(row.labels)} labels for"
                    f" {len(self.columns)} columns"
                )
        for name in {*self.metrics} - {*METRICS}:
            raise ValueError(f"{self.key}: metric {name!r} is not of {METRICS}")
        for name in {n for pair in self.differences for n in pair} - {*names}:
            raise ValueError(f"{self.key}: no row is named {name!r}")
        if self.seeds < 1:
            raise ValueError(f"{self.key}: seeds must be at least 1, got {self.seeds}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What one cell costs, and who says so.

    Attributes:
      pretrain: One pretraining, in `unit`.
      finetune: One finetuning, in `unit`.
      unit: Such as `"V100 hours"`.
      source: Where these come from.
    """

    pretrain: float
    finetune: float
    unit: str
    source: str

    @property
    def each(self) -> Mapping[str, float]:
        """One cell of each kind, in `unit`."""
        return {"pretrain": self.pretrain, "finetune": self.finetune}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulated:
    """Data to write where none are given.

    Attributes:
      people: Without labels.
      days: Each of them.
      labelled_people: With labels.
      labelled_hours: Each of them.
      crop_h: Least contiguous wear to keep, of the unlabelled, in hours.
      record_s: Length of the labelled set's records: windows are whole ones.
    """

    people: int
    days: float
    labelled_people: int
    labelled_hours: float
    crop_h: float
    record_s: float = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large every cell is.

    Attributes:
      key: Such as `"small"`.
      says: One line for the header.
      pretrain_variant: Of the pretraining config.
      finetune_variant: Of the finetuning config.
      pretrain: Overrides, applied before a row's.
      finetune: Likewise.
      pretrain_last: Applied after a row's: what the scale decides, not the row.
      finetune_last: Likewise.
      simulated: What is written where no data are given; None: data must be given.
      cost: Of one cell.
    """

    key: str
    says: str
    pretrain_variant: str = ""
    finetune_variant: str = ""
    pretrain: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finetune: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pretrain_last: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finetune_last: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    simulated: Simulated | None = None
    cost: Cost | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Who chooses the step and who is reported.

    Attributes:
      key: Such as `"held_out"`.
      says: One line for the header.
      finetune: Overrides, applied after a row's.
    """

    key: str
    says: str
    finetune: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(HasParts):
    """A paper's sheets.

    Attributes:
      key: Such as `"000"`.
      title: Authors, year, where.
      data: What the paper ran on.
      scales: The first that data allow is the default.
      protocols: The first is the default.
      sheets: Tables and figures.
      pretrain_config: File of `configs` without `.py`.
      finetune_config: Likewise.
    """

    key: str
    title: str
    data: str
    scales: tuple[Scale, ...]
    protocols: tuple[Protocol, ...]
    sheets: tuple[Sheet, ...]
    pretrain_config: str = "mae_wrist"
    finetune_config: str = "har_wrist"
