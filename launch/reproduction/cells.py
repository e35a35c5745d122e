"""A sheet's work in cells, each run once: such as a pretraining, or a finetuning.

A cell is known by what decides its result: the resolved config, the data's
fingerprints, and the cell or weights it starts from. Rows and tables that need the same
share it; where things lie is no part of it. Which cells a sheet needs is its study's:
here of those that pretrain and finetune.
"""

import dataclasses
import functools
import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import ml_collections

from launch.reproduction.sheets import Paper, Protocol, Row, Scale, Sheet
from launch.systems import build_system
from sigjax.config import ConfigError

# Part of every cell's key: raise it when equal configs come to give other results.
FORMAT = 1

# Sections and keys that say where and how fast, not what.
NOT_IDENTITY = (
    "mesh",
    "data.store",
    "data.dataset",
    "data.workers",
    "data.read_threads",
    "data.prefetch_batches",
    "data.cache_mb",
    "data.in_memory",
    "train.keep",
    "train.keep_every",
)


class Source(NamedTuple):
    """Data or weights.

    Attributes:
      path: Where they lie.
      fingerprint: Of their content.
    """

    path: str = ""
    fingerprint: str = ""


NOTHING = Source()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One run. A study whose cells are others has a subclass.

    Attributes:
      NOUNS: Kinds, and one of each in words.
      WEIGHTS: The config's key of what a run starts from.
      kind: What is run, of `NOUNS`.
      file: Config file, of `configs`.
      variant: Of that file.
      overrides: Dotted, of that variant.
      data: What it runs on.
      parent: The pretraining that a finetuning starts from; None for none.
      weights: A bundle that it starts from, if any.
      title: What it is for, in words; the first row's that asked for it.
    """

    NOUNS: ClassVar[Mapping[str, str]] = {
        "pretrain": "pretraining",
        "finetune": "finetuning",
    }
    WEIGHTS: ClassVar[str] = "encoder.weights"

    kind: str
    file: str
    variant: str
    overrides: Mapping[str, Any]
    data: "Source"
    parent: "Cell | None" = None
    weights: Source = NOTHING
    title: str = ""

    def config(self) -> ml_collections.ConfigDict:
        """The resolved config, without the paths that only a run knows.

        Raises:
          ConfigError: An override is of no key or of another type.
        """
        module = importlib.import_module(f"configs.{self.file}")
        config = module.get_config(self.variant)
        # Unlocked: a key that the file leaves to its default can be set; `check` finds
        # those that no system knows.
        try:
            config.update_from_flattened_dict(dict(self.overrides))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"configs/{self.file}.py:{self.variant} does not take"
                f" {dict(self.overrides)}: {error}"
            ) from error
        return config

    @property
    def noun(self) -> str:
        """What it is, in words."""
        return self.NOUNS[self.kind]

    @property
    def starts_from(self) -> bool:
        """Whether it starts from a cell or a bundle."""
        return self.parent is not None or bool(self.weights.path)

    def check(self) -> Any:
        """The system that the config describes, with every default.

        Raises:
          ConfigError: It describes none.
        """
        config = self.config()
        if self.starts_from:
            config.update_from_flattened_dict({self.WEIGHTS: "its parent's"})
        return build_system(config)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result, as JSON-able values.

        Raises:
          ConfigError: The config describes no system.
        """
        config = told(self.check())
        for name in (*NOT_IDENTITY, *[self.WEIGHTS] * self.starts_from):
            *sections, key = name.split(".")
            place = config
            for section in sections:
                place = place.get(section) or {}
            place.pop(key, None)
        return {
            "format": FORMAT,
            "kind": self.kind,
            "config": config,
            "data": self.data.fingerprint,
            "parent": self.parent.key if self.parent else "",
            "weights": self.weights.fingerprint,
        }

    @functools.cached_property
    def key(self) -> str:
        """Its folder's name, such as `finetune-0123456789ab`."""
        text = json.dumps(self.identity, sort_keys=True)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def told(value: Any) -> Any:
    """A dataclass as a dict of what differs from its defaults.

    So a key that later versions add, with a default that changes nothing, leaves cells
    of weeks what they are. A default that comes to mean something else is a `FORMAT`.
    """
    if dataclasses.is_dataclass(value):
        fields = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: told(own) for f, own in fields if own != f.default}
    if isinstance(value, list | tuple):
        return [told(item) for item in value]
    return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a command line adds to a paper's sheets.

    Attributes:
      unlabelled: What to pretrain on, by fold; the same under `""` for every fold.
      labelled: What to finetune on.
      harnet: Converted weights.
      seeds: Repeats instead of the sheet's; None for those.
      pretrain: Overrides over all others.
      finetune: Likewise.
    """

    unlabelled: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    labelled: Source = NOTHING
    harnet: Source = NOTHING
    seeds: int | None = None
    pretrain: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finetune: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A sheet's cells and where their results go.

    Attributes:
      sheet: The table or figure.
      seeds: Repeats.
      cells: By key, each after the one it starts from.
      places: The finetuning cell's key of each `(row, seed, fold)`.
      not_run: Why a row is not run, by its place.
    """

    sheet: Sheet
    seeds: int
    cells: Mapping[str, Cell]
    places: Mapping[tuple[int, int, int], str]
    not_run: Mapping[int, str]


def make_plan(
    paper: Paper, sheet: Sheet, scale: Scale, protocol: Protocol, given: Given
) -> Plan:
    """Lays out a sheet.

    Raises:
      ConfigError: Overrides do not fit the configs.
    """
    seeds = given.seeds or sheet.seeds
    cells: dict[str, Cell] = {}
    places: dict[tuple[int, int, int], str] = {}
    not_run: dict[int, str] = {}
    for place, row in enumerate(sheet.rows):
        named = {*(row.pretrain or ()), *row.finetune} & {"data.store", "data.dataset"}
        if named:
            raise ConfigError(
                f"{sheet.key}, row {row.title!r} sets {', '.join(sorted(named))}: data"
                " are given by --unlabelled and --labelled"
            )
        if row.needs == "harnet" and not given.harnet.path:
            not_run[place] = "not run: needs --harnet=BUNDLE (see launch.convert)"
            continue
        for seed in range(seeds):
            for fold, name in enumerate(sheet.folds or ("",)):
                title = _title(row, seed, seeds, name)
                made = _cells(paper, row, scale, protocol, given, seed, name, title)
                for cell in made:
                    cells.setdefault(cell.key, cell)
                places[place, seed, fold] = made[-1].key
    return Plan(sheet=sheet, seeds=seeds, cells=cells, places=places, not_run=not_run)


def _title(row: Row, seed: int, seeds: int, fold: str) -> str:
    parts = [row.title]
    if seeds > 1:
        parts.append(f"seed {seed}")
    if fold:
        parts.append(f"fold {fold}")
    return ", ".join(parts)


def _cells(
    paper: Paper,
    row: Row,
    scale: Scale,
    protocol: Protocol,
    given: Given,
    seed: int,
    fold: str,
    title: str,
) -> list[Cell]:
    parent = None
    if row.pretrain is not None:
        overrides = {**scale.pretrain, **row.pretrain, **scale.pretrain_last}
        default = f"{paper.pretrain_config}:{scale.pretrain_variant}"
        parent = _cell(
            "pretrain",
            row.pretrain_config or default,
            _of_fold({**overrides, "seed": seed, **given.pretrain}, fold),
            data=given.unlabelled.get(fold) or given.unlabelled.get("", NOTHING),
            title=title,
        )
    overrides = {**scale.finetune, **row.finetune, **scale.finetune_last}
    overrides |= {**protocol.finetune, **row.by_protocol.get(protocol.key, {})}
    own = _cell(
        "finetune",
        row.finetune_config or f"{paper.finetune_config}:{scale.finetune_variant}",
        _of_fold({**overrides, "seed": seed, **given.finetune}, fold),
        data=given.labelled,
        parent=parent,
        weights=given.harnet if row.needs == "harnet" else NOTHING,
        title=title,
    )
    return [own] if parent is None else [parent, own]


def _cell(kind: str, where: str, overrides, **rest) -> Cell:
    file, _, variant = where.partition(":")
    return Cell(kind=kind, file=file, variant=variant, overrides=overrides, **rest)


def _of_fold(value: Any, fold: str) -> Any:
    """`{fold}` replaced in every text."""
    if isinstance(value, str):
        return value.replace("{fold}", fold)
    if isinstance(value, Mapping):
        return {key: _of_fold(item, fold) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_of_fold(item, fold) for item in value)
    return value
