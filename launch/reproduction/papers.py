"""Which papers there are, and the studies that know how theirs are repeated.

A paper is values: a file of `configs/papers`. A study is what papers of one kind share:
the data they ask for, the cells their tables are made of, their scores and how these
are shown. The rest (cells that are run once, by whoever is free; scales, protocols,
costs, files) is the same for all.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from absl import flags
from etils import epath

import configs.papers
from sigjax.config import ConfigError

if TYPE_CHECKING:  # These look papers up.
    from launch.reproduction.runner import Outcome, Work

# A paper's file says which by `study`.
STUDIES: Mapping[str, str] = {
    "wrist": "launch.reproduction.wrist",
    "sounds": "launch.reproduction.sounds.study",
    "events": "launch.reproduction.events.study",
    "calls": "launch.reproduction.calls.study",
    "autoencoders": "launch.reproduction.autoencoders.study",
}


class Asked(NamedTuple):
    """What a command asks for, before its data are opened.

    Attributes:
      values: Its flags.
      paper: Which paper.
      workdir: Where everything lies.
      scale: How large.
      sheets: Which tables and figures.
      given: What `Study.given` said.
    """

    values: flags.FlagValues
    paper: Any
    workdir: epath.Path
    scale: Any
    sheets: Sequence[Any]
    given: Any


class Opened(NamedTuple):
    """The data of one command.

    Attributes:
      given: What the command line adds to the sheets, data included.
      header: What every table says of the data; JSON-able.
      simulated: Whether any of them are.
      names: What `{name}` stands for in a config's text.
    """

    given: Any
    header: Mapping[str, Any]
    simulated: bool
    names: Mapping[str, str]


class Shown(NamedTuple):
    """A table or figure, as it is written.

    Attributes:
      text: For the terminal.
      figures: Files drawn.
      failed: Rows without numbers, beside those that `Plan.not_run` explains.
    """

    text: str
    figures: Sequence[epath.Path]
    failed: int


class Study(Protocol):
    """What papers of one kind share.

    Attributes:
      nouns: Kinds of cells, and one of each in words.
      own_flags: Names of the flags that are this study's alone.
    """

    nouns: Mapping[str, str]
    own_flags: Sequence[str]

    def define_flags(self) -> None:
        """Defines the study's own flags."""
        ...

    def build(self, values: Mapping[str, Any], path: str) -> Any:
        """The paper of a file's values, every key checked."""
        ...

    def given(self, values: flags.FlagValues) -> Any:
        """What the command line adds to the sheets, before any data are opened."""
        ...

    def has_data(self, values: flags.FlagValues) -> bool:
        """Whether the command line gives all data: then the first scale is run."""
        ...

    def everything(self, given: Any) -> Any:
        """`given` with all that rows may wait for, to count cells."""
        ...

    def make_plan(
        self, paper: Any, sheet: Any, scale: Any, protocol: Any, given: Any
    ) -> Any:
        """Lays out a sheet's cells: `cells.Plan`, or with more than that."""
        ...

    def open(self, asked: "Asked", say: Callable[[str], None]) -> Opened:
        """Opens the data, or simulates them."""
        ...

    def work(self, workdir: epath.Path, opened: Opened, scale: Any) -> "Work":
        """What does a cell's work."""
        ...

    def show(
        self,
        plan: Any,
        outcomes: Mapping[str, "Outcome"],
        workdir: epath.Path,
        header: Mapping[str, Any],
    ) -> Shown:
        """Scores a sheet, writes its files below `workdir`."""
        ...


def study_named(name: str) -> Study:
    """A study. Each has its own libraries: a command imports one."""
    if name not in STUDIES:
        raise ConfigError(f"no study is named {name!r}; there are {', '.join(STUDIES)}")
    return importlib.import_module(STUDIES[name]).STUDY


def papers() -> dict[str, str]:
    """Keys of the papers that are here, and their modules."""
    found = pkgutil.iter_modules(configs.papers.__path__, "configs.papers.")
    names = [m.name for m in found if m.name.rpartition(".")[2].startswith("p")]
    return {name.rpartition(".")[2][1:]: name for name in sorted(names)}


def _values(key: str) -> tuple[str, dict[str, Any], str]:
    """A paper's module, its values, and the name of its study."""
    known = papers()
    if key not in known:
        raise ConfigError(f"--paper={key}: there are {', '.join(known)}")
    values = dict(importlib.import_module(known[key]).PAPER)
    return known[key], values, values.pop("study", "wrist")


def load(key: str) -> Any:
    """The paper of that key, every key of its file checked.

    Raises:
      ConfigError: There is none, or its file holds what a paper has not.
    """
    path, values, study = _values(key)
    return study_named(study).build(values, path)


def study_of(key: str) -> tuple[str, Study]:
    """The study of the paper of that key, and its name.

    Raises:
      ConfigError: There is no such paper.
    """
    _, _, name = _values(key)
    return name, study_named(name)


def named(among: Sequence[Any], key: str, what: str) -> Any:
    """The one of that key.

    Raises:
      ConfigError: There is none; the message says which there are.
    """
    for one in among:
        if one.key == key:
            return one
    known = ", ".join(one.key for one in among)
    raise ConfigError(f"no {what} is named {key!r}; there are {known}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What one cell costs, and who says so.

    Attributes:
      each: By kind of cell, in `unit`.
      unit: Such as `"core minutes"`.
      source: Where these come from.
    """

    each: Mapping[str, float]
    unit: str
    source: str


class HasParts:
    """Finds a paper's scales, protocols and sheets by key."""

    scales: Sequence[Any]
    protocols: Sequence[Any]
    sheets: Sequence[Any]

    def scale(self, key: str) -> Any:
        """The scale of that key."""
        return named(self.scales, key, "scale")

    def protocol(self, key: str) -> Any:
        """The protocol of that key; the first for `""`."""
        return named(self.protocols, key, "protocol") if key else self.protocols[0]

    def sheet(self, key: str) -> Any:
        """The table or figure of that key."""
        return named(self.sheets, key, "sheet")
