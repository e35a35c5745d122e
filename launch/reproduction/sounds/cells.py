"""Cells of machine sounds: classifiers and baselines to train, and their evaluations.

A specific classifier starts from the general one of the same high-pass. An evaluation
keeps the scores of every test clip by every back-end, so that tables choose and count
without training again; a back-end more costs evaluations, no training.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import ml_collections

from launch.reproduction.cells import NOTHING, Cell, Source, told
from launch.reproduction.sounds import sheets
from launch.reproduction.sounds.sheets import Candidate, Setting


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SoundCell(Cell):
    """A training, or an evaluation of its parent; then the config is the parent's."""

    NOUNS: ClassVar[Mapping[str, str]] = sheets.NOUNS
    WEIGHTS: ClassVar[str] = "start.weights"

    def config(self) -> ml_collections.ConfigDict:
        """The resolved config; of those with a part for each machine, without parts."""
        config = super().config()
        if "parts" in config:
            with config.unlocked():
                del config.parts
        return config

    @property
    def starts_from(self) -> bool:
        """Whether its config takes weights of another cell."""
        return self.kind == "specific"

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result: of a training all but how its clips are scored."""
        if self.kind != "evaluation":
            found = super().identity
            found["config"].pop("scoring", None)
            return found
        return {
            "kind": self.kind,
            "config": {"scoring": told(self.check().scoring)},
            "data": self.data.fingerprint,
            "parent": self.parent.key if self.parent else "",
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a command line adds to a paper's sheets.

    Attributes:
      sounds: The set.
      machines: Those that it holds; empty before it is opened.
      seeds: Repeats instead of the sheet's; None for those.
      overrides: By model, over all others.
    """

    sounds: Source = NOTHING
    machines: tuple[str, ...] = ()
    seeds: int | None = None
    overrides: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


# A system's place in the sheet, a machine and a seed.
Place = tuple[int, str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A sheet's cells and what its rows are chosen among.

    Attributes:
      paper: Whose.
      sheet: The table.
      scale: How large.
      protocol: Who chooses.
      machines: Those that are trained.
      seeds: Repeats.
      cells: By key, each after the one it starts from.
      candidates: By place, the evaluation cell's key of each candidate.
      not_run: No row waits for anything.
    """

    paper: sheets.Paper
    sheet: sheets.Sheet
    scale: sheets.Scale
    protocol: sheets.Protocol
    machines: tuple[str, ...]
    seeds: int
    cells: Mapping[str, Cell]
    candidates: Mapping[Place, Mapping[Candidate, str]]
    not_run: Mapping[int, str] = dataclasses.field(default_factory=dict)


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
    seeds = given.seeds or sheet.seeds
    machines = scale.machines or paper.machines
    if given.machines:
        machines = tuple(m for m in machines if m in given.machines)
    make = _Maker(paper, scale, given)
    cells: dict[str, Cell] = {}
    candidates: dict[Place, dict[Candidate, str]] = {}
    for number, system in enumerate(sheet.systems):
        for machine in machines:
            for seed in range(seeds):
                found = candidates.setdefault((number, machine, seed), {})
                for model in system.models:
                    for setting in settings(paper, scale, protocol, system, model)[
                        machine
                    ]:
                        chain = make.chain(model, machine, setting, seed)
                        cells.update({c.key: c for c in chain if c.key not in cells})
                        for score in system.scores:
                            found[Candidate(model, *setting, score)] = chain[-1].key
    return Plan(
        paper=paper,
        sheet=sheet,
        scale=scale,
        protocol=protocol,
        machines=machines,
        seeds=seeds,
        cells=cells,
        candidates=candidates,
    )


def settings(
    paper: sheets.Paper,
    scale: sheets.Scale,
    protocol: sheets.Protocol,
    system: sheets.System,
    model: str,
) -> dict[str, list[Setting]]:
    """How a system's classifiers are trained, by machine; baselines in one way only."""
    if model not in ("general", "specific"):
        return {machine: [Setting(0.0, False)] for machine in paper.machines}
    tried = scale.cutoffs_hz or paper.cutoffs_hz
    tried = [hz for hz in tried if hz in (system.cutoffs_hz or tried)]
    # Center loss is of the second stage (section 3.3, of table 6).
    centres = list(system.centre) if model == "specific" else [False]
    found = {}
    for machine in paper.machines:
        cutoff_hz, centre = protocol.settings.get(machine, (None, None))
        hertz = [cutoff_hz] if cutoff_hz in tried else tried
        with_or_without = [centre] if centre in centres else centres
        found[machine] = [Setting(hz, c) for hz in hertz for c in with_or_without]
    return found


class _Maker:
    """Makes the cells of one paper, scale and command."""

    def __init__(self, paper: sheets.Paper, scale: sheets.Scale, given: Given):
        self._paper, self._scale, self._given = paper, scale, given
        self._made: dict[tuple, SoundCell] = {}

    def chain(
        self, model: str, machine: str, setting: Setting, seed: int
    ) -> list[SoundCell]:
        """What a candidate needs, the evaluation last."""
        trained = [self._trained(model, machine, setting, seed)]
        if model == "specific":
            general = Setting(setting.cutoff_hz, False)
            trained.insert(0, self._trained("general", "", general, seed))
        return [*trained, self._evaluation(trained[-1])]

    def _trained(
        self, model: str, machine: str, setting: Setting, seed: int
    ) -> SoundCell:
        machine = "" if model == "general" else machine
        name = (model, machine, setting, seed)
        if name not in self._made:
            self._made[name] = self._train(model, machine, setting, seed)
        return self._made[name]

    def _train(
        self, model: str, machine: str, setting: Setting, seed: int
    ) -> SoundCell:
        scale, paper = self._scale, self._paper
        overrides = {**scale.overrides.get(model, {})}
        machines = (machine,) if machine else scale.machines
        overrides |= {"data.year": paper.year, "data.machines": machines}
        parent, title = None, [machine] if machine else []
        if model in ("general", "specific"):
            weight = paper.centre_weight if setting.centre else 0.0
            overrides["task.mel.cutoff_hz"] = setting.cutoff_hz
            overrides["task.centre_weight"] = weight
            title.append(f"{setting.cutoff_hz:g} Hz")
            title += ["center loss"] * setting.centre
        if model == "specific":
            before = Setting(setting.cutoff_hz, False)
            parent = self._trained("general", "", before, seed)
        title += [f"seed {seed}"] * (seed > 0)
        file, _, variant = paper.configs[model].partition(":")
        return SoundCell(
            kind=model,
            file=file,
            variant=scale.variants.get(model, variant),
            overrides={
                **overrides,
                "seed": seed,
                **self._given.overrides.get(model, {}),
            },
            data=self._given.sounds,
            parent=parent,
            title=", ".join(title),
        )

    def _evaluation(self, trained: SoundCell) -> SoundCell:
        name = ("evaluation", trained.key)
        if name not in self._made:
            backends = tuple(self._paper.backends[trained.kind])
            self._made[name] = dataclasses.replace(
                trained,
                kind="evaluation",
                overrides={**trained.overrides, "scoring.backends": backends},
                parent=trained,
                title=f"of {trained.noun} {trained.title}".strip(),
            )
        return self._made[name]
