"""Tables and figures of papers that probe every layer of encoders with calls."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from launch.reproduction.calls.simulated import SimulatedCalls
from launch.reproduction.papers import Cost, HasParts
from sigjax.data.calls.reading import Normalise, Short
from sigjax.evals.layer_probes import protocol as probe_protocol
from sigjax.evals.layer_probes.results import FUSION
from sigjax.models.speech_encoder import SpeechEncoderConfig
from sigjax.nn.speech.config import Kind as EncoderKind

# Kinds of cells.
NOUNS = {
    "overview": "overview",
    "count": "count",
    "frames": "picture",
    "features": "extraction",
    "probes": "sweep",
}
# Sets by their flags, which are the names of their layouts; as the paper calls them.
DATASETS: Mapping[str, str] = {
    "marmosets": "IMV",
    "watkins": "Watkins",
    "mescalina": "Abzaliev",
}
FULL_NAMES: Mapping[str, str] = {
    "marmosets": "InfantMarmosetsVox",
    "watkins": "Watkins Marine Mammal Sound Database",
    "mescalina": "Mescalina Bark ID (Abzaliev)",
}
# What a table of sets shows, and one of encoders.
FACTS = {
    "calls": "calls",
    "minutes": "length, min",
    "rate_khz": "rate, kHz",
    "classes": "classes",
    "median_ms": "median, ms",
    "sd_ms": "sd, ms",
}
COUNTS = {"parameters_m": "parameters, 10^6", "width": "width", "blocks": "blocks"}
KINDS = {
    "datasets": FACTS,
    "lengths": {},
    "checkpoints": COUNTS,
    "pipeline": {},
    "curves": {},
    "scores": {"uar": "UAR"},
    "confusion": {},
}
SheetKind = Literal[
    "datasets", "lengths", "checkpoints", "pipeline", "curves", "scores", "confusion"
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An encoder of the paper.

    Attributes:
      key: By which `--bundles` names it, such as `"hubert"`.
      name: As the paper calls it.
      encoder: Its kind.
      normalise: How its calls are normalised where the protocol leaves that to it and
        its weights are random.
      hub: Where its weights are published.
    """

    key: str
    name: str
    encoder: EncoderKind
    normalise: Normalise
    hub: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table.

    Attributes:
      labels: One text for each of the sheet's columns.
      dataset: Of `DATASETS`, or a set of one's own.
      checkpoint: Of the paper's, of one's own, or `"fusion"`.
      paper: What the paper prints, by metric.
    """

    labels: tuple[str, ...]
    dataset: str = ""
    checkpoint: str = ""
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its labels in one line."""
        return " ".join(self.labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table or a figure.

    Attributes:
      key: Such as `"table3"`.
      title: As in the paper.
      kind: What it shows: sets and lengths of their calls, encoders, the way from a
        call to its features, UAR of each layer, of the best layer, confusions.
      columns: Names of the rows' labels.
      rows: Lines.
      notes: Printed under it.
    """

    key: str
    title: str
    kind: SheetKind
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> Mapping[str, str]:
        """What the paper prints of a row, and how it is called."""
        return KINDS[self.kind]

    def __post_init__(self):
        """Refuses what no table can be made of."""
        names = [row.title for row in self.rows]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"{self.key}: needs rows that differ, got {names}")
        for row in self.rows:
            if len(row.labels) != len(self.columns):
                raise ValueError(
                    f"{self.key}: row {row.title!r} has {len(row.labels)} labels for"
                    f" {len(self.columns)} columns"
                )
            if {*row.paper} - {*self.metrics}:
                raise ValueError(
                    f"{self.key}: row {row.title!r} has printed figures of"
                    f" {', '.join(row.paper)}; a sheet of {self.kind} has"
                    f" {', '.join(self.metrics) or 'none'}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How large every cell is.

    Attributes:
      key: Such as `"small"`.
      says: One line for the header.
      encoder: Fields of `SpeechEncoderConfig` for encoders with RANDOM weights, where
        no bundle is given; None: bundles must be given.
      simulated: What is written where no calls are given, by data set; empty: they must
        be given.
      probes: Fields of the probes' protocol that it changes.
      optimise: Let XLA optimise; without, it compiles tiny networks in half the time.
      cost: Of one cell.
    """

    key: str
    says: str
    encoder: Mapping[str, Any] | None = None
    simulated: Mapping[str, SimulatedCalls] | None = None
    probes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optimise: bool = True
    cost: Cost | None = None

    def __post_init__(self):
        """Makes what is simulated of mappings, as files of papers hold them."""
        made = {
            name: SimulatedCalls(**value) if isinstance(value, Mapping) else value
            for name, value in (self.simulated or {}).items()
        }
        if {*made} - {*DATASETS}:
            raise ValueError(f"simulated: {', '.join(made)} are not of {(*DATASETS,)}")
        object.__setattr__(self, "simulated", made or None)
        if self.encoder is not None:
            SpeechEncoderConfig(**self.encoder)
        probe_protocol("default", **self.probes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How calls are read and divided, and who chooses the layer.

    Attributes:
      key: Such as `"held_out"`.
      says: One line for the header.
      split: `"grouped"` keeps callers or recordings on one side, `"paper"` is the
        random one of its code, `"manifest"` leaves each set's own.
      probes: Of `sigjax.evals.layer_probes.PROTOCOLS`.
      normalise: Of each call; None as each encoder was trained.
      short: What becomes of short calls.
      ddof: Of the standard deviation over frames.
      layer0: By checkpoint, what stands for layer 0: `"proj"`.
      choice: Which calls choose the layer that is reported.
    """

    key: str
    says: str
    split: Literal["grouped", "paper", "manifest"]
    probes: str = "default"
    normalise: Normalise | None = None
    short: Short = "pad"
    ddof: int = 0
    layer0: Mapping[str, str] = dataclasses.field(default_factory=dict)
    choice: Literal["validation", "test"] = "validation"

    def __post_init__(self):
        """Refuses protocols of probes that there are not."""
        probe_protocol(self.probes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(HasParts):
    """A paper's sheets.

    Attributes:
      key: Such as `"002"`.
      title: Of the paper.
      data: What the paper ran on.
      open: What it leaves open or contradicts; told under tables of scores.
      checkpoints: Its encoders.
      scales: The first that data allow is the default.
      protocols: The first is the default.
      sheets: Tables and figures.
    """

    key: str
    title: str
    data: str
    open: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    scales: tuple[Scale, ...]
    protocols: tuple[Protocol, ...]
    sheets: tuple[Sheet, ...]

    def __post_init__(self):
        """Refuses rows of sets and encoders that are none of the paper's."""
        known = {"", FUSION, *(c.key for c in self.checkpoints)}
        for sheet in self.sheets:
            for row in sheet.rows:
                if row.checkpoint not in known or row.dataset not in ("", *DATASETS):
                    raise ValueError(
                        f"{sheet.key}: row {row.title!r} is of {row.dataset!r} and"
                        f" {row.checkpoint!r}, of which one is none of the paper's"
                    )
