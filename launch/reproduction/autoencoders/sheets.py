"""Experiments of the autoencoder family: rows that are trained, and what is measured.

A row is a network (a config with overrides, trained once per seed) or a method without
one, such as PCA; a sheet measures all its rows in the same way.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from launch.reproduction.papers import Cost, HasParts

# Kinds of cells: trainings by their system, and what is measured of them.
NOUNS = {
    "autoencoder": "autoencoder training",
    "masked": "masked autoencoder training",
    "gan": "GAN training",
    "segmentation": "segmentation training",
    "classifier": "classifier training",
    "measure": "measurement",
}
TRAININGS = tuple(NOUNS)[:-1]
# What rows are trained and measured on, and the flags that give it; "" is always there.
DATA: Mapping[str, str] = {
    "digits": "",
    "sounds": "fsdd",
    "wrist": "har",
    "machines": "motors",
    "events": "esc10",
    "ring": "",
    "curve": "",
}
FLAGS = {
    "fsdd": "Spoken digits, or other calls: folder, or table of launch.build_calls.",
    "har": "Labelled set of wrist recordings (launch.build_dataset).",
    "esc10": "Set of audio events for mixtures (launch.build_events).",
    "motors": "Vibration or sound of machines: a table of launch.build_calls.",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a table.

    Attributes:
      name: In words, with its unit.
      digits: After the point.
      better: Which is better; `""` if neither is.
      factor: That shown numbers are multiplied with, such as 100 for per cent.
    """

    name: str
    digits: int = 3
    better: Literal["", "high", "low"] = ""
    factor: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What is trained and measured.

    Attributes:
      labels: One text for each of the sheet's columns.
      data: Of `DATA`.
      kind: Of `TRAININGS`.
      config: FILE:VARIANT of `configs`. A row without training takes its data and its
        input from it.
      overrides: Of it.
      method: What is measured without a training, such as `"pca"`; `""` for a network.
      parent: Name of the row of this sheet whose network it starts from.
      against: Name of the row that it is held against, example by example.
      settings: Of the measurement, over the sheet's.
      line: Which line of a curve it belongs to; its first label by default.
      x: Its place on a curve.
      seeds: Repeats; 0 for the sheet's. Methods without chance have one.
      drawn: Whether a method draws: then it is repeated as trainings are.
      hidden: Whether it is there only to be started from.
      name: Short name, unique in the sheet; the labels by default.
    """

    labels: tuple[str, ...]
    data: str
    kind: str = "autoencoder"
    config: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    method: str = ""
    parent: str = ""
    against: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    line: str = ""
    x: float | None = None
    seeds: int = 0
    drawn: bool = False
    hidden: bool = False
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, or its labels in one line."""
        return self.name or " ".join(text for text in self.labels if text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """An experiment.

    Attributes:
      key: Such as `"compression"`.
      title: What it asks.
      deck: What of the lecture it repeats.
      columns: Names of the rows' labels.
      rows: See `Row`.
      measure: How all rows are measured, of `measures.MEASURES`.
      settings: Of the measurement.
      metrics: Columns of numbers, by their names in the measurement.
      seeds: Repeats of every training: seeds 0, 1, ...
      figure: How it is drawn, of `pictures.DRAW`; `""` for not at all.
      x: Name of what a curve runs over, with its unit.
      notes: Printed under the table.
    """

    key: str
    title: str
    deck: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    measure: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Metric]
    seeds: int = 3
    figure: str = ""
    x: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuses what no table can be made of."""
        rows = [r if isinstance(r, Row) else Row(**r) for r in self.rows]
        metrics = {
            name: m if isinstance(m, Metric) else Metric(**m)
            for name, m in self.metrics.items()
        }
        object.__setattr__(self, "rows", tuple(rows))
        object.__setattr__(self, "metrics", metrics)
        names = [row.title for row in rows]
        if not names or len(set(names)) < len(names) or not metrics:
            raise ValueError(f"{self.key}: needs rows that differ, got {names}")
        for row in rows:
            if len(row.labels) != len(self.columns):
                raise ValueError(
                    f"{self.key}: row {row.title!r} has {len(row.labels)} labels for"
                    f" {len(self.columns)} columns"
                )
            if row.data not in DATA or row.kind not in TRAININGS:
                raise ValueError(
                    f"{self.key}: row {row.title!r} is {row.kind!r} on {row.data!r};"
                    f" there are {', '.join(TRAININGS)} on {', '.join(DATA)}"
                )
            for name in (row.parent, row.against):
                if name and name not in names:
                    raise ValueError(f"{self.key}: no row is named {name!r}")

    @property
    def data(self) -> tuple[str, ...]:
        """What its rows need, of `DATA`."""
        return tuple(dict.fromkeys(row.data for row in self.rows))

    def bar(self, row: Row) -> str:
        """What a row is held against, where that differs from the row; "" if not."""
        if not row.against:
            return ""
        pairs = zip(self.row(row.against).labels, row.labels, strict=True)
        return " ".join(theirs for theirs, own in pairs if theirs != own)

    def row(self, name: str) -> Row:
        """The row of that name."""
        (found,) = [row for row in self.rows if row.title == name]
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large every cell is.

    Attributes:
      key: Such as `"small"`.
      says: One line for the header.
      variants: Added to a row's, by kind of training.
      overrides: Of configs, by kind of training and by `KIND:DATA`; a row's go over
        them.
      last: Likewise, over a row's.
      data: Of the data section, by data.
      settings: Of measurements, by kind of measurement.
      seeds: Repeats instead of a sheet's; 0 for those.
      simulated: Examples that are simulated where none are given.
      optimise: Let XLA optimise; without, it compiles tiny networks in half the time.
      cost: Of one cell.
    """

    key: str
    says: str
    variants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    overrides: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    last: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    data: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    seeds: int = 0
    simulated: int | None = 240
    optimise: bool = True
    cost: Cost | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Who is held out, and who chooses.

    Attributes:
      key: Such as `"held_out"`.
      says: One line for the header.
    """

    key: str
    says: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(HasParts):
    """A lecture's experiments.

    Attributes:
      key: Such as `"004"`.
      title: Of the lecture.
      data: What it shows its examples on.
      open: What it leaves open; told under every table.
      scales: The first that data allow is the default.
      protocols: The first is the default.
      sheets: Experiments.
    """

    key: str
    title: str
    data: str
    open: str
    scales: tuple[Scale, ...]
    protocols: tuple[Protocol, ...]
    sheets: tuple[Sheet, ...]
