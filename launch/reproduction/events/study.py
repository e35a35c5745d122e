"""Papers on audio events: networks that are finetuned, or trained from scratch."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath

from launch.reproduction import data as common
from launch.reproduction.cells import Source
from launch.reproduction.events import cells, data, sheets
from launch.reproduction.overrides import overrides
from launch.reproduction.papers import Asked, Opened, Shown
from launch.reproduction.runner import Outcome, Work
from sigjax.config import build


class Events:
    """A study; see `papers.Study`."""

    nouns: Mapping[str, str] = sheets.NOUNS
    own_flags: Sequence[str] = (
        *sheets.DATASETS,
        *(f"{model}_weights" for model in sheets.MODELS),
        *sheets.MODELS,
    )

    def define_flags(self) -> None:
        """Data, weights, and overrides by model."""
        text, several = flags.DEFINE_string, flags.DEFINE_list
        for name, says in sheets.DATASETS.items():
            text(name, "", f"Set of {says}, or one in its place (launch.build_events).")
        for model in sheets.MODELS:
            noun = sheets.NOUNS[model]
            text(f"{model}_weights", "", f"Bundle of launch.convert for a {noun}.")
            several(model, [], f"Overrides for every {noun}: KEY=VALUE,...")

    def build(self, values: Mapping[str, Any], path: str) -> sheets.Paper:
        """The paper of a file's values."""
        return build(sheets.Paper, values, path=path)

    def given(self, values: flags.FlagValues) -> cells.Given:
        """Weights, repeats and overrides."""
        named = {model: overrides(values[model].value) for model in sheets.MODELS}
        bundles = {m: values[f"{m}_weights"].value for m in sheets.MODELS}
        return cells.Given(
            weights={m: common.of_bundle(path) for m, path in bundles.items() if path},
            seeds=values["seeds"].value,
            overrides={model: found for model, found in named.items() if found},
        )

    def has_data(self, values: flags.FlagValues) -> bool:
        """Whether a set is given."""
        return any(values[name].value for name in sheets.DATASETS)

    def everything(self, given: Any) -> cells.Given:
        """With the weights that rows wait for."""
        weights = {m: Source("WEIGHTS", "WEIGHTS") for m in sheets.MODELS}
        return cells.Given(weights=weights, seeds=given.seeds)

    def make_plan(self, paper, sheet, scale, protocol, given) -> cells.Plan:
        """See `cells.make_plan`."""
        return cells.make_plan(paper, sheet, scale, protocol, given)

    def open(self, asked: Asked, say: Callable[[str], None]) -> Opened:
        """Opens the sets that the sheets need, or simulates them."""
        needed = dict.fromkeys(s.dataset for s in asked.sheets if s.dataset)
        facts = {}
        for name in needed:
            path = asked.values[name].value
            path = path or data.simulate(asked.workdir, asked.scale, name, say)
            facts[name] = data.of_set(path, name)
        sets = {name: found.given for name, found in facts.items()}
        given = dataclasses.replace(asked.given, sets=sets)
        changed = [
            f"{model}: {key}={value!r}"
            for model, found in given.overrides.items()
            for key, value in found.items()
        ]
        header = {
            "sets": {name: found.line() for name, found in facts.items()},
            "simulated_sets": [n for n, found in facts.items() if found.simulated],
            "overrides": ", ".join(changed),
        }
        simulated = any(found.simulated for found in facts.values())
        return Opened(given, header, simulated, {})

    def work(self, workdir: epath.Path, opened: Opened, scale: Any) -> Work:
        """Trains with the evaluation, and counts."""
        # Only here: the process that starts others must not take an accelerator.
        from launch.reproduction.events import work

        del workdir, opened
        return work.Work(optimise=scale.optimise)

    def show(
        self,
        plan: cells.Plan,
        outcomes: Mapping[str, Outcome],
        workdir: epath.Path,
        header: Mapping[str, Any],
    ) -> Shown:
        """A table of shares with intervals over clips and seeds."""
        from launch.reproduction.events import scores, tables

        found = scores.of_rows(plan, outcomes, workdir)
        table = tables.content(plan, found, header)
        text = tables.write(workdir / "tables", table)
        failed = sum(bool(row.failed) for row in found) - len(plan.not_run)
        return Shown(text, [], failed)


STUDY = Events()
