"""Papers that pretrain an encoder of wrist accelerometry and finetune it on labels."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath

from launch.reproduction import cells, data, pictures, scores, sheets
from launch.reproduction import tables as output
from launch.reproduction.overrides import overrides
from launch.reproduction.papers import Asked, Opened, Shown
from launch.reproduction.runner import Outcome, Work
from sigjax.config import ConfigError, build


class Wrist:
    """A study; see `papers.Study`."""

    nouns: Mapping[str, str] = cells.Cell.NOUNS
    own_flags: Sequence[str] = (
        "unlabelled",
        "labelled",
        "harnet",
        "pretrain",
        "finetune",
    )

    def define_flags(self) -> None:
        """Data, weights and overrides."""
        text, several = flags.DEFINE_string, flags.DEFINE_list
        text("unlabelled", "", "Prepared store; {fold} in it is the fold's name.")
        text("labelled", "", "Labelled set.")
        text("harnet", "", "Bundle of launch.convert with HARNet10.")
        several("pretrain", [], "Overrides for every pretraining: KEY=VALUE,...")
        several("finetune", [], "Overrides for every finetuning: KEY=VALUE,...")

    def build(self, values: Mapping[str, Any], path: str) -> sheets.Paper:
        """The paper of a file's values."""
        return build(sheets.Paper, values, path=path)

    def given(self, values: flags.FlagValues) -> cells.Given:
        """Weights, repeats and overrides."""
        harnet = values["harnet"].value
        return cells.Given(
            harnet=data.of_bundle(harnet) if harnet else cells.NOTHING,
            seeds=values["seeds"].value,
            pretrain=overrides(values["pretrain"].value),
            finetune=overrides(values["finetune"].value),
        )

    def has_data(self, values: flags.FlagValues) -> bool:
        """Whether both kinds of data are given."""
        return bool(values["unlabelled"].value and values["labelled"].value)

    def everything(self, given: Any) -> cells.Given:
        """With the weights that some rows wait for."""
        if given.harnet.path:
            return given
        return dataclasses.replace(given, harnet=cells.Source("HARNET", "HARNET"))

    def make_plan(self, paper, sheet, scale, protocol, given) -> cells.Plan:
        """See `cells.make_plan`."""
        return cells.make_plan(paper, sheet, scale, protocol, given)

    def open(self, asked: Asked, say: Callable[[str], None]) -> Opened:
        """Opens the data, or simulates what is not given; divides the people."""
        unlabelled, labelled = _opened(asked, say)
        people = data.write_people(asked.workdir, labelled)
        given = dataclasses.replace(
            asked.given,
            unlabelled={fold: facts.source for fold, facts in unlabelled.items()},
            labelled=labelled.source,
        )
        changed = {**given.pretrain, **given.finetune}
        header = {
            "unlabelled": [facts.line() for facts in unlabelled.values()],
            "labelled": labelled.line(),
            "labelled_name": labelled.name,
            "overrides": ", ".join(f"{k}={v!r}" for k, v in changed.items()),
        }
        every = [*unlabelled.values(), labelled]
        simulated = any(facts.simulated for facts in every)
        return Opened(given, header, simulated, {"people": people})

    def work(self, workdir: epath.Path, opened: Opened, scale: Any) -> Work:
        """Trains, and reads what runs leave."""
        del scale  # In the cells.
        # Only here: the process that starts others must not take an accelerator.
        from launch.reproduction import work

        return work.Work(workdir, opened.names)

    def show(
        self,
        plan: cells.Plan,
        outcomes: Mapping[str, Outcome],
        workdir: epath.Path,
        header: Mapping[str, Any],
    ) -> Shown:
        """A table of scores with intervals over people, and its figures."""
        rows = scores.of_rows(plan, outcomes, workdir)
        table = output.content(plan, rows, scores.differences(plan, rows), header)
        table["correlations"] = pictures.correlations(plan, rows)
        output.write(workdir / "tables", table)
        figures = pictures.draw(plan, rows, table, workdir)
        failed = sum(bool(row.failed) for row in rows) - len(plan.not_run)
        return Shown(output.as_text(table), figures, failed)


def _opened(
    asked: Asked, say: Callable[[str], None]
) -> tuple[dict[str, data.Facts], data.Facts]:
    values, scale = asked.values, asked.scale
    unlabelled, labelled = values["unlabelled"].value, values["labelled"].value
    if not (unlabelled and labelled):
        if scale.simulated is None:
            raise ConfigError(
                f"--scale={scale.key} needs --unlabelled=STORE (launch.prepare) and"
                " --labelled=SET (launch.build_dataset); without data, try"
                " --scale=small"
            )
        store, made = data.simulate(asked.workdir, scale.simulated, say)
        unlabelled, labelled = unlabelled or store, labelled or made
    folds = {""}
    if "{fold}" in unlabelled:
        folds = {fold for sheet in asked.sheets for fold in sheet.folds} or {""}
    stores = {f: data.of_store(unlabelled.replace("{fold}", f)) for f in folds}
    return dict(sorted(stores.items())), data.of_set(labelled)


STUDY = Wrist()
