"""Papers on autoencoders: networks beside what needs none, each experiment a sheet."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath

from launch.reproduction.autoencoders import cells, data, sheets
from launch.reproduction.overrides import overrides
from launch.reproduction.papers import Asked, Opened, Shown
from launch.reproduction.runner import Outcome, Work
from sigjax.config import ConfigError, build


class Autoencoders:
    """A study; see `papers.Study`."""

    nouns: Mapping[str, str] = sheets.NOUNS
    own_flags: Sequence[str] = (*sheets.FLAGS, "networks")

    def define_flags(self) -> None:
        """Data, and overrides."""
        for name, says in sheets.FLAGS.items():
            flags.DEFINE_string(name, "", says)
        own = "Overrides of trainings, KIND:KEY=VALUE,..., such as gan:train.steps=500."
        flags.DEFINE_list("networks", [], own)

    def build(self, values: Mapping[str, Any], path: str) -> sheets.Paper:
        """The paper of a file's values."""
        return build(sheets.Paper, values, path=path)

    def given(self, values: flags.FlagValues) -> cells.Given:
        """Repeats and overrides."""
        named: dict[str, list[str]] = {}
        for text in values["networks"].value or ():
            kind, colon, rest = text.partition(":")
            if not colon or kind not in sheets.TRAININGS:
                raise ConfigError(
                    f"--networks takes KIND:KEY=VALUE, KIND of"
                    f" {', '.join(sheets.TRAININGS)}; got {text!r}"
                )
            named.setdefault(kind, []).append(rest)
        return cells.Given(
            seeds=values["seeds"].value,
            overrides={kind: overrides(texts) for kind, texts in named.items()},
        )

    def has_data(self, values: flags.FlagValues) -> bool:
        """Whether any are given: some sheets need none."""
        return any(values[name].value for name in sheets.FLAGS)

    def everything(self, given: Any) -> cells.Given:
        """Rows wait for nothing."""
        return cells.Given(seeds=given.seeds)

    def make_plan(self, paper, sheet, scale, protocol, given) -> cells.Plan:
        """See `cells.make_plan`."""
        return cells.make_plan(paper, sheet, scale, protocol, given)

    def open(self, asked: Asked, say: Callable[[str], None]) -> Opened:
        """Opens what the sheets need, or simulates it."""
        needed = dict.fromkeys(name for sheet in asked.sheets for name in sheet.data)
        facts = {}
        for name in needed:
            flag = sheets.DATA[name]
            path = str(asked.values[flag].value or "") if flag else ""
            facts[name] = data.opened(name, path, asked.workdir, asked.scale, say)
        given = dataclasses.replace(
            asked.given, data={name: found.given for name, found in facts.items()}
        )
        changed = [
            f"{kind}: {key}={value!r}"
            for kind, found in given.overrides.items()
            for key, value in found.items()
        ]
        header = {
            "sets": {name: found.line() for name, found in facts.items()},
            "simulated_sets": [n for n, found in facts.items() if found.simulated],
            "where": {found.fingerprint: found.where for found in facts.values()},
            "overrides": ", ".join(changed),
        }
        simulated = any(found.simulated for found in facts.values())
        return Opened(given, header, simulated, {})

    def work(self, workdir: epath.Path, opened: Opened, scale: Any) -> Work:
        """Trains, and measures."""
        # Only here: the process that starts others must not take an accelerator.
        from launch.reproduction.autoencoders import work

        where: Any = opened.header["where"]
        return work.Work(workdir, where, optimise=scale.optimise)

    def show(
        self,
        plan: cells.Plan,
        outcomes: Mapping[str, Outcome],
        workdir: epath.Path,
        header: Mapping[str, Any],
    ) -> Shown:
        """A table of the sheet's numbers, and its figure."""
        from launch.reproduction.autoencoders import pictures, scores, tables

        found = scores.of_rows(plan, outcomes, workdir)
        told = {name: value for name, value in header.items() if name != "where"}
        table = tables.content(plan, found, told)
        text = tables.write(workdir / "tables", table, plan.sheet.metrics)
        drawn = pictures.draw(plan, found, table, workdir)
        failed = sum(
            bool(score.failed) and not row.hidden
            for row, score in zip(plan.sheet.rows, found, strict=True)
        )
        return Shown(text, drawn, failed)


STUDY = Autoencoders()
