"""Papers on anomalous machine sounds: classifiers, baselines, back-ends, choices."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath

from launch.reproduction.overrides import overrides
from launch.reproduction.papers import Asked, Opened, Shown
from launch.reproduction.runner import Outcome, Work
from launch.reproduction.sounds import cells, data, sheets
from sigjax.config import build


class Sounds:
    """A study; see `papers.Study`."""

    nouns: Mapping[str, str] = sheets.NOUNS
    own_flags: Sequence[str] = ("sounds", *sheets.MODELS)

    def define_flags(self) -> None:
        """Data, and overrides by model."""
        text, several = flags.DEFINE_string, flags.DEFINE_list
        text("sounds", "", "Set of machine sounds (launch.build_sounds).")
        for model in sheets.MODELS:
            what = f"Overrides for every {sheets.NOUNS[model]}: KEY=VALUE,..."
            several(model, [], what)

    def build(self, values: Mapping[str, Any], path: str) -> sheets.Paper:
        """The paper of a file's values."""
        return build(sheets.Paper, values, path=path)

    def given(self, values: flags.FlagValues) -> cells.Given:
        """Repeats and overrides."""
        named = {model: overrides(values[model].value) for model in sheets.MODELS}
        changed = {model: found for model, found in named.items() if found}
        return cells.Given(seeds=values["seeds"].value, overrides=changed)

    def has_data(self, values: flags.FlagValues) -> bool:
        """Whether a set is given."""
        return bool(values["sounds"].value)

    def everything(self, given: Any) -> cells.Given:
        """Of another study's, the repeats alone; no row waits for anything."""
        return cells.Given(seeds=given.seeds)

    def make_plan(self, paper, sheet, scale, protocol, given) -> cells.Plan:
        """See `cells.make_plan`."""
        return cells.make_plan(paper, sheet, scale, protocol, given)

    def open(self, asked: Asked, say: Callable[[str], None]) -> Opened:
        """Opens the set, or simulates one."""
        path = asked.values["sounds"].value
        path = path or data.simulate(asked.workdir, asked.scale, say)
        facts = data.of_set(path, asked.paper)
        given = dataclasses.replace(
            asked.given, sounds=facts.source, machines=facts.machines
        )
        changed = [
            f"{model}: {key}={value!r}"
            for model, found in given.overrides.items()
            for key, value in found.items()
        ]
        header = {"sounds": facts.line(), "overrides": ", ".join(changed)}
        return Opened(given, header, facts.simulated, {})

    def work(self, workdir: epath.Path, opened: Opened, scale: Any) -> Work:
        """Trains, and scores test clips."""
        # Only here: the process that starts others must not take an accelerator.
        from launch.reproduction.sounds import work

        del opened
        return work.Work(workdir, optimise=scale.optimise)

    def show(
        self,
        plan: cells.Plan,
        outcomes: Mapping[str, Outcome],
        workdir: epath.Path,
        header: Mapping[str, Any],
    ) -> Shown:
        """Chooses, counts, and writes the table."""
        from launch.reproduction.sounds import scores, tables

        found = scores.of_systems(plan, outcomes, workdir)
        table = tables.content(plan, found, header)
        text = tables.write(workdir / "tables", table)
        failed = sum(len(score.failed) + len(score.left_out) for score in found)
        return Shown(text, [], failed)


STUDY = Sounds()
