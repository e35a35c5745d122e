"""Papers that probe every layer of speech encoders with calls of animals."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath

from launch.reproduction import data as common
from launch.reproduction.calls import cells, data, sheets
from launch.reproduction.cells import Source
from launch.reproduction.papers import Asked, Opened, Shown
from launch.reproduction.runner import Outcome, Work
from sigjax.config import ConfigError, build
from sigjax.evals.layer_probes.results import FUSION


class Calls:
    """A study; see `papers.Study`."""

    nouns: Mapping[str, str] = sheets.NOUNS
    own_flags: Sequence[str] = (*sheets.DATASETS, "calls", "bundles")

    def define_flags(self) -> None:
        """Sets of calls, and encoders."""
        for name, says in sheets.FULL_NAMES.items():
            flags.DEFINE_string(
                name, "", f"{says}: its folder, or a manifest (launch.build_calls)."
            )
        own = "Sets of your own beside these: NAME=MANIFEST,..."
        flags.DEFINE_list("calls", [], own)
        bundles = "Encoders, CHECKPOINT=BUNDLE,... (launch.convert --system=speech)."
        flags.DEFINE_list("bundles", [], bundles)

    def build(self, values: Mapping[str, Any], path: str) -> sheets.Paper:
        """The paper of a file's values."""
        return build(sheets.Paper, values, path=path)

    def given(self, values: flags.FlagValues) -> cells.Given:
        """Sets by name, encoders, repeats."""
        return cells.Given(
            sets={name: cells.GivenSet() for name in _sets(values)},
            bundles={
                name.lower().replace("_", "-"): common.of_bundle(path)
                for name, path in _pairs(values, "bundles").items()
            },
            seeds=values["seeds"].value,
        )

    def has_data(self, values: flags.FlagValues) -> bool:
        """Whether both calls and encoders are given."""
        return bool(_sets(values) and values["bundles"].value)

    def everything(self, given: Any) -> cells.Given:
        """With all sets, and an encoder for each of the paper's checkpoints."""
        names = [checkpoint.key for checkpoint in _every_checkpoint()]
        return cells.Given(
            sets={
                name: cells.GivenSet(source=Source("CALLS", name))
                for name in sheets.DATASETS
            },
            bundles={name: Source("BUNDLE", name) for name in names},
            seeds=given.seeds,
        )

    def make_plan(self, paper, sheet, scale, protocol, given) -> cells.Plan:
        """See `cells.make_plan`."""
        return cells.make_plan(paper, sheet, scale, protocol, given)

    def open(self, asked: Asked, say: Callable[[str], None]) -> Opened:
        """Opens the sets, or simulates them."""
        if all(sheet.kind == "checkpoints" for sheet in asked.sheets):
            facts = []  # Encoders are counted without a call.
        else:
            paths = _sets(asked.values)
            facts = data.opened(paths, asked.workdir, asked.scale, say)
        sets = {found.dataset: found.given for found in facts}
        given = dataclasses.replace(asked.given, sets=sets)
        header = {
            "sets": {found.dataset: found.line() for found in facts},
            "simulated_sets": [f.dataset for f in facts if f.simulated],
            "encoders": _encoders(given, asked.scale),
        }
        return Opened(given, header, any(f.simulated for f in facts), {})

    def work(self, workdir: epath.Path, opened: Opened, scale: Any) -> Work:
        """Extracts, and probes."""
        # Only here: the process that starts others must not take an accelerator.
        from launch.reproduction.calls import work

        del opened
        return work.Work(workdir, optimise=scale.optimise)

    def show(
        self,
        plan: cells.Plan,
        outcomes: Mapping[str, Outcome],
        workdir: epath.Path,
        header: Mapping[str, Any],
    ) -> Shown:
        """A table with the paper's figures, and the picture that it is of."""
        from launch.reproduction.calls import pictures, scores, tables

        found = scores.of_plan(plan, outcomes, workdir)
        table = tables.content(plan, found, header)
        matrices = pictures.confusions(plan, found)
        text = tables.write(workdir / "tables", table, matrices)
        drawn = pictures.draw(plan, found, table, matrices, workdir)
        failed = sum(bool(row.failed) for row in found.rows) - len(plan.not_run)
        return Shown(text, drawn, failed)


def _pairs(values: flags.FlagValues, flag: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in values[flag].value or ():
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--{flag} takes NAME=PATH,..., got {text!r}")
        if name in found or name == FUSION:
            raise ConfigError(f"--{flag}: {name!r} is there twice, or is a row's name")
        found[name] = path
    return found


def _sets(values: flags.FlagValues) -> dict[str, str]:
    """Paths of the sets that flags name."""
    found = {name: str(values[name].value or "") for name in sheets.DATASETS}
    found = {name: path for name, path in found.items() if path}
    for name, path in _pairs(values, "calls").items():
        if name in sheets.DATASETS:
            raise ConfigError(f"--calls={name}={path}: write --{name}={path}")
        found[name] = path
    return found


def _encoders(given: cells.Given, scale: sheets.Scale) -> str:
    if given.bundles:
        return "; ".join(
            f"{name}: {source.path}, fingerprint {source.fingerprint}"
            for name, source in given.bundles.items()
        )
    if scale.encoder is None:
        return "none is given"
    sizes = ", ".join(f"{name}={value}" for name, value in scale.encoder.items())
    return f"RANDOM weights, in place of all of the paper's: {sizes}"


def _every_checkpoint() -> list[sheets.Checkpoint]:
    """Of all papers of this study."""
    from launch.reproduction import papers

    own = [k for k in papers.papers() if papers.study_of(k)[0] == "calls"]
    return [checkpoint for key in own for checkpoint in papers.load(key).checkpoints]


STUDY = Calls()
