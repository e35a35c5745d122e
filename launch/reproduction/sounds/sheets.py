"""Tables of papers on anomalous machine sounds: systems, and what may stand for them.

A row of a table is a system on a machine. Which trained run and which back-end stand
for it is a choice among candidates: models x cut-offs of the high-pass x with or
without center loss x back-ends. A cell trains or scores one of them; a table chooses.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple

from launch.reproduction.papers import Cost, HasParts
from sigjax.data.machine_sound.stream import SimulatedSoundsConfig

# Kinds of cells: what is trained, and what scores clips with it.
NOUNS = {
    "general": "general classifier",
    "specific": "specific classifier",
    "autoencoder": "autoencoder",
    "mobilenet": "MobileNetV2",
    "evaluation": "evaluation",
}
MODELS = ("general", "specific", "autoencoder", "mobilenet")
# Means over sections (and domains) by the rule of 2021; `mean` is of AUC and pAUC.
METRICS = {
    "auc": "AUC",
    "pauc": "pAUC",
    "mean": "mean",
    "auc_source": "AUC source",
    "pauc_source": "pAUC source",
    "auc_target": "AUC target",
    "pauc_target": "pAUC target",
}
DEVELOPMENT, EVALUATION = "development", "evaluation"


class Setting(NamedTuple):
    """How a classifier is trained.

    Attributes:
      cutoff_hz: Of the high-pass; 0 for none.
      centre: With center loss.
    """

    cutoff_hz: float
    centre: bool


class Candidate(NamedTuple):
    """A trained model and a back-end.

    Attributes:
      model: Of `MODELS`.
      cutoff_hz: Of the high-pass.
      centre: With center loss.
      score: The back-end's name.
    """

    model: str
    cutoff_hz: float
    centre: bool
    score: str

    @property
    def title(self) -> str:
        """All of it in words."""
        return ", ".join(self.words().values())

    def words(self) -> dict[str, str]:
        """Each field in words."""
        hertz = f"{self.cutoff_hz:g} Hz" if self.cutoff_hz else "no high-pass"
        found = {"model": NOUNS[self.model]}
        if self.model in ("general", "specific"):
            found["cutoff_hz"] = hertz
            found["centre"] = "center loss" if self.centre else "no center loss"
        return {**found, "score": self.score}


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """A system of a table.

    Attributes:
      name: As the table calls it.
      models: What may stand for it, of `MODELS`; empty for one that is only printed.
      cutoffs_hz: High-passes among which is chosen; empty for all of the paper.
      centre: Of specific classifiers, whether with center loss.
      scores: Back-ends among which is chosen.
      paper: By machine the printed figures, in the order of the sheet's metrics and
        without `mean`; fractions of one, None where the paper has a dash.
      total: Likewise, of all machines, where the paper prints it.
    """

    name: str
    models: tuple[str, ...] = ()
    cutoffs_hz: tuple[float, ...] = ()
    centre: tuple[bool, ...] = (False,)
    scores: tuple[str, ...] = ()
    paper: Mapping[str, tuple[float | None, ...]] = dataclasses.field(
        default_factory=dict
    )
    total: tuple[float | None, ...] = ()

    def __post_init__(self):
        """Refuses models that are unknown, or that nothing scores."""
        for model in self.models:
            if model not in MODELS:
                raise ValueError(f"{self.name}: {model!r} is no model of {MODELS}")
        if self.models and not self.scores:
            raise ValueError(f"{self.name}: scores is empty: name a back-end")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table.

    Attributes:
      key: Such as `"table2"`.
      title: As in the paper.
      systems: In the order of the table.
      metrics: Columns, of `METRICS`.
      kind: `"settings"` also shows what was chosen beside what the paper chose.
      seeds: Repeats of every training: seeds 0, 1, ...
      notes: Printed under the table.
    """

    key: str
    title: str
    systems: tuple[System, ...]
    metrics: tuple[str, ...] = ("auc", "pauc", "mean")
    kind: Literal["scores", "settings"] = "scores"
    seeds: int = 1
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuses what no table can be made of."""
        for name in {*self.metrics} - {*METRICS}:
            raise ValueError(f"{self.key}: metric {name!r} is not of {tuple(METRICS)}")
        width = len(self.printed)
        for system in self.systems:
            for machine, values in system.paper.items():
                if len(values) != width:
                    raise ValueError(
                        f"{self.key}, {system.name}, {machine}: {len(values)} printed"
                        f" figures, expected {width}"
                    )
        if not self.systems or self.seeds < 1:
            raise ValueError(f"{self.key}: needs a system, and a seed at least")

    @property
    def printed(self) -> tuple[str, ...]:
        """Metrics that the paper prints for each machine."""
        return tuple(name for name in self.metrics if name != "mean")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large every cell is.

    Attributes:
      key: Such as `"small"`.
      says: One line for the header.
      machines: Those that are trained; empty for the paper's.
      cutoffs_hz: High-passes that are tried; empty for the paper's.
      variants: Of the config, by model.
      overrides: Of it, by model.
      simulated: What is written where no data are given; None: data must be given.
      optimise: Let XLA optimise; without, it compiles tiny networks in half the time.
      cost: Of one cell.
    """

    key: str
    says: str
    machines: tuple[str, ...] = ()
    cutoffs_hz: tuple[float, ...] = ()
    variants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    overrides: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    simulated: SimulatedSoundsConfig | None = None
    optimise: bool = True
    cost: Cost | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which candidates there are, and who chooses among them.

    Attributes:
      key: Such as `"honest"`.
      says: One line for the header.
      selection: Whose choice is the result: `"honest"`, on the development sections, or
        `"oracle"`, on the sections that are reported.
      settings: By machine the only high-pass and center loss that are tried, wherever a
        system allows them; empty to try all that it allows.
    """

    key: str
    says: str
    selection: Literal["honest", "oracle"]
    settings: Mapping[str, tuple[float, bool]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(HasParts):
    """A paper's sheets.

    Attributes:
      key: Such as `"001"`.
      title: Of the paper.
      data: What the paper ran on.
      year: Of DCASE Task 2, whose rule scores.
      machines: In the order of its tables.
      cutoffs_hz: High-passes that it tries; a general classifier of each is trained.
      centre_weight: Of the center loss, where there is one.
      settings: High-pass and center loss of each machine as the paper has them.
      configs: File of `configs`, without `.py`, by model.
      backends: What scores each model's clips: names or descriptions of back-ends.
      scales: The first that data allow is the default.
      protocols: The first is the default.
      sheets: Tables.
    """

    key: str
    title: str
    data: str
    year: int
    machines: tuple[str, ...]
    cutoffs_hz: tuple[float, ...]
    centre_weight: float
    settings: Mapping[str, tuple[float, bool]]
    configs: Mapping[str, str]
    backends: Mapping[str, tuple]
    scales: tuple[Scale, ...]
    protocols: tuple[Protocol, ...]
    sheets: tuple[Sheet, ...]

    def __post_init__(self):
        """Refuses models without a config or back-ends."""
        for name, given in (("configs", self.configs), ("backends", self.backends)):
            missing = {m for s in self.sheets for y in s.systems for m in y.models}
            missing -= {*given}
            if missing:
                raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
